/**
 * Commits to one table or to several at once. The order is what makes them safe: (1) apply the updates to the metadata
 * that the row points to, (2) write the new metadata files, durable, under names that nobody knows, (3) in one
 * transaction move every pointer that still is where step 1 found it. Only (3) makes anything visible; a crash before it
 * leaves orphan files. When a pointer has moved in between, everything is done again on the newer metadata.
 */
import { randomUUID } from "node:crypto";
import { applyCommit } from "../../protocols/iceberg/commit.ts";
import { nextMetadataLocation, type TableMetadata } from "../../protocols/iceberg/metadata.ts";
import { checkRequirements } from "../../protocols/iceberg/requirements.ts";
import type { TableRequirement, TableUpdate } from "../../protocols/iceberg/updates.ts";
import { asCatalogError, catalogError } from "./errors.ts";
import { checkLocation, newLocation } from "./locations.ts";
import type { Catalog, NamespaceRow, TableRow, Warehouse } from "./model.ts";
import { checkNewName, describe, pathKey, type TableIdentifier } from "./names.ts";
import { getNamespace } from "./namespaces.ts";
import { checkPropertyUpdates, compressesMetadata, deletesOldMetadata, type Properties } from "./properties.ts";
import { exists, findRow, insertRow, notFound, swapPointer } from "./table-rows.ts";

export interface TableChange {
  readonly identifier: TableIdentifier;
  readonly requirements: readonly TableRequirement[];
  readonly updates: readonly TableUpdate[];
  /** Called with the metadata that the updates are about to change; throws when they no longer fit it. */
  readonly verify?: (base: TableMetadata) => void;
}

export interface CommittedTable {
  readonly metadataLocation: string;
  readonly metadata: TableMetadata;
}

/** A change worked out against the metadata of the moment. */
interface Prepared {
  readonly change: TableChange;
  /** Undefined for a table that the commit creates. */
  readonly row: TableRow | undefined;
  readonly result: CommittedTable;
  readonly changed: boolean;
  readonly dropped: readonly string[];
}

/** Attempts after the first (docs, "Table commits": the losing commit is retried up to two times). */
const RETRIES = 2;

/**
 * Commits all changes or none; returns the tables as they are then, in the order of the changes. Throws
 * `catalog.commitFailed` for a requirement that does not hold, `catalog.concurrentUpdate` when others were faster
 * three times, `catalog.tableNotFound`, and the errors of bad updates.
 */
export async function commitTables(catalog: Catalog, warehouse: Warehouse, changes: readonly TableChange[]): Promise<CommittedTable[]> {
  const keys = changes.map(({ identifier }) => lockKey(warehouse, identifier));
  if (new Set(keys).size < keys.length) throw catalogError("badRequest", "A transaction can change each table only once");
  for (const { updates } of changes) checkPropertyUpdates(updates);
  return catalog.locks.run(keys, async () => {
    for (let attempt = 0; attempt <= RETRIES; attempt++) {
      const prepared: Prepared[] = [];
      for (const change of changes) prepared.push(await prepare(catalog, warehouse, change));
      const committed = await publish(catalog, warehouse, prepared);
      if (committed) return prepared.map(({ result }) => result);
      catalog.kernel.log.info("catalog.commit_retried", { tables: changes.map(({ identifier }) => describe(identifier)), attempt });
    }
    throw catalogError("concurrentUpdate");
  });
}

export const lockKey = (warehouse: Warehouse, { namespace, name }: TableIdentifier): string =>
  `${warehouse.id}/${pathKey(namespace)}/${name}`;

