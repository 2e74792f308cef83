/** Workflows by wrangler: what a deploy does with the workflows of its configuration, and `wrangler workflows`. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { workerProject } from "../../harness/worker-project.ts";
import { deployFlows } from "../workflow-worker.ts";

const platform = await startPlatform({ after }, { config: { "workflows.hibernate_after_ms": 1 } });
const base = `/accounts/${platform.ready.account_id}/workflows`;
const CLASSES = {
  Orders: `
    const price = await step.do("price", { retries: { limit: 2, delay: 5, backoff: "constant" }, timeout: "30 seconds" }, async ({ attempt }) => {
      if (attempt === 1) throw new Error("not yet");
      return { of: event.payload.item, price: 7 };
    });
    const paid = await step.waitForEvent("payment", { type: "paid", timeout: "1 hour" });
    await step.sleep("cool off", 10);
    await step.do("secret", { sensitive: "output" }, async () => "hidden");
    return { ...price, paid: paid.payload, times: await this.count("orders:" + event.instanceId) };`,
  Undo: `
    await step.do("book", async () => "room 7", { rollback: async ({ output }) => this.note("undone", output) });
    await step.waitForEvent("never", { type: "never" });`,
};
const flows = await deployFlows(platform, "shop", CLASSES);
const { of, until, detail } = flows;

/** What the command prints, or, when it is to fail, how it complains. */
async function workflows(command: string, code = 0): Promise<string> {
  const { stdout, stderr } = await platform.wrangler(["workflows", ...command.split(" ")], { code });
  return code === 0 ? stdout : stdout + stderr;
}
const json = async (command: string) => JSON.parse(await workflows(`${command} --json`));
/** The same as a request: each command costs a second. */
const rest = async (method: string, path: string, body?: unknown) => (await platform.rest(method, `${base}/${path}`, body)).body.result;
const trigger = (workflow: string, instance_id: string, params: unknown = {}) =>
  rest("POST", `${workflow}/instances`, { instance_id, params });

test("[workflows-01] a deploy registers its workflows and makes a version of each", async () => {
  const listed = await workflows("list");
  assert.match(listed, /│ shop-orders +│ shop +│ Orders +│/);
  assert.match(listed, /│ shop-undo +│ shop +│ Undo +│/);
  const shown = await workflows("describe shop-orders");
  assert.match(shown, /Name: +shop-orders\n/);
  assert.match(shown, /Latest Version:\n +Id: +[0-9a-f-]{36}/);
  const [before] = await rest("GET", "shop-orders/versions");
  assert.ok(shown.includes(before.id));
  await flows.project?.deploy();
  const versions = await rest("GET", "shop-orders/versions");
  assert.deepEqual([versions.length, versions[1].id, versions[0].class_name], [2, before.id, "Orders"]);
  // An instance records the version that was there when it was created.
  assert.equal((await trigger("shop-orders", "versioned", { item: "v" })).version_id, versions[0].id);
  assert.equal((await detail("Orders", "versioned")).versionId, versions[0].id);
});

