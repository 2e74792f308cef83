/**
 * What is done to instances from outside: created, paused, resumed, terminated, restarted, deleted, sent events. A run in
 * memory is ended or told first, then the row changes, so that nothing a run still writes comes after.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { milliseconds } from "./durations.worker.ts";
import type { Engine } from "./engine.ts";
import { workflowsError } from "./errors.ts";
import type { Instances } from "./instances.ts";
import { hasEnded, type InstanceRef, type InstanceRow, type Schedule, type StepRow, type TriggerSource, type Workflow } from "./model.ts";
import type { StepType } from "./protocol.worker.ts";
import type { Steps } from "./steps.ts";
import type { Transitions } from "./transitions.ts";
import type { EncodedValue } from "./values.worker.ts";

export interface Creation {
  readonly id?: unknown;
  readonly params: EncodedValue;
  /** `{ successRetention, errorRetention }`. */
  readonly retention?: unknown;
}

export interface RestartFrom {
  readonly name: string;
  readonly count?: number | undefined;
  readonly type?: Exclude<StepType, "rollback"> | undefined;
}

export interface BatchError {
  readonly index: number;
  readonly id: string;
  readonly code: number;
  readonly message: string;
}

interface LifecycleDeps {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly instances: Instances;
  readonly steps: Steps;
  readonly engine: Engine;
  readonly transitions: Transitions;
  readonly limits: { readonly valueMaxBytes: number; readonly queuedMax: number; readonly createPerS: number };
}

export type Lifecycle = ReturnType<typeof openLifecycle>;

export const BATCH_MAX = 100;
/** Events of an instance that no step has taken. */
const EVENTS_MAX = 1_000;
const ID = /^[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99}$/;
const EVENT_TYPE = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,99}$/;

