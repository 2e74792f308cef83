/** The control API of maintenance: settings of catalogs and tables, requests for a run, and the history of runs. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { RequestContext } from "../../../kernel/product.ts";
import { catalogError } from "../errors.ts";
import type { Catalog, TableRow, Warehouse } from "../model.ts";
import type { TableIdentifier } from "../names.ts";
import { decodeToken, encodeToken } from "../paging.ts";
import { getTable } from "../table-rows.ts";
import { listRuns, queueRun, type RunRow } from "./runs.ts";
import { maintained, nextRunAt } from "./scheduler.ts";
import { disabledBelow, maintenanceOf, maintenanceUpdate, storedAfter, updatedMaintenance } from "./settings.ts";

const queueBody = z.object({ request_id: z.uuid().optional() });

const iso = (time: number | null): string | null => (time === null ? null : new Date(time).toISOString());

/** Changes the settings of a catalog; gives those that hold then. */
export async function updateCatalogMaintenance(catalog: Catalog, bucket: string, context: RequestContext) {
  const update = await context.json(maintenanceUpdate);
  const config = await catalog.kernel.meta.transaction(async (tx) => {
    const row = await tx.get<{ id: string; maintenance: string | null }>(
      "SELECT id, maintenance FROM r2_data_catalog_warehouses WHERE bucket = ?",
      bucket,
    );
    if (row === undefined) throw catalogError("catalogNotFound");
    const updated = updatedMaintenance(maintenanceOf(row.maintenance), update);
    const stored = storedAfter(row.maintenance, updated, update);
    await tx.run("UPDATE r2_data_catalog_warehouses SET maintenance = ? WHERE id = ?", stored, row.id);
    const tables = await tx.all<{ id: string; maintenance: string }>(
      "SELECT id, maintenance FROM r2_data_catalog_tables WHERE warehouse_id = ? AND maintenance IS NOT NULL",
      row.id,
    );
    for (const table of tables) {
      const below = disabledBelow(table.maintenance, update);
      if (below !== undefined) await tx.run("UPDATE r2_data_catalog_tables SET maintenance = ? WHERE id = ?", below, table.id);
    }
    return updated;
  });
  catalog.maintainSoon();
  return config;
}

export async function tableMaintenance(catalog: Catalog, warehouse: Warehouse, maintenance: string | null, table: TableIdentifier) {
  const row = await getTable(catalog.kernel.meta, warehouse, table);
  return { maintenance_config: maintenanceOf(maintenance, row.maintenance) };
}

/** Changes the settings of a table; gives those that hold then. */
export async function updateTableMaintenance(
  catalog: Catalog,
  warehouse: Warehouse,
  maintenance: string | null,
  table: TableIdentifier,
  context: RequestContext,
) {
  const update = await context.json(maintenanceUpdate);
  const config = await catalog.kernel.meta.transaction(async (tx) => {
    const row = await getTable(tx, warehouse, table);
    const updated = updatedMaintenance(maintenanceOf(maintenance, row.maintenance), update);
    const stored = storedAfter(row.maintenance, updated, update, context.principal.tokenId);
    await tx.run("UPDATE r2_data_catalog_tables SET maintenance = ? WHERE id = ?", stored, row.id);
    return updated;
  });
  catalog.maintainSoon();
  return config;
}

/** Queues a run (docs, "Queue maintenance with the API"). The same `request_id` gives the same answer. */
export async function queueMaintenance(
  catalog: Catalog,
  warehouse: Warehouse,
  maintenance: string | null,
  table: TableIdentifier,
  context: RequestContext,
) {
  const type = context.params.type ?? "";
  if (type !== "compaction" && type !== "snapshot_expiration") throw catalogError("badRequest", `Unknown configuration type: ${type}`);
  const text = await context.request.text();
  const parsed = queueBody.safeParse(text === "" ? {} : parseJson(text));
  if (!parsed.success) throw catalogError("badRequest", "request_id must be a UUID");
  const row = await getTable(catalog.kernel.meta, warehouse, table);
  if (!maintained(maintenanceOf(maintenance, row.maintenance)))
    throw catalogError("maintenanceNotEnabled", "Neither compaction nor snapshot expiration is turned on for the table");
  const run = await queueRun(catalog, row.id, type, parsed.data.request_id ?? randomUUID());
  catalog.maintainSoon();
  return { request_id: run.request_id, configuration_type: run.configuration_type, status: "queued", queued_at: iso(run.queued_at) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw catalogError("badRequest", "The body is not JSON", { cause });
  }
}

/** Runs in one page (docs, "Limits"). */
const [PAGE_DEFAULT, PAGE_MAX] = [50, 100];

export async function maintenanceRuns(catalog: Catalog, row: TableRow, query: URLSearchParams) {
  const size = query.get("page_size");
  const limit = size === null || size === "" ? PAGE_DEFAULT : Number(size);
  if (!Number.isInteger(limit) || limit < 1) throw catalogError("badRequest", `Invalid page size: ${size}`);
  const page = Math.min(limit, PAGE_MAX);
  const token = query.get("page_token");
  const [startedAt = "", id = ""] = token === null || token === "" ? [] : decodeToken(token).split(" ");
  const after = startedAt === "" ? undefined : { startedAt: Number(startedAt), id };
  const rows = await listRuns(catalog.kernel.meta, row.id, page + 1, after);
  const last = rows[page - 1];
  const next = await nextRunAt(catalog, row.id);
  return {
    runs: rows.slice(0, page).map(shown),
    next_page_token: rows.length > page && last !== undefined ? encodeToken(`${last.started_at} ${last.id}`) : null,
    /** The earliest time of the schedule's next run. */
    next_eligible_at: iso(next ?? null),
  };
}

const shown = (run: RunRow) => ({
  id: run.id,
  request_id: run.request_id,
  status: run.status,
  message: run.message,
  started_at: iso(run.started_at),
  finished_at: iso(run.finished_at),
  duration_ms: run.started_at === null || run.finished_at === null ? null : run.finished_at - run.started_at,
  operations: run.operations === null ? {} : (JSON.parse(run.operations) as Readonly<Record<string, unknown>>),
});
