/**
 * What a session of either protocol stands on: the configuration as it is now, its pool, the shared cache, and where queries
 * are counted.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Pool, Pooled } from "./pool.ts";
import type { CacheRules, QueryCache } from "./query-cache.ts";

export type CacheStatus =
  | "disabled"
  | "hit"
  | "miss"
  | "uncacheable"
  | "multiplestatements"
  | "notaquery"
  | "oversizedquery"
  | "oversizedresult"
  | "parseerror"
  | "transaction"
  | "volatile";

/** One query, for the metrics. Latencies in milliseconds; that of a connection is 0 unless one was made for it. */
export interface QueryEvent {
  readonly cacheStatus: CacheStatus;
  readonly failed: boolean;
  readonly queryBytes: number;
  readonly resultBytes: number;
  readonly queryMs: number;
  readonly connectionMs: number;
}

/** Who has a connection of the pool, and hears what the database answers. */
export interface Sink {
  onBytes(bytes: Buffer): void;
  /** The database takes the data of a COPY. */
  onCopyIn?(): void;
  onError(): void;
  /** The answer is complete; "I": no transaction is open. `whole` is a message that says so and belongs to no result. */
  onReady(status: string, whole?: Buffer): void;
  /** The connection is gone. */
  onLost(): void;
}

/** A connection to a database, whichever its protocol. */
export interface Origin extends Pooled {
  /** Milliseconds that connecting took; the first borrower takes note of it. */
  connectMs: number;
  /** From now on answers go to the sink. */
  lend(sink: Sink): void;
  /** The sink is done with it. */
  takeBack(): void;
  /** Makes the session as new, for the next who gets it; nobody waits for that. */
  reset(thoroughly: boolean): void;
  /** Asks the database to stop the running query. Rejects when it could not be asked. */
  cancel(): Promise<void>;
  onceDrained(then: () => void): void;
  pause(): void;
  resume(): void;
}

export interface Backend<T extends Origin> {
  readonly configId: string;
  readonly user: string;
  readonly database: string;
  /** What the Worker's driver signs in with. */
  readonly password: string;
  readonly pool: Pool<T>;
  readonly cache: QueryCache;
  readonly clock: Clock;
  readonly log: Log;
  readonly queryTimeoutMs: number;
  /** Undefined while caching is disabled. */
  cacheRules(): CacheRules | undefined;
  count(event: QueryEvent): void;
}

/** Queries that are longer are not cached. */
export const CACHED_QUERY_MAX_BYTES = 256 * 1024;
