/** Brings the database's tables up to date: each migration of the kernel and of the products once, in order. */
import type { Clock } from "./clock.ts";
import type { Migration } from "./meta/meta.ts";
import type { SqliteMeta } from "./meta/sqlite.ts";

export interface MigrationSet {
  /** Product, or "kernel". */
  readonly scope: string;
  readonly migrations: readonly Migration[];
}

export async function migrate(meta: SqliteMeta, sets: readonly MigrationSet[], clock: Clock): Promise<void> {
  await meta.script(
    "CREATE TABLE IF NOT EXISTS kernel_migrations (scope TEXT, name TEXT, applied_at INTEGER NOT NULL, PRIMARY KEY (scope, name))",
  );
  const applied = new Set(
    (await meta.all<{ scope: string; name: string }>("SELECT scope, name FROM kernel_migrations")).map((m) => `${m.scope}/${m.name}`),
  );
  const pending: string[] = [];
  for (const { scope, migrations } of sets) {
    for (const { name, sql } of migrations) {
      if (applied.has(`${scope}/${name}`)) continue;
      if (!/^[a-z0-9-]+$/.test(scope) || !/^[a-z0-9-]+$/.test(name)) throw new Error(`migration ${scope}/${name}: names are [a-z0-9-]+`);
      pending.push(sql, `INSERT INTO kernel_migrations (scope, name, applied_at) VALUES ('${scope}', '${name}', ${clock.now()})`);
    }
  }
  // All in one transaction: a start that fails or ends half-way leaves the tables as the version before knows them, and a first
  // start waits for the disk once instead of once for each of some hundred migrations.
  if (pending.length > 0) await meta.script(pending.join(";\n"));
}
