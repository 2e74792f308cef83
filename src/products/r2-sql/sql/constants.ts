/**
 * Constants of the syntax tree: their SQL text, their value for planning, and their name in a result's column. Types of
 * casts too. Whatever has no exact text here is refused.
 */
import { FunctionError } from "../../../kernel/duckdb/datafusion/rule.ts";
import { parseArrowType } from "../../../kernel/duckdb/datafusion/types.ts";
import { identifier, literal } from "../../../kernel/duckdb/engine.ts";
import { invalidSql, unsupported } from "../errors.ts";
import type { SyntaxNode } from "./tree.ts";

/** A constant as planning compares it: numbers by their exact decimal text, the rest as they are. */
export type Constant =
  | { readonly kind: "null" }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string }
  /** Integers and decimals: unscaled value and digits behind the point. */
  | { readonly kind: "decimal"; readonly unscaled: bigint; readonly scale: number }
  | { readonly kind: "double"; readonly value: number };

interface TypeJson {
  readonly id: string;
  readonly type_info: Readonly<Record<string, unknown>> | null;
}

const INTEGERS = new Set(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "INTEGER_LITERAL"]);

/** Reads a VALUE_CONSTANT node. */
export function readConstant(node: SyntaxNode): Constant {
  const holder = node.value as { type: TypeJson; is_null: boolean; value?: unknown } | undefined;
  if (holder === undefined) throw invalidSql("cannot read a constant");
  if (holder.is_null) return { kind: "null" };
  const { id, type_info: info } = holder.type;
  const { value } = holder;
  if (id === "VARCHAR" && typeof value === "string") return { kind: "string", value };
  if (id === "BOOLEAN" && typeof value === "boolean") return { kind: "boolean", value };
  if (INTEGERS.has(id)) return { kind: "decimal", unscaled: asInteger(value), scale: 0 };
  if (id === "HUGEINT" || id === "UHUGEINT") return { kind: "decimal", unscaled: asInteger(value), scale: 0 };
  if (id === "DECIMAL") return { kind: "decimal", unscaled: asInteger(value), scale: Number(info?.scale ?? 0) };
  if ((id === "DOUBLE" || id === "FLOAT") && typeof value === "number" && Number.isFinite(value)) return { kind: "double", value };
  throw unsupported(`a constant of type ${id}`);
}

/** Value of a constant number argument, undefined when it is no constant. */
export function constantNumber(node: SyntaxNode | undefined): number | undefined {
  if (node?.type !== "VALUE_CONSTANT") return undefined;
  const constant = readConstant(node);
  if (constant.kind === "double") return constant.value;
  return constant.kind === "decimal" ? Number(constant.unscaled) / 10 ** constant.scale : undefined;
}

/** Numbers beyond 64 bits come as two halves of a two's complement. */
function asInteger(value: unknown): bigint {
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) return BigInt(value);
  const halves = value as { upper?: number | bigint; lower?: number | bigint } | null;
  if (typeof halves === "object" && halves?.upper !== undefined && halves.lower !== undefined)
    return BigInt(halves.upper) * 2n ** 64n + BigInt(halves.lower);
  throw invalidSql("cannot read a number");
}

export function decimalText({ unscaled, scale }: { unscaled: bigint; scale: number }): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return unscaled < 0n ? `-${text}` : text;
}

export function constantSql(constant: Constant): string {
  switch (constant.kind) {
    case "null":
      return "NULL";
    case "boolean":
      return constant.value ? "true" : "false";
    case "string":
      return literal(constant.value);
    case "decimal":
      return constant.unscaled < 0n ? `(${decimalText(constant)})` : decimalText(constant);
    case "double":
      // With an exponent the text is a DOUBLE again, without one it would be a DECIMAL.
      return constant.value < 0 ? `(${constant.value.toExponential()})` : constant.value.toExponential();
  }
}

/** As the real engine names constants in columns without an alias: `approx_top_k(value, Int64(3))`. */
export function constantName(constant: Constant): string {
  switch (constant.kind) {
    case "null":
      return "NULL";
    case "boolean":
      return `Boolean(${constant.value})`;
    case "string":
      return `Utf8(${JSON.stringify(constant.value)})`;
    case "decimal":
      return constant.scale === 0 ? `Int64(${constant.unscaled})` : `Float64(${Number(decimalText(constant))})`;
    case "double":
      return `Float64(${constant.value})`;
  }
}

const PLAIN_TYPES = new Set([
  "BOOLEAN",
  "TINYINT",
  "SMALLINT",
  "INTEGER",
  "BIGINT",
  "HUGEINT",
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
  "TIMESTAMP_S",
  "TIMESTAMP_MS",
  "TIMESTAMP_NS",
  "TIMESTAMP WITH TIME ZONE",
  "INTERVAL",
  "UUID",
]);

/** The SQL of a cast's target type. */
export function typeSql(json: unknown): string {
  const { id, type_info: info } = (json ?? {}) as TypeJson;
  if (PLAIN_TYPES.has(id)) return id;
  if (id === "DECIMAL") return `DECIMAL(${Number(info?.width ?? 18)}, ${Number(info?.scale ?? 3)})`;
  if (id === "LIST") return `${typeSql(info?.child_type)}[]`;
  if (id === "STRUCT") {
    const fields = info?.child_types as { first: string; second: unknown }[];
    return `STRUCT(${fields.map((field) => `${identifier(field.first)} ${typeSql(field.second)}`).join(", ")})`;
  }
  if (id === "MAP") {
    const entry = (info?.child_type as TypeJson | undefined)?.type_info?.child_types as { second: unknown }[] | undefined;
    return `MAP(${typeSql(entry?.[0]?.second)}, ${typeSql(entry?.[1]?.second)})`;
  }
  // Names that DuckDB's parser does not know are left unbound: catalogs, which this dialect does not have, could define them.
  throw unsupported(`type ${String(info?.name ?? id).toLowerCase()}`);
}

/** The SQL type of an Arrow type's name. */
export function arrowTypeSql(name: string): string {
  try {
    return parseArrowType(name).sql;
  } catch (cause) {
    if (!(cause instanceof FunctionError)) throw cause;
    throw unsupported(`the Arrow type ${name}`);
  }
}
