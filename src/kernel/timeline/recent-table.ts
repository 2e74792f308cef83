/**
 * Rows of a timeline that are not yet in a file: a table of an in-memory DuckDB, filled when it is read, queried beside the
 * files, and dropped when its rows are in one. Not durable: the journal is.
 */
import { listValue } from "@duckdb/node-api";
import { type Connection, literal } from "../duckdb/engine.ts";

/** DuckDB types of a row's columns; JSON is stored as its text. `otherwise` is SQL for the value of a row that has none. */
export type Columns = Readonly<Record<string, string | { readonly type: string; readonly otherwise: string }>>;

/** Rows that go into the table at once. */
const BATCH_ROWS = 2_000;

const typeOf = (column: Columns[string]): string => (typeof column === "string" ? column : column.type);

/** The type of a column in the tables and in the files. */
export const storedType = (column: Columns[string]): string => (typeOf(column) === "JSON" ? "VARCHAR" : typeOf(column));

/** JSON.stringify escapes half of a surrogate pair, and nothing else of that range; DuckDB takes no such text. */
const wellFormed = (json: string): string =>
  json.includes("\\ud") ? json.replace(/\\\\|\\ud[89a-f][0-9a-f]{2}/g, (found) => (found === "\\\\" ? found : "\\ufffd")) : json;

export class RecentTable {
  readonly name: string;
  readonly #connection: Promise<Connection>;
  readonly #insert: string;
  #waiting: string[] = [];
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

  constructor(name: string, columns: Columns, connection: Promise<Connection>) {
    this.name = name;
    const definition = Object.entries(columns).map(([column, type]) => `${column} ${storedType(type)}`);
    const structure = Object.fromEntries(Object.entries(columns).map(([column, type]) => [column, typeOf(type)]));
    const values = Object.entries(columns).map(([column, type]) =>
      typeof type === "string" ? `row.${column}` : `coalesce(row.${column}, ${type.otherwise})`,
    );
    // A row at a time: over an array of rows from_json takes ten times as long.
    this.#insert = `INSERT INTO ${name} SELECT ${values.join(", ")} FROM (
      SELECT from_json(text, ${literal(JSON.stringify(structure))}) AS row FROM (SELECT unnest($1) AS text))`;
    this.#connection = connection.then(async (opened) => {
      await opened.run(`CREATE TABLE ${name} (${definition.join(", ")})`);
      return opened;
    });
    // Whoever writes or reads hears of it.
    this.#connection.catch(() => undefined);
  }

  /** Rows as JSON objects, with the times of the first and the last of them. */
  add(rows: readonly string[], bytes: number, from: number, to: number): void {
    for (const row of rows) this.#waiting.push(wellFormed(row));
    this.rows += rows.length;
    this.bytes += bytes;
    if (from < this.from) this.from = from;
    if (to > this.to) this.to = to;
  }

  /** The name of the table with all that was added until now; `release` ends its use. */
  async use(): Promise<string> {
    this.#users++;
    try {
      await this.#flush();
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

  #flush(): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const connection = await this.#connection;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH_ROWS);
      await connection.run(this.#insert, [listValue(batch)]);
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
