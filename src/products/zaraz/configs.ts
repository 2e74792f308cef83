/**
 * The zones' configurations: each save is a row of the history, and a zone's row says which of them is the newest and which
 * one is live. They lie sealed on disk, for variables may be secret; what is live answers from memory.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import type { SecretBox } from "../../kernel/secrets.ts";
import { zarazError } from "./errors.ts";
import { defaultConfig, type ZarazConfig } from "./model.ts";

export type Workflow = "realtime" | "preview";

/** A configuration with its number, which no other one of any zone has. */
export interface Numbered {
  readonly id: number;
  readonly config: ZarazConfig;
}

export interface HistoryEntry {
  readonly id: number;
  readonly description: string;
  readonly userId: string;
  readonly created: number;
  readonly updated: number;
}

export interface Configs {
  /** What visitors get; undefined where nothing was ever published. */
  live(zoneId: string): Numbered | undefined;
  /** What was saved last, be it published or not. */
  latest(zoneId: string): Numbered | undefined;
  workflow(zoneId: string): Workflow;
  /** What a zone begins with. Its debug key stays the same until the zone is configured. */
  initial(zoneId: string): ZarazConfig;
  /** Saves; live at once unless the zone publishes by hand. Secret variables without a value keep the one they have. */
  save(zoneId: string, config: ZarazConfig, by: Author): Promise<Numbered>;
  publish(zoneId: string, description: string | undefined): Promise<void>;
  /** Going back to real time drops what is not published; it stays in the history. */
  setWorkflow(zoneId: string, workflow: Workflow): Promise<void>;
  history(zoneId: string): Promise<HistoryEntry[]>;
  /** Of those ids that are in the zone's history. */
  saved(zoneId: string, ids: readonly number[]): Promise<(HistoryEntry & { readonly config: ZarazConfig })[]>;
}

export interface Author {
  readonly userId: string;
  readonly description: string;
}

interface ZoneState {
  readonly workflow: Workflow;
  readonly latest: Numbered | undefined;
  readonly live: Numbered | undefined;
}

interface ConfigRow {
  readonly id: number;
  readonly description: string;
  readonly user_id: string;
  readonly created: number;
  readonly updated: number;
  readonly sealed: string;
}

/** Older ones of a zone are forgotten. */
const HISTORY_MAX = 500;
const PURPOSE = "zaraz.config";