export function openLifecycle({ meta, clock, instances, steps, engine, transitions, limits }: LifecycleDeps) {
  /** Creations of the present second, by workflow. */
  let second = 0;
  const created = new Map<string, number>();

  async function admit(workflow: Workflow, count: number): Promise<void> {
    if (limits.createPerS > 0) {
      const now = Math.floor(clock.now() / 1000);
      if (now !== second) created.clear();
      second = now;
      const sum = (created.get(workflow.id) ?? 0) + count;
      if (sum > limits.createPerS) throw workflowsError("createRate");
      created.set(workflow.id, sum);
    }
    // Asked without counting: the row past the limit is there or not.
    const beyond = await meta.get(
      "SELECT 1 AS found FROM workflows_instances WHERE workflow_id = ? AND status = 'queued' LIMIT 1 OFFSET ?",
      workflow.id,
      Math.max(0, limits.queuedMax - count),
    );
    if (beyond !== undefined) throw workflowsError("tooManyQueued");
  }

  function checked({ id = randomUUID(), params, retention }: Creation): {
    id: string;
    params: string;
    success: number | null;
    error: number | null;
  } {
    if (typeof id !== "string" || !ID.test(id)) throw workflowsError("invalidInstanceId");
    if (params.bytes > limits.valueMaxBytes) throw workflowsError("tooLarge");
    const { successRetention, errorRetention } = (retention ?? {}) as Record<string, unknown>;
    return { id, params: params.text, success: retentionMs(successRetention), error: retentionMs(errorRetention) };
  }

  async function create(workflow: Workflow, creation: Creation, source: TriggerSource, schedule?: Schedule): Promise<InstanceRow> {
    const { id, params, success, error } = checked(creation);
    await admit(workflow, 1);
    const fresh = await transitions.commit(workflow, id, workflow.versionId, "queued", (tx) =>
      instances.insert(tx, {
        workflow_id: workflow.id,
        id,
        version_id: workflow.versionId,
        source,
        params,
        schedule: schedule === undefined ? null : JSON.stringify(schedule),
        success_retention_ms: success,
        error_retention_ms: error,
      }),
    );
    if (!fresh) throw existsError(id);
    engine.look(workflow);
    return (await instances.get({ workflowId: workflow.id, id })) as InstanceRow;
  }

  async function require(ref: InstanceRef): Promise<InstanceRow> {
    const row = await instances.get(ref);
    if (row === undefined) throw workflowsError("instanceNotFound");
    return row;
  }

  async function firstStep(ref: InstanceRef, { name, count = 1, type = "do" }: RestartFrom): Promise<StepRow> {
    const found = await steps.get(ref, { type, name, nth: count });
    if (found === undefined)
      throw workflowsError("cannotRestart", `(instance.cannot_restart) Step "${name}" not found in execution history`);
    return found;
  }

  const refOf = (workflow: Workflow, id: unknown): InstanceRef => ({ workflowId: workflow.id, id: String(id) });

  async function remove(workflow: Workflow, ref: InstanceRef): Promise<void> {
    engine.drop(ref);
    const after = await meta.transaction((tx) => erase(tx, ref));
    await after();
    engine.look(workflow);
  }

  /** Deletes everything of an instance; the function that it resolves with is called after the commit. */
  async function erase(tx: MetaTransaction, ref: InstanceRef): Promise<() => Promise<void>> {
    await tx.run("DELETE FROM workflows_instances WHERE workflow_id = ? AND id = ?", ref.workflowId, ref.id);
    await steps.removeEvents(tx, ref);
    return steps.removeAll(tx, ref);
  }

  return {
    create,
    require,
    refOf,
    erase,

    /** Each on its own: one that cannot be created is an error at its place. */
    async createBatch(
      workflow: Workflow,
      batch: readonly Creation[],
      source: TriggerSource,
    ): Promise<{ rows: InstanceRow[]; errors: BatchError[] }> {
      if (batch.length === 0 || batch.length > BATCH_MAX) throw workflowsError("batchTooLarge");
      // What is wrong with one of them is found before any is created.
      const wanted = batch.map((creation) => ({ ...creation, id: checked(creation).id }));
      await admit(workflow, batch.length);
      const rows: InstanceRow[] = [];
      const errors: BatchError[] = [];
      const settled = await Promise.allSettled(wanted.map((creation) => create(workflow, creation, source)));
      for (const [index, one] of settled.entries()) {
        if (one.status === "fulfilled") rows.push(one.value);
        else if ((one.reason as { code?: string }).code !== "workflows.instanceExists") throw one.reason;
        else {
          const error = existsError((wanted[index] as { id: string }).id);
          errors.push({ index, id: (wanted[index] as { id: string }).id, code: error.spec.apiCode, message: error.message });
        }
      }
      return { rows, errors };
    },

    /** No step starts any more; one that runs may end first. */
    async pause(workflow: Workflow, id: unknown): Promise<InstanceRow> {
      const ref = refOf(workflow, id);
      const row = await require(ref);
      if (row.status === "paused" || row.status === "waitingForPause") return row;
      if (hasEnded(row.status) || row.status === "rollingBack")
        throw workflowsError("cannotPause", `(instance.cannot_pause) Cannot pause instance with status "${row.status}"`);
      const run = engine.runOf(ref);
      if (run !== undefined && run.active > 0) {
        await instances.change(meta, ref, { status: "waitingForPause" }, "running");
        run.stop("pause");
      } else {
        engine.drop(ref);
        await engine.pause(workflow, ref);
      }
      return require(ref);
    },

    /** Sleeps, waits and delays go on with what they had left. */
    async resume(workflow: Workflow, id: unknown): Promise<InstanceRow> {
      const ref = refOf(workflow, id);
      const row = await require(ref);
      if (row.status === "waitingForPause") {
        await instances.change(meta, ref, { status: "running" }, "alive");
        engine.runOf(ref)?.goOn();
        return require(ref);
      }
      if (row.status !== "paused")
        throw workflowsError("cannotResume", `(instance.cannot_resume) Cannot resume instance with status "${row.status}"`);
      const now = clock.now();
      await meta.transaction(async (tx) => {
        await steps.shift(tx, ref, now - (row.paused_at ?? now));
        await instances.change(tx, ref, { status: "queued", wake_at: now, paused_at: null });
      });
      engine.look(workflow);
      return require(ref);
    },

    /** With `rollback`, the rollbacks of its steps run first. */
    async terminate(workflow: Workflow, id: unknown, by: TriggerSource, rollback = false): Promise<InstanceRow> {
      const ref = refOf(workflow, id);
      const row = await require(ref);
      if (hasEnded(row.status)) throw workflowsError("cannotTerminate");
      engine.drop(ref);
      if (rollback && (await steps.haveRollbacks(ref))) {
        const change = { status: "rollingBack", ending: "terminated", terminated_by: by, error: null, wake_at: clock.now() } as const;
        await instances.change(meta, ref, change, "alive");
        engine.look(workflow);
      } else {
        await engine.end(workflow, ref, "terminated", { terminated_by: by });
      }
      return require(ref);
    },

    /** Forgets its steps, or those from the given one on, and runs it again with the newest version. */
    async restart(workflow: Workflow, id: unknown, from?: RestartFrom): Promise<InstanceRow> {
      const ref = refOf(workflow, id);
      await require(ref);
      const first = from === undefined ? undefined : await firstStep(ref, from);
      engine.drop(ref);
      const after = await meta.transaction(async (tx) => {
        await instances.change(tx, ref, {
          status: "queued",
          version_id: workflow.versionId,
          wake_at: clock.now(),
          started_at: null,
          ended_at: null,
          paused_at: null,
          expires_at: null,
          output: null,
          error: null,
          rollback: null,
          ending: null,
          terminated_by: null,
        });
        if (first !== undefined) return steps.removeFrom(tx, ref, first.place);
        await steps.removeEvents(tx, ref);
        return steps.removeAll(tx, ref);
      });
      await after();
      engine.look(workflow);
      return require(ref);
    },

    /** The instance and everything of it is gone. */
    async delete(workflow: Workflow, id: unknown): Promise<void> {
      const ref = refOf(workflow, id);
      await require(ref);
      await remove(workflow, ref);
    },

    /** Each on its own; ids that do not exist are errors. */
    async deleteBatch(
      workflow: Workflow,
      ids: readonly unknown[],
    ): Promise<{ deleted: { id: string }[]; errors: { id: string; code: number; message: string }[] }> {
      const deleted: { id: string }[] = [];
      const errors: { id: string; code: number; message: string }[] = [];
      const seen = new Set<string>();
      for (const id of ids.map(String)) {
        const ref = refOf(workflow, id);
        if (seen.has(id)) {
          deleted.push({ id });
        } else if ((await instances.get(ref)) === undefined) {
          const { spec, message } = workflowsError("instanceNotFound");
          errors.push({ id, code: spec.apiCode, message });
        } else {
          await remove(workflow, ref);
          seen.add(id);
          deleted.push({ id });
        }
      }
      return { deleted, errors };
    },

    /** Kept until a step takes it. */
    async sendEvent(workflow: Workflow, id: unknown, type: unknown, payload: EncodedValue): Promise<void> {
      const ref = refOf(workflow, id);
      const row = await require(ref);
      if (typeof type !== "string" || !EVENT_TYPE.test(type)) throw workflowsError("invalidEventType");
      if (payload.bytes > limits.valueMaxBytes) throw workflowsError("tooLarge");
      if (hasEnded(row.status)) throw workflowsError("cannotReceive");
      if ((await steps.countEvents(ref)) >= EVENTS_MAX) throw workflowsError("tooManyEvents");
      // With this commit it is not lost, whoever comes for it.
      await steps.addEvent(ref, type, payload.text);
      const run = engine.runOf(ref);
      if (run !== undefined) return run.event(type);
      if (!(await steps.waitsFor(ref, type))) return;
      await instances.change(meta, ref, { wake_at: clock.now() }, "waiting");
      engine.look(workflow);
    },
  };
}

const existsError = (id: string) =>
  workflowsError("instanceExists", `(instance.already_exists) Workflow instance with id "${id}" already exists`);

/** Null: as the workflow says. */
function retentionMs(retention: unknown): number | null {
  if (retention === undefined || retention === null) return null;
  const ms = milliseconds(retention);
  if (!(ms > 0)) throw workflowsError("invalidRetention");
  return Math.ceil(ms);
}
