/** Expressions of the syntax tree as SQL: one case for each kind of node that the dialect has, nothing else. */
import { invalidSql, unsupported } from "../errors.ts";
import { constantSql, readConstant, typeSql } from "./constants.ts";
import { aggregateFunctions, functionRule, operators, windowFunctions } from "./functions.ts";
import { DEPTH_MAX, type Members, members, nodeKind, type SyntaxNode } from "./tree.ts";

export interface ExpressionContext {
  readonly depth: number;
  /** SQL of a column's name. */
  column(names: readonly string[]): string;
  /** True for a column of a table whose timestamps have no zone. */
  isPlainTimestamp(names: readonly string[]): boolean;
  /** SQL of a query inside the expression, without parentheses. */
  subquery(node: SyntaxNode, depth: number): string;
}

const COMPARISONS: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: "=",
  COMPARE_NOTEQUAL: "<>",
  COMPARE_LESSTHAN: "<",
  COMPARE_GREATERTHAN: ">",
  COMPARE_LESSTHANOREQUALTO: "<=",
  COMPARE_GREATERTHANOREQUALTO: ">=",
  COMPARE_DISTINCT_FROM: "IS DISTINCT FROM",
  COMPARE_NOT_DISTINCT_FROM: "IS NOT DISTINCT FROM",
};

/** Every result is in parentheses, a name, a literal or a call: it can stand anywhere. */
export function renderExpression(node: SyntaxNode, outer: ExpressionContext): string {
  if (outer.depth > DEPTH_MAX) throw invalidSql("the query is nested too deeply");
  const context: ExpressionContext = { ...outer, depth: outer.depth + 1 };
  const m = members(node);
  // The alias belongs to the place where an expression stands; the select list reads it.
  m.raw("alias");
  const sql = renderKind(node, m, context);
  m.done();
  return sql;
}

function renderKind(node: SyntaxNode, m: Members, context: ExpressionContext): string {
  const render = (child: SyntaxNode): string => renderExpression(child, context);
  switch (nodeKind(node)) {
    case "COLUMN_REF":
      return context.column(m.texts("column_names"));
    case "CONSTANT":
      m.raw("value");
      return constantSql(readConstant(node));
    case "COMPARISON": {
      const operator = COMPARISONS[String(node.type)];
      if (operator === undefined) throw unsupported(`comparison ${node.type}`);
      const [left, right] = [m.node("left"), m.node("right")];
      return `(${operand(left, right, context)} ${operator} ${operand(right, left, context)})`;
    }
    case "CONJUNCTION": {
      const word = node.type === "CONJUNCTION_AND" ? " AND " : node.type === "CONJUNCTION_OR" ? " OR " : undefined;
      if (word === undefined) throw unsupported(`conjunction ${node.type}`);
      return `(${m.nodes("children").map(render).join(word)})`;
    }
    case "BETWEEN": {
      const [input, lower, upper] = [m.node("input"), m.node("lower"), m.node("upper")];
      return `(${render(input)} BETWEEN ${operand(lower, input, context)} AND ${operand(upper, input, context)})`;
    }
    case "CAST":
      return `${m.flag("try_cast") ? "TRY_CAST" : "CAST"}(${render(m.node("child"))} AS ${typeSql(m.raw("cast_type"))})`;
    case "CASE":
      return renderCase(m, render);
    case "OPERATOR": {
      const children = m.nodes("children");
      const listed = node.type === "COMPARE_IN" || node.type === "COMPARE_NOT_IN";
      const first = children[0] as SyntaxNode;
      return renderOperator(
        String(node.type),
        children.map((child) => (listed ? operand(child, first, context) : render(child))),
      );
    }
    case "FUNCTION":
      return renderFunction(node, m, context);
    case "WINDOW":
      return renderWindow(m, context);
    case "SUBQUERY":
      return renderSubquery(m, context);
    case "STAR": {
      const relation = m.text("relation_name");
      return relation === "" ? "*" : `${context.column([relation])}.*`;
    }
    default:
      throw unsupported(`${nodeKind(node).toLowerCase().replaceAll("_", " ")} expressions`);
  }
}

const WITH_OFFSET = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?[+-]\d{2}:\d{2}$/;

/** One side of a comparison. DuckDB drops the offset of a text that it casts to a timestamp without zone; it is applied here. */
function operand(node: SyntaxNode, other: SyntaxNode, context: ExpressionContext): string {
  if (node.type !== "VALUE_CONSTANT" || other.class !== "COLUMN_REF") return renderExpression(node, context);
  const constant = readConstant(node);
  if (constant.kind !== "string" || !WITH_OFFSET.test(constant.value) || !context.isPlainTimestamp(other.column_names as string[]))
    return renderExpression(node, context);
  return `CAST(CAST(${constantSql(constant)} AS TIMESTAMP WITH TIME ZONE) AS TIMESTAMP)`;
}

