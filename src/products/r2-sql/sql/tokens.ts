/**
 * Words of an SQL text: enough to tell one kind of statement from another and to read SHOW and DESCRIBE. Not a parser:
 * SELECT goes to DuckDB's parser, whose tree `render.ts` walks. Comments and white space are dropped.
 */
import { invalidSql } from "../errors.ts";

export interface Token {
  /** "word" is an unquoted identifier or keyword, "name" a quoted identifier (text without its quotes). */
  readonly kind: "word" | "name" | "string" | "number" | "symbol";
  readonly text: string;
  /** Characters from the start of the text. */
  readonly start: number;
}

const WORD_START = /[\p{L}_]/u;
const WORD = /[\p{L}\p{N}_$]+/uy;
const NUMBER = /(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y;
const SPACE = /\s+/y;
const OPERATOR = /(?:->>?|::|<>|<=|>=|!=|\|\||!?~~?\*?|[-+*/%^<>=!&|#@?:]|[().,;[\]{}$])/y;

/** Throws `invalidSql` for an unterminated string, name or comment and for characters that no SQL has. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(sql)?.[0];
  };
  while (at < sql.length) {
    const space = match(SPACE);
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const start = at;
    if (sql.startsWith("--", at)) {
      const end = sql.indexOf("\n", at);
      at = end === -1 ? sql.length : end + 1;
    } else if (sql.startsWith("/*", at)) {
      at = endOfComment(sql, at);
    } else if (sql[at] === "'" || sql[at] === '"') {
      const quote = sql[at] as string;
      const { text, end } = quoted(sql, at, quote);
      tokens.push({ kind: quote === "'" ? "string" : "name", text, start });
      at = end;
    } else if (WORD_START.test(String.fromCodePoint(sql.codePointAt(at) as number))) {
      const text = match(WORD) as string;
      tokens.push({ kind: "word", text, start });
      at += text.length;
    } else {
      const number = match(NUMBER);
      const text = number ?? match(OPERATOR);
      if (text === undefined) throw invalidSql(`syntax error at or near "${String.fromCodePoint(sql.codePointAt(at) as number)}"`);
      tokens.push({ kind: number === undefined ? "symbol" : "number", text, start });
      at += text.length;
    }
  }
  return tokens;
}

function quoted(sql: string, start: number, quote: string): { text: string; end: number } {
  let text = "";
  for (let at = start + 1; ; ) {
    const end = sql.indexOf(quote, at);
    if (end === -1) throw invalidSql(quote === "'" ? "unterminated quoted string" : "unterminated quoted identifier");
    text += sql.slice(at, end);
    if (sql[end + 1] !== quote) return { text, end: end + 1 };
    text += quote;
    at = end + 2;
  }
}

/** Comments nest, as in DuckDB's parser. */
function endOfComment(sql: string, start: number): number {
  let depth = 0;
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start;
  for (let found = edge.exec(sql); found !== null; found = edge.exec(sql)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  throw invalidSql("unterminated comment");
}
