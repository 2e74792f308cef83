/**
 * Carries out lifecycle rules: deletes what has expired, moves objects to Infrequent Access, aborts old uploads.
 * Looks at every bucket once an interval, a page at a time so that nobody waits for it. Locks win: a locked
 * object stays until its lock ends. Also forgets uploads that have ended long ago.
 */
import { setImmediate } from "node:timers/promises";
import type { SqlValue } from "../../kernel/meta/meta.ts";
import { listBuckets, readSetting } from "./buckets.ts";
import type { R2 } from "./context.ts";
import { dueAt, type LifecycleCondition, type LifecycleRule, lifecycleRules, rulePrefix } from "./lifecycle-rules.ts";
import { successor } from "./list.ts";
import { type Bucket, jurisdictions } from "./model.ts";
import { endUpload } from "./multipart.ts";
import { deleteObjects } from "./objects.ts";
import { keyBytes } from "./rows.ts";

export interface Lifecycle {
  /** Does everything that is due now. */
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

const PAGE = 500;
/** Expiry comes before a transition that is due within this time, as nobody would gain from the move. */
const DAY_MS = 86_400_000;
const ENDED_UPLOADS_MS = 7 * DAY_MS;

export function startLifecycle(r2: R2, intervalMs: number): Lifecycle {
  let stopped = false;
  let running: Promise<void> | undefined;

  async function sweepAll(): Promise<void> {
    for (const jurisdiction of jurisdictions) {
      let startAfter: string | undefined;
      for (;;) {
        const { buckets, truncated } = await listBuckets(r2, { jurisdiction, startAfter, limit: PAGE });
        for (const bucket of buckets) {
          if (stopped) return;
          const rules = lifecycleRules(await readSetting<{ rules: LifecycleRule[] }>(r2.meta, bucket.id, "lifecycle"));
          for (const rule of rules) if (rule.enabled) await applyRule(bucket, rule);
        }
        startAfter = buckets.at(-1)?.name;
        if (!truncated) break;
      }
    }
    await r2.meta.run("DELETE FROM r2_uploads WHERE state <> 'open' AND created < ?", r2.clock.now() - ENDED_UPLOADS_MS);
  }

  async function applyRule(bucket: Bucket, rule: LifecycleRule): Promise<void> {
    const { deleteObjectsTransition: expire, abortMultipartUploadsTransition: abort, storageClassTransitions = [] } = rule;
    const prefix = rulePrefix(rule);
    if (expire !== undefined) {
      await eachPage(bucket, "r2_objects", "uploaded", prefix, expire.condition, "", async (rows) => {
        await deleteObjects(
          r2,
          bucket,
          rows.map((row) => row.name),
          "LifecycleDeletion",
        );
      });
    }
    for (const { condition } of storageClassTransitions) {
      const soon = expire?.condition;
      if (soon?.type === "Age" && condition.type === "Age" && (soon.maxAge - condition.maxAge) * 1000 < DAY_MS) continue;
      await eachPage(bucket, "r2_objects", "uploaded", prefix, condition, "AND storage_class = 'Standard'", async (rows) => {
        const keys = rows.map((row) => row.key);
        await r2.meta.run(
          `UPDATE r2_objects SET storage_class = 'InfrequentAccess' WHERE bucket_id = ? AND key IN (${keys.map(() => "?").join(", ")})`,
          bucket.id,
          ...keys,
        );
      });
    }
    if (abort !== undefined) {
      await eachPage(bucket, "r2_uploads", "created", prefix, abort.condition, "AND state = 'open'", async (rows) => {
        for (const row of rows) await r2.commits.run((tx) => endUpload(tx, row.upload_id as string, "aborted", r2.clock.now()));
        r2.garbage.kick();
      });
    }
  }

  interface Row {
    key: Uint8Array;
    name: string;
    upload_id: string | null;
    at: number;
  }

  /** Calls `fn` with what the rule is due for, page after page in the order of keys. */
  async function eachPage(
    bucket: Bucket,
    table: "r2_objects" | "r2_uploads",
    column: "uploaded" | "created",
    prefix: string,
    condition: LifecycleCondition,
    where: string,
    fn: (rows: readonly Row[]) => Promise<void>,
  ): Promise<void> {
    const high = successor(keyBytes(prefix));
    let after: { key: Uint8Array; id: string } | undefined;
    while (!stopped) {
      const values: SqlValue[] = [bucket.id];
      const low = after === undefined ? "key >= ?" : "(key > ? OR (key = ? AND upload_id > ?))";
      if (after === undefined) values.push(keyBytes(prefix));
      else values.push(after.key, after.key, after.id);
      if (high !== undefined) values.push(high);
      const rows = await r2.meta.all<Row>(
        `SELECT key, name, upload_id, ${column} AS at FROM ${table}
         WHERE bucket_id = ? AND ${low} ${high === undefined ? "" : "AND key < ?"} ${where} ORDER BY key, upload_id LIMIT ${PAGE}`,
        ...values,
      );
      const due = rows.filter((row) => dueAt(condition, row.at) <= r2.clock.now());
      if (due.length > 0) await fn(due);
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      after = { key: last.key, id: last.upload_id ?? "" };
      await setImmediate();
    }
  }

  async function sweep(): Promise<void> {
    running ??= sweepAll().finally(() => {
      running = undefined;
    });
    await running;
  }

  const timer = setInterval(() => {
    sweep().catch((error: unknown) => r2.log.warn("r2.lifecycle_failed", { error: String(error) }));
  }, intervalMs).unref();

  return {
    sweep,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running?.catch(() => undefined);
    },
  };
}
