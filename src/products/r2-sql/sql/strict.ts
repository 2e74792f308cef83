/**
 * The older dialect, `r2_sql.strict`: one table, plain columns, five exact and five approximate aggregates, comparisons
 * with literals (docs/r2-sql as of March 2026: troubleshooting, reference/limitations-best-practices, sql-reference).
 * It is a subset with two rules of its own: each refusal has its documented text, and rows come newest first. Where those
 * pages contradict each other, what one of them shows as valid is valid: IN, LIKE with any pattern, aggregates.
 */
import { invalidSql } from "../errors.ts";
import { fromItems, isQualifiedBy } from "./from.ts";
import { nodeKind, type SyntaxNode } from "./tree.ts";

const AGGREGATES = new Set(
  "sum avg min max approx_percentile_cont approx_percentile_cont_with_weight approx_median approx_distinct approx_top_k".split(" "),
);
const OPERATORS = new Set(["OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "COMPARE_IN", "COMPARE_NOT_IN"]);
const LIKE = new Set(["~~", "!~~"]);
const COMPARISONS = new Set(
  "COMPARE_EQUAL COMPARE_NOTEQUAL COMPARE_LESSTHAN COMPARE_GREATERTHAN COMPARE_LESSTHANOREQUALTO COMPARE_GREATERTHANOREQUALTO".split(" "),
);

const list = (node: SyntaxNode, name: string): SyntaxNode[] => (node[name] ?? []) as SyntaxNode[];
const isLiteral = (node: SyntaxNode): boolean =>
  // DATE '2024-01-01' is a cast of a literal.
  node.class === "CONSTANT" || (node.class === "CAST" && (node.child as SyntaxNode).class === "CONSTANT");
const isAggregate = (node: SyntaxNode): boolean =>
  node.class === "FUNCTION" && (node.function_name === "count_star" || AGGREGATES.has(String(node.function_name).toLowerCase()));

/** Throws `invalidSql` with the documented text for what the older dialect does not have. */
export function checkStrict(root: SyntaxNode): void {
  const ctes = (root.cte_map as { map?: unknown[] } | null)?.map ?? [];
  if (root.type !== "SELECT_NODE" || ctes.length > 0) throw invalidSql("only top-level SELECT clause is supported");
  checkFrom(root.from_table as SyntaxNode);
  const column = columnCheck(root);
  for (const item of list(root, "select_list")) checkSelected(item, column);
  if (root.where_clause != null) checkCondition(root.where_clause as SyntaxNode, column, false);
  for (const group of list(root, "group_expressions")) {
    if (group.class !== "COLUMN_REF") throw invalidSql("GROUP BY supports columns only");
    column(group, COMPOUND);
  }
  if (list(root, "group_sets").length > 1 || root.aggregate_handling !== "STANDARD_HANDLING")
    throw invalidSql("GROUP BY supports columns only");
  if (root.having != null) {
    if (list(root, "group_expressions").length === 0) throw invalidSql("HAVING must be used with GROUP BY");
    checkCondition(root.having as SyntaxNode, column, true);
  }
  if (root.qualify != null) throw invalidSql("Function not supported");
  checkModifiers(root, column);
}

const NESTED = "Cannot access nested fields";
const COMPOUND = "Error during planning: could not parse compound";
const ELEMENT = "This feature is not implemented: GetFieldAccess";

function checkFrom(from: SyntaxNode): void {
  if (from.type === "EMPTY") throw invalidSql("expected exactly 1 table in FROM clause");
  if (from.type === "JOIN") throw invalidSql(from.ref_type === "CROSS" ? "Multiple tables not supported" : "JOIN operations not allowed");
  if (from.type !== "BASE_TABLE") throw invalidSql("only table name is supported in FROM clause");
  if (String(from.alias ?? "") !== "") throw invalidSql("aliases (AS) are not supported");
}

type ColumnCheck = (node: SyntaxNode, text: string) => void;

/** Refuses what reaches into a column; the table's own name may stand in front. */
function columnCheck(root: SyntaxNode): ColumnCheck {
  const from = root.from_table as SyntaxNode;
  // A bare table name is refused later, as a name.
  const items = String(from.schema_name ?? "") === "" ? [] : fromItems(from, () => false);
  return (node, text) => {
    const names = node.column_names as string[];
    if (names.length > 1 && !items.some((item) => isQualifiedBy(item, names.slice(0, -1)))) throw invalidSql(text);
  };
}

function checkSelected(item: SyntaxNode, column: ColumnCheck): void {
  if (String(item.alias ?? "") !== "") throw invalidSql("aliases (AS) are not supported");
  if (item.class === "STAR") return;
  if (item.class === "CONSTANT") throw invalidSql("unsupported feature: literals in the SELECT list");
  if (isElement(item)) throw invalidSql(NESTED);
  if (item.class === "COLUMN_REF") column(item, NESTED);
  else if (isAggregate(item)) checkArguments(item, column);
  else throw invalidSql("Function not supported");
}

/** `a[1]` and `a['b']`. */
const isElement = (node: SyntaxNode): boolean => node.class === "OPERATOR" && node.type === "ARRAY_EXTRACT";

/** Aggregates are of columns; percentiles and k are literals. */
function checkArguments(call: SyntaxNode, column: ColumnCheck): void {
  if (call.distinct === true || call.filter != null) throw invalidSql("Function not supported");
  for (const argument of list(call, "children")) {
    if (argument.class === "COLUMN_REF") column(argument, NESTED);
    else if (!isLiteral(argument)) throw invalidSql("Function not supported");
  }
}

/** Walks AND, OR and NOT; each condition below them is about one column, or one aggregate in HAVING, and literals. */
function checkCondition(node: SyntaxNode, column: ColumnCheck, having: boolean): void {
  if (node.class === "CONJUNCTION" || node.type === "OPERATOR_NOT") {
    for (const child of list(node, "children")) checkCondition(child, column, having);
    return;
  }
  // 'x' = ANY(list) is a subquery to the parser.
  if (node.class === "SUBQUERY") throw invalidSql(ELEMENT);
  const [left, ...right] = operands(node);
  checkLeft(left, column, having);
  if (!right.every(isLiteral)) throw invalidSql("right argument to a binary expression must be a literal");
}

/** What a condition is about, and what that is compared with. */
function operands(node: SyntaxNode): [SyntaxNode, ...SyntaxNode[]] {
  switch (nodeKind(node)) {
    case "COMPARISON":
      if (!COMPARISONS.has(String(node.type))) throw invalidSql("unsupported binary operator");
      return [node.left as SyntaxNode, node.right as SyntaxNode];
    case "BETWEEN":
      return [node.input as SyntaxNode, node.lower as SyntaxNode, node.upper as SyntaxNode];
    case "OPERATOR":
      return OPERATORS.has(String(node.type)) ? (list(node, "children") as [SyntaxNode, ...SyntaxNode[]]) : [node];
    case "FUNCTION":
      return LIKE.has(String(node.function_name)) ? (list(node, "children") as [SyntaxNode, SyntaxNode]) : [node];
    default:
      // A boolean column is a condition by itself.
      return [node];
  }
}

function checkLeft(node: SyntaxNode, column: ColumnCheck, having: boolean): void {
  if (isElement(node)) throw invalidSql(ELEMENT);
  if (node.class === "COLUMN_REF") column(node, COMPOUND);
  else if (having && isAggregate(node)) checkArguments(node, column);
  else if (node.class === "FUNCTION" && node.is_operator !== true) throw invalidSql("Function not supported");
  else throw invalidSql("unsupported binary operator");
}

function checkModifiers(root: SyntaxNode, column: ColumnCheck): void {
  for (const modifier of list(root, "modifiers")) {
    if (modifier.type === "DISTINCT_MODIFIER") throw invalidSql("unsupported feature: SELECT DISTINCT is not supported");
    if (modifier.type === "LIMIT_MODIFIER" && modifier.offset != null) throw invalidSql("OFFSET not supported");
    if (modifier.type !== "ORDER_MODIFIER") continue;
    for (const { expression } of list(modifier, "orders") as { expression: SyntaxNode }[]) {
      if (isAggregate(expression)) checkArguments(expression, column);
      else if (expression.class === "COLUMN_REF") column(expression, NESTED);
      else throw invalidSql(ORDER);
    }
  }
}

const ORDER = "ORDER BY is supported on columns of the partition key and on aggregates";

/**
 * The query with its rows in the order of the older dialect: descending wherever no direction is given, and by the whole
 * partition key where there is no ORDER BY (docs: "Default: DESC on all columns of the partition key"). `partitionKey`
 * are the table's columns that its partitions are made of. Throws `invalidSql` for an order by another column.
 */
export function inPartitionOrder(root: SyntaxNode, partitionKey: readonly string[]): SyntaxNode {
  const modifiers = list(root, "modifiers");
  const grouped = list(root, "group_expressions").length > 0 || list(root, "select_list").some(isAggregate);
  const written = modifiers.find((modifier) => modifier.type === "ORDER_MODIFIER");
  if (written === undefined) {
    if (grouped || partitionKey.length === 0) return root;
    const orders = partitionKey.map((name) => descending({ class: "COLUMN_REF", type: "COLUMN_REF", column_names: [name] }));
    return { ...root, modifiers: [{ type: "ORDER_MODIFIER", orders }, ...modifiers] };
  }
  const allowed = grouped
    ? list(root, "group_expressions").map((group) => (group.column_names as string[]).at(-1) as string)
    : partitionKey;
  const isAllowed = (name: string): boolean => allowed.some((one) => one.toLowerCase() === name.toLowerCase());
  const orders = list(written, "orders").map((order) => {
    const expression = order.expression as SyntaxNode;
    if (expression.class === "COLUMN_REF" && !isAllowed((expression.column_names as string[]).at(-1) as string)) throw invalidSql(ORDER);
    return order.type === "ORDER_DEFAULT" ? { ...order, type: "DESCENDING" } : order;
  });
  return { ...root, modifiers: modifiers.map((modifier) => (modifier === written ? { ...written, orders } : modifier)) };
}

const descending = (expression: SyntaxNode): SyntaxNode => ({ type: "DESCENDING", null_order: "ORDER_DEFAULT", expression });
