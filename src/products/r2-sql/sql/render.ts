/**
 * From DuckDB's syntax tree to the SQL that runs. Nothing of the user's text reaches the engine: every node must be of a
 * kind that is known here, every function is one of `functions.ts`, every name and constant is quoted anew, and every
 * table of the catalog is replaced by the scan that the planner made for it.
 */
import { identifier } from "../../../kernel/duckdb/engine.ts";
import { invalidQuery, invalidSql, unsupported } from "../errors.ts";
import { constantSql, readConstant } from "./constants.ts";
import { type ExpressionContext, renderExpression, renderOrders } from "./expressions.ts";
import { type FromItem, findField, fromItems, type SchemaOf } from "./from.ts";
import { displayName } from "./names.ts";
import { DEPTH_MAX, members, nodeKind, type SyntaxNode } from "./tree.ts";

export const LIMIT_DEFAULT = 500;
export const LIMIT_MAX = 10_000;

/** A table of the catalog in a query; each occurrence is scanned, and pruned, by itself. */
export interface TableReference {
  readonly item: FromItem;
  /** The SELECT whose FROM names it. */
  readonly select: SyntaxNode;
  /** Everything in that FROM. */
  readonly siblings: readonly FromItem[];
}

export interface Rendered {
  readonly sql: string;
  /** Rows that the query may give: its own LIMIT, or the default. */
  readonly limit: number;
}

/**
 * Renders a whole query. `scan` gives the SQL of a table expression for each table of the catalog, `schemaOf` the schemas
 * of tables where they are known. Throws `invalidSql` and
 * `invalidQuery` with the documented texts for everything outside the dialect.
 */
export function renderQuery(root: SyntaxNode, scan: (reference: TableReference) => string, schemaOf: SchemaOf = () => undefined): Rendered {
  const renderer = new Renderer(scan, schemaOf);
  const limit = outerLimit(root);
  return { sql: renderer.query(root, { ctes: new Set(), scopes: [], depth: 0, bare: false, limit }), limit };
}

/** Where a query stands in the tree. */
interface Place {
  /** Names of CTEs in sight, in lower case. */
  readonly ctes: ReadonlySet<string>;
  /** FROM clauses in sight, the innermost last. */
  readonly scopes: readonly (readonly FromItem[])[];
  readonly depth: number;
  /** True where a SELECT may do without FROM: inside expressions. */
  readonly bare: boolean;
  /** Replaces the LIMIT of the outermost query. */
  readonly limit?: number;
}

class Renderer {
  readonly #scan: (reference: TableReference) => string;
  readonly #schemaOf: SchemaOf;

  constructor(scan: (reference: TableReference) => string, schemaOf: SchemaOf) {
    this.#scan = scan;
    this.#schemaOf = schemaOf;
  }

  query(node: SyntaxNode, outer: Place): string {
    if (outer.depth > DEPTH_MAX) throw invalidSql("the query is nested too deeply");
    const m = members(node);
    const { clause, place } = this.#ctes(m.raw("cte_map"), { ...outer, depth: outer.depth + 1 });
    const { limit: _, ...inner } = place;
    let body: string;
    if (node.type === "SELECT_NODE") {
      const select = this.#select(node, m, inner);
      body = `${select}${this.#tail(m.nodes("modifiers"), outer, inner, node)}`;
    } else if (node.type === "SET_OPERATION_NODE") {
      const operator = m.text("setop_type");
      if (!["UNION", "EXCEPT", "INTERSECT"].includes(operator)) throw unsupported(`set operation ${operator}`);
      const all = m.flag("setop_all") ? " ALL" : "";
      const [left, right] = [this.query(m.node("left"), inner), this.query(m.node("right"), inner)];
      body = `(${left}) ${operator}${all} (${right})${this.#tail(m.nodes("modifiers"), outer, inner, node)}`;
    } else {
      throw unsupported(String(node.type) === "RECURSIVE_CTE_NODE" ? "recursive common table expressions" : String(node.type));
    }
    m.done();
    return `${clause}${body}`;
  }

