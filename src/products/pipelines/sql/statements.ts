/**
 * Takes a pipeline's SQL apart before DuckDB's parser sees it, which knows SELECT only: statements between semicolons,
 * the INSERT INTO of each (with WITH before or after it, the documentation is silent), hexadecimal binary literals.
 * Works on tokens, so that quotes and comments hide nothing and cut nothing.
 */
import { SqlError } from "./sql-error.ts";

export interface InsertStatement {
  /** Name of the sink. */
  readonly sink: string;
  /** Column names after the sink's name, if there are any. */
  readonly columns: readonly string[] | undefined;
  /** `[WITH …] SELECT …` */
  readonly query: string;
}

interface Token {
  readonly kind: "word" | "quoted" | "string" | "punctuation";
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** The INSERT statements of the text, in order. Throws `SqlError`. */
export function splitStatements(sql: string): InsertStatement[] {
  const statements: Token[][] = [[]];
  for (const token of tokenize(sql)) {
    if (token.text === ";" && token.kind === "punctuation") statements.push([]);
    else (statements.at(-1) as Token[]).push(token);
  }
  const filled = statements.filter((tokens) => tokens.length > 0);
  if (filled.length === 0) throw new SqlError("SQL query is empty");
  return filled.map((tokens) => insertOf(sql, tokens));
}

function insertOf(sql: string, tokens: readonly Token[]): InsertStatement {
  let depth = 0;
  const at = tokens.findIndex((token) => {
    if (token.text === "(" && token.kind === "punctuation") depth++;
    if (token.text === ")" && token.kind === "punctuation") depth--;
    return depth === 0 && isWord(token, "insert");
  });
  const leads = at === 0 || (at > 0 && isWord(tokens[0], "with"));
  if (!leads) throw new SqlError("a pipeline consists of INSERT INTO <sink> SELECT … statements");
  if (!isWord(tokens[at + 1], "into")) throw new SqlError("expected INTO after INSERT");
  const name = tokens[at + 2];
  if (name === undefined || (name.kind !== "word" && name.kind !== "quoted"))
    throw new SqlError("expected the name of a sink after INSERT INTO");
  let next = at + 3;
  const columns = columnList(tokens, next);
  if (columns !== undefined) next = columns.next;
  const body = tokens.slice(next);
  const first = body[0];
  if (first === undefined || !(isWord(first, "select") || (at === 0 && isWord(first, "with")) || first.text === "("))
    throw new SqlError(`expected SELECT after INSERT INTO ${nameOf(name)}`);
  return {
    sink: nameOf(name),
    columns: columns?.names,
    query: [text(sql, tokens.slice(0, at)), text(sql, body)].filter(Boolean).join(" "),
  };
}

/** `(a, "b")` right after the sink's name; undefined when what stands there is a parenthesised SELECT or none. */
function columnList(tokens: readonly Token[], from: number): { names: string[]; next: number } | undefined {
  if (tokens[from]?.text !== "(" || isWord(tokens[from + 1], "select") || isWord(tokens[from + 1], "with")) return undefined;
  const names: string[] = [];
  for (let i = from + 1; ; i += 2) {
    const [name, after] = [tokens[i], tokens[i + 1]];
    if (name === undefined || after === undefined || (name.kind !== "word" && name.kind !== "quoted"))
      throw new SqlError("expected a list of columns");
    names.push(nameOf(name));
    if (after.text === ")") return { names, next: i + 2 };
    if (after.text !== ",") throw new SqlError("expected a list of columns");
  }
}

const isWord = (token: Token | undefined, word: string): boolean => token?.kind === "word" && token.text.toLowerCase() === word;
const nameOf = (token: Token): string => (token.kind === "quoted" ? token.text.slice(1, -1).replaceAll('""', '"') : token.text);

/** The source text of the tokens, binary literals rewritten, comments left out. */
function text(sql: string, tokens: readonly Token[]): string {
  let out = "";
  let end = tokens[0]?.start ?? 0;
  const words = new Set(tokens.filter(({ kind }) => kind === "word").map((token) => token.text.toLowerCase()));
  for (const [i, token] of tokens.entries()) {
    if (token.start > end) out += " ";
    out += rewritten(tokens, i, words) ?? sql.slice(token.start, token.end);
    end = token.end;
  }
  return out;
}

/**
 * JSON operators, and the spelling under which DuckDB's parser takes them for operators like others. It reads `->` as a
 * lambda that binds looser than `=`, and `?` as a parameter.
 */
export const JSON_OPERATORS = { "->": "@->", "->>": "@->>", "?": "@!" } as const;

/** What DuckDB's parser is given in the place of a token; undefined for the token itself. */
function rewritten(tokens: readonly Token[], i: number, words: ReadonlySet<string>): string | undefined {
  const token = tokens[i] as Token;
  if (token.kind === "punctuation" && Object.hasOwn(JSON_OPERATORS, token.text))
    return ` ${JSON_OPERATORS[token.text as keyof typeof JSON_OPERATORS]} `;
  return binaryLiteral(token) ?? bareDecimal(tokens, i) ?? name(token, words);
}

/** Words that DuckDB reserves and DataFusion takes for names; none begins anything that this dialect has. */
const names = new Set(
  (
    "analyse analyze asymmetric at authorization binary check collation column concurrently constraint create default deferrable " +
    "describe do foreign freeze initially isnull lambda notnull only primary references returning show some summarize symmetric " +
    "table unique unpack variadic verbose"
  ).split(" "),
);
/** The same, in statements without the word that makes them mean something else. */
const namesWithout: Readonly<Record<string, string>> = { desc: "order", offset: "limit", to: "similar" };

function name(token: Token, words: ReadonlySet<string>): string | undefined {
  if (token.kind !== "word") return undefined;
  const word = token.text.toLowerCase();
  const other = Object.hasOwn(namesWithout, word) ? namesWithout[word] : undefined;
  const isName = names.has(word) || (other !== undefined && !words.has(other));
  return isName ? `"${token.text}"` : undefined;
}

/** A DECIMAL without width has 38 digits in DataFusion, 18 in DuckDB. */
function bareDecimal(tokens: readonly Token[], i: number): string | undefined {
  const [before, token, after] = [tokens[i - 1], tokens[i], tokens[i + 1]];
  if (!["decimal", "numeric", "dec"].some((name) => isWord(token, name)) || after?.text === "(") return undefined;
  return before?.text === "::" || (isWord(before, "as") && after?.text === ")") ? "DECIMAL(38, 10)" : undefined;
}

/** X'A123' is text to DuckDB's parser; docs/pipelines/sql-reference/sql-data-types has it as BYTEA. */
function binaryLiteral(token: Token): string | undefined {
  if (token.kind !== "string" || !/^[xX]/.test(token.text)) return undefined;
  const digits = token.text.slice(2, -1);
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) throw new SqlError(`invalid binary literal ${token.text}`);
  return `decode('${digits}', 'hex')`;
}

