/**
 * The name of a column that has no alias: a column keeps its name, `s.f` is "f", any other expression is named by its
 * text, as DataFusion does. Only a name: nothing runs it.
 */
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { JSON_OPERATORS } from "./statements.ts";

export function displayName(node: SyntaxNode): string {
  if (node.class === "COLUMN_REF") return (node.column_names as string[]).at(-1) as string;
  if (node.class === "OPERATOR" && node.type === "STRUCT_EXTRACT") {
    const [, member] = node.children as SyntaxNode[];
    return constantText(member as SyntaxNode);
  }
  return text(node);
}

function text(node: SyntaxNode): string {
  const children = ((node.children ?? []) as SyntaxNode[]).map(text);
  switch (node.class) {
    case "COLUMN_REF":
      return (node.column_names as string[]).join(".");
    case "CONSTANT":
      return constantText(node);
    case "CAST":
      return text(node.child as SyntaxNode);
    case "COMPARISON":
      return `${text(node.left as SyntaxNode)} ${symbols[node.type as string] ?? node.type} ${text(node.right as SyntaxNode)}`;
    case "CONJUNCTION":
      return children.join(node.type === "CONJUNCTION_AND" ? " AND " : " OR ");
    case "FUNCTION":
      if (node.is_operator !== true) return `${node.function_name}(${children.join(",")})`;
      if (jsonSymbols.has(node.function_name as string)) return jsonText(node);
      return children.length === 1 ? `${node.function_name}${children[0]}` : children.join(` ${node.function_name} `);
    case "OPERATOR":
      if (node.type === "ARRAY_EXTRACT") return `${children[0]}[${children.slice(1).join(":")}]`;
      return `${String(node.type).toLowerCase()}(${children.join(",")})`;
  }
  return String(node.class ?? node.type).toLowerCase();
}

const jsonSymbols: ReadonlyMap<string, string> = new Map(Object.entries(JSON_OPERATORS).map(([symbol, spelling]) => [spelling, symbol]));

/** `value -> 'user'`: here the real service shows texts as literals. */
function jsonText(node: SyntaxNode): string {
  const shown = (node.children as SyntaxNode[]).map((child) => {
    const value = child.class === "CONSTANT" ? (child.value as { type: { id: string }; value?: unknown }) : undefined;
    return value?.type.id === "VARCHAR" ? `'${value.value}'` : text(child);
  });
  return shown.join(` ${jsonSymbols.get(node.function_name as string)} `);
}

const symbols: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: "=",
  COMPARE_NOTEQUAL: "!=",
  COMPARE_LESSTHAN: "<",
  COMPARE_GREATERTHAN: ">",
  COMPARE_LESSTHANOREQUALTO: "<=",
  COMPARE_GREATERTHANOREQUALTO: ">=",
};

function constantText(node: SyntaxNode): string {
  const value = node.value as { is_null?: boolean; value?: unknown; type?: { type_info?: { scale?: number } | null } } | undefined;
  if (value === undefined || value.is_null === true) return "NULL";
  const scale = value.type?.type_info?.scale;
  if (scale !== undefined && typeof value.value === "number") return (value.value / 10 ** scale).toFixed(scale);
  return typeof value.value === "object" ? "literal" : String(value.value);
}
