/**
 * What a WHERE clause says about the columns of one table, in a form that can be held against statistics. Only what is
 * understood exactly is kept; everything else counts as "may be true", so that pruning never loses a row.
 */
import { canTransform } from "../../../protocols/iceberg/transforms.ts";
import { type NestedField, type Primitive, parsePrimitive } from "../../../protocols/iceberg/types.ts";
import { uuidBytes, uuidText, type Value } from "../../../protocols/iceberg/values.ts";
import { type Constant, decimalText, readConstant } from "../sql/constants.ts";
import { fieldByName, isQualifiedBy, type SchemaOf } from "../sql/from.ts";
import type { TableReference } from "../sql/render.ts";
import type { SyntaxNode } from "../sql/tree.ts";

export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";

export interface PredicateColumn {
  readonly fieldId: number;
  readonly type: Primitive;
}

export type Predicate =
  | { readonly kind: "and" | "or"; readonly of: readonly Predicate[] }
  | { readonly kind: "compare"; readonly column: PredicateColumn; readonly operator: Comparison; readonly value: Value }
  | { readonly kind: "null" | "not-null"; readonly column: PredicateColumn }
  | { readonly kind: "prefix"; readonly column: PredicateColumn; readonly prefix: string }
  /** Not understood: may be true of any row. */
  | { readonly kind: "unknown" };

const UNKNOWN: Predicate = { kind: "unknown" };

/** What the reference's WHERE says about its rows. */
export function predicateOf(reference: TableReference, schemaOf: SchemaOf): Predicate {
  const where = reference.select.where_clause as SyntaxNode | null | undefined;
  return where === null || where === undefined ? UNKNOWN : read(where, false, { reference, schemaOf });
}

interface Scope {
  readonly reference: TableReference;
  readonly schemaOf: SchemaOf;
}

const OPERATORS: Readonly<Record<string, Comparison>> = {
  COMPARE_EQUAL: "=",
  COMPARE_NOTEQUAL: "!=",
  COMPARE_LESSTHAN: "<",
  COMPARE_GREATERTHAN: ">",
  COMPARE_LESSTHANOREQUALTO: "<=",
  COMPARE_GREATERTHANOREQUALTO: ">=",
};
const NEGATED: Readonly<Record<Comparison, Comparison>> = { "=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<" };
const MIRRORED: Readonly<Record<Comparison, Comparison>> = { "=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=" };

/** `not` is true below an odd number of NOTs. NULL and false are the same to WHERE, so negation is that of comparisons. */
function read(node: SyntaxNode, not: boolean, scope: Scope): Predicate {
  const children = (node.children ?? []) as SyntaxNode[];
  switch (node.class) {
    case "CONJUNCTION": {
      const and = (node.type === "CONJUNCTION_AND") !== not;
      return { kind: and ? "and" : "or", of: children.map((child) => read(child, not, scope)) };
    }
    case "COMPARISON":
      return comparison(node, not, scope);
    case "BETWEEN": {
      const of = [
        compare(node.input as SyntaxNode, not ? "<" : ">=", node.lower as SyntaxNode, scope),
        compare(node.input as SyntaxNode, not ? ">" : "<=", node.upper as SyntaxNode, scope),
      ];
      return { kind: not ? "or" : "and", of };
    }
    case "OPERATOR":
      return operator(String(node.type), children, not, scope);
    case "FUNCTION":
      return node.function_name === "~~" && !not ? prefix(children, scope) : UNKNOWN;
    case "COLUMN_REF": {
      // A column by itself: WHERE is_fraud.
      const column = findColumn(node, scope);
      return column?.type.kind === "boolean" ? { kind: "compare", column, operator: "=", value: !not } : UNKNOWN;
    }
    default:
      return UNKNOWN;
  }
}

function comparison(node: SyntaxNode, not: boolean, scope: Scope): Predicate {
  const [left, right] = [node.left as SyntaxNode, node.right as SyntaxNode];
  const plain = OPERATORS[String(node.type)];
  if (plain !== undefined) {
    const wanted = not ? NEGATED[plain] : plain;
    return isConstant(left) ? compare(right, MIRRORED[wanted], left, scope) : compare(left, wanted, right, scope);
  }
  // `x IS TRUE` is "CAST(x AS BOOLEAN) IS NOT DISTINCT FROM true".
  if (node.type !== "COMPARE_NOT_DISTINCT_FROM" || not || constantOf(right)?.kind === "null") return UNKNOWN;
  return compare(left.class === "CAST" ? (left.child as SyntaxNode) : left, "=", right, scope);
}