function renderCase(m: Members, render: (node: SyntaxNode) => string): string {
  const branches = m.nodes("case_checks").map((branch) => {
    const b = members(branch);
    const sql = `WHEN ${render(b.node("when_expr"))} THEN ${render(b.node("then_expr"))}`;
    b.done();
    return sql;
  });
  return `CASE ${branches.join(" ")} ELSE ${render(m.node("else_expr"))} END`;
}

function renderOperator(type: string, children: readonly string[]): string {
  const [first = "", ...rest] = children;
  switch (type) {
    case "OPERATOR_NOT":
      return `(NOT ${first})`;
    case "OPERATOR_IS_NULL":
      return `(${first} IS NULL)`;
    case "OPERATOR_IS_NOT_NULL":
      return `(${first} IS NOT NULL)`;
    case "COMPARE_IN":
      return `(${first} IN (${rest.join(", ")}))`;
    case "COMPARE_NOT_IN":
      return `(${first} NOT IN (${rest.join(", ")}))`;
    case "OPERATOR_COALESCE":
      return `coalesce(${children.join(", ")})`;
    case "ARRAY_EXTRACT":
      return `${first}[${rest.join(", ")}]`;
    case "ARRAY_SLICE":
      return `list_slice(${children.join(", ")})`;
    case "STRUCT_EXTRACT":
      return `struct_extract(${children.join(", ")})`;
    case "GROUPING_FUNCTION":
      return `grouping(${children.join(", ")})`;
    default:
      throw unsupported(`operator ${type.replace("OPERATOR_", "")}`);
  }
}

function renderFunction(node: SyntaxNode, m: Members, context: ExpressionContext): string {
  const name = m.text("function_name").toLowerCase();
  const schema = m.text("schema");
  // The parser writes "main" for syntax of its own (EXTRACT, SUBSTRING); nobody else may name a place of functions.
  if ((schema !== "" && schema !== "main") || m.text("catalog") !== "") throw invalidSql(`Function not supported: ${schema}.${name}`);
  const nodes = m.nodes("children");
  const args = nodes.map((child) => renderExpression(child, context));
  const distinct = m.flag("distinct");
  const filterNode = m.optionalNode("filter");
  const orders = renderOrders(orderNodes(m), context);
  if (node.is_operator === true) {
    const spelling = operators.get(name);
    if (spelling === undefined) throw invalidSql(`unsupported binary operator ${name}`);
    if (args.length === 1 && (name === "-" || name === "+")) return `(${spelling}${args[0]})`;
    if (args.length !== 2) throw invalidSql(`unsupported operator ${name}`);
    if (name === "/" && nodes.some(isFraction)) return floatingDivision(args[0] as string, args[1] as string);
    return `(${args[0]} ${spelling} ${args[1]})`;
  }
  if (name === "count_star") {
    const filter = filterNode === undefined ? "" : ` FILTER (WHERE ${renderExpression(filterNode, context)})`;
    return `count(*)${filter}`;
  }
  const { rule, aggregate } = functionRule(name, args.length);
  if (!aggregate && (distinct || filterNode !== undefined || orders !== "")) throw invalidSql(`${name} is not an aggregate function`);
  const filter = filterNode === undefined ? "" : ` FILTER (WHERE ${renderExpression(filterNode, context)})`;
  if (typeof rule.sql === "string")
    return `${rule.sql}(${distinct ? "DISTINCT " : ""}${args.join(", ")}${orders === "" ? "" : ` ${orders}`})${filter}`;
  if (distinct || orders !== "") throw unsupported(`DISTINCT or ORDER BY inside ${name}`);
  // In parentheses: the SQL of a rule may be an operator's.
  return `(${rule.sql({ args, nodes, filter })})`;
}

/**
 * To the real engine 0.5 is a floating-point number, and dividing by 0.0 gives infinity or NaN. As DuckDB's decimal it
 * would divide by other rules.
 */
function floatingDivision(left: string, right: string): string {
  const [a, b] = [`CAST(${left} AS DOUBLE)`, `CAST(${right} AS DOUBLE)`];
  const byZero = `CASE WHEN ${a} > 0 THEN CAST('inf' AS DOUBLE) WHEN ${a} < 0 THEN CAST('-inf' AS DOUBLE) WHEN ${a} = 0 THEN CAST('nan' AS DOUBLE) END`;
  return `(CASE WHEN ${b} = 0 THEN ${byZero} ELSE ${a} / ${b} END)`;
}

function isFraction(node: SyntaxNode | undefined): boolean {
  const constant = node?.type === "VALUE_CONSTANT" ? readConstant(node) : undefined;
  return constant?.kind === "decimal" && constant.scale > 0;
}

