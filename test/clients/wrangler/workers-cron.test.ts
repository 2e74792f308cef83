/** Cron triggers, in real time: a schedule fires at most once a minute, so the subjects share one minute. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { GetObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { eventually } from "../pipelines-world.ts";

// A Worker asks the platform's own API, which on a test's machine is at a local address.
const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "local"] } });
const account = `/accounts/${platform.ready.account_id}`;
const scripts = `${account}/workers/scripts`;

interface Run {
  readonly cron: string;
  readonly scheduled_time: string;
  readonly outcome: string;
}

/** The documentation's example: a Workflow that a cron starts asks for an export until it is done, and keeps it in a bucket. */
const BACKUP = `
import { WorkflowEntrypoint } from "cloudflare:workers";
export class Backup extends WorkflowEntrypoint {
  async run(event, step) {
    const { accountId, databaseId } = event.payload;
    const url = this.env.API + "/accounts/" + accountId + "/d1/database/" + databaseId + "/export";
    const headers = { "content-type": "application/json", authorization: "Bearer " + this.env.D1_REST_API_TOKEN };
    const bookmark = await step.do("start the export of " + databaseId, async () => {
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ output_format: "polling" }) });
      const { result } = await answer.json();
      if (!result?.at_bookmark) throw new Error("no bookmark");
      return result.at_bookmark;
    });
    await step.do("keep the dump", async () => {
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ output_format: "polling", current_bookmark: bookmark }) });
      const { result } = await answer.json();
      if (!result?.signed_url && !result?.result?.signed_url) throw new Error("not done yet: " + JSON.stringify(result));
      const dump = await fetch(result.signed_url ?? result.result.signed_url);
      await this.env.BUCKET.put(result.filename ?? result.result.filename, dump.body);
    });
  }
}
export default {
  async scheduled(controller, env) {
    await env.BACKUP.create({ params: { accountId: env.ACCOUNT, databaseId: env.DATABASE } });
  },
};`;

async function deployBackup(): Promise<void> {
  const database = `${account}/d1/database`;
  const { uuid } = (await platform.rest("POST", database, { name: "kept" })).body.result;
  const sql = "CREATE TABLE notes (id INTEGER PRIMARY KEY, words TEXT); INSERT INTO notes (words) VALUES ('it''s kept')";
  await platform.rest("POST", `${database}/${uuid}/query`, { sql });
  await platform.rest("POST", `${account}/r2/buckets`, { name: "backups" });
  const token = await platform.token(["D1 Read"]);
  await deployWorker(platform, {
    files: { "index.js": BACKUP },
    config: {
      name: "backup",
      vars: { API: platform.ready.api, ACCOUNT: platform.ready.account_id, DATABASE: uuid, D1_REST_API_TOKEN: token.value },
      workflows: [{ name: "backup", binding: "BACKUP", class_name: "Backup" }],
      r2_buckets: [{ binding: "BUCKET", bucket_name: "backups" }],
      triggers: { crons: ["* * * * *"] },
    },
  });
}

test("[workers-17, workers-18] crons fire with their exact string and time; a rejected waitUntil is a failed run", async () => {
  const namespace = (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title: "cron" })).body.result.id as string;
  // Two more subjects wait for the same minute: a backup (below), and a handler past its CPU time.
  await deployBackup();
  await deployWorker(platform, {
    files: { "index.js": "export default { scheduled() { for (;;) Math.sqrt(2); } };" },
    config: { name: "looping", limits: { cpu_ms: 300 }, triggers: { crons: ["* * * * *"] } },
  });
  const project = await deployWorker(platform, {
    files: {
      "index.js": `export default {
        async fetch(request, env) { return Response.json([await env.KV.get("good", "json"), await env.KV.get("bad", "json")]) },
        async scheduled(controller, env, ctx) {
          const seen = { cron: controller.cron, scheduledTime: controller.scheduledTime };
          switch (controller.cron) {
            case "*/1 * * * *": await env.KV.put("good", JSON.stringify(seen)); break;
            case "* * * * *": await env.KV.put("bad", JSON.stringify(seen)); ctx.waitUntil(Promise.reject(new Error("cron fails"))); break;
          }
        } }`,
    },
    config: { name: "ticking", triggers: { crons: ["*/1 * * * *", "* * * * *"] }, kv_namespaces: [{ binding: "KV", id: namespace }] },
  });
  const listed = await platform.rest("GET", `${scripts}/ticking/schedules`);
  assert.deepEqual(listed.body.result.schedules.map((s: { cron: string }) => s.cron).sort(), ["* * * * *", "*/1 * * * *"]);
  const deadline = Date.now() + 75_000;
  let runs: Run[] = [];
  while (runs.length < 2 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    runs = (await platform.rest("GET", `${scripts}/ticking/schedules/runs`)).body.result as Run[];
  }
  let looped: Run[] = [];
  while (looped.length < 1 && Date.now() < deadline) {
    looped = (await platform.rest("GET", `${scripts}/looping/schedules/runs`)).body.result as Run[];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(looped[0]?.outcome, "exceededCpu");
  const minute = (run: Run | undefined): number => Date.parse(run?.scheduled_time ?? "");
  const good = runs.find((run) => run.cron === "*/1 * * * *");
  const bad = runs.find((run) => run.cron === "* * * * *");
  assert.equal(good?.outcome, "ok");
  assert.equal(bad?.outcome, "exception");
  assert.equal(minute(good) % 60_000, 0);
  const [seenGood, seenBad] = (await (await platform.fetch(project.url)).json()) as { cron: string; scheduledTime: number }[];
  assert.deepEqual(seenGood, { cron: "*/1 * * * *", scheduledTime: minute(good) });
  assert.deepEqual(seenBad, { cron: "* * * * *", scheduledTime: minute(bad) });
});

test("[d1-40] a scheduled Workflow has put a dump of the database into a bucket", async () => {
  const s3 = platform.s3();
  const dump = await eventually("the dump lies in the bucket", async () => {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: "backups" }));
    assert.ok(Contents.length > 0);
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: "backups", Key: Contents[0]?.Key }));
    return Body?.transformToString();
  });
  assert.match(dump ?? "", /CREATE TABLE notes[^;]*;/);
  assert.match(dump ?? "", /INSERT INTO .?notes.? .*VALUES ?\(1,'it''s kept'\);/);
});

test("a cron expression that is none is refused, and the old schedules stay", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": "export default { scheduled() {} }" },
    config: { name: "misfit", triggers: { crons: ["0 12 * * MON"] } },
  });
  for (const cron of ["61 * * * *", "* * *", "0 0 * * 8", "every minute"]) {
    const { status, body } = await platform.rest("PUT", `${scripts}/misfit/schedules`, [{ cron }]);
    assert.equal(status, 400, cron);
    assert.match(body.errors[0]?.message ?? "", /^invalid cron string: /);
  }
  const { body } = await platform.rest("GET", `${scripts}/misfit/schedules`);
  assert.deepEqual(
    body.result.schedules.map((s: { cron: string }) => s.cron),
    ["0 12 * * MON"],
  );
  assert(project.dir);
});
