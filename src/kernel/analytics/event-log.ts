/**
 * Rows of what happened, one for each event, gathered in memory and written to a product's table once a second, so that
 * nothing waits for being told of. A clean stop writes everything; a killed process loses the last second's rows. While
 * writing fails (a full disk) rows are kept and tried again; past `PENDING_MAX` new ones are lost, which the log says.
 * Sums without single events are `counter.ts`.
 */
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { MetaStore } from "../meta/meta.ts";

export interface EventTable<C extends string> {
  readonly name: string;
  /** Besides `at`, which is when: INTEGER, milliseconds since the epoch. */
  readonly columns: readonly C[];
  /** Rows are deleted after this long. */
  readonly keepMs: number;
}

export interface EventLog<C extends string> {
  /** Notes an event of now. */
  add(row: Readonly<Record<C, string | number>>): void;
  /** Resolves when everything noted before is in the table, or could not be written. */
  flush(): Promise<void>;
  /** Writes what is noted. Safe to call twice. */
  stop(): Promise<void>;
}

const FLUSH_MS = 1_000;
const RETRY_MAX_MS = 60_000;
const PENDING_MAX = 10_000;
const FORGET_EVERY_MS = 3_600_000;

export function openEventLog<C extends string>(meta: MetaStore, clock: Clock, log: Log, table: EventTable<C>): EventLog<C> {
  const { name, columns, keepMs } = table;
  const insert = `INSERT INTO ${name} (at, ${columns.join(", ")}) VALUES (?, ${columns.map(() => "?").join(", ")})`;
  let pending: { readonly at: number; readonly row: Readonly<Record<C, string | number>> }[] = [];
  let lost = 0;
  let pause = FLUSH_MS;
  let timer: NodeJS.Timeout | undefined;
  let flushing = Promise.resolve();
  let forgotten = Number.NEGATIVE_INFINITY;

  const wakeLater = (): void => {
    timer ??= setTimeout(() => void flush(), pause).unref();
  };

  /** All or nothing, so that what failed can be written once more. */
  async function write(): Promise<void> {
    const rows = pending;
    const now = clock.now();
    const old = now - forgotten >= FORGET_EVERY_MS;
    if (rows.length === 0 && !old) return;
    pending = [];
    try {
      await meta.transaction(async (tx) => {
        for (const { at, row } of rows) await tx.run(insert, at, ...columns.map((column) => row[column]));
        if (old) await tx.run(`DELETE FROM ${name} WHERE at < ?`, now - keepMs);
      });
      if (old) forgotten = now;
      pause = FLUSH_MS;
      if (lost > 0) log.warn("events.lost", { table: name, lost });
      lost = 0;
    } catch (error) {
      pause = Math.min(2 * pause, RETRY_MAX_MS);
      const kept = [...rows, ...pending];
      pending = kept.slice(0, PENDING_MAX);
      lost += kept.length - pending.length;
      log.warn("events.write_failed", { table: name, rows: pending.length, lost, retry_ms: pause, error });
      if (pending.length > 0) wakeLater();
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
    add(row) {
      if (pending.length < PENDING_MAX) pending.push({ at: clock.now(), row });
      else lost++;
      wakeLater();
    },
    flush,
    async stop() {
      await flush();
      clearTimeout(timer);
      if (pending.length > 0) log.warn("events.lost", { table: name, lost: lost + pending.length });
      pending = [];
    },
  };
}
