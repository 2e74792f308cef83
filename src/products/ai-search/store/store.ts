/**
 * One instance's file: what its source has, and what is indexed of it. An item's new chunks and the end of its old ones are
 * one transaction, so that a search never sees half of a file, and what a crash interrupts is done again or not at all.
 * What is kept in memory of the vectors hears of changes by a `Follower`.
 */
import { createHash } from "node:crypto";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { conditionsSql } from "./conditions.ts";
import type { Found, Indexed, Item, ItemLog, ItemQuery, ItemStatus, NewChunk, StoreStats } from "./protocol.ts";
import { SCHEMA } from "./schema.ts";

export interface Follower {
  set(slot: number, values: Float32Array): void;
  clear(slot: number): void;
}

interface ItemRow {
  readonly number: number;
  readonly id: string;
  readonly source: string;
  readonly key: string;
  readonly folder: string;
  readonly status: ItemStatus;
  readonly error: string | null;
  readonly etag: string | null;
  readonly indexed: string | null;
  readonly size: number | null;
  readonly modified: number;
  readonly fetched: number | null;
  readonly created: number;
  readonly seen: number;
  readonly metadata: string | null;
  readonly chunks: number | null;
}

/** Lines that are kept of an item's log. */
const LOGS_MAX = 100;

export const itemId = (source: string, key: string): string => createHash("sha256").update(`${source}\0${key}`).digest("hex").slice(0, 32);

/** "animals/mammals/" of "animals/mammals/cat.png" (docs/ai-search/configuration/metadata). */
export const folderOf = (key: string): string => key.slice(0, key.lastIndexOf("/") + 1);

export const toItem = (row: ItemRow): Item => ({
  ...{
    id: row.id,
    source: row.source,
    key: row.key,
    status: row.status,
    error: row.error,
    etag: row.etag,
    indexed: row.indexed,
    size: row.size,
  },
  ...{ modified: row.modified, created: row.created, seen: row.seen, chunks: row.chunks, metadata: row.metadata },
});

export class Store {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  follower: Follower | undefined;

