/**
 * What Durable Objects used, for the GraphQL Analytics API: invocations, active time, CPU time, rows, units of key-value
 * storage and subrequests of each namespace by the minute. Counted inside the processes (`usage.worker.ts`) and taken from
 * there in passing; a process that is killed takes what it counted last with it. Names and units are those of the real
 * datasets: times in microseconds, `duration` in GB-s at 128 MB for each active object.
 * https://developers.cloudflare.com/durable-objects/observability/metrics-and-analytics/
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
import { bucketOf } from "../../kernel/analytics/histogram.ts";
import type { Dataset, KernelSlice } from "../../kernel/product.ts";
import { takeUsage } from "./remote.ts";
import type { PartUsage } from "./remote-protocol.worker.ts";

export interface Usage {
  /** Takes what the objects of a script's process used since the last time. `cpuMs` is what the process's thread ran since then. */
  collect(scriptName: string, socket: (name: string) => string, cpuMs: number): Promise<void>;
  readonly datasets: Readonly<Record<string, Dataset>>;
  /** Takes what all processes have, and writes what is counted. */
  stop(): Promise<void>;
}

const TIMEOUT_MS = 2_000;
const MINUTE = { column: "minute", ms: 60_000 };
const PERMISSION = ["Account Analytics Read", "Workers Scripts Read"];
/** An active object is billed for 128 MB of memory, whatever it takes. */
const GIGABYTES = 0.128;

const namespaceOf = ({ part }: PartUsage): string => part.slice(0, 32);

/** The thread's time shared among the parts by how long their objects were active, and no more than that. */
function cpuShares(parts: readonly PartUsage[], cpuMs: number): number[] {
  const active = parts.reduce((sum, { sums }) => sum + sums.activeMs, 0);
  return parts.map(({ sums }) => (active === 0 ? 0 : (Math.min(cpuMs, active) * sums.activeMs) / active));
}

export function openUsage({ meta, clock, log, runtime }: KernelSlice): Usage {
  const invocations = openCounter(meta, clock, log, {
    name: "durable_objects_invocations",
    period: MINUTE,
    keys: ["script", "namespace", "type", "status", "wall_bucket"],
    sums: ["requests", "wall_us", "response_bytes"],
  });
  const periodic = openCounter(meta, clock, log, {
    name: "durable_objects_usage",
    period: MINUTE,
    keys: ["namespace"],
    sums: ["active_us", "cpu_us", "rows_read", "rows_written", "read_units", "write_units", "deletes", "subrequests"],
  });

  function count(script: string, parts: readonly PartUsage[], cpuMs: number): void {
    const shares = cpuShares(parts, cpuMs);
    for (const [i, part] of parts.entries()) {
      const namespace = namespaceOf(part);
      for (const { type, status, requests, wallMs, responseBytes } of part.invocations) {
        const key = { script, namespace, type, status, wall_bucket: bucketOf(wallMs / requests) };
        invocations.add(key, { requests, wall_us: wallMs * 1_000, response_bytes: responseBytes });
      }
      const { activeMs, rowsRead, rowsWritten, storageReadUnits, storageWriteUnits, storageDeletes, subrequests } = part.sums;
      periodic.add(
        { namespace },
        {
          active_us: activeMs * 1_000,
          cpu_us: Math.round((shares[i] as number) * 1_000),
          rows_read: rowsRead,
          rows_written: rowsWritten,
          read_units: storageReadUnits,
          write_units: storageWriteUnits,
          deletes: storageDeletes,
          subrequests,
        },
      );
    }
  }

  const invocationsDataset: Dataset = {
    description: "Invocations of Durable Objects: requests, alarms and WebSocket events",
    permission: PERMISSION,
    dimensions: { namespaceId: "string", scriptName: "string", type: "string", status: "string" },
    sum: ["requests", "errors", "wallTime", "responseBodySize"],
    quantiles: ["wallTime"],
    async facts(window) {
      await runtime.readMeters();
      const rows = await invocations.read(window);
      return rows.map(({ time, script, namespace, type, status, requests, wall_us, response_bytes }) => ({
        time,
        dimensions: { namespaceId: namespace, scriptName: script, type, status },
        count: requests,
        sum: { requests, errors: status === "success" ? 0 : requests, wallTime: wall_us, responseBodySize: response_bytes },
      }));
    },
  };

  const periodicDataset: Dataset = {
    description: "What Durable Objects use while they are active",
    permission: PERMISSION,
    dimensions: { namespaceId: "string" },
    sum: [
      "activeTime",
      "cpuTime",
      "duration",
      "rowsRead",
      "rowsWritten",
      "storageReadUnits",
      "storageWriteUnits",
      "storageDeletes",
      "subrequests",
    ],
    fractions: ["duration"],
    async facts(window) {
      await runtime.readMeters();
      const rows = await periodic.read(window);
      return rows.map((row) => ({
        time: row.time,
        dimensions: { namespaceId: row.namespace },
        sum: {
          activeTime: row.active_us,
          cpuTime: row.cpu_us,
          duration: (row.active_us / 1e6) * GIGABYTES,
          rowsRead: row.rows_read,
          rowsWritten: row.rows_written,
          storageReadUnits: row.read_units,
          storageWriteUnits: row.write_units,
          storageDeletes: row.deletes,
          subrequests: row.subrequests,
        },
      }));
    },
  };

  const subrequestsDataset: Dataset = {
    description: "What Durable Objects asked of others by fetch()",
    permission: PERMISSION,
    dimensions: { namespaceId: "string" },
    sum: ["requests"],
    async facts(window) {
      await runtime.readMeters();
      const rows = (await periodic.read(window)).filter(({ subrequests }) => subrequests > 0);
      return rows.map(({ time, namespace, subrequests }) => ({
        time,
        dimensions: { namespaceId: namespace },
        count: subrequests,
        sum: { requests: subrequests },
      }));
    },
  };

  let stopped = false;
  return {
    async collect(script, socket, cpuMs) {
      if (!stopped) count(script, await takeUsage(socket, TIMEOUT_MS), cpuMs);
    },
    datasets: {
      durableObjectsInvocationsAdaptiveGroups: invocationsDataset,
      durableObjectsPeriodicGroups: periodicDataset,
      durableObjectsSubrequestsAdaptiveGroups: subrequestsDataset,
    },
    async stop() {
      await runtime.readMeters();
      stopped = true;
      await invocations.stop();
      await periodic.stop();
    },
  };
}
