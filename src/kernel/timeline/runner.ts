/**
 * Runs statements over a timeline: gathers what may lie in the window, gives the statements a bound of time, memory and
 * companions, and says what was read. What the statements say is the product's to decide.
 */
import type { Connection } from "../duckdb/engine.ts";
import type { Timeline } from "./timeline.ts";

/** Queries that run at a time; others wait. */
const AT_A_TIME = 2;
const WAITING_MAX = 100;

/** Milliseconds since the epoch; `to` is not part of it. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Statistics {
  /** Seconds. */
  readonly elapsed: number;
  readonly rows_read: number;
  readonly bytes_read: number;
}

/** What the statements of one query are given. */
export interface Run {
  readonly connection: Connection;
  /** FROM items that have the rows of the window and some others; `within` tells them apart. */
  readonly items: readonly string[];
  /** Its milliseconds, whole, retention applied. */
  readonly within: Window;
  /** Aborted when the query's time is up. */
  readonly signal: AbortSignal;
}

export interface Runner {
  /** Throws `QueriesWait` when too many wait already; what `work` throws passes. */
  run<T>(window: Window, work: (run: Run) => Promise<T>): Promise<{ readonly result: T; readonly statistics: Statistics }>;
}

/** Too many queries wait for their turn. */
export class QueriesWait extends Error {
  constructor() {
    super("Too many queries wait: try again");
    this.name = "QueriesWait";
  }
}

export function timelineRunner(timeline: Pick<Timeline, "sources" | "horizon" | "stopping">, timeoutMs: number): Runner {
  let running = 0;
  const waiting: (() => void)[] = [];

  async function turn(): Promise<void> {
    if (running < AT_A_TIME) {
      running++;
      return;
    }
    if (waiting.length >= WAITING_MAX) throw new QueriesWait();
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  function done(): void {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }

  return {
    async run({ from, to }, work) {
      await turn();
      const begun = performance.now();
      try {
        const within = { from: Math.floor(Math.max(from, timeline.horizon())), to: Math.floor(to) };
        const sources = await timeline.sources(within.from, within.to);
        const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), timeline.stopping]);
        try {
          const result = await work({ connection: sources.connection, items: sources.items, within, signal });
          const statistics = { elapsed: (performance.now() - begun) / 1_000, rows_read: sources.rows, bytes_read: sources.bytes };
          return { result, statistics };
        } finally {
          await sources.release();
        }
      } finally {
        done();
      }
    },
  };
}