function operator(type: string, children: readonly SyntaxNode[], not: boolean, scope: Scope): Predicate {
  const [first, ...rest] = children;
  if (first === undefined) return UNKNOWN;
  if (type === "OPERATOR_NOT") return read(first, !not, scope);
  if (type === "OPERATOR_IS_NULL" || type === "OPERATOR_IS_NOT_NULL") {
    const column = findColumn(first, scope);
    if (column === undefined) return UNKNOWN;
    if ((type === "OPERATOR_IS_NULL") === not) return { kind: "not-null", column };
    // An outer join makes nulls that no file has.
    return scope.reference.item.nullable ? UNKNOWN : { kind: "null", column };
  }
  if (type === "COMPARE_IN" || type === "COMPARE_NOT_IN") {
    const any = (type === "COMPARE_IN") !== not;
    const of = rest.map((value) => compare(first, any ? "=" : "!=", value, scope));
    return { kind: any ? "or" : "and", of };
  }
  return UNKNOWN;
}

function compare(left: SyntaxNode, wanted: Comparison, right: SyntaxNode, scope: Scope): Predicate {
  const column = findColumn(left, scope);
  const constant = constantOf(right);
  if (column === undefined || constant === undefined || constant.kind === "null") return UNKNOWN;
  const bound = boundFor(column.type, wanted, constant);
  // Whatever it compares: a null fulfils no comparison.
  return bound === undefined ? { kind: "not-null", column } : { kind: "compare", column, ...bound };
}

function prefix([left, right]: readonly SyntaxNode[], scope: Scope): Predicate {
  const column = left && findColumn(left, scope);
  const pattern = right && constantOf(right);
  if (column?.type.kind !== "string" || pattern?.kind !== "string") return UNKNOWN;
  // A backslash may be an escape; what follows the first wildcard only narrows the match.
  const literal = /^[^%_\\]*/.exec(pattern.value)?.[0] ?? "";
  if (literal === pattern.value) return { kind: "compare", column, operator: "=", value: literal };
  return literal === "" ? UNKNOWN : { kind: "prefix", column, prefix: literal };
}

// --- columns -----------------------------------------------------------------------------------------------

/** The column of the reference's table that the node names, if it can be no other. */
function findColumn(node: SyntaxNode, { reference, schemaOf }: Scope): PredicateColumn | undefined {
  if (node.class !== "COLUMN_REF") return undefined;
  const field = resolveColumn(node.column_names as string[], reference, schemaOf);
  const type = typeof field?.type === "string" ? parsePrimitive(field.type) : undefined;
  return field === undefined || type === undefined || !canTransform({ kind: "identity" }, type) ? undefined : { fieldId: field.id, type };
}

function resolveColumn(names: readonly string[], reference: TableReference, schemaOf: SchemaOf): NestedField | undefined {
  const { item, siblings } = reference;
  if (((item.node.column_name_alias ?? []) as string[]).length > 0) return undefined;
  const schema = schemaOf(item);
  const name = names.at(-1) as string;
  if (schema === undefined) return undefined;
  if (names.length === 1) {
    // USING and NATURAL merge columns; a subquery's columns are not known here.
    if (mergesColumns(reference.select.from_table as SyntaxNode)) return undefined;
    for (const other of siblings) {
      if (other === item) continue;
      const otherSchema = schemaOf(other);
      if (otherSchema === undefined || fieldByName(otherSchema, name) !== undefined) return undefined;
    }
    return fieldByName(schema, name);
  }
  return isQualifiedBy(item, names.slice(0, -1)) ? fieldByName(schema, name) : undefined;
}

function mergesColumns(from: SyntaxNode | undefined): boolean {
  if (from?.type !== "JOIN") return false;
  if (((from.using_columns ?? []) as string[]).length > 0 || from.ref_type === "NATURAL") return true;
  return mergesColumns(from.left as SyntaxNode) || mergesColumns(from.right as SyntaxNode);
}

// --- constants ---------------------------------------------------------------------------------------------

const isConstant = (node: SyntaxNode): boolean => constantOf(node) !== undefined;

/** A literal, a typed literal (DATE '2025-01-01', true) or a negative number. */
function constantOf(node: SyntaxNode): Constant | undefined {
  if (node.type === "VALUE_CONSTANT") return readConstant(node);
  if (node.class === "CAST") {
    const child = node.child as SyntaxNode;
    const inner = child.type === "VALUE_CONSTANT" ? readConstant(child) : undefined;
    const target = (node.cast_type as { id?: string } | undefined)?.id;
    if (inner?.kind !== "string") return undefined;
    if (target === "BOOLEAN" && (inner.value === "t" || inner.value === "f")) return { kind: "boolean", value: inner.value === "t" };
    // A date's text may stand for a timestamp too; the column's type decides, and other texts are refused there.
    if (target === "DATE") return /^\d{4}-\d{2}-\d{2}$/.test(inner.value) ? inner : undefined;
    return target === "TIMESTAMP" || target === "TIMESTAMP WITH TIME ZONE" ? inner : undefined;
  }
  if (node.class === "FUNCTION" && node.function_name === "-" && node.is_operator === true) {
    const [child, ...more] = (node.children ?? []) as SyntaxNode[];
    const inner = child !== undefined && more.length === 0 ? constantOf(child) : undefined;
    if (inner?.kind === "decimal") return { ...inner, unscaled: -inner.unscaled };
    if (inner?.kind === "double") return { ...inner, value: -inner.value };
  }
  return undefined;
}

