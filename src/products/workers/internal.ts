/**
 * What trusted Workers inside the processes send to the platform: traces of invocations for live tails (`tail.worker.ts`),
 * and records of what is to be kept (`trace.worker.ts`).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { MeteredInvocation, Telemetry } from "../../kernel/capabilities.ts";
import type { InvocationRecord } from "../../kernel/invocation-record.ts";
import type { Log } from "../../kernel/log.ts";
import type { Claims } from "../../kernel/product.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import type { CpuMeter } from "./cpu-meter.ts";
import { type KilledTrace, killedRecord } from "./killed.ts";
import { processId } from "./serving.ts";
import type { Stacks } from "./source-maps.ts";
import type { ScriptStore } from "./store.ts";
import type { Tails, TraceItem } from "./tails.ts";

/** A batch of traces is as large as the logs of its invocations, which the runtime limits to 256 KB each. */
const BATCH_MAX_BYTES = 16 * 1024 * 1024;

interface Parts {
  readonly store: ScriptStore;
  readonly tails: Tails;
  readonly stacks: Stacks;
  readonly meter: CpuMeter;
  readonly telemetry: Telemetry;
}

/** As `outbox.worker.ts` sends it. */
interface Batch<T> {
  /** Items that the process had to leave out. */
  readonly dropped: number;
  readonly items: readonly T[];
}

export function traceReceiver(log: Log, { store, tails, stacks, meter, telemetry }: Parts) {
  function record(scriptId: string, versionId: string, invocations: readonly MeteredInvocation[]): void {
    const live = store.liveById(scriptId);
    if (live === undefined) return;
    const { script, versions } = live;
    const tag = versions.find(({ id }) => id === versionId)?.annotations["workers/tag"];
    const worker = { scriptName: script.name, versionId, versionTag: tag, settings: script.settings.observability };
    telemetry.record(worker, invocations);
  }

  async function receive(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (claims.kind !== "tail" && claims.kind !== "invocations") {
      response.writeHead(403).end();
      return;
    }
    const text = (await bodyOf(request, BATCH_MAX_BYTES))?.toString("utf8");
    response.writeHead(204).end();
    if (text === undefined) return;
    const [scriptId, versionId] = [String(claims.scriptId), String(claims.versionId)];
    if (claims.kind === "tail") {
      if (!tails.listening(scriptId)) return;
      // Live tails are not told of what was left out: they drop what they are too slow for, too.
      const { items } = JSON.parse(text) as Batch<TraceItem>;
      tails.publish(scriptId, versionId, await stacks.original(scriptId, versionId, items));
      return;
    }
    const { dropped, items } = JSON.parse(text) as Batch<InvocationRecord>;
    if (dropped > 0) log.warn("worker.invocations_not_recorded", { version: versionId, dropped });
    const metered = withCpuTime(items, meter.since(processId({ id: versionId }), "records"));
    record(scriptId, versionId, await stacks.original(scriptId, versionId, metered));
  }

  return {
    receive,
    /** An invocation that ended with its process. */
    keep(scriptId: string, versionId: string, trace: KilledTrace): void {
      const rates = telemetry.plan(store.liveById(scriptId)?.script.settings.observability);
      if (rates !== undefined) record(scriptId, versionId, [{ ...killedRecord(trace, rates), cpuTimeMs: 0 }]);
    },
  };
}

/** The process's CPU time since the last batch, shared by the time that each invocation took. */
function withCpuTime(invocations: readonly InvocationRecord[], cpuMs: number): MeteredInvocation[] {
  const weights = invocations.map(({ start, end }) => end - start + 1);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return invocations.map((record, i) => {
    const share = (cpuMs * (weights[i] as number)) / total;
    // One thread cannot have worked for longer than the invocation took; times are whole milliseconds.
    return { ...record, cpuTimeMs: Math.min(Math.round(share), record.end - record.start) };
  });
}
