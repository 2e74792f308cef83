/** The operations of the Iceberg REST API on the configuration, namespaces and tables: parse, act, render. */
import { type SortField, serializeTableMetadata, type UnboundPartitionSpec } from "../../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../../protocols/iceberg/types.ts";
import { parseRequirements, parseUpdates } from "../../../protocols/iceberg/updates.ts";
import { type CommittedTable, commitTables } from "../commits.ts";
import { catalogError } from "../errors.ts";
import { checkNewName, LEVEL_SEPARATOR, type TableIdentifier } from "../names.ts";
import {
  createNamespace,
  dropNamespace,
  getNamespace,
  listNamespaces,
  namespaceProperties,
  pathOf,
  updateNamespaceProperties,
} from "../namespaces.ts";
import { type PageRequest, pageRequest } from "../paging.ts";
import { getTable, listTables, renameRow } from "../table-rows.ts";
import { createTable, dropTable, loadTable, registerTable, stageTable } from "../tables.ts";
import { storageAccess } from "../vending.ts";
import type { Call, Operation, Reply } from "./dispatch.ts";
import {
  anyBody,
  commitBody,
  createNamespaceBody,
  createTableBody,
  registerTableBody,
  renameBody,
  transactionBody,
  updatePropertiesBody,
} from "./shapes.ts";

/** Names that a list without page parameters returns at most; the specification wants all of them then. */
const UNPAGED_MAX = 10_000;

export const namespaceOf = ({ params }: Call): string[] => levels(params.namespace ?? "");

function levels(text: string): string[] {
  const path = text.split(LEVEL_SEPARATOR);
  if (path.some((level) => level === "")) throw catalogError("badRequest", "Empty namespace names are not allowed");
  return path;
}

export const tableOf = (call: Call): TableIdentifier => ({ namespace: namespaceOf(call), name: call.params.table ?? "" });

export function pageOf({ query }: Call): PageRequest {
  const [size, token] = [query.get("pageSize"), query.get("pageToken")];
  return size === null && token === null ? { after: "", limit: UNPAGED_MAX } : pageRequest(size, token);
}

/** Refuses parameters of other catalogs that would mean more than they do here (docs, "Request headers and parameters"). */
export function refuseParameters({ query }: Call, names: readonly string[]): void {
  const found = names.find((name) => query.has(name));
  if (found !== undefined) throw catalogError("badRequest", `The query parameter ${found} is not supported`);
}

export const isTrue = (value: string | null): boolean => value?.toLowerCase() === "true";

/** Configuration; `endpoints` is filled by whoever assembles the list of operations. */
export const configOperation = (endpoints: () => readonly string[]): Operation => ({
  endpoint: "GET /v1/config",
  op: "catalog.config",
  metric: "get-config",
  right: "read",
  async handle({ warehouse, query }) {
    const asked = query.get("warehouse");
    if (asked === null || asked === "") throw catalogError("badRequest", "The query parameter warehouse is required");
    if (asked !== warehouse.name)
      throw catalogError("catalogNotFound", `Warehouse ${asked} does not exist here; this is ${warehouse.name}`);
    return { json: { defaults: {}, overrides: { prefix: warehouse.id }, endpoints: endpoints() } };
  },
});

