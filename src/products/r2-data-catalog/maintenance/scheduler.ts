/**
 * When maintenance runs: every hour for each table that has it turned on and has work, at once for requests, a bounded number
 * of tables at a time. One loop of this process looks for due tables now and then; all times are of the platform's clock.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Catalog, NamespaceRow, TableRow, Warehouse } from "../model.ts";
import { listWarehouses } from "../warehouses.ts";
import { ClockWatch } from "./clock-watch.ts";
import { expiryOf } from "./expiration.ts";
import { REWRITERS, runMaintenance } from "./run.ts";
import { finishRun, interruptRuns, lastRunAt, queuedRuns, type RunRow, startRun } from "./runs.ts";
import { ageMs, type MaintenanceConfig, maintenanceOf, storedMaintenance } from "./settings.ts";
import { currentMetadata, type Subject, subjectOf } from "./table-state.ts";

export interface Scheduler {
  /** Looks for requests now. */
  wake(): void;
  /** Ends the runs under way as interrupted. */
  stop(): Promise<void>;
}

/** Work for one table. */
interface Due {
  readonly subject: Subject;
  readonly config: MaintenanceConfig;
  readonly tokenId: string | undefined;
  readonly request: RunRow | undefined;
}

interface ScheduleRow {
  readonly table_id: string;
  readonly next_at: number;
  readonly seen: string | null;
}

/** docs, "Limits": the interval is one hour and cannot be changed. */
const INTERVAL_MS = 3_600_000;
/** Tables that were turned on together do not stay together. */
const JITTER_MS = 300_000;
const PAGE = 500;

const isOn = ({ compaction, snapshot_expiration }: MaintenanceConfig): boolean =>
  compaction.state === "enabled" || snapshot_expiration.state === "enabled";

