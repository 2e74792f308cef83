/**
 * Expressions of a pipeline's SELECT: DuckDB's syntax tree → DuckDB SQL, by a whitelist. Only node types, operators,
 * functions and types that stand here come out again; everything else fails validation by name. The text is printed anew
 * from the tree, so nothing of the user's text reaches DuckDB unparsed.
 *
 * Invariant: every result can stand anywhere: it is a name, a literal, a call, CASE … END, or in brackets.
 */
import { BOOLEAN, type DuckDBType, DuckDBTypeId, VARCHAR } from "@duckdb/node-api";
import { type Argument, FunctionError, type FunctionRule, MANY } from "../../../kernel/duckdb/datafusion/rule.ts";
import { isList } from "../../../kernel/duckdb/datafusion/types.ts";
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { arithmetic, arithmeticOperators } from "./arithmetic.ts";
import { castSql, castTarget, dependsOnSource, textAsTimestamp } from "./casts.ts";
import { constantOf, constantSql } from "./constants.ts";
import { functionRule, isMaker } from "./functions.ts";
import { typedGets } from "./json.ts";
import { castResults, plainTypes, type Scope } from "./scope.ts";
import { SqlError } from "./sql-error.ts";
import { JSON_OPERATORS } from "./statements.ts";

export type { Scope } from "./scope.ts";

const comparisons: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: "=",
  COMPARE_NOTEQUAL: "<>",
  COMPARE_LESSTHAN: "<",
  COMPARE_GREATERTHAN: ">",
  COMPARE_LESSTHANOREQUALTO: "<=",
  COMPARE_GREATERTHANOREQUALTO: ">=",
  COMPARE_DISTINCT_FROM: "IS DISTINCT FROM",
  COMPARE_NOT_DISTINCT_FROM: "IS NOT DISTINCT FROM",
};

const likes: Readonly<Record<string, string>> = { "~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE" };
const bitwise = new Set(["&", "|", "<<", ">>"]);

const DEPTH_MAX = 200;
/** Arguments that a rule writes more than once multiply when calls are nested. */
const SQL_MAX = 1_000_000;

/** Compiles one expression. */
export async function expression(node: SyntaxNode, scope: Scope, depth = 0): Promise<string> {
  if (depth > DEPTH_MAX) throw new SqlError("the expression is nested too deeply");
  const sql = await compile(node, scope, depth + 1);
  if (sql.length > SQL_MAX) throw new SqlError("the expression is too complex");
  return sql;
}

async function compile(node: SyntaxNode, scope: Scope, depth: number): Promise<string> {
  const one = (child: unknown): Promise<string> => expression(child as SyntaxNode, scope, depth);
  const all = (children: unknown): Promise<string[]> => inOrder((children ?? []) as SyntaxNode[], one);
  const truth = (sql: string): string => scope.types.note(sql, BOOLEAN);
  switch (node.class) {
    case "COLUMN_REF": {
      const names = node.column_names as string[];
      if (names.length === 1 && isNow(names[0] as string)) return nowLiteral(scope);
      return scope.column(names);
    }
    case "CONSTANT": {
      const value = constantOf(node) ?? null;
      return scope.types.note(constantSql(value), plainTypes[typeof value]);
    }
    case "COMPARISON": {
      const operator = comparisons[node.type as string];
      if (operator === undefined) break;
      const [left, right] = [node.left, node.right] as [SyntaxNode, SyntaxNode];
      const [a, b] = [await one(left), await one(right)];
      return truth(`(${await operand(left, a, b, scope)} ${operator} ${await operand(right, b, a, scope)})`);
    }
    case "CONJUNCTION":
      return truth(`(${(await all(node.children)).join(node.type === "CONJUNCTION_AND" ? " AND " : " OR ")})`);
    case "BETWEEN": {
      const [input, lower, upper] = [await one(node.input), await one(node.lower), await one(node.upper)];
      const bound = (side: unknown, sql: string): Promise<string> => operand(side as SyntaxNode, sql, input, scope);
      return truth(`(${input} BETWEEN ${await bound(node.lower, lower)} AND ${await bound(node.upper, upper)})`);
    }
    case "CASE": {
      const checks = await inOrder(
        node.case_checks as { when_expr: SyntaxNode; then_expr: SyntaxNode }[],
        async (check) => `WHEN ${await one(check.when_expr)} THEN ${await one(check.then_expr)}`,
      );
      return `CASE ${checks.join(" ")} ELSE ${await one(node.else_expr)} END`;
    }
    case "CAST":
      return cast(node, scope, depth);
    case "OPERATOR":
      return operator(node, await all(node.children), scope);
    case "FUNCTION":
      return functionCall(node, scope, depth);
    case "SUBQUERY":
      throw new SqlError("subqueries are only supported in FROM");
    case "WINDOW":
      throw new SqlError(`window functions are not supported (${node.function_name})`);
    case "STAR":
      throw new SqlError("* is only supported as an item of SELECT");
  }
  throw new SqlError(`unsupported expression (${node.type ?? node.class})`);
}

