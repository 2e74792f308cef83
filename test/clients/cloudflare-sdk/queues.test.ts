/** Queues by REST with the official SDK: queues, consumers, messages pushed and pulled, refusals. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const account = { account_id };
const client = platform.sdk();
const base = `/accounts/${account_id}/queues`;

async function pullQueue(name: string, settings: Cloudflare.Queues.ConsumerCreateParams.MqHTTPConsumerRequest["settings"] = {}) {
  const { queue_id } = await client.queues.create({ ...account, queue_name: name });
  await client.queues.consumers.create(queue_id as string, { ...account, type: "http_pull", settings });
  return queue_id as string;
}

const pull = async (id: string, options: { batch_size?: number; visibility_timeout_ms?: number } = {}) =>
  (await client.queues.messages.pull(id, { ...account, ...options })).messages ?? [];

/** Pulls until something comes: for what is due after a time. */
async function eventually(id: string, options: { batch_size?: number; visibility_timeout_ms?: number } = {}, deadlineMs = 15_000) {
  for (const end = Date.now() + deadlineMs; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const messages = await pull(id, options);
    if (messages.length > 0) return messages;
  }
  throw new Error("no message came");
}

const leases = (messages: readonly { lease_id?: string }[]) => messages.map(({ lease_id }) => ({ lease_id: lease_id as string }));

async function refusal(work: PromiseLike<unknown>): Promise<[number | undefined, number | undefined, string]> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Cloudflare.APIError) return [error.status, error.errors[0]?.code, error.errors[0]?.message ?? ""];
    throw error;
  }
  throw new Error("it was not refused");
}

test("[queues-02] a queue is created, read, listed, changed and deleted", async () => {
  const created = await client.queues.create({ ...account, queue_name: "sdk-crud" });
  const id = created.queue_id as string;
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.deepEqual(created.settings, { delivery_delay: 0, message_retention_period: 345_600, delivery_paused: false });
  assert.equal((await client.queues.get(id, account)).queue_name, "sdk-crud");
  const listed = [];
  for await (const queue of client.queues.list(account)) listed.push(queue.queue_name);
  assert.ok(listed.includes("sdk-crud"));
  const edited = await client.queues.edit(id, { ...account, settings: { delivery_delay: 7 } });
  assert.equal(edited.settings?.delivery_delay, 7);
  const updated = await client.queues.update(id, { ...account, queue_name: "sdk-crud", settings: { message_retention_period: 60 } });
  assert.deepEqual(updated.settings, { delivery_delay: 7, message_retention_period: 60, delivery_paused: false });
  assert.equal((await client.queues.delete(id, account)).success, true);
  assert.deepEqual((await refusal(client.queues.get(id, account))).slice(0, 2), [404, 10104]);
});

test("a name is taken only once, and settings out of bounds are refused and change nothing", async () => {
  await client.queues.create({ ...account, queue_name: "sdk-taken" });
  assert.deepEqual((await refusal(client.queues.create({ ...account, queue_name: "sdk-taken" }))).slice(0, 2), [409, 11009]);
  const { queue_id } = await client.queues.create({ ...account, queue_name: "sdk-bounds" });
  const id = queue_id as string;
  for (const settings of [{ delivery_delay: 86_401 }, { message_retention_period: 59 }, { message_retention_period: 1_209_601 }])
    assert.deepEqual((await refusal(client.queues.edit(id, { ...account, settings }))).slice(0, 2), [400, 100128]);
  const bad = { batch_size: 101 };
  const consumer = client.queues.consumers.create(id, { ...account, type: "http_pull", settings: bad });
  assert.deepEqual((await refusal(consumer)).slice(0, 2), [400, 100127]);
  assert.deepEqual((await client.queues.get(id, account)).settings?.delivery_delay, 0);
  assert.deepEqual((await refusal(client.queues.edit(id, { ...account, queue_name: "renamed" }))).slice(0, 1), [400]);
});

