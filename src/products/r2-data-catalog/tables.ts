/** Tables: create, stage, register, load, drop. Commits are `commits.ts`, rows are `table-rows.ts`. */
import { randomUUID } from "node:crypto";
import {
  type FormatVersion,
  newTableMetadata,
  type SortField,
  type TableMetadata,
  type UnboundPartitionSpec,
} from "../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../protocols/iceberg/types.ts";
import { type CommittedTable, lockKey, metadataLocationAfter } from "./commits.ts";
import { asCatalogError, catalogError } from "./errors.ts";
import { checkEmpty, checkLocation, newLocation } from "./locations.ts";
import type { Catalog, Warehouse } from "./model.ts";
import { checkNewName, type TableIdentifier } from "./names.ts";
import { getNamespace, namespaceProperties } from "./namespaces.ts";
import { checkTableProperties, gracePeriodSeconds, type Properties } from "./properties.ts";
import { removeRow } from "./removal.ts";
import { exists, findRow, getTable, insertRow, swapPointer } from "./table-rows.ts";

export interface CreateTable {
  readonly schema: Schema;
  readonly partitionSpec?: UnboundPartitionSpec | undefined;
  readonly writeOrder?: { readonly fields: readonly SortField[] } | undefined;
  readonly location?: string | undefined;
  readonly properties: Properties;
}

/** Works out a new table's metadata without making anything visible; throws what `createTable` throws. */
export async function stageTable(
  catalog: Catalog,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  definition: CreateTable,
): Promise<TableMetadata> {
  const { meta, clock } = catalog.kernel;
  checkNewName("table", identifier.name);
  const { "format-version": version, ...properties } = definition.properties;
  checkTableProperties(properties);
  const namespace = await getNamespace(meta, warehouse, identifier.namespace);
  const taken = await findRow(meta, namespace, identifier.name);
  if (taken !== undefined) throw exists(taken.kind, identifier, "table");
  const location = definition.location === undefined ? newLocation(warehouse, namespace) : checkLocation(warehouse, definition.location);
  if (definition.location !== undefined) await checkEmpty(catalog, warehouse, location);
  try {
    return newTableMetadata({
      uuid: randomUUID(),
      location,
      schema: definition.schema,
      properties,
      formatVersion: formatVersion(version),
      now: clock.now(),
      ...(definition.partitionSpec && { partitionSpec: definition.partitionSpec }),
      ...(definition.writeOrder && { sortOrder: definition.writeOrder }),
    });
  } catch (error) {
    throw asCatalogError(error);
  }
}

/** The property that a client chooses the format version with; it is not stored (docs, "Table creation properties"). */
function formatVersion(text: string | undefined): FormatVersion {
  if (text === undefined) return 2;
  if (text !== "1" && text !== "2" && text !== "3") throw catalogError("invalidFormatVersion", `Invalid format version: ${text}`);
  return Number(text) as FormatVersion;
}

/** Creates an empty table. Visible when the promise resolves. */
export async function createTable(
  catalog: Catalog,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  definition: CreateTable,
): Promise<CommittedTable> {
  return catalog.locks.run([lockKey(warehouse, identifier)], async () => {
    const metadata = await stageTable(catalog, warehouse, identifier, definition);
    const metadataLocation = metadataLocationAfter(metadata, undefined);
    await catalog.files.write(warehouse.bucket, metadataLocation, metadata);
    const { "table-uuid": uuid, location } = metadata;
    try {
      // The row goes last: it makes the table visible, and the file that it points to is durable.
      await catalog.kernel.meta.transaction((tx) =>
        insertRow(tx, catalog, warehouse, identifier, { kind: "table", uuid, location, metadataLocation }),
      );
    } catch (error) {
      catalog.background("catalog.orphan_removal_failed", () => catalog.files.remove(warehouse.bucket, [metadataLocation]));
      throw error;
    }
    return { metadataLocation, metadata };
  });
}

