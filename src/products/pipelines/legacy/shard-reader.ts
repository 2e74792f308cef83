/** The reader of one shard: the product's reader, with NDJSON files, and the shard's position in its own row. */
import type { Objects } from "../../../kernel/capabilities.ts";
import type { Journal } from "../../../kernel/journal/journal.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { type Intent, type Reader, type ReaderState, startReader } from "../reader.ts";
import type { ScratchFiles } from "../scratch-files.ts";
import { destination, type Place } from "./destination.ts";
import type { LegacyMetrics } from "./legacy-metrics.ts";
import { writeNdjson } from "./ndjson-file.ts";

export interface ShardContext {
  readonly kernel: KernelSlice;
  readonly objects: Objects;
  readonly metrics: LegacyMetrics;
  readonly scratch: ScratchFiles;
  /** Bounds the files that are written at a time, over all shards. */
  limit<T>(work: () => Promise<T>): Promise<T>;
  /** Where the pipeline's current version delivers; undefined when the pipeline was deleted. */
  current(pipeline: string): Place | undefined;
}

export interface ShardRow {
  pipeline: string;
  version: number;
  shard: number;
  position: number;
  rolls: number;
  intent: string | null;
}

export function shardReader(
  { kernel, objects, metrics, scratch, limit, current }: ShardContext,
  place: Place,
  row: ShardRow,
  journal: Journal,
  onHealth: (reason: string | undefined) => void,
): Reader {
  const { meta, blobs, clock } = kernel;
  const { pipeline, version, settings } = place;
  const { shard } = row;
  const log = kernel.log.child({ pipeline, version, shard });
  const state: ReaderState = {
    position: row.position,
    rolls: row.rolls,
    intent: row.intent === null ? undefined : (JSON.parse(row.intent) as Intent),
  };
  const trim = (position: number): void => {
    journal.trim(position).catch((error: unknown) => log.warn("legacy.trim_failed", { error }));
  };
  // A crash may have come between the last roll and this.
  trim(row.position);
  return startReader({
    pipeline: `${pipeline}.${version}`,
    ordinal: shard,
    journal,
    rolling: settings.rolling,
    target: destination(kernel, objects, place, () => current(pipeline)),
    write: (roll, _, signal) => writeNdjson(blobs.scratch, settings.compression, roll, signal),
    scratch,
    state,
    limit,
    clock,
    log,
    async saveIntent(intent) {
      await meta.run(
        "UPDATE pipelines_legacy_shards SET intent = ? WHERE pipeline = ? AND version = ? AND shard = ?",
        JSON.stringify(intent),
        pipeline,
        version,
        shard,
      );
    },
    async advance({ position, rolls }, { written }) {
      await meta.transaction(async (tx) => {
        await tx.run(
          "UPDATE pipelines_legacy_shards SET position = ?, rolls = ?, intent = NULL WHERE pipeline = ? AND version = ? AND shard = ?",
          position,
          rolls,
          pipeline,
          version,
          shard,
        );
        if (written !== undefined) await metrics.delivered(tx, pipeline, written.bytes);
      });
      trim(position);
    },
    onHealth,
  });
}
