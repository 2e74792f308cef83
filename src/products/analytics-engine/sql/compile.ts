/**
 * A SELECT as DuckDB's SQL. Names are resolved here, columns and aliases alike, and only what they stand for is written: a
 * statement has names of our own making, texts of the query as literals, and the functions of `functions.ts` and
 * `aggregates.ts`. As in ClickHouse, an alias may be used in every clause and hides a column of its name.
 */
import { QueryError, unknownColumn } from "../errors.ts";
import { aggregate, isAggregate, like } from "./aggregates.ts";
import { interval, negate, operate } from "./arithmetic.ts";
import { callFunction } from "./functions.ts";
import type { Call, Expression, Item, Select } from "./tree.ts";
import { boolean, common, condition, number, string, type Value } from "./values.ts";

export interface OutputColumn extends Pick<Value, "type" | "zone"> {
  readonly name: string;
}

export interface Compiled {
  /** Its columns are called c0, c1, … */
  readonly sql: string;
  readonly columns: readonly OutputColumn[];
}

export interface Source {
  readonly sql: string;
  readonly columns: ReadonlyMap<string, Value>;
}

export interface Environment {
  /** The rows of a dataset; throws for one that is none. */
  table(name: string): Source;
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Rows of the whole query's result at most. */
  readonly rowsMax: number;
}

/** Aliases can stand for each other: the whole of a query may not become larger than this. */
const STEPS_MAX = 50_000;
const SQL_MAX_CHARS = 2_000_000;

export function compile(select: Select, environment: Environment): Compiled {
  const steps = { left: STEPS_MAX };
  return selectOf(select, environment, steps, environment.rowsMax);
}

function selectOf(select: Select, environment: Environment, steps: { left: number }, rowsMax?: number): Compiled {
  const source = sourceOf(select, environment, steps);
  const aliases = new Map<string, Expression>();
  for (const { alias, of } of select.items) if (alias !== undefined && of !== undefined) aliases.set(alias, of);
  const scope = new Scope(source.columns, aliases, environment, steps);
  const items = select.items.flatMap((item) => columnsOf(item, source));
  const positioned = (expression: Expression): Expression => positionOf(expression, items);
  const groupBy = select.groupBy.map(positioned);
  const all = [...items.map(({ of }) => of), ...(select.having ? [select.having] : []), ...select.orderBy.map(({ of }) => of)];
  const grouped = groupBy.length > 0 || all.some((expression) => scope.hasAggregate(expression));
  const where = select.where === undefined ? "" : ` WHERE ${condition(scope.value(select.where))}`;
  const named = items.map(({ of, name }) => ({ name: name ?? environment.text.slice(of.start, of.end), of }));
  const order = (value: (of: Expression) => Value): string =>
    select.orderBy.length === 0
      ? ""
      : ` ORDER BY ${select.orderBy.map(({ of, descending }) => `${value(positioned(of)).sql} ${descending ? "DESC" : "ASC"}`).join(", ")}`;
  const most = rowsMax === undefined ? select.limit : Math.min(select.limit ?? Number.POSITIVE_INFINITY, rowsMax + 1);
  const limits = `${most === undefined ? "" : ` LIMIT ${most}`}${select.offset > 0 ? ` OFFSET ${select.offset}` : ""}`;

  if (!grouped) {
    if (select.having !== undefined) throw new QueryError("Input was invalid: HAVING needs a GROUP BY or an aggregate function");
    const values = named.map(({ of }) => scope.value(of));
    const sql = `SELECT ${listed(values)} FROM ${source.sql}${where}${order((of) => scope.value(of))}${limits}`;
    return { sql: bounded(sql), columns: outputs(named, values) };
  }

  const alone = groupBy.length === 0;
  // Of one row the order is that of what it is made of.
  const rowOrder = alone && !select.orderBy.some(({ of }) => scope.hasAggregate(positioned(of))) ? order((of) => scope.value(of)) : "";
  const groups = new Groups(scope, groupBy, rowOrder);
  const values = named.map(({ of }) => groups.value(of));
  const having = select.having === undefined ? "" : ` WHERE ${condition(groups.value(select.having))}`;
  const outer = alone ? "" : order((of) => groups.value(of));
  const rows =
    groups.windows.length === 0 ? `${source.sql}${where}` : `(SELECT *, ${groups.windows.join(", ")} FROM ${source.sql}${where}) AS r`;
  const made = [...groups.keys.map((key, i) => `${key.sql} AS g${i}`), ...groups.aggregates.map((sql, i) => `${sql} AS a${i}`)];
  const by = groups.keys.length === 0 ? "" : ` GROUP BY ${groups.keys.map((_, i) => i + 1).join(", ")}`;
  const inner = `SELECT ${made.length === 0 ? "count(*) AS a" : made.join(", ")} FROM ${rows}${by}`;
  return { sql: bounded(`SELECT ${listed(values)} FROM (${inner}) AS q${having}${outer}${limits}`), columns: outputs(named, values) };
}