test("[workflows-05, workflows-24] an instance is triggered, sent an event and described with its steps", async () => {
  assert.match(await workflows(`trigger shop-orders {"item":"book"} --id o1`), /Workflow instance "o1" has been queued successfully/);
  await until("Orders", "o1", "waiting");
  assert.match(
    await workflows(`instances send-event shop-orders o1 --type paid --payload {"euros":7}`),
    /event with type "paid".* was sent to the instance "o1"/,
  );
  assert.deepEqual((await until("Orders", "o1", "complete")).output, { of: "book", price: 7, paid: { euros: 7 }, times: 1 });
  const shown = await workflows("instances describe shop-orders latest");
  assert.match(
    shown,
    /Workflow Name: +shop-orders\n.*Instance Id: +o1\n.*Version Id: +[0-9a-f-]{36}\n.*Status: +✅ Completed\n.*Trigger: +🌎 API\n/,
  );
  assert.match(shown, /Success: +✅ Yes/);
  assert.match(shown, /Name: +price-1\n +Type: +🎯 Step\n(.*\n)*? +Success: +✅ Yes/);
  assert.match(shown, /❌ Error .*Error: not yet/);
  assert.match(shown, /Name: +cool off-1\n +Type: +💤 Sleeping/);
  assert.match(shown, /Name: +payment-1\n +Type: +👀 Waiting for event/);
  const { steps, step_count } = await detail("Orders", "o1");
  assert.equal(step_count, 4);
  const [price, payment, coolOff, secret] = steps;
  assert.deepEqual(
    [price.type, price.success, JSON.parse(price.output), price.config],
    ["step", true, { of: "book", price: 7 }, { retries: { limit: 2, delay: 5, backoff: "constant" }, timeout: "30 seconds" }],
  );
  assert.deepEqual(
    price.attempts.map((one: { success: boolean; error: unknown }) => [one.success, one.error]),
    [
      [false, { name: "Error", message: "not yet" }],
      [true, null],
    ],
  );
  assert.deepEqual([payment.type, payment.event_type, payment.finished], ["waitForEvent", "paid", true]);
  assert.deepEqual([coolOff.type, coolOff.finished, secret.output], ["sleep", true, "[REDACTED]"]);
  for (const one of steps) assert.ok(one.start <= one.end, JSON.stringify(one));
});

test("[workflows-23] instances are listed by status and date, page after page", async () => {
  for (let i = 0; i < 5; i++) await trigger("shop-undo", `l${i}`);
  for (let i = 0; i < 5; i++) await until("Undo", `l${i}`, "waiting");
  await of("Undo", "l4", "terminate");
  const idsOf = async (options: string): Promise<string[]> =>
    (await json(`instances list shop-undo ${options}`)).map(({ id }: { id: string }) => id);
  assert.deepEqual(await idsOf("--status waiting --reverse"), ["l0", "l1", "l2", "l3"]);
  assert.deepEqual(await idsOf("--per-page 2 --page 3"), ["l0"]);
  assert.deepEqual(await idsOf("--status waiting --date-end 2020-01-01"), []);
  const today = new Date().toISOString().slice(0, 10);
  const ofToday = await rest("GET", `shop-undo/instances?status=terminated&date_start=${today}T00:00:00`);
  assert.deepEqual(
    ofToday.map(({ id }: { id: string }) => id),
    ["l4"],
  );
  assert.match(await workflows("instances list shop-undo"), /│ l4 +│ [0-9a-f-]{36} +│.*🚫 Terminated/);
  // The SDK pages by number.
  const listed: string[] = [];
  const account_id = platform.ready.account_id;
  for await (const one of platform.sdk().workflows.instances.list("shop-undo", { account_id, per_page: 2 })) listed.push(one.id);
  assert.deepEqual(listed, ["l4", "l3", "l2", "l1", "l0"]);
});

test("[workflows-16, workflows-17, workflows-18, workflows-19] instances are paused, resumed, restarted and terminated by command", async () => {
  await trigger("shop-orders", "p1", { item: "pen" });
  await until("Orders", "p1", "waiting");
  assert.match(await workflows("instances pause shop-orders p1"), /The instance "p1" from shop-orders was paused successfully/);
  await of("Orders", "p1", "sendEvent", { type: "paid", payload: 1 });
  assert.equal((await of("Orders", "p1", "status")).status, "paused");
  assert.match(await workflows("instances resume shop-orders p1"), /was resumed successfully/);
  assert.deepEqual((await until("Orders", "p1", "complete")).output, { of: "pen", price: 7, paid: 1, times: 1 });
  const first = await detail("Orders", "p1");
  assert.match(
    await workflows("instances restart shop-orders p1 --from-step-name payment --from-step-type waitForEvent"),
    /was restarted successfully/,
  );
  await until("Orders", "p1", "waiting");
  const kept = await detail("Orders", "p1");
  assert.deepEqual([kept.steps.length, kept.steps[0]], [2, first.steps[0]]);
  assert.match(await workflows("instances terminate shop-orders p1"), /was terminated successfully/);
  assert.equal((await of("Orders", "p1", "status")).status, "terminated");
});

