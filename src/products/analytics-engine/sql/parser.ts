/**
 * The dialect of the SQL API as documented (Workers Analytics Engine, SQL reference): SHOW and SELECT on one table or
 * subquery, with FORMAT. By recursive descent, its depth bounded; anything else is refused with where it stands.
 */
import { QueryError } from "../errors.ts";
import { type Token, tokensOf } from "./tokens.ts";
import {
  type Expression,
  type Format,
  formats,
  type Item,
  type Node,
  type Operator,
  type Query,
  type Select,
  type Unit,
  units,
} from "./tree.ts";

const DEPTH_MAX = 100;
const NODES_MAX = 5_000;
const COUNT_MAX = 1_000_000_000;
/** Words that end an expression: no alias without AS is one of them. */
const RESERVED = new Set(
  "SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET FORMAT AS AND OR NOT IN BETWEEN LIKE ILIKE ASC DESC UNION JOIN INTERVAL DISTINCT".split(
    " ",
  ),
);

export const parse = (text: string): Query => new Parser(text).query();

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  #nodes = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  query(): Query {
    const statement = this.#word("SHOW") ? { show: this.#shown() } : { select: this.#select() };
    const format = this.#word("FORMAT") ? this.#format() : "JSON";
    while (this.#sign(";"));
    if (this.#next.kind !== "end") throw this.#unexpected();
    return { statement, format, text: this.#text };
  }

  #shown(): "TABLES" | "TIMEZONES" | "TIMEZONE" {
    for (const what of ["TABLES", "TIMEZONES", "TIMEZONE"] as const) if (this.#word(what)) return what;
    throw this.#unexpected();
  }

  #format(): Format {
    const { text } = this.#take();
    const format = formats.find((known) => known.toUpperCase() === text.toUpperCase());
    if (format === undefined) throw new QueryError(`unable to parse query: unknown format ${text}`);
    return format;
  }

  #select(): Select {
    this.#expectWord("SELECT");
    const items = this.#list(() => this.#item());
    const from = this.#word("FROM") ? this.#from() : undefined;
    const where = this.#word("WHERE") ? this.#expression() : undefined;
    const groupBy = this.#words("GROUP", "BY") ? this.#list(() => this.#expression()) : [];
    const having = this.#word("HAVING") ? this.#expression() : undefined;
    const orderBy = this.#words("ORDER", "BY") ? this.#list(() => this.#order()) : [];
    let limit: number | undefined;
    let offset = 0;
    for (;;) {
      if (this.#word("LIMIT")) limit = this.#word("ALL") ? undefined : this.#count();
      else if (this.#word("OFFSET")) offset = this.#count();
      else break;
    }
    return { items, from, where, groupBy, having, orderBy, limit, offset };
  }

  #item(): Item {
    if (this.#sign("*")) return { of: undefined, alias: undefined };
    const of = this.#expression();
    if (this.#word("AS")) return { of, alias: this.#name() };
    const { kind, text } = this.#next;
    if (kind === "name" || (kind === "word" && !RESERVED.has(text.toUpperCase()))) return { of, alias: this.#take().text };
    return { of, alias: undefined };
  }

  #from(): NonNullable<Select["from"]> {
    if (!this.#sign("(")) {
      const table = this.#name();
      if (this.#next.text === "," || /^(?:JOIN|INNER|LEFT|RIGHT|FULL|CROSS)$/i.test(this.#next.text))
        throw new QueryError("unable to parse query: queries can only operate on a single table");
      return { table };
    }
    const select = this.#deeper(() => this.#select());
    this.#expectSign(")");
    // Its name serves nothing: columns are not qualified.
    if (this.#word("AS")) this.#name();
    return { select };
  }

  #order(): Select["orderBy"][number] {
    const of = this.#expression();
    if (this.#word("DESC")) return { of, descending: true };
    this.#word("ASC");
    return { of, descending: false };
  }

  #count(): number {
    const { kind, text } = this.#take();
    const count = Number(text);
    if (kind !== "number" || !Number.isSafeInteger(count)) throw new QueryError("unable to parse query: LIMIT and OFFSET take a number");
    return Math.min(count, COUNT_MAX);
  }

  // --- expressions, by rising precedence ---

  #expression(): Expression {
    return this.#deeper(() => this.#or());
  }

  #or(): Expression {
    return this.#chain(() => this.#and(), ["OR"]);
  }

  #and(): Expression {
    return this.#chain(() => this.#not(), ["AND"]);
  }

  #not(): Expression {
    const start = this.#next.start;
    if (!this.#word("NOT")) return this.#comparison();
    return this.#node(start, { kind: "not", of: this.#deeper(() => this.#not()) });
  }

  #comparison(): Expression {
    let left = this.#sum();
    for (;;) {
      const { start } = left;
      const not = this.#word("NOT");
      if (this.#word("IN")) {
        this.#expectSign("(");
        const list = this.#list(() => this.#expression());
        this.#expectSign(")");
        left = this.#node(start, { kind: "in", of: left, list, not });
      } else if (this.#word("BETWEEN")) {
        const low = this.#sum();
        this.#expectWord("AND");
        left = this.#node(start, { kind: "between", of: left, low, high: this.#sum(), not });
      } else if (this.#isWord("LIKE") || this.#isWord("ILIKE")) {
        const anyCase = this.#take().text.toUpperCase() === "ILIKE";
        left = this.#node(start, { kind: "like", of: left, pattern: this.#sum(), not, anyCase });
      } else if (not) throw this.#unexpected();
      else {
        const operator = this.#operator(["=", "<>", "!=", "<=", ">=", "<", ">"]);
        if (operator === undefined) return left;
        const right = this.#sum();
        left = this.#node(start, { kind: "operator", operator: operator === "!=" ? "<>" : (operator as Operator), left, right });
      }
    }
  }

  #sum(): Expression {
    return this.#chain(() => this.#product(), ["+", "-", "||"]);
  }

  #product(): Expression {
    return this.#chain(() => this.#unary(), ["*", "/", "%"]);
  }

  #unary(): Expression {
    const { start } = this.#next;
    if (!this.#sign("-")) return this.#primary();
    return this.#node(start, { kind: "negate", of: this.#deeper(() => this.#unary()) });
  }

  #primary(): Expression {
    const { kind, text, start } = this.#take();
    if (kind === "number") return this.#node(start, { kind: "number", text });
    if (kind === "string") return this.#node(start, { kind: "string", value: text });
    if (kind === "name") return this.#node(start, { kind: "column", name: text });
    if (kind === "sign" && text === "(") {
      const inner = this.#expression();
      this.#expectSign(")");
      return this.#node(start, inner);
    }
    if (kind !== "word") throw this.#unexpected(-1);
    const word = text.toUpperCase();
    if (word === "INTERVAL") return this.#interval(start);
    // FORMAT is a clause and a function.
    const isCall = this.#next.kind === "sign" && this.#next.text === "(";
    if (RESERVED.has(word) && !(word === "FORMAT" && isCall)) throw this.#unexpected(-1);
    if (this.#sign("(")) return this.#call(start, text);
    if (word === "TRUE" || word === "FALSE") return this.#node(start, { kind: "boolean", value: word === "TRUE" });
    return this.#node(start, { kind: "column", name: text });
  }

  #interval(start: number): Expression {
    const { kind, text } = this.#take();
    const amount = Number(text);
    if ((kind !== "string" && kind !== "number") || text.trim() === "" || !Number.isSafeInteger(amount))
      throw new QueryError("unable to parse query: INTERVAL takes a whole number");
    return this.#node(start, { kind: "interval", amount, unit: this.#unit() });
  }

  #unit(): Unit {
    const word = this.#take().text.toUpperCase();
    const unit = units.find((known) => known === word || `${known}S` === word);
    if (unit === undefined) throw new QueryError(`unable to parse query: unknown unit of time ${word}`);
    return unit;
  }

  /** After the first parenthesis. */
  #call(start: number, name: string): Expression {
    const lower = name.toLowerCase();
    if (lower === "position") return this.#split(start, name, "IN", () => this.#sum());
    if (lower === "extract") {
      const at = this.#next;
      const unit = this.#unit();
      return this.#split(start, name, "FROM", () => ({ kind: "string", value: unit, start: at.start, end: at.end }));
    }
    const first = this.#arguments();
    if (!this.#sign("(")) return this.#node(start, { kind: "call", name, parameters: undefined, ...first });
    if (first.distinct) throw this.#unexpected(-1);
    return this.#node(start, { kind: "call", name, parameters: first.args, ...this.#arguments() });
  }

  /** Two arguments with a word between them; with a comma ClickHouse has them the other way round. */
  #split(start: number, name: string, word: string, first: () => Expression): Expression {
    const left = first();
    const comma = !this.#word(word);
    if (comma) this.#expectSign(",");
    const right = this.#expression();
    this.#expectSign(")");
    const args = comma ? [right, left] : [left, right];
    return this.#node(start, { kind: "call", name, parameters: undefined, args, distinct: false });
  }

  #arguments(): { args: Expression[]; distinct: boolean } {
    if (this.#sign(")")) return { args: [], distinct: false };
    // count(*) is count().
    if (this.#next.text === "*" && this.#next.kind === "sign") {
      this.#take();
      this.#expectSign(")");
      return { args: [], distinct: false };
    }
    const distinct = this.#word("DISTINCT");
    const args = this.#list(() => this.#expression());
    this.#expectSign(")");
    return { args, distinct };
  }

  // --- steps ---

  #chain(part: () => Expression, operators: readonly string[]): Expression {
    let left = part();
    for (;;) {
      const operator = this.#operator(operators);
      if (operator === undefined) return left;
      left = this.#node(left.start, { kind: "operator", operator: operator as Operator, left, right: part() });
    }
  }

  #operator(operators: readonly string[]): string | undefined {
    return operators.find((operator) => (/[A-Z]/.test(operator) ? this.#word(operator) : this.#sign(operator)));
  }

  #list<T>(part: () => T): T[] {
    const list = [part()];
    while (this.#sign(",")) list.push(part());
    return list;
  }

  #deeper<T>(part: () => T): T {
    if (++this.#depth > DEPTH_MAX) throw new QueryError("unable to parse query: it is nested too deeply");
    const result = part();
    this.#depth--;
    return result;
  }

  #node(start: number, node: Node): Expression {
    if (++this.#nodes > NODES_MAX) throw new QueryError(`unable to parse query: it has more than ${NODES_MAX} parts`);
    return { ...node, start, end: (this.#tokens[this.#at - 1] as Token).end };
  }

  get #next(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #take(): Token {
    const token = this.#next;
    if (token.kind !== "end") this.#at++;
    return token;
  }

  #name(): string {
    const token = this.#take();
    if (token.kind !== "name" && token.kind !== "word") throw this.#unexpected(-1);
    return token.text;
  }

  #isWord(word: string): boolean {
    return this.#next.kind === "word" && this.#next.text.toUpperCase() === word;
  }

  #word(word: string): boolean {
    const found = this.#isWord(word);
    if (found) this.#at++;
    return found;
  }

  #words(first: string, second: string): boolean {
    if (!this.#word(first)) return false;
    this.#expectWord(second);
    return true;
  }

  #sign(sign: string): boolean {
    const found = this.#next.kind === "sign" && this.#next.text === sign;
    if (found) this.#at++;
    return found;
  }

  #expectWord(word: string): void {
    if (!this.#word(word)) throw this.#unexpected(0, word);
  }

  #expectSign(sign: string): void {
    if (!this.#sign(sign)) throw this.#unexpected(0, sign);
  }

  #unexpected(offset = 0, wanted?: string): QueryError {
    const { kind, text, start } = this.#tokens[Math.max(0, this.#at + offset)] as Token;
    const found = kind === "end" ? "end of query" : JSON.stringify(text);
    return new QueryError(`unable to parse query: ${wanted === undefined ? "" : `expected ${wanted}, `}unexpected ${found} at ${start}`);
  }
}
