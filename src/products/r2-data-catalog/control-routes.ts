/**
 * The control API, under `/r2-catalog` and, the same, under `/basin-catalog` (the product's new name): enable and disable
 * catalogs, store the maintenance credential and settings, browse namespaces and tables.
 */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { CATALOG_READ, CATALOG_WRITE, mayUseCatalog, type Right, tokenMayMaintain } from "./access.ts";
import { catalogError } from "./errors.ts";
import {
  maintenanceRuns,
  queueMaintenance,
  tableMaintenance,
  updateCatalogMaintenance,
  updateTableMaintenance,
} from "./maintenance/routes.ts";
import { maintenanceOf } from "./maintenance/settings.ts";
import type { Catalog } from "./model.ts";
import { LEVEL_SEPARATOR } from "./names.ts";
import { listNamespaces, pathOf } from "./namespaces.ts";
import { pageRequest } from "./paging.ts";
import { getTable, listTables } from "./table-rows.ts";
import {
  deleteWarehouse,
  disableWarehouse,
  enableWarehouse,
  getWarehouse,
  listWarehouses,
  storeCredential,
  type WarehouseEntry,
} from "./warehouses.ts";

const credentialBody = z.object({ token: z.string().min(1) });
const bases = ["/accounts/:account/r2-catalog", "/accounts/:account/basin-catalog"];

const iso = (time: number | null): string | null => (time === null ? null : new Date(time).toISOString());

const shown = ({ warehouse, maintenance }: WarehouseEntry) => ({
  id: warehouse.id,
  name: warehouse.name,
  bucket: warehouse.bucket,
  status: warehouse.status,
  credential_status: warehouse.hasCredential ? "present" : "absent",
  maintenance_config: maintenanceOf(maintenance),
});

const levels = (text: string): string[] => text.split(LEVEL_SEPARATOR);
const flag = (query: URLSearchParams, name: string): boolean => query.get(name) === "true";