test("[queues-46] unknown and malformed ids, bodies and metadata are refused with the documented codes", async () => {
  const id = await pullQueue("sdk-errors");
  const unknown = "0".repeat(32);
  assert.deepEqual((await refusal(client.queues.messages.push(unknown, { ...account, body: "x" }))).slice(0, 2), [404, 10104]);
  assert.deepEqual((await refusal(client.queues.get("not-an-id", account))).slice(0, 2), [400, 10107]);
  const push = (params: object) => refusal(client.queues.messages.push(id, { ...account, ...params }));
  assert.deepEqual((await push({ body: "x", content_type: "jpeg" })).slice(0, 2), [400, 10203]);
  assert.deepEqual((await push({ body: "x", content_type: "text", delay_seconds: 86_401 })).slice(0, 2), [400, 10203]);
  assert.deepEqual((await push({ body: "x".repeat(127_901), content_type: "text" })).slice(0, 2), [413, 10204]);
  const bulk = (params: object) => refusal(client.queues.messages.bulkPush(id, { ...account, ...params }));
  const many = (count: number, size: number) =>
    Array.from({ length: count }, () => ({ body: "x".repeat(size), content_type: "text" as const }));
  assert.deepEqual((await bulk({ messages: many(101, 1) })).slice(0, 2), [413, 10206]);
  assert.deepEqual((await bulk({ messages: many(3, 100_000) })).slice(0, 2), [413, 10205]);
  assert.deepEqual((await bulk({ messages: many(1, 1), delay_seconds: 90_000 })).slice(0, 2), [400, 10202]);
  assert.deepEqual((await bulk({ messages: "no list" })).slice(0, 2), [400, 10207]);
  const malformed = await platform.fetch(`${platform.ready.api}${base}/${id}/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: "{",
  });
  assert.deepEqual([malformed.status, ((await malformed.json()) as { errors: { code: number }[] }).errors[0]?.code], [400, 10208]);
  assert.deepEqual(await pull(id), []);
});

test("[queues-10] text is pulled as it is, JSON as base64, with id, time and attempts", async () => {
  const id = await pullQueue("sdk-types");
  const before = Date.now();
  const answer = await client.queues.messages.push(id, { ...account, body: "grüß dich", content_type: "text" });
  assert.equal(answer.metadata?.metrics?.backlog_count, 1);
  await client.queues.messages.push(id, { ...account, body: { a: [1, null] }, content_type: "json" });
  const messages = await pull(id);
  assert.equal(messages[0]?.body, "grüß dich");
  assert.deepEqual(JSON.parse(Buffer.from(messages[1]?.body as string, "base64").toString()), { a: [1, null] });
  for (const message of messages) {
    assert.match(message.id as string, /^[0-9a-f]{32}$/);
    assert.equal(message.attempts, 1);
    assert.ok((message.timestamp_ms as number) >= before && (message.timestamp_ms as number) <= Date.now());
  }
  assert.deepEqual(
    messages.map(({ metadata }) => (metadata as Record<string, string>)["CF-Content-Type"]),
    ["text", "json"],
  );
});

test("[queues-11] a batch is published as a whole, with delays of its own", async () => {
  const id = await pullQueue("sdk-batch");
  const messages = Array.from({ length: 100 }, (_, n) => ({ body: { n }, content_type: "json" as const }));
  await client.queues.messages.bulkPush(id, { ...account, messages });
  await client.queues.messages.bulkPush(id, { ...account, delay_seconds: 3600, messages: [{ body: "later", content_type: "text" }] });
  const pulled = await pull(id, { batch_size: 100 });
  assert.deepEqual(
    pulled.map(({ body }) => JSON.parse(Buffer.from(body as string, "base64").toString()).n),
    [...messages.keys()],
  );
  assert.deepEqual(await pull(id, { batch_size: 100 }), []);
  assert.equal((await client.queues.getMetrics(id, account)).backlog_count, 101);
});

test("[queues-25] pullers get disjoint batches, and what is acknowledged does not come back", async () => {
  const id = await pullQueue("sdk-pull");
  const messages = Array.from({ length: 60 }, (_, n) => ({ body: String(n), content_type: "text" as const }));
  await client.queues.messages.bulkPush(id, { ...account, messages });
  const [one = [], two = [], three = []] = await Promise.all(
    [1, 2, 3].map(() => pull(id, { batch_size: 20, visibility_timeout_ms: 60_000 })),
  );
  assert.deepEqual(
    [...one, ...two, ...three].map(({ body }) => Number(body)).sort((a, b) => a - b),
    [...messages.keys()],
  );
  const acked = await client.queues.messages.ack(id, { ...account, acks: leases([...one, ...two]), retries: leases(three) });
  assert.deepEqual([acked.ackCount, acked.retryCount], [40, 20]);
  const again = await pull(id, { batch_size: 100 });
  assert.deepEqual(again.map(({ body }) => body).sort(), three.map(({ body }) => body).sort());
  assert.ok(again.every(({ attempts }) => attempts === 2));
  await client.queues.messages.ack(id, { ...account, acks: leases(again) });
  assert.deepEqual(await client.queues.getMetrics(id, account), { backlog_count: 0, backlog_bytes: 0, oldest_message_timestamp_ms: 0 });
});

test("[queues-26] an unacknowledged message comes back after its visibility timeout, and a late ack still counts", async () => {
  const id = await pullQueue("sdk-visibility");
  await client.queues.messages.push(id, { ...account, body: "again", content_type: "text" });
  const first = await pull(id, { visibility_timeout_ms: 700 });
  assert.equal(first.length, 1);
  const started = Date.now();
  assert.deepEqual(await pull(id), []);
  const second = await eventually(id, { visibility_timeout_ms: 60_000 });
  assert.ok(Date.now() - started >= 500, "it came back before its lease was over");
  assert.deepEqual([second[0]?.id, second[0]?.attempts], [first[0]?.id, 2]);
  assert.equal((await client.queues.messages.ack(id, { ...account, acks: leases(first) })).ackCount, 1);
  assert.equal((await client.queues.messages.ack(id, { ...account, acks: leases(second) })).ackCount, 0);
  assert.equal((await client.queues.getMetrics(id, account)).backlog_count, 0);
});

test("[queues-27] a pulled message that is retried with a delay comes back after it", async () => {
  const id = await pullQueue("sdk-retry");
  await client.queues.messages.push(id, { ...account, body: "later", content_type: "text" });
  const [message] = await pull(id);
  const lease_id = message?.lease_id as string;
  const started = Date.now();
  await client.queues.messages.ack(id, { ...account, retries: [{ lease_id, delay_seconds: 1 }] });
  assert.deepEqual(await pull(id), []);
  const again = await eventually(id);
  assert.ok(Date.now() - started >= 900);
  assert.equal(again[0]?.attempts, 2);
  // The lease of the first delivery no longer puts it back.
  assert.equal((await client.queues.messages.ack(id, { ...account, retries: [{ lease_id }] })).retryCount, 0);
});

test("a message whose retries are used up goes to the dead letter queue, without one it is deleted", async () => {
  const { queue_id } = await client.queues.create({ ...account, queue_name: "sdk-dlq-source" });
  const id = queue_id as string;
  const settings = { max_retries: 1, visibility_timeout_ms: 1 };
  await client.queues.consumers.create(id, { ...account, type: "http_pull", dead_letter_queue: "sdk-dlq", settings });
  const plain = await pullQueue("sdk-no-dlq", settings);
  const letters = (await platform.rest("GET", `${base}?name=sdk-dlq`)).body.result[0].queue_id as string;
  await client.queues.consumers.create(letters, { ...account, type: "http_pull" });
  for (const queue of [id, plain]) {
    await client.queues.messages.push(queue, { ...account, body: "twice", content_type: "text" });
    assert.equal((await eventually(queue))[0]?.attempts, 1);
    const [second] = await eventually(queue);
    assert.equal(second?.attempts, 2);
    await client.queues.messages.ack(queue, { ...account, retries: leases([second ?? {}]) });
    assert.equal((await client.queues.getMetrics(queue, account)).backlog_count, 0);
  }
  const dead = await pull(letters);
  assert.deepEqual(
    dead.map(({ body, attempts }) => [body, attempts]),
    [["twice", 1]],
  );
});

test("[queues-30] a token without write may look, not pull, acknowledge or publish", async () => {
  const id = await pullQueue("sdk-tokens");
  const reader = platform.sdk((await platform.token(["Queues Read"])).value);
  assert.equal((await reader.queues.get(id, account)).queue_id, id);
  const refused = [
    () => reader.queues.messages.pull(id, account),
    () => reader.queues.messages.ack(id, { ...account, acks: [] }),
    () => reader.queues.messages.push(id, { ...account, body: "x", content_type: "text" }),
    () => reader.queues.purge.start(id, { ...account, delete_messages_permanently: true }),
    () => reader.queues.delete(id, account),
  ];
  for (const work of refused) assert.deepEqual((await refusal(work())).slice(0, 1), [403]);
  const stranger = platform.sdk((await platform.token(["Workers KV Storage Write"])).value);
  assert.deepEqual((await refusal(stranger.queues.get(id, account))).slice(0, 1), [403]);
  const writer = platform.sdk((await platform.token(["Queues Write"])).value);
  await writer.queues.messages.push(id, { ...account, body: "x", content_type: "text" });
  assert.equal((await writer.queues.messages.pull(id, account)).messages?.length, 1);
});

test("a lease or a ref of one queue does nothing in another", async () => {
  const [mine, theirs] = [await pullQueue("sdk-mine"), await pullQueue("sdk-theirs")];
  await client.queues.messages.push(theirs, { ...account, body: "x", content_type: "text" });
  const peeked = (await client.queues.messages.peek(theirs, account)).messages ?? [];
  const pulled = await pull(theirs);
  assert.equal(peeked[0]?.id, pulled[0]?.id);
  const forged = Buffer.from(`${pulled[0]?.id}' OR 1=1 --`).toString("base64url");
  const ack = await client.queues.messages.ack(mine, {
    ...account,
    acks: [...leases(pulled), { lease_id: forged }],
    retries: leases(pulled),
  });
  assert.deepEqual([ack.ackCount, ack.retryCount, Object.keys(ack.warnings ?? {})], [0, 0, [forged]]);
  await client.queues.messages.purge(mine, { ...account, refs: [{ ref: peeked[0]?.ref as string }] });
  assert.equal((await client.queues.getMetrics(theirs, account)).backlog_count, 1);
  await client.queues.messages.purge(theirs, { ...account, refs: [{ ref: peeked[0]?.ref as string }] });
  assert.equal((await client.queues.getMetrics(theirs, account)).backlog_count, 0);
});

test("[queues-44, queues-51] the analytics API has the backlog as it is, and three operations a message for each 64 KB", async () => {
  const id = await pullQueue("sdk-metrics");
  const messages = [10, 64_000, 100_000].map((size) => ({ body: "m".repeat(size), content_type: "text" as const }));
  await client.queues.messages.bulkPush(id, { ...account, messages });
  const window = `queueId: "${id}", datetime_geq: "${new Date(Date.now() - 600_000).toISOString()}", datetime_leq: "${new Date(Date.now() + 600_000).toISOString()}"`;
  const graphql = async (selection: string) => {
    const query = `{ viewer { accounts(filter: { accountTag: "${account_id}" }) { ${selection} } } }`;
    const answer = await platform.fetch(`${platform.ready.api}/graphql`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await answer.json()) as { data: { viewer: { accounts: Record<string, unknown[]>[] } }; errors: unknown };
    assert.equal(errors, null);
    return data.viewer.accounts[0];
  };
  assert.deepEqual(await graphql(`queuesBacklogAdaptiveGroups(limit: 10, filter: { ${window} }) { avg { messages bytes } }`), {
    queuesBacklogAdaptiveGroups: [{ avg: { messages: 3, bytes: 164_010 } }],
  });
  await client.queues.messages.ack(id, { ...account, acks: leases(await pull(id)) });
  assert.deepEqual(await pull(id), []);
  const selection = `(limit: 10, filter: { ${window} }, orderBy: [actionType_ASC]) { count sum { billableOperations bytes } dimensions { actionType consumerType outcome } }`;
  // An empty pull is a read as well.
  assert.deepEqual(await graphql(`queueMessageOperationsAdaptiveGroups${selection}`), {
    queueMessageOperationsAdaptiveGroups: [
      {
        count: 3,
        sum: { billableOperations: 4, bytes: 164_010 },
        dimensions: { actionType: "DeleteMessage", consumerType: "http", outcome: "success" },
      },
      {
        count: 3,
        sum: { billableOperations: 5, bytes: 164_010 },
        dimensions: { actionType: "ReadMessage", consumerType: "http", outcome: "" },
      },
      {
        count: 3,
        sum: { billableOperations: 4, bytes: 164_010 },
        dimensions: { actionType: "WriteMessage", consumerType: "", outcome: "" },
      },
    ],
  });
});

test("messages and leases survive a kill", async () => {
  const id = await pullQueue("sdk-killed");
  const messages = ["leased", "waiting"].map((body) => ({ body, content_type: "text" as const }));
  await client.queues.messages.bulkPush(id, { ...account, messages });
  const [leased] = await pull(id, { batch_size: 1, visibility_timeout_ms: 60_000 });
  await platform.kill9();
  await platform.restart();
  assert.deepEqual(
    (await pull(id)).map(({ body, attempts }) => [body, attempts]),
    [["waiting", 1]],
  );
  assert.equal((await client.queues.messages.ack(id, { ...account, acks: leases([leased ?? {}]) })).ackCount, 1);
  assert.equal((await client.queues.getMetrics(id, account)).backlog_count, 1);
});
