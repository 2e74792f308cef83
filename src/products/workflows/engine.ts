/**
 * Runs instances when they are due: each run holds the process of its Worker and a request to the driver in it. Instances
 * that wait for long, are paused, queued or ended are rows and nothing else. What ran when the platform or the Worker's
 * process ended runs again, from its beginning, with the results of the steps that had finished.
 */
import { Client } from "undici";
import type { Dispatch, WorkerProcess } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { DRIVER_SOCKET } from "./driver.ts";
import type { InstanceChange, Instances } from "./instances.ts";
import { errorOf, hasEnded, type InstanceRef, type InstanceRow, parsed, type Schedule, type Workflow } from "./model.ts";
import type { ErrorInfo, RunOrder, RunOutcome, StepKey, StepResult } from "./protocol.worker.ts";
import { InstanceRun, type RunHost, type StopReason } from "./run.ts";
import { Slots } from "./slots.ts";
import { keyOf, resultOf, type Steps } from "./steps.ts";
import type { Transitions } from "./transitions.ts";
import type { Workflows } from "./workflows.ts";

export interface EngineLimits {
  readonly runningMax: number;
  readonly stepsDefault: number;
  readonly valueMaxBytes: number;
  readonly storedMaxBytes: number;
  /** A wait longer than this is not kept in memory. */
  readonly hibernateAfterMs: number;
  readonly successRetentionMs: number;
  readonly errorRetentionMs: number;
}

export interface EngineDeps {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly workflows: Workflows;
  readonly instances: Instances;
  readonly steps: Steps;
  readonly dispatch: Pick<Dispatch, "enter" | "exports">;
  readonly limits: EngineLimits;
  readonly transitions: Transitions;
  /** An instance that has ended is to be deleted at this time. */
  readonly expires: (at: number) => void;
}

export type Engine = ReturnType<typeof createEngine>;

interface Held {
  readonly run: InstanceRun;
  /** Ends the request to the driver. */
  readonly client: Client;
  readonly process: WorkerProcess;
  hasSlot: boolean;
}

/** Longest time of one timer; also how late a change of the system's clock is noticed. */
const TICK_MAX_MS = 60_000;
/** A process that dies ends its requests, too, within this time; one that lives on is replaced. */
const DEATH_MS = 200;
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 60_000;
/** Runs in a row that ended with their process and got no step further; then the instance fails. */
const LOST_MAX = 20;
/** Results that travel with an order; what is more is asked for. */
const RESULTS_MAX_BYTES = 8 * 1024 * 1024;
/** How long steps in hand may take to end when the platform stops. */
const STOP_MS = 5_000;
/** The reason that rollbacks get when the instance was terminated. */
const TERMINATED: ErrorInfo = { name: "Terminated", message: "Instance terminated during rollback" };

/** Last statuses, and what is announced of them. */
const EVENTS = { complete: "completed", errored: "errored", terminated: "terminated" } as const;

const nameOf = ({ workflowId, id }: InstanceRef): string => `${workflowId}/${id}`;

