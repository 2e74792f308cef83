/**
 * Expressions of a pipeline's SELECT: DuckDB's syntax tree → DuckDB SQL, by a whitelist. Only node types, operators,
 * functions and types that stand here come out again; everything else fails validation by name. The text is printed anew
 * from the tree, so nothing of the user's text reaches DuckDB unparsed.
 *
 * Bent towards DataFusion, which the real service runs: integer literals are BIGINT and decimal ones DOUBLE, integers
 * divide to integers, floats are cut when cast to integers. Unlike there, a cast that fails gives NULL and not a failed
 * pipeline.
 */
import { literal } from "../../../kernel/duckdb/engine.ts";
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { functions } from "../functions.ts";
import { SqlError } from "./sql-error.ts";

/** What an expression stands in. */
export interface Scope {
  /** SQL of a column reference; throws `SqlError` when there is no such column. */
  column(names: readonly string[]): string;
  /** DuckDB's name of an expression's type ("BIGINT", "DOUBLE", "INTEGER[]"). */
  typeOf(sql: string): Promise<string>;
  /** `now()` is fixed when the pipeline is created. */
  readonly now: number;
}

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

const infix: Readonly<Record<string, string>> = {
  "+": "+",
  "-": "-",
  "*": "*",
  "%": "%",
  "||": "||",
  "~~": "LIKE",
  "!~~": "NOT LIKE",
  "~~*": "ILIKE",
  "!~~*": "NOT ILIKE",
};

