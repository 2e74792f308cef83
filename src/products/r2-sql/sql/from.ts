/**
 * The tables of one FROM clause, without those of its subqueries: their names, how columns refer to them, and whether an
 * outer join can fill their columns with nulls.
 */
import type { NestedField, Schema } from "../../../protocols/iceberg/types.ts";
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

/** Schemas of the tables in sight, by the item of FROM. */
export type SchemaOf = (item: FromItem) => Schema | undefined;

/** A field by its name, without regard to case as the engine matches names; undefined when there are several. */
export function fieldByName(schema: Schema, name: string): NestedField | undefined {
  const found = schema.fields.filter((field) => field.name.toLowerCase() === name.toLowerCase());
  return found.length === 1 ? found[0] : undefined;
}

/** Whether the qualifier of a column (`t`, or `ns.t` without an alias) names the item. */
export function isQualifiedBy(item: FromItem, qualifier: readonly string[]): boolean {
  const parts = qualifier.map((part) => part.toLowerCase());
  if (parts.length === 1 && parts[0] === item.alias.toLowerCase()) return true;
  return item.unaliased && item.table?.length === parts.length && item.table.every((part, i) => part.toLowerCase() === parts[i]);
}

/** The field that a column's name means, looking from the innermost FROM outwards; undefined when that is not certain. */
export function findField(names: readonly string[], scopes: readonly (readonly FromItem[])[], schemaOf: SchemaOf): NestedField | undefined {
  const name = names.at(-1) as string;
  for (const items of scopes.toReversed()) {
    const candidates = names.length === 1 ? items : items.filter((item) => isQualifiedBy(item, names.slice(0, -1)));
    const schemas = candidates.map(schemaOf);
    // A subquery or CTE may have a column of that name.
    if (schemas.includes(undefined)) return undefined;
    const found = schemas.flatMap((schema) => fieldByName(schema as Schema, name) ?? []);
    if (found.length > 0) return found.length === 1 ? found[0] : undefined;
  }
  return undefined;
}
