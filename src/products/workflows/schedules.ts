/**
 * Cron schedules of workflows: an instance for each time. A time at which the platform was down is not made up for; the id
 * of a scheduled instance is made of its time, so that none is started twice.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import { nextRun } from "../../kernel/cron-expression.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Workflow } from "./model.ts";
import { encode } from "./values.worker.ts";
import type { Workflows } from "./workflows.ts";

export interface Schedules {
  /** The workflows or their schedules have changed. */
  changed(): void;
  stop(): Promise<void>;
}

/** Longest wait of one timer; also how late a change of the system's clock is noticed. */
const TICK_MAX_MS = 60_000;

export function startSchedules(workflows: Workflows, lifecycle: Lifecycle, clock: Clock, log: Log): Schedules {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  /** Times up to this one have been seen to. */
  let seen = clock.now();
  const inFlight = new Set<Promise<void>>();

  function tick(): void {
    const now = clock.now();
    let next = now + TICK_MAX_MS;
    for (const workflow of workflows.list()) {
      for (const cron of workflow.settings.crons ?? []) {
        let at = nextRun(cron, seen);
        if (at !== undefined && at <= now) {
          fire(workflow, cron, at);
          at = nextRun(cron, now);
        }
        if (at !== undefined) next = Math.min(next, at);
      }
    }
    seen = now;
    if (!stopped) timer = setTimeout(tick, Math.max(0, next - now)).unref();
  }

  function fire(workflow: Workflow, cron: string, scheduledTime: number): void {
    const id = `cron-${createHash("sha256").update(`${cron}\n${scheduledTime}`).digest("hex").slice(0, 32)}`;
    const work = lifecycle
      .create(workflow, { id, params: encode({}) }, "cron", { cron, scheduledTime })
      .then(() => undefined)
      .catch((error: unknown) => {
        if (error instanceof PlatformError && error.code === "workflows.instanceExists") return;
        log.error("workflows.schedule_failed", { workflow: workflow.name, cron, error });
      })
      .finally(() => inFlight.delete(work));
    inFlight.add(work);
  }

  tick();
  return {
    changed() {
      clearTimeout(timer);
      if (!stopped) tick();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await Promise.allSettled([...inFlight]);
    },
  };
}
