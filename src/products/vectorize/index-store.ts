/**
 * One index on disk: an SQLite file with its vectors, metadata and the place in the journal up to which it has followed.
 * A batch of mutations and that place are one transaction, so that whatever a crash interrupts is repeated or not, as it
 * was done or not. What is kept in memory of an index hears of changes by a `Follower`.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { IndexInfo, ListPage, Property, StoredVector } from "./engine-protocol.ts";
import type { Indexed } from "./filter.ts";
import { INDEXED_MAX_BYTES, PROPERTIES_MAX, truncated } from "./limits.ts";
import { type Change, decodeMutation, type PropertyType, type Vector, valueAt } from "./mutation.ts";

/** Indexed values of a vector by the number of the metadata index. */
export type IndexedValues = Readonly<Record<string, Indexed>>;

export interface Follower {
  set(slot: number, vector: Vector, indexed: IndexedValues): void;
  clear(slot: number): void;
}

export interface NumberedProperty extends Property {
  /** Never used twice: what was indexed for an earlier index of the property does not count for a later one. */
  readonly number: number;
}

/** A vector's row. */
export interface VectorRow {
  readonly slot: number;
  readonly id: string;
  readonly namespace: string | null;
  readonly embedding: Uint8Array;
  readonly metadata: string | null;
  readonly indexed: string | null;
}

const SCHEMA = `
  CREATE TABLE vectors (
    slot INTEGER PRIMARY KEY,        -- place in memory; those of deleted vectors are used again
    id TEXT NOT NULL UNIQUE,
    born INTEGER NOT NULL,           -- number of the change that added the id
    namespace TEXT,
    embedding BLOB NOT NULL,         -- 32-bit floats
    metadata TEXT,                   -- JSON
    indexed TEXT                     -- JSON: values by number of the metadata index
  );
  CREATE UNIQUE INDEX vectors_born ON vectors (born);
  CREATE TABLE free (slot INTEGER PRIMARY KEY);
  -- Deleted vectors, for lists that began while they were there.
  CREATE TABLE gone (born INTEGER PRIMARY KEY, id TEXT NOT NULL, died INTEGER NOT NULL, at INTEGER NOT NULL);
  CREATE INDEX gone_at ON gone (at);
  CREATE TABLE namespaces (name TEXT PRIMARY KEY, vectors INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE properties (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, type TEXT NOT NULL);
  CREATE TABLE state (
    applied INTEGER NOT NULL,        -- offset of the journal's next mutation for this index, or a lower one
    sequence INTEGER NOT NULL,       -- number of the last change of the set of ids
    slots INTEGER NOT NULL,
    vectors INTEGER NOT NULL,
    mutation TEXT,
    processed_at INTEGER
  );
  INSERT INTO state VALUES (0, 0, 0, 0, NULL, NULL);
  PRAGMA user_version = 1;
`;

interface State {
  applied: number;
  sequence: number;
  slots: number;
  vectors: number;
  mutation: string | null;
  processed_at: number | null;
}

export const floatsOf = (bytes: Uint8Array): Float32Array =>
  bytes.byteOffset % 4 === 0
    ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Float32Array(bytes.slice().buffer);

export class IndexStore {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #state: State;
  #properties: NumberedProperty[];

