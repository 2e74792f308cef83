/**
 * A query's result: column names and DuckDB types at once, then chunks of about 2,048 rows, fetched from the engine one at
 * a time so that JavaScript's memory stays flat. Values are DuckDB's own (bigint, DuckDBTimestampValue, …) in `chunks`, and plain
 * JavaScript (bigint, Date, arrays, objects) in `objects`.
 */
import type { DuckDBDataChunk, DuckDBResult, DuckDBType } from "@duckdb/node-api";
import { DuckDbError, duckDbError } from "./errors.ts";

export interface Column {
  readonly name: string;
  readonly type: DuckDBType;
}

export class Rows {
  readonly columns: readonly Column[];
  readonly #result: DuckDBResult;
  readonly #signal: AbortSignal | undefined;

  constructor(result: DuckDBResult, signal?: AbortSignal) {
    this.#result = result;
    this.#signal = signal;
    this.columns = Array.from({ length: result.columnCount }, (_, i) => ({ name: result.columnName(i), type: result.columnType(i) }));
  }

  /** Chunks in order. Throws "interrupted" when the signal fires between them. */
  async *chunks(): AsyncGenerator<DuckDBDataChunk> {
    for (;;) {
      if (this.#signal?.aborted) throw new DuckDbError("interrupted", "the statement was interrupted");
      const chunk = await this.#result.fetchChunk().catch((cause: unknown) => {
        throw duckDbError(cause);
      });
      if (chunk === null || chunk.rowCount === 0) return;
      yield chunk;
    }
  }

  /** Every remaining row as an object with plain JavaScript values. For small results. */
  async objects(): Promise<Record<string, unknown>[]> {
    try {
      return await this.#result.getRowObjectsJS();
    } catch (cause) {
      throw duckDbError(cause);
    }
  }
}