const orderNodes = (m: Members): SyntaxNode[] => (m.optionalNode("order_bys")?.orders ?? []) as SyntaxNode[];

/** "ORDER BY …", or empty. */
export function renderOrders(orders: readonly SyntaxNode[], context: ExpressionContext): string {
  const parts = orders.map((order) => {
    const direction = { ORDER_DEFAULT: "", ASCENDING: " ASC", DESCENDING: " DESC" }[String(order.type)];
    const m = members(order);
    const nulls = { ORDER_DEFAULT: "", "NULLS FIRST": " NULLS FIRST", "NULLS LAST": " NULLS LAST" }[m.text("null_order")];
    if (direction === undefined || nulls === undefined) throw unsupported("this ORDER BY");
    const expression = m.node("expression");
    if (expression.class === "STAR") throw unsupported("ORDER BY ALL");
    const sql = `${renderExpression(expression, context)}${direction}${nulls}`;
    m.done();
    return sql;
  });
  return parts.length === 0 ? "" : `ORDER BY ${parts.join(", ")}`;
}

// --- windows -----------------------------------------------------------------------------------------------

function renderWindow(m: Members, context: ExpressionContext): string {
  const render = (child: SyntaxNode): string => renderExpression(child, context);
  const name = m.text("function_name").toLowerCase();
  if ((m.text("schema") !== "" && m.text("schema") !== "main") || m.text("catalog") !== "")
    throw invalidSql(`Function not supported: ${m.text("schema")}.${name}`);
  const args = m.nodes("children").map(render);
  for (const extra of ["offset_expr", "default_expr"]) {
    const argument = m.optionalNode(extra);
    if (argument !== undefined) args.push(render(argument));
  }
  const distinct = m.flag("distinct") ? "DISTINCT " : "";
  const filterNode = m.optionalNode("filter_expr");
  const filter = filterNode === undefined ? "" : ` FILTER (WHERE ${render(filterNode)})`;
  const nulls = m.flag("ignore_nulls") ? " IGNORE NULLS" : "";
  const partitions = m.nodes("partitions").map(render);
  const orders = renderOrders(m.nodes("orders"), context);
  const frame = renderFrame(m, render);
  if (m.text("exclude_clause") !== "NO_OTHER") throw unsupported("EXCLUDE in a window");
  const partition = partitions.length === 0 ? "" : `PARTITION BY ${partitions.join(", ")} `;
  const over = ` OVER (${partition}${orders === "" ? "" : `${orders} `}${frame})`;
  if (windowFunctions.has(name)) return `${name}(${distinct}${args.join(", ")}${nulls})${filter}${over}`;
  if (name === "count_star") return `count(*)${filter}${over}`;
  const rule = aggregateFunctions.get(name) === undefined ? undefined : functionRule(name, args.length).rule;
  if (typeof rule?.sql !== "string") throw invalidSql(`Function not supported: ${name} with OVER`);
  return `${rule.sql}(${distinct}${args.join(", ")}${nulls})${filter}${over}`;
}

function renderFrame(m: Members, render: (node: SyntaxNode) => string): string {
  const [start, end] = [m.text("start"), m.text("end")];
  const unit = /_(ROWS|RANGE|GROUPS)$/.exec(start)?.[1] ?? /_(ROWS|RANGE|GROUPS)$/.exec(end)?.[1] ?? "RANGE";
  const edge = (boundary: string, expression: SyntaxNode | undefined): string => {
    const plain = boundary.replace(/_(ROWS|RANGE|GROUPS)$/, "");
    if (plain === "UNBOUNDED_PRECEDING" || plain === "UNBOUNDED_FOLLOWING" || plain === "CURRENT_ROW") return plain.replace("_", " ");
    if (expression !== undefined && plain === "EXPR_PRECEDING") return `${render(expression)} PRECEDING`;
    if (expression !== undefined && plain === "EXPR_FOLLOWING") return `${render(expression)} FOLLOWING`;
    throw unsupported("this window frame");
  };
  return `${unit} BETWEEN ${edge(start, m.optionalNode("start_expr"))} AND ${edge(end, m.optionalNode("end_expr"))}`;
}

// --- subqueries --------------------------------------------------------------------------------------------

function renderSubquery(m: Members, context: ExpressionContext): string {
  const type = m.text("subquery_type");
  const sql = context.subquery(m.node("subquery"), context.depth);
  const child = m.optionalNode("child");
  const operator = COMPARISONS[m.text("comparison_type")];
  if (type === "SCALAR") return `(${sql})`;
  if (type === "EXISTS") return `EXISTS (${sql})`;
  if (type === "NOT_EXISTS") return `(NOT EXISTS (${sql}))`;
  if (type === "ANY" && child !== undefined && operator !== undefined)
    return `(${renderExpression(child, context)} ${operator} ANY (${sql}))`;
  throw unsupported(`${type} subqueries`);
}
