/** The time that a query has to itself: it begins with its turn, for waiting in line is not the query's doing. */
import { DuckDbError } from "../../kernel/duckdb/errors.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { r2SqlError } from "./errors.ts";

/**
 * Ends `work` when the time is up, with `r2-sql.timeout`, or when `gone` fires, with what the work makes of that.
 */
export async function withTimeLimit<T>(limitMs: number, gone: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = AbortSignal.timeout(limitMs);
  try {
    return await work(AbortSignal.any([gone, late]));
  } catch (cause) {
    const ended = (cause instanceof DuckDbError && cause.kind === "interrupted") || cause === late.reason;
    // An engine that did not listen was killed: that too is the time limit's doing.
    const killed = cause instanceof PlatformError && cause.code === "r2-sql.engineFailed";
    if (late.aborted && (ended || killed)) throw r2SqlError("timeout", undefined, { cause });
    throw cause;
  }
}
