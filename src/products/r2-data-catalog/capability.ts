/** The capability `tables`: the same operations as over REST, for the platform's own readers and writers. */
import type { Tables } from "../../kernel/capabilities.ts";
import type { UnboundPartitionSpec } from "../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../protocols/iceberg/types.ts";
import { parseRequirements, parseUpdates } from "../../protocols/iceberg/updates.ts";
import { commitTables } from "./commits.ts";
import { asCatalogError } from "./errors.ts";
import type { Catalog } from "./model.ts";
import { ensureNamespace, findNamespace, listNamespaces, pathOf } from "./namespaces.ts";
import { findTable, listTables } from "./table-rows.ts";
import { createTable, loadTable } from "./tables.ts";
import { activeWarehouse, findWarehouse } from "./warehouses.ts";

/** Names read at a time; all are returned. */
const PAGE = 1000;

export function tablesCapability(catalog: Catalog): Tables {
  return {
    async enabled(bucket) {
      return (await findWarehouse(catalog, bucket))?.warehouse.status === "active";
    },
    async namespaces(bucket, parent = []) {
      const warehouse = await activeWarehouse(catalog, bucket);
      if (parent.length > 0 && (await findNamespace(catalog.kernel.meta, warehouse, parent)) === undefined) return [];
      return everyPage(async (after) => {
        const { rows, next } = await listNamespaces(catalog, warehouse, parent, { after, limit: PAGE });
        return { items: rows.map(pathOf), last: next === null ? undefined : rows.at(-1)?.path };
      });
    },
    async tables(bucket, namespace) {
      const warehouse = await activeWarehouse(catalog, bucket);
      if ((await findNamespace(catalog.kernel.meta, warehouse, namespace)) === undefined) return undefined;
      return everyPage(async (after) => {
        const { rows, next } = await listTables(catalog, warehouse, namespace, "table", { after, limit: PAGE });
        return { items: rows.map((row) => row.name), last: next === null ? undefined : rows.at(-1)?.name };
      });
    },
    async load(bucket, namespace, table) {
      const warehouse = await activeWarehouse(catalog, bucket);
      const identifier = { namespace, name: table };
      if ((await findTable(catalog.kernel.meta, warehouse, identifier)) === undefined) return undefined;
      const { metadataLocation, metadata } = await loadTable(catalog, warehouse, identifier);
      return { metadataLocation, metadata };
    },
    async create(bucket, namespace, table, definition) {
      const warehouse = await activeWarehouse(catalog, bucket);
      await ensureNamespace(catalog, warehouse, namespace);
      return createTable(
        catalog,
        warehouse,
        { namespace, name: table },
        {
          schema: definition.schema as Schema,
          partitionSpec: definition.partitionSpec as UnboundPartitionSpec | undefined,
          properties: definition.properties ?? {},
        },
      );
    },
    async commit(bucket, namespace, table, requirements, updates) {
      const warehouse = await activeWarehouse(catalog, bucket);
      const change = {
        identifier: { namespace, name: table },
        ...checked(() => ({ requirements: parseRequirements(requirements), updates: parseUpdates(updates) })),
      };
      const [committed] = await commitTables(catalog, warehouse, [change]);
      if (committed === undefined) throw new Error("a commit of one table returned none");
      return committed;
    },
  };
}

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw asCatalogError(error);
  }
}

async function everyPage<T>(read: (after: string) => Promise<{ items: T[]; last: string | undefined }>): Promise<T[]> {
  const all: T[] = [];
  for (let after: string | undefined = ""; after !== undefined; ) {
    const { items, last } = await read(after);
    all.push(...items);
    after = last;
  }
  return all;
}
