/**
 * A query's result: column names and DuckDB types at once, then chunks of about 2,048 rows, fetched from the engine one at
 * a time so that JavaScript's memory stays flat. Values are DuckDB's own (bigint, DuckDBTimestampValue, …) in `chunks`, and plain
 * JavaScript (bigint, Date, arrays, objects) in `objects`.
 */
import type { DuckDBDataChunk, DuckDBResult, DuckDBType } from "@duckdb/node-api";
import { DuckDbError } from "./errors.ts";

export interface Column {
  readonly name: string;
  readonly type: DuckDBType;
}

/** Keeps the connection open for as long as the work takes, and gives errors their kind. */
type Held = <T>(work: () => Promise<T>) => Promise<T>;

export class Rows {
  readonly columns: readonly Column[];
  readonly #result: DuckDBResult;
  readonly #held: Held;
  readonly #signal: AbortSignal | undefined;

  constructor(result: DuckDBResult, held: Held, signal?: AbortSignal) {
    this.#result = result;
    this.#held = held;
    this.#signal = signal;
    this.columns = Array.from({ length: result.columnCount }, (_, i) => ({ name: result.columnName(i), type: result.columnType(i) }));
  }

  /** Chunks in order. Throws "interrupted" when the signal fires between them. */
  async *chunks(): AsyncGenerator<DuckDBDataChunk> {
    for (;;) {
      if (this.#signal?.aborted) throw new DuckDbError("interrupted", "the statement was interrupted");
      const chunk = await this.#held(() => this.#result.fetchChunk());
      if (chunk === null || chunk.rowCount === 0) return;
      yield chunk;
    }
  }

  /** Every remaining row as an object with plain JavaScript values. For small results. */
  async objects(): Promise<Record<string, unknown>[]> {
    return this.#held(() => this.#result.getRowObjectsJS());
  }
}