export function createEngine(deps: EngineDeps) {
  const { meta, clock, log, workflows, instances, steps, dispatch, limits, transitions } = deps;
  /** Runs in memory, by instance; "starting" until the run has its process. */
  const held = new Map<string, Held | "starting">();
  const byToken = new Map<string, InstanceRun>();
  const slots = new Map<string, Slots>();
  /** Failed runs in a row, by instance; only of those that had some. */
  const failures = new Map<string, number>();
  /** Workflows whose Worker or class is not there. */
  const orphans = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let nextTick = Number.POSITIVE_INFINITY;
  let starting = 0;
  let stopped = false;
  const inFlight = new Set<Promise<void>>();

  function slotsOf(workflow: Workflow): Slots {
    let found = slots.get(workflow.id);
    if (found === undefined) {
      found = new Slots(() => workflows.byId(workflow.id)?.settings.concurrency ?? limits.runningMax);
      slots.set(workflow.id, found);
    }
    return found;
  }

  const heldRun = (ref: InstanceRef): Held | undefined => {
    const found = held.get(nameOf(ref));
    return found === "starting" ? undefined : found;
  };

  // --- what is due -------------------------------------------------------------------------------------------

  /** Starts what is due of a workflow, as far as its slots go. */
  async function look(workflow: Workflow): Promise<void> {
    if (stopped || !isRunnable(workflow)) return;
    const of = slotsOf(workflow);
    const free = Math.min(of.free, limits.runningMax - held.size);
    if (free > 0) {
      // Those that are starting are due by their rows until they have.
      for (const { id } of await instances.due(workflow.id, free + starting)) {
        if (of.free === 0 || held.size >= limits.runningMax || stopped) break;
        const ref: InstanceRef = { workflowId: workflow.id, id };
        if (held.has(nameOf(ref))) continue;
        of.take();
        held.set(nameOf(ref), "starting");
        starting++;
        background(start(workflow, ref));
      }
    }
    const next = await instances.nextDue(workflow.id);
    if (next !== null) tickAt(next);
  }

  /** Whether its Worker has the class. Without it instances wait; a tick looks again. */
  function isRunnable({ id, name, scriptName, className }: Workflow): boolean {
    const runnable = dispatch.exports(scriptName)?.some((one) => one.name === className && one.type === "workflow") === true;
    if (!runnable && !orphans.has(id)) log.warn("workflows.class_missing", { workflow: name, worker: scriptName, class: className });
    if (runnable) orphans.delete(id);
    else orphans.add(id);
    return runnable;
  }

  function background(work: Promise<void>): void {
    const tracked = work.catch((error: unknown) => log.error("workflows.run_failed", { error })).finally(() => inFlight.delete(tracked));
    inFlight.add(tracked);
  }

  /** Looks soon: several calls of one moment are one look. */
  const looking = new Set<string>();
  function lookSoon(workflow: Workflow): void {
    if (looking.has(workflow.id) || stopped) return;
    looking.add(workflow.id);
    setImmediate(() => {
      looking.delete(workflow.id);
      background(look(workflow));
    });
  }

  function tickAt(at: number): void {
    if (at >= nextTick || stopped) return;
    nextTick = at;
    clearTimeout(timer);
    timer = setTimeout(tick, Math.max(0, Math.min(TICK_MAX_MS, at - clock.now()))).unref();
  }

  function tick(): void {
    nextTick = Number.POSITIVE_INFINITY;
    tickAt(clock.now() + TICK_MAX_MS);
    for (const workflow of workflows.list()) lookSoon(workflow);
  }

  // --- a run -------------------------------------------------------------------------------------------------

  async function start(workflow: Workflow, ref: InstanceRef): Promise<void> {
    const name = nameOf(ref);
    let process: WorkerProcess;
    try {
      process = await dispatch.enter(workflow.scriptName);
    } catch (error) {
      log.warn("workflows.not_started", { workflow: workflow.name, instance: ref.id, error });
      starting--;
      held.delete(name);
      slotsOf(workflow).give();
      await instances.change(meta, ref, { wake_at: clock.now() + backoff(name) }, "due");
      return lookSoon(workflow);
    }
    const item = hold(workflow, ref, process);
    starting--;
    const move = (): void => item.run.stop("move");
    process.retired.addEventListener("abort", move, { once: true });
    try {
      const row = await begin(item);
      // It was paused, ended or deleted while its process started.
      if (row === undefined || stopped) return;
      if (process.retired.aborted) move();
      const outcome = await ask(item, await orderOf(workflow, row, item.run));
      if (!item.run.over) await finish(item, outcome);
    } catch (error) {
      if (!item.run.over) await lost(item, error);
    } finally {
      process.retired.removeEventListener("abort", move);
      letGo(item);
    }
  }

  function hold(workflow: Workflow, ref: InstanceRef, process: WorkerProcess): Held {
    const client = new Client("http://workflows", { socketPath: process.socket(DRIVER_SOCKET), headersTimeout: 0, bodyTimeout: 0 });
    const { storedMaxBytes } = limits;
    const run: InstanceRun = new InstanceRun({
      ref,
      workflow,
      scriptId: process.scriptId,
      meta,
      steps,
      clock,
      storedMaxBytes,
      host: hostOf(() => item),
    });
    const item: Held = { run, client, process, hasSlot: true };
    held.set(nameOf(ref), item);
    byToken.set(run.token, run);
    return item;
  }

  /** The row of an instance that now runs; undefined when it is not to run any more. */
  async function begin({ run }: Held): Promise<InstanceRow | undefined> {
    const { ref, workflow } = run;
    const before = await instances.get(ref);
    if (before === undefined || workflows.byId(workflow.id) === undefined) return undefined;
    const undoing = before.status === "rollingBack";
    const change = { status: undoing ? "rollingBack" : "running", wake_at: null, started_at: before.started_at ?? clock.now() } as const;
    const write = (tx: MetaTransaction): Promise<boolean> => instances.change(tx, ref, change, "due");
    const first = before.started_at === null;
    const begun = first ? await transitions.commit(workflow, ref.id, before.version_id, "started", write) : await write(meta);
    if (!begun || run.over) return undefined;
    await run.open(undoing);
    return before;
  }

  async function orderOf(workflow: Workflow, row: InstanceRow, run: InstanceRun): Promise<RunOrder> {
    const results: [StepKey, StepResult][] = [];
    for (const step of await steps.first(run.ref, RESULTS_MAX_BYTES)) {
      const result = resultOf(step);
      if (result !== undefined) results.push([keyOf(step), result]);
    }
    const schedule = parsed<Schedule>(row.schedule);
    return {
      run: run.token,
      className: workflow.className,
      workflowName: workflow.name,
      instanceId: row.id,
      params: row.params,
      timestamp: row.created_at,
      ...(schedule !== null && { schedule }),
      stepsMax: workflow.settings.steps ?? limits.stepsDefault,
      valueMaxBytes: limits.valueMaxBytes,
      results,
      ...(row.status === "rollingBack" && { rollback: errorOf(row) ?? TERMINATED }),
    };
  }

  /** Sends the order; resolves with how `run()` ended. Rejects when the request is ended or the process dies. */
  async function ask({ client }: Held, order: RunOrder): Promise<RunOutcome> {
    const answer = await client.request({ method: "POST", path: "/", body: JSON.stringify(order) });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new Error(`the driver answered ${answer.statusCode}`);
    }
    return (await answer.body.json()) as RunOutcome;
  }

  /** The run is over and holds nothing any more. Idempotent. */
  function letGo(item: Held): void {
    const { run, client, process } = item;
    run.end();
    byToken.delete(run.token);
    // What waits for the account's limit may be any workflow's.
    const full = held.size >= limits.runningMax;
    if (held.get(nameOf(run.ref)) === item) held.delete(nameOf(run.ref));
    // Also ends what user code may still be doing.
    client.destroy().catch(() => undefined);
    process.release();
    if (item.hasSlot) slotsOf(run.workflow).give();
    item.hasSlot = false;
    if (full) for (const workflow of workflows.list()) lookSoon(workflow);
    else lookSoon(run.workflow);
  }

  function hostOf(item: () => Held): RunHost {
    return {
      resting(due) {
        const { run } = item();
        const waits = due - clock.now() > limits.hibernateAfterMs;
        if (waits) letGo(item());
        else if (item().hasSlot) {
          item().hasSlot = false;
          slotsOf(run.workflow).give();
          lookSoon(run.workflow);
        }
        background(rest(run, waits ? due : null));
      },
      async working() {
        const { run } = item();
        await slotsOf(run.workflow).takeInTurn();
        if (run.over) return slotsOf(run.workflow).give();
        item().hasSlot = true;
        await instances.change(meta, run.ref, { status: "running" }, "waiting");
      },
      stopped(why) {
        const { run } = item();
        const leave = (): void => {
          if (run.over) return;
          letGo(item());
          background(settle(run, why));
        };
        // A process that died ends the request by itself, and the run with it: that is another matter.
        if (why === "move" && !stopped) setTimeout(leave, DEATH_MS).unref();
        else leave();
      },
      abandoned(reason) {
        const { run } = item();
        letGo(item());
        background(end(run.workflow, run.ref, "errored", { error: JSON.stringify(reason) }));
      },
      async undo(reason) {
        const { ref } = item().run;
        await instances.change(meta, ref, { status: "rollingBack", ending: "errored", error: JSON.stringify(reason) });
      },
    };
  }

  /** `wakeAt` null: it stays in memory. A rollback that waits for a retry goes by its own name. */
  async function rest(run: InstanceRun, wakeAt: number | null): Promise<void> {
    const { ref } = run;
    await meta.run(
      `UPDATE workflows_instances SET status = CASE status WHEN 'running' THEN 'waiting' ELSE status END, wake_at = ?, modified_at = ?
       WHERE workflow_id = ? AND id = ? AND status IN ('running', 'waiting', 'rollingBack')`,
      wakeAt,
      clock.now(),
      ref.workflowId,
      ref.id,
    );
    lookSoon(run.workflow);
  }

  /** What a stop was for. */
  async function settle(run: InstanceRun, why: StopReason): Promise<void> {
    const { ref, workflow } = run;
    if (why === "pause") await pause(workflow, ref);
    else await instances.change(meta, ref, { wake_at: clock.now() }, "alive");
    lookSoon(workflow);
  }

  /** Nothing of the instance runs: it is paused. */
  async function pause(workflow: Workflow, ref: InstanceRef): Promise<void> {
    const row = await instances.get(ref);
    if (row === undefined) return;
    const change = { status: "paused", paused_at: clock.now(), wake_at: null } as const;
    await transitions.commit(workflow, ref.id, row.version_id, "paused", (tx) => instances.change(tx, ref, change, "alive"));
  }

  async function finish(item: Held, outcome: RunOutcome): Promise<void> {
    const { run } = item;
    const row = await instances.get(run.ref);
    letGo(item);
    if (row === undefined || hasEnded(row.status)) return;
    failures.delete(nameOf(run.ref));
    if ("output" in outcome) return end(run.workflow, run.ref, "complete", { output: outcome.output });
    const rollback = outcome.rollback === undefined ? null : JSON.stringify(outcome.rollback);
    const ending = row.status === "rollingBack" && row.ending === "terminated" ? "terminated" : "errored";
    const error = ending === "terminated" ? null : JSON.stringify(outcome.error);
    return end(run.workflow, run.ref, ending, { error, rollback });
  }

  /** The process went away under the run. */
  async function lost(item: Held, error: unknown): Promise<void> {
    const { run } = item;
    const name = nameOf(run.ref);
    letGo(item);
    if (run.progressed) failures.delete(name);
    log.warn("workflows.run_lost", { workflow: run.workflow.name, instance: run.ref.id, error });
    const wait = backoff(name);
    if ((failures.get(name) ?? 0) > LOST_MAX) {
      const reason: ErrorInfo = {
        name: "WorkflowInternalError",
        message: `The Worker ended ${LOST_MAX} times in a row while it ran this instance`,
      };
      return end(run.workflow, run.ref, "errored", { error: JSON.stringify(reason) });
    }
    const row = await instances.get(run.ref);
    // It was to pause after the step that is lost.
    if (row?.status === "waitingForPause") return settle(run, "pause");
    await instances.change(meta, run.ref, { wake_at: clock.now() + wait }, "alive");
    lookSoon(run.workflow);
  }

  function backoff(name: string): number {
    const count = (failures.get(name) ?? 0) + 1;
    failures.set(name, count);
    return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (count - 1));
  }

  /** Ends an instance; with this commit it has its last status. */
  async function end(workflow: Workflow, ref: InstanceRef, status: keyof typeof EVENTS, change: InstanceChange): Promise<void> {
    const row = await instances.get(ref);
    if (row === undefined) return;
    failures.delete(nameOf(ref));
    const now = clock.now();
    const settings = workflows.byId(workflow.id)?.settings;
    const keep =
      status === "errored"
        ? (row.error_retention_ms ?? settings?.errorRetentionMs ?? limits.errorRetentionMs)
        : (row.success_retention_ms ?? settings?.successRetentionMs ?? limits.successRetentionMs);
    const last = { status, wake_at: null, ended_at: now, expires_at: now + keep, ...change };
    await transitions.commit(workflow, ref.id, row.version_id, EVENTS[status], (tx) => instances.change(tx, ref, last, "alive"));
    deps.expires(last.expires_at ?? now + keep);
    lookSoon(workflow);
  }

  return {
    async start(): Promise<void> {
      await instances.recover();
      tick();
    },
    /** Something of the workflow may be due. */
    look: lookSoon,
    /** The run that a token stands for. */
    run: (token: string): InstanceRun | undefined => byToken.get(token),
    runOf: (ref: InstanceRef): InstanceRun | undefined => heldRun(ref)?.run,
    /** Ends the instance's run, if it has one, without a word to its row: the caller writes that next. */
    drop(ref: InstanceRef): void {
      const found = heldRun(ref);
      if (found !== undefined) letGo(found);
      failures.delete(nameOf(ref));
    },
    /** Ends the runs of a workflow that is gone. */
    dropAll(workflow: Workflow): void {
      for (const item of [...held.values()]) if (item !== "starting" && item.run.workflow.id === workflow.id) letGo(item);
      slots.delete(workflow.id);
    },
    end,
    pause,
    /** Lets steps in hand end, for a while, then ends all runs. What was not finished goes on at the next start. */
    async stop(): Promise<void> {
      stopped = true;
      clearTimeout(timer);
      const items = [...held.values()].filter((item) => item !== "starting");
      for (const { run } of items) run.stop("move");
      const until = performance.now() + STOP_MS;
      while (items.some(({ run }) => !run.over && run.active > 0) && performance.now() < until)
        await new Promise((resolve) => setTimeout(resolve, 20));
      for (const item of items) letGo(item);
      await Promise.allSettled([...inFlight]);
    },
  };
}
