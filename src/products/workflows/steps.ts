/** Rows of steps and of events that wait to be taken. Each change is one commit: when it resolves, it is on disk. */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { BlobLeases } from "../../kernel/blobs/leases.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaReader, MetaStore, MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import { type Attempt, errorOf, type InstanceRef, type StepRow } from "./model.ts";
import type { ErrorInfo, StepConfig, StepKey, StepResult } from "./protocol.worker.ts";

export type Steps = ReturnType<typeof openSteps>;

type Row = StepRow & Record<string, never>;

export interface NewStep {
  readonly place: number;
  readonly config?: StepConfig;
  readonly attempts?: number;
  readonly log?: readonly Attempt[];
  readonly dueAt?: number;
  readonly eventType?: string;
  readonly rollback?: boolean;
}

export type StepChange = Partial<
  Pick<StepRow, "state" | "attempts" | "log" | "ended_at" | "due_at" | "value" | "blob" | "bytes" | "error">
>;

export interface ReceivedEvent {
  readonly number: number;
  readonly type: string;
  /** Encoded. */
  readonly payload: string;
  readonly receivedAt: number;
}

/** Attempts that a step's log keeps: the last ones. */
export const ATTEMPTS_KEPT = 100;
/** More steps than an instance can have. */
const STEPS_READ = 100_000;
const OF_INSTANCE = "workflow_id = ? AND instance_id = ?";
const ONE = `${OF_INSTANCE} AND type = ? AND name = ? AND nth = ?`;

const paramsOf = ({ workflowId, id }: InstanceRef, { type, name, nth }: StepKey): SqlValue[] => [workflowId, id, type, name, nth];

