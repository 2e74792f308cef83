/**
 * Where events lie: a timeline (`kernel/timeline`) in hours, and the account's limit of events a day.
 *
 * What an acknowledgement means: nothing is acknowledged. Events of a batch are on disk once its append has ended, a few
 * milliseconds after the invocation; what had not got there when the process was killed is lost, as with the real service.
 */
import type { KernelSlice } from "../../kernel/product.ts";
import { openTimeline, type Timeline, type TimelineParts } from "../../kernel/timeline/timeline.ts";
import { type Row, textOf } from "./telemetry-event.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Past the account's daily limit one invocation in a hundred is kept (docs/workers/observability/logs/workers-logs). */
const OVER_LIMIT_RATE = 0.01;

const columns = {
  id: "VARCHAR",
  ts: "BIGINT",
  si: "DOUBLE",
  dataset: "VARCHAR",
  request: "VARCHAR",
  trace: "VARCHAR",
  s: "MAP(VARCHAR, VARCHAR)",
  n: "MAP(VARCHAR, DOUBLE)",
  b: "MAP(VARCHAR, BOOLEAN)",
  event: "JSON",
} as const;

export interface EventStore extends Omit<Timeline, "add" | "rowsSince"> {
  /** Events of one batch; they are seen by the next query. */
  add(rows: readonly Row[]): void;
}

export async function openEventStore(kernel: TimelineParts & Pick<KernelSlice, "config">): Promise<EventStore> {
  const { clock, config } = kernel;
  const timeline = await openTimeline(kernel, {
    name: "observability",
    columns,
    order: "id",
    periodMs: HOUR_MS,
    retentionMs: config["observability.retention_days"] * DAY_MS,
    storedMaxBytes: config["observability.stored_max_bytes"],
    rollBytes: config["observability.roll_bytes"],
    pendingMaxBytes: config["observability.pending_max_bytes"],
    memoryMb: config["observability.memory_mb"],
  });
  const dayOf = (time: number): number => Math.floor(time / DAY_MS);
  let today = { day: dayOf(clock.now()), events: timeline.rowsSince(dayOf(clock.now()) * DAY_MS) };

  function within(rows: readonly Row[]): readonly Row[] {
    const day = dayOf(clock.now());
    if (today.day !== day) today = { day, events: 0 };
    today.events += rows.length;
    if (today.events <= config["observability.daily_events_max"]) return rows;
    // All or none of an invocation, as head sampling would have it.
    const kept = new Map<string, boolean>();
    const keep = (request: string): boolean => {
      const known = kept.get(request) ?? Math.random() < OVER_LIMIT_RATE;
      kept.set(request, known);
      return known;
    };
    return rows.filter(({ request }) => keep(request)).map((row) => ({ ...row, si: row.si / OVER_LIMIT_RATE }));
  }

  return {
    ...timeline,
    add(given) {
      const rows = within(given);
      let from = Number.POSITIVE_INFINITY;
      let to = Number.NEGATIVE_INFINITY;
      for (const { ts } of rows) {
        if (ts < from) from = ts;
        if (ts > to) to = ts;
      }
      void timeline.add({ rows: rows.map(textOf), from, to });
    },
  };
}
