/**
 * Rows of scripts, versions and deployments, and the script table in memory that the gateway reads. The rows are the
 * truth: memory is filled from them at start and follows each commit of this object, which is the tables' only writer.
 * All Workers of the account are in memory; of user Workers, which may be any number, those that were used last.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { workersError } from "./errors.ts";
import type { Deployment, DeploymentContent, Script, ScriptSettings, Version, VersionContent } from "./model.ts";
import { namespaceOf, userWorkerName } from "./owner.ts";

interface ScriptRow {
  id: string;
  name: string;
  created_on: number;
  modified_on: number;
  last_deployed_from: string;
  subdomain_enabled: number;
  previews_enabled: number;
  settings: string;
}

interface ContentRow {
  id: string;
  script_id: string;
  number: number;
  created_on: number;
  content: string;
}

/** A script with what serves it now. */
export interface LiveScript {
  readonly script: Script;
  readonly deployment: Deployment | undefined;
  /** The versions of the deployment, in its order. */
  readonly versions: readonly Version[];
}

export interface ScriptStore {
  /** The account's live script of a name; memory only. */
  live(name: string): LiveScript | undefined;
  /** The same, unless it is a script of another product. */
  listed(name: string): LiveScript | undefined;
  /** Of the account, or a user Worker that is in memory, as one that runs is. */
  liveById(id: string): LiveScript | undefined;
  /** The scripts of the account's users. */
  all(): readonly LiveScript[];
  /** Those of other products, too (`owned.ts`). */
  everyone(): readonly LiveScript[];
  /** The live script of a name, whoever's it is. */
  find(name: string): Promise<LiveScript | undefined>;
  /** The same as far as it is in memory. */
  known(name: string): LiveScript | undefined;
  /** The user Workers of a dispatch namespace, by name. */
  ofNamespace(namespace: string): Promise<LiveScript[]>;
  countOfNamespace(namespace: string): Promise<number>;
  /** Throws `workers.notFound`, also for a script of another product. */
  require(name: string): LiveScript;
  version(scriptId: string, id: string): Promise<Version | undefined>;
  /** The version that a preview URL names: by the first 8 digits of its id, or the newest with that alias. */
  previewedVersion(scriptId: string, preview: string): Promise<Version | undefined>;
  /** Newest first. */
  versions(scriptId: string, limit: number, offset?: number): Promise<Version[]>;
  latestVersion(scriptId: string): Promise<Version | undefined>;
  /** Newest first. */
  deployments(scriptId: string, limit: number): Promise<Deployment[]>;
  /** Creates the script row if the name is new, inside the caller's transaction. */
  ensureScript(tx: MetaTransaction, id: string, name: string, from: string): Promise<Script>;
  addVersion(tx: MetaTransaction, scriptId: string, id: string, content: VersionContent): Promise<Version>;
  addDeployment(tx: MetaTransaction, scriptId: string, content: DeploymentContent): Promise<Deployment>;
  updateScript(
    scriptId: string,
    change: { settings?: ScriptSettings; subdomainEnabled?: boolean; previewsEnabled?: boolean },
    tx?: MetaTransaction,
  ): Promise<void>;
  removeScript(tx: MetaTransaction, scriptId: string): Promise<void>;
  /** The script as its committed rows say; memory stays as it is. */
  read(name: string): Promise<LiveScript | undefined>;
  /** Makes what `read` gave the live script, or forgets the name. From here on requests go by it. */
  remember(name: string, live: LiveScript | undefined): void;
}

/** Names with a colon are those of other products' Workers. */
export const isOwned = (name: string): boolean => name.includes(":");
/** User Workers in memory: more than can run at a time. */
const USER_WORKERS_KEPT = 2_000;
/** Most user Workers of a namespace that one list has. */
const LIST_MAX = 100_000;

const defaultSettings: ScriptSettings = { logpush: false, observability: null, tail_consumers: [], streaming_tail_consumers: [], tags: [] };

