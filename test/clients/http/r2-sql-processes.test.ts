/** R2 SQL's engine processes seen from outside: limits of time and number, and what happens when a process ends. Needs Python. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { lake } from "../pyiceberg/lake.ts";

const SLOW = "SELECT count(*) FROM ns.t a, ns.t b, ns.t c WHERE a.id + b.id + c.id = -1";

async function prepared(platform: TestPlatform): Promise<void> {
  const made = await lake(platform, "sql-processes");
  await made.py(`
catalog.create_namespace("ns")
catalog.create_table(("ns", "t"), schema=pa.schema([("id", pa.int64())])).append(pa.table({"id": list(range(20000))}))
`);
}

async function query(platform: TestPlatform, sql: string, token = platform.ready.api_token) {
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/sql-processes`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: sql }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: the tests check what they read.
  const json = (await response.json()) as any;
  return { status: response.status, code: json.errors[0]?.code as number | undefined, rows: json.result?.rows };
}

/** Ids of the engine processes that are children of the platform. */
async function engines(platform: TestPlatform): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const status = await readFile(`/proc/${name}/status`, "utf8").catch(() => "");
    if (!new RegExp(`^PPid:\\t${platform.pid}$`, "m").test(status)) continue;
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (command.includes("engine-process")) found.push(Number(name));
  }
  return found;
}

const running = (pid: number): Promise<boolean> =>
  readFile(`/proc/${pid}/stat`, "utf8").then(
    (stat) => !/\) Z /.test(stat),
    () => false,
  );

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not so in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("a query has its time, and others wait for their turn or are refused", async (t) => {
  const config = { "r2_sql.query_timeout_s": 4, "r2_sql.queries_at_once": 1, "r2_sql.queries_waiting_max": 1 };
  const platform = await startPlatform(t, { config });
  await prepared(platform);
  const other = await platform.token(["Workers R2 SQL Read", "Workers R2 Data Catalog Read", "Workers R2 Storage Read"]);
  const slow = query(platform, SLOW);
  await until("the slow query runs", async () => (await engines(platform)).length === 1);
  const waiting = query(platform, "SELECT count(id) AS n FROM ns.t", other.value);
  // Catalog statements need no engine.
  assert.deepEqual((await query(platform, "SHOW TABLES IN ns")).rows, [{ table_name: "t" }]);
  await until("one waits", async () => {
    const third = await query(platform, "SELECT 1 FROM ns.t LIMIT 1");
    return third.status === 429 && third.code === 80004;
  });
  const late = await slow;
  assert.deepEqual([late.status, late.code], [408, 80005]);
  const next = await waiting;
  // It waited nearly as long as a query may run, and had all of its own time left.
  assert.deepEqual(next.rows, [{ n: 20000 }], JSON.stringify(next));
  assert.equal((await engines(platform)).length, 1, "the engine was interrupted, not replaced");
});

test("an engine that is killed fails its query alone; engines end with the platform, also with one that is killed", async (t) => {
  const platform = await startPlatform(t);
  await prepared(platform);
  const slow = query(platform, SLOW);
  await until("the query runs", async () => (await engines(platform)).length === 1);
  const [pid] = await engines(platform);
  const environment = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0").map((entry) => entry.split("=")[0]);
  assert.deepEqual(environment.filter((name) => name !== "").sort(), ["PATH", "TZ"]);
  process.kill(pid as number, "SIGKILL");
  const failed = await slow;
  assert.deepEqual([failed.status, failed.code], [500, 80001]);
  assert.deepEqual((await query(platform, "SELECT count(*) AS n FROM ns.t")).rows, [{ n: 20000 }]);

  const cut = query(platform, SLOW).catch(() => undefined);
  await until("a query runs in an engine", async () => (await engines(platform)).length >= 1);
  const before = await engines(platform);
  await platform.kill9();
  await cut;
  for (const one of before) await until(`engine ${one} has ended`, async () => !(await running(one)));
  await platform.restart();
  assert.deepEqual((await query(platform, "SELECT count(*) AS n FROM ns.t")).rows, [{ n: 20000 }]);
  const last = await engines(platform);
  await platform.stop();
  for (const one of last) await until(`engine ${one} has ended`, async () => !(await running(one)));
});
