/**
 * Runs statements over the stored events: gathers what may lie in the window, gives each statement a bound of time, memory
 * and companions, and says what it read. A statement gets its window's events as the table expression `stored`.
 */
import { type DuckDbError, DuckDbError as EngineError } from "../../kernel/duckdb/engine.ts";
import { Values } from "./condition.ts";
import { observabilityError } from "./errors.ts";
import type { Timeframe } from "./query-schema.ts";
import type { EventStore } from "./store.ts";

/** Queries that run at a time; others wait. */
const AT_A_TIME = 2;
const WAITING_MAX = 100;

export interface Statistics {
  /** Seconds. */
  readonly elapsed: number;
  readonly rows_read: number;
  readonly bytes_read: number;
}

export interface Run {
  /** Rows of a statement that `make` writes over `stored`. */
  all<T>(make: (values: Values) => string): Promise<T[]>;
}

export interface QueryEngine {
  run<T>(timeframe: Timeframe, work: (run: Run) => Promise<T>): Promise<{ readonly result: T; readonly statistics: Statistics }>;
}

export function queryEngine(store: EventStore, timeoutMs: number): QueryEngine {
  let running = 0;
  const waiting: (() => void)[] = [];

  async function turn(): Promise<void> {
    if (running < AT_A_TIME) {
      running++;
      return;
    }
    if (waiting.length >= WAITING_MAX) throw observabilityError("queryTimeout", "Too many queries wait: try again");
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  function done(): void {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }

  return {
    async run(timeframe, work) {
      await turn();
      const begun = performance.now();
      try {
        const from = Math.max(timeframe.from, store.horizon());
        const { to } = timeframe;
        const sources = await store.sources(from, to);
        const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), store.stopping]);
        try {
          const result = await work({
            all<T>(make: (values: Values) => string): Promise<T[]> {
              const values = new Values();
              const window = `ts >= ${values.add(Math.floor(from))}::BIGINT AND ts < ${values.add(Math.floor(to))}::BIGINT`;
              const stored = sources.items.map((item) => `SELECT * FROM ${item} WHERE ${window}`).join(" UNION ALL ");
              const statement = make(values);
              return sources.connection.all<T>(`WITH stored AS NOT MATERIALIZED (${stored}) ${statement}`, values.list, { signal });
            },
          });
          const statistics = { elapsed: (performance.now() - begun) / 1_000, rows_read: sources.rows, bytes_read: sources.bytes };
          return { result, statistics };
        } catch (error) {
          throw error instanceof EngineError ? explained(error) : error;
        } finally {
          await sources.release();
        }
      } finally {
        done();
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
