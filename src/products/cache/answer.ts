/** What a stored response answers to a request's conditions and range (docs: Workers, Cache, match). Pure. */
import type { Headers } from "./freshness.ts";

export interface Range {
  readonly offset: number;
  readonly length: number;
}

export type Answer =
  | { readonly kind: "whole" }
  | { readonly kind: "notModified" }
  | ({ readonly kind: "range" } & Range)
  | { readonly kind: "unsatisfiable" };

/** `request` and `stored` are headers with names in lower case. */
export function answerTo(
  request: Readonly<Record<string, string | string[] | undefined>>,
  stored: Headers,
  status: number,
  size: number,
): Answer {
  const header = (name: string): string | undefined => {
    const value = request[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  const ifNoneMatch = header("if-none-match");
  const etag = stored.get("etag");
  if (ifNoneMatch !== undefined) {
    if (etag !== undefined && matchesAny(ifNoneMatch, etag)) return { kind: "notModified" };
  } else {
    const since = Date.parse(header("if-modified-since") ?? "");
    const modified = Date.parse(stored.get("last-modified") ?? "");
    if (modified <= since) return { kind: "notModified" };
  }
  const range = header("range");
  return range === undefined || status !== 200 ? { kind: "whole" } : rangeOf(range, size);
}

const weak = (etag: string): string => etag.trim().replace(/^W\//, "");

const matchesAny = (list: string, etag: string): boolean =>
  list.trim() === "*" || list.split(",").some((candidate) => weak(candidate) === weak(etag));

/** One range is cut out; several, or one that is no byte range, give the whole. */
function rangeOf(header: string, size: number): Answer {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null || (match[1] === "" && match[2] === "")) return { kind: "whole" };
  if (match[1] === "") {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? { kind: "unsatisfiable" } : { kind: "range", offset: size - length, length };
  }
  const offset = Number(match[1]);
  const last = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (offset >= size) return { kind: "unsatisfiable" };
  return last < offset ? { kind: "whole" } : { kind: "range", offset, length: last - offset + 1 };
}