  #ctes(map: unknown, outer: Place): { clause: string; place: Place } {
    const entries = ((map as { map?: unknown } | null)?.map ?? []) as { key: string; value: SyntaxNode }[];
    const ctes = new Set(outer.ctes);
    const parts = entries.map(({ key, value }) => {
      const m = members(value);
      const columns = m.texts("aliases");
      const query = members(m.node("query"));
      const materialized = String(m.raw("materialized")).replace("CTE_MATERIALIZE_", "");
      // A CTE sees those before it, not itself.
      const { limit: _, ...inner } = { ...outer, ctes: new Set(ctes), scopes: [], bare: false };
      const sql = this.query(query.node("node"), inner);
      query.done();
      m.done();
      ctes.add(key.toLowerCase());
      const how = materialized === "ALWAYS" ? "MATERIALIZED " : materialized === "NEVER" ? "NOT MATERIALIZED " : "";
      return `${identifier(key)}${columnList(columns)} AS ${how}(${sql})`;
    });
    return { clause: parts.length === 0 ? "" : `WITH ${parts.join(", ")} `, place: { ...outer, ctes } };
  }

  #select(node: SyntaxNode, m: ReturnType<typeof members>, outer: Place): string {
    const from = m.node("from_table");
    const items = from.type === "EMPTY" ? [] : fromItems(from, (name) => outer.ctes.has(name.toLowerCase()));
    const place: Place = { ...outer, scopes: [...outer.scopes, items] };
    const context = this.#context(place);
    if (from.type === "EMPTY" && !outer.bare) throw invalidSql("expected exactly 1 table in FROM clause");

    const distinct = this.#distinct(node, context);
    const list = m.nodes("select_list").map((item) => selectItem(item, context));
    const tables = from.type === "EMPTY" ? "" : ` FROM ${this.#from(from, node, items, place)}`;
    const clause = (name: string, keyword: string): string => {
      const expression = m.optionalNode(name);
      return expression === undefined ? "" : ` ${keyword} ${renderExpression(expression, context)}`;
    };
    const where = clause("where_clause", "WHERE");
    const group = groupBy(m, context);
    return `SELECT ${distinct}${list.join(", ")}${tables}${where}${group}${clause("having", "HAVING")}${clause("qualify", "QUALIFY")}`;
  }

  #distinct(node: SyntaxNode, context: ExpressionContext): string {
    const modifier = ((node.modifiers ?? []) as SyntaxNode[]).find((one) => one.type === "DISTINCT_MODIFIER");
    if (modifier === undefined) return "";
    const m = members(modifier);
    const on = m.nodes("distinct_on_targets").map((target) => renderExpression(target, context));
    m.done();
    return on.length === 0 ? "DISTINCT " : `DISTINCT ON (${on.join(", ")}) `;
  }

  /** ORDER BY and LIMIT. */
  #tail(modifiers: readonly SyntaxNode[], outer: Place, place: Place, node: SyntaxNode): string {
    let order = "";
    let limit = outer.limit === undefined ? "" : ` LIMIT ${outer.limit}`;
    for (const modifier of modifiers) {
      const m = members(modifier);
      if (modifier.type === "ORDER_MODIFIER") {
        const from = node.from_table as SyntaxNode | undefined;
        const items = from === undefined || from.type === "EMPTY" ? [] : fromItems(from, (name) => place.ctes.has(name.toLowerCase()));
        const orders = renderOrders(m.nodes("orders"), this.#context({ ...place, scopes: [...place.scopes, items] }));
        if (orders !== "") order = ` ${orders}`;
      } else if (modifier.type === "LIMIT_MODIFIER") {
        const count = limitCount(m.optionalNode("limit"), m.optionalNode("offset"));
        if (outer.limit === undefined) limit = ` LIMIT ${count}`;
      } else if (modifier.type === "DISTINCT_MODIFIER" && node.type === "SELECT_NODE") {
        continue;
      } else {
        throw unsupported(modifier.type === "LIMIT_PERCENT_MODIFIER" ? "LIMIT in percent" : String(modifier.type));
      }
      m.done();
    }
    return order + limit;
  }

  #from(node: SyntaxNode, select: SyntaxNode, items: readonly FromItem[], place: Place): string {
    const m = members(node);
    if (node.type === "JOIN") {
      const [left, right] = [m.node("left"), m.node("right")];
      const [leftSql, rightSql] = [this.#from(left, select, items, place), this.#from(right, select, items, place)];
      const join = this.#join(m, place, leftSql, right.type === "JOIN" ? `(${rightSql})` : rightSql);
      m.done();
      return join;
    }
    const item = items.find((one) => one.node === node);
    if (item === undefined) throw new Error("render FROM: an item is not in its own clause");
    if (node.type === "BASE_TABLE") {
      for (const name of ["catalog_name", "schema_name", "table_name", "alias"]) m.raw(name);
      const columns = m.texts("column_name_alias");
      if (m.raw("at_clause") != null) throw unsupported("time travel (AT)");
      m.done();
      if (item.table === undefined) return `${identifier(String(node.table_name))} AS ${identifier(item.alias)}${columnList(columns)}`;
      return `${this.#scan({ item, select, siblings: items })} AS ${identifier(item.alias)}${columnList(columns)}`;
    }
    if (node.type === "SUBQUERY") {
      const alias = m.text("alias");
      const columns = m.texts("column_name_alias");
      const query = members(m.node("subquery"));
      const { limit: _, ...inner } = { ...place, bare: false };
      const sql = this.query(query.node("node"), inner);
      query.done();
      m.done();
      return `(${sql})${alias === "" ? "" : ` AS ${identifier(alias)}${columnList(columns)}`}`;
    }
    if (node.type === "TABLE_FUNCTION") {
      const name = String((node.function as SyntaxNode | undefined)?.function_name ?? "");
      throw invalidSql(`only table name is supported in FROM clause: table function ${name} is not`);
    }
    throw invalidSql(`only table name is supported in FROM clause: ${nodeKind(node).toLowerCase().replaceAll("_", " ")} is not`);
  }

  #join(m: ReturnType<typeof members>, place: Place, left: string, right: string): string {
    const keyword = { INNER: "JOIN", LEFT: "LEFT JOIN", RIGHT: "RIGHT JOIN", FULL: "FULL JOIN" }[m.text("join_type")];
    const kind = m.text("ref_type");
    if (keyword === undefined) throw unsupported(`${m.text("join_type")} JOIN`);
    if (m.text("alias") !== "") throw unsupported("an alias of a join");
    const using = m.texts("using_columns");
    const condition = m.optionalNode("condition");
    if (kind === "CROSS") return `${left} CROSS JOIN ${right}`;
    if (kind === "NATURAL") return `${left} NATURAL ${keyword} ${right}`;
    if (kind !== "REGULAR") throw unsupported(`${kind} JOIN`);
    if (using.length > 0) return `${left} ${keyword} ${right} USING (${using.map(identifier).join(", ")})`;
    if (condition === undefined) throw invalidSql("a JOIN needs a condition");
    return `${left} ${keyword} ${right} ON ${renderExpression(condition, this.#context(place))}`;
  }

  #context(place: Place): ExpressionContext {
    return {
      depth: place.depth,
      column: (names) => columnSql(names, place.scopes),
      isPlainTimestamp: (names) => findField(names, place.scopes, this.#schemaOf)?.type === "timestamp",
      subquery: (node, depth) => {
        const m = members(node);
        const { limit: _, ...inner } = { ...place, depth, bare: true };
        const sql = this.query(m.node("node"), inner);
        m.done();
        return sql;
      },
    };
  }
}

