/**
 * Goal: whatever process dies at whatever moment, what was acknowledged is there after it, each event once, and alarms fire.
 * Method: clients write to every product without pause, through a Worker's bindings and through the public APIs, and a
 * model beside the platform remembers what was acknowledged. In each round the platform as a whole and one of its workerd
 * processes get SIGKILL at moments that the seed decides; then everything is compared with the model.
 *
 * FREEHOLD_CRASH_ROUNDS sets the rounds, FREEHOLD_SEED repeats the choices of a run.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";
import { type Random, seeded } from "../harness/seed.ts";
import { deployWorker } from "../harness/worker-project.ts";
import { killedAtStart } from "./killed-start.ts";
import { Deliveries, Events, Numbers, Registers } from "./model.ts";
import { Crew, type Model, type Resources, writers } from "./writers.ts";

const ROUNDS = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 2);
const ROUND_DEADLINE_MS = 120_000;
const ARRIVAL_DEADLINE_MS = 60_000;
const ALARM_DEADLINE_MS = 30_000;
const POLL_MS = 100;
/** R2 SQL answers with at most this many rows. */
const ROWS_PER_QUERY = 10_000;
/** Names in one request to the Worker that reads them. */
const READS_PER_REQUEST = 100;
const LAKE = "crash-lake";

test("[queues-05, d1-43, kv-32, pipelines-06, pipelines-31, durable-objects-09, durable-objects-27] what was acknowledged survives SIGKILL of the platform, of the system workerd and of Workers' processes, and each event is in the table once", {
  timeout: 60_000 + ROUNDS * ROUND_DEADLINE_MS,
}, async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  const platform = await startPlatform(t);
  const { resources, sleeper, alarms } = await prepare(platform);
  const model: Model = {
    kv: new Registers("kv"),
    r2: new Registers("r2"),
    d1: new Registers("d1"),
    deployments: new Registers("deployments"),
    numbers: [new Numbers("ledger-a"), new Numbers("ledger-b")],
    events: new Events(),
    messages: new Deliveries(),
  };
  const crew = new Crew(writers(resources, model, random.seed));
  const napping = new Map<string, number>();
  const others = [killSystem, killWorker];
  const firstOther = random.integer(0, 1);

  try {
    for (let round = 0; round < ROUNDS; round++) {
      crew.start();
      await crew.progress();
      // Due before, while or after the platform is down.
      for (let i = 0; i < 3; i++) {
        const name = `${round}-${i}`;
        const at = Date.now() + random.integer(300, 5000);
        const answer = await platform.fetch(`${sleeper}/?name=${name}&at=${at}`, { method: "POST" });
        assert.equal(answer.status, 200, await answer.text());
        napping.set(name, at);
      }
      // The platform as a whole in each round; the two others in turn.
      const kills = [killPlatform, others[(firstOther + round) % 2] as typeof killPlatform];
      if (random.next() < 0.5) kills.reverse();
      for (const kill of kills) {
        await sleep(random.integer(50, 1200));
        t.diagnostic(`round ${round + 1}: ${await kill(platform, random)}`);
        await crew.progress();
      }
      await crew.stop();
      await checkStores(platform, resources, model);
      await checkEvents(platform, resources, model.events);
      await checkMessages(platform, resources, model.messages);
      await checkAlarms(platform, alarms, napping);
    }
  } finally {
    // After a failure it is still at work; what it meets then is not the finding.
    await crew.stop().catch(() => undefined);
  }

  // Once more after an orderly end, which also shows that nothing arrives late a second time.
  await platform.restart();
  await checkStores(platform, resources, model);
  await checkEvents(platform, resources, model.events);
  const { kv, r2, d1, deployments, numbers, events, messages } = model;
  const operations = numbers.reduce((sum, one) => sum + one.acknowledged, 0);
  t.diagnostic(
    `acknowledged: ${kv.acknowledged} kv, ${r2.acknowledged} r2, ${d1.acknowledged} d1, ${deployments.acknowledged} deployments, ${operations} Durable Object, ${events.acknowledged} events, ${messages.acknowledged} messages`,
  );
  t.diagnostic(`not acknowledged: ${[...crew.failures].map(([name, n]) => `${name} ${n}`).join(", ")}`);
});

// --- resources ---------------------------------------------------------------------------------------------

