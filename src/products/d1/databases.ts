/**
 * The account's databases: rows in meta that say which exist. A database's own Durable Object comes into being with its
 * first request, and only requests of databases in this table get a capability.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { d1Error } from "./errors.ts";

export type DatabaseId = string & { readonly __brand: "DatabaseId" };

export interface Database {
  readonly uuid: DatabaseId;
  readonly name: string;
  readonly location_hint: string | null;
  readonly jurisdiction: string | null;
  readonly read_replication: "auto" | "disabled";
  /** Milliseconds since the epoch. */
  readonly created_at: number;
}

export interface Databases {
  /** Throws `d1.databaseNotFound`, and `d1.invalidProperty` for what is no UUID. */
  require(uuid: string): Promise<Database>;
  /** By UUID or name. */
  find(uuidOrName: string): Promise<Database>;
  exists(uuid: string): Promise<boolean>;
  /** Oldest first; `name` narrows to names that contain it. */
  list(name: string | null): Promise<Database[]>;
  /** Throws `d1.nameTaken`, `d1.tooManyDatabases`. */
  create(database: Omit<Database, "uuid" | "created_at">): Promise<Database>;
  setReplication(uuid: DatabaseId, mode: Database["read_replication"]): Promise<Database>;
  /** Unknown to every request when this resolves; its data is deleted in the background. */
  remove(uuid: DatabaseId): Promise<void>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** `max` bounds the number of databases. */
export function openDatabases(meta: MetaStore, clock: Clock, max: number): Databases {
  const byUuid = (uuid: string) => meta.get<Database>("SELECT * FROM d1_databases WHERE uuid = ?", uuid);
  const byName = (name: string) => meta.get<Database>("SELECT * FROM d1_databases WHERE name = ?", name);
  const missing = (given: string) => d1Error("databaseNotFound", `The database ${given} could not be found`);

  async function require(uuid: string): Promise<Database> {
    if (!UUID.test(uuid)) throw d1Error("invalidProperty", "Invalid property: databaseId => Invalid uuid");
    const found = await byUuid(uuid);
    if (found === undefined) throw missing(uuid);
    return found;
  }

  return {
    require,
    async find(uuidOrName) {
      const found = (UUID.test(uuidOrName) ? await byUuid(uuidOrName) : undefined) ?? (await byName(uuidOrName));
      if (found === undefined) throw missing(uuidOrName);
      return found;
    },
    exists: async (uuid) => (await byUuid(uuid)) !== undefined,
    list: (name) =>
      meta.all<Database>(
        "SELECT * FROM d1_databases WHERE (? IS NULL OR instr(name, ?) > 0) ORDER BY created_at, uuid LIMIT ?",
        name,
        name,
        max,
      ),
    async create(database) {
      const created: Database = { ...database, uuid: randomUUID() as DatabaseId, created_at: clock.now() };
      await meta.transaction(async (tx) => {
        if ((await tx.get("SELECT 1 FROM d1_databases WHERE name = ?", created.name)) !== undefined)
          throw d1Error("nameTaken", `Database with name: '${created.name}' already exists`);
        const count = await tx.get<{ n: number }>("SELECT count(*) AS n FROM d1_databases");
        if ((count?.n ?? 0) >= max) throw d1Error("tooManyDatabases");
        await tx.run(
          "INSERT INTO d1_databases (uuid, name, location_hint, jurisdiction, read_replication, created_at) VALUES (?, ?, ?, ?, ?, ?)",
          created.uuid,
          created.name,
          created.location_hint,
          created.jurisdiction,
          created.read_replication,
          created.created_at,
        );
      });
      return created;
    },
    async setReplication(uuid, mode) {
      await meta.run("UPDATE d1_databases SET read_replication = ? WHERE uuid = ?", mode, uuid);
      return require(uuid);
    },
    async remove(uuid) {
      await meta.transaction(async (tx) => {
        const { changes } = await tx.run("DELETE FROM d1_databases WHERE uuid = ?", uuid);
        if (changes === 0) throw missing(uuid);
        await tx.run("INSERT INTO d1_purges (uuid) VALUES (?)", uuid);
      });
    },
  };
}