export async function openConfigs(meta: MetaStore, clock: Clock, secrets: SecretBox): Promise<Configs> {
  const read = (sealed: string, id: number): ZarazConfig => JSON.parse(secrets.open(sealed, `${PURPOSE}:${id}`)) as ZarazConfig;
  const zones = new Map<string, ZoneState>();
  const initials = new Map<string, ZarazConfig>();
  const rows = await meta.all<{ zone_id: string; workflow: Workflow; latest: number | null; live: number | null }>(
    "SELECT zone_id, workflow, latest, live FROM zaraz_zones LIMIT 100000",
  );
  for (const { zone_id, workflow, latest, live } of rows) {
    const at = async (id: number | null): Promise<Numbered | undefined> => {
      const row = await meta.get<ConfigRow>("SELECT id, sealed FROM zaraz_configs WHERE id = ?", id);
      return row && { id: row.id, config: read(row.sealed, row.id) };
    };
    const newest = await at(latest);
    zones.set(zone_id, { workflow, latest: newest, live: live === latest ? newest : await at(live) });
  }
  const stateOf = (zoneId: string): ZoneState => zones.get(zoneId) ?? { workflow: "realtime", latest: undefined, live: undefined };
  let [{ last: lastId }] = (await meta.all<{ last: number }>("SELECT COALESCE(MAX(id), 0) AS last FROM zaraz_configs LIMIT 1")) as [
    { last: number },
  ];

  /** The zone's row makes it visible; in memory it is only after the commit. */
  async function change(zoneId: string, state: ZoneState, alongside?: (tx: MetaTransaction) => Promise<unknown>): Promise<void> {
    await meta.transaction(async (tx) => {
      await alongside?.(tx);
      await tx.run(
        `INSERT INTO zaraz_zones (zone_id, workflow, latest, live) VALUES (?, ?, ?, ?)
         ON CONFLICT (zone_id) DO UPDATE SET workflow = excluded.workflow, latest = excluded.latest, live = excluded.live`,
        ...[zoneId, state.workflow, state.latest?.id ?? null, state.live?.id ?? null],
      );
    });
    zones.set(zoneId, state);
  }

  return {
    live: (zoneId) => zones.get(zoneId)?.live,
    latest: (zoneId) => zones.get(zoneId)?.latest,
    workflow: (zoneId) => stateOf(zoneId).workflow,
    initial(zoneId) {
      const known = initials.get(zoneId) ?? defaultConfig(randomBytes(12).toString("base64url"));
      initials.set(zoneId, known);
      return known;
    },
    async save(zoneId, given, { userId, description }) {
      const before = stateOf(zoneId);
      const saved: Numbered = { id: ++lastId, config: withSecrets(given, before.latest?.config) };
      const live = before.workflow === "realtime" ? saved : before.live;
      const now = clock.now();
      await change(zoneId, { ...before, latest: saved, live }, async (tx) => {
        await tx.run(
          "INSERT INTO zaraz_configs (id, zone_id, description, user_id, created, updated, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)",
          ...[saved.id, zoneId, description, userId, now, now, secrets.seal(JSON.stringify(saved.config), `${PURPOSE}:${saved.id}`)],
        );
        await tx.run(
          `DELETE FROM zaraz_configs WHERE zone_id = ? AND id <> ? AND id <=
             (SELECT id FROM zaraz_configs WHERE zone_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
          ...[zoneId, live?.id ?? 0, zoneId, HISTORY_MAX],
        );
      });
      return saved;
    },
    async publish(zoneId, description) {
      const state = stateOf(zoneId);
      const { latest } = state;
      await change(zoneId, { ...state, live: latest }, async (tx) => {
        if (description === undefined || latest === undefined) return;
        await tx.run("UPDATE zaraz_configs SET description = ?, updated = ? WHERE id = ?", description, clock.now(), latest.id);
      });
    },
    async setWorkflow(zoneId, workflow) {
      const state = stateOf(zoneId);
      await change(zoneId, { workflow, live: state.live, latest: workflow === "realtime" ? (state.live ?? state.latest) : state.latest });
    },
    async history(zoneId) {
      const found = await meta.all<ConfigRow>(
        "SELECT id, description, user_id, created, updated FROM zaraz_configs WHERE zone_id = ? ORDER BY id DESC LIMIT ?",
        ...[zoneId, HISTORY_MAX + 1],
      );
      return found.map(entryOf);
    },
    async saved(zoneId, ids) {
      const found = await meta.all<ConfigRow>(
        `SELECT id, description, user_id, created, updated, sealed FROM zaraz_configs
         WHERE zone_id = ? AND id IN (${ids.map(() => "?").join(", ") || "NULL"}) LIMIT ?`,
        ...[zoneId, ...ids, HISTORY_MAX + 1],
      );
      return found.map((row) => ({ ...entryOf(row), config: read(row.sealed, row.id) }));
    },
  };
}

const entryOf = ({ id, description, user_id, created, updated }: ConfigRow): HistoryEntry => ({
  id,
  description,
  userId: user_id,
  created,
  updated,
});

function withSecrets(config: ZarazConfig, before: ZarazConfig | undefined): ZarazConfig {
  const variables = Object.entries(config.variables).map(([id, variable]) => {
    if (variable.type !== "secret" || variable.value !== undefined) return [id, variable] as const;
    const kept = before?.variables[id];
    if (kept?.type !== "secret" || kept.value === undefined)
      throw zarazError("invalidConfig", `the secret variable ${JSON.stringify(variable.name)} has no value`);
    return [id, { ...variable, value: kept.value }] as const;
  });
  return { ...config, variables: Object.fromEntries(variables) };
}

/** As the API shows it: without the values of secret variables. */
export function withoutSecrets(config: ZarazConfig): ZarazConfig {
  const variables = Object.entries(config.variables).map(([id, variable]) => {
    if (variable.type !== "secret") return [id, variable] as const;
    const { value: _hidden, ...shown } = variable;
    return [id, shown] as const;
  });
  return { ...config, variables: Object.fromEntries(variables) };
}
