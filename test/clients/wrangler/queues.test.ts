/** Queues by wrangler: its commands, and what a deploy does with the queues of its configuration. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const base = `/accounts/${platform.ready.account_id}/queues`;

/** What the command prints, or, when it is to fail, how it complains. */
async function wrangler(command: string, code = 0): Promise<string> {
  const { stdout, stderr } = await platform.wrangler(["queues", ...command.split(" ")], { code });
  return code === 0 ? stdout : stdout + stderr;
}

const queue = async (name: string) => (await platform.rest("GET", `${base}?name=${name}`)).body.result[0];
const post = (path: string, body: unknown) => platform.rest("POST", `${base}/${path}`, body);
const create = (queue_name: string) => platform.rest("POST", base, { queue_name });

test("[queues-01] a queue is created, listed, shown, changed and deleted", async () => {
  await wrangler("create q1 --delivery-delay-secs 30 --message-retention-period-secs 3600");
  assert.deepEqual((await queue("q1")).settings, { delivery_delay: 30, message_retention_period: 3600, delivery_paused: false });
  assert.match(await wrangler("list"), /│ q1 +│/);
  assert.match(await wrangler("info q1"), /Queue Name: q1\n(.*\n)*Number of Producers: 0\nNumber of Consumers: 0/);
  await wrangler("update q1 --delivery-delay-secs 0");
  assert.deepEqual((await queue("q1")).settings, { delivery_delay: 0, message_retention_period: 3600, delivery_paused: false });
  await wrangler("delete q1");
  assert.match(await wrangler("info q1", 1), /Queue "q1" does not exist/);
});

test("[queues-03] a name has 1 to 63 letters, digits and dashes and begins and ends with no dash", async () => {
  const longest = `a${"-".repeat(61)}z`;
  assert.equal((await create(longest)).body.result.queue_name, longest);
  assert.match(await wrangler(`create a${longest}`, 1), /1 to 63 letters/);
  for (const name of ["-bad", "bad-", "", "a_b", "a b", "ä"]) assert.equal((await create(name)).status, 400, name);
});

test("[queues-24, queues-29] HTTP pull is enabled, a second consumer refused until the first is removed", async () => {
  await create("pulled");
  await wrangler("consumer http add pulled --batch-size 20 --message-retries 7 --visibility-timeout-secs 60 --retry-delay-secs 5");
  const [consumer] = (await queue("pulled")).consumers;
  assert.deepEqual(
    [consumer.type, consumer.settings],
    ["http_pull", { batch_size: 20, max_retries: 7, visibility_timeout_ms: 60_000, retry_delay: 5 }],
  );
  const project = await workerProject(platform, { files: { "index.js": "export default { queue() {} }" }, config: { name: "second" } });
  await project.deploy();
  assert.match(await wrangler("consumer add pulled second", 1), /\[code: 11004\]/);
  await wrangler("consumer http remove pulled");
  await wrangler("consumer worker add pulled second --batch-size 5 --batch-timeout 1 --max-concurrency 2 --dead-letter-queue pulled-dead");
  assert.match(await wrangler("consumer http add pulled", 1), /\[code: 11004\]/);
  const listed = JSON.parse(await wrangler("consumer list pulled --json"));
  assert.deepEqual(
    [listed[0].script, listed[0].dead_letter_queue, listed[0].settings],
    ["second", "pulled-dead", { batch_size: 5, max_retries: 3, max_wait_time_ms: 1000, max_concurrency: 2, retry_delay: 0 }],
  );
  assert.equal((await queue("pulled-dead")).queue_name, "pulled-dead");
  // --force is for Workers that other Workers bind.
  const consuming = await project.wrangler(["delete", "--force"], { code: 1 });
  assert.match(consuming.stdout + consuming.stderr, /Cannot delete this Worker as it is a consumer for a Queue\. .* \[code: 10064\]/);
  await wrangler("consumer worker remove pulled second");
  assert.deepEqual((await queue("pulled")).consumers, []);
  await project.wrangler(["delete"]);
});

