/**
 * Cron triggers: the schedules of scripts, the one timer that fires them, and the last runs. A run that falls into a time
 * when the platform was down is not made up for; one that has been started is not started again after a restart.
 */
import type { Clock } from "../../kernel/clock.ts";
import { nextRun, parse } from "../../kernel/cron-expression.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { workersError } from "./errors.ts";
import type { Events } from "./events.ts";
import type { Script } from "./model.ts";
import type { ScriptStore } from "./store.ts";

export interface Schedule {
  readonly cron: string;
  readonly created_on: number;
  readonly modified_on: number;
}

export interface CronRun {
  readonly cron: string;
  readonly scheduled_time: number;
  readonly started_on: number;
  readonly duration_ms: number;
  readonly outcome: string;
}

export interface CronScheduler {
  list(scriptId: string): Promise<Schedule[]>;
  /** Replaces the script's schedules. Throws `workers.invalidCron`. */
  replace(scriptId: string, crons: readonly string[]): Promise<Schedule[]>;
  /** Newest first; the last 100 of a script are kept. */
  runs(scriptId: string): Promise<CronRun[]>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Documented limit of cron triggers per Worker on the paid plan. */
const CRONS_MAX = 250;
const RUNS_KEPT = 100;
/** Longest wait of one timer; also how late a change of the system's clock is noticed. */
const TICK_MAX_MS = 60_000;

interface Due {
  readonly scriptId: string;
  readonly cron: string;
  /** When it runs next. */
  at: number;
}

export function createCron(deps: { meta: MetaStore; clock: Clock; log: Log; store: ScriptStore; events: Events }): CronScheduler {
  const { meta, clock, log, store, events } = deps;
  let schedule: Due[] = [];
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;
  const inFlight = new Set<Promise<void>>();

  function arm(): void {
    clearTimeout(timer);
    if (stopped || schedule.length === 0) return;
    const next = Math.min(...schedule.map((due) => due.at));
    timer = setTimeout(tick, Math.max(0, Math.min(TICK_MAX_MS, next - clock.now())));
    timer.unref();
  }

  function tick(): void {
    const now = clock.now();
    for (const due of schedule) {
      if (due.at > now) continue;
      const scheduledTime = due.at;
      due.at = nextRun(due.cron, now) ?? Number.POSITIVE_INFINITY;
      const work = fire(due, scheduledTime)
        .catch((error: unknown) => log.error("cron.failed", { cron: due.cron, error }))
        .finally(() => inFlight.delete(work));
      inFlight.add(work);
    }
    arm();
  }

  async function fire(due: Due, scheduledTime: number): Promise<void> {
    const script = store.liveById(due.scriptId)?.script;
    if (script === undefined) return;
    // Before the run: after a restart within the same minute it is not started a second time.
    await meta.run("UPDATE workers_schedules SET last_due = ? WHERE script_id = ? AND cron = ?", scheduledTime, due.scriptId, due.cron);
    const startedOn = clock.now();
    const { outcome } = await events.scheduled(script.name, { cron: due.cron, scheduledTime, intervalMs: due.at - scheduledTime });
    await record(script, {
      cron: due.cron,
      scheduled_time: scheduledTime,
      started_on: startedOn,
      duration_ms: clock.now() - startedOn,
      outcome,
    });
  }

  async function record(script: Script, run: CronRun): Promise<void> {
    log.info("cron.run", { worker: script.name, cron: run.cron, outcome: run.outcome, durationMs: run.duration_ms });
    await meta.transaction(async (tx) => {
      await tx.run(
        "INSERT INTO workers_cron_runs (script_id, cron, scheduled_time, started_on, duration_ms, outcome) VALUES (?, ?, ?, ?, ?, ?)",
        script.id,
        run.cron,
        run.scheduled_time,
        run.started_on,
        run.duration_ms,
        run.outcome,
      );
      await tx.run(
        `DELETE FROM workers_cron_runs WHERE script_id = ? AND started_on < (
           SELECT MIN(started_on) FROM (SELECT started_on FROM workers_cron_runs WHERE script_id = ? ORDER BY started_on DESC LIMIT ?) AS kept)`,
        script.id,
        script.id,
        RUNS_KEPT,
      );
    });
  }

  async function load(): Promise<void> {
    const rows = await meta.all<{ script_id: string; cron: string; last_due: number }>(
      "SELECT script_id, cron, last_due FROM workers_schedules LIMIT 100000",
    );
    const now = clock.now();
    schedule = rows.flatMap(({ script_id, cron, last_due }) => {
      const at = nextRun(cron, Math.max(now, last_due));
      return at === undefined ? [] : [{ scriptId: script_id, cron, at }];
    });
    arm();
  }

  const scheduler: CronScheduler = {
    list: (scriptId) =>
      meta.all<Schedule & Record<string, never>>(
        "SELECT cron, created_on, modified_on FROM workers_schedules WHERE script_id = ? ORDER BY cron LIMIT 1000",
        scriptId,
      ),
    async replace(scriptId, crons) {
      const unique = [...new Set(crons)];
      const twice = crons.find((cron, i) => crons.indexOf(cron) !== i);
      if (twice !== undefined) throw workersError("invalidCron", `duplicate cron found: ${twice}`);
      if (unique.length > CRONS_MAX) throw workersError("tooManyCrons");
      for (const cron of unique) {
        try {
          parse(cron);
        } catch (cause) {
          throw workersError("invalidCron", `invalid cron string: ${cron} (${(cause as Error).message})`, { cause });
        }
      }
      const now = clock.now();
      await meta.transaction(async (tx) => {
        const before = await tx.all<{ cron: string }>("SELECT cron FROM workers_schedules WHERE script_id = ?", scriptId);
        for (const { cron } of before) {
          if (!unique.includes(cron)) await tx.run("DELETE FROM workers_schedules WHERE script_id = ? AND cron = ?", scriptId, cron);
        }
        for (const cron of unique) {
          await tx.run(
            `INSERT INTO workers_schedules (script_id, cron, created_on, modified_on, last_due) VALUES (?, ?, ?, ?, 0)
             ON CONFLICT (script_id, cron) DO UPDATE SET modified_on = ?`,
            scriptId,
            cron,
            now,
            now,
            now,
          );
        }
      });
      await load();
      return scheduler.list(scriptId);
    },
    runs: (scriptId) =>
      meta.all<CronRun & Record<string, never>>(
        "SELECT cron, scheduled_time, started_on, duration_ms, outcome FROM workers_cron_runs WHERE script_id = ? ORDER BY started_on DESC LIMIT 100",
        scriptId,
      ),
    async start() {
      stopped = false;
      await load();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await Promise.allSettled(inFlight);
    },
  };
  return scheduler;
}
