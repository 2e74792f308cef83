/** Constants of the syntax tree: their value, and their SQL. Integers are BIGINT and fractions DOUBLE, as in DataFusion. */
import type { Constant } from "../../../kernel/duckdb/datafusion/rule.ts";
import { literal } from "../../../kernel/duckdb/engine.ts";
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { SqlError } from "./sql-error.ts";

interface ConstantValue {
  readonly type: { readonly id: string; readonly type_info?: { readonly scale?: number } | null };
  readonly is_null: boolean;
  readonly value?: unknown;
}

/** The value of a CONSTANT node, or of one with a minus in front; undefined for any other node. */
export function constantOf(node: SyntaxNode): Constant | undefined {
  if (node.class === "FUNCTION" && node.is_operator === true && node.function_name === "-") {
    const [child, more] = node.children as SyntaxNode[];
    const value = more === undefined ? constantOf(child as SyntaxNode) : undefined;
    return typeof value === "bigint" || typeof value === "number" ? -value : undefined;
  }
  if (isList(node)) {
    const values = (node.children as SyntaxNode[]).map(constantOf);
    return values.every((value) => value !== undefined) ? values : undefined;
  }
  if (node.class !== "CONSTANT") return undefined;
  const { type, is_null, value } = node.value as ConstantValue;
  if (is_null) return null;
  switch (type.id) {
    case "INTEGER":
    case "BIGINT":
    case "HUGEINT":
    case "UHUGEINT":
      return wholeNumber(value);
    case "DECIMAL":
      return Number(decimalText(wholeNumber(value), type.type_info?.scale ?? 0));
    case "DOUBLE":
    case "FLOAT":
      return Number(value);
    case "BOOLEAN":
      return value === true;
    case "VARCHAR":
      return String(value);
  }
  throw new SqlError(`unsupported literal of type ${type.id}`);
}

/** SQL of a value that is no list. */
export function constantSql(value: Constant): string {
  switch (typeof value) {
    case "bigint":
      if (value >= -(2n ** 63n) && value < 2n ** 63n) return `CAST(${value} AS BIGINT)`;
      return `CAST(${literal(String(value))} AS HUGEINT)`;
    case "number":
      return `CAST(${literal(String(value))} AS DOUBLE)`;
    case "boolean":
      return String(value);
    case "string":
      return literal(value);
  }
  return "NULL";
}

const isList = (node: SyntaxNode): boolean =>
  (node.class === "OPERATOR" && node.type === "ARRAY_CONSTRUCTOR") || (node.class === "FUNCTION" && node.function_name === "list_value");

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
