/** The end of a table's or view's row, and of its files if they are to be purged. */
import { catalogError } from "./errors.ts";
import type { Catalog, TableRow, Warehouse } from "./model.ts";

/**
 * Removes the row; with a grace period (seconds) the files are deleted that much later. The row and the order to delete
 * its files commit together, so that neither is without the other. Throws `catalog.concurrentUpdate` if it has changed.
 */
export async function removeRow(catalog: Catalog, warehouse: Warehouse, row: TableRow, graceSeconds: number | undefined): Promise<void> {
  const { meta, clock } = catalog.kernel;
  await meta.transaction(async (tx) => {
    const { changes } = await tx.run(
      "DELETE FROM r2_data_catalog_tables WHERE id = ? AND metadata_location = ?",
      row.id,
      row.metadata_location,
    );
    if (changes === 0) throw catalogError("concurrentUpdate");
    for (const table of ["garbage", "schedule", "runs"]) await tx.run(`DELETE FROM r2_data_catalog_${table} WHERE table_id = ?`, row.id);
    if (graceSeconds === undefined) return;
    await tx.run(
      "INSERT INTO r2_data_catalog_purges (id, warehouse_id, bucket, location, metadata_location, due_at) VALUES (?, ?, ?, ?, ?, ?)",
      row.id,
      warehouse.id,
      warehouse.bucket,
      row.location,
      row.metadata_location,
      clock.now() + graceSeconds * 1000,
    );
  });
  if (graceSeconds !== undefined) catalog.purgeSoon();
}
