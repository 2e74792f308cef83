/** Event notifications of R2: rules by wrangler and REST, changes by S3, events at a consumer Worker and by pull. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "r2.lifecycle_interval_s": 1 } });
const account = `/accounts/${platform.ready.account_id}`;
const s3 = platform.s3();
const all = ["PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject", "LifecycleDeletion"];

const newBucket = async (name: string): Promise<string> => {
  await platform.rest("POST", `${account}/r2/buckets`, { name });
  return name;
};
const newQueue = async (queue_name: string): Promise<string> => {
  const { queue_id } = (await platform.rest("POST", `${account}/queues`, { queue_name })).body.result;
  return queue_id;
};
const rulesPath = (bucket: string, queue: string) => `${account}/event_notifications/r2/${bucket}/configuration/queues/${queue}`;
const addRule = (bucket: string, queue: string, rule: object, token?: string) =>
  platform.rest("PUT", rulesPath(bucket, queue), { rules: [rule] }, token);

interface Event {
  readonly action: string;
  readonly object: { readonly key: string; readonly size?: number; readonly eTag?: string };
  readonly [field: string]: unknown;
}

async function pullQueue(name: string): Promise<{ id: string; events(count: number): Promise<Event[]> }> {
  const id = await newQueue(name);
  await platform.rest("POST", `${account}/queues/${id}/consumers`, { type: "http_pull" });
  return {
    id,
    /** Waits for that many events; what came is acknowledged. */
    async events(count) {
      const events: Event[] = [];
      for (const end = Date.now() + 20_000; events.length < count && Date.now() < end; ) {
        const { messages } = (await platform.rest("POST", `${account}/queues/${id}/messages/pull`, { batch_size: 100 })).body.result;
        events.push(...messages.map((message: { body: string }) => JSON.parse(Buffer.from(message.body, "base64").toString())));
        await platform.rest("POST", `${account}/queues/${id}/messages/ack`, { acks: messages });
        if (messages.length === 0) await new Promise((done) => setTimeout(done, 50));
      }
      return events;
    },
  };
}

test("[r2-33, queues-39] an upload that a rule matches reaches the consumer Worker with the documented body", async () => {
  const bucket = await newBucket("notify-worker");
  await newQueue("uploads");
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `const seen = [];
      export default { fetch: () => Response.json(seen), queue(batch) { for (const m of batch.messages) seen.push(m.body) } }`,
    },
    config: { name: "notified", queues: { consumers: [{ queue: "uploads", max_batch_timeout: 0 }] } },
  });
  const create = `r2 bucket notification create ${bucket} --event-type object-create --queue uploads --prefix in/ --suffix .pdf`;
  await platform.wrangler([...create.split(" "), "--description", "papers"]);
  const listed = await platform.wrangler(`r2 bucket notification list ${bucket}`.split(" "));
  assert.match(
    listed.stdout,
    /queue_name: +uploads\nprefix: +in\/\nsuffix: +\.pdf\nevent_type: +PutObject,CompleteMultipartUpload,CopyObject/,
  );
  const before = Date.now();
  for (const Key of ["in/text.txt", "out/paper.pdf", "in/paper.pdf"])
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "%PDF" }));
  const seen = async () => (await (await platform.fetch(project.url)).json()) as Event[];
  for (const end = Date.now() + 20_000; (await seen()).length === 0 && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 50));
  const [event, ...more] = await seen();
  const { eventTime, ...rest } = event as Event;
  assert.deepEqual(rest, {
    account: platform.ready.account_id,
    action: "PutObject",
    bucket,
    object: { key: "in/paper.pdf", size: 4, eTag: createHash("md5").update("%PDF").digest("hex") },
  });
  assert.ok(Date.parse(eventTime as string) >= before && Date.parse(eventTime as string) <= Date.now());
  assert.deepEqual(more, []);
  const queue = (await platform.rest("GET", `${account}/queues?name=uploads`)).body.result[0];
  assert.deepEqual(queue.producers, [{ type: "r2_bucket", bucket_name: bucket }]);
});