/** Makes the table of an existing metadata file of the bucket known to the catalog; with `overwrite`, in place of the current one. */
export async function registerTable(
  catalog: Catalog,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  metadataLocation: string,
  overwrite: boolean,
): Promise<CommittedTable> {
  const { meta } = catalog.kernel;
  checkNewName("table", identifier.name);
  checkLocation(warehouse, metadataLocation);
  if (!/\.metadata\.json(\.gz)?$/.test(metadataLocation)) throw catalogError("badRequest", `Not a metadata file: ${metadataLocation}`);
  await getNamespace(meta, warehouse, identifier.namespace);
  const { metadata } = await catalog.files.read(warehouse.bucket, metadataLocation).catch((cause: Error) => {
    throw catalogError("badRequest", cause.message, { cause });
  });
  const location = checkLocation(warehouse, metadata.location);
  checkTableProperties(
    Object.fromEntries(Object.entries(metadata.properties).filter(([key]) => key.startsWith("cloudflare-data-catalog."))),
  );
  const uuid = metadata["table-uuid"].toLowerCase();
  await catalog.locks.run([lockKey(warehouse, identifier)], () =>
    meta.transaction(async (tx) => {
      const namespace = await getNamespace(tx, warehouse, identifier.namespace);
      const row = await findRow(tx, namespace, identifier.name);
      if (row !== undefined && (row.kind === "view" || !overwrite)) throw exists(row.kind, identifier, "table");
      if (row === undefined) await insertRow(tx, catalog, warehouse, identifier, { kind: "table", uuid, location, metadataLocation });
      else if (row.uuid === uuid && row.location === location) await swapPointer(tx, catalog, row, metadataLocation);
      else {
        await tx.run("DELETE FROM r2_data_catalog_tables WHERE id = ?", row.id);
        await insertRow(tx, catalog, warehouse, identifier, { kind: "table", uuid, location, metadataLocation });
      }
    }),
  );
  return { metadataLocation, metadata };
}

export interface LoadedText {
  readonly metadataLocation: string;
  /** The metadata file's text: sent to clients as it is. */
  readonly text: string;
}

export async function loadTable(catalog: Catalog, warehouse: Warehouse, identifier: TableIdentifier): Promise<LoadedText & CommittedTable> {
  const { meta, log } = catalog.kernel;
  for (let attempt = 0; ; attempt++) {
    const row = await getTable(meta, warehouse, identifier);
    try {
      const { text, metadata } = await catalog.files.read(warehouse.bucket, row.metadata_location);
      return { metadataLocation: row.metadata_location, text, metadata };
    } catch (error) {
      // The file may have been deleted by a later commit between the two reads: then the row has moved on.
      const again = await getTable(meta, warehouse, identifier);
      if (again.metadata_location === row.metadata_location || attempt >= 2) throw error;
      log.debug("catalog.load_repeated", { table: identifier.name });
    }
  }
}

/**
 * Takes the table out of the catalog. Its files stay, unless `purge`: then they are deleted after the grace period of
 * the table, its namespace, or 6 days. A table with `gc.enabled=false` may share its files with others: they always stay.
 */
export async function dropTable(catalog: Catalog, warehouse: Warehouse, identifier: TableIdentifier, purge: boolean): Promise<void> {
  const { meta } = catalog.kernel;
  await catalog.locks.run([lockKey(warehouse, identifier)], async () => {
    const row = await getTable(meta, warehouse, identifier);
    if (!purge) return removeRow(catalog, warehouse, row, undefined);
    const namespace = await getNamespace(meta, warehouse, identifier.namespace);
    const { properties } = (await catalog.files.read(warehouse.bucket, row.metadata_location)).metadata;
    const shared = properties["gc.enabled"]?.toLowerCase() === "false";
    await removeRow(catalog, warehouse, row, shared ? undefined : gracePeriodSeconds(properties, namespaceProperties(namespace)));
  });
}
