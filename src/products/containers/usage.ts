/**
 * What instances use: run time in the documented steps of ten milliseconds, memory and disk as provisioned for that time,
 * CPU as used (https://developers.cloudflare.com/containers/pricing/), and the memory that they really took. Each live
 * instance is looked at every few seconds; a row says what came since the last one, so that rows of a time add up.
 */
import { openEventLog } from "../../kernel/analytics/event-log.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset, Fact } from "../../kernel/product.ts";
import type { Applications } from "./applications.ts";
import type { Engine } from "./engine.ts";
import type { Instance, Instances } from "./instances.ts";

export interface Usage {
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

export interface UsageOptions {
  readonly engine: Engine;
  readonly instances: Pick<Instances, "onRunning" | "live">;
  readonly applications: Pick<Applications, "find">;
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly everyMs: number;
}

/** What is known of an instance from its last row on. */
interface Meter {
  /** End of the time that rows have counted. */
  countedUntil: number;
  cpuNs: number;
}

const TABLE = "containers_usage";
const COLUMNS = ["application", "instance", "object", "uptime_ms", "cpu_ms", "memory_mib", "disk_mb", "memory_bytes"] as const;
const KEEP_MS = 92 * 86_400_000;
const ROWS_MAX = 200_000;
/** Billing counts run time in steps of this. */
const STEP_MS = 10;

export function openUsage({ engine, instances, applications, meta, clock, log, everyMs }: UsageOptions): Usage {
  const events = openEventLog(meta, clock, log, { name: TABLE, columns: COLUMNS, keepMs: KEEP_MS });
  const meters = new Map<string, Meter>();
  let timer: NodeJS.Timeout | undefined;

  instances.onRunning((instance) => {
    // Of one that was taken over the time before is counted, up to the last look.
    meters.set(instance.id, { countedUntil: Math.max(instance.startedAt, clock.now() - everyMs), cpuNs: 0 });
    void instance.ended.then(() => {
      count(instance, { cpuNs: meters.get(instance.id)?.cpuNs ?? 0, memoryBytes: 0 });
      meters.delete(instance.id);
    });
  });

  function count(instance: Instance, { cpuNs, memoryBytes }: { cpuNs: number; memoryBytes: number }): void {
    const meter = meters.get(instance.id);
    if (meter === undefined) return;
    // Rounded up as a whole: steps that a look cuts are counted once.
    const steps = Math.ceil((clock.now() - meter.countedUntil) / STEP_MS);
    events.add({
      application: instance.applicationId,
      instance: instance.id,
      object: instance.object.objectId,
      uptime_ms: steps * STEP_MS,
      cpu_ms: Math.max(0, cpuNs - meter.cpuNs) / 1e6,
      memory_mib: instance.resources.memoryMib,
      disk_mb: instance.resources.diskMb,
      memory_bytes: memoryBytes,
    });
    meter.countedUntil += steps * STEP_MS;
    meter.cpuNs = Math.max(meter.cpuNs, cpuNs);
  }

  async function look(): Promise<void> {
    for (const instance of instances.live()) {
      if (instance.containerId === undefined || !meters.has(instance.id)) continue;
      const stats = await engine.stats(instance.containerId);
      if (stats !== undefined && instance.end === undefined) count(instance, stats);
    }
  }

  function again(): void {
    timer = setTimeout(() => {
      look()
        .catch((error: unknown) => log.warn("containers.not_measured", { error: String(error) }))
        .finally(() => {
          if (timer !== undefined) again();
        });
    }, everyMs);
    timer.unref();
  }
  again();

  async function facts({ from, to }: { readonly from: number; readonly to: number }): Promise<Fact[]> {
    const asked = clock.now();
    await look();
    await events.flush();
    // Who asks until now gets what was looked up for the question.
    const until = to >= asked ? Math.max(to, clock.now() + 1) : to;
    const rows = await meta.all<Record<(typeof COLUMNS)[number] | "at", string | number>>(
      `SELECT at, ${COLUMNS.join(", ")} FROM ${TABLE} WHERE at >= ? AND at < ? ORDER BY at LIMIT ${ROWS_MAX}`,
      from,
      until,
    );
    return rows.map((row) => {
      const seconds = Number(row.uptime_ms) / 1000;
      return {
        time: Math.min(Number(row.at), to - 1),
        dimensions: {
          applicationId: String(row.application),
          applicationName: applications.find(String(row.application))?.name ?? "",
          instanceId: String(row.instance),
          durableObjectId: String(row.object),
        },
        sum: {
          uptimeMs: Number(row.uptime_ms),
          cpuTimeMs: Number(row.cpu_ms),
          memoryGibSeconds: (Number(row.memory_mib) / 1024) * seconds,
          diskGbSeconds: (Number(row.disk_mb) / 1000) * seconds,
        },
        max: { memoryBytes: Number(row.memory_bytes) },
      };
    });
  }

  return {
    datasets: {
      containersMetricsAdaptiveGroups: {
        description: "What instances of container applications used",
        permission: ["Account Analytics Read"],
        dimensions: { applicationId: "string", applicationName: "string", instanceId: "string", durableObjectId: "string" },
        sum: ["uptimeMs", "cpuTimeMs", "memoryGibSeconds", "diskGbSeconds"],
        fractions: ["cpuTimeMs", "memoryGibSeconds", "diskGbSeconds"],
        max: ["memoryBytes"],
        facts,
      },
    },
    async stop() {
      clearTimeout(timer);
      timer = undefined;
      await events.stop();
    },
  };
}
