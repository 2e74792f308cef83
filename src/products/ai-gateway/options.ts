/**
 * What a request may say about itself in `cf-aig-*` headers. A step's own headers come before those of the request, and
 * both before the gateway's settings (docs/ai-gateway/usage/universal).
 */
import { randomUUID } from "node:crypto";
import { gatewayError } from "./errors.ts";
import { type Settings, TTL_MAX_S } from "./gateways.ts";
import type { TraceContext } from "./spans.ts";

export type HeaderValues = Readonly<Record<string, string>>;

export interface StepOptions {
  /** Seconds; 0: the response is neither looked up nor kept. */
  readonly cacheTtl: number;
  readonly skipCache: boolean;
  readonly cacheKey: string | undefined;
  readonly collectLog: boolean;
  /** JSON text. */
  readonly metadata: string | null;
  readonly customCost: CustomCost | undefined;
  readonly eventId: string;
  readonly timeoutMs: number | undefined;
  readonly attempts: number;
  readonly retryDelayMs: number;
  readonly backoff: "constant" | "linear" | "exponential";
  readonly alias: string | undefined;
  readonly trace: TraceContext;
}

export interface CustomCost {
  readonly per_token_in?: number;
  readonly per_token_out?: number;
  readonly total_cost?: number;
}

/** A universal step's `config`. */
export interface StepConfig {
  readonly requestTimeout?: number | undefined;
  readonly maxAttempts?: number | undefined;
  readonly retryDelay?: number | undefined;
  readonly backoff?: "constant" | "linear" | "exponential" | undefined;
}

const METADATA_MAX = 5;
const ATTEMPTS_MAX = 5;
const RETRY_DELAY_MAX_MS = 5000;
const RETRY_DELAY_DEFAULT_MS = 1000;
/** Of a response that is cached by a key of its own while the gateway's cache is off. */
const KEYED_TTL_S = 300;

/** `ttlMinSeconds`: shortest life of a cached response. */
export function stepOptions(settings: Settings, layers: readonly HeaderValues[], config: StepConfig, ttlMinSeconds: number): StepOptions {
  const header = (...names: readonly string[]): string | undefined => {
    for (const layer of layers) for (const name of names) if (layer[name] !== undefined) return layer[name];
    return undefined;
  };
  const number = (name: string): number | undefined => {
    const text = header(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isFinite(value) || value < 0) throw gatewayError("invalidRequest", `The header ${name} must be a number`);
    return value;
  };
  const cacheKey = header("cf-aig-cache-key");
  const ttlText = header("cf-aig-cache-ttl", "cf-cache-ttl");
  const ttl = ttlText === undefined ? settings.cache_ttl || (cacheKey === undefined ? 0 : KEYED_TTL_S) : Number(ttlText) || 0;
  const backoff = config.backoff ?? header("cf-aig-backoff") ?? settings.retry_backoff;
  const attempts = config.maxAttempts ?? number("cf-aig-max-attempts") ?? settings.retry_max_attempts ?? 1;
  const retryDelay = config.retryDelay ?? number("cf-aig-retry-delay") ?? settings.retry_delay ?? RETRY_DELAY_DEFAULT_MS;
  return {
    cacheTtl: ttl <= 0 ? 0 : Math.min(Math.max(ttl, ttlMinSeconds), TTL_MAX_S),
    skipCache: header("cf-aig-skip-cache", "cf-skip-cache") === "true",
    cacheKey,
    collectLog: header("cf-aig-collect-log") === undefined ? settings.collect_logs : header("cf-aig-collect-log") === "true",
    metadata: metadataOf(header("cf-aig-metadata")),
    customCost: customCostOf(header("cf-aig-custom-cost")),
    eventId: header("cf-aig-event-id")?.slice(0, 200) || randomUUID(),
    timeoutMs: config.requestTimeout ?? number("cf-aig-request-timeout"),
    attempts: Math.min(Math.max(1, Math.floor(attempts)), ATTEMPTS_MAX),
    retryDelayMs: Math.min(retryDelay, RETRY_DELAY_MAX_MS),
    backoff: backoff === "linear" || backoff === "exponential" ? backoff : "constant",
    alias: header("cf-aig-byok-alias"),
    trace: {
      traceId: idOf(header("cf-aig-otel-trace-id"), 32),
      parentSpanId: idOf(header("cf-aig-otel-parent-span-id"), 16),
    },
  };
}

