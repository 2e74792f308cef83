/** Properties of a whole query that planning and metering depend on. */
import { uniqueNames } from "../engine/encode.ts";
import { constantNumber } from "./constants.ts";
import { aggregateFunctions } from "./functions.ts";
import { displayName } from "./names.ts";
import type { SyntaxNode } from "./tree.ts";

/** True for a SELECT from a table of the catalog. A bare name is that of a CTE, which may filter and combine by itself. */
function readsOneTable(root: SyntaxNode): boolean {
  const from = root.from_table as SyntaxNode | undefined;
  return root.type === "SELECT_NODE" && from?.type === "BASE_TABLE" && from.schema_name !== "";
}

/**
 * Rows after which a query of one table needs no more files: its LIMIT, if nothing filters, orders or combines rows.
 * Undefined when every file counts.
 */
export function plainLimit(root: SyntaxNode, fallback: number): number | undefined {
  if (!readsOneTable(root)) return undefined;
  if (root.where_clause != null || root.having != null || root.qualify != null || combinesRows(root)) return undefined;
  if (hasSubquery(root.select_list)) return undefined;
  const modifiers = (root.modifiers ?? []) as SyntaxNode[];
  if (modifiers.some((modifier) => modifier.type !== "LIMIT_MODIFIER")) return undefined;
  const limit = modifiers[0]?.limit as SyntaxNode | null | undefined;
  return limit == null ? fallback : constantNumber(limit);
}

/**
 * The number of result rows from which on the engine may have stopped before it opened every file, because a LIMIT takes rows
 * as they come; undefined when it reads them all. `limit` is that of the whole query. A join that finds one side empty may
 * leave the other unread too; its files are what the query asked for all the same.
 */
export function stopsEarlyAt(root: SyntaxNode, limit: number): number | undefined {
  if (anywhere(root, (node) => node !== root && isLimited(node) && takesRowsAsTheyCome(node))) return 0;
  return takesRowsAsTheyCome(root) ? limit : undefined;
}

function takesRowsAsTheyCome(query: SyntaxNode): boolean {
  const ordered = modifiersOf(query).some((modifier) => modifier.type === "ORDER_MODIFIER");
  return !ordered && (query.type !== "SELECT_NODE" || !combinesRows(query));
}

const modifiersOf = (query: SyntaxNode): SyntaxNode[] => (query.modifiers ?? []) as SyntaxNode[];
const isLimited = (query: SyntaxNode): boolean => modifiersOf(query).some((modifier) => modifier.type === "LIMIT_MODIFIER");

/** Columns that the engine has beside those of a Parquet file; one of them is a path of this machine. */
const ENGINE_COLUMNS = new Set(["filename", "file_row_number", "file_index"]);

/** True when any name or text of the query is the name of such a column, whatever it stands for there. */
export const namesEngineColumn = (root: SyntaxNode): boolean => hasText(root, (text) => ENGINE_COLUMNS.has(text.toLowerCase()));

function hasText(value: unknown, test: (text: string) => boolean): boolean {
  if (typeof value === "string") return test(value);
  return typeof value === "object" && value !== null && Object.entries(value).some(([key, inner]) => test(key) || hasText(inner, test));
}

/** Whether any node has the property, subqueries included. */
function anywhere(value: unknown, test: (node: SyntaxNode) => boolean): boolean {
  if (typeof value !== "object" || value === null) return false;
  return (!Array.isArray(value) && test(value as SyntaxNode)) || Object.values(value).some((inner) => anywhere(inner, test));
}

/**
 * Names of the result's columns when all that a query asks is how many rows a table has: `SELECT count(*) FROM t`, whose
 * answer stands in the table's manifests. Undefined for every other query.
 */
export function countColumns(root: SyntaxNode): string[] | undefined {
  if (!readsOneTable(root)) return undefined;
  if (root.where_clause != null || root.having != null || root.qualify != null) return undefined;
  if (((root.group_sets ?? []) as unknown[]).length > 0 || root.aggregate_handling !== "STANDARD_HANDLING") return undefined;
  if (((root.modifiers ?? []) as SyntaxNode[]).some((modifier) => modifier.type !== "LIMIT_MODIFIER")) return undefined;
  const items = root.select_list as SyntaxNode[];
  const isCount = (item: SyntaxNode): boolean =>
    item.class === "FUNCTION" && item.function_name === "count_star" && item.filter == null && item.distinct !== true;
  if (!items.every(isCount)) return undefined;
  return uniqueNames(items.map((item) => (String(item.alias ?? "") === "" ? displayName(item) : String(item.alias))));
}

/** GROUP BY, aggregates, windows and DISTINCT need all rows. */
function combinesRows(select: SyntaxNode): boolean {
  if (((select.group_sets ?? []) as unknown[]).length > 0 || select.aggregate_handling !== "STANDARD_HANDLING") return true;
  if (((select.modifiers ?? []) as SyntaxNode[]).some((modifier) => modifier.type === "DISTINCT_MODIFIER")) return true;
  return some(select.select_list, (node) => {
    if (node.class === "WINDOW") return true;
    return node.class === "FUNCTION" && (node.function_name === "count_star" || aggregateFunctions.has(String(node.function_name)));
  });
}

const hasSubquery = (value: unknown): boolean => some(value, (node) => node.class === "SUBQUERY");

/** Whether any node below, subqueries left out, has the property. */
function some(value: unknown, test: (node: SyntaxNode) => boolean): boolean {
  if (Array.isArray(value)) return value.some((one) => some(one, test));
  if (typeof value !== "object" || value === null) return false;
  const node = value as SyntaxNode;
  if (test(node)) return true;
  if (node.class === "SUBQUERY") return false;
  return Object.values(node).some((child) => some(child, test));
}
