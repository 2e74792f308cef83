/** Views: like tables they are a row that points to a metadata file; unlike tables they own no data. */
import { randomUUID } from "node:crypto";
import { nextMetadataLocation } from "../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../protocols/iceberg/types.ts";
import {
  applyViewCommit,
  newViewMetadata,
  parseViewMetadata,
  serializeViewMetadata,
  type ViewMetadata,
} from "../../protocols/iceberg/views.ts";
import { lockKey } from "./commits.ts";
import { asCatalogError, catalogError } from "./errors.ts";
import { checkLocation, newLocation } from "./locations.ts";
import type { Catalog, Warehouse } from "./model.ts";
import { checkNewName, type TableIdentifier } from "./names.ts";
import { getNamespace, namespaceProperties } from "./namespaces.ts";
import { gracePeriodSeconds, type Properties } from "./properties.ts";
import { removeRow } from "./removal.ts";
import { exists, findRow, getTable, insertRow, swapPointer } from "./table-rows.ts";

export interface LoadedView {
  readonly metadataLocation: string;
  readonly metadata: ViewMetadata;
}

export interface CreateView {
  readonly schema: Schema;
  readonly version: unknown;
  readonly location?: string | undefined;
  readonly properties: Properties;
}

const RETRIES = 2;

export async function createView(
  catalog: Catalog,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  definition: CreateView,
): Promise<LoadedView> {
  const { meta } = catalog.kernel;
  checkNewName("view", identifier.name);
  return catalog.locks.run([lockKey(warehouse, identifier)], async () => {
    const namespace = await getNamespace(meta, warehouse, identifier.namespace);
    const taken = await findRow(meta, namespace, identifier.name);
    if (taken !== undefined) throw exists(taken.kind, identifier, "view");
    const location = definition.location === undefined ? newLocation(warehouse, namespace) : checkLocation(warehouse, definition.location);
    const uuid = randomUUID();
    const metadata = checked(() => newViewMetadata({ ...definition, uuid, location }));
    const metadataLocation = nextMetadataLocation(location, undefined, randomUUID());
    await catalog.files.writeText(warehouse.bucket, metadataLocation, serializeViewMetadata(metadata));
    try {
      // The row goes last: it makes the view visible.
      await meta.transaction((tx) => insertRow(tx, catalog, warehouse, identifier, { kind: "view", uuid, location, metadataLocation }));
    } catch (error) {
      catalog.background("catalog.orphan_removal_failed", () => catalog.files.remove(warehouse.bucket, [metadataLocation]));
      throw error;
    }
    return { metadataLocation, metadata };
  });
}

export async function loadView(catalog: Catalog, warehouse: Warehouse, identifier: TableIdentifier): Promise<LoadedView> {
  const { metadata_location: metadataLocation } = await getTable(catalog.kernel.meta, warehouse, identifier, "view");
  return { metadataLocation, metadata: await readView(catalog, warehouse, metadataLocation) };
}

async function readView(catalog: Catalog, warehouse: Warehouse, location: string): Promise<ViewMetadata> {
  const text = await catalog.files.readText(warehouse.bucket, location);
  if (text === undefined) throw catalogError("metadataUnreadable", `The metadata file ${location} is missing`);
  return checked(() => parseViewMetadata(text));
}

/** Applies the updates of a replace; the same order of writes and the same retries as a table's commit. */
export async function replaceView(
  catalog: Catalog,
  warehouse: Warehouse,
  identifier: TableIdentifier,
  requirements: unknown,
  updates: unknown,
): Promise<LoadedView> {
  const { meta, clock } = catalog.kernel;
  return catalog.locks.run([lockKey(warehouse, identifier)], async () => {
    for (let attempt = 0; attempt <= RETRIES; attempt++) {
      const row = await getTable(meta, warehouse, identifier, "view");
      const base = await readView(catalog, warehouse, row.metadata_location);
      const metadata = checked(() => applyViewCommit(base, requirements, updates, clock.now()));
      if (metadata === base) return { metadataLocation: row.metadata_location, metadata };
      const metadataLocation = nextMetadataLocation(metadata.location, row.metadata_location, randomUUID());
      await catalog.files.writeText(warehouse.bucket, metadataLocation, serializeViewMetadata(metadata));
      if (await meta.transaction((tx) => swapPointer(tx, catalog, row, metadataLocation))) return { metadataLocation, metadata };
      catalog.background("catalog.orphan_removal_failed", () => catalog.files.remove(warehouse.bucket, [metadataLocation]));
    }
    throw catalogError("concurrentUpdate");
  });
}

/** Takes the view out of the catalog; with `purge` its metadata files are deleted after the grace period of its namespace. */
export async function dropView(catalog: Catalog, warehouse: Warehouse, identifier: TableIdentifier, purge: boolean): Promise<void> {
  const { meta } = catalog.kernel;
  await catalog.locks.run([lockKey(warehouse, identifier)], async () => {
    const row = await getTable(meta, warehouse, identifier, "view");
    const namespace = await getNamespace(meta, warehouse, identifier.namespace);
    await removeRow(catalog, warehouse, row, purge ? gracePeriodSeconds({}, namespaceProperties(namespace)) : undefined);
  });
}

function checked<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asCatalogError(error);
  }
}