async function prepare(catalog: Catalog, warehouse: Warehouse, change: TableChange): Promise<Prepared> {
  const { meta, clock } = catalog.kernel;
  const { identifier, requirements, updates } = change;
  const namespace = await getNamespace(meta, warehouse, identifier.namespace);
  const row = await findRow(meta, namespace, identifier.name);
  if (row?.kind === "view") throw exists("view", identifier, "table");
  if (row === undefined) {
    if (!requirements.some((requirement) => requirement.type === "assert-create")) throw notFound("table", identifier);
    checkNewName("table", identifier.name);
    const completed = completeCreation(warehouse, namespace, updates);
    const { metadata } = apply(() => applyCommit(undefined, requirements, completed, { now: clock.now() }));
    const metadataLocation = metadataLocationAfter(metadata, undefined);
    return { change, row, result: { metadataLocation, metadata }, changed: true, dropped: [] };
  }
  const base = await catalog.files.read(warehouse.bucket, row.metadata_location);
  // Before the location: who creates a table that there is by now should hear of that.
  apply(() => checkRequirements(base.metadata, requirements));
  checkFixedLocation(updates, base.metadata.location);
  change.verify?.(base.metadata);
  const applied = apply(() =>
    applyCommit(base.metadata, requirements, updates, { now: clock.now(), previousLocation: row.metadata_location }),
  );
  const { metadata, changed } = applied;
  const metadataLocation = changed ? metadataLocationAfter(metadata, row.metadata_location) : row.metadata_location;
  return { change, row, result: { metadataLocation, metadata }, changed, dropped: applied.droppedMetadataFiles };
}

function apply<T>(commit: () => T): T {
  try {
    return commit();
  } catch (error) {
    throw asCatalogError(error);
  }
}

/** A creating commit without UUID or location gets them; a location that it has must be in the bucket. */
function completeCreation(warehouse: Warehouse, namespace: NamespaceRow, updates: readonly TableUpdate[]): TableUpdate[] {
  const completed = updates.map((update) =>
    update.action === "set-location" ? { ...update, location: checkLocation(warehouse, update.location) } : update,
  );
  if (!updates.some((update) => update.action === "assign-uuid")) completed.unshift({ action: "assign-uuid", uuid: randomUUID() });
  if (!updates.some((update) => update.action === "set-location"))
    completed.push({ action: "set-location", location: newLocation(warehouse, namespace) });
  return completed;
}

function checkFixedLocation(updates: readonly TableUpdate[], location: string): void {
  for (const update of updates)
    if (update.action === "set-location" && update.location.replace(/\/+$/, "") !== location)
      throw catalogError("badRequest", `The location of a table cannot be changed: ${location}`);
}

/** A new name for the table's next metadata file. */
export function metadataLocationAfter(metadata: { location: string; properties: Properties }, previous: string | undefined): string {
  const location = nextMetadataLocation(metadata.location, previous, randomUUID());
  return compressesMetadata(metadata.properties) ? location.replace(/\.metadata\.json$/, ".gz.metadata.json") : location;
}

/** Steps 2 and 3; false when a pointer had moved, and then nothing has changed. */
async function publish(catalog: Catalog, warehouse: Warehouse, prepared: readonly Prepared[]): Promise<boolean> {
  const { files, kernel } = catalog;
  const changed = prepared.filter((p) => p.changed);
  const written: string[] = [];
  try {
    for (const { result } of changed) {
      written.push(result.metadataLocation);
      await files.write(warehouse.bucket, result.metadataLocation, result.metadata);
    }
    await kernel.meta.transaction(async (tx) => {
      for (const { change, row, result } of changed) {
        const { location, "table-uuid": uuid } = result.metadata;
        if (row === undefined)
          await insertRow(tx, catalog, warehouse, change.identifier, {
            kind: "table",
            uuid,
            location,
            metadataLocation: result.metadataLocation,
          });
        else if (!(await swapPointer(tx, catalog, row, result.metadataLocation))) throw new PointerMoved();
      }
    });
    // Committed: the new metadata is what every reader gets from here on.
  } catch (error) {
    // Nothing points to the files. If this fails they stay as orphans, which costs space and nothing else.
    catalog.background("catalog.orphan_removal_failed", () => files.remove(warehouse.bucket, written));
    if (error instanceof PointerMoved) return false;
    throw error;
  }
  for (const { result, dropped } of changed) removeOldMetadata(catalog, warehouse, result.metadata, dropped);
  return true;
}

class PointerMoved extends Error {}

/** Deletes metadata files that fell out of the log, best effort. Only those of the table itself: a log may name any file. */
function removeOldMetadata(catalog: Catalog, warehouse: Warehouse, metadata: TableMetadata, dropped: readonly string[]): void {
  if (!deletesOldMetadata(metadata.properties)) return;
  const own = dropped.filter((location) => location.startsWith(`${metadata.location}/metadata/`) && location.endsWith(".metadata.json"));
  if (own.length > 0) catalog.background("catalog.old_metadata_removal_failed", () => catalog.files.remove(warehouse.bucket, own));
}
