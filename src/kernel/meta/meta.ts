/**
 * Rows, transactions and compare-and-swap. SQLite on one machine, PostgreSQL across many; nothing else in
 * the code knows which. SQL is the subset both speak: `?` placeholders, `INSERT … ON CONFLICT`, `RETURNING`,
 * TEXT / INTEGER / BLOB / REAL columns, times as INTEGER milliseconds, JSON as TEXT. Values are string,
 * number (safe integers and floats), null or Uint8Array; booleans are stored as 0 and 1.
 */
export type SqlValue = string | number | null | Uint8Array;

export interface MetaReader {
  /** Every row that the statement yields. The caller bounds it with LIMIT. */
  all<T = Record<string, SqlValue>>(sql: string, ...params: SqlValue[]): Promise<T[]>;
  /** The first row, or undefined. */
  get<T = Record<string, SqlValue>>(sql: string, ...params: SqlValue[]): Promise<T | undefined>;
}

export interface MetaTransaction extends MetaReader {
  /** Runs one writing statement; `changes` is the number of rows it touched. */
  run(sql: string, ...params: SqlValue[]): Promise<{ changes: number }>;
}

export interface MetaStore extends MetaTransaction {
  /**
   * Runs `fn` in one serialisable transaction: it sees its own writes, nobody else sees them before the
   * promise resolves, and a throw undoes all. When the promise resolves the rows survive SIGKILL and power
   * loss. `fn` must only await calls on `tx` (anything else holds up every other writer), and must not use
   * the store itself.
   */
  transaction<T>(fn: (tx: MetaTransaction) => Promise<T>): Promise<T>;
}

/** One step of a product's schema. Append-only: a released migration is never edited. */
export interface Migration {
  /** Unique within the product, in order: "0001-buckets". */
  readonly name: string;
  /** Statements separated by semicolons. Tables are named `<product>_<noun>`. */
  readonly sql: string;
}