const listed = (values: readonly Value[]): string => values.map(({ sql }, i) => `${sql} AS c${i}`).join(", ");

const outputs = (named: readonly { readonly name: string }[], values: readonly Value[]): OutputColumn[] =>
  values.map(({ type, zone }, i) => ({ name: (named[i] as { name: string }).name, type, zone }));

function bounded(sql: string): string {
  if (sql.length > SQL_MAX_CHARS) throw new QueryError("the query is too complex");
  return sql;
}

function sourceOf({ from }: Select, environment: Environment, steps: { left: number }): Source {
  if (from === undefined) return { sql: "(SELECT 1) AS s", columns: new Map() };
  if ("table" in from) return environment.table(from.table);
  const inner = selectOf(from.select, environment, steps);
  const columns = new Map(inner.columns.map(({ name, type, zone }, i) => [name, { sql: `c${i}`, type, zone } satisfies Value]));
  return { sql: `(${inner.sql}) AS s`, columns };
}

/** `*` is every column of the source. */
function columnsOf({ of, alias }: Item, source: Source): { of: Expression; name: string | undefined }[] {
  if (of !== undefined) return [{ of, name: alias }];
  if (source.columns.size === 0) throw new QueryError("Input was invalid: * needs a FROM");
  return [...source.columns.keys()].map((name) => ({ of: { kind: "column", name, start: 0, end: 0 }, name }));
}

/** A whole number in GROUP BY and ORDER BY is the item of that position. */
function positionOf(expression: Expression, items: readonly { readonly of: Expression }[]): Expression {
  if (expression.kind !== "number" || !/^\d+$/.test(expression.text)) return expression;
  const item = items[Number(expression.text) - 1];
  if (item === undefined) throw new QueryError(`Input was invalid: there is no column ${expression.text}`);
  return item.of;
}

/** Values of the rows that a SELECT reads. */
class Scope {
  readonly #columns: ReadonlyMap<string, Value>;
  readonly #aliases: ReadonlyMap<string, Expression>;
  readonly #expanding = new Set<string>();
  readonly #steps: { left: number };
  readonly now: number;

  constructor(
    columns: ReadonlyMap<string, Value>,
    aliases: ReadonlyMap<string, Expression>,
    environment: Environment,
    steps: { left: number },
  ) {
    this.#columns = columns;
    this.#aliases = aliases;
    this.#steps = steps;
    this.now = environment.now;
  }

  value(expression: Expression): Value {
    return this.make(
      expression,
      (part) => this.value(part),
      (call) => {
        throw new QueryError(`Input was invalid: aggregate function ${call.name}() cannot stand here`);
      },
    );
  }

