/**
 * The catalogs of the account: one row for a bucket whose catalog was ever enabled. Disabling keeps everything and stops
 * the serving; deleting removes the rows and no object.
 */
import { randomUUID } from "node:crypto";
import { catalogError } from "./errors.ts";
import type { Catalog, Warehouse } from "./model.ts";

interface WarehouseRow {
  readonly id: string;
  readonly bucket: string;
  readonly status: "active" | "inactive";
  readonly credential: string | null;
  readonly maintenance: string | null;
}

const SECRET_PURPOSE = "r2-data-catalog.credential";
/** Bound of the list; an account has far fewer buckets with catalogs. */
const LIST_MAX = 10_000;
/** Namespaces, tables and views that one forced delete removes (docs, "Limits"). */
const FORCE_DELETE_MAX = 25_000;

const warehouseOf = (accountId: string, row: WarehouseRow): Warehouse => ({
  id: row.id,
  bucket: row.bucket,
  name: `${accountId}_${row.bucket}`,
  status: row.status,
  hasCredential: row.credential !== null,
});

export interface WarehouseEntry {
  readonly warehouse: Warehouse;
  /** Stored maintenance settings, JSON. */
  readonly maintenance: string | null;
}

export async function findWarehouse(catalog: Catalog, bucket: string): Promise<WarehouseEntry | undefined> {
  const row = await catalog.kernel.meta.get<WarehouseRow>("SELECT * FROM r2_data_catalog_warehouses WHERE bucket = ?", bucket);
  return row && { warehouse: warehouseOf(catalog.kernel.accountId, row), maintenance: row.maintenance };
}

/** Throws `catalog.catalogNotFound` for a bucket whose catalog was never enabled. */
export async function getWarehouse(catalog: Catalog, bucket: string): Promise<WarehouseEntry> {
  const entry = await findWarehouse(catalog, bucket);
  if (entry === undefined) throw catalogError("catalogNotFound");
  return entry;
}

/** The catalog, if it serves: enabled, and its bucket is still there. Throws `catalog.catalogNotFound`. */
export async function activeWarehouse(catalog: Catalog, bucket: string): Promise<Warehouse> {
  const entry = await findWarehouse(catalog, bucket);
  if (entry === undefined || entry.warehouse.status !== "active" || !(await catalog.objects.bucketExists(bucket)))
    throw catalogError("catalogNotFound", `The catalog of bucket ${bucket} is not enabled`);
  return entry.warehouse;
}

export async function listWarehouses(catalog: Catalog): Promise<WarehouseEntry[]> {
  const rows = await catalog.kernel.meta.all<WarehouseRow>("SELECT * FROM r2_data_catalog_warehouses ORDER BY bucket LIMIT ?", LIST_MAX);
  return rows.map((row) => ({ warehouse: warehouseOf(catalog.kernel.accountId, row), maintenance: row.maintenance }));
}

/** Enables the bucket's catalog, the first time or again. Enabling an enabled one changes nothing. */
export async function enableWarehouse(catalog: Catalog, bucket: string): Promise<Warehouse> {
  if (!(await catalog.objects.bucketExists(bucket))) throw catalogError("bucketNotFound");
  const { meta, clock } = catalog.kernel;
  const now = clock.now();
  await meta.run(
    `INSERT INTO r2_data_catalog_warehouses (id, bucket, status, created_at, updated_at) VALUES (?, ?, 'active', ?, ?)
     ON CONFLICT (bucket) DO UPDATE SET status = 'active', updated_at = excluded.updated_at`,
    randomUUID(),
    bucket,
    now,
    now,
  );
  return (await getWarehouse(catalog, bucket)).warehouse;
}

/** Stops the serving at once; rows and objects stay. */
export async function disableWarehouse(catalog: Catalog, bucket: string): Promise<void> {
  const { changes } = await catalog.kernel.meta.run(
    "UPDATE r2_data_catalog_warehouses SET status = 'inactive', updated_at = ? WHERE bucket = ?",
    catalog.kernel.clock.now(),
    bucket,
  );
  if (changes === 0) throw catalogError("catalogNotFound");
}

/** Removes the catalog, and with `force` its namespaces, tables and views. Objects of the bucket stay. */
export async function deleteWarehouse(catalog: Catalog, bucket: string, force: boolean): Promise<void> {
  await catalog.kernel.meta.transaction(async (tx) => {
    const row = await tx.get<{ id: string }>("SELECT id FROM r2_data_catalog_warehouses WHERE bucket = ?", bucket);
    if (row === undefined) throw catalogError("catalogNotFound");
    const count = async (table: "namespaces" | "tables"): Promise<number> =>
      (await tx.get<{ n: number }>(`SELECT COUNT(*) AS n FROM r2_data_catalog_${table} WHERE warehouse_id = ?`, row.id))?.n ?? 0;
    const objects = (await count("namespaces")) + (await count("tables"));
    if (objects > 0 && !force) throw catalogError("catalogNotEmpty");
    if (objects > FORCE_DELETE_MAX)
      throw catalogError("catalogNotEmpty", `The catalog holds more than ${FORCE_DELETE_MAX} objects; drop tables first`);
    await tx.run("DELETE FROM r2_data_catalog_tables WHERE warehouse_id = ?", row.id);
    await tx.run("DELETE FROM r2_data_catalog_namespaces WHERE warehouse_id = ?", row.id);
    await tx.run("DELETE FROM r2_data_catalog_warehouses WHERE id = ?", row.id);
  });
}

/** Stores the token that maintenance acts with, sealed. */
export async function storeCredential(catalog: Catalog, bucket: string, token: string): Promise<void> {
  const { meta, secrets, clock } = catalog.kernel;
  const { changes } = await meta.run(
    "UPDATE r2_data_catalog_warehouses SET credential = ?, updated_at = ? WHERE bucket = ?",
    secrets.seal(token, SECRET_PURPOSE),
    clock.now(),
    bucket,
  );
  if (changes === 0) throw catalogError("catalogNotFound");
}

/** The stored token; undefined when the catalog has none. */
export async function openCredential(catalog: Catalog, bucket: string): Promise<string | undefined> {
  const { meta, secrets } = catalog.kernel;
  const row = await meta.get<{ credential: string | null }>("SELECT credential FROM r2_data_catalog_warehouses WHERE bucket = ?", bucket);
  return row?.credential === null || row === undefined ? undefined : secrets.open(row.credential, SECRET_PURPOSE);
}