const INTEGER_TYPES = new Set(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"]);

/** Compiles one expression. */
export async function expression(node: SyntaxNode, scope: Scope): Promise<string> {
  const one = (child: unknown): Promise<string> => expression(child as SyntaxNode, scope);
  const all = (children: unknown): Promise<string[]> => inOrder((children ?? []) as SyntaxNode[], one);
  switch (node.class) {
    case "COLUMN_REF": {
      const names = node.column_names as string[];
      if (names.length === 1 && isNow(names[0] as string)) return nowLiteral(scope);
      return scope.column(names);
    }
    case "CONSTANT":
      return constant(node.value as ConstantValue);
    case "COMPARISON": {
      const operator = comparisons[node.type as string];
      if (operator === undefined) break;
      return `(${await one(node.left)} ${operator} ${await one(node.right)})`;
    }
    case "CONJUNCTION":
      return `(${(await all(node.children)).join(node.type === "CONJUNCTION_AND" ? " AND " : " OR ")})`;
    case "BETWEEN":
      return `(${await one(node.input)} BETWEEN ${await one(node.lower)} AND ${await one(node.upper)})`;
    case "CASE": {
      const checks = await inOrder(
        node.case_checks as { when_expr: SyntaxNode; then_expr: SyntaxNode }[],
        async (check) => `WHEN ${await one(check.when_expr)} THEN ${await one(check.then_expr)}`,
      );
      return `CASE ${checks.join(" ")} ELSE ${await one(node.else_expr)} END`;
    }
    case "CAST":
      return cast(node, await one(node.child), scope);
    case "OPERATOR":
      return operator(node, await all(node.children));
    case "LAMBDA":
      // DuckDB's parser takes `a -> 'b'` for a lambda: here it can only be the JSON operator.
      return call("json_get", [await one(node.lhs), await one(node.expr)]);
    case "FUNCTION":
      return functionCall(node, await all(node.children), scope);
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

function operator(node: SyntaxNode, args: readonly string[]): string {
  const [a, b, c] = args;
  switch (node.type) {
    case "OPERATOR_NOT":
      return `(NOT ${a})`;
    case "OPERATOR_IS_NULL":
      return `(${a} IS NULL)`;
    case "OPERATOR_IS_NOT_NULL":
      return `(${a} IS NOT NULL)`;
    case "COMPARE_IN":
      return `(${a} IN (${args.slice(1).join(", ")}))`;
    case "COMPARE_NOT_IN":
      return `(${a} NOT IN (${args.slice(1).join(", ")}))`;
    case "OPERATOR_COALESCE":
      return call("coalesce", args);
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

async function functionCall(node: SyntaxNode, args: readonly string[], scope: Scope): Promise<string> {
  const name = (node.function_name as string).toLowerCase();
  if (node.distinct === true || (node.filter ?? null) !== null || ((node.order_bys as { orders?: unknown[] })?.orders ?? []).length > 0)
    throw new SqlError(`aggregate functions are not supported (${name})`);
  if (node.is_operator === true) return operatorCall(name, args, scope);
  if (name === "unnest") throw new SqlError("UNNEST may only appear as an item of SELECT");
  if (name === "list_value") return `[${args.join(", ")}]`;
  if (isNow(name) && args.length === 0) return nowLiteral(scope);
  if (name === "like_escape" || name === "not_like_escape" || name === "ilike_escape" || name === "not_ilike_escape")
    return `${name}(${args.join(", ")})`;
  return call(name, args);
}

async function operatorCall(name: string, args: readonly string[], scope: Scope): Promise<string> {
  const [a, b] = args as [string, string];
  if (args.length === 1 && (name === "-" || name === "+")) return `(${name}${a})`;
  if (args.length === 2) {
    if (name === "->") return call("json_get", args);
    if (name === "->>") return call("json_as_text", args);
    if (name === "/") {
      const integers = INTEGER_TYPES.has(await scope.typeOf(a)) && INTEGER_TYPES.has(await scope.typeOf(b));
      return `(${a} ${integers ? "//" : "/"} ${b})`;
    }
    const text = infix[name];
    if (text !== undefined) return `(${a} ${text} ${b})`;
  }
  throw new SqlError(`unsupported operator ${name}`);
}

/** A call of a function of the table. */
function call(name: string, args: readonly string[]): string {
  const found = functions.get(name);
  if (found === undefined) throw new SqlError(`Invalid function '${name}'`);
  const [min, max] = found.arity;
  if (args.length < min || args.length > max) {
    const expected = min === max ? `${min}` : max === 255 ? `at least ${min}` : `${min} to ${max}`;
    throw new SqlError(`the function '${name}' expects ${expected} arguments, got ${args.length}`);
  }
  return found.sql(args);
}

const isNow = (name: string): boolean => name === "now" || name === "current_timestamp" || name === "get_current_timestamp";
const nowLiteral = (scope: Scope): string => `make_timestamp(CAST(${scope.now * 1000} AS BIGINT))`;

// --- constants ---------------------------------------------------------------------------------------------

interface ConstantValue {
  readonly type: { readonly id: string; readonly type_info?: { readonly scale?: number } | null };
  readonly is_null: boolean;
  readonly value?: unknown;
}

function constant({ type, is_null, value }: ConstantValue): string {
  if (is_null) return "NULL";
  switch (type.id) {
    case "INTEGER":
    case "BIGINT":
      return `CAST(${wholeNumber(value)} AS BIGINT)`;
    case "HUGEINT":
    case "UHUGEINT":
      return `CAST(${literal(String(wholeNumber(value)))} AS HUGEINT)`;
    case "DECIMAL":
      return `CAST(${literal(decimalText(wholeNumber(value), type.type_info?.scale ?? 0))} AS DOUBLE)`;
    case "DOUBLE":
    case "FLOAT":
      return `CAST(${literal(String(value))} AS DOUBLE)`;
    case "BOOLEAN":
      return value === true ? "true" : "false";
    case "VARCHAR":
      return literal(String(value));
  }
  throw new SqlError(`unsupported literal of type ${type.id}`);
}

/** DuckDB's JSON has integers as numbers, as strings, and beyond 64 bits as halves. */
function wholeNumber(value: unknown): bigint {
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "string") return BigInt(value);
  const { upper, lower } = value as { upper: number | string | bigint; lower: number | string | bigint };
  return (BigInt(upper) << 64n) + BigInt(lower);
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return unscaled < 0n ? `-${text}` : text;
}

// --- casts -------------------------------------------------------------------------------------------------

interface CastType {
  readonly id: string;
  readonly type_info?: {
    readonly name?: string;
    readonly width?: number;
    readonly scale?: number;
    readonly child_type?: CastType;
    readonly child_types?: readonly { first: string; second: CastType }[];
  } | null;
}

const castTypes = new Set([
  "BOOLEAN",
  "TINYINT",
  "SMALLINT",
  "INTEGER",
  "BIGINT",
  "UTINYINT",
  "USMALLINT",
  "UINTEGER",
  "UBIGINT",
  "FLOAT",
  "DOUBLE",
  "VARCHAR",
  "BLOB",
  "DATE",
  "TIME",
  "TIMESTAMP",
  "TIMESTAMP WITH TIME ZONE",
  "INTERVAL",
]);

function castType(type: CastType): string {
  if (castTypes.has(type.id)) return type.id;
  const info = type.type_info;
  if (type.id === "DECIMAL") return `DECIMAL(${info?.width ?? 18}, ${info?.scale ?? 3})`;
  if (type.id === "UNBOUND" && info?.name?.toLowerCase() === "json") return "JSON";
  if (type.id === "LIST" && info?.child_type !== undefined) return `${castType(info.child_type)}[]`;
  throw new SqlError(`unsupported SQL type ${info?.name ?? type.id}`);
}

async function cast(node: SyntaxNode, child: string, scope: Scope): Promise<string> {
  const type = castType(node.cast_type as CastType);
  if (INTEGER_TYPES.has(type) && /^(FLOAT|DOUBLE|DECIMAL)/.test(await scope.typeOf(child))) return `TRY_CAST(trunc(${child}) AS ${type})`;
  return `TRY_CAST(${child} AS ${type})`;
}
