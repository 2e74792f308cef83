/** The operations of the Iceberg REST API on views. */
import type { Schema } from "../../../protocols/iceberg/types.ts";
import { checkNewName, type TableIdentifier } from "../names.ts";
import { getTable, listTables, renameRow } from "../table-rows.ts";
import { createView, dropView, type LoadedView, loadView, replaceView } from "../views.ts";
import type { Call, Operation, Reply } from "./dispatch.ts";
import { isTrue, namespaceOf, pageOf, refuseParameters } from "./operations.ts";
import { createViewBody, renameBody, replaceViewBody } from "./shapes.ts";

const viewOf = (call: Call): TableIdentifier => ({ namespace: namespaceOf(call), name: call.params.view ?? "" });

const rendered = ({ metadataLocation, metadata }: LoadedView): Reply => ({
  json: { "metadata-location": metadataLocation, metadata, config: {} },
});

export const viewOperations: readonly Operation[] = [
  {
    endpoint: "GET /v1/{prefix}/namespaces/{namespace}/views",
    op: "catalog.views.list",
    metric: "list-views",
    right: "read",
    async handle(call) {
      const namespace = namespaceOf(call);
      const { rows, next } = await listTables(call.catalog, call.warehouse, namespace, "view", pageOf(call));
      return { json: { identifiers: rows.map((row) => ({ namespace, name: row.name })), "next-page-token": next } };
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/views",
    op: "catalog.views.create",
    metric: "create-view",
    right: "write",
    async handle(call) {
      const body = await call.body(createViewBody);
      const identifier = { namespace: namespaceOf(call), name: body.name };
      const definition = {
        schema: body.schema as unknown as Schema,
        version: body["view-version"],
        location: body.location,
        properties: body.properties ?? {},
      };
      return rendered(await createView(call.catalog, call.warehouse, identifier, definition));
    },
  },
  {
    endpoint: "GET /v1/{prefix}/namespaces/{namespace}/views/{view}",
    op: "catalog.views.load",
    metric: "load-view",
    right: "read",
    handle: async (call) => rendered(await loadView(call.catalog, call.warehouse, viewOf(call))),
  },
  {
    endpoint: "HEAD /v1/{prefix}/namespaces/{namespace}/views/{view}",
    op: "catalog.views.exists",
    metric: "view-exists",
    right: "read",
    async handle(call): Promise<Reply> {
      await getTable(call.catalog.kernel.meta, call.warehouse, viewOf(call), "view");
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/views/{view}",
    op: "catalog.views.replace",
    metric: "replace-view",
    right: "write",
    async handle(call) {
      const { requirements = [], updates } = await call.body(replaceViewBody);
      return rendered(await replaceView(call.catalog, call.warehouse, viewOf(call), requirements, updates));
    },
  },
  {
    endpoint: "DELETE /v1/{prefix}/namespaces/{namespace}/views/{view}",
    op: "catalog.views.drop",
    metric: "drop-view",
    right: "write",
    async handle(call): Promise<Reply> {
      refuseParameters(call, ["force"]);
      await dropView(call.catalog, call.warehouse, viewOf(call), isTrue(call.query.get("purgeRequested")));
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/views/rename",
    op: "catalog.views.rename",
    metric: "rename-view",
    right: "write",
    async handle({ catalog, warehouse, body }): Promise<Reply> {
      const { source, destination } = await body(renameBody);
      checkNewName("view", destination.name);
      await renameRow(catalog, warehouse, "view", source, destination);
      return undefined;
    },
  },
];
