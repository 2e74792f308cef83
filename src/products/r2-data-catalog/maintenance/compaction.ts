/**
 * Compaction of one table: small files become large ones, deleted rows go (docs, "Table maintenance"). The order is what
 * makes it safe: (1) each output is noted as possible garbage, written, and moved into the bucket; (2) manifests likewise;
 * (3) one commit puts them in the place of the old files, if those are still there and no row of them was deleted
 * meanwhile. Old files stay, for older snapshots name them.
 */
import { randomUUID } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileColumnStats } from "../../../kernel/duckdb/iceberg/column-stats.ts";
import { checkNestedHistory } from "../../../kernel/duckdb/iceberg/columns.ts";
import { fieldIds } from "../../../kernel/duckdb/iceberg/field-ids.ts";
import { LINEAGE, liveRows } from "../../../kernel/duckdb/iceberg/live-rows.ts";
import { writeMask } from "../../../kernel/duckdb/iceberg/mask.ts";
import type { WrittenFile } from "../../../kernel/duckdb/parquet.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import { columnStatistics } from "../../../protocols/iceberg/append.ts";
import { type CompactionGroup, planCompaction, uncompactable } from "../../../protocols/iceberg/compaction.ts";
import { deletionVectorBlob } from "../../../protocols/iceberg/deletion-vector.ts";
import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import { currentSchema, snapshotByRef, type TableMetadata } from "../../../protocols/iceberg/metadata.ts";
import { planRewrite, type RewrittenFile, rewriteConflict } from "../../../protocols/iceberg/rewrite.ts";
import { type LiveFile, liveFiles } from "../../../protocols/iceberg/table-files.ts";
import { commitTables } from "../commits.ts";
import { describe } from "../names.ts";
import { keepFiles, noteGarbage } from "./garbage.ts";
import type { Rewriter } from "./rewriter.ts";
import { type KnownManifests, keyOf, openState, type Subject, vectorBlob } from "./table-state.ts";

export interface CompactionOptions {
  readonly rewriter: Rewriter;
  /** A directory of this job's own, on the file system of the blobs. */
  readonly scratch: string;
  readonly targetBytes: number;
  /** Bytes of data files to read at most. */
  readonly budgetBytes: number;
  /** No file is begun after it fires; one under way is finished. */
  readonly timeUp: AbortSignal;
  /** Ends at once. */
  readonly signal: AbortSignal;
  /** Called right before the commit; throws when the job has lost its rights. */
  readonly authorize: () => Promise<void>;
}

export interface CompactionResult {
  /** Why nothing was done. */
  readonly skipped?: string;
  readonly inputFiles: number;
  readonly outputFiles: number;
  readonly deleteFiles: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly manifests: { readonly kept: number; readonly replaced: number };
}

/** A file that was rewritten: what goes, and what comes in its place. */
interface Rewritten {
  readonly group: CompactionGroup;
  readonly output: RewrittenFile | undefined;
}

const COMMIT_ATTEMPTS = 10;
const DEFAULT_ROW_GROUP_BYTES = 128 * 1024 * 1024;
const CODECS = new Set(["uncompressed", "snappy", "gzip", "zstd", "lz4"]);
const nothing = (skipped: string): CompactionResult => ({
  skipped,
  inputFiles: 0,
  outputFiles: 0,
  deleteFiles: 0,
  inputBytes: 0,
  outputBytes: 0,
  manifests: { kept: 0, replaced: 0 },
});

export async function compact(subject: Subject, options: CompactionOptions): Promise<CompactionResult> {
  const known: KnownManifests = new Map();
  const state = await openState(subject, known);
  const { metadata } = state;
  const snapshot = snapshotByRef(metadata, "main");
  if (snapshot === undefined) return nothing("The table has no snapshot");
  const reason = uncompactable(metadata) ?? renamedInside(subject, metadata);
  if (reason !== undefined) return nothing(reason);
  const startingSequenceNumber = snapshot["sequence-number"] ?? 0;
  const groups = planCompaction(liveFiles(state.manifests), options);
  const rewritten: Rewritten[] = [];
  const written: string[] = [];
  let anonymous = 0;
  for (const group of groups) {
    if (options.timeUp.aborted) break;
    const done = await rewrite(subject, metadata, group, options, written);
    if (done === "anonymous") anonymous++;
    else rewritten.push(done);
  }
  if (rewritten.length === 0) return nothing(anonymous > 0 ? "Files have columns without field ids" : "No files need to be compacted");

  const removed = new Set(rewritten.flatMap(({ group }) => group.files.map(({ file }) => file.path)));
  const added = rewritten.flatMap(({ output }) => output ?? []);
  for (let attempt = 1; ; attempt++) {
    const now = await openState(subject, known);
    const conflict = rewriteConflict(now.manifests, removed, startingSequenceNumber);
    if (conflict !== undefined) return nothing(`Given up for this run: ${conflict}`);
    const time = subject.catalog.kernel.clock.now();
    const plan = planRewrite({ metadata: now.metadata, manifests: now.manifests, removed, added, startingSequenceNumber, now: time });
    const metadataFiles = plan.files.map(({ path }) => path);
    await noteGarbage(subject, metadataFiles);
    for (const { path, bytes } of plan.files)
      await subject.catalog.objects.put(subject.warehouse.bucket, keyOf(subject.warehouse, path), bytes, "application/avro");
    await options.authorize();
    try {
      await commitTables(subject.catalog, subject.warehouse, [
        { identifier: subject.identifier, requirements: plan.requirements, updates: plan.updates },
      ]);
      // Committed: a crash from here on leaves rows whose files are found to be in use.
      await keepFiles(subject, [...written, ...metadataFiles]);
      const kept = now.manifests.filter(({ file }) => plan.kept.has(file.path)).length;
      return {
        inputFiles: removed.size,
        outputFiles: added.length,
        deleteFiles: Number(plan.snapshot.summary?.["removed-delete-files"] ?? 0),
        inputBytes: rewritten.reduce((sum, { group }) => sum + group.bytes, 0),
        outputBytes: added.reduce((sum, { file }) => sum + file.fileSize, 0),
        manifests: { kept, replaced: now.manifests.length - kept },
      };
    } catch (error) {
      const lost = error instanceof PlatformError && error.spec.retryable === true;
      if (!lost || attempt >= COMMIT_ATTEMPTS) throw error;
      await sleep(20 * attempt * (1 + Math.random()));
    }
  }
}

