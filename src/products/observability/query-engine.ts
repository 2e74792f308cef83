/**
 * Runs statements over the stored events: a statement gets its window's events as the table expression `stored`, and its
 * failures are told apart into the caller's and ours.
 */
import { type DuckDbError, DuckDbError as EngineError } from "../../kernel/duckdb/engine.ts";
import { QueriesWait, type Statistics, timelineRunner } from "../../kernel/timeline/runner.ts";
import { Values } from "./condition.ts";
import { observabilityError } from "./errors.ts";
import type { Timeframe } from "./query-schema.ts";
import type { EventStore } from "./store.ts";

export interface Run {
  /** Rows of a statement that `make` writes over `stored`. */
  all<T>(make: (values: Values) => string): Promise<T[]>;
}

export interface QueryEngine {
  run<T>(timeframe: Timeframe, work: (run: Run) => Promise<T>): Promise<{ readonly result: T; readonly statistics: Statistics }>;
}

export function queryEngine(store: EventStore, timeoutMs: number): QueryEngine {
  const runner = timelineRunner(store, timeoutMs);
  return {
    async run(timeframe, work) {
      try {
        return await runner.run(timeframe, ({ connection, items, within, signal }) =>
          work({
            all<T>(make: (values: Values) => string): Promise<T[]> {
              const values = new Values();
              const window = `ts >= ${values.add(within.from)}::BIGINT AND ts < ${values.add(within.to)}::BIGINT`;
              const stored = items.map((item) => `SELECT * FROM ${item} WHERE ${window}`).join(" UNION ALL ");
              const statement = make(values);
              return connection.all<T>(`WITH stored AS NOT MATERIALIZED (${stored}) ${statement}`, values.list, { signal });
            },
          }),
        );
      } catch (error) {
        if (error instanceof QueriesWait) throw observabilityError("queryTimeout", error.message);
        throw error instanceof EngineError ? explained(error) : error;
      }
    },
  };
}

/** The caller's part of an engine's failure; anything else is ours. */
function explained(error: DuckDbError): Error {
  if (error.kind === "interrupted") return observabilityError("queryTimeout");
  if (error.kind === "memory") return observabilityError("queryTooLarge");
  // A regular expression is the one thing that is checked only as it runs.
  if (error.kind === "input" && /regex|repetition|missing|invalid|escape/i.test(error.message))
    return observabilityError("invalidQuery", error.message);
  return error;
}
