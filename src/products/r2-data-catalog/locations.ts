/** Where tables may lie: inside the catalog's bucket, in a place of their own. */
import { randomUUID } from "node:crypto";
import { parseS3Location } from "../../protocols/iceberg/metadata.ts";
import { catalogError } from "./errors.ts";
import type { Catalog, NamespaceRow, Warehouse } from "./model.ts";
import { namespaceProperties } from "./namespaces.ts";

/** Prefix of locations that the catalog chooses: everything under them is the catalog's. */
export const managedPrefix = (warehouse: Warehouse): string => `s3://${warehouse.bucket}/__r2_data_catalog/${warehouse.id}/`;

/** A new, empty place: under the namespace's location if it has one, else among the catalog's own. */
export function newLocation(warehouse: Warehouse, namespace: NamespaceRow): string {
  const { location } = namespaceProperties(namespace);
  if (location === undefined) return `${managedPrefix(warehouse)}${randomUUID()}`;
  return `${checkLocation(warehouse, location)}/${randomUUID()}`;
}

/** The location in its stored form (no slash at the end); throws `catalog.invalidLocation` when it is not inside the bucket. */
export function checkLocation(warehouse: Warehouse, location: string): string {
  const trimmed = location.replace(/\/+$/, "");
  const place = parseS3Location(trimmed);
  if (place === undefined || place.bucket !== warehouse.bucket || place.key === "")
    throw catalogError("invalidLocation", `The location ${location} is not inside the bucket of the catalog: s3://${warehouse.bucket}/`);
  // Nothing resolves dots in S3 keys, but clients that map keys to paths do.
  if (place.key.split("/").some((part) => part === "" || part === "." || part === ".."))
    throw catalogError("invalidLocation", `The location ${location} has empty or relative parts`);
  return `s3://${place.bucket}/${place.key}`;
}

/** Throws `catalog.invalidLocation` when objects lie under the location already (docs, "Tables"). */
export async function checkEmpty(catalog: Catalog, warehouse: Warehouse, location: string): Promise<void> {
  const place = parseS3Location(`${location}/`);
  const found = await catalog.objects.list(warehouse.bucket, place?.key ?? "", { limit: 1 });
  if (found.length > 0)
    throw catalogError("invalidLocation", `The location ${location} already contains files; the location of a new table must be empty`);
}
