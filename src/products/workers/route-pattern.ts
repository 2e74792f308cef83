/**
 * Patterns of routes (docs: Workers, Routes, matching behavior): a host name, which may begin with `*`, and a path, which
 * may end with one. The most specific pattern wins. Pure.
 */
import { workersError } from "./errors.ts";

export interface RoutePattern {
  /** "https", "http", or undefined for both. */
  readonly scheme: string | undefined;
  /** Lower case, without the wildcard; empty: every host name of the zone. */
  readonly host: string;
  /** "*.example.com" matches names below it, "*example.com" the name itself too. */
  readonly hostWildcard: boolean;
  readonly path: string;
  readonly pathWildcard: boolean;
}

/** Throws `workers.invalidRoute`. */
export function parsePattern(text: string): RoutePattern {
  const match = /^(?:(https?):\/\/)?(\*?)([^/*?#:]*)(\/[^?#]*)?$/i.exec(text.trim());
  // Without a host name only every one can be meant, and only with a path.
  if (match === null || (match[3] === "" && (match[2] === "" || match[4] === undefined)))
    throw workersError("invalidRoute", `The route pattern "${text}" is invalid.`);
  const [, scheme, star, host, path = "/"] = match;
  const pathWildcard = path.endsWith("*");
  const plain = pathWildcard ? path.slice(0, -1) : path;
  if (plain.includes("*")) {
    throw workersError("invalidRoute", `The route pattern "${text}" is invalid: a wildcard may only begin the host name and end the path.`);
  }
  return {
    scheme: scheme?.toLowerCase(),
    host: (host as string).toLowerCase(),
    hostWildcard: star === "*",
    path: plain,
    pathWildcard,
  };
}

/** The host name of a pattern as its zone is looked for: "*.shop.example.com" is of "shop.example.com". */
export const hostOf = (pattern: RoutePattern): string => pattern.host.replace(/^\./, "");

export const matchesHost = ({ host, hostWildcard }: RoutePattern, name: string): boolean =>
  hostWildcard ? name.endsWith(host) : name === host;

export const matchesPath = ({ path, pathWildcard }: RoutePattern, given: string): boolean =>
  pathWildcard ? given.startsWith(path) : given === path;

/** Orders the more specific pattern first: exact hosts before wildcards, then longer hosts, exact paths, longer paths, a scheme. */
export function bySpecificity(a: RoutePattern, b: RoutePattern): number {
  return (
    Number(a.hostWildcard) - Number(b.hostWildcard) ||
    b.host.length - a.host.length ||
    b.path.length - a.path.length ||
    Number(a.pathWildcard) - Number(b.pathWildcard) ||
    Number(a.scheme === undefined) - Number(b.scheme === undefined)
  );
}
