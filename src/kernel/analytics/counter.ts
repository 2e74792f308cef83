/**
 * Counts in memory and writes to a counter table once a second, so that nothing waits for its own counting. A clean stop
 * writes everything; a killed process loses what it counted since the last write, a second's worth. While writing fails
 * (a full disk) counts are kept and tried again; past `PENDING_MAX` rows new ones are lost, which the log says.
 */
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { MetaStore } from "../meta/meta.ts";
import type { DatasetWindow } from "../product.ts";
import { addTo, type Counted, type CounterTable, countedIn, forget, KEEP_MS, type Key, periodOf, type Sums } from "./counter-table.ts";

export interface Counter<K extends string, S extends string> {
  /** Adds to the row of the present period. */
  add(key: Key<K>, sums: Sums<S>): void;
  /** The rows of a window, with what was counted until now. */
  read(window: DatasetWindow): Promise<Counted<K, S>[]>;
  /** Writes what is counted. Safe to call twice. */
  stop(): Promise<void>;
}

const FLUSH_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** Rows that wait to be written. */
const PENDING_MAX = 10_000;
const FORGET_EVERY_MS = 3_600_000;

interface Pending<K extends string, S extends string> {
  readonly time: number;
  readonly key: Key<K>;
  readonly sums: Record<S, number>;
}

export function openCounter<K extends string, S extends string>(
  meta: MetaStore,
  clock: Clock,
  log: Log,
  table: CounterTable<K, S>,
): Counter<K, S> {
  let pending = new Map<string, Pending<K, S>>();
  let lost = 0;
  let timer: NodeJS.Timeout | undefined;
  let pause = FLUSH_MS;
  let flushing = Promise.resolve();
  let forgotten = Number.NEGATIVE_INFINITY;

  function add(time: number, key: Key<K>, sums: Sums<S>): void {
    // On the path of every operation that is counted: much cheaper than JSON, and keys have no such character but at their end.
    let name = String(time);
    for (const column of table.keys) name += `\u0000${key[column]}`;
    const row = pending.get(name);
    if (row !== undefined) for (const column of table.sums) row.sums[column] += sums[column];
    else if (pending.size < PENDING_MAX) pending.set(name, { time, key, sums: { ...sums } });
    else lost++;
    timer ??= setTimeout(() => void flush(), pause).unref();
  }

  /** All or nothing, so that what failed can be counted once more. */
  async function write(): Promise<void> {
    if (pending.size === 0) return;
    const rows = [...pending.values()];
    pending = new Map();
    const now = clock.now();
    const old = now - forgotten >= FORGET_EVERY_MS;
    try {
      await meta.transaction(async (tx) => {
        for (const { time, key, sums } of rows) await addTo(tx, table, time, key, sums);
        if (old) await forget(tx, table, now - KEEP_MS);
      });
      if (old) forgotten = now;
      pause = FLUSH_MS;
    } catch (error) {
      pause = Math.min(2 * pause, RETRY_MAX_MS);
      for (const { time, key, sums } of rows) add(time, key, sums);
      log.warn("counter.write_failed", { table: table.name, rows: pending.size, lost, retry_ms: pause, error });
    }
    if (lost > 0 && pending.size === 0) {
      log.warn("counter.lost", { table: table.name, lost });
      lost = 0;
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    // One after the other: a reader that waits for the last sees all.
    flushing = flushing.then(write);
    return flushing;
  }

  return {
    add: (key, sums) => add(periodOf(table, clock.now()), key, sums),
    async read(window) {
      await flush();
      return countedIn(meta, table, window);
    },
    async stop() {
      await flush();
      clearTimeout(timer);
      if (pending.size > 0) log.warn("counter.lost", { table: table.name, lost: lost + pending.size });
      pending = new Map();
    },
  };
}
