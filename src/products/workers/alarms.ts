/**
 * Starts the processes of Workers whose Durable Objects have an alarm due: alarms fire by themselves while a process runs,
 * so this only concerns stopped ones, and the start of the platform. The files of a stopped Worker are read once.
 */
import type { DurableObjects } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { processId, type Serving, splitOf } from "./serving.ts";
import type { ScriptStore } from "./store.ts";

/** How long before it is due an alarm's process is started: more than a start takes. */
const LEAD_MS = 1_000;
const TICK_MS = 1_000;
/** A process that was started for an alarm is left alone for this long. */
const HOLD_MS = 2_000;

export function wakeForAlarms(deps: { kernel: KernelSlice; store: ScriptStore; serving: Serving; durableObjects: DurableObjects }): {
  stop(): void;
} {
  const { kernel, store, serving, durableObjects } = deps;
  const { log, clock } = kernel;
  const waking = new Set<string>();
  let busy = false;
  let stopped = false;

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
        if (due === undefined || due > clock.now() + LEAD_MS) continue;
        waking.add(version.id);
        wake(live.script.name, version.id)
          .catch((error: unknown) => log.error("alarm.wake_failed", { worker: live.script.name, error }))
          .finally(() => {
            waking.delete(version.id);
            known.delete(version.id);
          });
      }
    }
    for (const id of known.keys()) if (!seen.has(id)) known.delete(id);
  }

  async function wake(name: string, version: string): Promise<void> {
    const lease = await serving.lease(name, { version });
    await new Promise((resolve) => setTimeout(resolve, HOLD_MS).unref());
    lease.release();
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
