/**
 * Names of result columns that have no alias, as the real engine makes them: `count(*)`, `sum(amount)`,
 * `approx_top_k(value, Int64(3))`, `amount * Float64(1.1)`. Users read rows by these names.
 */
import { constantName, readConstant } from "./constants.ts";
import { operators } from "./functions.ts";
import type { SyntaxNode } from "./tree.ts";

const COMPARISON_SIGNS: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: "=",
  COMPARE_NOTEQUAL: "!=",
  COMPARE_LESSTHAN: "<",
  COMPARE_GREATERTHAN: ">",
  COMPARE_LESSTHANOREQUALTO: "<=",
  COMPARE_GREATERTHANOREQUALTO: ">=",
  COMPARE_DISTINCT_FROM: "IS DISTINCT FROM",
  COMPARE_NOT_DISTINCT_FROM: "IS NOT DISTINCT FROM",
};

export function displayName(node: SyntaxNode): string {
  const child = (name: string): string => displayName(node[name] as SyntaxNode);
  const children = (name = "children"): string[] => ((node[name] ?? []) as SyntaxNode[]).map(displayName);
  switch (node.class) {
    case "COLUMN_REF":
      return String((node.column_names as string[]).at(-1));
    case "CONSTANT":
      return constantName(readConstant(node));
    case "COMPARISON":
      return `${child("left")} ${COMPARISON_SIGNS[String(node.type)] ?? "?"} ${child("right")}`;
    case "CONJUNCTION":
      return children().join(node.type === "CONJUNCTION_AND" ? " AND " : " OR ");
    case "BETWEEN":
      return `${child("input")} BETWEEN ${child("lower")} AND ${child("upper")}`;
    case "CAST":
      return child("child");
    case "CASE": {
      const branches = (node.case_checks as { when_expr: SyntaxNode; then_expr: SyntaxNode }[]).map(
        (branch) => `WHEN ${displayName(branch.when_expr)} THEN ${displayName(branch.then_expr)}`,
      );
      return `CASE ${branches.join(" ")} ELSE ${child("else_expr")} END`;
    }
    case "OPERATOR":
      return operatorName(String(node.type), children());
    case "FUNCTION":
      return functionName(node, children());
    case "WINDOW":
      return node.function_name === "count_star" ? "count(*)" : `${node.function_name}(${children().join(", ")})`;
    case "SUBQUERY":
      return "(subquery)";
    default:
      return "expression";
  }
}

function operatorName(type: string, [first = "", ...rest]: readonly string[]): string {
  switch (type) {
    case "OPERATOR_NOT":
      return `NOT ${first}`;
    case "OPERATOR_IS_NULL":
      return `${first} IS NULL`;
    case "OPERATOR_IS_NOT_NULL":
      return `${first} IS NOT NULL`;
    case "COMPARE_IN":
      return `${first} IN (${rest.join(", ")})`;
    case "COMPARE_NOT_IN":
      return `${first} NOT IN (${rest.join(", ")})`;
    case "ARRAY_EXTRACT":
      return `${first}[${rest.join(", ")}]`;
    default:
      return `${type.replace("OPERATOR_", "").toLowerCase()}(${[first, ...rest].join(", ")})`;
  }
}

function functionName(node: SyntaxNode, args: readonly string[]): string {
  const name = String(node.function_name);
  if (name === "count_star") return "count(*)";
  if (node.is_operator !== true) return `${name}(${node.distinct === true ? "DISTINCT " : ""}${args.join(", ")})`;
  const spelling = operators.get(name) ?? name;
  return args.length === 1 ? `(${spelling} ${args[0]})` : `${args[0]} ${spelling} ${args[1]}`;
}