export function controlRoutes(catalog: Catalog): Route[] {
  const { kernel } = catalog;

  /** The bucket of the request, if the token has the right on it: the route's check is satisfied by any bucket. */
  function bucketOf({ params, principal }: RequestContext, right: Right): string {
    const bucket = params.bucket ?? "";
    if (!mayUseCatalog(principal, kernel.accountId, bucket, right)) throw platformError("forbidden");
    return bucket;
  }

  const operations: readonly [string, Route["method"], string, Right, (context: RequestContext) => Promise<unknown>][] = [
    [
      "list",
      "GET",
      "",
      "read",
      async ({ principal }) => {
        const all = await listWarehouses(catalog);
        return {
          warehouses: all.filter(({ warehouse }) => mayUseCatalog(principal, kernel.accountId, warehouse.bucket, "read")).map(shown),
        };
      },
    ],
    ["get", "GET", "/:bucket", "read", async (context) => shown(await getWarehouse(catalog, bucketOf(context, "read")))],
    [
      "enable",
      "POST",
      "/:bucket/enable",
      "write",
      async (context) => {
        const { id, name } = await enableWarehouse(catalog, bucketOf(context, "write"));
        return { id, name };
      },
    ],
    ["disable", "POST", "/:bucket/disable", "write", async (context) => disableWarehouse(catalog, bucketOf(context, "write"))],
    [
      "delete",
      "POST",
      "/:bucket/delete",
      "write",
      async (context) => deleteWarehouse(catalog, bucketOf(context, "write"), flag(context.query, "force")),
    ],
    [
      "credential",
      "POST",
      "/:bucket/credential",
      "write",
      async (context) => {
        const bucket = bucketOf(context, "write");
        const { token } = await context.json(credentialBody);
        await getWarehouse(catalog, bucket);
        // `wrangler pipelines setup` validates tokens by this call.
        if (!(await tokenMayMaintain(kernel, bucket, token))) throw catalogError("invalidCredential");
        await storeCredential(catalog, bucket, token);
      },
    ],
    [
      "maintenance.get",
      "GET",
      "/:bucket/maintenance-configs",
      "read",
      async (context) => {
        const { credential_status, maintenance_config } = shown(await getWarehouse(catalog, bucketOf(context, "read")));
        return { credential_status, maintenance_config };
      },
    ],
    [
      "maintenance.update",
      "POST",
      "/:bucket/maintenance-configs",
      "write",
      async (context) => updateCatalogMaintenance(catalog, bucketOf(context, "write"), context),
    ],
    [
      "namespaces.list",
      "GET",
      "/:bucket/namespaces",
      "read",
      async (context) => {
        const { warehouse } = await getWarehouse(catalog, bucketOf(context, "read"));
        const { query } = context;
        const parent = query.get("parent");
        const page = pageRequest(query.get("page_size"), query.get("page_token"));
        const { rows, next } = await listNamespaces(catalog, warehouse, parent === null || parent === "" ? [] : levels(parent), page);
        return {
          namespaces: rows.map(pathOf),
          ...(flag(query, "return_uuids") && { namespace_uuids: rows.map((row) => row.id) }),
          ...(flag(query, "return_details") && {
            details: rows.map((row) => ({
              namespace: pathOf(row),
              namespace_uuid: row.id,
              created_at: iso(row.created_at),
              updated_at: iso(row.updated_at),
            })),
          }),
          next_page_token: next,
        };
      },
    ],
    [
      "tables.list",
      "GET",
      "/:bucket/namespaces/:namespace/tables",
      "read",
      async (context) => {
        const { warehouse } = await getWarehouse(catalog, bucketOf(context, "read"));
        const { query } = context;
        const namespace = levels(context.params.namespace ?? "");
        const page = pageRequest(query.get("page_size"), query.get("page_token"));
        const { rows, next } = await listTables(catalog, warehouse, namespace, "table", page);
        return {
          identifiers: rows.map((row) => ({ namespace, name: row.name })),
          ...(flag(query, "return_uuids") && { table_uuids: rows.map((row) => row.uuid) }),
          ...(flag(query, "return_details") && {
            details: rows.map((row) => ({
              identifier: { namespace, name: row.name },
              table_uuid: row.uuid,
              created_at: iso(row.created_at),
              updated_at: iso(row.updated_at),
              location: row.location,
              metadata_location: row.metadata_location,
            })),
          }),
          next_page_token: next,
        };
      },
    ],
    [
      "tables.maintenance.get",
      "GET",
      "/:bucket/namespaces/:namespace/tables/:table/maintenance-configs",
      "read",
      async (context) => {
        const { warehouse, maintenance } = await getWarehouse(catalog, bucketOf(context, "read"));
        return tableMaintenance(catalog, warehouse, maintenance, tableOf(context));
      },
    ],
    [
      "tables.maintenance.update",
      "POST",
      "/:bucket/namespaces/:namespace/tables/:table/maintenance-configs",
      "write",
      async (context) => {
        const { warehouse, maintenance } = await getWarehouse(catalog, bucketOf(context, "write"));
        return updateTableMaintenance(catalog, warehouse, maintenance, tableOf(context), context);
      },
    ],
    [
      "tables.maintenance.queue",
      "POST",
      "/:bucket/namespaces/:namespace/tables/:table/maintenance-configs/:type/queue",
      "write",
      async (context) => {
        const { warehouse, maintenance } = await getWarehouse(catalog, bucketOf(context, "write"));
        return queueMaintenance(catalog, warehouse, maintenance, tableOf(context), context);
      },
    ],
    [
      "tables.maintenance.runs",
      "GET",
      "/:bucket/namespaces/:namespace/tables/:table/maintenance-runs",
      "read",
      async (context) => {
        const { warehouse } = await getWarehouse(catalog, bucketOf(context, "read"));
        return maintenanceRuns(catalog, await getTable(kernel.meta, warehouse, tableOf(context)), context.query);
      },
    ],
  ];

  return bases.flatMap((base) =>
    operations.map(
      ([name, method, path, right, handle]): Route => ({
        op: `${base.endsWith("r2-catalog") ? "r2_catalog" : "basin_catalog"}.${name}`,
        method,
        path: `${base}${path}`,
        permission: [right === "write" ? CATALOG_WRITE : CATALOG_READ],
        handle,
      }),
    ),
  );
}

const tableOf = ({ params }: RequestContext) => ({ namespace: levels(params.namespace ?? ""), name: params.table ?? "" });