const namespaces: readonly Operation[] = [
  {
    endpoint: "GET /v1/{prefix}/namespaces",
    op: "catalog.namespaces.list",
    metric: "list-namespaces",
    right: "read",
    async handle(call) {
      const parent = call.query.get("parent");
      const path = parent === null || parent === "" ? [] : levels(parent);
      const { rows, next } = await listNamespaces(call.catalog, call.warehouse, path, pageOf(call));
      return { json: { namespaces: rows.map(pathOf), "next-page-token": next } };
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces",
    op: "catalog.namespaces.create",
    metric: "create-namespace",
    right: "write",
    async handle({ catalog, warehouse, body }) {
      const { namespace, properties = {} } = await body(createNamespaceBody);
      await createNamespace(catalog, warehouse, namespace, properties);
      return { json: { namespace, properties } };
    },
  },
  {
    endpoint: "GET /v1/{prefix}/namespaces/{namespace}",
    op: "catalog.namespaces.get",
    metric: "load-namespace",
    right: "read",
    async handle(call) {
      const row = await getNamespace(call.catalog.kernel.meta, call.warehouse, namespaceOf(call));
      return { json: { namespace: pathOf(row), properties: namespaceProperties(row) } };
    },
  },
  {
    endpoint: "HEAD /v1/{prefix}/namespaces/{namespace}",
    op: "catalog.namespaces.exists",
    metric: "namespace-exists",
    right: "read",
    async handle(call): Promise<Reply> {
      await getNamespace(call.catalog.kernel.meta, call.warehouse, namespaceOf(call));
      return undefined;
    },
  },
  {
    endpoint: "DELETE /v1/{prefix}/namespaces/{namespace}",
    op: "catalog.namespaces.drop",
    metric: "drop-namespace",
    right: "write",
    async handle(call): Promise<Reply> {
      refuseParameters(call, ["recursive", "force", "purge"]);
      await dropNamespace(call.catalog, call.warehouse, namespaceOf(call));
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/properties",
    op: "catalog.namespaces.update",
    metric: "update-namespace-properties",
    right: "write",
    async handle(call) {
      const { removals = [], updates = {} } = await call.body(updatePropertiesBody);
      return { json: await updateNamespaceProperties(call.catalog, call.warehouse, namespaceOf(call), removals, updates) };
    },
  },
];

const tables: readonly Operation[] = [
  {
    endpoint: "GET /v1/{prefix}/namespaces/{namespace}/tables",
    op: "catalog.tables.list",
    metric: "list-tables",
    right: "read",
    async handle(call) {
      const namespace = namespaceOf(call);
      const { rows, next } = await listTables(call.catalog, call.warehouse, namespace, "table", pageOf(call));
      return { json: { identifiers: rows.map((row) => ({ namespace, name: row.name })), "next-page-token": next } };
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/tables",
    op: "catalog.tables.create",
    metric: "create-table",
    right: "write",
    async handle(call) {
      const body = await call.body(createTableBody);
      const identifier = { namespace: namespaceOf(call), name: body.name };
      const definition = {
        schema: body.schema as unknown as Schema,
        partitionSpec: body["partition-spec"] as unknown as UnboundPartitionSpec | undefined,
        writeOrder: body["write-order"] as unknown as { fields: SortField[] } | undefined,
        location: body.location,
        properties: body.properties ?? {},
      };
      if (body["stage-create"] === true) {
        const metadata = await stageTable(call.catalog, call.warehouse, identifier, definition);
        return loaded(call, null, serializeTableMetadata(metadata));
      }
      const { metadataLocation, metadata } = await createTable(call.catalog, call.warehouse, identifier, definition);
      return loaded(call, metadataLocation, serializeTableMetadata(metadata));
    },
  },
  {
    endpoint: "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    op: "catalog.tables.load",
    metric: "load-table",
    right: "read",
    async handle(call) {
      const { metadataLocation, text } = await loadTable(call.catalog, call.warehouse, tableOf(call));
      return loaded(call, metadataLocation, text);
    },
  },
  {
    endpoint: "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    op: "catalog.tables.exists",
    metric: "table-exists",
    right: "read",
    async handle(call): Promise<Reply> {
      await getTable(call.catalog.kernel.meta, call.warehouse, tableOf(call));
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    op: "catalog.tables.commit",
    metric: "commit-table",
    right: "write",
    async handle(call) {
      const identifier = tableOf(call);
      const { identifier: inBody, requirements = [], updates } = await call.body(commitBody);
      if (
        inBody !== undefined &&
        (inBody.name !== identifier.name || inBody.namespace.join("\u001f") !== identifier.namespace.join("\u001f"))
      )
        throw catalogError("badRequest", "The identifier in the body is not that of the path");
      const change = { identifier, requirements: parseRequirements(requirements), updates: parseUpdates(updates) };
      const [{ metadataLocation, metadata }] = (await commitTables(call.catalog, call.warehouse, [change])) as [CommittedTable];
      return { jsonText: `{"metadata-location":${JSON.stringify(metadataLocation)},"metadata":${serializeTableMetadata(metadata)}}` };
    },
  },
  {
    endpoint: "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    op: "catalog.tables.drop",
    metric: "drop-table",
    right: "write",
    async handle(call): Promise<Reply> {
      refuseParameters(call, ["force"]);
      await dropTable(call.catalog, call.warehouse, tableOf(call), isTrue(call.query.get("purgeRequested")));
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/tables/rename",
    op: "catalog.tables.rename",
    metric: "rename-table",
    right: "write",
    async handle({ catalog, warehouse, body }): Promise<Reply> {
      const { source, destination } = await body(renameBody);
      checkNewName("table", destination.name);
      await renameRow(catalog, warehouse, "table", source, destination);
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/register",
    op: "catalog.tables.register",
    metric: "register-table",
    right: "write",
    async handle(call) {
      const body = await call.body(registerTableBody);
      const identifier = { namespace: namespaceOf(call), name: body.name };
      await registerTable(call.catalog, call.warehouse, identifier, body["metadata-location"], body.overwrite ?? false);
      const { metadataLocation, text } = await loadTable(call.catalog, call.warehouse, identifier);
      return loaded(call, metadataLocation, text);
    },
  },
  {
    endpoint: "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials",
    op: "catalog.tables.credentials",
    metric: "load-credentials",
    right: "read",
    async handle(call) {
      await getTable(call.catalog.kernel.meta, call.warehouse, tableOf(call));
      const access = await storageAccess(call.catalog, call.warehouse, call.principal);
      return { json: { "storage-credentials": access["storage-credentials"] } };
    },
  },
  {
    // Accepted and not kept, as the real service does.
    endpoint: "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
    op: "catalog.tables.metrics",
    metric: "report-metrics",
    right: "read",
    async handle(call): Promise<Reply> {
      await getTable(call.catalog.kernel.meta, call.warehouse, tableOf(call));
      await call.body(anyBody);
      return undefined;
    },
  },
  {
    endpoint: "POST /v1/{prefix}/transactions/commit",
    op: "catalog.transactions.commit",
    metric: "commit-transaction",
    right: "write",
    async handle({ catalog, warehouse, body }): Promise<Reply> {
      const { "table-changes": changes } = await body(transactionBody);
      await commitTables(
        catalog,
        warehouse,
        changes.map(({ identifier, requirements = [], updates }) => ({
          identifier,
          requirements: parseRequirements(requirements),
          updates: parseUpdates(updates),
        })),
      );
      return undefined;
    },
  },
];

/** A table as clients load it: metadata, and keys to its files. The metadata is not parsed again just to be printed. */
async function loaded(call: Call, metadataLocation: string | null, metadataText: string): Promise<Reply> {
  const access = await storageAccess(call.catalog, call.warehouse, call.principal);
  const location = metadataLocation === null ? "" : `"metadata-location":${JSON.stringify(metadataLocation)},`;
  return { jsonText: `{${location}"metadata":${metadataText},${JSON.stringify(access).slice(1)}` };
}

export const namespaceAndTableOperations: readonly Operation[] = [...namespaces, ...tables];

/** Endpoints of the specification that the real service does not have either (docs, "Iceberg REST API compatibility"). */
export const unsupportedEndpoints: readonly string[] = [
  "POST /v1/oauth/tokens",
  "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/unregister",
  "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/sign",
  "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/plan",
  "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/plan/{plan}",
  "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}/plan/{plan}",
  "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/tasks",
  "POST /v1/{prefix}/namespaces/{namespace}/register-view",
  "GET /v1/{prefix}/namespaces/{namespace}/functions",
  "GET /v1/{prefix}/namespaces/{namespace}/functions/{function}",
];
