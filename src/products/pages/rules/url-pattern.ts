/**
 * Patterns of `_headers` and `_redirects`: a path, or `https://` with a host name and a path, with at most one splat (`*`)
 * and placeholders (`:name`). A splat takes as much as it can, a placeholder at least one character up to the next `/` (in
 * host names also `.`). https://developers.cloudflare.com/pages/configuration/redirects/#splats
 * Patterns come from users and run in the platform: the work of a match is bounded, and one that would take more is none.
 */

/** What a pattern is matched with. */
export interface Place {
  /** Without port. */
  readonly host: string;
  readonly path: string;
}

export type Captures = Readonly<Record<string, string>>;

export interface UrlPattern {
  /** Whether the pattern names no splat and no placeholder. */
  readonly fixed: boolean;
  match(place: Place): Captures | undefined;
}

type Token = string | { readonly name: string; readonly stop: string };

const STEPS_MAX = 20_000;
const PLACEHOLDER = /:[A-Za-z]\w*/g;

/** Undefined for what cannot be a pattern: two splats, or a placeholder that occurs twice. */
export function urlPattern(text: string): UrlPattern | undefined {
  const [, host, path] = /^(https:\/\/[^/]*)?(.*)$/s.exec(text) as unknown as [string, string | undefined, string];
  const tokens = [...(host === undefined ? [] : tokensOf(host, "./")), ...tokensOf(path, "/")];
  const names = tokens.flatMap((token) => (typeof token === "string" ? [] : [token.name]));
  if (new Set(names).size !== names.length) return undefined;
  return {
    fixed: names.length === 0,
    match: (place) => run(tokens, host === undefined ? place.path : `https://${place.host}${place.path}`),
  };
}

function tokensOf(text: string, stop: string): Token[] {
  const tokens: Token[] = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(/\*|:[A-Za-z]\w*/g)) {
    if (index > from) tokens.push(text.slice(from, index));
    tokens.push(found === "*" ? { name: "splat", stop: "" } : { name: found.slice(1), stop });
    from = index + found.length;
  }
  if (from < text.length) tokens.push(text.slice(from));
  return tokens;
}

/** Longest takes first, as the real service's expressions do. */
function run(tokens: readonly Token[], text: string): Captures | undefined {
  const captures: Record<string, string> = {};
  let steps = 0;
  const from = (i: number, at: number): boolean => {
    if (++steps > STEPS_MAX) return false;
    const token = tokens[i];
    if (token === undefined) return at === text.length;
    if (typeof token === "string") return text.startsWith(token, at) && from(i + 1, at + token.length);
    let end = at;
    while (end < text.length && !token.stop.includes(text[end] as string)) end++;
    steps += (end - at) >> 5;
    const least = token.stop === "" ? at : at + 1;
    for (; end >= least; end--) {
      if (!from(i + 1, end)) continue;
      captures[token.name] = text.slice(at, end);
      return true;
    }
    return false;
  };
  return from(0, 0) ? captures : undefined;
}

/** `text` with what the placeholders stand for. */
export const filled = (text: string, captures: Captures): string => text.replace(PLACEHOLDER, (found) => captures[found.slice(1)] ?? found);

/**
 * A URL of a rule as the real service reads it: a path that is normalized as in an address bar, or `https://` with a host
 * without port. Undefined for anything else.
 */
export function ruleUrl(
  text: string,
  { absolute, rest = false }: { readonly absolute: boolean; readonly rest?: boolean },
): string | undefined {
  const [, host, path] = /^https:\/\/+([^/]+)\/?(.*)/.exec(text) ?? [];
  if (host !== undefined) return absolute && !/:\d+$/.test(host) ? withPath(`https://${host}`, path ?? "", rest) : undefined;
  return text.startsWith("/") ? withPath("", text, rest) : undefined;
}

function withPath(origin: string, text: string, rest: boolean): string | undefined {
  const path = text.startsWith("/") ? text : `/${text}`;
  if (!URL.canParse(`relative:///${path}`)) return undefined;
  const url = new URL(`relative:///${path.slice(1)}`);
  return `${origin}${url.pathname}${rest ? url.search + url.hash : ""}`;
}