/** The engine finds what is inside columns by name. */
function renamedInside({ identifier }: Subject, metadata: TableMetadata): string | undefined {
  try {
    checkNestedHistory(currentSchema(metadata), metadata.schemas, describe(identifier));
    return undefined;
  } catch (error) {
    if (error instanceof IcebergError && error.kind === "unsupported") return error.message;
    throw error;
  }
}

/** Rewrites one group into the bucket; "anonymous" for files that cannot be read by field id. Adds what it writes to `written`. */
async function rewrite(
  subject: Subject,
  metadata: TableMetadata,
  group: CompactionGroup,
  options: CompactionOptions,
  written: string[],
): Promise<Rewritten | "anonymous"> {
  const { catalog, warehouse, identifier } = subject;
  await mkdir(options.scratch, { recursive: true });
  const tables = group.deletes.filter(({ file }) => file.format !== "PUFFIN");
  const opened = [...group.files, ...tables].map(({ file }) => file.path);
  const held = await catalog.objects.localFiles(
    warehouse.bucket,
    opened.map((location) => keyOf(warehouse, location)),
  );
  try {
    const local = new Map(opened.map((location, i) => [location, held.files[i]?.path]));
    const missing = opened.find((location) => local.get(location) === undefined);
    if (missing !== undefined) throw new Error(`read data file: ${missing} is missing from the bucket`);
    const masks = await writeMasks(subject, group, options.scratch);
    const { fields } = currentSchema(metadata);
    const lineage = metadata["format-version"] >= 3;
    const sql = liveRows({
      table: describe(identifier),
      fields,
      data: group.files,
      positionDeletes: tables.filter(({ file }) => file.content === "position-deletes"),
      equalityDeletes: tables.filter(({ file }) => file.content === "equality-deletes"),
      files: { local: (location) => local.get(location) as string, mask: (location) => masks.get(location) },
      lineage,
    });
    const output = join(options.scratch, `${randomUUID()}.parquet`);
    const answer = await options.rewriter.run(
      {
        sql,
        data: group.files.map(({ file }) => local.get(file.path) as string),
        files: [...(local.values() as Iterable<string>), ...masks.values()],
        output,
        ...parquetOptions(metadata),
        fieldIds: fieldIds(lineage ? [...fields, ...LINEAGE] : fields),
      },
      options.signal,
    );
    if ("anonymous" in answer) return "anonymous";
    checkRows(group, answer.written);
    if (answer.written === undefined) return { group, output: undefined };
    const path = `${metadata.location}/data/compacted-${randomUUID()}.parquet`;
    await noteGarbage(subject, [path]);
    written.push(path);
    await catalog.objects.putFile(warehouse.bucket, keyOf(warehouse, path), output, "application/vnd.apache.parquet");
    const file = {
      path,
      format: "PARQUET",
      partition: (group.files[0] as LiveFile).file.partition,
      recordCount: answer.written.rows,
      fileSize: answer.written.bytes,
      ...columnStatistics(fileColumnStats(currentSchema(metadata), answer.written.statistics)),
    };
    return { group, output: { specId: group.specId, file } };
  } finally {
    await held.release();
    await rm(options.scratch, { recursive: true, force: true });
  }
}

async function writeMasks(subject: Subject, group: CompactionGroup, directory: string): Promise<Map<string, string>> {
  const masks = new Map<string, string>();
  for (const { file } of group.deletes) {
    const vector = deletionVectorBlob(file);
    const data = vector && group.files.find((one) => one.file.path === vector.dataFile);
    if (vector === undefined || data === undefined || vector.cardinality === 0) continue;
    masks.set(vector.dataFile, await writeMask(directory, await vectorBlob(subject, vector), vector, data.file.recordCount));
  }
  return masks;
}

function parquetOptions({ properties }: TableMetadata): { compression: string; rowGroupBytes: number } {
  const codec = properties["write.parquet.compression-codec"]?.toLowerCase() ?? "zstd";
  const bytes = Number(properties["write.parquet.row-group-size-bytes"]);
  return {
    compression: CODECS.has(codec) ? codec : "zstd",
    rowGroupBytes: Number.isSafeInteger(bytes) && bytes > 0 ? bytes : DEFAULT_ROW_GROUP_BYTES,
  };
}

/** A rewrite that would lose or invent rows must never be committed, whatever is wrong with what was read. */
function checkRows(group: CompactionGroup, written: WrittenFile | undefined): void {
  const before = group.files.reduce((sum, { file }) => sum + file.recordCount, 0);
  const after = written?.rows ?? 0;
  if (after > before || (group.deletes.length === 0 && after !== before))
    throw new Error(`compaction read ${after} rows from files that hold ${before}`);
}
