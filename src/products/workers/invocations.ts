/**
 * Figures of invocations for the GraphQL Analytics API: requests, errors, wall and CPU time of each Worker, as the dataset
 * `workersInvocationsAdaptive` has them (docs/workers/observability). Counted by the platform around the process, whether
 * the Worker's logs are stored or not, so that user code pays nothing: an invocation is one addition in memory. RPC calls
 * between Workers pass by unparsed and are not counted.
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
import { bucketOf } from "../../kernel/analytics/histogram.ts";
import type { ForwardOutcome } from "../../kernel/gateway/forward.ts";
import type { Dataset, DatasetWindow, Fact, KernelSlice } from "../../kernel/product.ts";
import type { CpuMeter } from "./cpu-meter.ts";
import { namespaceOf, plainName } from "./owner.ts";
import { isOwned } from "./store.ts";

/** Words of the dataset's `status`. */
export type InvocationStatus = "success" | "clientDisconnected" | "scriptThrewException" | "exceededResources";

/** What became of an invocation; other outcomes are of requests that reached none. */
export const statusOf: Readonly<Partial<Record<ForwardOutcome, InvocationStatus>>> = {
  done: "success",
  aborted: "clientDisconnected",
  intercepted: "scriptThrewException",
  broken: "exceededResources",
};

export interface Invocations {
  /** An invocation begins: the time by `performance.now()`, for `end`. */
  begin(versionId: string): number;
  end(worker: { readonly scriptName: string; readonly versionId: string }, status: InvocationStatus, begun: number): void;
  readonly dataset: Dataset;
  /** Facts of the Workers whose names are wanted, with the dimensions of the dataset. */
  facts(window: DatasetWindow, wanted: (script: string) => boolean): Promise<Fact[]>;
  /** Invocations since a time. */
  since(from: number): Promise<number>;
  stop(): Promise<void>;
}

const SETTLE_MS = 2_000;

interface Tally {
  readonly scriptName: string;
  readonly versionId: string;
  readonly status: InvocationStatus;
  readonly bucket: number;
  requests: number;
  wallUs: number;
}

interface Names {
  /** The process that serves a version. */
  processId(versionId: string): string;
  /** The name of a dispatch namespace, by its id. */
  namespaceName(id: string): string | undefined;
}

export function openInvocations({ meta, clock, log }: KernelSlice, meter: CpuMeter, { processId, namespaceName }: Names): Invocations {
  const counter = openCounter(meta, clock, log, {
    name: "workers_invocations",
    period: { column: "minute", ms: 60_000 },
    keys: ["script", "version", "status", "wall_bucket", "cpu_bucket"],
    sums: ["requests", "errors", "wall_us", "cpu_us"],
  });
  const seen = new Set<string>();
  let tallies = new Map<string, Tally>();
  let timer: NodeJS.Timeout | undefined;

  /** Shares the CPU time of each process among the invocations since the last time, and hands all to the counter. */
  function settle(): void {
    clearTimeout(timer);
    timer = undefined;
    const settled = [...tallies.values()];
    tallies = new Map();
    const requests = new Map<string, number>();
    for (const { versionId, requests: n } of settled) requests.set(versionId, (requests.get(versionId) ?? 0) + n);
    const cpuUs = new Map([...requests].map(([id, n]) => [id, Math.round((meter.since(processId(id), "count") * 1_000) / n)]));
    for (const { scriptName, versionId, status, bucket, requests, wallUs } of settled) {
      const each = cpuUs.get(versionId) as number;
      counter.add(
        { script: scriptName, version: versionId, status, wall_bucket: bucket, cpu_bucket: bucketOf(each / 1_000) },
        {
          requests,
          errors: status === "scriptThrewException" || status === "exceededResources" ? requests : 0,
          wall_us: Math.round(wallUs),
          cpu_us: each * requests,
        },
      );
    }
    for (const id of seen) if (!requests.has(id)) seen.delete(id);
  }

  async function facts(window: DatasetWindow, wanted: (script: string) => boolean): Promise<Fact[]> {
    settle();
    const rows = await counter.read(window);
    return rows
      .filter(({ script }) => wanted(String(script)))
      .map(({ time, script, version, status, requests, errors, wall_us, cpu_us }) => ({
        time,
        dimensions: { ...ownership(String(script)), scriptVersion: version, status, usageModel: "standard" },
        count: requests,
        sum: { requests, errors, wallTime: wall_us, cpuTime: cpu_us, cpuTimeUs: cpu_us },
      }));
  }

  /** A user Worker by its own name and its namespace's; one whose namespace is gone keeps the id. */
  function ownership(script: string): { scriptName: string; dispatchNamespaceName: string } {
    const namespace = namespaceOf(script);
    if (namespace === undefined) return { scriptName: script, dispatchNamespaceName: "" };
    return { scriptName: plainName(script), dispatchNamespaceName: namespaceName(namespace) ?? namespace };
  }

  return {
    begin(versionId) {
      if (!seen.has(versionId)) {
        // Its first for a while: what its process has used until now was for no invocation of this count.
        seen.add(versionId);
        meter.begin(processId(versionId));
      }
      return performance.now();
    },
    end({ scriptName, versionId }, status, begun) {
      const ms = performance.now() - begun;
      const us = ms * 1_000;
      const bucket = bucketOf(ms);
      const key = `${versionId}${status}${bucket}`;
      const tally = tallies.get(key);
      if (tally === undefined) tallies.set(key, { scriptName, versionId, status, bucket, requests: 1, wallUs: us });
      else {
        tally.requests++;
        tally.wallUs += us;
      }
      timer ??= setTimeout(settle, SETTLE_MS).unref();
    },
    dataset: {
      description: "Invocations of Workers: requests, errors, and how long they took",
      permission: ["Account Analytics Read", "Workers Scripts Read"],
      grouped: true,
      dimensions: {
        scriptName: "string",
        dispatchNamespaceName: "string",
        scriptVersion: "string",
        status: "string",
        usageModel: "string",
      },
      sum: ["requests", "errors", "wallTime", "cpuTimeUs"],
      quantiles: ["cpuTime", "wallTime"],
      facts: (window) => facts(window, (script) => !isOwned(script)),
    },
    facts,
    async since(from) {
      const rows = await counter.read({ from, to: clock.now() + 1, unit: Number.POSITIVE_INFINITY });
      return rows.reduce((sum, { requests }) => sum + requests, 0);
    },
    async stop() {
      settle();
      await counter.stop();
    },
  };
}
