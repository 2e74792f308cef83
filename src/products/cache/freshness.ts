/**
 * Whether and for how long a response is stored, as the Cache API and the content cache of the real service have it
 * (docs: Workers, Cache; Cache, Default cache behavior). Pure.
 */

/** Header names in lower case; one value each. */
export type Headers = ReadonlyMap<string, string>;

const MINUTE_S = 60;
/** Lifetimes of responses that do not say their own, by status. */
const DEFAULT_TTL_S: Readonly<Record<number, number>> = {
  200: 120 * MINUTE_S,
  301: 120 * MINUTE_S,
  302: 20 * MINUTE_S,
  303: 20 * MINUTE_S,
  404: 3 * MINUTE_S,
  410: 3 * MINUTE_S,
};

/** The directives of a Cache-Control header, in lower case; those without a value are "". */
export function directives(cacheControl: string | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const part of (cacheControl ?? "").split(",")) {
    const [name = "", value = ""] = part.trim().split("=", 2);
    if (name !== "") found.set(name.toLowerCase(), value.replace(/^"(.*)"$/, "$1").trim());
  }
  return found;
}

/** Seconds for which a response may be served, or undefined when it must not be stored. `now` in milliseconds. */
export function lifetime(status: number, headers: Headers, now: number): number | undefined {
  const control = directives(headers.get("cache-control"));
  if (status === 206 || headers.get("vary")?.trim() === "*") return undefined;
  if (control.has("no-store") || control.has("no-cache") || (control.has("private") && control.get("private") === "")) return undefined;
  // `private=Set-Cookie` says that the response may be stored without its cookies; see `storedHeaders`.
  if (headers.has("set-cookie") && control.get("private")?.toLowerCase() !== "set-cookie") return undefined;
  const seconds = explicitLifetime(control, headers, now) ?? DEFAULT_TTL_S[status];
  return seconds === undefined || seconds <= 0 ? undefined : seconds;
}

function explicitLifetime(control: ReadonlyMap<string, string>, headers: Headers, now: number): number | undefined {
  for (const name of ["s-maxage", "max-age"]) {
    const value = control.get(name);
    if (value !== undefined) return /^\d+$/.test(value) ? Number(value) : 0;
  }
  const expires = headers.get("expires");
  if (expires === undefined) return undefined;
  const at = Date.parse(expires);
  return Number.isNaN(at) ? 0 : (at - now) / 1000;
}

/** Headers that belong to a connection, or to the cache's own answer. */
const NOT_STORED = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "cf-cache-status", "age", "set-cookie"]);

/** The headers to keep of a response that `lifetime` lets in. */
export const storedHeaders = (headers: readonly (readonly [string, string])[]): (readonly [string, string])[] =>
  headers.filter(([name]) => !NOT_STORED.has(name.toLowerCase()));
