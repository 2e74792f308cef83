/** Cron triggers, in real time: a schedule fires at most once a minute, so the subjects share one minute. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}`;
const scripts = `${account}/workers/scripts`;

interface Run {
  readonly cron: string;
  readonly scheduled_time: string;
  readonly outcome: string;
}

test("[workers-17, workers-18] crons fire with their exact string and time; a rejected waitUntil is a failed run", async () => {
  const namespace = (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title: "cron" })).body.result.id as string;
  // A third subject waits for the same minute: a handler past its CPU time.
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
