/** The real service's limits on writes in 60 seconds (docs, Basin Catalog, "Limits"), for who wants to test against them. */
import type { Clock } from "../../../kernel/clock.ts";
import { catalogError } from "../errors.ts";
import type { Warehouse } from "../model.ts";

export const RETRY_AFTER_S = 60;

const WINDOW_MS = 60_000;
const ALL_WRITES = 120;
/** Each for itself, over the whole catalog. */
const PER_CATALOG: Readonly<Record<string, number>> = {
  "catalog.tables.create": 10,
  "catalog.tables.register": 10,
  "catalog.transactions.commit": 10,
  "catalog.views.create": 10,
  "catalog.namespaces.create": 20,
  "catalog.namespaces.drop": 20,
  "catalog.tables.drop": 20,
  "catalog.tables.rename": 20,
  "catalog.views.drop": 20,
  "catalog.views.rename": 20,
};
/** For each table or view. */
const PER_TABLE: Readonly<Record<string, number>> = { "catalog.tables.commit": 20, "catalog.views.replace": 20 };
/** Windows that are remembered; the oldest are forgotten first. */
const WINDOWS_MAX = 10_000;

export interface RateLimits {
  /** Counts a write; throws `catalog.tooManyRequests` when it is one too many, and then counts nothing. */
  take(
    warehouse: Warehouse,
    operation: { readonly op: string; readonly right: "read" | "write" },
    params: Readonly<Record<string, string>>,
  ): void;
}

export function rateLimits(clock: Clock, enabled: boolean): RateLimits {
  // Times of the accepted writes of the last window, oldest first.
  const windows = new Map<string, number[]>();

  function recent(key: string): number[] {
    const since = clock.now() - WINDOW_MS;
    const times = (windows.get(key) ?? []).filter((time) => time > since);
    windows.delete(key);
    windows.set(key, times);
    for (const oldest of windows.keys()) {
      if (windows.size <= WINDOWS_MAX) break;
      windows.delete(oldest);
    }
    return times;
  }

  return {
    take(warehouse, { op, right }, params) {
      if (!enabled || right === "read") return;
      const checks: [string, number][] = [[warehouse.id, ALL_WRITES]];
      const perCatalog = PER_CATALOG[op];
      if (perCatalog !== undefined) checks.push([`${warehouse.id} ${op}`, perCatalog]);
      const perTable = PER_TABLE[op];
      if (perTable !== undefined)
        checks.push([`${warehouse.id} ${op} ${params.namespace ?? ""} ${params.table ?? params.view ?? ""}`, perTable]);
      const found = checks.map(([key, limit]) => ({ times: recent(key), limit }));
      if (found.some(({ times, limit }) => times.length >= limit))
        throw catalogError("tooManyRequests", `Rate limit exceeded; retry after ${RETRY_AFTER_S} seconds`);
      for (const { times } of found) times.push(clock.now());
    },
  };
}