interface Bound {
  readonly operator: Comparison;
  readonly value: Value;
}

/** The comparison in the column's own type; undefined where the engine's conversion is not certain to be the same. */
function boundFor(type: Primitive, operator: Comparison, constant: Constant): Bound | undefined {
  switch (type.kind) {
    case "boolean":
      return constant.kind === "boolean" ? { operator, value: constant.value } : undefined;
    case "string":
      return constant.kind === "string" ? { operator, value: constant.value } : undefined;
    case "int":
    case "long": {
      const number = constant.kind === "string" ? wholeNumber(constant.value) : constant;
      const bound = number.kind === "decimal" ? rescaled(operator, number, 0) : undefined;
      if (bound === undefined || type.kind === "long") return bound;
      return { ...bound, value: Number(bound.value) };
    }
    case "decimal":
      return constant.kind === "decimal" ? rescaled(operator, constant, type.scale) : undefined;
    case "double":
      if (constant.kind === "double") return { operator, value: constant.value };
      return constant.kind === "decimal" ? { operator, value: Number(decimalText(constant)) } : undefined;
    case "date": {
      const days = constant.kind === "string" && /^\d{4}-\d{2}-\d{2}$/.test(constant.value) ? instantMicros(constant.value) : undefined;
      return days === undefined ? undefined : { operator, value: Number(days / 86_400_000_000n) };
    }
    case "timestamp":
    case "timestamptz": {
      const micros = constant.kind === "string" ? instantMicros(constant.value) : undefined;
      return micros === undefined ? undefined : { operator, value: micros };
    }
    case "uuid":
      return constant.kind === "string" && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(constant.value)
        ? { operator, value: uuidText(uuidBytes(constant.value)) }
        : undefined;
    default:
      // 32-bit floats and the rest: the engine compares them in another type.
      return undefined;
  }
}

const wholeNumber = (text: string): Constant =>
  /^[+-]?\d{1,18}$/.test(text) ? { kind: "decimal", unscaled: BigInt(text), scale: 0 } : { kind: "null" };

/** The comparison at another number of digits behind the point: `x < 1.5` of an integer is `x <= 1`. */
function rescaled(operator: Comparison, constant: { unscaled: bigint; scale: number }, scale: number): Bound | undefined {
  if (scale >= constant.scale) return { operator, value: constant.unscaled * 10n ** BigInt(scale - constant.scale) };
  const divisor = 10n ** BigInt(constant.scale - scale);
  let floor = constant.unscaled / divisor;
  const rest = constant.unscaled % divisor;
  if (rest === 0n) return { operator, value: floor };
  if (rest < 0n) floor -= 1n;
  if (operator === "<" || operator === "<=") return { operator: "<=", value: floor };
  if (operator === ">" || operator === ">=") return { operator: ">=", value: floor + 1n };
  return undefined;
}

const INSTANT = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?(Z|[+-]\d{2}:\d{2})?)?$/;

/** Microseconds since the epoch of a date or RFC 3339 text; without a zone it is UTC, as in the engine's session. */
export function instantMicros(text: string): bigint | undefined {
  const m = INSTANT.exec(text);
  if (m === null) return undefined;
  const ms = Date.parse(`${m[1]}T${m[2] ?? "00:00:00"}${m[4] ?? "Z"}`);
  // Date.parse takes the 30th of February for the 2nd of March.
  if (Number.isNaN(ms) || new Date(Date.parse(`${m[1]}T00:00:00Z`)).toISOString().slice(0, 10) !== m[1]) return undefined;
  return BigInt(ms) * 1000n + BigInt((m[3] ?? "").padEnd(6, "0"));
}

/** Text of a predicate for EXPLAIN. */
export function predicateText(predicate: Predicate, name: (fieldId: number) => string): string {
  switch (predicate.kind) {
    case "and":
    case "or": {
      const parts = predicate.of.map((one) => predicateText(one, name)).filter((part) => part !== "");
      // One part that may always be true makes an OR say nothing.
      if (predicate.kind === "or" && parts.length < predicate.of.length) return "";
      return parts.length > 1 ? `(${parts.join(predicate.kind === "and" ? " AND " : " OR ")})` : (parts[0] ?? "");
    }
    case "compare":
      return `${name(predicate.column.fieldId)} ${predicate.operator} ${String(predicate.value)}`;
    case "null":
      return `${name(predicate.column.fieldId)} IS NULL`;
    case "not-null":
      return `${name(predicate.column.fieldId)} IS NOT NULL`;
    case "prefix":
      return `${name(predicate.column.fieldId)} LIKE ${predicate.prefix}%`;
    case "unknown":
      return "";
  }
}
