/**
 * The v4 envelope: `{ success, errors, messages, result, result_info }`, as every client of the REST API reads it.
 */
import { randomBytes } from "node:crypto";
import { PlatformError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Page } from "../product.ts";

/** A list answer with paging information for `result_info`. */
export const page = <T>(result: readonly T[], resultInfo: Readonly<Record<string, unknown>>): Page<T> => ({
  page: true,
  result,
  resultInfo,
});

/**
 * Cuts one numbered page out of a whole list (`page` from 1, `per_page` up to `maxPerPage`); a page past the end is empty,
 * because clients walk on until they get one.
 */
export function numberedPage<T>(items: readonly T[], query: URLSearchParams, maxPerPage = 1000, defaultPerPage = 20): Page<T> {
  const number = boundedInteger(query.get("page"), 1, 1, Number.MAX_SAFE_INTEGER);
  const perPage = boundedInteger(query.get("per_page"), defaultPerPage, 1, maxPerPage);
  const result = items.slice((number - 1) * perPage, number * perPage);
  return page(result, {
    page: number,
    per_page: perPage,
    count: result.length,
    total_count: items.length,
    total_pages: Math.ceil(items.length / perPage),
  });
}

function boundedInteger(text: string | null, fallback: number, min: number, max: number): number {
  const value = Number(text);
  return text === null || !Number.isInteger(value) ? fallback : Math.min(max, Math.max(min, value));
}

const isPage = (value: unknown): value is Page<unknown> =>
  typeof value === "object" && value !== null && (value as { page?: unknown }).page === true;

/** The successful answer around a handler's value. */
export function success(value: unknown): Response {
  const body = isPage(value)
    ? { result: value.result, success: true, errors: [], messages: [], result_info: value.resultInfo }
    : { result: value ?? null, success: true, errors: [], messages: [] };
  return Response.json(body);
}

export interface ApiError {
  readonly code: number;
  readonly message: string;
  readonly meta?: object;
}

export function failure(status: number, errors: readonly ApiError[], headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json({ result: null, success: false, errors, messages: [] }, { status, headers });
}

/**
 * The failed answer for anything thrown. A `PlatformError` is the caller's to read; anything else is ours: the caller
 * gets a short id that is also in the log.
 */
export function failureOf(error: unknown, op: string, log: Log): Response {
  if (error instanceof PlatformError) {
    if (error.spec.status >= 500) log.warn("api.failed", { op, code: error.code, message: error.message, cause: error.cause });
    // A client that stopped in the middle of its body cannot use the connection again.
    const headers = error.spec.status === 408 ? { connection: "close" } : {};
    return failure(
      error.spec.status,
      [{ code: error.spec.apiCode, message: error.message, ...(error.meta && { meta: error.meta }) }],
      headers,
    );
  }
  const id = randomBytes(4).toString("hex");
  log.error("api.internal_error", { op, id, error });
  return failure(500, [{ code: 10500, message: `Internal error ${id}` }]);
}