  /** What an expression is made of its parts, which `part` makes; aggregate functions are `aggregated`'s. */
  make(expression: Expression, part: (part: Expression) => Value, aggregated: (call: Call) => Value): Value {
    if (--this.#steps.left < 0) throw new QueryError("the query is too complex");
    switch (expression.kind) {
      case "number":
        return number(expression.text);
      case "string":
        return string(expression.value);
      case "boolean":
        return boolean(String(expression.value));
      case "interval":
        return interval(expression.amount, expression.unit);
      case "column":
        return this.#named(expression.name, part);
      case "negate":
        return negate(part(expression.of));
      case "not":
        return boolean(`(NOT ${condition(part(expression.of))})`);
      case "operator":
        return operate(expression.operator, part(expression.left), part(expression.right));
      case "in":
        return isIn(part(expression.of), expression.list.map(part), expression.not);
      case "between": {
        const of = part(expression.of);
        const within = operate("AND", operate(">=", of, part(expression.low)), operate("<=", of, part(expression.high)));
        return expression.not ? boolean(`(NOT ${within.sql})`) : within;
      }
      case "like": {
        const found = like(part(expression.of), part(expression.pattern), expression.anyCase);
        return expression.not ? boolean(`(NOT ${found.sql})`) : found;
      }
      case "call":
        if (isAggregate(expression.name)) return aggregated(expression);
        if (expression.parameters !== undefined || expression.distinct) throw new QueryError(`unknown function call: ${expression.name}`);
        return callFunction(expression.name, expression.args.map(part), this.now);
    }
  }

  /** True when an aggregate function is somewhere in it, also behind aliases. */
  hasAggregate(expression: Expression, seen: ReadonlySet<string> = new Set()): boolean {
    if (--this.#steps.left < 0) throw new QueryError("the query is too complex");
    const any = (...parts: readonly Expression[]): boolean => parts.some((part) => this.hasAggregate(part, seen));
    switch (expression.kind) {
      case "column": {
        const behind = seen.has(expression.name) ? undefined : this.#aliases.get(expression.name);
        return behind !== undefined && this.hasAggregate(behind, new Set([...seen, expression.name]));
      }
      case "negate":
      case "not":
        return any(expression.of);
      case "operator":
        return any(expression.left, expression.right);
      case "in":
        return any(expression.of, ...expression.list);
      case "between":
        return any(expression.of, expression.low, expression.high);
      case "like":
        return any(expression.of, expression.pattern);
      case "call":
        return isAggregate(expression.name) || any(...expression.args);
      default:
        return false;
    }
  }

  #named(name: string, part: (part: Expression) => Value): Value {
    const behind = this.#expanding.has(name) ? undefined : this.#aliases.get(name);
    if (behind !== undefined) {
      this.#expanding.add(name);
      try {
        return part(behind);
      } finally {
        this.#expanding.delete(name);
      }
    }
    const column = this.#columns.get(name);
    if (column === undefined) throw unknownColumn(name);
    return column;
  }
}

/** Values of the groups that a SELECT makes: of their keys, and of aggregate functions over their rows. */
class Groups {
  readonly #scope: Scope;
  readonly #order: string;
  readonly keys: readonly Value[];
  readonly aggregates: string[] = [];
  /** Columns that the rows get besides their own. */
  readonly windows: string[] = [];

  constructor(scope: Scope, groupBy: readonly Expression[], order: string) {
    this.#scope = scope;
    this.#order = order;
    this.keys = groupBy.map((expression) => scope.value(expression));
  }

  value(expression: Expression): Value {
    // What reads as a key is that key, also as a part of something larger.
    const row = this.#rowValue(expression);
    const key = row === undefined ? -1 : this.keys.findIndex(({ sql }) => sql === row.sql);
    if (key >= 0) return { ...(this.keys[key] as Value), sql: `g${key}` };
    if (expression.kind === "column" && row !== undefined && /^[A-Za-z_]\w*$/.test(row.sql))
      throw new QueryError(`Input was invalid: column ${expression.name} is neither in GROUP BY nor in an aggregate function`);
    return this.#scope.make(
      expression,
      (part) => this.value(part),
      (call) => this.#aggregated(call),
    );
  }

  #rowValue(expression: Expression): Value | undefined {
    try {
      return this.#scope.value(expression);
    } catch (error) {
      // It has an aggregate function in it; what else is wrong comes out when its parts are made.
      if (error instanceof QueryError) return undefined;
      throw error;
    }
  }

  #aggregated({ name, parameters, args, distinct }: Call): Value {
    const value = aggregate(name, {
      parameters: parameters?.map((one) => this.#scope.value(one)),
      args: args.map((one) => this.#scope.value(one)),
      distinct,
      window: (make) => this.#window(make),
      order: this.#order,
    });
    const known = this.aggregates.indexOf(value.sql);
    const at = known >= 0 ? known : this.aggregates.push(value.sql) - 1;
    return { ...value, sql: `a${at}` };
  }

  #window(make: (partition: (...more: readonly string[]) => string) => string): string {
    const partition = (...more: readonly string[]): string => {
      const by = [...this.keys.map(({ sql }) => sql), ...more];
      return by.length === 0 ? "" : `PARTITION BY ${by.join(", ")}`;
    };
    const sql = make(partition);
    const known = this.windows.findIndex((one) => one.startsWith(`${sql} AS w`));
    const at = known >= 0 ? known : this.windows.push(`${sql} AS w${this.windows.length}`) - 1;
    return `w${at}`;
  }
}

function isIn(of: Value, list: readonly Value[], not: boolean): Value {
  const pairs = list.map((one) => common(of, one, "IN"));
  const any = pairs.map(({ left, right }) => `${left} = ${right}`).join(" OR ");
  return boolean(not ? `(NOT (${any}))` : `(${any})`);
}
