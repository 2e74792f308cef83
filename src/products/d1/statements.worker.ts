/**
 * SQL text without a parser: where statements end, what kind they are. Follows the rules of SQLite's own shell
 * (sqlite3_complete): strings, quoted names, comments, and triggers, whose bodies hold semicolons. Pure; runs inside
 * workerd, and in Node for its tests.
 */

/** Text that has not reached its statement's end by here is refused instead of collected: SQLite's own limit is 100 KB. */
const STATEMENT_MAX_CHARS = 1_000_000;

// What the words so far make of the statement, as far as its end is concerned.
type Shape =
  | "start"
  | "explain"
  | "create"
  | "plain"
  | "trigger"
  /** Inside a trigger, after a semicolon: only here may END close it. */
  | "trigger-semicolon"
  | "trigger-end";

/** Cuts a text that comes in pieces into statements. */
export class StatementScanner {
  #text = "";
  /** Where the current statement starts, and how far the text is scanned. */
  #start = 0;
  #at = 0;
  #shape: Shape = "start";
  /** True once the current statement holds more than space and comments. */
  #content = false;

  /** The statements that this piece completes, with their semicolons. */
  push(piece: string): string[] {
    this.#text = this.#text.slice(this.#start) + piece;
    this.#at -= this.#start;
    this.#start = 0;
    return this.#scan(false);
  }

  /** The rest: statements, of which the last one may lack its semicolon. */
  finish(): string[] {
    const found = this.#scan(true);
    if (this.#content) found.push(this.#text.slice(this.#start));
    this.#text = "";
    this.#start = this.#at = 0;
    this.#shape = "start";
    this.#content = false;
    return found;
  }

  #scan(last: boolean): string[] {
    const found: string[] = [];
    for (;;) {
      const end = tokenEnd(this.#text, this.#at, last);
      if (end < 0) break;
      const char = this.#text[this.#at] as string;
      if (char === ";") {
        if (this.#ends()) {
          if (this.#content) found.push(this.#text.slice(this.#start, end));
          this.#start = end;
          this.#content = false;
        }
      } else if (!isBlank(this.#text, this.#at)) {
        this.#content = true;
        this.#shape = isWordStart(char) ? shapeAfter(this.#shape, this.#text.slice(this.#at, end)) : afterOther(this.#shape);
      }
      this.#at = end;
    }
    if (this.#text.length - this.#start > STATEMENT_MAX_CHARS) throw new Error("statement too long: SQLITE_TOOBIG");
    return found;
  }

  /** Takes a semicolon; true when it ends the statement. */
  #ends(): boolean {
    if (this.#shape === "trigger" || this.#shape === "trigger-semicolon") {
      this.#shape = "trigger-semicolon";
      return false;
    }
    this.#shape = "start";
    return true;
  }
}

/** The end of the token at `at`, or -1 when there is none, or when more text could still change it. */
function tokenEnd(text: string, at: number, last: boolean): number {
  if (at >= text.length) return -1;
  const char = text[at] as string;
  const certain = (end: number) => (end < text.length || last ? end : -1);
  switch (char) {
    case "'":
    case '"':
    case "`": {
      for (let end = at + 1; ; end += 2) {
        end = text.indexOf(char, end);
        if (end < 0) return last ? text.length : -1;
        // A doubled quote stands for itself and does not end the string.
        if (text[end + 1] !== char) return certain(end + 1);
      }
    }
    case "[": {
      const end = text.indexOf("]", at + 1);
      return end < 0 ? (last ? text.length : -1) : end + 1;
    }
    case "-":
      if (text[at + 1] === "-") {
        const end = text.indexOf("\n", at + 2);
        return end < 0 ? (last ? text.length : -1) : end + 1;
      }
      return certain(at + 1);
    case "/":
      if (text[at + 1] === "*") {
        const end = text.indexOf("*/", at + 2);
        return end < 0 ? (last ? text.length : -1) : end + 2;
      }
      return certain(at + 1);
    case ";":
      return at + 1;
  }
  const run = isWordStart(char) ? WORD : /\s/.test(char) ? SPACE : OTHER;
  run.lastIndex = at;
  return certain(run.test(text) ? run.lastIndex : at + 1);
}

const WORD = /[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*/y;
const SPACE = /\s+/y;
const OTHER = /[^'"`[\-/;\sA-Za-z_\x80-\uffff]+/y;

const isWordStart = (char: string): boolean => /[A-Za-z_\x80-\uffff]/.test(char);

/** Space or a comment starts at `at`. */
function isBlank(text: string, at: number): boolean {
  const char = text[at] as string;
  const next = text[at + 1];
  return /\s/.test(char) || (char === "-" && next === "-") || (char === "/" && next === "*");
}

function shapeAfter(shape: Shape, word: string): Shape {
  const upper = word.length <= 9 ? word.toUpperCase() : "";
  switch (shape) {
    case "start":
      return upper === "EXPLAIN" ? "explain" : upper === "CREATE" ? "create" : "plain";
    case "explain":
      // EXPLAIN QUERY PLAN CREATE …
      return upper === "CREATE" ? "create" : upper === "QUERY" || upper === "PLAN" ? "explain" : "plain";
    case "create":
      return upper === "TRIGGER" ? "trigger" : upper === "TEMP" || upper === "TEMPORARY" ? "create" : "plain";
    case "trigger-semicolon":
      return upper === "END" ? "trigger-end" : "trigger";
    default:
      return afterOther(shape);
  }
}

function afterOther(shape: Shape): Shape {
  return shape === "trigger-semicolon" || shape === "trigger-end" || shape === "trigger" ? "trigger" : "plain";
}

/** The statements of a text, without those that are only comments. */
export function splitStatements(text: string): string[] {
  const scanner = new StatementScanner();
  return [...scanner.push(text), ...scanner.finish()];
}

/**
 * Where the last statement of `text` ends: 0 when there is none. SQLite's storage API in workerd refuses trailing
 * comments and semicolons, D1 does not.
 */
export function statementEnd(text: string): number {
  if (!text.includes("--") && !text.includes("/*")) return text.replace(/[\s;]+$/, "").length;
  let end = 0;
  for (let at = 0, next = tokenEnd(text, 0, true); next >= 0; at = next, next = tokenEnd(text, at, true)) {
    if (text[at] !== ";" && !isBlank(text, at)) end = next;
  }
  return end;
}

/** True when the statement's first word is one that can only read. PRAGMA may also set; what it does is checked afterwards. */
export function startsReadOnly(text: string): boolean {
  return READS.test(text) || READS.test(withoutComments(text));
}

const READS = /^\s*(select|explain|with|values|pragma)\b/i;

function withoutComments(text: string): string {
  for (let at = 0, next = tokenEnd(text, 0, true); next >= 0; at = next, next = tokenEnd(text, at, true)) {
    if (!isBlank(text, at)) return text.slice(at);
  }
  return "";
}