async function prepare(platform: TestPlatform): Promise<{ resources: Resources; sleeper: string; alarms: string }> {
  const account = `/accounts/${platform.ready.account_id}`;
  // biome-ignore lint/suspicious/noExplicitAny: results have as many shapes as there are operations.
  const create = async (path: string, body: unknown): Promise<any> => {
    const answer = await platform.rest("POST", `${account}${path}`, body);
    assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body)}`);
    return answer.body.result;
  };
  const kvNamespace = (await create("/storage/kv/namespaces", { title: "crash" })).id as string;
  const alarms = (await create("/storage/kv/namespaces", { title: "crash-alarms" })).id as string;
  const bucket = "crash-objects";
  for (const name of [bucket, LAKE]) await create("/r2/buckets", { name });
  await create(`/r2-catalog/${LAKE}/enable`, undefined);
  const database = (await create("/d1/database", { name: "crash" })).uuid as string;
  await create(`/d1/database/${database}/query`, { sql: "CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL)" });
  const stream = (
    await create("/pipelines/v1/streams", {
      name: "crash_stream",
      format: { type: "json" },
      schema: {
        fields: [
          { name: "id", type: "int64", required: true },
          { name: "way", type: "string", required: true },
          { name: "text", type: "string", required: false },
        ],
      },
      http: { enabled: true, authentication: true, cors: { origins: [] } },
      worker_binding: { enabled: true },
    })
  ).id as string;
  await create("/pipelines/v1/sinks", {
    name: "crash_sink",
    type: "r2_data_catalog",
    format: { type: "parquet", compression: "zstd" },
    config: {
      bucket: LAKE,
      namespace: "crash",
      table_name: "events",
      token: platform.ready.api_token,
      // wrangler refuses less than 60 s: the shorter, the more rolls a kill can meet.
      rolling_policy: { interval_seconds: 1 },
    },
  });
  await create("/pipelines/v1/pipelines", { name: "crash_pipeline", sql: "INSERT INTO crash_sink SELECT * FROM crash_stream" });
  const pushed = (await create("/queues", { queue_name: "crash-pushed" })).queue_id as string;
  const pulled = (await create("/queues", { queue_name: "crash-pulled" })).queue_id as string;
  await create(`/queues/${pulled}/consumers`, { type: "http_pull" });
  const everything = await deployWorker(platform, {
    files: { "index.js": fixture("everything") },
    config: {
      name: "everything",
      kv_namespaces: [{ binding: "KV", id: kvNamespace }],
      r2_buckets: [{ binding: "BUCKET", bucket_name: bucket }],
      d1_databases: [{ binding: "DB", database_name: "crash", database_id: database }],
      pipelines: [{ binding: "STREAM", stream }],
      queues: {
        producers: [
          { binding: "PUSHED", queue: "crash-pushed" },
          { binding: "PULLED", queue: "crash-pulled" },
        ],
        // A kill is no fault of the messages: none of them may be given up.
        consumers: [{ queue: "crash-pushed", max_batch_timeout: 0, max_retries: 100 }],
      },
      durable_objects: { bindings: [{ name: "LEDGER", class_name: "Ledger" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Ledger"] }],
    },
  });
  const sleeper = await deployWorker(platform, {
    files: { "index.js": fixture("sleeper") },
    config: {
      name: "sleeper",
      kv_namespaces: [{ binding: "KV", id: alarms }],
      durable_objects: { bindings: [{ name: "SLEEPER", class_name: "Sleeper" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Sleeper"] }],
    },
  });
  return {
    resources: { platform, workerUrl: everything.url, kvNamespace, bucket, database, stream, pushed, pulled },
    sleeper: sleeper.url,
    alarms,
  };
}

const fixture = (name: string): string => readFileSync(join(import.meta.dirname, "fixtures", name, "index.js"), "utf8");

// --- kills -------------------------------------------------------------------------------------------------

interface Status {
  readonly system_pid: number;
  readonly processes: readonly { readonly pid: number; readonly label: string }[];
}

async function statusOf(platform: TestPlatform): Promise<Status> {
  const { status, body } = await platform.rest("GET", "/freehold/status");
  assert.equal(status, 200, JSON.stringify(body));
  return body.result as Status;
}

async function killSystem(platform: TestPlatform): Promise<string> {
  const { system_pid } = await statusOf(platform);
  process.kill(system_pid, "SIGKILL");
  return `killed the system workerd (${system_pid})`;
}

async function killWorker(platform: TestPlatform, random: Random): Promise<string> {
  const { pid, label } = random.pick((await statusOf(platform)).processes);
  process.kill(pid, "SIGKILL");
  return `killed the process of ${label} (${pid})`;
}

/** Kills the platform and starts it again; sometimes its start is killed, too, before the one that may finish. */
async function killPlatform(platform: TestPlatform, random: Random): Promise<string> {
  const { system_pid, processes } = await statusOf(platform);
  const orphans = [system_pid, ...processes.map(({ pid }) => pid)].map((pid) => ({ pid, startedAt: startOf(pid) }));
  await platform.kill9();
  let killedStart = "";
  if (random.next() < 0.5) {
    const afterMs = random.integer(20, 900);
    await killedAtStart(platform, afterMs);
    killedStart = `, and its start after ${afterMs} ms`;
  }
  await platform.restart();
  for (const { pid, startedAt } of orphans) {
    assert.ok(startOf(pid) !== startedAt || startedAt === undefined, `workerd process ${pid} outlived the platform`);
  }
  return `killed the platform${killedStart}`;
}

/** When a process was started, in the kernel's ticks: tells it from a later one with the same id. Undefined: it has ended. */
function startOf(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") as string[];
    // A zombie has ended; only nobody has asked for its exit code.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

// --- checks ------------------------------------------------------------------------------------------------

async function checkStores(platform: TestPlatform, { workerUrl }: Resources, model: Model): Promise<void> {
  const ask = async <T>(path: string, body?: unknown): Promise<T> => {
    const answer = await platform.fetch(`${workerUrl}${path}`, {
      method: "POST",
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${path}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as T;
  };
  for (const registers of [model.kv, model.r2, model.d1]) {
    const keys = registers.keys();
    for (let i = 0; i < keys.length; i += READS_PER_REQUEST) {
      const some = keys.slice(i, i + READS_PER_REQUEST);
      const found = await ask<(string | null)[]>(`/read/${registers.name}`, some);
      for (const [j, key] of some.entries()) registers.check(key, found[j] as string | null);
    }
    registers.checkNames(await ask<string[]>(`/names/${registers.name}`));
  }
  const { subdomain } = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/subdomain`)).body.result;
  for (const script of model.deployments.keys()) {
    const answer = await platform.fetch(platform.host("workers", { worker: script, subdomain }));
    const text = await answer.text();
    assert.ok(answer.status === 200 || answer.status === 404, `${script}: ${answer.status} ${text}`);
    model.deployments.check(script, answer.status === 200 ? text : null);
  }
  for (const numbers of model.numbers) numbers.check(await ask(`/operations/${numbers.name}`));
}