test("[queues-12] a deploy attaches the consumers of its configuration and changes them with the next", async () => {
  await create("by-config");
  const config = (batch: number) => ({
    name: "configured",
    main: "index.js",
    compatibility_date: "2026-11-01",
    queues: {
      producers: [{ binding: "Q", queue: "by-config" }],
      consumers: [{ queue: "by-config", max_batch_size: batch, max_batch_timeout: 0 }],
    },
  });
  const project = await workerProject(platform, {
    files: {
      "index.js": `const seen = [];
      export default {
        async fetch(request, env) { if (request.method === "POST") await env.Q.send(await request.text()); return Response.json(seen) },
        queue(batch) { seen.push([batch.queue, batch.messages.map((m) => m.body)]) },
      }`,
    },
    config: config(1),
  });
  assert.match((await project.deploy()).stdout, /Consumer for by-config/);
  await platform.fetch(project.url, { method: "POST", body: "hello" });
  const seen = async () => (await (await platform.fetch(project.url)).json()) as unknown[];
  for (const end = Date.now() + 20_000; (await seen()).length === 0 && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual(await seen(), [["by-config", ["hello"]]]);
  const info = await wrangler("info by-config");
  assert.match(info, /Producers: worker:configured\n.*\nConsumers: worker:configured/);
  await project.write({ "wrangler.json": JSON.stringify(config(33)) });
  await project.deploy();
  assert.equal((await queue("by-config")).consumers[0].settings.batch_size, 33);
  const stranger = await workerProject(platform, {
    files: { "index.js": "export default { queue() {} }" },
    config: { name: "stranger", queues: { consumers: [{ queue: "by-config" }] } },
  });
  const refused = await stranger.wrangler(["deploy"], { code: 1 });
  assert.match(refused.stdout + refused.stderr, /\[code: 11004\]/);
});

test("[queues-40] an event subscription is created, listed, shown, changed and deleted", async () => {
  await create("subscribed");
  await wrangler("subscription create subscribed --source r2 --events bucket.created,bucket.deleted --name buckets");
  const [listed] = JSON.parse(await wrangler("subscription list subscribed --json"));
  const { queue_id } = await queue("subscribed");
  assert.deepEqual(
    [listed.name, listed.enabled, listed.source, listed.events, listed.destination],
    ["buckets", true, { type: "r2" }, ["bucket.created", "bucket.deleted"], { type: "queues.queue", queue_id }],
  );
  assert.match(
    await wrangler(`subscription get subscribed --id ${listed.id}`),
    /Name: +buckets\nSource: +r2\nQueue ID: +\w+\nEvents: +bucket/,
  );
  await wrangler(`subscription update subscribed --id ${listed.id} --events bucket.created --enabled false`);
  const path = `/accounts/${platform.ready.account_id}/event_subscriptions/subscriptions`;
  const shown = (await platform.rest("GET", `${path}/${listed.id}`)).body.result;
  assert.deepEqual([shown.name, shown.enabled, shown.events], ["buckets", false, ["bucket.created"]]);
  await wrangler(`subscription delete subscribed --id ${listed.id} --force`);
  assert.equal((await platform.rest("GET", `${path}/${listed.id}`)).status, 404);
  const post = async (change: object) => {
    const destination = { type: "queues.queue", queue_id };
    return (await platform.rest("POST", path, { name: "n", source: { type: "r2" }, events: ["bucket.created"], destination, ...change }))
      .status;
  };
  assert.equal(await post({ events: ["bucket.renamed"] }), 400);
  assert.equal(await post({ events: [] }), 400);
  assert.equal(await post({ source: { type: "images" } }), 501);
  assert.equal(await post({ destination: { type: "queues.queue", queue_id: "0".repeat(32) } }), 404);
  assert.equal(await post({}), 200);
  await platform.rest("DELETE", `${base}/${queue_id}`);
  assert.deepEqual((await platform.rest("GET", path)).body.result, []);
});

test("[queues-32] purge empties a queue, delayed messages included", async () => {
  const { queue_id } = (await create("purged")).body.result;
  for (const delay_seconds of [0, 3600]) await post(`${queue_id}/messages`, { body: "x", delay_seconds });
  const metrics = async () => (await platform.rest("GET", `${base}/${queue_id}/metrics`)).body.result;
  assert.equal((await metrics()).backlog_count, 2);
  await wrangler("purge purged --force");
  assert.deepEqual(await metrics(), { backlog_count: 0, backlog_bytes: 0, oldest_message_timestamp_ms: 0 });
  const status = (await platform.rest("GET", `${base}/${queue_id}/purge`)).body.result;
  assert.equal(status.completed, "true");
  await post(`${queue_id}/messages`, { body: "after" });
  assert.equal((await metrics()).backlog_count, 1);
});

test("[queues-31] a paused queue takes messages, delivers none by push or pull, and goes on when resumed", async () => {
  const project = await workerProject(platform, {
    files: {
      "index.js": `let seen = 0;
      export default { fetch: () => Response.json(seen), queue(batch) { seen += batch.messages.length } }`,
    },
    config: { name: "pausing" },
  });
  await project.deploy();
  const [push, pull] = [(await create("paused-push")).body.result.queue_id, (await create("paused-pull")).body.result.queue_id];
  await post(`${push}/consumers`, { type: "worker", script_name: "pausing", settings: { max_wait_time_ms: 0 } });
  await post(`${pull}/consumers`, { type: "http_pull" });
  await Promise.all(["paused-push", "paused-pull"].map((name) => wrangler(`pause-delivery ${name}`)));
  for (const id of [push, pull]) assert.equal((await post(`${id}/messages`, { body: "kept" })).status, 200);
  const refused = await post(`${pull}/messages/pull`, {});
  assert.deepEqual([refused.status, refused.body.errors[0]?.message], [409, "queue_delivery_paused"]);
  const seen = async () => (await (await platform.fetch(project.url)).json()) as number;
  assert.equal(await seen(), 0);
  assert.equal((await platform.rest("GET", `${base}/${push}/metrics`)).body.result.backlog_count, 1);
  await Promise.all(["paused-push", "paused-pull"].map((name) => wrangler(`resume-delivery ${name}`)));
  for (const end = Date.now() + 20_000; (await seen()) === 0 && Date.now() < end; ) await new Promise((done) => setTimeout(done, 50));
  assert.equal(await seen(), 1);
  assert.equal((await post(`${pull}/messages/pull`, {})).body.result.messages.length, 1);
});
