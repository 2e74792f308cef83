/** Words of a query: names, quoted names, strings, numbers and signs, without comments. */
import { QueryError } from "../errors.ts";

export interface Token {
  readonly kind: "word" | "name" | "string" | "number" | "sign" | "end";
  /** A name or string without its quotes; a word or number as it was written. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const QUERY_MAX_CHARS = 256 * 1024;
const SPACE = /(?:\s+|--[^\n]*|\/\*[\s\S]*?\*\/)+/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y;
const SIGN = /<=|>=|<>|!=|\|\||[-+*/%=<>(),.;]/y;
/** A quote is doubled, or follows a backslash, as ClickHouse has it. */
const QUOTED = { "'": /'((?:[^'\\]|''|\\[\s\S])*)'/y, '"': /"((?:[^"\\]|""|\\[\s\S])*)"/y, "`": /`((?:[^`\\]|``|\\[\s\S])*)`/y } as const;
const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", "0": "\0" };

export function tokensOf(sql: string): Token[] {
  if (sql.length > QUERY_MAX_CHARS) throw new QueryError(`the query has more than ${QUERY_MAX_CHARS} characters`);
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(sql) ?? undefined;
  };
  for (;;) {
    at += match(SPACE)?.[0].length ?? 0;
    if (at >= sql.length) break;
    const quote = sql[at] as keyof typeof QUOTED;
    const pattern = QUOTED[quote];
    const [kind, found] =
      pattern === undefined
        ? firstOf([
            ["word", match(WORD)],
            ["number", match(NUMBER)],
            ["sign", match(SIGN)],
          ])
        : ([quote === "'" ? "string" : "name", match(pattern)] as const);
    if (found === undefined) throw new QueryError(`unable to parse query: unexpected ${JSON.stringify(sql.slice(at, at + 10))} at ${at}`);
    const end = at + found[0].length;
    tokens.push({ kind, text: pattern === undefined ? found[0] : unquoted(found[1] as string, quote), start: at, end });
    at = end;
  }
  tokens.push({ kind: "end", text: "", start: sql.length, end: sql.length });
  return tokens;
}

type Found = readonly [Token["kind"], RegExpExecArray | undefined];
const firstOf = (candidates: readonly Found[]): Found => candidates.find(([, found]) => found !== undefined) ?? ["sign", undefined];

const unquoted = (text: string, quote: string): string =>
  text.replace(/\\([\s\S])|''|""|``/g, (all, escaped: string | undefined) => {
    if (escaped !== undefined) return escapes[escaped] ?? (escaped === quote || escaped === "\\" ? escaped : all);
    return all[0] === quote ? quote : all;
  });
