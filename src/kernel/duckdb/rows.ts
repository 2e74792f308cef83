/**
 * A query's result as it comes: column names and DuckDB types at once, then chunks of about 2,048 rows, fetched one at a
 * time so that memory stays flat. Values are DuckDB's own (bigint, DuckDBTimestampValue, …) in `chunks`, and plain
 * JavaScript (bigint, Date, arrays, objects) in `objects`.
 */
import type { DuckDBConnection, DuckDBDataChunk, DuckDBResult, DuckDBType } from "@duckdb/node-api";
import { DuckDbError, duckDbError } from "./errors.ts";

export interface Column {
  readonly name: string;
  readonly type: DuckDBType;
}

export class Rows {
  readonly columns: readonly Column[];
  readonly #result: DuckDBResult;
  readonly #connection: DuckDBConnection;
  readonly #signal: AbortSignal | undefined;

  constructor(result: DuckDBResult, connection: DuckDBConnection, signal?: AbortSignal) {
    this.#result = result;
    this.#connection = connection;
    this.#signal = signal;
    this.columns = Array.from({ length: result.columnCount }, (_, i) => ({ name: result.columnName(i), type: result.columnType(i) }));
  }

  /** Chunks in order. An error of the query appears here: kind "interrupted" when the signal fired. */
  async *chunks(): AsyncGenerator<DuckDBDataChunk> {
    const onAbort = (): void => this.#connection.interrupt();
    this.#signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (;;) {
        if (this.#signal?.aborted) throw new DuckDbError("interrupted", "the statement was interrupted");
        const chunk = await this.#result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0) return;
        yield chunk;
      }
    } catch (cause) {
      throw duckDbError(cause);
    } finally {
      this.#signal?.removeEventListener("abort", onAbort);
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
