/**
 * The tables of one FROM clause, without those of its subqueries: their names, how columns refer to them, and whether an
 * outer join can fill their columns with nulls.
 */
import { invalidQuery } from "../errors.ts";
import type { SyntaxNode } from "./tree.ts";

export interface FromItem {
  /** The BASE_TABLE, SUBQUERY or other node. */
  readonly node: SyntaxNode;
  /** Parts of a catalog table's name as written; undefined for CTEs, subqueries and the rest. */
  readonly table: readonly string[] | undefined;
  /** The name that columns are qualified by. */
  readonly alias: string;
  /** True without `AS`: columns may then also be qualified by the whole name. */
  readonly unaliased: boolean;
  /** True on the side of an outer join that is filled with nulls. */
  readonly nullable: boolean;
}

/** Every item of a FROM clause, from left to right. `isCte` tells names of CTEs from those of tables. */
export function fromItems(from: SyntaxNode, isCte: (name: string) => boolean): FromItem[] {
  const items: FromItem[] = [];
  const visit = (node: SyntaxNode, nullable: boolean): void => {
    if (node.type === "JOIN") {
      const type = String(node.join_type);
      visit(node.left as SyntaxNode, nullable || type === "RIGHT" || type === "FULL");
      visit(node.right as SyntaxNode, nullable || type === "LEFT" || type === "FULL");
      return;
    }
    const own = String(node.alias ?? "");
    const table = node.type === "BASE_TABLE" ? catalogName(node, isCte) : undefined;
    const alias = own !== "" ? own : node.type === "BASE_TABLE" ? String(node.table_name) : "";
    items.push({ node, table, alias, unaliased: own === "", nullable });
  };
  visit(from, false);
  return disambiguated(items);
}

/** Parts of a table's name, or undefined for a CTE's. Throws for a bare name that is neither. */
function catalogName(node: SyntaxNode, isCte: (name: string) => boolean): string[] | undefined {
  const parts = [node.catalog_name, node.schema_name, node.table_name].map((part) => String(part ?? "")).filter((part) => part !== "");
  if (parts.length > 1) return parts;
  const name = parts[0] ?? "";
  if (isCte(name)) return undefined;
  throw invalidQuery(`table "${name}" must be qualified: namespace_name.table_name`);
}

/** `FROM a.t, b.t`: the bare name would mean both, so each goes by its whole name. */
function disambiguated(items: FromItem[]): FromItem[] {
  const uses = new Map<string, number>();
  for (const item of items) uses.set(item.alias.toLowerCase(), (uses.get(item.alias.toLowerCase()) ?? 0) + 1);
  return items.map((item) =>
    item.unaliased && item.table !== undefined && (uses.get(item.alias.toLowerCase()) ?? 0) > 1
      ? { ...item, alias: item.table.join(".") }
      : item,
  );
}
