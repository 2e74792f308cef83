/**
 * Starts the processes of Workers whose Durable Objects have an alarm due: alarms fire by themselves while a process runs,
 * so this only concerns stopped ones, and the start of the platform.
 */
import type { DurableObjects } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Serving } from "./serving.ts";
import type { ScriptStore } from "./store.ts";

/** How long before it is due an alarm's process is started: more than a start takes. */
const LEAD_MS = 1_000;
/** How often the alarm files of stopped Workers are read. A running process sets alarms that only matter when it stops. */
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

  async function tick(): Promise<void> {
    for (const { script } of store.all()) {
      if (stopped || waking.has(script.id)) continue;
      const due = await durableObjects.nextAlarm(script);
      if (due === undefined || due > clock.now() + LEAD_MS) continue;
      waking.add(script.id);
      wake(script.name)
        .catch((error: unknown) => log.error("alarm.wake_failed", { worker: script.name, error }))
        .finally(() => waking.delete(script.id));
    }
  }

  async function wake(name: string): Promise<void> {
    const lease = await serving.lease(name);
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
