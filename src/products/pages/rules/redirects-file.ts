/**
 * The file `_redirects`: one rule a line, `from to [status]`. Lines that the documentation refuses are left out one by one;
 * the rest counts. https://developers.cloudflare.com/pages/configuration/redirects/
 */
import { type Captures, filled, type Place, ruleUrl, type UrlPattern, urlPattern } from "./url-pattern.ts";

export interface Redirect {
  /** 200: the answer is that of another path. */
  readonly status: number;
  readonly to: string;
}

export interface Redirects {
  /** By path; these are looked at first. */
  readonly fixed: ReadonlyMap<string, Redirect>;
  readonly patterns: readonly (Redirect & { readonly pattern: UrlPattern })[];
}

/** Documented limits; the page on redirects says 1,000 characters, the real service takes 2,000. */
const FIXED_MAX = 2_000;
const PATTERNS_MAX = 100;
const LINE_MAX = 2_000;
const STATUSES = new Set([200, 301, 302, 303, 307, 308]);

export function parseRedirects(text: string): Redirects {
  const fixed = new Map<string, Redirect>();
  const patterns: (Redirect & { pattern: UrlPattern })[] = [];
  const seen = new Set<string>();
  let fixedLines = 0;
  let patternLines = 0;
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.length > LINE_MAX) continue;
    const tokens = line.replace(/\s+#.*$/, "").split(/\s+/);
    if (tokens.length < 2 || tokens.length > 3) continue;
    const [source, target, code = "302"] = tokens as [string, string, string?];
    const from = ruleUrl(/^(https:\/\/|\/)/.test(source) ? source : `/${source}`, { absolute: false });
    const pattern = from === undefined ? undefined : urlPattern(from);
    if (from === undefined || pattern === undefined) continue;
    // A rule without placeholders that comes after one with some keeps its place among them.
    const isFixed = pattern.fixed && patternLines === 0;
    if (isFixed && ++fixedLines > FIXED_MAX) continue;
    if (!isFixed && ++patternLines > PATTERNS_MAX) break;
    const rule = redirectOf(from, target, Number(code));
    if (rule === undefined || seen.has(from)) continue;
    seen.add(from);
    if (isFixed) fixed.set(from, rule);
    else patterns.push({ ...rule, pattern });
  }
  return { fixed, patterns };
}

function redirectOf(from: string, target: string, status: number): Redirect | undefined {
  const to = ruleUrl(target, { absolute: true, rest: true });
  if (to === undefined || !STATUSES.has(status)) return undefined;
  const elsewhere = to.startsWith("https://");
  if (elsewhere && status === 200) return undefined;
  // The answer of such a rule would lead back to the rule.
  if (!elsewhere && /(\/\*|\/)$/.test(from) && /\/index(\.html)?$/.test(to)) return undefined;
  return { status, to };
}

/** The rule for a place, with its placeholders filled in. */
export function findRedirect(redirects: Redirects, place: Place): Redirect | undefined {
  const fixed = redirects.fixed.get(place.path);
  if (fixed !== undefined) return fixed;
  for (const { pattern, status, to } of redirects.patterns) {
    const captures: Captures | undefined = pattern.match(place);
    if (captures !== undefined) return { status, to: filled(to, captures) };
  }
  return undefined;
}
