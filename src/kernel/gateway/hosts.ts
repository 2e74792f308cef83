/**
 * Host names → routes. A pattern is a host name whose labels are literal or a `{placeholder}` for one label; the pattern
 * with more literal labels wins.
 */
import type { HostRoute } from "../product.ts";

export interface HostMatch {
  readonly route: HostRoute;
  readonly params: Readonly<Record<string, string>>;
}

export interface HostTable {
  /** The route of a lower-case host name without port, for a request's path and query if there is one. */
  match(host: string, target?: string, scheme?: string): HostMatch | undefined;
}

interface Pattern {
  readonly route: HostRoute;
  /** A string matches itself; an object any label. */
  readonly labels: readonly (string | { readonly param: string })[];
  readonly literals: number;
}

/** Answers that are kept; the names come from clients, so the cache is bounded. */
const CACHE_MAX = 10_000;

/** `reserved` names, and those under the platform's domain, are never asked of a route's `resolve`. */
export function hostTable(domain: string, routes: readonly HostRoute[], reserved: ReadonlySet<string> = new Set()): HostTable {
  const patterns = routes
    .flatMap((route) => [...route.patterns.map((p) => `${p}.${domain}`), ...(route.publicHosts ?? [])].map((text) => parse(text, route)))
    .sort((a, b) => b.literals - a.literals);
  const cache = new Map<string, HostMatch | undefined>();
  const resolvers = routes
    .filter((route) => route.resolve !== undefined && route.paths === undefined)
    .sort((a, b) => Number(a.last ?? false) - Number(b.last ?? false));
  const pathRoutes = routes.filter((route) => route.paths !== undefined);
  const isOurs = (host: string) => reserved.has(host) || host === domain || host.endsWith(`.${domain}`) || /(^|\.)localhost$/.test(host);

  function matchPattern(host: string): HostMatch | undefined {
    const known = cache.get(host);
    if (known !== undefined || cache.has(host)) return known;
    const found = find(patterns, host.split("."));
    if (cache.size >= CACHE_MAX) cache.clear();
    cache.set(host, found);
    return found;
  }

  return {
    match(host, target, scheme) {
      const found = matchPattern(host);
      // A name that a user has added later never takes the place of one of ours. Not cached: users change them.
      if (found !== undefined || isOurs(host)) return found;
      const onPath = target === undefined ? [] : pathRoutes.filter(({ paths }) => paths?.some((prefix) => target.startsWith(prefix)));
      for (const route of [...onPath, ...resolvers]) {
        const params = route.resolve?.(host, target, scheme);
        if (params !== undefined) return { route, params };
      }
      return undefined;
    },
  };
}

function parse(text: string, route: HostRoute): Pattern {
  const labels = text.split(".").map((label) => (label.startsWith("{") ? { param: label.slice(1, -1) } : label));
  return { route, labels, literals: labels.filter((label) => typeof label === "string").length };
}

function find(patterns: readonly Pattern[], host: readonly string[]): HostMatch | undefined {
  for (const { route, labels } of patterns) {
    if (labels.length !== host.length) continue;
    const params: Record<string, string> = {};
    const fits = labels.every((label, i) => {
      const actual = host[i] as string;
      if (typeof label === "string") return label === actual;
      params[label.param] = actual;
      return actual !== "";
    });
    if (fits) return { route, params };
  }
  return undefined;
}
