/** Rows of instances. Who may change them when is the engine's matter (`engine.ts`, `lifecycle.ts`); here is how. */
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import type { InstanceRef, InstanceRow, Status } from "./model.ts";

export type NewInstance = Pick<
  InstanceRow,
  "workflow_id" | "id" | "version_id" | "source" | "params" | "schedule" | "success_retention_ms" | "error_retention_ms"
>;

/** Columns that change in the life of an instance. */
export type InstanceChange = Partial<
  Omit<InstanceRow, "workflow_id" | "id" | "source" | "params" | "schedule" | "created_at" | "modified_at">
>;

export interface InstanceFilter {
  readonly status?: Status | undefined;
  /** Of the creation, in milliseconds since the epoch; both inclusive. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly ascending?: boolean | undefined;
  readonly limit: number;
  readonly offset?: number | undefined;
  /** Goes on after this one. */
  readonly after?: { readonly createdAt: number; readonly id: string } | undefined;
}

/** Conditions on the row as it is when the change is made. */
const ONLY = {
  any: "1 = 1",
  /** It is to be run by time. */
  due: "wake_at IS NOT NULL",
  /** It has not ended. */
  alive: "status NOT IN ('errored', 'terminated', 'complete')",
  waiting: "status = 'waiting'",
  running: "status IN ('running', 'waiting')",
} as const;
type Only = keyof typeof ONLY;

export type Instances = ReturnType<typeof openInstances>;

type Row = InstanceRow & Record<string, never>;

export function openInstances(meta: MetaStore, clock: Clock) {
  async function insert(tx: MetaTransaction, instance: NewInstance): Promise<boolean> {
    const now = clock.now();
    const { changes } = await tx.run(
      `INSERT INTO workflows_instances (workflow_id, id, version_id, status, source, params, schedule, created_at, modified_at, wake_at,
         success_retention_ms, error_retention_ms)
       VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (workflow_id, id) DO NOTHING`,
      instance.workflow_id,
      instance.id,
      instance.version_id,
      instance.source,
      instance.params,
      instance.schedule,
      now,
      now,
      now,
      instance.success_retention_ms,
      instance.error_retention_ms,
    );
    return changes > 0;
  }

  function conditions(workflowId: string, filter: Partial<InstanceFilter>): { where: string; params: SqlValue[] } {
    const parts = ["workflow_id = ?"];
    const params: SqlValue[] = [workflowId];
    const add = (sql: string, ...values: SqlValue[]): void => {
      parts.push(sql);
      params.push(...values);
    };
    if (filter.status !== undefined) add("status = ?", filter.status);
    if (filter.from !== undefined) add("created_at >= ?", filter.from);
    if (filter.to !== undefined) add("created_at <= ?", filter.to);
    const beyond = filter.ascending ? ">" : "<";
    const { after } = filter;
    if (after !== undefined)
      add(`(created_at ${beyond} ? OR (created_at = ? AND id ${beyond} ?))`, after.createdAt, after.createdAt, after.id);
    return { where: parts.join(" AND "), params };
  }

  return {
    /** False when there is one of that id. Part of a transaction, or one of its own. */
    insert,
    get: ({ workflowId, id }: InstanceRef): Promise<InstanceRow | undefined> =>
      meta.get<Row>("SELECT * FROM workflows_instances WHERE workflow_id = ? AND id = ?", workflowId, id),
    /** False when there is no such instance, or it is not (any more) what `only` says. */
    async change(tx: MetaTransaction, { workflowId, id }: InstanceRef, change: InstanceChange, only: Only = "any"): Promise<boolean> {
      const entries = Object.entries(change) as [string, SqlValue][];
      const { changes } = await tx.run(
        `UPDATE workflows_instances SET ${entries.map(([name]) => `${name} = ?, `).join("")}modified_at = ?
         WHERE workflow_id = ? AND id = ? AND ${ONLY[only]}`,
        ...entries.map(([, value]) => value),
        clock.now(),
        workflowId,
        id,
      );
      return changes > 0;
    },
    list(workflowId: string, filter: InstanceFilter): Promise<InstanceRow[]> {
      const { where, params } = conditions(workflowId, filter);
      const order = filter.ascending ? "ASC" : "DESC";
      return meta.all<Row>(
        `SELECT * FROM workflows_instances WHERE ${where} ORDER BY created_at ${order}, id ${order} LIMIT ? OFFSET ?`,
        ...params,
        filter.limit,
        filter.offset ?? 0,
      );
    },
    async count(workflowId: string, filter: Pick<InstanceFilter, "status" | "from" | "to"> = {}): Promise<number> {
      const { where, params } = conditions(workflowId, filter);
      const row = await meta.get<{ count: number }>(`SELECT COUNT(*) AS count FROM workflows_instances WHERE ${where}`, ...params);
      return row?.count ?? 0;
    },
    async countByStatus(workflowId: string): Promise<Partial<Record<Status, number>>> {
      const rows = await meta.all<{ status: Status; count: number }>(
        "SELECT status, COUNT(*) AS count FROM workflows_instances WHERE workflow_id = ? GROUP BY status",
        workflowId,
      );
      return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
    },
    /** When the newest instance was created. */
    async newest(workflowId: string): Promise<number | null> {
      const row = await meta.get<{ at: number | null }>(
        "SELECT MAX(created_at) AS at FROM workflows_instances WHERE workflow_id = ?",
        workflowId,
      );
      return row?.at ?? null;
    },
    /** Instances to be run by now: those that have begun before those that have not. */
    due: (workflowId: string, limit: number): Promise<{ id: string }[]> =>
      meta.all<{ id: string }>(
        `SELECT id FROM workflows_instances WHERE workflow_id = ? AND wake_at <= ?
         ORDER BY (started_at IS NULL), wake_at LIMIT ?`,
        workflowId,
        clock.now(),
        limit,
      ),
    /** The next time at which there will be one. */
    async nextDue(workflowId: string): Promise<number | null> {
      const row = await meta.get<{ at: number | null }>(
        "SELECT MIN(wake_at) AS at FROM workflows_instances WHERE workflow_id = ? AND wake_at > ?",
        workflowId,
        clock.now(),
      );
      return row?.at ?? null;
    },
    /** What ran when the platform ended runs again; who only waited for a last step to pause has paused. Before any run starts. */
    async recover(): Promise<void> {
      const now = clock.now();
      await meta.run(
        "UPDATE workflows_instances SET wake_at = ? WHERE wake_at IS NULL AND status IN ('running', 'waiting', 'rollingBack')",
        now,
      );
      await meta.run("UPDATE workflows_instances SET status = 'paused', paused_at = ? WHERE status = 'waitingForPause'", now);
    },
  };
}