export async function openScriptStore(meta: MetaStore, clock: Clock): Promise<ScriptStore> {
  const byName = new Map<string, LiveScript>();
  /** User Workers, the one that was used last at the end. */
  const users = new Map<string, LiveScript>();
  const byId = new Map<string, LiveScript>();
  /** Grows with each change of what is live: what was read before one is not remembered after it. */
  let changes = 0;

  function keep(name: string, live: LiveScript | undefined): void {
    const table = namespaceOf(name) === undefined ? byName : users;
    const before = table.get(name);
    if (before !== undefined) byId.delete(before.script.id);
    table.delete(name);
    if (live === undefined) return;
    table.set(name, live);
    byId.set(live.script.id, live);
    for (const [oldest, { script }] of users) {
      if (users.size <= USER_WORKERS_KEPT) break;
      users.delete(oldest);
      byId.delete(script.id);
    }
  }

  async function find(name: string): Promise<LiveScript | undefined> {
    if (namespaceOf(name) === undefined) return byName.get(name);
    const known = users.get(name);
    if (known !== undefined) {
      users.delete(name);
      users.set(name, known);
      return known;
    }
    const before = changes;
    const live = await readNamed(name);
    if (live !== undefined && before === changes) keep(name, live);
    return live;
  }

  async function readNamed(name: string): Promise<LiveScript | undefined> {
    const row = await meta.get<ScriptRow>("SELECT * FROM workers_scripts WHERE name = ?", name);
    return row && read(row);
  }

  async function currentDeployment(scriptId: string): Promise<Deployment | undefined> {
    const row = await meta.get<ContentRow>("SELECT * FROM workers_deployments WHERE script_id = ? ORDER BY number DESC LIMIT 1", scriptId);
    return row && deploymentOf(row);
  }

  async function read(row: ScriptRow): Promise<LiveScript> {
    const deployment = await currentDeployment(row.id);
    const versions: Version[] = [];
    for (const { version_id } of deployment?.versions ?? []) {
      const version = await meta.get<ContentRow>("SELECT * FROM workers_versions WHERE id = ?", version_id);
      if (version !== undefined) versions.push(versionOf(version));
    }
    return { script: scriptOf(row), deployment, versions };
  }

  for (const row of await meta.all<ScriptRow>("SELECT * FROM workers_scripts WHERE name NOT LIKE '%/%' ORDER BY name LIMIT 100000")) {
    keep(row.name, await read(row));
  }

  async function nextNumber(tx: MetaTransaction, table: "workers_versions" | "workers_deployments", scriptId: string): Promise<number> {
    const row = await tx.get<{ n: number | null }>(`SELECT MAX(number) AS n FROM ${table} WHERE script_id = ?`, scriptId);
    return (row?.n ?? 0) + 1;
  }

  return {
    live: (name) => byName.get(name),
    listed: (name) => (isOwned(name) ? undefined : byName.get(name)),
    liveById: (id) => byId.get(id),
    all: () => [...byName.values()].filter(({ script }) => !isOwned(script.name)),
    everyone: () => [...byName.values()],
    find,
    known: (name) => byName.get(name) ?? users.get(name),
    async ofNamespace(namespace) {
      const sql = "SELECT * FROM workers_scripts WHERE name > ? AND name < ? ORDER BY name LIMIT ?";
      const found: LiveScript[] = [];
      for (const row of await meta.all<ScriptRow>(sql, ...namesIn(namespace), LIST_MAX)) found.push(await read(row));
      return found;
    },
    async countOfNamespace(namespace) {
      const sql = "SELECT COUNT(*) AS n FROM workers_scripts WHERE name > ? AND name < ?";
      const row = await meta.get<{ n: number }>(sql, ...namesIn(namespace));
      return row?.n ?? 0;
    },
    require(name) {
      const live = byName.get(name);
      if (live === undefined || isOwned(name)) throw workersError("notFound");
      return live;
    },
    async version(scriptId, id) {
      const row = await meta.get<ContentRow>("SELECT * FROM workers_versions WHERE id = ? AND script_id = ?", id, scriptId);
      return row && versionOf(row);
    },
    async previewedVersion(scriptId, preview) {
      // Anybody may ask for any name: both look-ups are of an index (the plus keeps the planner from walking the script's versions).
      const row = /^[0-9a-f]{8}$/.test(preview)
        ? await meta.get<ContentRow>(
            "SELECT * FROM workers_versions WHERE id >= ?1 AND id < ?1 || 'g' AND +script_id = ?2 ORDER BY number DESC LIMIT 1",
            preview,
            scriptId,
          )
        : await meta.get<ContentRow>(
            `SELECT * FROM workers_versions
             WHERE script_id = ? AND json_extract(content, '$.annotations."workers/alias"') = ? ORDER BY number DESC LIMIT 1`,
            scriptId,
            preview,
          );
      return row && versionOf(row);
    },
    async versions(scriptId, limit, offset = 0) {
      const sql = "SELECT * FROM workers_versions WHERE script_id = ? ORDER BY number DESC LIMIT ? OFFSET ?";
      return (await meta.all<ContentRow>(sql, scriptId, limit, offset)).map(versionOf);
    },
    async latestVersion(scriptId) {
      const row = await meta.get<ContentRow>("SELECT * FROM workers_versions WHERE script_id = ? ORDER BY number DESC LIMIT 1", scriptId);
      return row && versionOf(row);
    },
    async deployments(scriptId, limit) {
      const sql = "SELECT * FROM workers_deployments WHERE script_id = ? ORDER BY number DESC LIMIT ?";
      return (await meta.all<ContentRow>(sql, scriptId, limit)).map(deploymentOf);
    },
    async ensureScript(tx, id, name, from) {
      const now = clock.now();
      const row = await tx.get<ScriptRow>("SELECT * FROM workers_scripts WHERE name = ?", name);
      if (row !== undefined) {
        await tx.run("UPDATE workers_scripts SET modified_on = ?, last_deployed_from = ? WHERE id = ?", now, from, row.id);
        return scriptOf({ ...row, modified_on: now, last_deployed_from: from });
      }
      const fresh: ScriptRow = {
        id,
        name,
        created_on: now,
        modified_on: now,
        last_deployed_from: from,
        subdomain_enabled: 0,
        previews_enabled: 0,
        settings: JSON.stringify(defaultSettings),
      };
      await tx.run(
        `INSERT INTO workers_scripts (id, name, created_on, modified_on, last_deployed_from, subdomain_enabled, previews_enabled, settings)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        name,
        now,
        now,
        from,
        0,
        0,
        fresh.settings,
      );
      return scriptOf(fresh);
    },
    async addVersion(tx, scriptId, id, content) {
      const version: Version = {
        ...content,
        id,
        scriptId,
        number: await nextNumber(tx, "workers_versions", scriptId),
        createdOn: clock.now(),
      };
      await tx.run(
        "INSERT INTO workers_versions (id, script_id, number, created_on, content) VALUES (?, ?, ?, ?, ?)",
        id,
        scriptId,
        version.number,
        version.createdOn,
        JSON.stringify(content),
      );
      return version;
    },
    async addDeployment(tx, scriptId, content) {
      const deployment: Deployment = {
        ...content,
        id: randomUUID(),
        scriptId,
        number: await nextNumber(tx, "workers_deployments", scriptId),
        createdOn: clock.now(),
      };
      await tx.run(
        "INSERT INTO workers_deployments (id, script_id, number, created_on, content) VALUES (?, ?, ?, ?, ?)",
        deployment.id,
        scriptId,
        deployment.number,
        deployment.createdOn,
        JSON.stringify(content),
      );
      return deployment;
    },
    async updateScript(scriptId, change, tx = meta) {
      if (change.settings !== undefined) {
        await tx.run("UPDATE workers_scripts SET settings = ? WHERE id = ?", JSON.stringify(change.settings), scriptId);
      }
      if (change.subdomainEnabled !== undefined) {
        await tx.run("UPDATE workers_scripts SET subdomain_enabled = ? WHERE id = ?", Number(change.subdomainEnabled), scriptId);
      }
      if (change.previewsEnabled !== undefined) {
        await tx.run("UPDATE workers_scripts SET previews_enabled = ? WHERE id = ?", Number(change.previewsEnabled), scriptId);
      }
    },
    async removeScript(tx, scriptId) {
      for (const table of ["workers_versions", "workers_deployments", "workers_schedules", "workers_cron_runs"]) {
        await tx.run(`DELETE FROM ${table} WHERE script_id = ?`, scriptId);
      }
      await tx.run("DELETE FROM workers_scripts WHERE id = ?", scriptId);
    },
    read: readNamed,
    remember(name, live) {
      changes++;
      keep(name, live);
    },
  };
}

/** The names between which those of a dispatch namespace's Workers are. */
const namesIn = (namespace: string): [string, string] => [userWorkerName(namespace, ""), `${namespace}0`];

function scriptOf(row: ScriptRow): Script {
  return {
    id: row.id,
    name: row.name,
    createdOn: row.created_on,
    modifiedOn: row.modified_on,
    lastDeployedFrom: row.last_deployed_from,
    subdomainEnabled: row.subdomain_enabled === 1,
    previewsEnabled: row.previews_enabled === 1,
    settings: { ...defaultSettings, ...(JSON.parse(row.settings) as ScriptSettings) },
  };
}

const versionOf = (row: ContentRow): Version => ({
  ...(JSON.parse(row.content) as VersionContent),
  id: row.id,
  scriptId: row.script_id,
  number: row.number,
  createdOn: row.created_on,
});

const deploymentOf = (row: ContentRow): Deployment => ({
  ...(JSON.parse(row.content) as DeploymentContent),
  id: row.id,
  scriptId: row.script_id,
  number: row.number,
  createdOn: row.created_on,
});
