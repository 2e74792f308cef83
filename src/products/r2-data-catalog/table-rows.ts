/**
 * Rows of tables and views, and the pointers in them. Every change of a pointer goes through `swapPointer`, which
 * compares; whoever calls it has written the new metadata file durably before.
 */
import { randomUUID } from "node:crypto";
import type { MetaReader, MetaTransaction } from "../../kernel/meta/meta.ts";
import { catalogError } from "./errors.ts";
import type { Catalog, NamespaceRow, TableRow, Warehouse } from "./model.ts";
import { describe, type NamespacePath, type TableIdentifier } from "./names.ts";
import { findNamespace, getNamespace } from "./namespaces.ts";
import { cutPage, type PageRequest } from "./paging.ts";

export type Kind = TableRow["kind"];

/** The row under a name, whichever kind it is of. */
export async function findRow(reader: MetaReader, namespace: NamespaceRow, name: string): Promise<TableRow | undefined> {
  return reader.get<TableRow>("SELECT * FROM r2_data_catalog_tables WHERE namespace_id = ? AND name = ?", namespace.id, name);
}

/** The row of a table (or view) by its full name, or undefined; a missing namespace is a missing table. */
export async function findTable(
  reader: MetaReader,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  kind: Kind = "table",
): Promise<TableRow | undefined> {
  const namespace = await findNamespace(reader, warehouse, identifier.namespace);
  const row = namespace && (await findRow(reader, namespace, identifier.name));
  return row?.kind === kind ? row : undefined;
}

/** Throws `catalog.tableNotFound` or `catalog.viewNotFound`. */
export async function getTable(
  reader: MetaReader,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  kind: Kind = "table",
): Promise<TableRow> {
  const row = await findTable(reader, warehouse, identifier, kind);
  if (row === undefined) throw notFound(kind, identifier);
  return row;
}

export const notFound = (kind: Kind, identifier: TableIdentifier) =>
  kind === "table"
    ? catalogError("tableNotFound", `Table does not exist: ${describe(identifier)}`)
    : catalogError("viewNotFound", `View does not exist: ${describe(identifier)}`);

/** The error for a name that is taken by a `holder` and wanted for something of the kind `wanted`. */
export function exists(holder: Kind, identifier: TableIdentifier, wanted: Kind) {
  const text = `${kindName(holder)}${holder === wanted ? "" : " with same name"} already exists: ${describe(identifier)}`;
  return catalogError(holder === "table" ? "tableExists" : "viewExists", text);
}

const kindName = (kind: Kind): string => (kind === "table" ? "Table" : "View");

export async function listTables(
  catalog: Catalog,
  warehouse: Warehouse,
  namespace: NamespacePath,
  kind: Kind,
  page: PageRequest,
): Promise<{ rows: readonly TableRow[]; next: string | null }> {
  const { meta } = catalog.kernel;
  const { id } = await getNamespace(meta, warehouse, namespace);
  const rows = await meta.all<TableRow>(
    "SELECT * FROM r2_data_catalog_tables WHERE namespace_id = ? AND kind = ? AND name > ? ORDER BY name LIMIT ?",
    id,
    kind,
    page.after,
    page.limit + 1,
  );
  return cutPage(rows, page.limit, (row) => row.name);
}

export interface NewRow {
  readonly kind: Kind;
  readonly uuid: string;
  readonly location: string;
  readonly metadataLocation: string;
}

/**
 * Makes a new table or view visible. Throws `catalog.namespaceNotFound`, `catalog.tableExists` / `viewExists`, or
 * `catalog.invalidLocation` when the location overlaps that of another one.
 */
export async function insertRow(
  tx: MetaTransaction,
  catalog: Catalog,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  row: NewRow,
): Promise<void> {
  const namespace = await getNamespace(tx, warehouse, identifier.namespace);
  const taken = await findRow(tx, namespace, identifier.name);
  if (taken !== undefined) throw exists(taken.kind, identifier, row.kind);
  await checkUnique(tx, warehouse, row);
  await tx.run(
    `INSERT INTO r2_data_catalog_tables (id, warehouse_id, namespace_id, name, kind, uuid, location, metadata_location, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    randomUUID(),
    warehouse.id,
    namespace.id,
    identifier.name,
    row.kind,
    row.uuid,
    row.location,
    row.metadataLocation,
    catalog.kernel.clock.now(),
  );
  // A table that is registered again is no longer to be purged.
  await tx.run("DELETE FROM r2_data_catalog_purges WHERE warehouse_id = ? AND location = ?", warehouse.id, row.location);
}

/** Two tables must share neither a UUID nor files: a purge or an orphan removal of one would delete the other's. */
async function checkUnique(tx: MetaTransaction, warehouse: Warehouse, { uuid, location, kind }: NewRow): Promise<void> {
  const twin = await tx.get("SELECT 1 FROM r2_data_catalog_tables WHERE warehouse_id = ? AND uuid = ?", warehouse.id, uuid);
  if (twin !== undefined) throw catalogError("tableExists", `A ${kind} with the UUID ${uuid} already exists`);
  const overlapping = await tx.get<{ location: string }>(
    `SELECT location FROM r2_data_catalog_tables WHERE warehouse_id = ?
       AND (location = ? OR substr(?, 1, length(location) + 1) = location || '/' OR substr(location, 1, length(?) + 1) = ? || '/')
     LIMIT 1`,
    warehouse.id,
    location,
    location,
    location,
    location,
  );
  if (overlapping !== undefined)
    throw catalogError("invalidLocation", `The location ${location} overlaps that of another table: ${overlapping.location}`);
}

/** Moves the pointer if it still is where the caller read it; false when somebody else was faster. */
export async function swapPointer(tx: MetaTransaction, catalog: Catalog, row: TableRow, metadataLocation: string): Promise<boolean> {
  const { changes } = await tx.run(
    "UPDATE r2_data_catalog_tables SET metadata_location = ?, updated_at = ? WHERE id = ? AND metadata_location = ?",
    metadataLocation,
    catalog.kernel.clock.now(),
    row.id,
    row.metadata_location,
  );
  return changes === 1;
}

/** Gives a table or view another name, in the same namespace or another. */
export async function renameRow(
  catalog: Catalog,
  warehouse: Warehouse,
  kind: Kind,
  source: TableIdentifier,
  destination: TableIdentifier,
): Promise<void> {
  await catalog.kernel.meta.transaction(async (tx) => {
    const row = await getTable(tx, warehouse, source, kind);
    const namespace = await getNamespace(tx, warehouse, destination.namespace);
    const taken = await findRow(tx, namespace, destination.name);
    if (taken !== undefined)
      throw catalogError(
        taken.kind === "table" ? "tableExists" : "viewExists",
        `Cannot rename ${describe(source)} to ${describe(destination)}. ${kindName(taken.kind)} already exists`,
      );
    await tx.run(
      "UPDATE r2_data_catalog_tables SET namespace_id = ?, name = ?, updated_at = ? WHERE id = ?",
      namespace.id,
      destination.name,
      catalog.kernel.clock.now(),
      row.id,
    );
  });
}
