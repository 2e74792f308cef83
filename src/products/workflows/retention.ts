/** Deletes ended instances whose time is over, and those of deleted workflows, in small commits. */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { InstanceRef } from "./model.ts";

export interface Retention {
  /** At this time (milliseconds since the epoch) there is something to delete. */
  by(at: number): void;
  stop(): Promise<void>;
}

const BATCH = 50;
/** Longest pause between two looks, and the one after a failure. */
const LOOK_MS = 60_000;

export function startRetention(meta: MetaStore, clock: Clock, log: Log, erase: Lifecycle["erase"]): Retention {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let next = Number.POSITIVE_INFINITY;
  let stopped = false;

  async function remove(refs: readonly InstanceRef[]): Promise<void> {
    const after = await meta.transaction(async (tx) => {
      const ends: (() => Promise<void>)[] = [];
      for (const ref of refs) ends.push(await erase(tx, ref));
      return ends;
    });
    for (const end of after) await end();
  }

  const refsOf = (rows: readonly { workflow_id: string; id: string }[]): InstanceRef[] =>
    rows.map(({ workflow_id, id }) => ({ workflowId: workflow_id, id }));

  async function sweep(): Promise<void> {
    for (let full = true; full && !stopped; ) {
      const rows = await meta.all<{ workflow_id: string; id: string }>(
        "SELECT workflow_id, id FROM workflows_instances WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
        clock.now(),
        BATCH,
      );
      if (rows.length > 0) await remove(refsOf(rows));
      full = rows.length === BATCH;
    }
    for (const { id } of await meta.all<{ id: string }>("SELECT id FROM workflows_removed LIMIT 1000")) await removeWorkflow(id);
  }

  /** Its instances first: the row is what remembers that they must go. */
  async function removeWorkflow(workflowId: string): Promise<void> {
    for (;;) {
      if (stopped) return;
      const rows = await meta.all<{ workflow_id: string; id: string }>(
        "SELECT workflow_id, id FROM workflows_instances WHERE workflow_id = ? LIMIT ?",
        workflowId,
        BATCH,
      );
      if (rows.length === 0) break;
      await remove(refsOf(rows));
    }
    await meta.transaction(async (tx) => {
      await tx.run("DELETE FROM workflows_versions WHERE workflow_id = ?", workflowId);
      await tx.run("DELETE FROM workflows_removed WHERE id = ?", workflowId);
    });
  }

  async function arm(): Promise<void> {
    const row = await meta.get<{ at: number | null }>("SELECT MIN(expires_at) AS at FROM workflows_instances WHERE expires_at IS NOT NULL");
    by(Math.min(row?.at ?? Number.POSITIVE_INFINITY, clock.now() + LOOK_MS));
  }

  function by(at: number): void {
    if (at >= next || stopped) return;
    next = at;
    clearTimeout(timer);
    timer = setTimeout(look, Math.max(0, Math.min(LOOK_MS, at - clock.now()))).unref();
  }

  function look(): void {
    // The one under way looks again when it is done.
    if (working !== undefined) return;
    next = Number.POSITIVE_INFINITY;
    working = sweep()
      .then(arm)
      .catch((error: unknown) => {
        log.warn("workflows.retention_failed", { error, retryMs: LOOK_MS });
        by(clock.now() + LOOK_MS);
      })
      .finally(() => {
        working = undefined;
      });
  }

  look();
  return {
    by,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}
