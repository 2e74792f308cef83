/**
 * Hyperdrive configurations. The password is sealed for its configuration's id and is opened only to connect: nothing here
 * gives it to the API. Before a configuration is written its database has been connected to.
 */
import { randomBytes } from "node:crypto";
import type { Certificates } from "../../kernel/capabilities.ts";
import type { MetaReader, MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { merged, type PartialConfig, type Settings, settingsOf, type WholeConfig } from "./config-input.ts";
import type { DatabaseAddress, TlsSettings } from "./dial.ts";
import { connectionError, hyperdriveError } from "./errors.ts";
import { OriginError } from "./origin-error.ts";

interface ConfigRow {
  readonly [column: string]: string | number | null;
  readonly id: string;
  readonly name: string;
  readonly settings: string;
  readonly sealed: string;
  readonly created_at: number;
  readonly modified_at: number;
  readonly restarted_at: number | null;
}

/** A configuration as it is used. */
export interface HyperdriveConfig extends Settings {
  readonly id: string;
  readonly name: string;
  readonly password: string;
}

export interface ConfigView extends Settings {
  readonly id: string;
  readonly name: string;
  readonly created_on: string;
  readonly modified_on: string;
  readonly restarted_on?: string;
}

export interface ConfigEvents {
  /** Connects to the database and asks it something; rejects with an `OriginError`. */
  test(config: HyperdriveConfig, address: DatabaseAddress): Promise<void>;
  changed(config: HyperdriveConfig): void;
  removed(id: string): void;
}

export type Configs = ReturnType<typeof openConfigs>;

export function openConfigs({ meta, clock, config, secrets }: KernelSlice, certificates: Certificates, events: ConfigEvents) {
  const limitMax = config["hyperdrive.connections_max"];
  const purpose = (id: string): string => `hyperdrive.${id}`;

  const view = (row: ConfigRow): ConfigView => ({
    id: row.id,
    name: row.name,
    ...(JSON.parse(row.settings) as Settings),
    created_on: new Date(row.created_at).toISOString(),
    modified_on: new Date(row.modified_at).toISOString(),
    ...(row.restarted_at !== null && { restarted_on: new Date(row.restarted_at).toISOString() }),
  });

  const opened = (row: ConfigRow): HyperdriveConfig => ({
    ...(JSON.parse(row.settings) as Settings),
    id: row.id,
    name: row.name,
    password: secrets.open(row.sealed, purpose(row.id)),
  });

  const find = (id: string, from: MetaReader = meta): Promise<ConfigRow | undefined> =>
    from.get<ConfigRow>("SELECT * FROM hyperdrive_configs WHERE id = ?", id);

  async function need(id: string, from?: MetaReader): Promise<ConfigRow> {
    const row = await find(id, from);
    if (row === undefined) throw hyperdriveError("notFound");
    return row;
  }

  async function freeName(tx: MetaTransaction, name: string, id: string): Promise<void> {
    const same = await tx.get("SELECT 1 FROM hyperdrive_configs WHERE name = ? AND id <> ?", name, id);
    if (same !== undefined) throw hyperdriveError("nameTaken");
  }

  /** Where and how to connect, with the certificates as they are now. */
  async function address({ origin, password, mtls }: HyperdriveConfig): Promise<DatabaseAddress> {
    const authority = mtls?.ca_certificate_id && (await certificates.authority(mtls.ca_certificate_id));
    const client = mtls?.mtls_certificate_id && (await certificates.client(mtls.mtls_certificate_id));
    if (authority === undefined && mtls?.ca_certificate_id !== undefined)
      throw new OriginError("other", "The CA certificate of the configuration does not exist");
    if (client === undefined && mtls?.mtls_certificate_id !== undefined)
      throw new OriginError("other", "The client certificate of the configuration does not exist");
    const { host, port, database, user } = origin;
    return {
      ...{ host, port, database, user, password },
      tls: { mode: modeOf(mtls?.sslmode), authority: authority || undefined, client: client || undefined },
      allowPrivate: config["hyperdrive.private_origins"],
      allowPlaintext: config["hyperdrive.plaintext_origins"],
      timeoutMs: config["hyperdrive.connect_timeout_ms"],
    };
  }

  async function test(tested: HyperdriveConfig): Promise<void> {
    try {
      await events.test(tested, await address(tested));
    } catch (error) {
      if (error instanceof OriginError) throw connectionError(error);
      throw error;
    }
  }

  async function write(id: string, given: WholeConfig, settings: Settings): Promise<ConfigView> {
    const row = await meta.transaction(async (tx) => {
      const { created_at } = await need(id, tx);
      await freeName(tx, given.name, id);
      const sealed = secrets.seal(given.origin.password, purpose(id));
      await tx.run(
        "UPDATE hyperdrive_configs SET name = ?, settings = ?, sealed = ?, modified_at = ? WHERE id = ?",
        ...[given.name, JSON.stringify(settings), sealed, Math.max(clock.now(), created_at), id],
      );
      return need(id, tx);
    });
    events.changed(opened(row));
    return view(row);
  }

  return {
    address,
    list: async (): Promise<ConfigView[]> =>
      (await meta.all<ConfigRow>("SELECT * FROM hyperdrive_configs ORDER BY created_at, id LIMIT 10000")).map(view),
    get: async (id: string): Promise<ConfigView> => view(await need(id)),
    async find(id: string): Promise<HyperdriveConfig | undefined> {
      const row = await find(id);
      return row && opened(row);
    },
    async create(given: WholeConfig): Promise<ConfigView> {
      const settings = settingsOf(given, undefined, limitMax);
      const id = randomBytes(16).toString("hex");
      await test({ ...settings, id, name: given.name, password: given.origin.password });
      const now = clock.now();
      const row = await meta.transaction(async (tx) => {
        const { n } = (await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM hyperdrive_configs")) ?? { n: 0 };
        if (n >= config["hyperdrive.configs_max"]) throw hyperdriveError("tooMany");
        await freeName(tx, given.name, id);
        await tx.run(
          "INSERT INTO hyperdrive_configs (id, name, settings, sealed, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?)",
          ...[id, given.name, JSON.stringify(settings), secrets.seal(given.origin.password, purpose(id)), now, now],
        );
        return need(id, tx);
      });
      return view(row);
    },
    async replace(id: string, given: WholeConfig): Promise<ConfigView> {
      const old = opened(await need(id));
      const settings = settingsOf(given, old, limitMax);
      sameProtocol(old, settings);
      await test({ ...settings, id, name: given.name, password: given.origin.password });
      return write(id, given, settings);
    },
    async edit(id: string, change: PartialConfig): Promise<ConfigView> {
      const old = opened(await need(id));
      const given = merged(old, change);
      const settings = settingsOf(given, old, limitMax);
      sameProtocol(old, settings);
      if (change.origin != null || change.mtls != null) await test({ ...settings, id, name: given.name, password: given.origin.password });
      return write(id, given, settings);
    },
    async restart(id: string): Promise<ConfigView> {
      await need(id);
      await meta.run("UPDATE hyperdrive_configs SET restarted_at = ? WHERE id = ?", clock.now(), id);
      return view(await need(id));
    },
    async remove(id: string): Promise<void> {
      await meta.transaction(async (tx) => {
        await need(id, tx);
        await tx.run("DELETE FROM hyperdrive_configs WHERE id = ?", id);
      });
      events.removed(id);
    },
  };
}

function modeOf(sslmode: string | undefined): TlsSettings["mode"] {
  if (sslmode === "verify-ca" || sslmode === "VERIFY_CA") return "verify-ca";
  return sslmode === "verify-full" || sslmode === "VERIFY_IDENTITY" ? "verify-full" : "require";
}

/** Workers that bind the configuration have a driver for one protocol. */
function sameProtocol(old: Settings, settings: Settings): void {
  if ((old.origin.scheme === "mysql") !== (settings.origin.scheme === "mysql"))
    throw hyperdriveError("invalid", "origin.scheme: a configuration cannot change between PostgreSQL and MySQL");
}