  /** Opens or creates the file. */
  constructor(path: string) {
    this.db = new DatabaseSync(path);
    // FULL: an upload that is acknowledged is on the disk.
    this.db.exec("PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8000;");
    const version = this.db.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version.user_version === 0) this.db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
  }

  close(): void {
    this.#statements.clear();
    this.db.close();
  }

  get<T>(sql: string, ...parameters: SQLInputValue[]): T | undefined {
    return this.#prepared(sql).get(...parameters) as T | undefined;
  }

  all<T>(sql: string, ...parameters: SQLInputValue[]): T[] {
    return this.#prepared(sql).all(...parameters) as T[];
  }

  run(sql: string, ...parameters: SQLInputValue[]): { changes: number; lastInsertRowid: number } {
    const { changes, lastInsertRowid } = this.#prepared(sql).run(...parameters);
    return { changes: Number(changes), lastInsertRowid: Number(lastInsertRowid) };
  }

  transaction<T>(work: () => T): T {
    this.db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw error;
    }
  }

  get slots(): number {
    return (this.get<{ slots: number }>("SELECT slots FROM state") as { slots: number }).slots;
  }

  get dimensions(): number {
    return (this.get<{ dimensions: number }>("SELECT dimensions FROM state") as { dimensions: number }).dimensions;
  }

  row(id: string): ItemRow | undefined {
    return this.get<ItemRow>("SELECT * FROM items WHERE id = ?", id);
  }

  scan(source: string, run: string, now: number, found: readonly Found[]): { due: number; refused: number } {
    return this.transaction(() => {
      let due = 0;
      let refused = 0;
      for (const one of found) {
        const waits = this.#note(source, run, now, one);
        if (one.refused !== undefined) refused++;
        else if (waits) due++;
      }
      return { due, refused };
    });
  }

  /** Whether the item now waits to be indexed. */
  #note(source: string, run: string, now: number, found: Found): boolean {
    const { key, size, etag, modified, rank, refused } = found;
    const old = this.get<ItemRow>("SELECT * FROM items WHERE source = ? AND key = ?", source, key);
    const number = old?.number ?? this.#insert(source, run, now, found);
    if (refused !== undefined) {
      if (old?.indexed !== null || (old.chunks ?? 0) > 0) this.#clear(number);
      this.run(
        `UPDATE items SET status = ?, error = ?, etag = ?, indexed = NULL, chunks = NULL, size = ?, modified = ?, seen = ?, run = ? WHERE number = ?`,
        ...[refused.status, refused.reason, etag, size, modified ?? now, now, run, number],
      );
      if (old?.error !== refused.reason) this.#log(number, now, "skip", refused.reason, refused.status, null, null);
      return false;
    }
    const waits = old === undefined || isDue(old, found, now);
    const status: ItemStatus = !waits ? old.status : old === undefined || old.indexed === null ? "queued" : "outdated";
    this.run(
      "UPDATE items SET status = ?, error = CASE WHEN ? THEN NULL ELSE error END, etag = coalesce(?, etag), size = coalesce(?, size), modified = coalesce(?, modified), seen = ?, run = ?, rank = ? WHERE number = ?",
      ...[status, waits ? 1 : 0, etag, size, modified, now, run, rank, number],
    );
    return waits;
  }

  #insert(source: string, run: string, now: number, { key, size, etag, modified, rank }: Found): number {
    return this.run(
      `INSERT INTO items (id, source, key, folder, status, etag, size, modified, created, seen, run, rank)
       VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)`,
      ...[itemId(source, key), source, key, folderOf(key), etag, size, modified ?? now, now, now, run, rank],
    ).lastInsertRowid;
  }

  sweep(source: string, run: string, limit: number): string[] {
    return this.transaction(() => {
      const gone = this.all<ItemRow>("SELECT * FROM items WHERE source = ? AND run <> ? LIMIT ?", source, run, limit);
      for (const { number } of gone) this.#delete(number);
      return gone.map(({ key }) => key);
    });
  }

  retry(): void {
    this.run("UPDATE items SET status = 'queued' WHERE status = 'error' AND source = 'builtin'");
  }

  requeue(): number {
    this.run("UPDATE items SET status = CASE WHEN indexed IS NULL THEN 'queued' ELSE 'outdated' END WHERE status = 'running'");
    return (this.get<{ n: number }>("SELECT count(*) AS n FROM items WHERE status IN ('queued', 'outdated')") as { n: number }).n;
  }

  take(limit: number): Item[] {
    return this.transaction(() => {
      const rows = this.all<ItemRow>("SELECT * FROM items WHERE status IN ('queued', 'outdated') ORDER BY rank, number LIMIT ?", limit);
      for (const { number } of rows) this.run("UPDATE items SET status = 'running' WHERE number = ?", number);
      return rows.map(toItem);
    });
  }

  index(now: number, indexed: Indexed): void {
    const changes: { slot: number; values: Float32Array }[] = [];
    const cleared: number[] = [];
    this.transaction(() => {
      const row = this.row(indexed.item);
      // Deleted while it was worked on.
      if (row === undefined) return;
      cleared.push(...this.#clear(row.number, false));
      const { vectors, dimensions } = indexed;
      if (vectors !== null && vectors.length > 0) this.#checkDimensions(dimensions);
      for (const [at, chunk] of indexed.chunks.entries()) {
        const values = vectors?.subarray(at * dimensions, (at + 1) * dimensions);
        const slot = this.#place(row.number, at, chunk, values);
        if (values !== undefined) changes.push({ slot, values });
      }
      if (indexed.file !== undefined)
        this.run("INSERT OR REPLACE INTO files (item, type, bytes) VALUES (?, ?, ?)", row.number, indexed.file.type, indexed.file.bytes);
      // A version that came while this one was indexed is still to be done.
      const newer = indexed.etag !== null && row.etag !== null && row.etag !== indexed.etag && row.source === "builtin";
      this.run(
        `UPDATE items SET status = ?, error = NULL, etag = ?, indexed = ?, size = ?, modified = ?, fetched = ?, metadata = ?, chunks = ? WHERE number = ?`,
        ...[
          newer || row.status === "outdated" ? "outdated" : "completed",
          newer ? row.etag : indexed.etag,
          indexed.etag ?? "",
          indexed.size,
        ],
        ...[indexed.modified, now, indexed.metadata, indexed.chunks.length, row.number],
      );
      this.#log(row.number, now, "index", null, null, indexed.chunks.length, indexed.tookMs);
    });
    // Only what is on disk is in memory.
    for (const slot of cleared) this.follower?.clear(slot);
    for (const { slot, values } of changes) this.follower?.set(slot, values);
  }

  #checkDimensions(dimensions: number): void {
    const known = this.dimensions;
    if (known === 0) this.run("UPDATE state SET dimensions = ?", dimensions);
    else if (known !== dimensions) throw new Error(`the embedding model gives ${dimensions} numbers, its earlier vectors have ${known}`);
  }

  #place(item: number, at: number, { text, start, end }: NewChunk, values: Float32Array | undefined): number {
    let slot = this.get<{ slot: number }>("DELETE FROM free WHERE slot = (SELECT min(slot) FROM free) RETURNING slot")?.slot;
    if (slot === undefined) {
      slot = this.slots;
      this.run("UPDATE state SET slots = ?", slot + 1);
    }
    const embedding = values === undefined ? null : new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.run(
      'INSERT INTO chunks (slot, item, number, start, "end", text, embedding) VALUES (?, ?, ?, ?, ?, ?, ?)',
      ...[slot, item, at, start, end, text, embedding],
    );
    for (const table of ["words_porter", "words_trigram"]) this.run(`INSERT INTO ${table} (rowid, text) VALUES (?, ?)`, slot, text);
    return slot;
  }

  /** Ends the item's chunks, and answers that were given from them. */
  #clear(item: number, tell = true): number[] {
    const slots = this.all<{ slot: number }>("SELECT slot FROM chunks WHERE item = ?", item).map(({ slot }) => slot);
    for (const slot of slots) {
      for (const table of ["words_porter", "words_trigram"]) this.run(`DELETE FROM ${table} WHERE rowid = ?`, slot);
      this.run("INSERT INTO free (slot) VALUES (?)", slot);
    }
    this.run("DELETE FROM chunks WHERE item = ?", item);
    for (const { answer } of this.all<{ answer: number }>("SELECT answer FROM answer_items WHERE item = ?", item))
      this.#forgetAnswer(answer);
    if (tell) for (const slot of slots) this.follower?.clear(slot);
    return slots;
  }

  #forgetAnswer(answer: number): void {
    this.run("DELETE FROM answers WHERE number = ?", answer);
    this.run("DELETE FROM answer_bands WHERE answer = ?", answer);
    this.run("DELETE FROM answer_items WHERE answer = ?", answer);
  }

  forgetAnswers(numbers: readonly number[]): void {
    for (const number of numbers) this.#forgetAnswer(number);
  }

  #delete(item: number): void {
    this.#clear(item);
    this.run("DELETE FROM files WHERE item = ?", item);
    this.run("DELETE FROM logs WHERE item = ?", item);
    this.run("DELETE FROM items WHERE number = ?", item);
  }

  unchanged(now: number, item: string, modified: number): void {
    this.run(
      "UPDATE items SET status = CASE WHEN indexed IS NULL THEN 'queued' ELSE 'completed' END, error = NULL, fetched = ?, modified = ? WHERE id = ?",
      ...[now, modified, item],
    );
  }

  fail(now: number, item: string, status: "error" | "skipped" | "queued", reason: string, etag: string | null): void {
    this.transaction(() => {
      const row = this.row(item);
      if (row === undefined) return;
      if (status === "queued") {
        this.run("UPDATE items SET status = CASE WHEN indexed IS NULL THEN 'queued' ELSE 'outdated' END WHERE number = ?", row.number);
        return;
      }
      this.#clear(row.number);
      this.run(
        "UPDATE items SET status = ?, error = ?, etag = coalesce(?, etag), indexed = NULL, chunks = NULL, fetched = ? WHERE number = ?",
        ...[status, reason, etag, now, row.number],
      );
      this.#log(row.number, now, "index", reason, status, null, null);
    });
  }

  outdate(item: string | null): void {
    const change =
      "UPDATE items SET status = CASE WHEN indexed IS NULL THEN 'queued' ELSE 'outdated' END, indexed = CASE WHEN indexed IS NULL THEN NULL ELSE '' END";
    if (item === null) this.run(`${change} WHERE status IN ('completed', 'running', 'outdated')`);
    else this.run(`${change} WHERE id = ?`, item);
  }

  add(now: number, source: string, found: Found, metadata: string | null, file?: { type: string; bytes: Uint8Array }): Item {
    return this.transaction(() => {
      const old = this.get<ItemRow>("SELECT * FROM items WHERE source = ? AND key = ?", source, found.key);
      const number = old?.number ?? this.#insert(source, "", now, found);
      this.run(
        `UPDATE items SET status = ?, error = NULL, etag = ?, size = ?, modified = ?, seen = ?, metadata = ? WHERE number = ?`,
        ...[
          old === undefined || old.indexed === null ? "queued" : "outdated",
          found.etag,
          found.size,
          found.modified ?? now,
          now,
          metadata,
          number,
        ],
      );
      if (file !== undefined) this.run("INSERT OR REPLACE INTO files (item, type, bytes) VALUES (?, ?, ?)", number, file.type, file.bytes);
      this.#log(number, now, "queue", null, null, null, null);
      return toItem(this.row(itemId(source, found.key)) as ItemRow);
    });
  }

  remove(id: string): { key: string } | null {
    return this.transaction(() => {
      const row = this.row(id);
      if (row === undefined) return null;
      this.#delete(row.number);
      return { key: row.key };
    });
  }

  items(query: ItemQuery): { items: Item[]; total: number } {
    const terms = [conditionsSql(query.filter)];
    const equal = { id: query.id, key: query.key, source: query.source, status: query.status };
    for (const [column, value] of Object.entries(equal))
      if (value !== undefined) terms.push({ text: `${column} = ?`, parameters: [value] });
    if (query.search) terms.push({ text: "instr(lower(key), lower(?)) > 0", parameters: [query.search] });
    const where = terms.map(({ text }) => text).join(" AND ");
    const parameters = terms.flatMap((term) => term.parameters);
    const order = query.byTime
      ? "modified DESC, number"
      : "CASE status WHEN 'running' THEN 0 WHEN 'error' THEN 1 WHEN 'queued' THEN 2 WHEN 'outdated' THEN 3 WHEN 'completed' THEN 4 ELSE 5 END, seen DESC, number";
    const rows = this.db
      .prepare(`SELECT * FROM items WHERE ${where} ORDER BY ${order} LIMIT ? OFFSET ?`)
      .all(...parameters, query.limit, query.offset) as unknown as ItemRow[];
    const { n } = this.db.prepare(`SELECT count(*) AS n FROM items WHERE ${where}`).get(...parameters) as { n: number };
    return { items: rows.map(toItem), total: n };
  }

  file(id: string): { type: string; bytes: Uint8Array } | null {
    const found = this.get<{ type: string; bytes: Uint8Array }>(
      "SELECT type, bytes FROM files WHERE item = (SELECT number FROM items WHERE id = ?)",
      id,
    );
    return found === undefined ? null : { type: found.type, bytes: found.bytes };
  }

  chunks(id: string, offset: number, limit: number): { chunks: (NewChunk & { id: string })[]; total: number } {
    const item = this.row(id)?.number ?? -1;
    const rows = this.all<NewChunk & { number: number }>(
      'SELECT number, text, start, "end" FROM chunks WHERE item = ? ORDER BY number LIMIT ? OFFSET ?',
      ...[item, limit, offset],
    );
    const { n } = this.get<{ n: number }>("SELECT count(*) AS n FROM chunks WHERE item = ?", item) as { n: number };
    return { chunks: rows.map(({ number, text, start, end }) => ({ id: chunkId(id, number), text, start, end })), total: n };
  }

  logs(id: string, before: number | null, limit: number): { logs: ItemLog[]; next: number | null } {
    const rows = this.all<{
      number: number;
      at: number;
      action: string;
      message: string | null;
      error_type: string | null;
      chunks: number | null;
      took_ms: number | null;
    }>(
      "SELECT * FROM logs WHERE item = (SELECT number FROM items WHERE id = ?) AND number < ? ORDER BY number DESC LIMIT ?",
      ...[id, before ?? Number.MAX_SAFE_INTEGER, limit + 1],
    );
    const logs = rows.slice(0, limit).map(({ at, action, message, error_type, chunks, took_ms }) => ({
      ...{ at, action, message, errorType: error_type, chunks, tookMs: took_ms },
    }));
    return { logs, next: rows.length > limit ? (rows[limit - 1]?.number ?? null) : null };
  }

  #log(
    item: number,
    at: number,
    action: string,
    message: string | null,
    type: string | null,
    chunks: number | null,
    took: number | null,
  ): void {
    const { lastInsertRowid } = this.run(
      "INSERT INTO logs (item, at, action, message, error_type, chunks, took_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[item, at, action, message, type, chunks, took],
    );
    this.run(
      "DELETE FROM logs WHERE item = ? AND number <= (SELECT number FROM logs WHERE item = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
      ...[item, item, LOGS_MAX],
    );
    if (lastInsertRowid === 0) throw new Error("a log line has no number");
  }

  stats(): StoreStats {
    const counts = Object.fromEntries(
      this.all<{ status: ItemStatus; n: number }>("SELECT status, count(*) AS n FROM items GROUP BY status").map(({ status, n }) => [
        status,
        n,
      ]),
    );
    const sums = this.get<{ vectors: number }>("SELECT count(*) AS vectors FROM chunks WHERE embedding IS NOT NULL") as { vectors: number };
    const files = this.get<{ n: number; bytes: number | null }>("SELECT count(*) AS n, sum(length(bytes)) AS bytes FROM files") as {
      n: number;
      bytes: number | null;
    };
    return { counts, vectors: sums.vectors, dimensions: this.dimensions, bytes: files.bytes ?? 0, files: files.n };
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

export const chunkId = (item: string, number: number): string => `${item}-${number}`;

/** Whether an item that is known is to be read again: another version, one that failed, or a page whose time has come. */
function isDue(old: ItemRow, { etag, modified, everyMs }: Found, now: number): boolean {
  if (old.status !== "completed") return true;
  if (etag !== null) return old.indexed !== etag;
  if (old.fetched === null) return true;
  return modified === null ? now - old.fetched >= (everyMs ?? 0) : modified > old.fetched;
}
