/**
 * The Iceberg table behind a catalog sink: made when a pipeline first writes to the sink, partitioned by the day of
 * ingest, and marked as the sink's own, because a sink must not write to a table that someone else made
 * (docs, "R2 Data Catalog sink": existing tables are refused).
 */
import type { LoadedTable, Tables } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { currentSchema, type TableMetadata } from "../../protocols/iceberg/metadata.ts";
import type { IcebergType, NestedField } from "../../protocols/iceberg/types.ts";
import { pipelinesError } from "./errors.ts";
import { INGEST_COLUMN } from "./fields.ts";
import type { CatalogSinkConfig } from "./sink-config.ts";

/** Table property with the id of the sink that made the table. */
const OWNER = "freehold.pipelines.sink";

export const metadataOf = (table: LoadedTable): TableMetadata => table.metadata as TableMetadata;

const nameOf = (config: CatalogSinkConfig): string => `${config.namespace.join(".")}.${config.table}`;

/** For a new sink: throws when the catalog is not enabled or has a table of that name. */
export async function requireNoTable(tables: Tables, config: CatalogSinkConfig): Promise<void> {
  if (!(await tables.enabled(config.bucket)))
    throw pipelinesError("catalogNotEnabled", `The bucket ${config.bucket} has no active data catalog`);
  if ((await tables.load(config.bucket, config.namespace, config.table)) !== undefined)
    throw pipelinesError("tableExists", `writing to existing Catalog tables is not yet supported (${nameOf(config)})`);
}

/** For a new pipeline: makes the table, or accepts the sink's own with the same columns. */
export async function ensureTable(
  tables: Tables,
  config: CatalogSinkConfig,
  sinkId: string,
  fields: readonly NestedField[],
): Promise<void> {
  const { bucket, namespace, table } = config;
  let found = await tables.load(bucket, namespace, table);
  if (found === undefined) {
    const ingest = fields.find((field) => field.name === INGEST_COLUMN) as NestedField;
    try {
      await tables.create(bucket, namespace, table, {
        schema: { type: "struct", "schema-id": 0, fields },
        partitionSpec: {
          "spec-id": 0,
          fields: [{ "source-id": ingest.id, "field-id": 1000, name: `${INGEST_COLUMN}_day`, transform: "day" }],
        },
        properties: { [OWNER]: sinkId, "write.parquet.compression-codec": "zstd" },
      });
      return;
    } catch (error) {
      if (!(error instanceof PlatformError) || error.code !== "catalog.tableExists") throw error;
      found = await tables.load(bucket, namespace, table);
      if (found === undefined) throw error;
    }
  }
  const metadata = metadataOf(found);
  if (metadata.properties[OWNER] !== sinkId)
    throw pipelinesError("tableExists", `writing to existing Catalog tables is not yet supported (${nameOf(config)})`);
  const [have, want] = [currentSchema(metadata).fields, fields].map((list) => JSON.stringify(list.map(shape)));
  if (have !== want)
    throw pipelinesError(
      "tableExists",
      `the table ${nameOf(config)} of this sink has other columns than this SQL gives; create a new sink`,
    );
}

/** Loads the sink's table; throws with the reason for the operator when it is gone or another's. */
export async function loadOwnTable(tables: Tables, config: CatalogSinkConfig, sinkId: string): Promise<TableMetadata> {
  if (!(await tables.enabled(config.bucket)))
    throw pipelinesError("catalogNotEnabled", `The bucket ${config.bucket} has no active data catalog`);
  const table = await tables.load(config.bucket, config.namespace, config.table);
  if (table === undefined) throw pipelinesError("invalidSink", `The table ${nameOf(config)} does not exist any more`);
  const metadata = metadataOf(table);
  if (metadata.properties[OWNER] !== sinkId) throw pipelinesError("tableExists", `The table ${nameOf(config)} was replaced by another`);
  return metadata;
}

/** Names and types without ids. */
function shape(field: NestedField): unknown {
  return [field.name, typeShape(field.type)];
}

function typeShape(type: IcebergType): unknown {
  if (typeof type === "string") return type.replaceAll(" ", "");
  if (type.type === "struct") return type.fields.map(shape);
  if (type.type === "list") return ["list", typeShape(type.element)];
  return ["map", typeShape(type.key), typeShape(type.value)];
}
