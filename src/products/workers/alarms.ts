/**
 * Starts the processes of Workers whose Durable Objects have an alarm due: alarms fire by themselves while a process runs,
 * so this only concerns stopped ones, and the start of the platform. The files of a stopped Worker are read once. An alarm
 * under which its process passes a limit takes workerd's count of retries along: that count is kept here.
 */
import type { DurableObjects } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Lease } from "../../kernel/workerd/runtime.ts";
import { processId, type Serving, splitOf } from "./serving.ts";
import type { LiveScript, ScriptStore } from "./store.ts";

/** How long before it is due an alarm's process is started: more than a start takes. */
const LEAD_MS = 1_000;
const TICK_MS = 1_000;
/** A process that was started for an alarm is left alone for this long, and looked at again while the alarm is due. */
const HOLD_MS = 2_000;
/** Of an alarm whose handler passes a limit, as of one that throws: the first pause, which doubles, and how often it is tried again. */
const RETRY_MS = 2_000;
const RETRIES_MAX = 6;

export function wakeForAlarms(deps: { kernel: KernelSlice; store: ScriptStore; serving: Serving; durableObjects: DurableObjects }): {
  stop(): void;
} {
  const { kernel, store, serving, durableObjects } = deps;
  const { log, clock } = kernel;
  const waking = new Set<string>();
  let busy = false;
  let stopped = false;

  /** Processes that passed a limit in a row while an alarm of theirs was due, by version. */
  const failures = new Map<string, { count: number; notBefore: number }>();
  /** Next alarms of versions that do not run: nothing changes them meanwhile. */
  const known = new Map<string, number | undefined>();

  async function tick(): Promise<void> {
    const running = new Set(kernel.runtime.list().map((info) => info.id));
    const seen = new Set<string>();
    for (const live of store.all()) {
      for (const version of live.versions) {
        seen.add(version.id);
        if (stopped || waking.has(version.id)) continue;
        if (running.has(processId(version))) {
          known.delete(version.id);
          continue;
        }
        if (!known.has(version.id)) known.set(version.id, await durableObjects.nextAlarm(live.script, splitOf(live), version.id));
        const due = known.get(version.id);
        if (due === undefined || due > clock.now() + LEAD_MS || (failures.get(version.id)?.notBefore ?? 0) > clock.now()) continue;
        waking.add(version.id);
        wake(live, version.id, due)
          .catch((error: unknown) => log.error("alarm.wake_failed", { worker: live.script.name, error }))
          .finally(() => {
            waking.delete(version.id);
            known.delete(version.id);
          });
      }
    }
    for (const map of [known, failures]) for (const id of map.keys()) if (!seen.has(id)) map.delete(id);
  }

  async function wake(live: LiveScript, version: string, due: number): Promise<void> {
    const { script } = live;
    const lease = await serving.lease(script.name, { version });
    try {
      // Any number of alarms run under it.
      lease.openEnded();
      do {
        await gone(lease.retired, HOLD_MS);
        if (lease.retired.aborted) return await ended(live, version, await lease.fate());
      } while (!stopped && (await durableObjects.nextAlarm(script, splitOf(live), version)) === due);
      failures.delete(version);
    } finally {
      lease.release();
    }
  }

  async function ended(live: LiveScript, version: string, fate: Awaited<ReturnType<Lease["fate"]>>): Promise<void> {
    if (fate !== "exceededCpu" && fate !== "exceededMemory") return;
    const count = (failures.get(version)?.count ?? 0) + 1;
    failures.set(version, { count, notBefore: clock.now() + RETRY_MS * 2 ** (count - 1) });
    if (count <= RETRIES_MAX) return;
    failures.delete(version);
    // The first one is what each process began with.
    const groups = await durableObjects.groups(live.script, splitOf(live), version);
    const object = await kernel.runtime.alone(groups, () => durableObjects.dropNextAlarm(live.script, splitOf(live), version));
    log.warn("alarm.given_up", { worker: live.script.name, object, retries: RETRIES_MAX, why: fate });
  }

  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    tick()
      .catch((error: unknown) => log.error("alarm.check_failed", { error }))
      .finally(() => {
        busy = false;
      });
  }, TICK_MS);
  timer.unref();
  return {
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

/** Resolves when the signal is aborted, or after a time. */
function gone(signal: AbortSignal, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, timeoutMs).unref();
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
