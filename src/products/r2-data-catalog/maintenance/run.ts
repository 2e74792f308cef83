/** One maintenance run of one table: what an earlier crash left is cleared, then compaction, then snapshot expiration. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { MaintenanceJob } from "../metrics.ts";
import { describe } from "../names.ts";
import { type CompactionResult, compact } from "./compaction.ts";
import { authorizeJob, NoRights } from "./credential.ts";
import { type ExpirationResult, expireSnapshots } from "./expiration.ts";
import { sweep } from "./garbage.ts";
import { Rewriter } from "./rewriter.ts";
import { bytesInLastHour, type RunOutcome } from "./runs.ts";
import { ageMs, type MaintenanceConfig } from "./settings.ts";
import type { Subject } from "./table-state.ts";

export interface RunSettings {
  readonly config: MaintenanceConfig;
  /** Token that set the table's own settings. */
  readonly tokenId: string | undefined;
  /** False while the clock cannot be trusted with ages. */
  readonly mayExpire: boolean;
}

/** Directory, in the product's own, for what rewrites spill; emptied at start. */
export const REWRITERS = "rewriters";
const MB = 1024 * 1024;
type Ended = Pick<MaintenanceJob, "filesProcessed" | "filesOutput" | "inputBytes" | "outputBytes">;
const NO_FILES: Ended = { filesProcessed: 0, filesOutput: 0, inputBytes: 0, outputBytes: 0 };

/** Never rejects for what is wrong with a table: that is the outcome. `signal` ends the run as "interrupted". */
export async function runMaintenance(subject: Subject, settings: RunSettings, signal: AbortSignal): Promise<RunOutcome> {
  const { kernel } = subject.catalog;
  const { config, tokenId, mayExpire } = settings;
  const operations: Record<string, unknown> = {};
  const messages: string[] = [];
  let inputBytes = 0;
  const timeUp = AbortSignal.timeout(kernel.config["r2_data_catalog.maintenance_timeout_s"] * 1000);
  const authorize = (): Promise<void> => authorizeJob(subject.catalog, subject.warehouse, tokenId);
  try {
    await authorize();
    await sweep(subject);
    if (config.compaction.state === "enabled") {
      const result = await measured(subject, "compaction", () => compaction(subject, config, { signal, timeUp, authorize }), filesOf);
      inputBytes = result.inputBytes;
      operations.rewrite_manifests = { manifests_kept: result.manifests.kept, manifests_replaced: result.manifests.replaced };
      operations.compaction = shownCompaction(result);
      messages.push(result.skipped ?? `Compacted ${result.inputFiles} files into ${result.outputFiles}`);
    }
    if (config.snapshot_expiration.state === "enabled") {
      const result = mayExpire ? await expiration(subject, config, authorize) : CLOCK_LEAPT;
      operations.snapshot_expiration = shownExpiration(result);
      messages.push(result.skipped ?? `Expired ${result.expiredSnapshots} snapshots`);
    }
    return { status: timeUp.aborted ? "timed_out" : "succeeded", message: messages.join(". "), operations, inputBytes };
  } catch (error) {
    if (signal.aborted) return { status: "interrupted", message: "The platform stopped during the run", operations, inputBytes };
    const known = error instanceof NoRights;
    kernel.log.warn("catalog.maintenance_failed", { table: describe(subject.identifier), error: known ? error.message : error });
    return { status: "failed", message: error instanceof Error ? error.message : String(error), operations, inputBytes };
  }
}

const CLOCK_LEAPT: ExpirationResult = {
  skipped: "The clock leapt forward; snapshots are not expired for a day",
  expiredSnapshots: 0,
  expiredRefs: 0,
  deletedFiles: 0,
};

async function compaction(
  subject: Subject,
  { compaction: { target_size_mb } }: MaintenanceConfig,
  limits: { readonly signal: AbortSignal; readonly timeUp: AbortSignal; readonly authorize: () => Promise<void> },
): Promise<CompactionResult> {
  const { kernel } = subject.catalog;
  const scratch = join(kernel.blobs.scratch, `compaction-${subject.row.id}`);
  const directory = join(kernel.directory, REWRITERS, subject.row.id);
  const rewriter = new Rewriter(directory, kernel.config["r2_data_catalog.maintenance_memory_mb"], 1, kernel.log);
  try {
    const spent = await bytesInLastHour(subject.catalog, subject.row.id);
    return await compact(subject, {
      rewriter,
      scratch,
      targetBytes: Number(target_size_mb) * MB,
      budgetBytes: kernel.config["r2_data_catalog.compaction_bytes_per_hour"] - spent,
      ...limits,
    });
  } finally {
    await rewriter.close();
    await rm(directory, { recursive: true, force: true });
    // Outputs that were not committed.
    await sweep(subject);
  }
}

async function expiration(
  subject: Subject,
  { snapshot_expiration }: MaintenanceConfig,
  authorize: () => Promise<void>,
): Promise<ExpirationResult> {
  const { kernel } = subject.catalog;
  const options = {
    retention: {
      now: kernel.clock.now(),
      maxAgeMs: ageMs(snapshot_expiration.max_snapshot_age),
      minToKeep: snapshot_expiration.min_snapshots_to_keep,
    },
    deleteFiles: kernel.config["r2_data_catalog.delete_expired_files"],
    authorize,
  };
  return measured(
    subject,
    "snapshot-expiration",
    () => expireSnapshots(subject, options),
    (result) => ({ ...NO_FILES, filesProcessed: result.expiredSnapshots, filesOutput: 0 }),
  );
}

/** Runs a job and records it for the metrics, whatever its end. */
async function measured<T>(
  subject: Subject,
  type: MaintenanceJob["type"],
  work: () => Promise<T>,
  files: (result: T) => Ended,
): Promise<T> {
  const begun = performance.now();
  const { catalog, warehouse, identifier } = subject;
  const record = (success: boolean, ended: Ended): Promise<void> =>
    catalog.metrics.job({
      warehouse: warehouse.name,
      type,
      namespace: identifier.namespace,
      table: identifier.name,
      success,
      ...ended,
      durationMs: performance.now() - begun,
    });
  try {
    const result = await work();
    await record(true, files(result));
    return result;
  } catch (error) {
    await record(false, NO_FILES);
    throw error;
  }
}

const filesOf = (result: CompactionResult): Ended => ({
  filesProcessed: result.inputFiles,
  filesOutput: result.outputFiles,
  inputBytes: result.inputBytes,
  outputBytes: result.outputBytes,
});

const shownCompaction = (result: CompactionResult) => ({
  skipped_reason: result.skipped ?? null,
  input_files: result.inputFiles,
  input_bytes: result.inputBytes,
  output_files: result.outputFiles,
  output_bytes: result.outputBytes,
  removed_delete_files: result.deleteFiles,
});

const shownExpiration = (result: ExpirationResult) => ({
  skipped_reason: result.skipped ?? null,
  expired_snapshots: result.expiredSnapshots,
  expired_refs: result.expiredRefs,
  deleted_files: result.deletedFiles,
});
