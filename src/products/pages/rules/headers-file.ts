/**
 * The file `_headers`: which headers a static answer gets or loses. Lines that the documentation refuses are left out one
 * by one; the rest counts. https://developers.cloudflare.com/pages/configuration/headers/
 */
import { type Captures, filled, type Place, ruleUrl, type UrlPattern, urlPattern } from "./url-pattern.ts";

export interface HeaderRule {
  readonly pattern: UrlPattern;
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly unset: readonly string[];
}

/** Documented limits. */
const RULES_MAX = 100;
const LINE_MAX = 2_000;
const UNSET = "! ";

export function parseHeaders(text: string): HeaderRule[] {
  const rules: { pattern: UrlPattern; set: Map<string, string>; unset: string[] }[] = [];
  const complete = () => rules.filter(({ set, unset }) => set.size + unset.length > 0);
  let current: (typeof rules)[number] | undefined;
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.length > LINE_MAX) continue;
    if (/^([^\s]+:\/\/|\/)/.test(line)) {
      if (complete().length >= RULES_MAX) break;
      const url = ruleUrl(line, { absolute: true });
      const pattern = url === undefined ? undefined : urlPattern(url);
      current = pattern && { pattern, set: new Map(), unset: [] };
      if (current !== undefined) rules.push(current);
      continue;
    }
    if (current === undefined) continue;
    const colon = line.indexOf(":");
    if (colon < 0) {
      if (line.startsWith(UNSET)) current.unset.push(line.slice(UNSET.length).toLowerCase());
      continue;
    }
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (value === "" || !isHeader(name, value)) continue;
    const before = current.set.get(name);
    current.set.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return complete().map(({ pattern, set, unset }) => ({ pattern, set: [...set], unset }));
}

function isHeader(name: string, value: string): boolean {
  try {
    new Headers([[name, value]]);
    return true;
  } catch {
    return false;
  }
}

/**
 * Applies every rule that matches, in order: what the file says first takes the place of a default, and is joined by what it
 * says later.
 */
export function applyHeaders(rules: readonly HeaderRule[], place: Place, headers: Headers): void {
  const said = new Set<string>();
  for (const { pattern, set, unset } of rules) {
    const captures: Captures | undefined = pattern.match(place);
    if (captures === undefined) continue;
    for (const name of unset) if (/^[\w!#$%&'*+.^`|~-]+$/.test(name)) headers.delete(name);
    for (const [name, value] of set) {
      if (said.has(name)) headers.append(name, filled(value, captures));
      else headers.set(name, filled(value, captures));
      said.add(name);
    }
  }
}