const columnList = (columns: readonly string[]): string => (columns.length === 0 ? "" : `(${columns.map(identifier).join(", ")})`);

function selectItem(item: SyntaxNode, context: ExpressionContext): string {
  const sql = renderExpression(item, context);
  if (item.class === "STAR") return sql;
  const alias = String(item.alias ?? "");
  if (alias !== "") return `${sql} AS ${identifier(alias)}`;
  return item.class === "COLUMN_REF" ? sql : `${sql} AS ${identifier(displayName(item))}`;
}

function groupBy(m: ReturnType<typeof members>, context: ExpressionContext): string {
  const expressions = m.nodes("group_expressions").map((expression) => renderExpression(expression, context));
  const sets = (m.raw("group_sets") ?? []) as number[][];
  const all = m.text("aggregate_handling") !== "STANDARD_HANDLING";
  if (all) return " GROUP BY ALL";
  if (sets.length === 0) return "";
  const set = (indexes: readonly number[]): string => indexes.map((i) => expressions[i]).join(", ");
  if (sets.length === 1 && sets[0]?.length === expressions.length && expressions.length > 0) return ` GROUP BY ${set(sets[0])}`;
  return ` GROUP BY GROUPING SETS (${sets.map((indexes) => `(${set(indexes)})`).join(", ")})`;
}

/** `ns.t.column` means the column of the table that FROM calls `ns.t`; everything shorter is left to the engine. */
function columnSql(names: readonly string[], scopes: readonly (readonly FromItem[])[]): string {
  for (let count = Math.min(names.length - 1, 3); count >= 2; count--) {
    const prefix = names.slice(0, count).map((name) => name.toLowerCase());
    const found = scopes
      .flat()
      .find((item) => item.unaliased && item.table?.length === count && item.table.every((part, i) => part.toLowerCase() === prefix[i]));
    if (found !== undefined) return [found.alias, ...names.slice(count)].map(identifier).join(".");
  }
  return names.map(identifier).join(".");
}

// --- LIMIT -------------------------------------------------------------------------------------------------

/** LIMIT of the outermost query, checked against the documented range. */
function outerLimit(root: SyntaxNode): number {
  const modifier = ((root.modifiers ?? []) as SyntaxNode[]).find((one) => one.type === "LIMIT_MODIFIER");
  if (modifier === undefined) return LIMIT_DEFAULT;
  if (modifier.limit === null || modifier.limit === undefined) {
    // LIMIT ALL, or OFFSET alone.
    limitCount(undefined, (modifier.offset ?? undefined) as SyntaxNode | undefined);
    return LIMIT_DEFAULT;
  }
  const count = limitCount(modifier.limit as SyntaxNode, (modifier.offset ?? undefined) as SyntaxNode | undefined);
  if (count > LIMIT_MAX) throw invalidSql(`maximum LIMIT is ${LIMIT_MAX}`);
  if (count < 1) throw invalidSql(`LIMIT must be between 1 and ${LIMIT_MAX}`);
  return count;
}

function limitCount(limit: SyntaxNode | undefined, offset: SyntaxNode | undefined): number {
  if (offset !== undefined) throw unsupported("OFFSET clause is not supported");
  if (limit === undefined) throw unsupported("LIMIT without a number");
  const constant = limit.type === "VALUE_CONSTANT" ? readConstant(limit) : undefined;
  if (constant?.kind !== "decimal" || constant.scale !== 0 || constant.unscaled < 0n)
    throw invalidQuery(`LIMIT must be an integer literal${constant === undefined ? "" : `, not ${constantSql(constant)}`}`);
  return constant.unscaled > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(constant.unscaled);
}
