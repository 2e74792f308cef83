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

export interface Backend<T extends Pooled> {
  readonly configId: string;
  readonly user: string;
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
