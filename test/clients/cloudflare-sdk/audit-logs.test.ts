/** The audit log, read by the SDK, of changes that several clients made. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CreateBucketCommand, DeleteBucketCommand, PutBucketCorsCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import Cloudflare from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";
import { workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const client = platform.sdk();

interface Entry {
  action: { info: string; result: boolean; type: string };
  actor: { id: string; ip: string; type: string };
  id: string;
  interface: string;
  metadata: Record<string, string>;
  newValueJson: Record<string, unknown>;
  owner: { id: string };
  resource: { id: string; type: string };
  when: string;
}

/** All entries about a resource, the oldest first. */
async function entries(resource: string): Promise<Entry[]> {
  const found: Entry[] = [];
  for await (const entry of client.auditLogs.list({ account_id, direction: "asc", per_page: 10 })) {
    if (entry.resource?.id === resource) found.push(entry as unknown as Entry);
  }
  return found;
}
const infos = async (resource: string) => (await entries(resource)).map(({ action }) => action.info);

test("[r2-48] what changes a bucket is in the audit log, with the documented entry, and reads and writes of objects are not", async () => {
  await client.r2.buckets.create({ account_id, name: "audited" });
  const [entry] = await entries("audited");
  assert(entry !== undefined);
  assert.deepEqual(entry.action, { info: "CreateBucket", result: true, type: "create" });
  assert.deepEqual(entry.resource, { id: "audited", type: "r2.bucket" });
  assert.deepEqual(entry.owner, { id: account_id });
  assert.equal(entry.interface, "API");
  assert.equal(entry.metadata.zone_name, "r2.cloudflarestorage.com");
  assert.match(entry.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.match(entry.when, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual([entry.actor.type, entry.actor.ip], ["user", "127.0.0.1"]);
  assert.equal(entry.metadata.token_name, "root");

  const rules = [{ allowed: { methods: ["GET" as const], origins: ["https://a.example"] } }];
  await client.r2.buckets.cors.update("audited", { account_id, rules });
  await client.r2.buckets.cors.delete("audited", { account_id });
  await client.r2.buckets.lifecycle.update("audited", { account_id, rules: [] });
  await client.r2.buckets.domains.managed.update("audited", { account_id, enabled: true });
  await client.r2.buckets.edit("audited", { account_id, storage_class: "InfrequentAccess" });
  const s3 = platform.s3();
  await s3.send(new PutObjectCommand({ Bucket: "audited", Key: "k", Body: "v" }));
  assert.deepEqual(await infos("audited"), [
    "CreateBucket",
    "PutBucketCors",
    "DeleteBucketCors",
    "PutBucketLifecycleConfiguration",
    "ChangeBucketVisibility",
    "PutBucketStorageClass",
  ]);

  await s3.send(new CreateBucketCommand({ Bucket: "by-s3" }));
  const CORSRules = [{ AllowedMethods: ["GET"], AllowedOrigins: ["https://a.example"] }];
  await s3.send(new PutBucketCorsCommand({ Bucket: "by-s3", CORSConfiguration: { CORSRules } }));
  await s3.send(new DeleteBucketCommand({ Bucket: "by-s3" }));
  assert.deepEqual(await infos("by-s3"), ["CreateBucket", "PutBucketCors", "DeleteBucket"]);
});

test("[d1-39] a database's creation and deletion are in the audit log", async () => {
  const { uuid } = await client.d1.database.create({ account_id, name: "audited-db" });
  const [entry] = await entries(uuid as string);
  assert.deepEqual(entry?.action, { info: "CreateDatabase", result: true, type: "create" });
  assert.deepEqual(entry?.resource, { id: uuid, type: "d1.database" });
  assert.deepEqual(entry?.newValueJson, { database_name: "audited-db" });
  await client.d1.database.query(uuid as string, { account_id, sql: "CREATE TABLE t (x)" });
  await client.d1.database.delete(uuid as string, { account_id });
  assert.deepEqual(await infos(uuid as string), ["CreateDatabase", "DeleteDatabase"]);
});

test("[queues-45] a deploy that attaches a consumer leaves an entry, as do the other operations on queues", async () => {
  const { queue_id } = await client.queues.create({ account_id, queue_name: "audited-queue" });
  const config = { name: "audited-consumer", queues: { consumers: [{ queue: "audited-queue" }] } };
  const project = await workerProject(platform, { files: { "index.js": "export default { queue() {} }" }, config });
  await project.deploy();
  const [, attached] = await entries(queue_id as string);
  assert.deepEqual(attached?.action, { info: "AttachConsumer", result: true, type: "create" });
  assert.deepEqual(attached?.resource, { id: queue_id, type: "queues.queue" });
  await platform.wrangler(["queues", "update", "audited-queue", "--delivery-delay-secs", "5"]);
  await project.deploy();
  await platform.wrangler(["queues", "consumer", "worker", "remove", "audited-queue", "audited-consumer"]);
  await platform.wrangler(["queues", "delete", "audited-queue"]);
  assert.deepEqual(await infos(queue_id as string), [
    "CreateQueue",
    "AttachConsumer",
    "UpdateQueue",
    "UpdateConsumerSettings",
    "RemoveConsumer",
    "DeleteQueue",
  ]);
});

test("entries are filtered and paged, failures leave none, and only who may read the account reads them", async () => {
  await assert.rejects(client.r2.buckets.create({ account_id, name: "audited" }), Cloudflare.APIError);
  assert.equal((await entries("audited")).filter(({ action }) => action.info === "CreateBucket").length, 1);
  const created = await client.auditLogs.list({ account_id, action: { type: "create" }, per_page: 2 });
  assert.equal(created.result.length, 2);
  assert(created.result.every(({ action }) => action?.type === "create"));
  const future = new Date(Date.now() + 60_000).toISOString();
  assert.deepEqual((await client.auditLogs.list({ account_id, since: future })).result, []);
  assert.deepEqual((await client.auditLogs.list({ account_id, actor: { ip: "10.9.8.7" } })).result, []);
  const newer: string[] = [];
  const window = { since: "2020-01-01", before: future, limit: 3 };
  for await (const entry of client.accounts.logs.audit.list({ account_id, ...window })) newer.push(entry.id as string);
  assert.equal(new Set(newer).size, newer.length);
  assert(newer.length > 3);
  const weak = await platform.token(["Workers KV Storage Write"]);
  const refused = await platform.rest("GET", `/accounts/${account_id}/audit_logs`, undefined, weak.value);
  assert.equal(refused.status, 403);
});