/** One after the other: each may ask DuckDB for types over the same connection. */
export async function inOrder<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

const TIMES: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_NS,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_S,
]);

/** One side of a comparison. DuckDB would drop the offset of a text that it compares with a time. */
async function operand(node: SyntaxNode, sql: string, other: string, scope: Scope): Promise<string> {
  if (typeof constantOf(node) !== "string" || !/\d[Zz]$|:\d\d.*[+-]\d\d/.test(constantOf(node) as string)) return sql;
  return TIMES.has((await scope.types.of(other)).typeId) ? textAsTimestamp(sql) : sql;
}

async function cast(node: SyntaxNode, scope: Scope, depth: number): Promise<string> {
  const target = castTarget(node);
  const child = node.child as SyntaxNode;
  const get = typedGets.get(target);
  const path = get === undefined ? undefined : jsonPath(child);
  if (get !== undefined && path !== undefined) return call("json_get", get, path, scope, depth);
  const sql = await expression(child, scope, depth);
  const source = dependsOnSource(target) ? await scope.types.of(sql) : undefined;
  return scope.types.note(castSql(sql, target, source), castResults[target]);
}

function operator(node: SyntaxNode, args: readonly string[], scope: Scope): string {
  const [a, b, c] = args;
  const truth = (sql: string): string => scope.types.note(sql, BOOLEAN);
  switch (node.type) {
    case "OPERATOR_NOT":
      return truth(`(NOT ${a})`);
    case "OPERATOR_IS_NULL":
      return truth(`(${a} IS NULL)`);
    case "OPERATOR_IS_NOT_NULL":
      return truth(`(${a} IS NOT NULL)`);
    case "COMPARE_IN":
      return truth(`(${a} IN (${args.slice(1).join(", ")}))`);
    case "COMPARE_NOT_IN":
      return truth(`(${a} NOT IN (${args.slice(1).join(", ")}))`);
    case "OPERATOR_COALESCE":
      return `coalesce(${args.join(", ")})`;
    case "ARRAY_EXTRACT":
    case "STRUCT_EXTRACT":
      return `(${a})[${b}]`;
    case "ARRAY_SLICE":
      if (args.length === 3) return `(${a})[${b}:${c}]`;
      break;
    case "ARRAY_CONSTRUCTOR":
      return `[${args.join(", ")}]`;
  }
  throw new SqlError(`unsupported operator (${node.type})`);
}

// --- functions ---------------------------------------------------------------------------------------------

async function functionCall(node: SyntaxNode, scope: Scope, depth: number): Promise<string> {
  const name = (node.function_name as string).toLowerCase();
  const children = node.children as SyntaxNode[];
  if (node.distinct === true || (node.filter ?? null) !== null || ((node.order_bys as { orders?: unknown[] })?.orders ?? []).length > 0)
    throw new SqlError(`aggregate functions are not supported (${name})`);
  const path = jsonPath(node);
  if (path !== undefined) return call("json_get", functionRule("json_get") as FunctionRule, path, scope, depth);
  if (node.is_operator === true) return operatorCall(name, children, scope, depth);
  if (name === "unnest") throw new SqlError("UNNEST may only appear as an item of SELECT");
  if (isNow(name) && children.length === 0) return nowLiteral(scope);
  // What the parser makes of `a ~ b` and of SIMILAR TO: DataFusion looks for the pattern anywhere in the text.
  if (name === "regexp_full_match") return call("regexp_like", functionRule("regexp_like") as FunctionRule, children, scope, depth);
  if (name === "like_escape" || name === "not_like_escape" || name === "ilike_escape" || name === "not_ilike_escape")
    return `${name}(${(await inOrder(children, (child) => expression(child, scope, depth))).join(", ")})`;
  const found = functionRule(name);
  if (found === undefined) throw new SqlError(`Invalid function '${name}'`);
  if (name === "random" || name === "uuid") scope.onVolatile();
  if (isMaker(found)) scope.onMaker();
  return call(name, found, children, scope, depth);
}