/** An id of a trace or span; one of another form is left out. */
const idOf = (text: string | undefined, length: number): string | undefined =>
  text?.length === length && /^[0-9a-z]+$/i.test(text) ? text.toLowerCase() : undefined;

/** The metadata that the headers give, for conditions of dynamic routes. */
export function metadataIn(layers: readonly HeaderValues[]): Record<string, unknown> {
  const text = metadataOf(layers.find((layer) => layer["cf-aig-metadata"] !== undefined)?.["cf-aig-metadata"]);
  return text === null ? {} : (JSON.parse(text) as Record<string, unknown>);
}

/** Milliseconds before the attempt after `attempt`, which counts from 1. */
export function retryDelay({ retryDelayMs, backoff }: StepOptions, attempt: number): number {
  if (backoff === "constant") return retryDelayMs;
  return retryDelayMs * (backoff === "linear" ? attempt : 2 ** (attempt - 1));
}

function jsonObject(text: string, name: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw gatewayError("invalidRequest", `The header ${name} must be a JSON object`, { cause });
  }
  throw gatewayError("invalidRequest", `The header ${name} must be a JSON object`);
}

/** The first five entries; values are strings, numbers and booleans (docs/ai-gateway/observability/custom-metadata). */
function metadataOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const entries = Object.entries(jsonObject(text, "cf-aig-metadata")).slice(0, METADATA_MAX);
  if (entries.some(([, value]) => value !== null && !["string", "number", "boolean"].includes(typeof value)))
    throw gatewayError("invalidRequest", "Values of cf-aig-metadata must be strings, numbers or booleans");
  return entries.length === 0 ? null : JSON.stringify(Object.fromEntries(entries));
}

function customCostOf(text: string | undefined): CustomCost | undefined {
  if (text === undefined) return undefined;
  const given = jsonObject(text, "cf-aig-custom-cost");
  const cost: Record<string, number> = {};
  for (const name of ["per_token_in", "per_token_out", "total_cost"]) {
    const value = Number(given[name]);
    if (given[name] !== undefined && Number.isFinite(value) && value >= 0) cost[name] = value;
  }
  return cost;
}

/** Options of a Worker's call in the form of headers, as `env.AI.gateway().run` sends them. */
export interface CallOptions {
  readonly cacheKey?: string | undefined;
  readonly cacheTtl?: number | undefined;
  readonly skipCache?: boolean | undefined;
  readonly metadata?: Record<string, unknown> | undefined;
  readonly collectLog?: boolean | undefined;
  readonly eventId?: string | undefined;
  readonly requestTimeoutMs?: number | undefined;
  readonly retries?:
    | { readonly maxAttempts?: number | undefined; readonly retryDelayMs?: number | undefined; readonly backoff?: string | undefined }
    | undefined;
}

export function headersOf(options: CallOptions): HeaderValues {
  const given: Record<string, unknown> = {
    "cf-aig-cache-key": options.cacheKey,
    "cf-aig-cache-ttl": options.cacheTtl,
    "cf-aig-skip-cache": options.skipCache,
    "cf-aig-metadata": options.metadata && JSON.stringify(options.metadata),
    "cf-aig-collect-log": options.collectLog,
    "cf-aig-event-id": options.eventId,
    "cf-aig-request-timeout": options.requestTimeoutMs,
    "cf-aig-max-attempts": options.retries?.maxAttempts,
    "cf-aig-retry-delay": options.retries?.retryDelayMs,
    "cf-aig-backoff": options.retries?.backoff,
  };
  return Object.fromEntries(Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])));
}
