/** Paging of the Iceberg API and of the control API: by name, with opaque tokens that carry a version. */
import { catalogError } from "./errors.ts";

export interface PageRequest {
  /** Names after this one; "" from the start. */
  readonly after: string;
  readonly limit: number;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const VERSION = "1";

/** Reads the page parameters; throws `catalog.badRequest`. */
export function pageRequest(size: string | null, token: string | null): PageRequest {
  const limit = size === null || size === "" ? DEFAULT_LIMIT : Number(size);
  if (!Number.isInteger(limit) || limit < 1) throw catalogError("badRequest", `Invalid page size: ${size}`);
  return { after: token === null || token === "" ? "" : decodeToken(token), limit: Math.min(limit, MAX_LIMIT) };
}

/** The text of an opaque token; throws `catalog.badRequest`. */
export function decodeToken(token: string): string {
  const text = Buffer.from(token, "base64url").toString("utf8");
  if (!text.startsWith(`${VERSION}:`)) throw catalogError("badRequest", "Invalid page token");
  return text.slice(VERSION.length + 1);
}

export const encodeToken = (text: string): string => Buffer.from(`${VERSION}:${text}`).toString("base64url");

/** Splits rows of which one more than `limit` was asked for into a page and the token of the next. */
export function cutPage<T>(rows: readonly T[], limit: number, nameOf: (row: T) => string): { rows: readonly T[]; next: string | null } {
  if (rows.length <= limit) return { rows, next: null };
  const page = rows.slice(0, limit);
  return { rows: page, next: encodeToken(nameOf(page.at(-1) as T)) };
}
