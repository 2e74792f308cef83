/**
 * Rows of a timeline that are not yet in a file: a table of an in-memory DuckDB, filled when it is read, queried beside the
 * files, and dropped when its rows are in one. Not durable: the journal is.
 */
import { type Connection, literal } from "../duckdb/engine.ts";

/** DuckDB types of a row's columns; JSON is stored as its text. `otherwise` is SQL for the value of a row that has none. */
export type Columns = Readonly<Record<string, string | { readonly type: string; readonly otherwise: string }>>;

/** Text that goes into the table at once. */
const BATCH_BYTES = 4 * 1024 * 1024;

const typeOf = (column: Columns[string]): string => (typeof column === "string" ? column : column.type);

/** The type of a column in the tables and in the files. */
export const storedType = (column: Columns[string]): string => (typeOf(column) === "JSON" ? "VARCHAR" : typeOf(column));

export class RecentTable {
  readonly name: string;
  readonly #connection: Promise<Connection>;
  readonly #insert: string;
  #waiting: Uint8Array[] = [];
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
      SELECT from_json(text, ${literal(JSON.stringify(structure))}) AS row FROM (SELECT unnest(string_split($1, chr(10))) AS text))`;
    this.#connection = connection.then(async (opened) => {
      await opened.run(`CREATE TABLE ${name} (${definition.join(", ")})`);
      return opened;
    });
    // Whoever writes or reads hears of it.
    this.#connection.catch(() => undefined);
  }

  /** Rows as JSON objects, one a line, with the times of the first and the last of them. */
  add(lines: Uint8Array, rows: number, from: number, to: number): void {
    this.#waiting.push(lines);
    this.rows += rows;
    this.bytes += lines.length;
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
      let [count, bytes] = [0, 0];
      while (count < this.#waiting.length && bytes < BATCH_BYTES) bytes += (this.#waiting[count++] as Uint8Array).length;
      const texts = this.#waiting
        .slice(0, count)
        .map((lines) => Buffer.from(lines.buffer, lines.byteOffset, lines.length).toString("utf8"));
      await connection.run(this.#insert, [texts.join("\n")]);
      // Only now: what failed is tried again with the next.
      this.#waiting = this.#waiting.slice(count);
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
