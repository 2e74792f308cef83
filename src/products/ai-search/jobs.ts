/** Indexing jobs and what they say: rows in meta, made by users and by the schedule, carried out by `indexer.ts`. */
import { randomUUID } from "node:crypto";
import { page } from "../../kernel/api/envelope.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Page } from "../../kernel/product.ts";
import { searchError } from "./errors.ts";
import type { Instance, Instances } from "./instances.ts";
import { stamp } from "./views.ts";

export interface Job extends Record<string, string | number | null> {
  readonly number: number;
  readonly id: string;
  readonly instance: string;
  readonly source: string;
  readonly description: string | null;
  readonly created_at: number;
  readonly started_at: number | null;
  readonly seen_at: number | null;
  readonly ended_at: number | null;
  readonly end_reason: string | null;
}

export interface JobLine {
  readonly message: string;
  readonly error?: boolean;
}

/** Jobs that are kept of an instance, and lines of a job; further ones are counted in its last line. */
const JOBS_MAX = 200;
const LINES_MAX = 10_000;
const PER_PAGE_MAX = 1000;

export type Jobs = ReturnType<typeof openJobs>;

export function openJobs(meta: MetaStore, clock: Clock, instances: Instances, cooldownMs: number) {
  async function insert(instance: Instance, source: "user" | "schedule", description: string | null): Promise<Job> {
    const now = clock.now();
    const id = randomUUID();
    await meta.transaction(async (tx) => {
      await tx.run(
        "INSERT INTO ai_search_jobs (id, instance, source, description, created_at) VALUES (?, ?, ?, ?, ?)",
        ...[id, instance.uid, source, description, now],
      );
      await tx.run("UPDATE ai_search_instances SET synced_at = ? WHERE uid = ?", now, instance.uid);
      const old = await tx.all<{ id: string }>(
        "SELECT id FROM ai_search_jobs WHERE instance = ? AND ended_at IS NOT NULL ORDER BY number DESC LIMIT 1000 OFFSET ?",
        ...[instance.uid, JOBS_MAX],
      );
      for (const { id: one } of old) {
        await tx.run("DELETE FROM ai_search_job_logs WHERE job = ?", one);
        await tx.run("DELETE FROM ai_search_jobs WHERE id = ?", one);
      }
    });
    instances.noteSync(instance.uid, now);
    return (await meta.get<Job>("SELECT * FROM ai_search_jobs WHERE id = ?", id)) as Job;
  }

  async function require(instance: Instance, id: string): Promise<Job> {
    const job = await meta.get<Job>("SELECT * FROM ai_search_jobs WHERE id = ? AND instance = ?", id, instance.uid);
    if (job === undefined) throw searchError("jobNotFound");
    return job;
  }

  return {
    /** The first job of an instance, and those of its schedule. */
    schedule: (instance: Instance, description: string): Promise<Job> => insert(instance, "schedule", description),
    /** Throws `aiSearch.paused` and, as one was asked for just before, `aiSearch.cooldown`. */
    async request(instance: Instance, description: string | null): Promise<Job> {
      if (instance.config.paused === true) throw searchError("paused");
      const last = await meta.get<{ created_at: number }>(
        "SELECT created_at FROM ai_search_jobs WHERE instance = ? AND source = 'user' ORDER BY number DESC LIMIT 1",
        instance.uid,
      );
      if (last !== undefined && clock.now() - last.created_at < cooldownMs) throw searchError("cooldown");
      return insert(instance, "user", description);
    },
    require,
    /** The job that is next, or still under way when the platform ended. */
    unfinished: (uid: string): Promise<Job | undefined> =>
      meta.get<Job>("SELECT * FROM ai_search_jobs WHERE instance = ? AND ended_at IS NULL ORDER BY number LIMIT 1", uid),
    /** Instances with such jobs. */
    async waiting(): Promise<string[]> {
      const rows = await meta.all<{ instance: string }>("SELECT DISTINCT instance FROM ai_search_jobs WHERE ended_at IS NULL");
      return rows.map(({ instance }) => instance);
    },
    start: async (job: Job): Promise<void> => {
      const now = clock.now();
      await meta.run("UPDATE ai_search_jobs SET started_at = coalesce(started_at, ?), seen_at = ? WHERE id = ?", now, now, job.id);
    },
    /** False when it has ended already: it was cancelled. */
    async end(id: string, reason: string): Promise<boolean> {
      const now = clock.now();
      const { changes } = await meta.run(
        "UPDATE ai_search_jobs SET ended_at = ?, seen_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL",
        ...[now, now, reason, id],
      );
      return changes > 0;
    },
    async note(job: Job, lines: readonly JobLine[]): Promise<void> {
      if (lines.length === 0) return;
      const now = clock.now();
      await meta.transaction(async (tx) => {
        const { n } = (await tx.get<{ n: number }>(
          "SELECT coalesce(max(number), 0) AS n FROM ai_search_job_logs WHERE job = ?",
          job.id,
        )) as { n: number };
        for (const [at, { message, error }] of lines.slice(0, Math.max(0, LINES_MAX - n)).entries())
          await tx.run(
            "INSERT INTO ai_search_job_logs (job, number, at, type, message) VALUES (?, ?, ?, ?, ?)",
            ...[job.id, n + at + 1, now, error === true ? 1 : 0, message.slice(0, 2000)],
          );
        await tx.run("UPDATE ai_search_jobs SET seen_at = ? WHERE id = ?", now, job.id);
      });
    },
    async list(instance: Instance, query: URLSearchParams): Promise<Page<Record<string, unknown>>> {
      const { offset, perPage, number } = pageOf(query, 20);
      const rows = await meta.all<Job>(
        "SELECT * FROM ai_search_jobs WHERE instance = ? ORDER BY number DESC LIMIT ? OFFSET ?",
        ...[instance.uid, perPage, offset],
      );
      const { n } = (await meta.get<{ n: number }>("SELECT count(*) AS n FROM ai_search_jobs WHERE instance = ?", instance.uid)) as {
        n: number;
      };
      return page(rows.map(jobView), { count: rows.length, page: number, per_page: perPage, total_count: n });
    },
    async logs(job: Job, query: URLSearchParams): Promise<Page<Record<string, unknown>>> {
      const { offset, perPage, number } = pageOf(query, 20);
      const rows = await meta.all<{ number: number; at: number; type: number; message: string }>(
        "SELECT * FROM ai_search_job_logs WHERE job = ? ORDER BY number LIMIT ? OFFSET ?",
        ...[job.id, perPage, offset],
      );
      const { n } = (await meta.get<{ n: number }>("SELECT count(*) AS n FROM ai_search_job_logs WHERE job = ?", job.id)) as { n: number };
      const result = rows.map((row) => ({ id: row.number, message: row.message, message_type: row.type, created_at: row.at }));
      return page(result, { count: result.length, page: number, per_page: perPage, total_count: n });
    },
  };
}

/** `page` from 1 and `per_page`, as numbers that make sense. */
export function pageOf(query: URLSearchParams, standard: number, max = PER_PAGE_MAX): { number: number; perPage: number; offset: number } {
  const whole = (name: string, fallback: number, most: number): number => {
    const value = Number(query.get(name) ?? fallback);
    return Number.isInteger(value) ? Math.min(most, Math.max(1, value)) : fallback;
  };
  const number = whole("page", 1, 1_000_000);
  const perPage = whole("per_page", standard, max);
  return { number, perPage, offset: (number - 1) * perPage };
}

export const jobView = (job: Job): Record<string, unknown> => ({
  id: job.id,
  source: job.source,
  ...(job.description !== null && { description: job.description }),
  ...(job.started_at !== null && { started_at: stamp(job.started_at) }),
  ...(job.seen_at !== null && { last_seen_at: stamp(job.seen_at) }),
  ...(job.ended_at !== null && { ended_at: stamp(job.ended_at), end_reason: job.end_reason ?? "completed" }),
});