test("each action has its event: copies name their source, deletions have neither size nor ETag", async () => {
  const bucket = await newBucket("notify-actions");
  const queue = await pullQueue("actions");
  assert.equal((await addRule(bucket, queue.id, { actions: all })).status, 200);
  const put = async (Key: string) => s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Key }));
  for (const key of ["a", "b", "c"]) await put(key);
  await s3.send(new CopyObjectCommand({ Bucket: bucket, Key: "copy", CopySource: `${bucket}/a` }));
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: "parts" }));
  const target = { Bucket: bucket, Key: "parts", UploadId };
  const { ETag } = await s3.send(new UploadPartCommand({ ...target, PartNumber: 1, Body: "part" }));
  await s3.send(new CompleteMultipartUploadCommand({ ...target, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }));
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: "a" }));
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: "never-there" }));
  await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: [{ Key: "b" }, { Key: "copy" }] } }));
  const events = await queue.events(8);
  assert.deepEqual(
    events.map(({ action, object }) => [action, object.key, object.size]),
    [
      ["PutObject", "a", 1],
      ["PutObject", "b", 1],
      ["PutObject", "c", 1],
      ["CopyObject", "copy", 1],
      ["CompleteMultipartUpload", "parts", 4],
      ["DeleteObject", "a", undefined],
      ["DeleteObject", "b", undefined],
      ["DeleteObject", "copy", undefined],
    ],
  );
  assert.deepEqual(events[3]?.copySource, { bucket, object: "a" });
  assert.match(events[4]?.object.eTag as string, /-1$/);
  assert.deepEqual(events[5]?.object, { key: "a" });
  const expired = {
    id: "old",
    enabled: true,
    conditions: { prefix: "" },
    deleteObjectsTransition: { condition: { type: "Date", date: "2020-01-01T00:00:00Z" } },
  };
  await platform.rest("PUT", `${account}/r2/buckets/${bucket}/lifecycle`, { rules: [expired] });
  const deletions = (await queue.events(2)).map(({ action, object }) => [action, object.key]);
  assert.deepEqual(deletions.sort(), [
    ["LifecycleDeletion", "c"],
    ["LifecycleDeletion", "parts"],
  ]);
});

test("[r2-34] a rule that overlaps another is refused, and so is a rule past the hundredth", async () => {
  const bucket = await newBucket("notify-overlap");
  const [one, two] = [await newQueue("overlap-1"), await newQueue("overlap-2")];
  const create = `r2 bucket notification create ${bucket} --event-type object-create --queue overlap-1`;
  await platform.wrangler(create.split(" "));
  const again = await platform.wrangler([...create.split(" "), "--prefix", "images/"], { code: 1 });
  assert.match(again.stdout + again.stderr, /Event notification rules overlap/);
  const status = async (queue: string, rule: object) => (await addRule(bucket, queue, rule)).status;
  assert.equal(await status(two, { actions: ["PutObject"], suffix: ".png" }), 409);
  assert.equal(await status(two, { actions: ["DeleteObject"], prefix: "a/" }), 200);
  assert.equal(await status(two, { actions: ["DeleteObject"], prefix: "b/", suffix: ".png" }), 200);
  assert.equal(await status(one, { actions: ["DeleteObject"], suffix: ".jpg" }), 409, "a/x.jpg would match both");
  assert.equal(await status(one, { actions: ["DeleteObject"], prefix: "b/", suffix: ".jpg" }), 200);
  assert.equal(await status(one, { actions: ["Everything"] }), 400);
  const rest = Array.from({ length: 97 }, (_, n) => ({ actions: ["LifecycleDeletion"], prefix: `${String(n).padStart(3, "0")}/` }));
  const many = (rules: object[]) => platform.rest("PUT", rulesPath(bucket, one), { rules });
  assert.equal((await many(rest)).status, 400);
  assert.equal((await many(rest.slice(1))).status, 200);
  const listed = (await platform.rest("GET", `${account}/event_notifications/r2/${bucket}/configuration`)).body.result;
  assert.deepEqual(
    listed.queues.map(({ queueName, rules }: { queueName: string; rules: object[] }) => [queueName, rules.length]),
    [
      ["overlap-1", 98],
      ["overlap-2", 2],
    ],
  );
});

