/** What is asked of instances and what is found most: events and counts for the dashboard and GraphQL. */
import { openCounter } from "../../kernel/analytics/counter.ts";
import type { CounterTable } from "../../kernel/analytics/counter-table.ts";
import { KEEP_MS } from "../../kernel/analytics/counter-table.ts";
import { openEventLog } from "../../kernel/analytics/event-log.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Instance } from "./instances.ts";
import type { Result } from "./query.ts";

const QUERY_COLUMNS = ["instance", "kind", "results", "cached", "duration_ms"] as const;
const retrievals: CounterTable<"instance" | "item", "retrievals"> = {
  name: "ai_search_retrievals",
  period: { column: "at", ms: 3_600_000 },
  keys: ["instance", "item"],
  sums: ["retrievals"],
};
const DAY_MS = 86_400_000;
const TOP = 10;

export type Metrics = ReturnType<typeof openMetrics>;

export function openMetrics(meta: MetaStore, clock: Clock, log: Log) {
  const queries = openEventLog<(typeof QUERY_COLUMNS)[number]>(meta, clock, log, {
    name: "ai_search_queries",
    columns: QUERY_COLUMNS,
    keepMs: KEEP_MS,
  });
  const counter = openCounter(meta, clock, log, retrievals);
  return {
    /** Notes a query that was answered; `cached`: by an answer that was kept. */
    note({ uid }: Instance, kind: "search" | "chat", results: readonly Result[], cached: boolean, startedAt: number): void {
      queries.add({ instance: uid, kind, results: results.length, cached: cached ? 1 : 0, duration_ms: clock.now() - startedAt });
      for (const key of new Set(results.map((result) => result.key))) counter.add({ instance: uid, item: key }, { retrievals: 1 });
    },
    /** The last `days` of an instance: queries by day and kind, and what was found most. */
    async summary({ uid }: Instance, days: number): Promise<Record<string, unknown>> {
      await queries.flush();
      const to = clock.now();
      const from = to - days * DAY_MS;
      const rows = await meta.all<{ day: number; kind: string; queries: number; empty: number; cached: number; duration: number }>(
        `SELECT at / ${DAY_MS} AS day, kind, count(*) AS queries, sum(results = 0) AS empty, sum(cached) AS cached, avg(duration_ms) AS duration
         FROM ai_search_queries WHERE instance = ? AND at >= ? GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 1000`,
        ...[uid, from],
      );
      const found = new Map<string, number>();
      for (const row of await counter.read({ from, to: to + 1, unit: Number.POSITIVE_INFINITY }))
        if (row.instance === uid) found.set(row.item as string, (found.get(row.item as string) ?? 0) + row.retrievals);
      return {
        queries: rows.map(({ day, duration, ...row }) => ({
          date: new Date(day * DAY_MS).toISOString().slice(0, 10),
          ...row,
          average_ms: Math.round(duration),
        })),
        top_retrievals: [...found]
          .sort((a, b) => b[1] - a[1])
          .slice(0, TOP)
          .map(([key, count]) => ({ key, count })),
      };
    },
    async stop(): Promise<void> {
      await queries.stop();
      await counter.stop();
    },
  };
}
