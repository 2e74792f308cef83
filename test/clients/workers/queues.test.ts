/** Queues by binding: Worker code that sends and consumes, deployed by wrangler. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const base = `/accounts/${platform.ready.account_id}/queues`;

/** Each queue with how the Worker below consumes it; null: nobody does. */
const consumers: Readonly<Record<string, object | null>> = {
  one: { max_batch_timeout: 0 },
  two: { max_batch_timeout: 0 },
  types: { max_batch_size: 6, max_batch_timeout: 2 },
  hundred: { max_batch_size: 100, max_batch_timeout: 1 },
  thirty: { max_batch_size: 30, max_batch_timeout: 2 },
  acks: { max_batch_size: 3, max_batch_timeout: 1 },
  "retry-all": { max_batch_size: 3, max_batch_timeout: 1 },
  "throws-once": { max_batch_size: 3, max_batch_timeout: 1 },
  "ack-all": { max_batch_size: 3, max_batch_timeout: 1 },
  failing: { max_batch_size: 2, max_batch_timeout: 0, dead_letter_queue: "dead" },
  "failing-plain": { max_batch_size: 2, max_batch_timeout: 0 },
  backoff: { max_batch_timeout: 0 },
  waits: { max_batch_timeout: 0 },
  delayed: { max_batch_timeout: 0 },
  unsettled: { max_batch_size: 2, max_batch_timeout: 1 },
  lazy: { max_batch_timeout: 0 },
  busy: { max_batch_size: 20, max_batch_timeout: 0, max_retries: 100 },
  single: { max_batch_size: 1, max_batch_timeout: 0, max_concurrency: 1 },
  limits: null,
  mixed: null,
  brief: null,
};

const source = `
import { DurableObject } from "cloudflare:workers";
let log = [];
let active = 0;
let most = 0;
let fail = false;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const shown = (body) => {
  if (body instanceof Date) return ["Date", body.toISOString()];
  if (body instanceof Map) return ["Map", [...body]];
  if (ArrayBuffer.isView(body)) return ["bytes", [...new Uint8Array(body.buffer, body.byteOffset, body.byteLength)]];
  return [typeof body, body];
};
const behave = {
  acks(batch) { for (const m of batch.messages) if (m.body === "again" && m.attempts === 1) m.retry(); else m.ack(); },
  "retry-all"(batch) {
    for (const m of batch.messages) if (m.body === "acked") m.ack();
    if (batch.messages.some((m) => m.attempts === 1)) batch.retryAll();
  },
  "throws-once"(batch) {
    for (const m of batch.messages) if (m.body === "acked") m.ack();
    if (batch.messages.some((m) => m.attempts === 1)) throw new Error("once");
  },
  "ack-all"(batch) {
    for (const m of batch.messages) if (m.body === "again" && m.attempts === 1) m.retry();
    batch.ackAll();
    if (batch.messages.length > 1) throw new Error("after ackAll");
  },
  failing() { throw new Error("always") },
  "failing-plain"() { throw new Error("always") },
  backoff(batch) { for (const m of batch.messages) if (m.attempts < 3) m.retry({ delaySeconds: 2 ** m.attempts }) },
  unsettled(batch) { for (const m of batch.messages) if (m.body === "again" && m.attempts === 1) m.retry({ delaySeconds: 2 }) },
  waits(batch, env, ctx) { if (batch.messages[0].attempts === 1) ctx.waitUntil(sleep(20).then(() => { throw new Error("later") })) },
  async busy() { await sleep(60); if (fail) throw new Error("busy") },
  async single() { await sleep(20) },
};
const thrown = async (work) => { try { await work(); return null } catch (e) { return e.message } };
const code = {
  async types({ Q_types: q }) {
    await q.sendBatch([
      { body: "plain", contentType: "text" },
      { body: { a: [1, null, "ä"] } },
      { body: new Uint8Array([0, 255, 128]), contentType: "bytes" },
      { body: new Date(1e12), contentType: "v8" },
      { body: new Map([["k", new Date(0)]]), contentType: "v8" },
    ]);
    await q.send("json text");
    return [await thrown(() => q.send({}, { contentType: "text" })), await thrown(() => q.send("x", { contentType: "jpeg" }))];
  },
  async mixed({ Q_mixed: q }) {
    await q.sendBatch([
      { body: "ä", contentType: "text" },
      { body: { ä: 1 } },
      { body: new Uint8Array([0, 255]), contentType: "bytes" },
      { body: new Date(0), contentType: "v8" },
    ]);
  },
  async batch({ Q_hundred: q }) {
    const many = (n, body) => Array.from({ length: n }, (_, i) => ({ body: body ?? i }));
    await q.sendBatch(many(100));
    return [await thrown(() => q.sendBatch(many(101))), await thrown(() => q.sendBatch(many(3, "x".repeat(100_000))))];
  },
  async sizes({ Q_limits: q }) {
    const sent = async (n) => thrown(() => q.send("x".repeat(n), { contentType: "text" }));
    return [await sent(127_900), await sent(127_901), await sent(128_001), await thrown(() => q.send("x", { delaySeconds: 86_401 })),
      await thrown(() => q.sendBatch([{ body: "x" }], { delaySeconds: -1 })), await q.metrics()];
  },
  async fill({ Q_busy: q }) {
    for (let i = 0; i < 100; i++) await q.sendBatch(Array.from({ length: 100 }, (_, n) => ({ body: n })));
  },
  async object(env) { return env.OBJECT.get(env.OBJECT.idFromName("o")).produce() },
  async send(env, { queue, bodies, options }) {
    const q = env["Q_" + queue.replaceAll("-", "_")];
    if (bodies.length === 1) return (await q.send(bodies[0], options)).metadata.metrics.backlogCount;
    return (await q.sendBatch(bodies.map((body) => ({ body })), options)).metadata.metrics.backlogCount;
  },
  async log(env, { queue }) { return log.filter((entry) => entry.queue === queue) },
  async fail(env, value) { fail = value.fail; most = 0; log = log.filter((entry) => entry.queue !== "busy") },
  async most() { return most },
};
export class Producer extends DurableObject {
  async produce() { await this.ctx.storage.put("sent", true); await this.env.Q_one.send("from an object"); return "sent" }
}
export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname.slice(1);
    try { return Response.json((await code[path](env, request.method === "POST" ? await request.json() : undefined)) ?? null) }
    catch (e) { return new Response(e.stack, { status: 500 }) }
  },
  async queue(batch, env, ctx) {
    active++;
    most = Math.max(most, active);
    const messages = batch.queue === "busy" ? [] : batch.messages.map((m) =>
      ({ id: m.id, attempts: m.attempts, timestamp: m.timestamp.getTime(), body: shown(m.body) }));
    log.push({ queue: batch.queue, at: Date.now(), active, messages });
    try { await behave[batch.queue]?.(batch, env, ctx) } finally { active-- }
  },
};
`;

