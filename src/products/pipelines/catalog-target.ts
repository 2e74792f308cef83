/**
 * Appends to an Iceberg table, exactly once. The offset up to which the stream is in the table is part of the commit that
 * adds the data: in the snapshot's summary, for people and tools, and in a table property, which outlives the
 * snapshot (snapshots expire, are compacted away, and are rolled back; a property stays). Whoever finds the offset there knows
 * that every event before it is in the table, whatever else was lost in a crash.
 *
 * Order: data file, manifests, commit. What a crash leaves before the commit are files that no snapshot names; the data
 * file is overwritten under the same name when the roll is repeated.
 */
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Objects, Tables } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import { fileColumnStats } from "../../kernel/duckdb/iceberg/column-stats.ts";
import { fieldIds } from "../../kernel/duckdb/iceberg/field-ids.ts";
import type { WrittenFile } from "../../kernel/duckdb/parquet.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { columnStatistics, manifestListOf, type NewDataFile, planAppend } from "../../protocols/iceberg/append.ts";
import { currentSchema, defaultSpec, parseS3Location, type TableMetadata } from "../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../protocols/iceberg/types.ts";
import { loadOwnTable } from "./catalog-table.ts";
import { pipelinesError } from "./errors.ts";
import { INGEST_COLUMN } from "./fields.ts";
import { type FileIdentity, fileStem, timePath } from "./naming.ts";
import type { CatalogSinkConfig } from "./sink-config.ts";
import type { Target } from "./target.ts";

const DAY_MS = 86_400_000;
/** Other writers may commit in between; each attempt builds on the newest snapshot. */
const COMMIT_ATTEMPTS = 10;

export interface CatalogTargetOptions {
  readonly tables: Tables;
  readonly objects: Objects;
  readonly clock: Clock;
  readonly config: CatalogSinkConfig;
  readonly sinkId: string;
  /** Columns of the INSERT. */
  readonly columns: readonly string[];
  authorize(): Promise<void>;
}

/** Property and summary key of the offset after the last event that the INSERT has put into the table. */
const offsetKey = (file: FileIdentity): string => `freehold.pipelines.${file.pipeline}.${file.ordinal}.offset`;

export function catalogTarget(options: CatalogTargetOptions): Target {
  const { tables, objects, config, sinkId, clock } = options;
  const { bucket, namespace, table } = config;
  const day = (time: number): number => Math.floor(time / DAY_MS);

  async function commit(dataFile: (metadata: TableMetadata) => NewDataFile, file: FileIdentity): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const metadata = await loadOwnTable(tables, config, sinkId);
      // An answer may have been lost on its way: then an earlier attempt has done it.
      if (committedOffset(metadata, file) >= file.to) return;
      const listLocation = manifestListOf(metadata);
      const plan = planAppend({
        metadata,
        files: [dataFile(metadata)],
        manifestList: listLocation === undefined ? undefined : await readObject(listLocation),
        now: clock.now(),
        summary: { [offsetKey(file)]: String(file.to), "freehold.pipelines.from-offset": String(file.from) },
      });
      for (const { path, bytes } of plan.files) {
        const location = locate(path);
        await objects.put(location.bucket, location.key, bytes, "application/avro");
      }
      try {
        // Visible to all readers from here on, together with the offset that says so.
        await tables.commit(bucket, namespace, table, plan.requirements, [
          ...plan.updates,
          { action: "set-properties", updates: { [offsetKey(file)]: String(file.to) } },
        ]);
        return;
      } catch (error) {
        const conflict = error instanceof PlatformError && error.spec.retryable === true;
        if (!conflict || attempt >= COMMIT_ATTEMPTS) throw error;
        await objects.delete(
          bucket,
          plan.files.map(({ path }) => locate(path).key),
        );
        await sleep(10 * attempt);
      }
    }
  }

  async function readObject(path: string): Promise<Uint8Array> {
    const location = locate(path);
    const bytes = await objects.bytes(location.bucket, location.key);
    if (bytes === undefined) throw new Error(`read manifest list: ${path} does not exist`);
    return bytes;
  }

  return {
    partitionOf: (time) => String(day(time)),

    async prepare() {
      await options.authorize();
      const schema = currentSchema(await loadOwnTable(tables, config, sinkId));
      return { fieldIds: columnIds([INGEST_COLUMN, ...options.columns], schema) };
    },

    async delivered(file) {
      const metadata = await loadOwnTable(tables, config, sinkId);
      if (committedOffset(metadata, file) < file.to) return undefined;
      const snapshot = metadata.snapshots.find((s) => s.summary?.[offsetKey(file)] === String(file.to));
      const count = (key: string): number => Number(snapshot?.summary?.[key] ?? 0);
      return { rows: count("added-records"), bytes: count("added-files-size") };
    },

    async deliver(written, file) {
      try {
        const { location } = await loadOwnTable(tables, config, sinkId);
        const folder = `${INGEST_COLUMN}_day=${timePath("%F", file.time)}`;
        const path = `${location}/data/${folder}/${fileStem("uuid", file)}.parquet`;
        const target = locate(path);
        await objects.putFile(target.bucket, target.key, written.path, "application/vnd.apache.parquet");
        await commit((metadata) => newDataFile(metadata, path, written, day(file.time)), file);
      } finally {
        await rm(written.path, { force: true });
      }
    },
  };
}

/** The highest offset that the table knows of: the property, and the summaries of its snapshots in case someone removed that. */
function committedOffset(metadata: TableMetadata, file: FileIdentity): number {
  const key = offsetKey(file);
  const found = [metadata.properties[key], ...metadata.snapshots.map((snapshot) => snapshot.summary?.[key])];
  return Math.max(0, ...found.map((text) => Number(text ?? 0)));
}

function locate(path: string): { bucket: string; key: string } {
  const location = parseS3Location(path);
  if (location === undefined) throw pipelinesError("invalidSink", `The table's location ${path} is not in a bucket`);
  return location;
}

function newDataFile(metadata: TableMetadata, path: string, written: WrittenFile, day: number): NewDataFile {
  const schema = currentSchema(metadata);
  const partition = new Map<number, number | null>();
  for (const field of defaultSpec(metadata).fields) {
    const source = schema.fields.find((column) => column.id === field["source-id"]);
    if (field.transform === "void") partition.set(field["field-id"], null);
    else if (field.transform === "day" && source?.name === INGEST_COLUMN) partition.set(field["field-id"], day);
    else throw pipelinesError("invalidSink", `The table is partitioned by ${field.name}, which this sink cannot write`);
  }
  return {
    path,
    format: "PARQUET",
    partition,
    recordCount: written.rows,
    fileSize: written.bytes,
    ...columnStatistics(fileColumnStats(schema, written.statistics)),
  };
}

/** DuckDB's FIELD_IDS for the columns, with the ids that the table's schema has now. */
function columnIds(columns: readonly string[], schema: Schema): string {
  const fields = columns.map((name) => {
    const field = schema.fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw pipelinesError("invalidSink", `The table has no column ${name} any more`);
    return field;
  });
  return fieldIds(fields);
}