async function call(name: string, rule: FunctionRule, nodes: readonly SyntaxNode[], scope: Scope, depth: number): Promise<string> {
  const { min, max } = rule;
  if (nodes.length < min || nodes.length > max) {
    const expected = min === max ? `${min}` : max === MANY ? `at least ${min}` : `${min} to ${max}`;
    throw new SqlError(`the function '${name}' expects ${expected} arguments, got ${nodes.length}`);
  }
  const sqls = await inOrder(nodes, (node) => expression(node, scope, depth));
  const types = rule.typed ? await scope.types.all(sqls) : undefined;
  const args = sqls.map((sql, i): Argument => ({ sql, constant: constantOf(nodes[i] as SyntaxNode), type: types?.[i] }));
  try {
    return rule.sql(args);
  } catch (cause) {
    if (cause instanceof FunctionError) throw new SqlError(cause.message, { cause });
    throw cause;
  }
}

/** Document and keys of a call of `json_get` or a chain of them, as one path; undefined for any other node. */
function jsonPath(node: SyntaxNode): SyntaxNode[] | undefined {
  if (node.class !== "FUNCTION") return undefined;
  const name = (node.function_name as string).toLowerCase();
  if (name !== (node.is_operator === true ? JSON_OPERATORS["->"] : "json_get")) return undefined;
  const [document, ...keys] = node.children as SyntaxNode[];
  if (document === undefined || keys.length === 0) return undefined;
  return [...(jsonPath(document) ?? [document]), ...keys];
}

const isNow = (name: string): boolean => name === "now" || name === "current_timestamp" || name === "get_current_timestamp";
const nowLiteral = (scope: Scope): string => `make_timestamp(CAST(${scope.now * 1000} AS BIGINT))`;

// --- operators ---------------------------------------------------------------------------------------------

async function operatorCall(name: string, children: readonly SyntaxNode[], scope: Scope, depth: number): Promise<string> {
  const nodes = children as [SyntaxNode, SyntaxNode];
  const named = (rule: string, args: readonly SyntaxNode[] = nodes): Promise<string> =>
    call(rule, functionRule(rule) as FunctionRule, args, scope, depth);
  if (name === JSON_OPERATORS["->>"]) {
    // A chain of `->` with `->>` at its end is one path.
    const path = jsonPath(nodes[0]);
    return named("json_as_text", path === undefined ? nodes : [...path, nodes[1]]);
  }
  if (name === JSON_OPERATORS["?"]) return named("json_contains");
  const args = await inOrder(children, (child) => expression(child, scope, depth));
  const [a, b] = args as [string, string];
  if (args.length === 1 && (name === "-" || name === "+")) {
    const value = name === "-" ? constantOf({ class: "FUNCTION", is_operator: true, function_name: "-", children }) : undefined;
    return value === undefined
      ? scope.types.note(`(${name}${a})`, scope.types.known(a))
      : scope.types.note(constantSql(value), plainTypes[typeof value]);
  }
  if (args.length === 2) {
    if (name in likes) return scope.types.note(like(name, nodes[1], a, b), BOOLEAN);
    if (name === "~*" || name === "!~*") {
      const found = await call("regexp_like", functionRule("regexp_like") as FunctionRule, [...nodes, textNode("i")], scope, depth);
      return name === "~*" ? found : `(NOT ${found})`;
    }
    if (name === "^") return `xor(${a}, ${b})`;
    if (bitwise.has(name)) return `(${a} ${name} ${b})`;
    if (name === "||") return concatenation(a, b, scope);
    if (arithmeticOperators.has(name)) return arithmetic(name, a, b, scope);
  }
  throw new SqlError(`unsupported operator ${name}`);
}

const textNode = (text: string): SyntaxNode => ({ class: "CONSTANT", value: { type: { id: "VARCHAR" }, is_null: false, value: text } });

/** In DataFusion a backslash escapes; DuckDB needs to be told, and is faster when it is not. */
function like(name: string, pattern: SyntaxNode, a: string, b: string): string {
  const constant = constantOf(pattern);
  const suffix = typeof constant === "string" && !constant.includes("\\") ? "" : " ESCAPE '\\'";
  return `(${a} ${likes[name]} ${b}${suffix})`;
}

async function concatenation(a: string, b: string, scope: Scope): Promise<string> {
  const [left, right] = (await scope.types.all([a, b])) as [DuckDBType, DuckDBType];
  if (isList(left) && !isList(right)) return `list_append(${a}, ${b})`;
  if (isList(right) && !isList(left)) return `list_prepend(${a}, ${b})`;
  return scope.types.note(`(${a} || ${b})`, isList(left) || left.typeId === DuckDBTypeId.BLOB ? undefined : VARCHAR);
}