function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let i = 0;
  const push = (kind: Token["kind"], end: number): void => {
    tokens.push({ kind, text: sql.slice(i, end), start: i, end });
    i = end;
  };
  while (i < sql.length) {
    const char = sql[i] as string;
    if (/\s/.test(char)) i++;
    else if (sql.startsWith("--", i)) i = endOr(sql.indexOf("\n", i), sql.length);
    else if (sql.startsWith("/*", i)) {
      const end = sql.indexOf("*/", i + 2);
      if (end < 0) throw new SqlError("unterminated comment");
      i = end + 2;
    } else if (char === "'") push("string", quotedEnd(sql, i));
    else if (char === '"') push("quoted", quotedEnd(sql, i));
    else if (/^[xX]'/.test(sql.slice(i, i + 2))) push("string", quotedEnd(sql, i + 1));
    else if (/^[bBeEnN]'/.test(sql.slice(i, i + 2))) throw new SqlError(`unexpected ${sql.slice(i, i + 2)}`);
    else if (/[\p{L}_]/u.test(char)) push("word", i + (/^[\p{L}\p{N}_$]+/u.exec(sql.slice(i)) as RegExpExecArray)[0].length);
    else if (/[0-9]/.test(char)) push("word", i + (/^[0-9][\w.]*/.exec(sql.slice(i)) as RegExpExecArray)[0].length);
    else if (char === "$" || char === "@") throw new SqlError(`unexpected "${char}"`);
    else push("punctuation", i + (/^(->>|->|::)/.exec(sql.slice(i, i + 3))?.[0].length ?? 1));
  }
  return tokens;
}

/** Position after the closing quote; a doubled quote stands for one. */
function quotedEnd(sql: string, start: number): number {
  const quote = sql[start] as string;
  for (let i = start + 1; i < sql.length; i++) {
    if (sql[i] !== quote) continue;
    if (sql[i + 1] === quote) i++;
    else return i + 1;
  }
  throw new SqlError(quote === "'" ? "unterminated string" : "unterminated quoted name");
}

const endOr = (position: number, fallback: number): number => (position < 0 ? fallback : position);
