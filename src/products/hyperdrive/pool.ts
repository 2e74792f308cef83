/**
 * Connections to one database, lent for one transaction or query at a time. It knows no protocol. Connections in use and
 * being made are at most `limit`; whoever finds none waits in line, and no longer than a time. A connection is lent by one
 * borrower at a time, and comes back by `release` or `discard`.
 */
import type { Clock } from "../../kernel/clock.ts";

export interface Pooled {
  /** False once it cannot take another borrower. */
  readonly usable: boolean;
  /** Says goodbye to the database. */
  close(): void;
}

export interface PoolOptions<T extends Pooled> {
  readonly clock: Clock;
  limit(): number;
  /** A new connection; rejects within the time to connect. */
  connect(): Promise<T>;
  readonly acquireTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface Pool<T extends Pooled> {
  /** A connection of the borrower's own. Rejects with `PoolExhausted`, the signal's reason, or what `connect` failed with. */
  acquire(signal: AbortSignal): Promise<T>;
  /** Gives a connection back that may be lent again. */
  release(connection: T): void;
  /** Gives a connection back that is of no more use. */
  discard(connection: T): void;
  /** Lends none of the present connections again: the idle ones are closed now, the others when they come back. */
  retire(): void;
  /** Closes everything and lends nothing more. */
  close(): void;
  readonly size: number;
}

/** Nobody gave a connection back in time, or too many wait. */
export class PoolExhausted extends Error {}

/** Borrowers in line, past which more are refused at once. */
const WAITING_MAX = 10_000;

interface Waiter<T> {
  readonly resolve: (connection: T) => void;
  readonly reject: (error: unknown) => void;
}

export function openPool<T extends Pooled>(options: PoolOptions<T>): Pool<T> {
  const lent = new Set<T>();
  /** The last is the one that was used last. */
  const idle: { readonly connection: T; readonly since: number }[] = [];
  const retired = new WeakSet<T>();
  const waiting = new Set<Waiter<T>>();
  let connecting = 0;
  let generation = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const size = (): number => lent.size + idle.length + connecting;

  function lend(connection: T): void {
    const [next] = waiting;
    if (next === undefined) {
      idle.push({ connection, since: options.clock.now() });
      sweepLater();
      return;
    }
    waiting.delete(next);
    lent.add(connection);
    next.resolve(connection);
  }

  /** Makes connections for those who wait, as far as the limit goes. */
  function grow(): void {
    while (!closed && connecting < waiting.size && size() < options.limit()) void connectOne();
  }

  async function connectOne(): Promise<void> {
    connecting++;
    const begun = generation;
    try {
      const connection = await options.connect();
      connecting--;
      if (closed || begun !== generation) connection.close();
      else lend(connection);
    } catch (error) {
      connecting--;
      const [next] = waiting;
      if (next !== undefined) {
        waiting.delete(next);
        next.reject(error);
      }
    }
    grow();
  }

  function sweepLater(): void {
    const [oldest] = idle;
    if (timer !== undefined || oldest === undefined) return;
    timer = setTimeout(sweep, Math.max(10, oldest.since + options.idleTimeoutMs - options.clock.now())).unref();
  }

  function sweep(): void {
    timer = undefined;
    const before = options.clock.now() - options.idleTimeoutMs;
    while (idle.length > 0 && (idle[0]?.since as number) <= before) idle.shift()?.connection.close();
    sweepLater();
  }

  function takeIdle(): T | undefined {
    for (let entry = idle.pop(); entry !== undefined; entry = idle.pop()) if (entry.connection.usable) return entry.connection;
    return undefined;
  }

  return {
    acquire(signal) {
      if (closed) return Promise.reject(new PoolExhausted("The pool is closed"));
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      const ready = takeIdle();
      if (ready !== undefined) {
        lent.add(ready);
        return Promise.resolve(ready);
      }
      if (waiting.size >= WAITING_MAX) return Promise.reject(new PoolExhausted("Too many wait for a connection"));
      return new Promise<T>((resolve, reject) => {
        const leave = (error: unknown): void => {
          waiting.delete(waiter);
          waiter.reject(error);
        };
        const patience = setTimeout(() => leave(new PoolExhausted("No connection became free in time")), options.acquireTimeoutMs);
        const aborted = (): void => leave(signal.reason);
        const done = (): void => {
          clearTimeout(patience);
          signal.removeEventListener("abort", aborted);
        };
        const waiter: Waiter<T> = {
          resolve(connection) {
            done();
            resolve(connection);
          },
          reject(error) {
            done();
            reject(error);
          },
        };
        signal.addEventListener("abort", aborted, { once: true });
        waiting.add(waiter);
        grow();
      });
    },
    release(connection) {
      if (!lent.delete(connection)) return;
      if (closed || retired.has(connection) || !connection.usable || size() >= options.limit()) connection.close();
      else lend(connection);
      grow();
    },
    discard(connection) {
      lent.delete(connection);
      connection.close();
      grow();
    },
    retire() {
      generation++;
      for (const { connection } of idle.splice(0)) connection.close();
      for (const connection of lent) retired.add(connection);
    },
    close() {
      closed = true;
      clearTimeout(timer);
      for (const { connection } of idle.splice(0)) connection.close();
      for (const connection of lent) connection.close();
      lent.clear();
      for (const waiter of [...waiting]) {
        waiting.delete(waiter);
        waiter.reject(new PoolExhausted("The pool is closed"));
      }
    },
    get size() {
      return size();
    },
  };
}