test("[workflows-20, workflows-21] instances are terminated with rollbacks, all at once, and deleted", async () => {
  await trigger("shop-undo", "r1");
  await until("Undo", "r1", "waiting");
  await workflows("instances terminate shop-undo r1 --rollback");
  await until("Undo", "r1", "terminated");
  assert.deepEqual(await flows.notes("undone"), ["room 7"]);
  for (let i = 0; i < 3; i++) await trigger("shop-undo", `all${i}`);
  assert.match(
    await workflows("instances terminate-all shop-undo"),
    /A job to terminate instances from Workflow "shop-undo".* has been started/,
  );
  for (let i = 0; i < 3; i++) await until("Undo", `all${i}`, "terminated");
  assert.match(await workflows("instances delete shop-undo all0 all1"), /Deleted workflow instances from "shop-undo": "all0", "all1"/);
  assert.match((await of("Undo", "all0", "status")).error, /instance\.not_found/);
  assert.match(await workflows("instances delete shop-undo all2 nobody", 1), /nobody: .*not_found/);
});

test("[workflows-25] a Worker creates instances of another Worker's workflow by `script_name`", async () => {
  const other = await workerProject(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const made = await env.THEIRS.create({ params: { item: "by another" } });
        return Response.json({ id: made.id, status: await (await env.THEIRS.get(made.id)).status() });
      } };`,
    },
    config: { name: "buyer", workflows: [{ name: "shop-orders", binding: "THEIRS", class_name: "Orders", script_name: "shop" }] },
  });
  await other.deploy();
  assert.equal((await rest("GET", "shop-orders")).script_name, "shop");
  const { id } = (await (await platform.fetch(other.url)).json()) as { id: string };
  await until("Orders", id, "waiting");
  await of("Orders", id, "sendEvent", { type: "paid", payload: 2 });
  assert.equal(((await until("Orders", id, "complete")).output as { of: string }).of, "by another");
});

test("[workflows-36] a deploy that takes another Worker's workflow warns before it does", async () => {
  const thief = await workerProject(platform, {
    files: {
      "index.js": `import { WorkflowEntrypoint } from "cloudflare:workers";
      export class Mine extends WorkflowEntrypoint { async run() { return "mine"; } }
      export default { fetch() { return new Response("ok"); } };`,
    },
    config: { name: "thief", workflows: [{ name: "shop-undo", binding: "MINE", class_name: "Mine" }] },
  });
  const { stdout, stderr } = await thief.deploy();
  assert.match(stdout + stderr, /"shop-undo" \(currently belongs to "shop"\)/);
  assert.equal((await rest("GET", "shop-undo")).script_name, "thief");
});

test("[workflows-34] after a deploy instances go on with the new code, with what their steps gave before and after the ones in hand", async () => {
  const code = (version: string) => `import { WorkflowEntrypoint } from "cloudflare:workers";
    export class Grown extends WorkflowEntrypoint {
      async run(event, step) {
        const first = await step.do("first", async () => "${version}");
        if (event.payload.long) await step.do("long", async () => {
          while ((await this.env.KV.get("deployed")) === null) await scheduler.wait(20);
          return "${version}";
        });
        else await step.waitForEvent("deployed", { type: "deployed" });
        return [first, await step.do("last", async () => "${version}")];
      }
    }
    export default { fetch() { return new Response("${version}"); } };`;
  const account_id = platform.ready.account_id;
  const { id: namespace_id } = await platform.sdk().kv.namespaces.create({ account_id, title: "grown" });
  const project = await workerProject(platform, {
    files: { "index.js": code("v1") },
    config: {
      name: "grown",
      kv_namespaces: [{ binding: "KV", id: namespace_id }],
      workflows: [{ name: "grown", binding: "GROWN", class_name: "Grown" }],
    },
  });
  await project.deploy();
  const get = (id: string) => rest("GET", `grown/instances/${id}`);
  const reached = async (id: string, holds: (shown: { status: string; steps: { name: string }[] }) => boolean) => {
    for (let shown = await get(id); ; shown = await get(id)) {
      if (holds(shown)) return shown;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await trigger("grown", "waits");
  await trigger("grown", "works", { long: true });
  await reached("waits", ({ status }) => status === "waiting");
  await reached("works", ({ steps }) => steps.length === 2);
  await project.write({ "index.js": code("v2") });
  await project.deploy();
  await platform.sdk().kv.namespaces.values.update("deployed", { account_id, namespace_id, value: "yes" });
  // The step in hand ends where it began, once; what comes after it is new.
  const worked = await reached("works", ({ status }) => status === "complete");
  assert.deepEqual([worked.output, worked.steps[1].output, worked.steps[1].attempts.length], [["v1", "v2"], '"v1"', 1]);
  await platform.rest("POST", `${base}/grown/instances/waits/events/deployed`, {});
  assert.deepEqual((await reached("waits", ({ status }) => status === "complete")).output, ["v1", "v2"]);
  const { version_id } = await trigger("grown", "fresh", { long: true });
  const fresh = await reached("fresh", ({ status }) => status === "complete");
  assert.deepEqual(fresh.output, ["v2", "v2"]);
  assert.notEqual(version_id, (await get("waits")).versionId);
  const versions = await rest("GET", "grown/versions");
  assert.deepEqual([versions[0].id, versions.length], [version_id, 2]);
});

test("[workflows-38] wrangler dev runs workflows on the developer's machine, and its commands reach them with --local", async (t) => {
  const project = await workerProject(platform, {
    files: {
      "index.js": `import { WorkflowEntrypoint } from "cloudflare:workers";
      export class Local extends WorkflowEntrypoint {
        async run(event, step) {
          const n = await step.do("add", async () => event.payload.n + 1);
          const { payload } = await step.waitForEvent("more", { type: "more" });
          return n + payload;
        }
      }
      export default { async fetch(request, env) { return Response.json(await (await env.LOCAL.get("here")).status()); } };`,
    },
    config: { name: "local", workflows: [{ name: "local-flow", binding: "LOCAL", class_name: "Local" }] },
  });
  const options = ["--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"];
  const terminal = openTerminal(t, platform, ["wrangler", "dev", ...options], { cwd: project.dir });
  const [, port] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
  const local = ["--local", "--port", port as string];
  const run = (...args: string[]) => project.wrangler(["workflows", ...args, ...local]);
  await run("trigger", "local-flow", '{"n":1}', "--id", "here");
  await run("instances", "send-event", "local-flow", "here", "--type", "more", "--payload", "40");
  for (let status = ""; status !== "complete"; ) {
    const shown = (await (await fetch(`http://127.0.0.1:${port}`)).json()) as { status: string; output: number };
    status = shown.status;
    if (status === "complete") assert.equal(shown.output, 42);
  }
  assert.match((await run("instances", "describe", "local-flow", "here")).stdout, /Name: +add-1/);
  // The platform knows nothing of it.
  assert.equal((await platform.rest("GET", `${base}/local-flow`)).status, 404);
});

test("[workflows-35] a deleted workflow is not found, and its instances are gone", async () => {
  await trigger("shop-orders", "last", { item: "x" });
  await until("Orders", "last", "waiting");
  assert.match(await workflows("delete shop-orders"), /Workflow "shop-orders" removed successfully/);
  const gone = await platform.rest("GET", `${base}/shop-orders`);
  assert.deepEqual([gone.status, gone.body.errors[0]?.code], [404, 10200]);
  assert.match((await of("Orders", "last", "status")).error, /workflow\.not_found/);
  // A new one of the name begins empty.
  await flows.project?.deploy();
  assert.deepEqual(await rest("GET", "shop-orders/instances"), []);
});