  /** Opens or creates the file. */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    // FULL: the journal gives mutations back to the disk once they are committed here.
    this.#db.exec("PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8000;");
    const version = this.#db.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version.user_version === 0) this.#db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    this.#state = this.#get("SELECT * FROM state") as State;
    this.#properties = this.#readProperties();
  }

  get slots(): number {
    return this.#state.slots;
  }

  get properties(): readonly NumberedProperty[] {
    return this.#properties;
  }

  info(): IndexInfo {
    return { vectors: this.#state.vectors, mutation: this.#state.mutation, processedAt: this.#state.processed_at };
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  /** Throws with nothing changed on disk; the follower may then have heard of what did not happen. */
  apply(offset: number, payloads: readonly Uint8Array[], now: number, goneBefore: number, follower: Follower | undefined): IndexInfo {
    const before = { ...this.#state };
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      payloads.forEach((payload, i) => {
        if (offset + i < before.applied) return;
        const { mutation, change } = decodeMutation(payload);
        this.#change(change, now, follower);
        this.#state.mutation = mutation;
        this.#state.processed_at = now;
        this.#state.applied = offset + i + 1;
      });
      this.#run("DELETE FROM gone WHERE at < ?", goneBefore);
      const { applied, sequence, slots, vectors, mutation, processed_at } = this.#state;
      this.#run(
        "UPDATE state SET applied = ?, sequence = ?, slots = ?, vectors = ?, mutation = ?, processed_at = ?",
        ...[applied, sequence, slots, vectors, mutation, processed_at],
      );
      // The mutations take effect here.
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#state = before;
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      this.#properties = this.#readProperties();
      throw error;
    }
    return this.info();
  }

  #change(change: Change, now: number, follower: Follower | undefined): void {
    switch (change.kind) {
      case "insert":
      case "upsert":
        for (const vector of change.vectors) this.#put(vector, change.kind === "upsert", follower);
        return;
      case "delete":
        for (const id of new Set(change.ids)) this.#delete(id, now, follower);
        return;
      case "create-property":
        if (this.#properties.length < PROPERTIES_MAX)
          this.#run("INSERT INTO properties (name, type) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", change.property, change.type);
        break;
      case "delete-property":
        this.#run("DELETE FROM properties WHERE name = ?", change.property);
    }
    this.#properties = this.#readProperties();
  }

  #put(vector: Vector, replace: boolean, follower: Follower | undefined): void {
    const old = this.#get("SELECT slot, namespace FROM vectors WHERE id = ?", vector.id) as
      | { slot: number; namespace: string | null }
      | undefined;
    if (old !== undefined && !replace) return;
    const indexed = this.#indexed(vector.metadata);
    const embedding = new Uint8Array(vector.values.buffer, vector.values.byteOffset, vector.values.byteLength);
    const text = Object.keys(indexed).length === 0 ? null : JSON.stringify(indexed);
    const slot = old?.slot ?? this.#takeSlot();
    if (old === undefined) {
      this.#state.sequence++;
      this.#state.vectors++;
      this.#run(
        "INSERT INTO vectors (slot, id, born, namespace, embedding, metadata, indexed) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ...[slot, vector.id, this.#state.sequence, vector.namespace, embedding, vector.metadata, text],
      );
    } else {
      this.#run(
        "UPDATE vectors SET namespace = ?, embedding = ?, metadata = ?, indexed = ? WHERE slot = ?",
        ...[vector.namespace, embedding, vector.metadata, text, slot],
      );
    }
    this.#count(vector.namespace, 1);
    if (old !== undefined) this.#count(old.namespace, -1);
    follower?.set(slot, vector, indexed);
  }

  #delete(id: string, now: number, follower: Follower | undefined): void {
    const old = this.#get("DELETE FROM vectors WHERE id = ? RETURNING slot, born, namespace", id) as
      | { slot: number; born: number; namespace: string | null }
      | undefined;
    if (old === undefined) return;
    this.#state.sequence++;
    this.#state.vectors--;
    this.#run("INSERT INTO gone (born, id, died, at) VALUES (?, ?, ?, ?)", old.born, id, this.#state.sequence, now);
    this.#run("INSERT INTO free (slot) VALUES (?)", old.slot);
    this.#count(old.namespace, -1);
    follower?.clear(old.slot);
  }

  #takeSlot(): number {
    const free = this.#get("DELETE FROM free WHERE slot = (SELECT MIN(slot) FROM free) RETURNING slot") as { slot: number } | undefined;
    return free?.slot ?? this.#state.slots++;
  }

  #count(namespace: string | null, by: number): void {
    if (namespace === null) return;
    this.#run(
      "INSERT INTO namespaces (name, vectors) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET vectors = vectors + excluded.vectors",
      namespace,
      by,
    );
    if (by < 0) this.#run("DELETE FROM namespaces WHERE name = ? AND vectors <= 0", namespace);
  }

  #indexed(metadata: string | null): IndexedValues {
    const indexed: Record<string, Indexed> = {};
    if (metadata === null || this.#properties.length === 0) return indexed;
    const parsed: unknown = JSON.parse(metadata);
    for (const { number, name, type } of this.#properties) {
      const value = valueAt(parsed, name, type);
      if (value !== undefined) indexed[number] = typeof value === "string" ? truncated(value, INDEXED_MAX_BYTES) : value;
    }
    return indexed;
  }

  #readProperties(): NumberedProperty[] {
    return this.#all("SELECT number, name, type FROM properties ORDER BY number").map((row) => ({
      number: row.number as number,
      name: row.name as string,
      type: row.type as PropertyType,
    }));
  }

  /** Every vector with a slot from `from` up to `to`, in no order that matters. */
  *rows(from: number, to: number): Generator<VectorRow> {
    const statement = this.#db.prepare(
      "SELECT slot, id, namespace, embedding, NULL AS metadata, indexed FROM vectors WHERE slot >= ? AND slot < ?",
    );
    yield* statement.iterate(from, to) as Iterable<VectorRow>;
  }

  row(slot: number): VectorRow | undefined {
    return this.#get("SELECT slot, id, namespace, embedding, metadata, indexed FROM vectors WHERE slot = ?", slot) as VectorRow | undefined;
  }

  /** Those that exist, in the order of the ids. */
  get(ids: readonly string[]): StoredVector[] {
    return ids.flatMap((id) => {
      const row = this.#get("SELECT * FROM vectors WHERE id = ?", id) as VectorRow | undefined;
      if (row === undefined) return [];
      return [{ id, namespace: row.namespace, values: floatsOf(row.embedding), metadata: row.metadata }];
    });
  }

  namespaces(names: readonly string[]): { fresh: number; known: number } {
    const fresh = names.filter((name) => this.#get("SELECT 1 FROM namespaces WHERE name = ?", name) === undefined).length;
    return { fresh, known: (this.#get("SELECT COUNT(*) AS n FROM namespaces") as { n: number }).n };
  }

  list(after: number, snapshot: number, total: number, count: number): ListPage {
    const rows = this.#all(
      `SELECT id, born FROM vectors WHERE born > ?1 AND born <= ?2
       UNION ALL SELECT id, born FROM gone WHERE born > ?1 AND born <= ?2 AND died > ?2
       ORDER BY born LIMIT ?3`,
      after,
      snapshot,
      count + 1,
    ) as { id: string; born: number }[];
    const page = rows.slice(0, count);
    const more = rows.length > count ? page.at(-1)?.born : undefined;
    return { ids: page.map(({ id }) => id), total, snapshot, ...(more !== undefined && { next: more }) };
  }

  /** The first page, with the snapshot that the others follow. */
  listNow(count: number): ListPage {
    return this.list(0, this.#state.sequence, this.#state.vectors, count);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...params: (string | number | null | Uint8Array)[]): void {
    this.#prepare(sql).run(...params);
  }

  #get(sql: string, ...params: (string | number)[]): unknown {
    return this.#prepare(sql).get(...params);
  }

  #all(sql: string, ...params: (string | number)[]): Record<string, unknown>[] {
    return this.#prepare(sql).all(...params);
  }
}