export function openSteps(meta: MetaStore, clock: Clock, leases: BlobLeases) {
  async function change(tx: MetaTransaction, ref: InstanceRef, key: StepKey, changes: StepChange): Promise<void> {
    const entries = Object.entries(changes) as [string, SqlValue][];
    await tx.run(
      `UPDATE workflows_steps SET ${entries.map(([name]) => `${name} = ?`).join(", ")} WHERE ${ONE}`,
      ...entries.map(([, value]) => value),
      ...paramsOf(ref, key),
    );
  }

  /** Deletes what a condition names, with its streams; the function that it resolves with is called after the commit. */
  async function removeWhere(tx: MetaTransaction, where: string, ...params: SqlValue[]): Promise<() => Promise<void>> {
    const blobs = await tx.all<{ blob: BlobId }>(`SELECT blob FROM workflows_steps WHERE ${where} AND blob IS NOT NULL`, ...params);
    for (const { blob } of blobs) await leases.revoke(tx, blob);
    await tx.run(`DELETE FROM workflows_steps WHERE ${where}`, ...params);
    return async () => {
      for (const { blob } of blobs) await leases.discard(blob);
    };
  }

  return {
    get: (ref: InstanceRef, key: StepKey): Promise<StepRow | undefined> =>
      meta.get<Row>(`SELECT * FROM workflows_steps WHERE ${ONE}`, ...paramsOf(ref, key)),
    /** In the order in which they were first reached; results larger than `valueMaxBytes` are left out (null). */
    all: ({ workflowId, id }: InstanceRef, valueMaxBytes: number): Promise<StepRow[]> =>
      meta.all<Row>(
        `SELECT workflow_id, instance_id, type, name, nth, place, state, config, attempts, log, started_at, ended_at, due_at, event_type,
           CASE WHEN bytes <= ? THEN value END AS value, blob, bytes, error, rollback
         FROM workflows_steps WHERE ${OF_INSTANCE} ORDER BY place LIMIT ${STEPS_READ}`,
        valueMaxBytes,
        workflowId,
        id,
      ),
    /** The first steps, as many as have this size together. */
    first: ({ workflowId, id }: InstanceRef, maxBytes: number): Promise<StepRow[]> =>
      meta.all<Row>(
        `SELECT * FROM (SELECT *, SUM(bytes) OVER (ORDER BY place) AS up_to FROM workflows_steps WHERE ${OF_INSTANCE}) AS summed
         WHERE up_to <= ? ORDER BY place LIMIT ${STEPS_READ}`,
        workflowId,
        id,
        maxBytes,
      ),
    /** Whether a step was reached that has a rollback. */
    async haveRollbacks({ workflowId, id }: InstanceRef): Promise<boolean> {
      const row = await meta.get(`SELECT 1 AS found FROM workflows_steps WHERE ${OF_INSTANCE} AND rollback = 1 LIMIT 1`, workflowId, id);
      return row !== undefined;
    },
    /** Where the next step goes, and what the instance stores. */
    async totals({ workflowId, id }: InstanceRef): Promise<{ place: number; bytes: number }> {
      const row = await meta.get<{ place: number | null; bytes: number | null }>(
        `SELECT MAX(place) AS place, SUM(bytes) AS bytes FROM workflows_steps WHERE ${OF_INSTANCE}`,
        workflowId,
        id,
      );
      return { place: (row?.place ?? 0) + 1, bytes: row?.bytes ?? 0 };
    },
    async insert(ref: InstanceRef, key: StepKey, step: NewStep): Promise<void> {
      await meta.run(
        `INSERT INTO workflows_steps (workflow_id, instance_id, type, name, nth, place, state, config, attempts, log, started_at, due_at,
           event_type, bytes, rollback) VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, 0, ?)`,
        ...paramsOf(ref, key),
        step.place,
        step.config === undefined ? null : JSON.stringify(step.config),
        step.attempts ?? 0,
        JSON.stringify(step.log ?? []),
        clock.now(),
        step.dueAt ?? null,
        step.eventType ?? null,
        step.rollback === true ? 1 : 0,
      );
    },
    /** Part of a transaction, or a commit of its own. */
    change,
    /** Open waits go on for so much longer: the instance was paused. */
    async shift(tx: MetaTransaction, { workflowId, id }: InstanceRef, ms: number): Promise<void> {
      await tx.run(
        `UPDATE workflows_steps SET due_at = due_at + ? WHERE ${OF_INSTANCE} AND state = 'open' AND due_at IS NOT NULL`,
        ms,
        workflowId,
        id,
      );
    },
    removeFrom: (tx: MetaTransaction, { workflowId, id }: InstanceRef, place: number) =>
      removeWhere(tx, `${OF_INSTANCE} AND place >= ?`, workflowId, id, place),
    removeAll: (tx: MetaTransaction, { workflowId, id }: InstanceRef) => removeWhere(tx, OF_INSTANCE, workflowId, id),

    async addEvent({ workflowId, id }: InstanceRef, type: string, payload: string): Promise<void> {
      await meta.run(
        `INSERT INTO workflows_events (workflow_id, instance_id, number, type, payload, received_at)
         SELECT ?1, ?2, COALESCE(MAX(number), 0) + 1, ?3, ?4, ?5 FROM workflows_events WHERE workflow_id = ?1 AND instance_id = ?2`,
        workflowId,
        id,
        type,
        payload,
        clock.now(),
      );
    },
    async countEvents({ workflowId, id }: InstanceRef): Promise<number> {
      const row = await meta.get<{ count: number }>(`SELECT COUNT(*) AS count FROM workflows_events WHERE ${OF_INSTANCE}`, workflowId, id);
      return row?.count ?? 0;
    },
    /** The oldest event of the type. */
    async nextEvent(reader: MetaReader, { workflowId, id }: InstanceRef, type: string): Promise<ReceivedEvent | undefined> {
      const row = await reader.get<{ number: number; payload: string; received_at: number }>(
        `SELECT number, payload, received_at FROM workflows_events WHERE ${OF_INSTANCE} AND type = ? ORDER BY number LIMIT 1`,
        workflowId,
        id,
        type,
      );
      return row && { number: row.number, type, payload: row.payload, receivedAt: row.received_at };
    },
    async removeEvent(tx: MetaTransaction, { workflowId, id }: InstanceRef, number: number): Promise<void> {
      await tx.run(`DELETE FROM workflows_events WHERE ${OF_INSTANCE} AND number = ?`, workflowId, id, number);
    },
    async removeEvents(tx: MetaTransaction, { workflowId, id }: InstanceRef): Promise<void> {
      await tx.run(`DELETE FROM workflows_events WHERE ${OF_INSTANCE}`, workflowId, id);
    },
    /** Whether an open step waits for the type. */
    async waitsFor({ workflowId, id }: InstanceRef, type: string): Promise<boolean> {
      const row = await meta.get(
        `SELECT 1 AS found FROM workflows_steps WHERE ${OF_INSTANCE} AND type = 'waitForEvent' AND state = 'open' AND event_type = ? LIMIT 1`,
        workflowId,
        id,
        type,
      );
      return row !== undefined;
    },
  };
}

/** What a finished step came to; undefined while it is open. */
export function resultOf(row: StepRow): StepResult | undefined {
  if (row.state === "open") return undefined;
  if (row.state === "failed") return { error: errorOf(row) as ErrorInfo };
  return row.blob === null ? { value: row.value as string } : { stream: true };
}

export const keyOf = ({ type, name, nth }: StepRow): StepKey => ({ type, name, nth });