async function checkEvents(platform: TestPlatform, { stream }: Resources, events: Events): Promise<void> {
  // The stream is in order: when this event is in the table, so is everything that was acknowledged before it.
  const [marker] = events.take(1) as [number];
  const answer = await platform.fetch(platform.host("ingest", { stream }), {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify([{ id: marker, way: "marker" }]),
  });
  assert.equal(answer.status, 200, await answer.text());
  events.acknowledge([marker]);
  await until(`event ${marker} is in the table`, ARRIVAL_DEADLINE_MS, async () => {
    const rows = await query<{ id: number }>(platform, `SELECT id FROM crash.events WHERE id = ${marker}`, true);
    return rows.length > 0;
  });
  const found: number[] = [];
  for (let from = 0; from < events.end; from += ROWS_PER_QUERY / 2) {
    // Half as many ids as rows: twice each would still be seen.
    const to = from + ROWS_PER_QUERY / 2;
    const rows = await query<{ id: number }>(
      platform,
      `SELECT id FROM crash.events WHERE id >= ${from} AND id < ${to} LIMIT ${ROWS_PER_QUERY}`,
    );
    for (const { id } of rows) found.push(Number(id));
  }
  events.check(found);
  const [total] = await query<{ n: number }>(platform, "SELECT COUNT(*) AS n FROM crash.events");
  assert.equal(Number(total?.n), found.length, "count(*)");
}

/** Pulls until each message that was acknowledged has come: directly, or through the Worker that passes it on. */
async function checkMessages(platform: TestPlatform, { pulled }: Resources, messages: Deliveries): Promise<void> {
  const path = `/accounts/${platform.ready.account_id}/queues/${pulled}/messages`;
  await until("every acknowledged message is delivered", ARRIVAL_DEADLINE_MS, async () => {
    for (;;) {
      const { status, body } = await platform.rest("POST", `${path}/pull`, { batch_size: 100 });
      assert.equal(status, 200, JSON.stringify(body));
      const batch = body.result.messages as { body: string; lease_id: string }[];
      if (batch.length === 0) return messages.missing().length === 0;
      for (const message of batch) messages.delivered(JSON.parse(Buffer.from(message.body, "base64").toString()));
      await platform.rest("POST", `${path}/ack`, { acks: batch });
    }
  });
}

/** The rows of an R2 SQL query. A table that a sink has not made yet has none, if the caller says so. */
async function query<T>(platform: TestPlatform, sql: string, mayBeMissing = false): Promise<T[]> {
  const answer = await platform.fetch(`${platform.host("sql")}/r2-sql/query/${LAKE}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: sql }),
  });
  const body = (await answer.json()) as { success: boolean; result?: { rows: T[] } };
  if (mayBeMissing && !body.success && answer.status < 500) return [];
  assert.ok(body.success, `${sql}: ${JSON.stringify(body)}`);
  return (body.result as { rows: T[] }).rows;
}

/** Looks only where the alarms note that they fired: asking the objects would wake them. */
async function checkAlarms(platform: TestPlatform, namespace: string, napping: Map<string, number>): Promise<void> {
  for (const [name, at] of napping) {
    const path = `${platform.ready.api}/accounts/${platform.ready.account_id}/storage/kv/namespaces/${namespace}/values/alarm-${name}`;
    const headers = { authorization: `Bearer ${platform.ready.api_token}` };
    await until(`the alarm of ${name}, due ${new Date(at).toISOString()}, fired`, ALARM_DEADLINE_MS, async () => {
      const answer = await platform.fetch(path, { headers });
      const text = await answer.text();
      if (answer.status === 404) return false;
      assert.equal(answer.status, 200, text);
      assert.ok(Number(text) >= at, `the alarm of ${name} fired ${at - Number(text)} ms early`);
      return true;
    });
    napping.delete(name);
  }
}

async function until(what: string, deadlineMs: number, condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + deadlineMs; Date.now() < end; await sleep(POLL_MS)) if (await condition()) return;
  throw new Error(`not within ${deadlineMs} ms: ${what}`);
}
