/**
 * SELECT statements of a pipeline: `[WITH …] SELECT … FROM stream, subquery or CTE [WHERE …]`, without joins, aggregates
 * or anything else that looks at more than one event (docs/pipelines/sql-reference/select-statements). CTEs and
 * subqueries are put in the place of their names; every SELECT passes the hidden column `TIME` on, so that the time
 * of ingest reaches the sink whatever columns the user takes.
 */
import { identifier } from "../../../kernel/duckdb/engine.ts";
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { reservedColumns, TIME } from "../fields.ts";
import { SOURCE } from "../source.ts";
import { displayName } from "./display.ts";
import { expression, inOrder } from "./expressions.ts";
import { type Growth, growth, type Holding, holdingOnce, partOf } from "./growth.ts";
import type { Scope, Types } from "./scope.ts";
import { SqlError } from "./sql-error.ts";

export interface CompiledSelect {
  /** Yields `columns`, in this order, then the hidden time of ingest. */
  readonly sql: string;
  readonly columns: readonly string[];
  /** What a value of each column can hold. */
  readonly holdings: readonly Holding[];
}

export interface SelectContext {
  /** Columns of the stream with that name; throws `SqlError` when there is none. The same stream at every call. */
  stream(name: string): readonly string[];
  /** Types of expressions over the rows of `from`, remembered for the whole statement. */
  typesOver(from: string): Types;
  /** Counts the functions whose results are as large as an argument says. */
  onMaker(): void;
  /** How often some value can hold a column of the stream. */
  onGrowth(times: number): void;
  /** Milliseconds since the epoch: the value of `now()`. */
  readonly now: number;
  /**
   * Every expression in TRY: what fails on a row's values gives NULL. Slower; for batches on which the plain form failed,
   * so that one event cannot hold up its stream for ever.
   */
  readonly guarded: boolean;
}

type Ctes = ReadonlyMap<string, CompiledSelect>;

interface From {
  readonly sql: string;
  readonly alias: string;
  readonly columns: readonly string[];
  readonly holdings: readonly Holding[];
}

/** SELECTs around a SELECT, and CTEs that build on each other: DuckDB's binder recurses. */
const NESTED_MAX = 50;

export async function compileSelect(node: SyntaxNode, context: SelectContext, outer: Ctes = new Map(), depth = 0): Promise<CompiledSelect> {
  if (depth > NESTED_MAX) throw new SqlError(`subqueries are nested more than ${NESTED_MAX} levels deep`);
  refuseOtherThanRowWise(node);
  const ctes = await commonTables(node, context, outer, depth);
  const from = await fromItem(node.from_table as SyntaxNode, context, ctes, depth);
  const scope = scopeOf(from, context);
  const held = growth((names) => {
    const { index, members } = columnAt(names, from);
    return partOf(from.holdings[index] as Holding, members);
  }, context.onGrowth);
  const items = (await inOrder(node.select_list as SyntaxNode[], (item) => selectItem(item, from, scope, held))).flat();
  uniqueNames(items.map((item) => item.name));
  if ((node.select_list as SyntaxNode[]).filter(isUnnest).length > 1) throw new SqlError("only one array may be unnested per SELECT");
  const where = (node.where_clause ?? null) === null ? "" : ` WHERE ${await guarded(node.where_clause as SyntaxNode, scope, held)}`;
  const list = [...items.map((item) => `${item.sql} AS ${identifier(item.name)}`), `${identifier(from.alias)}.${TIME} AS ${TIME}`];
  return {
    sql: `SELECT ${list.join(", ")} FROM ${from.sql}${where}`,
    columns: items.map((item) => item.name),
    holdings: items.map((item) => item.holding),
  };
}

function refuseOtherThanRowWise(node: SyntaxNode): void {
  if (node.type === "SET_OPERATION_NODE") throw new SqlError("set operations (UNION, INTERSECT, EXCEPT) are not supported");
  if (node.type !== "SELECT_NODE") throw new SqlError(`unsupported statement (${node.type})`);
  for (const modifier of node.modifiers as SyntaxNode[]) {
    const names: Readonly<Record<string, string>> = { ORDER_MODIFIER: "ORDER BY", LIMIT_MODIFIER: "LIMIT", DISTINCT_MODIFIER: "DISTINCT" };
    throw new SqlError(`${names[modifier.type as string] ?? modifier.type} is not supported`);
  }
  if ((node.group_expressions as unknown[]).length > 0 || (node.group_sets as unknown[]).length > 0)
    throw new SqlError("GROUP BY is not supported");
  for (const [member, name] of [
    ["having", "HAVING"],
    ["qualify", "QUALIFY"],
    ["sample", "TABLESAMPLE"],
  ] as const)
    if ((node[member] ?? null) !== null) throw new SqlError(`${name} is not supported`);
  if (node.aggregate_handling !== "STANDARD_HANDLING") throw new SqlError("GROUP BY is not supported");
}

async function commonTables(node: SyntaxNode, context: SelectContext, outer: Ctes, depth: number): Promise<Ctes> {
  const ctes = new Map(outer);
  const entries = (node.cte_map as { map: { key: string; value: { aliases: string[]; query: { node: SyntaxNode } } }[] }).map;
  if (entries.length > NESTED_MAX) throw new SqlError(`more than ${NESTED_MAX} queries in WITH`);
  for (const { key, value } of entries) {
    if (value.aliases.length > 0) throw new SqlError(`column names after the CTE ${key} are not supported`);
    ctes.set(key.toLowerCase(), await compileSelect(value.query.node, context, ctes, depth + 1));
  }
  return ctes;
}