for (const queue_name of Object.keys(consumers)) {
  const settings = queue_name === "lazy" ? { delivery_delay: 60 } : queue_name === "brief" ? { message_retention_period: 60 } : {};
  await platform.rest("POST", base, { queue_name, settings });
}
const project = await deployWorker(platform, {
  files: { "index.js": source },
  config: {
    name: "queue-worker",
    queues: {
      producers: Object.keys(consumers).map((queue) => ({ queue, binding: `Q_${queue.replaceAll("-", "_")}` })),
      consumers: Object.entries(consumers).flatMap(([queue, settings]) => (settings === null ? [] : [{ queue, ...settings }])),
    },
    durable_objects: { bindings: [{ name: "OBJECT", class_name: "Producer" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Producer"] }],
  },
});

interface Delivered {
  readonly at: number;
  readonly active: number;
  readonly messages: readonly { readonly id: string; readonly attempts: number; readonly timestamp: number; readonly body: unknown[] }[];
}

async function call<T>(path: string, body?: unknown): Promise<T> {
  const answer = await platform.fetch(`${project.url}/${path}`, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return JSON.parse(text) as T;
}
const send = (queue: string, bodies: readonly unknown[], options: object = {}) => call<number>("send", { queue, bodies, options });
const batches = (queue: string) => call<Delivered[]>("log", { queue });

/** The batches of a queue once they hold that many messages. */
async function delivered(queue: string, count: number, deadlineMs = 30_000): Promise<Delivered[]> {
  let seen: Delivered[] = [];
  for (const end = Date.now() + deadlineMs; Date.now() < end; await new Promise((done) => setTimeout(done, 50))) {
    seen = await batches(queue);
    if (seen.reduce((sum, batch) => sum + batch.messages.length, 0) >= count) return seen;
  }
  throw new Error(`${queue} delivered only ${JSON.stringify(seen)}`);
}
const bodies = (seen: readonly Delivered[]) => seen.map(({ messages }) => messages.map(({ body, attempts }) => [body[1], attempts]));
const queueId = async (name: string): Promise<string> => (await platform.rest("GET", `${base}?name=${name}`)).body.result[0].queue_id;
const backlog = async (name: string): Promise<number> =>
  (await platform.rest("GET", `${base}/${await queueId(name)}/metrics`)).body.result.backlog_count;
/** Resolves when the queue holds no message any more. */
async function empty(name: string, deadlineMs = 30_000): Promise<void> {
  for (const end = Date.now() + deadlineMs; (await backlog(name)) > 0 && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 50));
  assert.equal(await backlog(name), 0);
}

// Sent first and looked at last: they take their time.
const briefSent = Date.now();
await send("brief", ["gone after a minute"]);
await send("backoff", ["three times"]);

test("[queues-04, queues-14] a Worker sends to several queues and consumes them, each by its name", async () => {
  const before = Date.now();
  assert.equal(await send("one", [{ a: 1 }]), 1);
  await send("two", [{ b: 2 }]);
  const [one, two] = [await delivered("one", 1), await delivered("two", 1)];
  assert.deepEqual(bodies(one), [[[{ a: 1 }, 1]]]);
  assert.deepEqual(bodies(two), [[[{ b: 2 }, 1]]]);
  const message = one[0]?.messages[0];
  assert.match(message?.id ?? "", /^[0-9a-f]{32}$/);
  assert.ok((message?.timestamp as number) >= before - 1000 && (message?.timestamp as number) <= Date.now());
  await empty("one");
});

test("[queues-07] bodies come back with the type that they were sent with", async () => {
  const refused = await call<string[]>("types");
  assert.match(refused[0] ?? "", /requires a value of type string/);
  assert.match(refused[1] ?? "", /Unsupported queue message content type/);
  const seen = (await delivered("types", 6)).flatMap(({ messages }) => messages.map(({ body }) => body));
  assert.deepEqual(seen, [
    ["string", "plain"],
    ["object", { a: [1, null, "ä"] }],
    ["bytes", [0, 255, 128]],
    ["Date", "2001-09-09T01:46:40.000Z"],
    ["Map", [["k", "1970-01-01T00:00:00.000Z"]]],
    ["string", "json text"],
  ]);
});

test("[queues-28] pulled over HTTP, text is plain and everything else base64", async () => {
  const id = await queueId("mixed");
  await platform.rest("POST", `${base}/${id}/consumers`, { type: "http_pull" });
  await call("mixed");
  const { messages } = (await platform.rest("POST", `${base}/${id}/messages/pull`, {})).body.result;
  assert.deepEqual(
    messages.slice(0, 3).map(({ body }: { body: string }) => body),
    ["ä", Buffer.from('{"ä":1}').toString("base64"), Buffer.from([0, 255]).toString("base64")],
  );
  assert.deepEqual(
    messages.map(({ metadata }: { metadata: object }) => metadata),
    ["text", "json", "bytes", "v8"].map((type) => ({ "CF-sourceMessageSource": "worker", "CF-Content-Type": type })),
  );
});

test("[queues-06] sendBatch takes 100 messages and 256 KB, and nothing of what is more", async () => {
  const refused = await call<string[]>("batch");
  assert.match(refused[0] ?? "", /\(10206\)$/);
  assert.match(refused[1] ?? "", /\(10205\)$/);
  const seen = await delivered("hundred", 100);
  assert.deepEqual(
    seen.flatMap(({ messages }) => messages.map(({ body }) => body[1])),
    [...Array(100).keys()],
  );
  await empty("hundred");
});

test("[queues-09] a message of 128 KB with its metadata is taken, one byte more is 10204", async () => {
  const [largest, larger, over, late, early, metrics] =
    await call<[null, string, string, string, string, Record<string, unknown>]>("sizes");
  assert.equal(largest, null);
  for (const text of [larger, over]) assert.match(text, /\(10204\)$/);
  assert.match(late, /\(10203\)$/);
  assert.match(early, /\(10202\)$/);
  assert.deepEqual([metrics.backlogCount, metrics.backlogBytes], [1, 127_900]);
});

test("[queues-13] a batch goes when it is full, or when its first message has waited", async () => {
  await send("thirty", [...Array(30).keys()]);
  const full = await delivered("thirty", 30);
  assert.deepEqual(
    full.map(({ messages }) => messages.length),
    [30],
  );
  const sent = Date.now();
  await send("thirty", ["a", "b", "c"]);
  const late = (await delivered("thirty", 33)).at(-1);
  assert.deepEqual(
    late?.messages.map(({ body }) => body[1]),
    ["a", "b", "c"],
  );
  assert.ok((late?.at as number) - sent >= 1900, "it did not wait for more messages");
});

test("[queues-15] only the message that asked for a retry comes back, as its second attempt", async () => {
  await send("acks", ["x", "again", "y"]);
  const seen = bodies(await delivered("acks", 4));
  assert.deepEqual(seen, [
    [
      ["x", 1],
      ["again", 1],
      ["y", 1],
    ],
    [["again", 2]],
  ]);
  await empty("acks");
});

test("[queues-16] what was done to a message goes before retryAll, ackAll and a throw", async () => {
  for (const queue of ["retry-all", "throws-once"]) {
    await send(queue, ["acked", "b", "c"]);
    assert.deepEqual(bodies(await delivered(queue, 5)), [
      [
        ["acked", 1],
        ["b", 1],
        ["c", 1],
      ],
      [
        ["b", 2],
        ["c", 2],
      ],
    ]);
    await empty(queue);
  }
  await send("ack-all", ["a", "again", "c"]);
  assert.deepEqual(bodies(await delivered("ack-all", 4)), [
    [
      ["a", 1],
      ["again", 1],
      ["c", 1],
    ],
    [["again", 2]],
  ]);
  await empty("ack-all");
});

test("[queues-17, queues-18] a throw brings the batch back three times, then it goes to the dead letter queue, or nowhere", async () => {
  for (const queue of ["failing", "failing-plain"]) await send(queue, ["x", "y"]);
  for (const queue of ["failing", "failing-plain"]) {
    const seen = bodies(await delivered(queue, 8));
    assert.deepEqual(
      seen.map((batch) => batch.map(([, attempts]) => attempts)),
      [
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 4],
      ],
    );
    await empty(queue);
  }
  // Nobody made it: it came with the consumer.
  const peeked = await platform.rest("POST", `${base}/${await queueId("dead")}/messages/peek`, {});
  const letters = peeked.body.result.messages as { body: string; attempts: number }[];
  assert.deepEqual(
    letters.map(({ body }) => Buffer.from(body, "base64").toString()),
    ['"x"', '"y"'],
  );
  assert.equal((await batches("failing-plain")).length, 4);
});

test("[queues-15] a batch whose outcome cannot be written is settled when it can: nothing acknowledged comes again, a retry after its delay", async () => {
  platform.expectErrors(/queues\.settle_failed/);
  // As a disk would that is full for what a settlement writes: its transaction fails.
  const rows = new DatabaseSync(join(platform.dir, "meta.sqlite"));
  rows.exec(`CREATE TRIGGER no_settling BEFORE DELETE ON queues_messages BEGIN SELECT RAISE(ABORT, 'no settling'); END`);
  await send("unsettled", ["once", "again"]);
  const failed = () => platform.log.filter(({ msg }) => msg === "queues.settle_failed").length;
  for (const end = Date.now() + 30_000; failed() < 2 && Date.now() < end; ) await new Promise((done) => setTimeout(done, 20));
  assert.ok(failed() >= 2, "the settlement was tried twice");
  rows.exec("DROP TRIGGER no_settling");
  rows.close();
  const settling = Date.now();
  const seen = await delivered("unsettled", 3);
  assert.deepEqual(bodies(seen), [
    [
      ["once", 1],
      ["again", 1],
    ],
    [["again", 2]],
  ]);
  assert.ok((seen[1]?.at as number) - settling >= 1900, "the delay counts from the settlement");
  await empty("unsettled");
});

test("[queues-36] a promise given to waitUntil that is rejected retries the batch", async () => {
  await send("waits", ["w"]);
  assert.deepEqual(bodies(await delivered("waits", 2)), [[["w", 1]], [["w", 2]]]);
  await empty("waits");
});

test("[queues-20] a queue's delay holds for messages without one of their own; 0 is at once", async () => {
  await send("lazy", ["slow"]);
  await send("lazy", ["fast"], { delaySeconds: 0 });
  assert.deepEqual(bodies(await delivered("lazy", 1)), [[["fast", 1]]]);
  for (const end = Date.now() + 10_000; (await backlog("lazy")) > 1 && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 50));
  assert.equal(await backlog("lazy"), 1);
});

test("[queues-37] a Durable Object produces", async () => {
  const before = (await batches("one")).length;
  assert.equal(await call("object"), "sent");
  assert.deepEqual((await delivered("one", before + 1)).at(-1)?.messages[0]?.body, ["string", "from an object"]);
});

test("[queues-23] a consumer with max_concurrency 1 never runs twice at once", async () => {
  await send("single", [...Array(40).keys()]);
  const seen = await delivered("single", 40);
  assert.deepEqual(
    seen.flatMap(({ messages }) => messages.map(({ body }) => body[1])),
    [...Array(40).keys()],
  );
  await empty("single");
  // Each batch found itself alone: other queues' handlers rest by now.
  assert.ok(
    seen.every(({ active }) => active === 1),
    JSON.stringify(seen.map(({ active }) => active)),
  );
});

test("[queues-22] a backlog is worked off by several invocations at once, and by one when they throw", async () => {
  await call("fill");
  const most = () => call<number>("most");
  for (const end = Date.now() + 30_000; (await most()) < 4 && Date.now() < end; ) await new Promise((done) => setTimeout(done, 20));
  assert.ok((await most()) >= 4, `at most ${await most()} at once`);
  await call("fail", { fail: true });
  const alone = async (): Promise<boolean> => {
    const last = (await batches("busy")).slice(-5);
    return last.length === 5 && last.every(({ active }) => active === 1);
  };
  for (const end = Date.now() + 30_000; !(await alone()) && Date.now() < end; ) await new Promise((done) => setTimeout(done, 20));
  assert.ok(await alone(), "it did not come down to one");
  assert.ok((await backlog("busy")) > 100, "there is still a backlog");
  await platform.rest("POST", `${base}/${await queueId("busy")}/purge`, { delete_messages_permanently: true });
});

test("[queues-21] a retry's delay may grow with the attempts", async () => {
  const seen = await delivered("backoff", 3);
  assert.deepEqual(bodies(seen), [[["three times", 1]], [["three times", 2]], [["three times", 3]]]);
  const at = seen.map((batch) => batch.at) as [number, number, number];
  assert.ok(at[1] - at[0] >= 1900 && at[2] - at[1] >= 3900, JSON.stringify(at));
});

test("[queues-08] before compatibility date 2024-03-18 bodies are structured clones by default", async () => {
  await platform.rest("POST", `${base}/${await queueId("limits")}/purge`, { delete_messages_permanently: true });
  const old = await deployWorker(platform, {
    files: {
      "index.js": `let seen;
      export default {
        async fetch(request, env) { if (request.method === "POST") await env.Q.send(new Date(5)); return Response.json(seen ?? null) },
        queue(batch) { const body = batch.messages[0].body; seen = [body instanceof Date, +body] },
      }`,
    },
    config: {
      name: "old-worker",
      compatibility_date: "2024-03-01",
      queues: { producers: [{ binding: "Q", queue: "limits" }], consumers: [{ queue: "limits", max_batch_size: 1 }] },
    },
  });
  await platform.fetch(old.url, { method: "POST" });
  let seen: unknown = null;
  for (const end = Date.now() + 20_000; seen === null && Date.now() < end; ) seen = await (await platform.fetch(old.url)).json();
  assert.deepEqual(seen, [true, 5]);
});

test("[queues-38] errors and rows that pass through a queue are gathered into objects of R2", async () => {
  for (const queue_name of ["errors", "rows"]) await platform.rest("POST", base, { queue_name });
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/r2/buckets`, { name: "gathered" });
  const gatherer = await deployWorker(platform, {
    files: {
      "index.js": `export default {
        async fetch(request, env) {
          const path = new URL(request.url).pathname;
          try {
            if (path === "/fail") throw new TypeError("no such thing");
            await env.ROWS.sendBatch((await request.json()).map((body) => ({ body })));
          } catch (error) { await env.ERRORS.send({ path, message: error.message, stack: error.stack }) }
          return new Response("ok");
        },
        async queue(batch, env) {
          const text = batch.messages.map(({ body }) => JSON.stringify(body)).join("\\n");
          await env.BUCKET.put(batch.queue + "/" + batch.messages[0].id, text);
        },
      }`,
    },
    config: {
      name: "gatherer",
      r2_buckets: [{ binding: "BUCKET", bucket_name: "gathered" }],
      queues: {
        producers: [
          { binding: "ERRORS", queue: "errors" },
          { binding: "ROWS", queue: "rows" },
        ],
        consumers: [
          { queue: "errors", max_batch_timeout: 0 },
          { queue: "rows", max_batch_size: 5, max_batch_timeout: 1 },
        ],
      },
    },
  });
  await platform.fetch(`${gatherer.url}/fail`);
  const rows = Array.from({ length: 7 }, (_, n) => ({ n }));
  await platform.fetch(`${gatherer.url}/rows`, { method: "POST", body: JSON.stringify(rows) });
  const objects = `/accounts/${platform.ready.account_id}/r2/buckets/gathered/objects`;
  const keys = async () => ((await platform.rest("GET", objects)).body.result as { key: string }[]).map(({ key }) => key);
  for (const end = Date.now() + 20_000; (await keys()).length < 3 && Date.now() < end; ) await new Promise((done) => setTimeout(done, 50));
  const lines = async (queue: string): Promise<Record<string, unknown>[]> => {
    const texts = [];
    for (const key of (await keys()).filter((one) => one.startsWith(`${queue}/`))) {
      const headers = { authorization: `Bearer ${platform.ready.api_token}` };
      texts.push(await (await platform.fetch(`${platform.ready.api}${objects}/${key}`, { headers })).text());
    }
    return texts.flatMap((text) => text.split("\n").map((line) => JSON.parse(line)));
  };
  assert.deepEqual(await lines("rows"), rows);
  const [error] = await lines("errors");
  assert.deepEqual([error?.path, error?.message], ["/fail", "no such thing"]);
  assert.match(String(error?.stack), /^TypeError: no such thing\n +at /);
});

test("[queues-05, queues-19] a message that was sent survives a kill, and its delay holds across it", async () => {
  const sent = Date.now();
  await send("delayed", ["late"], { delaySeconds: 5 });
  // With a consumer that is busy, so that it is not delivered before the kill.
  await call("fail", { fail: false });
  await send("busy", [...Array(20).keys()]);
  await platform.kill9();
  await platform.restart();
  const [late] = await delivered("delayed", 1);
  assert.deepEqual(
    late?.messages.map(({ body, attempts }) => [body[1], attempts]),
    [["late", 1]],
  );
  assert.ok((late?.at as number) - sent >= 4900);
  for (const end = Date.now() + 20_000; (await batches("busy")).length === 0 && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 50));
  assert.ok((await batches("busy")).length > 0, "the message in flight came again");
  await empty("busy");
});

test("[queues-33] a message older than its queue's retention is gone", async () => {
  const peek = async () => (await platform.rest("POST", `${base}/${await queueId("brief")}/messages/peek`, {})).body.result.messages.length;
  if (Date.now() - briefSent < 55_000) assert.equal(await peek(), 1);
  for (const end = briefSent + 90_000; (await peek()) > 0 && Date.now() < end; ) await new Promise((done) => setTimeout(done, 250));
  assert.equal(await peek(), 0);
  assert.ok(Date.now() - briefSent >= 60_000);
  await empty("brief");
});

test("[queues-34] past the configured rate and backlog sends are refused with the documented texts", async (t) => {
  const small = await startPlatform(t, { config: { "queues.messages_per_s_max": 5, "queues.backlog_max_bytes": 1000 } });
  await small.rest("POST", `/accounts/${small.ready.account_id}/queues`, { queue_name: "small" });
  const worker = await deployWorker(small, {
    files: {
      "index.js": `const thrown = async (work) => { try { await work(); return null } catch (e) { return e.message } };
      export default { async fetch(request, { Q }) {
        const large = await thrown(() => Q.send("x".repeat(1001)));
        const burst = await Promise.all(Array.from({ length: 20 }, () => thrown(() => Q.send("x"))));
        return Response.json([large, burst]);
      } }`,
    },
    config: { name: "bursting", queues: { producers: [{ binding: "Q", queue: "small" }] } },
  });
  const [large, burst] = (await (await small.fetch(worker.url)).json()) as [string, (string | null)[]];
  assert.match(large, /^Storage Limit Exceeded \(10251\)$/);
  assert.ok(burst.filter((text) => text === null).length >= 5);
  assert.deepEqual([...new Set(burst.filter((text) => text !== null))], ["Too Many Requests (10250)"]);
});
