/** D1 at its limits: a full database, an engine that is lost, thousands of databases; and events of KV namespaces. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const MAX_BYTES = 1_000_000;
const platform = await startPlatform({ after }, { config: { "d1.database_max_bytes": MAX_BYTES } });
const account_id = platform.ready.account_id;
const base = `/accounts/${account_id}/d1/database`;
const database = async (name: string): Promise<string> => (await platform.rest("POST", base, { name })).body.result.uuid;
const DB = await database("at-its-limits");

const source = `
const failure = (work) => work.then(() => null, (error) => error.message);
const code = {
  async fill({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT)");
    const insert = DB.prepare("INSERT INTO t (text) VALUES (?)").bind("x".repeat(50_000));
    for (let i = 0; i < 1000; i++) { const message = await failure(insert.run()); if (message !== null) return [i, message]; }
  },
  async state({ DB }) {
    const { results, meta } = await DB.prepare("SELECT count(*) AS n, min(length(text)) AS least FROM t").all();
    return [results[0], meta.size_after, await failure(DB.exec("CREATE TABLE more (a)"))];
  },
  async shrink({ DB }) { await DB.exec("DELETE FROM t"); return code.fill({ DB }); },
  async slow({ DB }) {
    const { results, meta } = await DB.prepare("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) AS n FROM n").all();
    return [results, meta.total_attempts];
  },
  async slowWrite({ DB }) {
    await DB.exec("DELETE FROM t");
    await DB.exec("CREATE TABLE IF NOT EXISTS w (n)");
    return failure(DB.prepare("INSERT INTO w WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n").run());
  },
};
export default { async fetch(request, env) { return Response.json(await code[new URL(request.url).pathname.slice(1)](env)); } };`;
const { url } = await uploadedWorker(platform, {
  files: { "index.js": source },
  config: { name: "d1-limits", d1_databases: [{ binding: "DB", database_name: "at-its-limits", database_id: DB }] },
});
// biome-ignore lint/suspicious/noExplicitAny: answers of the Worker above.
const run = async (path: string): Promise<any> => (await platform.fetch(`${url}/${path}`)).json();
const systemPid = async (): Promise<number> => (await platform.rest("GET", "/freehold/status")).body.result.system_pid;

test("[d1-14] a database takes nothing past its size with the documented message, keeps what it has, and can be emptied", async () => {
  const [written, message] = await run("fill");
  assert(written > 10 && written < 25, String(written));
  assert.match(message, /^D1_ERROR: Exceeded maximum DB size\./);
  const [row, size, created] = await run("state");
  assert.deepEqual(row, { n: written, least: 50_000 });
  assert(size >= MAX_BYTES && size < 1.2 * MAX_BYTES, String(size));
  assert.match(created, /Exceeded maximum DB size\./);
  assert.deepEqual(await run("shrink"), [written, message]);
});

test("[d1-15] thousands of databases are created and listed, and those that nobody uses take no memory", async () => {
  const count = 2000;
  const rss = async (): Promise<number> => {
    const [, pages = "0"] = readFileSync(`/proc/${await systemPid()}/statm`, "utf8").split(" ");
    return Number(pages) * 4096;
  };
  const before = await rss();
  const names = Array.from({ length: count }, (_, i) => `many-${String(i).padStart(5, "0")}`);
  const queue = names.values();
  const uuids: string[] = [];
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const name of queue) uuids.push(await database(name));
    }),
  );
  assert.equal(new Set(uuids).size, count);
  const listed: string[] = [];
  for await (const { name } of platform.sdk().d1.database.list({ account_id, per_page: 1000 }))
    if (name?.startsWith("many-")) listed.push(name);
  assert.deepEqual(listed.sort(), names);
  const last = uuids.at(-1) as string;
  await platform.rest("POST", `${base}/${last}/query`, { sql: "CREATE TABLE t (a); INSERT INTO t VALUES (7)" });
  assert.deepEqual((await platform.rest("POST", `${base}/${last}/raw`, { sql: "SELECT a FROM t" })).body.result[0].results.rows, [[7]]);
  const grown = (await rss()) - before;
  assert(grown <= 16 * 1024 * 1024, `${Math.round(grown / 1024 / 1024)} MiB for ${count} databases`);
});

test("[d1-31] a read whose engine is lost is tried again and says so; a write is not", async () => {
  const lose = async (path: string) => {
    const answer = run(path);
    await delay(300);
    process.kill(await systemPid(), "SIGKILL");
    return answer;
  };
  assert.deepEqual(await lose("slow"), [[{ n: 3_000_000 }], 2]);
  assert.match(await lose("slowWrite"), /Network connection lost/);
});

test("[kv-30] a queue that subscribed to KV is told of namespaces that come and go", async () => {
  const { body } = await platform.rest("POST", `/accounts/${account_id}/queues`, { queue_name: "kv-events" });
  const queue = body.result.queue_id as string;
  const wrangler = (command: string) => platform.wrangler(command.split(" "));
  await wrangler("queues consumer http add kv-events");
  await wrangler("queues subscription create kv-events --source kv --events namespace.created,namespace.deleted --name namespaces");
  const created = await wrangler("kv namespace create announced");
  const id = /"id": "([0-9a-f]{32})"/.exec(created.stdout)?.[1] as string;
  await wrangler(`kv namespace delete --namespace-id ${id} --skip-confirmation`);
  const pulled = (await platform.rest("POST", `/accounts/${account_id}/queues/${queue}/messages/pull`, { batch_size: 10 })).body.result;
  const events = pulled.messages.map((message: { body: string }) => {
    const event =
      typeof message.body === "string" && message.body.startsWith("{")
        ? JSON.parse(message.body)
        : JSON.parse(Buffer.from(message.body, "base64").toString());
    assert.equal(event.metadata.accountId, account_id);
    assert.equal(event.metadata.eventSchemaVersion, 1);
    return [event.type, event.source, event.payload];
  });
  assert.deepEqual(events, [
    ["cf.kv.namespace.created", { type: "kv" }, { id, name: "announced" }],
    ["cf.kv.namespace.deleted", { type: "kv" }, { id, name: "announced" }],
  ]);
});
