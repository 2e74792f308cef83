/** Namespaces: rows with properties. A namespace exists independently of its parent's tables, but never without its parent. */
import { randomUUID } from "node:crypto";
import type { MetaReader, MetaTransaction } from "../../kernel/meta/meta.ts";
import { catalogError } from "./errors.ts";
import type { Catalog, NamespaceRow, Warehouse } from "./model.ts";
import { checkNewNamespace, dotted, fromPathKey, type NamespacePath, parentKey, pathKey } from "./names.ts";
import { cutPage, type PageRequest } from "./paging.ts";
import { checkNamespaceKeys, type Properties } from "./properties.ts";

export async function findNamespace(reader: MetaReader, warehouse: Warehouse, path: NamespacePath): Promise<NamespaceRow | undefined> {
  return reader.get<NamespaceRow>(
    "SELECT * FROM r2_data_catalog_namespaces WHERE warehouse_id = ? AND path = ?",
    warehouse.id,
    pathKey(path),
  );
}

/** Throws `catalog.namespaceNotFound`. */
export async function getNamespace(reader: MetaReader, warehouse: Warehouse, path: NamespacePath): Promise<NamespaceRow> {
  const row = await findNamespace(reader, warehouse, path);
  if (row === undefined) throw catalogError("namespaceNotFound", `Namespace does not exist: ${dotted(path)}`);
  return row;
}

export const namespaceProperties = (row: NamespaceRow): Properties => JSON.parse(row.properties) as Properties;

/** Direct children of `parent` ([] = the top level) in the order of their names. Throws `catalog.namespaceNotFound` for an unknown parent. */
export async function listNamespaces(
  catalog: Catalog,
  warehouse: Warehouse,
  parent: NamespacePath,
  page: PageRequest,
): Promise<{ rows: readonly NamespaceRow[]; next: string | null }> {
  const { meta } = catalog.kernel;
  if (parent.length > 0) await getNamespace(meta, warehouse, parent);
  const rows = await meta.all<NamespaceRow>(
    "SELECT * FROM r2_data_catalog_namespaces WHERE warehouse_id = ? AND parent = ? AND path > ? ORDER BY path LIMIT ?",
    warehouse.id,
    pathKey(parent),
    page.after,
    page.limit + 1,
  );
  return cutPage(rows, page.limit, (row) => row.path);
}

export const pathOf = (row: NamespaceRow): string[] => fromPathKey(row.path);

export async function createNamespace(catalog: Catalog, warehouse: Warehouse, path: NamespacePath, properties: Properties): Promise<void> {
  checkNewNamespace(path);
  checkNamespaceKeys(Object.keys(properties));
  await catalog.kernel.meta.transaction(async (tx) => {
    if ((await findNamespace(tx, warehouse, path)) !== undefined)
      throw catalogError("namespaceExists", `Namespace already exists: ${dotted(path)}`);
    if (path.length > 1) await getNamespace(tx, warehouse, path.slice(0, -1));
    await insertNamespace(tx, catalog, warehouse, path, properties);
  });
}

/** Creates the namespace and its parents where they are missing; returns its row. */
export async function ensureNamespace(catalog: Catalog, warehouse: Warehouse, path: NamespacePath): Promise<NamespaceRow> {
  const { meta } = catalog.kernel;
  const existing = await findNamespace(meta, warehouse, path);
  if (existing !== undefined) return existing;
  checkNewNamespace(path);
  return meta.transaction(async (tx) => {
    for (let depth = 1; depth <= path.length; depth++) {
      const level = path.slice(0, depth);
      if ((await findNamespace(tx, warehouse, level)) === undefined) await insertNamespace(tx, catalog, warehouse, level, {});
    }
    return getNamespace(tx, warehouse, path);
  });
}

async function insertNamespace(
  tx: MetaTransaction,
  catalog: Catalog,
  warehouse: Warehouse,
  path: NamespacePath,
  properties: Properties,
): Promise<void> {
  await tx.run(
    "INSERT INTO r2_data_catalog_namespaces (id, warehouse_id, path, parent, properties, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    randomUUID(),
    warehouse.id,
    pathKey(path),
    parentKey(path),
    JSON.stringify(properties),
    catalog.kernel.clock.now(),
  );
}

/** Deletes an empty namespace; throws `catalog.namespaceNotEmpty` while it has tables, views or children. */
export async function dropNamespace(catalog: Catalog, warehouse: Warehouse, path: NamespacePath): Promise<void> {
  await catalog.kernel.meta.transaction(async (tx) => {
    const row = await getNamespace(tx, warehouse, path);
    const table = await tx.get("SELECT 1 FROM r2_data_catalog_tables WHERE namespace_id = ? LIMIT 1", row.id);
    const child = await tx.get(
      "SELECT 1 FROM r2_data_catalog_namespaces WHERE warehouse_id = ? AND parent = ? LIMIT 1",
      warehouse.id,
      row.path,
    );
    if (table !== undefined || child !== undefined) throw catalogError("namespaceNotEmpty", `Namespace ${dotted(path)} is not empty`);
    await tx.run("DELETE FROM r2_data_catalog_namespaces WHERE id = ?", row.id);
  });
}

export interface PropertyChanges {
  readonly updated: readonly string[];
  readonly removed: readonly string[];
  readonly missing: readonly string[];
}

/** Sets and removes properties in one step. `location` is fixed when the namespace is created. */
export async function updateNamespaceProperties(
  catalog: Catalog,
  warehouse: Warehouse,
  path: NamespacePath,
  removals: readonly string[],
  updates: Properties,
): Promise<PropertyChanges> {
  const both = removals.find((key) => Object.hasOwn(updates, key));
  if (both !== undefined) throw catalogError("unprocessable", `Invalid namespace properties update: ${both} is both removed and updated`);
  checkNamespaceKeys(Object.keys(updates));
  return catalog.kernel.meta.transaction(async (tx) => {
    const row = await getNamespace(tx, warehouse, path);
    const properties: Record<string, string> = { ...namespaceProperties(row) };
    const location = updates.location ?? properties.location;
    if (removals.includes("location") || location !== properties.location)
      throw catalogError("badRequest", "The location of a namespace cannot be changed or removed");
    const [removed, missing]: [string[], string[]] = [[], []];
    for (const key of new Set(removals)) {
      (Object.hasOwn(properties, key) ? removed : missing).push(key);
      delete properties[key];
    }
    Object.assign(properties, updates);
    await tx.run(
      "UPDATE r2_data_catalog_namespaces SET properties = ?, updated_at = ? WHERE id = ?",
      JSON.stringify(properties),
      catalog.kernel.clock.now(),
      row.id,
    );
    return { updated: Object.keys(updates), removed, missing };
  });
}