async function fromItem(node: SyntaxNode, context: SelectContext, ctes: Ctes, depth: number): Promise<From> {
  if ((node.sample ?? null) !== null) throw new SqlError("TABLESAMPLE is not supported");
  if (((node.column_name_alias as string[] | undefined) ?? []).length > 0)
    throw new SqlError("column names after a table's alias are not supported");
  const given = node.alias as string;
  switch (node.type) {
    case "BASE_TABLE": {
      const name = node.table_name as string;
      if (node.schema_name !== "" || node.catalog_name !== "" || (node.at_clause ?? null) !== null)
        throw new SqlError(`table '${[node.catalog_name, node.schema_name, name].filter(Boolean).join(".")}' not found`);
      const alias = given === "" ? name : given;
      const cte = ctes.get(name.toLowerCase());
      if (cte !== undefined) return { ...cte, sql: `(${cte.sql}) AS ${identifier(alias)}`, alias };
      const columns = context.stream(name);
      return { sql: `${SOURCE} AS ${identifier(alias)}`, columns, holdings: columns.map(holdingOnce), alias };
    }
    case "SUBQUERY": {
      const inner = await compileSelect((node.subquery as { node: SyntaxNode }).node, context, ctes, depth + 1);
      const alias = given === "" ? "subquery" : given;
      return { ...inner, sql: `(${inner.sql}) AS ${identifier(alias)}`, alias };
    }
    case "EMPTY":
      throw new SqlError("SELECT needs a FROM clause with a stream");
    case "JOIN":
      throw new SqlError("joins are not supported");
    case "TABLE_FUNCTION":
      throw new SqlError("table functions are not supported");
  }
  throw new SqlError(`unsupported FROM (${node.type})`);
}

function scopeOf(from: From, context: SelectContext): Scope {
  return {
    now: context.now,
    types: context.typesOver(from.sql),
    guarded: context.guarded,
    onVolatile() {},
    onMaker: context.onMaker,
    column(names) {
      const { index, members } = columnAt(names, from);
      return members.reduce(
        (sql, member) => `struct_extract(${sql}, '${member.replaceAll("'", "''")}')`,
        `${identifier(from.alias)}.${identifier(from.columns[index] as string)}`,
      );
    },
  };
}

/** The column that a reference names, and the members of it. Throws `SqlError` when there is none. */
function columnAt(names: readonly string[], { alias, columns }: From): { index: number; members: readonly string[] } {
  const find = (name: string): number => columns.findLastIndex((column) => column.toLowerCase() === name.toLowerCase());
  const [first, second] = names as [string, string | undefined];
  if (first.toLowerCase() === alias.toLowerCase() && second !== undefined && find(second) >= 0)
    return { index: find(second), members: names.slice(2) };
  if (find(first) >= 0) return { index: find(first), members: names.slice(1) };
  const valid = columns.map((name) => `${alias}.${name}`).join(", ");
  throw new SqlError(`No field named ${names.join(".")}. Valid fields are ${valid}.`);
}

interface Item {
  readonly name: string;
  readonly sql: string;
  readonly holding: Holding;
}

async function selectItem(item: SyntaxNode, from: From, scope: Scope, held: Growth): Promise<Item[]> {
  if (item.class === "STAR") return starItems(item, from);
  const alias = item.alias as string;
  const name = alias === "" ? displayName(item) : alias;
  if (!isUnnest(item)) return [{ name, sql: await guarded(item, scope, held), holding: held.of(item) }];
  const args = item.children as SyntaxNode[];
  if (args.length !== 1) throw new SqlError("UNNEST expects 1 argument");
  const [list] = args as [SyntaxNode];
  return [{ name, sql: `unnest(${await guarded(list, scope, held)})`, holding: held.of(list) }];
}

/** The expression, in TRY where that is asked for. What gives another value at each call cannot be tried again. */
async function guarded(node: SyntaxNode, scope: Scope, held: Growth): Promise<string> {
  // Before the engine sees any of it: it computes what is made of literals alone.
  held.of(node);
  let volatile = false;
  const sql = await expression(node, { ...scope, onVolatile: () => (volatile = true) });
  return scope.guarded && !volatile ? `TRY(${sql})` : sql;
}

const isUnnest = (node: SyntaxNode): boolean => node.class === "FUNCTION" && (node.function_name as string).toLowerCase() === "unnest";

function starItems(item: SyntaxNode, from: From): Item[] {
  const relation = item.relation_name as string;
  if (relation !== "" && relation.toLowerCase() !== from.alias.toLowerCase()) throw new SqlError(`table '${relation}' not found`);
  const plain = [item.exclude_list, item.replace_list, item.qualified_exclude_list, item.rename_list].every(
    (list) => ((list as unknown[] | null) ?? []).length === 0,
  );
  if (!plain || item.columns === true || (item.expr ?? null) !== null)
    throw new SqlError("EXCLUDE, REPLACE and RENAME after * are not supported");
  return from.columns.map((column, i) => ({
    name: column,
    sql: `${identifier(from.alias)}.${identifier(column)}`,
    holding: from.holdings[i] as Holding,
  }));
}

function uniqueNames(names: readonly string[]): void {
  const seen = new Map<string, number>();
  for (const [i, name] of names.entries()) {
    if (reservedColumns.has(name.toLowerCase())) throw new SqlError(`the column name ${name} is reserved`);
    const before = seen.get(name.toLowerCase());
    if (before !== undefined)
      throw new SqlError(
        `Projections require unique expression names but the expression "${name}" at position ${before} and "${name}" at position ${i} have the same name. Consider aliasing ("AS") one of them.`,
      );
    seen.set(name.toLowerCase(), i);
  }
}
