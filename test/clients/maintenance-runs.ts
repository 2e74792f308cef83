/** Maintenance of a table on request, awaited: what the dashboard's "Queue maintenance" and "Recent runs" do. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestPlatform } from "../harness/platform.ts";

export interface Run {
  readonly id: string;
  readonly request_id: string | null;
  readonly status: string;
  readonly message: string;
  readonly started_at: string;
  readonly finished_at: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: results of operations; tests check them.
  readonly operations: Record<string, any>;
}

const DEADLINE_MS = 60_000;

export const tablePath = (platform: TestPlatform, bucket: string, table: string, base = "basin-catalog"): string => {
  const [namespace = "", name = ""] = table.split(".");
  return `/accounts/${platform.ready.account_id}/${base}/${bucket}/namespaces/${namespace}/tables/${name}`;
};

/** Queues a run of "ns.table" and resolves with it when it has ended. */
export async function maintain(platform: TestPlatform, bucket: string, table: string): Promise<Run> {
  const path = tablePath(platform, bucket, table);
  const request_id = randomUUID();
  const queue = () => platform.rest("POST", `${path}/maintenance-configs/compaction/queue`, { request_id });
  let queued = await queue();
  // A run of the schedule may be under way.
  for (const deadline = Date.now() + DEADLINE_MS; queued.body.errors[0]?.code === 40903 && Date.now() < deadline; queued = await queue())
    await sleep(100);
  if (queued.status !== 200) throw new Error(`queue: ${JSON.stringify(queued.body)}`);
  return finishedRun(platform, bucket, table, (run) => run.request_id === request_id);
}

/** The first run that fits, once it has ended. */
export async function finishedRun(platform: TestPlatform, bucket: string, table: string, fits: (run: Run) => boolean): Promise<Run> {
  const path = tablePath(platform, bucket, table);
  for (const deadline = Date.now() + DEADLINE_MS; Date.now() < deadline; await sleep(100)) {
    const { body } = await platform.rest("GET", `${path}/maintenance-runs`);
    const run = (body.result.runs as Run[]).find(fits);
    if (run !== undefined && run.status !== "running") return run;
  }
  throw new Error(`no such run of ${table} ended in time`);
}
