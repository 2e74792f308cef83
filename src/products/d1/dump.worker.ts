/**
 * A database as the SQL statements that make it again, in the form and order of the sqlite3 shell's `.dump`, which is
 * also what D1's own exports look like. Lazy: one row at a time.
 */
export interface DumpOptions {
  /** Only these tables; empty means all. */
  readonly tables: readonly string[];
  readonly schema: boolean;
  readonly data: boolean;
}

export function* dumpStatements(sql: SqlStorage, { tables: only, schema, data }: DumpOptions): Generator<string> {
  const wanted = (name: string) => only.length === 0 || only.includes(name);
  const tables = sql
    .exec<{ name: string; sql: string }>(
      "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql NOT NULL ORDER BY tbl_name = 'sqlite_sequence', rowid",
    )
    .toArray()
    .filter(({ name }) => wanted(name));
  const virtual = tables.find(({ sql }) => /^\s*create\s+virtual\s+table/i.test(sql));
  if (virtual !== undefined) throw new Error("D1 Export error: cannot export databases with Virtual Tables (fts5)");
  // Rows come in the order of tables, not of their references; never empty, which clients rely on.
  yield "PRAGMA defer_foreign_keys=TRUE;";
  for (const { name, sql: definition } of tables) {
    if (name === "sqlite_sequence") {
      if (schema) yield "DELETE FROM sqlite_sequence;";
    } else if (name.startsWith("sqlite_stat")) {
      if (schema) yield "ANALYZE sqlite_schema;";
    } else if (name.startsWith("_cf_") || name.startsWith("sqlite_")) {
      continue;
    } else if (schema) {
      yield `${definition};`;
    }
    if (data) yield* rowsOf(sql, name);
  }
  if (!schema) return;
  const others = sql
    .exec<{ name: string; sql: string; tbl_name: string }>(
      "SELECT name, sql, tbl_name FROM sqlite_schema WHERE sql NOT NULL AND type IN ('index', 'trigger', 'view') ORDER BY type DESC, rowid",
    )
    .toArray();
  // Views first, because triggers may be on them. With a table go its own indexes and triggers.
  for (const other of others) if (wanted(other.name) || wanted(other.tbl_name)) yield `${other.sql};`;
}

function* rowsOf(sql: SqlStorage, table: string): Generator<string> {
  const name = quoteName(table);
  const columns = sql
    .exec<{ name: string; hidden: number }>("SELECT name, hidden FROM pragma_table_xinfo(?)", table)
    .toArray()
    // Generated columns (2 and 3) cannot be inserted.
    .filter(({ hidden }) => hidden === 0)
    .map((column) => quoteName(column.name));
  const into = `INSERT INTO ${name} (${columns.join(",")}) VALUES(`;
  // SQLite writes the literals: integers past 2^53, reals and blobs come out exactly. quote() ends a text at a NUL.
  const literals = columns.map((column) => {
    const asBytes = `'CAST(X''' || hex(${column}) || ''' AS TEXT)'`;
    return `CASE WHEN typeof(${column}) = 'text' AND instr(${column}, char(0)) THEN ${asBytes} ELSE quote(${column}) END`;
  });
  for (const row of sql.exec(`SELECT ${literals.join(",")} FROM ${name}`).raw()) yield `${into}${row.join(",")});`;
}

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