export function startScheduler(catalog: Catalog): Scheduler {
  const { kernel } = catalog;
  const stopping = new AbortController();
  const busy = new Map<string, Promise<void>>();
  const jobsMax = Math.max(1, Math.floor(kernel.config["r2_data_catalog.maintenance_jobs"]));
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let again = false;
  let clock: ClockWatch | undefined;
  let mayExpire = true;

  async function prepare(): Promise<ClockWatch> {
    // Of runs that a crash ended: their outputs are found by their notes.
    await interruptRuns(catalog);
    await rm(join(kernel.directory, REWRITERS), { recursive: true, force: true });
    return new ClockWatch(kernel.clock.now(), performance.now(), await lastRunAt(kernel.meta));
  }

  async function look(): Promise<void> {
    clock ??= await prepare();
    const trusted = clock.trusts(kernel.clock.now(), performance.now());
    if (mayExpire && !trusted) kernel.log.warn("catalog.clock_leapt", { effect: "no snapshots are expired for a day" });
    mayExpire = trusted;
    for await (const due of dueTables()) {
      while (busy.size >= jobsMax) await Promise.race(busy.values());
      if (stopping.signal.aborted) return;
      const { id } = due.subject.row;
      if (busy.has(id)) continue;
      busy.set(
        id,
        work(due)
          .catch((error: unknown) => kernel.log.warn("catalog.maintenance_failed", { error }))
          .finally(() => busy.delete(id)),
      );
    }
    await Promise.all(busy.values());
  }

  /** Requests first, then what the schedule says; requests that come meanwhile overtake it. */
  async function* dueTables(): AsyncGenerator<Due> {
    yield* requested();
    for (const { warehouse, maintenance } of await listWarehouses(catalog)) {
      if (warehouse.status !== "active") continue;
      for (let after = ""; ; ) {
        const rows = await kernel.meta.all<TableRow>(
          "SELECT * FROM r2_data_catalog_tables WHERE warehouse_id = ? AND kind = 'table' AND id > ? ORDER BY id LIMIT ?",
          warehouse.id,
          after,
          PAGE,
        );
        for (const row of rows) {
          const due = await scheduled(warehouse, row, maintenance);
          if (due === undefined) continue;
          yield* requested();
          yield due;
        }
        if (rows.length < PAGE) break;
        after = (rows.at(-1) as TableRow).id;
      }
    }
  }

  async function* requested(): AsyncGenerator<Due> {
    for (const request of await queuedRuns(kernel.meta, PAGE)) {
      const row = await kernel.meta.get<TableRow>("SELECT * FROM r2_data_catalog_tables WHERE id = ?", request.table_id);
      const entry = row && (await listWarehouses(catalog)).find(({ warehouse }) => warehouse.id === row.warehouse_id);
      if (row === undefined || entry === undefined || entry.warehouse.status !== "active") {
        await finishRun(catalog, request.id, request.table_id, {
          status: "failed",
          message: "The table or its catalog is gone",
          operations: {},
          inputBytes: 0,
        });
        continue;
      }
      yield await dueOf(entry.warehouse, row, entry.maintenance, request);
    }
  }

  async function dueOf(warehouse: Warehouse, row: TableRow, maintenance: string | null, request: RunRow | undefined): Promise<Due> {
    const namespace = await kernel.meta.get<NamespaceRow>("SELECT * FROM r2_data_catalog_namespaces WHERE id = ?", row.namespace_id);
    if (namespace === undefined) throw new Error("a table has no namespace");
    return {
      subject: subjectOf(catalog, warehouse, row, namespace),
      config: maintenanceOf(maintenance, row.maintenance),
      tokenId: storedMaintenance(row.maintenance).token_id,
      request,
    };
  }

  /** The work of a table whose time has come, if there is any: unchanged tables are put off without a run. */
  async function scheduled(warehouse: Warehouse, row: TableRow, maintenance: string | null): Promise<Due | undefined> {
    const config = maintenanceOf(maintenance, row.maintenance);
    if (!isOn(config)) return undefined;
    if (!warehouse.hasCredential && storedMaintenance(row.maintenance).token_id === undefined) return undefined;
    const schedule = await kernel.meta.get<ScheduleRow>("SELECT * FROM r2_data_catalog_schedule WHERE table_id = ?", row.id);
    const wait = (schedule?.next_at ?? 0) - kernel.clock.now();
    // A wait that is longer than any comes from a clock that was set back since.
    if (wait > 0 && wait <= INTERVAL_MS + JITTER_MS) return undefined;
    const due = await dueOf(warehouse, row, maintenance, undefined);
    if (schedule?.seen !== row.metadata_location || (await hasOldSnapshots(due))) return due;
    await putOff(row.id, schedule.seen);
    return undefined;
  }

  async function hasOldSnapshots({ subject, config: { snapshot_expiration: expiration } }: Due): Promise<boolean> {
    if (expiration.state !== "enabled" || !mayExpire) return false;
    const { metadata } = await currentMetadata(subject);
    const retention = {
      now: kernel.clock.now(),
      maxAgeMs: ageMs(expiration.max_snapshot_age),
      minToKeep: expiration.min_snapshots_to_keep,
    };
    const { snapshots, refs } = expiryOf(metadata, retention);
    return snapshots.length > 0 || refs.length > 0;
  }

  async function work({ subject, config, tokenId, request }: Due): Promise<void> {
    const { id } = subject.row;
    const run = await startRun(catalog, id, request);
    const outcome = await runMaintenance(subject, { config, tokenId, mayExpire }, stopping.signal);
    const row = await kernel.meta.get<TableRow>("SELECT * FROM r2_data_catalog_tables WHERE id = ?", id);
    await putOff(id, outcome.status === "succeeded" ? (row?.metadata_location ?? null) : null);
    await finishRun(catalog, run, id, outcome);
    kernel.log.info("catalog.maintained", { table: subject.identifier.name, status: outcome.status, message: outcome.message });
  }

  async function putOff(tableId: string, seen: string | null): Promise<void> {
    await kernel.meta.run(
      `INSERT INTO r2_data_catalog_schedule (table_id, next_at, seen) VALUES (?, ?, ?)
       ON CONFLICT (table_id) DO UPDATE SET next_at = excluded.next_at, seen = excluded.seen`,
      tableId,
      kernel.clock.now() + INTERVAL_MS + Math.floor(Math.random() * JITTER_MS),
      seen,
    );
  }

  function wake(): void {
    if (stopping.signal.aborted) return;
    again = looking !== undefined;
    if (looking !== undefined) return;
    clearTimeout(timer);
    looking = look()
      .catch((error: unknown) => kernel.log.warn("catalog.schedule_failed", { error }))
      .finally(() => {
        looking = undefined;
        if (again) wake();
        else if (!stopping.signal.aborted) timer = setTimeout(wake, kernel.config["r2_data_catalog.maintenance_poll_s"] * 1000).unref();
      });
  }

  return {
    wake,
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await looking;
      await Promise.all(busy.values());
    },
  };
}

/** When the table's next run may begin, in milliseconds since the epoch; undefined when it never ran. */
export async function nextRunAt(catalog: Catalog, tableId: string): Promise<number | undefined> {
  return (await catalog.kernel.meta.get<ScheduleRow>("SELECT * FROM r2_data_catalog_schedule WHERE table_id = ?", tableId))?.next_at;
}

/** Whether the settings turn any maintenance on. */
export const maintained = isOn;
