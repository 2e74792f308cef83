/**
 * Monitoring: events, triggers, actions and server-side requests by hour, for the four datasets of the Monitoring API and for
 * the account's allowance of events in a month. Names come from visitors, so that an hour has a bounded number of them.
 */
import { type Counter, openCounter } from "../../kernel/analytics/counter.ts";
import type { Dataset, DatasetWindow, KernelSlice } from "../../kernel/product.ts";

export type Kind = "track" | "trigger" | "action" | "fetch";

export interface Figures {
  add(zoneId: string, kind: Kind, name: string, status?: number): void;
  /** Whether the month has room for one more event, which it then has taken. */
  takeEvent(): boolean;
  hasRoom(): boolean;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const NAME_MAX = 128;
/** Of one zone, kind and hour; others are counted together. */
const NAMES_MAX = 1000;
const OTHERS = "(others)";

const TABLE = {
  name: "zaraz_counts",
  period: { column: "hour", ms: HOUR_MS },
  keys: ["zone_id", "kind", "name", "status"],
  sums: ["count"],
} as const;

type Counts = Counter<(typeof TABLE.keys)[number], "count">;

export async function openFigures({ meta, clock, log, config }: KernelSlice): Promise<Figures> {
  const counter: Counts = openCounter(meta, clock, log, TABLE);
  const max = config["zaraz.events_per_month"];
  const monthOf = (now: number): number => Date.UTC(new Date(now).getUTCFullYear(), new Date(now).getUTCMonth());
  let month = monthOf(clock.now());
  const [before] = await meta.all<{ count: number | null }>(
    "SELECT SUM(count) AS count FROM zaraz_counts WHERE kind = 'track' AND hour >= ? LIMIT 1",
    month,
  );
  let taken = Number(before?.count ?? 0);

  function hasRoom(): boolean {
    const now = monthOf(clock.now());
    if (now !== month) {
      month = now;
      taken = 0;
    }
    return max === 0 || taken < max;
  }

  let hour = 0;
  let names = new Map<string, Set<string>>();
  function bounded(zoneId: string, kind: Kind, name: string): string {
    const now = Math.floor(clock.now() / HOUR_MS);
    if (now !== hour) {
      hour = now;
      names = new Map();
    }
    const short = name.slice(0, NAME_MAX);
    const key = `${zoneId} ${kind}`;
    const known = names.get(key) ?? new Set();
    names.set(key, known);
    if (!known.has(short) && known.size >= NAMES_MAX) return OTHERS;
    known.add(short);
    return short;
  }

  const dataset = (kind: Kind, description: string, column: string, withStatus = false): Dataset => ({
    description,
    permission: ["Zaraz Read", "Zaraz Edit", "Zaraz Admin", "Account Analytics Read"],
    dimensions: { zoneTag: "string", [column]: "string", ...(withStatus && { status: "uint64" as const }) },
    async facts(window: DatasetWindow) {
      const rows = await counter.read(window);
      return rows
        .filter((row) => row.kind === kind)
        .map(({ time, zone_id, name, status, count }) => ({
          time,
          count,
          dimensions: { zoneTag: String(zone_id), [column]: String(name), ...(withStatus && { status: Number(status) }) },
        }));
    },
  });

  return {
    add: (zoneId, kind, name, status = 0) =>
      counter.add({ zone_id: zoneId, kind, name: bounded(zoneId, kind, name), status }, { count: 1 }),
    takeEvent() {
      if (!hasRoom()) return false;
      taken++;
      return true;
    },
    hasRoom,
    datasets: {
      zarazTrackAdaptiveGroups: dataset("track", "Events that Zaraz has processed", "trackName"),
      zarazTriggersAdaptiveGroups: dataset("trigger", "Triggers that have fired", "triggerName"),
      zarazActionsAdaptiveGroups: dataset("action", "Actions of tools that have run", "actionName"),
      zarazFetchAdaptiveGroups: dataset("fetch", "Requests to tools' servers, by address and status", "url", true),
    },
    stop: () => counter.stop(),
  };
}