test("deleting one rule or all of a queue ends its events", async () => {
  const bucket = await newBucket("notify-delete");
  const queue = await pullQueue("deleted-rules");
  for (const prefix of ["a/", "b/"]) await addRule(bucket, queue.id, { actions: ["PutObject"], prefix });
  const { rules } = (await platform.rest("GET", rulesPath(bucket, queue.id))).body.result;
  const remove = (body?: object) => platform.rest("DELETE", rulesPath(bucket, queue.id), body);
  assert.equal((await remove({ ruleIds: [rules[0].ruleId] })).status, 200);
  for (const Key of ["a/1", "b/1"]) await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "x" }));
  assert.deepEqual(
    (await queue.events(1)).map(({ object }) => object.key),
    ["b/1"],
  );
  assert.equal((await remove()).status, 200);
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "b/2", Body: "x" }));
  assert.deepEqual((await platform.rest("GET", rulesPath(bucket, queue.id))).body.result.rules, []);
  assert.equal((await platform.rest("GET", `${account}/queues/${queue.id}/metrics`)).body.result.backlog_count, 0);
});

test("rules need the right to write to queues, and know only queues that there are", async () => {
  const bucket = await newBucket("notify-rights");
  const queue = await newQueue("rights");
  const rule = { actions: ["PutObject"] };
  const storage = (await platform.token(["Workers R2 Storage Write"])).value;
  assert.equal((await addRule(bucket, queue, rule, storage)).status, 403);
  const queues = (await platform.token(["Queues Write"])).value;
  assert.equal((await addRule(bucket, queue, rule, queues)).status, 403);
  const both = (await platform.token(["Workers R2 Storage Write", "Queues Write"])).value;
  assert.equal((await addRule(bucket, "0".repeat(32), rule, both)).status, 404);
  assert.equal((await addRule(bucket, queue, rule, both)).status, 200);
});

test("[r2-47] a subscribed queue hears of buckets that are created and deleted", async () => {
  const queue = await pullQueue("account-events");
  const subscriptions = `${account}/event_subscriptions/subscriptions`;
  const { id } = (
    await platform.rest("POST", subscriptions, {
      name: "buckets",
      source: { type: "r2" },
      events: ["bucket.created", "bucket.deleted"],
      destination: { type: "queues.queue", queue_id: queue.id },
    })
  ).body.result;
  const before = Date.now();
  await platform.rest("POST", `${account}/r2/buckets`, { name: "announced", locationHint: "weur" });
  await platform.rest("POST", `${account}/r2/buckets`, { name: "announced" });
  await platform.rest("DELETE", `${account}/r2/buckets/announced`);
  const events = await queue.events(2);
  const metadata = { accountId: platform.ready.account_id, eventSubscriptionId: id, eventSchemaVersion: 1 };
  const common = (event: Event) => {
    const { eventTimestamp, ...rest } = event.metadata as Record<string, string>;
    assert.ok(Date.parse(eventTimestamp as string) >= before);
    return { ...event, metadata: rest };
  };
  assert.deepEqual(events.map(common), [
    {
      type: "cf.r2.bucket.created",
      source: { type: "r2" },
      payload: { name: "announced", jurisdiction: "default", location: "WEUR", storageClass: "Standard" },
      metadata,
    },
    { type: "cf.r2.bucket.deleted", source: { type: "r2" }, payload: { name: "announced", jurisdiction: "default" }, metadata },
  ]);
  await platform.rest("PATCH", `${subscriptions}/${id}`, { enabled: false });
  await newBucket("unannounced");
  assert.equal((await platform.rest("GET", `${account}/queues/${queue.id}/metrics`)).body.result.backlog_count, 0);
});

test("no event is lost when the platform is killed right after the object's commit", async () => {
  const bucket = await newBucket("notify-killed");
  const queue = await pullQueue("killed");
  await addRule(bucket, queue.id, { actions: ["PutObject"] });
  const acknowledged = new Set<string>();
  let n = 0;
  for (let round = 0; round < 3; round++) {
    let killed = false;
    const writers = Array.from({ length: 4 }, async () => {
      while (!killed) {
        const Key = `k${n++}`;
        try {
          await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "x" }));
          acknowledged.add(Key);
        } catch (error) {
          if (!killed) throw error;
        }
      }
    });
    const goal = acknowledged.size + 20;
    while (acknowledged.size < goal) await new Promise((done) => setTimeout(done, 5));
    const dying = platform.kill9();
    killed = true;
    await Promise.all([dying, ...writers]);
    await platform.restart();
  }
  const seen = new Set<string>();
  for (const end = Date.now() + 20_000; [...acknowledged].some((key) => !seen.has(key)) && Date.now() < end; )
    for (const { object } of await queue.events(1)) seen.add(object.key);
  assert.deepEqual(
    [...acknowledged].filter((key) => !seen.has(key)),
    [],
  );
});
