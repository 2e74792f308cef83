/**
 * Events that are not yet in a file: tables of an in-memory DuckDB, each filled until it is sealed, queried beside the
 * files, and dropped when its events are in one. Not durable: the journal is.
 */
import type { Connection } from "../../kernel/duckdb/engine.ts";
import { type Row, textOf } from "./telemetry-event.ts";

/** Of the tables and of the files. */
const columns = {
  id: "VARCHAR",
  ts: "BIGINT",
  si: "DOUBLE",
  dataset: "VARCHAR",
  request: "VARCHAR",
  trace: "VARCHAR",
  s: "MAP(VARCHAR, VARCHAR)",
  n: "MAP(VARCHAR, DOUBLE)",
  b: "MAP(VARCHAR, BOOLEAN)",
  event: "VARCHAR",
} as const;

const DEFINITION = Object.entries(columns)
  .map(([name, type]) => `${name} ${type}`)
  .join(", ");
/** The form of a JSON array of rows, for DuckDB's from_json. */
const STRUCTURE = JSON.stringify([{ ...columns, event: "JSON" }]);
/** A FROM item without rows. */
export const NO_EVENTS = `(SELECT ${Object.entries(columns)
  .map(([name, type]) => `NULL::${type} AS ${name}`)
  .join(", ")} LIMIT 0)`;
/** Rows that go into the table at once. */
const BATCH_ROWS = 2_000;

export class RecentTable {
  readonly name: string;
  readonly #connection: Promise<Connection>;
  #waiting: Row[] = [];
  #writing: Promise<void> = Promise.resolve();
  #users = 0;
  #dropped = false;
  #dropping = false;
  readonly #gone = Promise.withResolvers<void>();
  rows = 0;
  /** As JSON. */
  bytes = 0;
  from = Number.POSITIVE_INFINITY;
  to = Number.NEGATIVE_INFINITY;

  constructor(name: string, connection: Promise<Connection>) {
    this.name = name;
    this.#connection = connection.then(async (opened) => {
      await opened.run(`CREATE TABLE ${name} (${DEFINITION})`);
      return opened;
    });
    // Whoever writes or reads hears of it.
    this.#connection.catch(() => undefined);
  }

  add(rows: readonly Row[], bytes: number): void {
    for (const row of rows) {
      this.#waiting.push(row);
      if (row.ts < this.from) this.from = row.ts;
      if (row.ts > this.to) this.to = row.ts;
    }
    this.rows += rows.length;
    this.bytes += bytes;
  }

  /** The name of the table with all that was added until now; `release` ends its use. */
  async use(): Promise<string> {
    this.#users++;
    try {
      await this.flush();
    } catch (error) {
      this.release();
      throw error;
    }
    return this.name;
  }

  release(): void {
    this.#users--;
    void this.#dropWhenUnused();
  }

  /** No new users; the table goes with the last one. Resolves when it is gone. */
  drop(): Promise<void> {
    this.#dropped = true;
    void this.#dropWhenUnused();
    return this.#gone.promise;
  }

  /** Resolves when no statement of this table's own runs. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  flush(): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const connection = await this.#connection;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH_ROWS);
      const sql = `INSERT INTO ${this.name} SELECT row.* FROM (SELECT unnest(from_json($1, $2)) AS row)`;
      await connection.run(sql, [`[${batch.map(textOf).join(",")}]`, STRUCTURE]);
      // Only now: what failed is tried again with the next.
      this.#waiting = this.#waiting.slice(batch.length);
    }
  }

  async #dropWhenUnused(): Promise<void> {
    if (!this.#dropped || this.#users > 0 || this.#dropping) return;
    this.#dropping = true;
    this.#waiting = [];
    await this.settled();
    // What is left of it goes with the engine.
    await (await this.#connection).run(`DROP TABLE IF EXISTS ${this.name}`).catch(() => undefined);
    this.#gone.resolve();
  }
}
