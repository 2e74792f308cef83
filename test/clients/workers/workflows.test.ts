/**
 * Workflows by the Worker API: classes that are deployed by wrangler run through their bindings. What steps do is counted in
 * a Durable Object, which no replay undoes.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { deployFlows } from "../workflow-worker.ts";

// Whatever waits for longer than a moment leaves memory, so that most of these tests replay.
const platform = await startPlatform({ after }, { config: { "workflows.hibernate_after_ms": 1 } });
const FAST = `{ retries: { limit: 1, delay: 1 }, timeout: "1 minute" }`;
const flows = await deployFlows(
  platform,
  "flows",
  {
    Simple: `
    const made = await step.do("make", async () => ({ at: event.timestamp, of: event.payload.n, tags: new Map([["a", 1n]]) }));
    return { n: made.of * 2, date: made.at instanceof Date, big: made.tags.get("a") === 1n, id: event.instanceId, name: event.workflowName };`,
    Loop: `
    const seen = [];
    for (let i = 0; i < 3; i++) seen.push(await step.do("same", async ({ step }) => { await this.count("loop"); return [i, step.count]; }));
    await step.sleep("a moment", 600);
    return seen;`,
    Retries: `
    const { backoff, limit } = event.payload;
    try {
      return await step.do("flaky", { retries: { limit, delay: 40, backoff } }, async ({ attempt }) => { throw new Error("no " + attempt); });
    } catch (error) {
      return { caught: error.message };
    }`,
    Hung: `return await step.do("hung", { retries: { limit: 1, delay: 1 }, timeout: 150 }, () => new Promise(() => setTimeout(() => {}, 100_000)));`,
    Final: `
    await step.do("doomed", { retries: { limit: 5, delay: 1 } }, async () => { await this.count("final"); throw new NonRetryableError("never again"); });`,
    Compensates: `
    await step.do("charge", async () => "charged");
    try { await step.do("ship", ${FAST}, async () => { throw new RangeError("no stock"); }); }
    catch (error) { return await step.do("refund", async () => "refunded after: " + error.message); }`,
    Waits: `
    const before = await step.do("before", async () => this.count("waits:" + event.instanceId));
    let got;
    try { got = await step.waitForEvent("answer", { type: "go.ahead", timeout: event.payload.timeout ?? "1 day" }); }
    catch (error) { return { before, timedOut: error.message }; }
    return { before, payload: got.payload, type: got.type, date: got.timestamp instanceof Date };`,
    Steps: `
    const one = await step.do("one", async () => this.count("one:" + event.instanceId));
    const two = await step.do("two", async () => { return this.count("two:" + event.instanceId); });
    await step.waitForEvent("gate", { type: "open", timeout: "1 hour" });
    const three = await step.do("three", async () => this.count("three:" + event.instanceId));
    return [one, two, three];`,
    Slow: `
    await step.do("slow", async () => { for (let i = 0; i < 1200; i++) { await scheduler.wait(25); await this.count("slow:" + event.instanceId); if (i > 8 && event.payload.short) break; } });
    await step.do("next", async () => this.count("next:" + event.instanceId));
    return "done";`,
    Parallel: `
    const all = await Promise.all([1, 2, 3].map((n) => step.do("p" + n, async () => { await this.count("parallel"); return n; })));
    const first = await step.do("race", async () => Promise.race([
      step.do("left", async () => { await this.count("raced"); return "left"; }),
      step.do("right", async () => { await this.count("raced"); return "right"; }),
    ]));
    await step.sleep("out of memory", 600);
    return { all, first, again: await step.do("later", async () => first) };`,
    Big: `
    try { return await step.do("big", { retries: { limit: 0, delay: 1 } }, async () => "x".repeat(1024 * 1024)); }
    catch (error) { return error.message; }`,
    Unstorable: `
    try { await step.do("odd", async () => ({ f() {} })); } catch { return "caught"; }`,
    Streams: `
    const made = await step.do("stream", async () => { await this.count("streamed"); return new Response("chunk ".repeat(500_000)).body; });
    const length = await step.do("measure", async () => (await new Response(made).text()).length);
    await step.sleep("out of memory", 600);
    const again = await step.do("stream again", async () => new Response("short").body);
    return { length, text: await new Response(again).text() };`,
    Undone: `
    const undo = (name) => ({ rollback: async ({ output, error }) => this.note(event.instanceId, name + "=" + output + ":" + error.message), rollbackConfig: { retries: { limit: 0, delay: 1 } } });
    await step.do("a", async () => "A", undo("a"));
    await step.do("b", async () => "B", undo("b"));
    if (event.payload.wait) await step.waitForEvent("stop", { type: "stop", timeout: "1 hour" });
    throw new Error("broken");`,
    Deep: `for (let i = 0; i < 20; i++) await step.do("s" + i, async () => i); return "all";`,
    Single: `
    await step.do("work", async () => this.count("single"));
    await step.do("hold", async () => { while ((await this.count("single:hold:" + event.instanceId)) < 40) await scheduler.wait(25); });
    return "held";`,
    Short: `return "short";`,
  },
  {
    workflows: {
      Deep: { limits: { steps: 10 } },
      Single: { concurrency: { limit: 1 } },
      Short: { default_retention: { success_retention: "1 second" } },
    },
  },
);
const { call, of, until, detail, count, path } = flows;

// biome-ignore lint/suspicious/noExplicitAny: steps have as many shapes as there are types; tests check them.
const stepOf = (shown: { steps: any[] }, name: string) => shown.steps.find((one) => one.name === name);
const names = (shown: { steps: { name: string }[] }): string[] => shown.steps.map(({ name }) => name);

test("[workflows-02, workflows-22] an instance that a Worker creates is queued, runs and ends with its output", async () => {
  const { id } = await call("Simple", "create", { params: { n: 21 } });
  const first = await of("Simple", id, "status");
  assert.ok(["queued", "running", "complete"].includes(first.status), first.status);
  const done = await until("Simple", id, "complete");
  assert.deepEqual(done, { status: "complete", output: { n: 42, date: true, big: true, id, name: "flows-simple" } });
  const shown = await detail("Simple", id);
  assert.deepEqual([shown.status, shown.trigger, shown.success], ["complete", { source: "binding" }, true]);
  assert.ok(shown.queued <= shown.start && shown.start <= shown.end);
});

test("[workflows-03] an id of one's own is taken once, and has letters, digits, dashes and underscores", async () => {
  assert.deepEqual(await call("Simple", "create", { id: "mine", params: { n: 1 } }), { id: "mine" });
  assert.match(
    (await call("Simple", "create", { id: "mine" })).error,
    /\(instance\.already_exists\) Workflow instance with id "mine" already exists/,
  );
  for (const id of ["", "-a", "a b", "ä", "a".repeat(101), "a/b"])
    assert.match((await call("Simple", "create", { id })).error, /invalid id/, id);
  assert.match((await call("Simple", "get", "nobody")).error, /instance\.not_found/);
  await until("Simple", "mine", "complete");
});

test("[workflows-04] a batch creates up to a hundred instances", async () => {
  const batch = (n: number, prefix: string) => Array.from({ length: n }, (_, i) => ({ id: `${prefix}-${i}`, params: { n: i } }));
  const made = await call("Simple", "createBatch", batch(100, "b"));
  assert.deepEqual([made.length, made[99]], [100, { id: "b-99" }]);
  assert.match((await call("Simple", "createBatch", batch(101, "c"))).error, /1 to 100/);
  assert.match((await call("Simple", "get", "c-0")).error, /not_found/);
  // Those that exist are left out, or told by the newer form.
  assert.deepEqual(await call("Simple", "createBatch", [{ id: "b-0" }, { id: "b-new", params: { n: 1 } }]), [{ id: "b-new" }]);
  const newer = await call("Simple", "createBatch", { instances: [{ id: "b-0" }] });
  assert.deepEqual([newer.created, newer.errors[0].index, newer.errors[0].id], [[], 0, "b-0"]);
  assert.deepEqual(await call("Simple", "deleteBatch", ["b-0", "nobody"]).then((r) => [r.deleted, r.errors.length]), [[{ id: "b-0" }], 1]);
  for (let i = 1; i < 100; i++) await until("Simple", `b-${i}`, "complete");
});

test("[workflows-07] a step of the same name in a loop has a result for each time", async () => {
  const { id } = await call("Loop", "create");
  const expected = [[0, 1], [1, 2], [2, 3]]; // biome-ignore format: one line
  assert.deepEqual((await until("Loop", id, "complete")).output, expected);
  // The sleep had it replayed.
  assert.equal(await count("loop"), 3);
  assert.deepEqual(names(await detail("Loop", id)), ["same-1", "same-2", "same-3", "a moment-1"]);
});

test("[workflows-08] failed attempts are repeated after constant, linear and exponential delays", async () => {
  const factors = { constant: [1, 1, 1], linear: [1, 2, 3], exponential: [1, 2, 4] };
  for (const [backoff, times] of Object.entries(factors)) {
    const { id } = await call("Retries", "create", { params: { backoff, limit: 3 } });
    const { output } = await until("Retries", id, "complete");
    assert.deepEqual(output, { caught: "no 4" });
    const { attempts, config, success } = stepOf(await detail("Retries", id), "flaky-1") as never as {
      attempts: { start: string; end: string; error: object; success: boolean }[];
      config: object;
      success: boolean;
    };
    assert.deepEqual([success, config], [false, { retries: { limit: 3, delay: 40, backoff }, timeout: "10 minutes" }]);
    assert.deepEqual(
      attempts.map(({ error, success }) => [error, success]),
      [1, 2, 3, 4].map((n) => [{ name: "Error", message: `no ${n}` }, false]),
    );
    for (const [i, factor] of times.entries()) {
      const gap = Date.parse((attempts[i + 1] as { start: string }).start) - Date.parse((attempts[i] as { end: string }).end);
      assert.ok(gap >= 40 * factor, `${backoff}: ${gap} ms before retry ${i + 1}`);
    }
  }
});

test("[workflows-09] a step that takes too long fails and is tried again", async () => {
  const { id } = await call("Hung", "create");
  const { error } = await until("Hung", id, "errored");
  assert.match(`${error?.name} ${error?.message}`, /Execution timed out after 150ms/);
  const { attempts } = stepOf(await detail("Hung", id), "hung-1");
  const timeout = { name: "WorkflowTimeoutError", message: "Execution timed out after 150ms" };
  assert.deepEqual(
    attempts.map(({ error }: { error: object }) => error),
    [timeout, timeout],
  );
});

test("[workflows-10] a NonRetryableError ends the instance after one attempt", async () => {
  const { id } = await call("Final", "create");
  const { error } = await until("Final", id, "errored");
  assert.deepEqual(error, { name: "NonRetryableError", message: "never again" });
  assert.equal(await count("final"), 1);
  assert.equal(stepOf(await detail("Final", id), "doomed-1").attempts.length, 1);
});

test("[workflows-11] code that catches a failed step goes on", async () => {
  const { id } = await call("Compensates", "create");
  const { output } = await until("Compensates", id, "complete");
  assert.match(String(output), /^refunded after: .*no stock$/);
});

test("[workflows-13] an event by the binding or by REST wakes who waits for it", async () => {
  const { id: a } = await call("Waits", "create");
  const { id: b } = await call("Waits", "create");
  await until("Waits", a, "waiting");
  await until("Waits", b, "waiting");
  await of("Waits", a, "sendEvent", { type: "other", payload: 1 });
  await of("Waits", a, "sendEvent", { type: "go.ahead", payload: { list: [1, 2] } });
  assert.deepEqual((await until("Waits", a, "complete")).output, { before: 1, payload: { list: [1, 2] }, type: "go.ahead", date: true });
  const sent = await platform.rest("POST", `${path("Waits")}/instances/${b}/events/go.ahead`, { by: "rest" });
  assert.equal(sent.body.result.instanceId, b);
  assert.deepEqual((await until("Waits", b, "complete")).output, { before: 1, payload: { by: "rest" }, type: "go.ahead", date: true });
});

test("[workflows-14] an event that comes before somebody waits for it is kept", async () => {
  await call("Steps", "create", { id: "early" });
  await of("Steps", "early", "sendEvent", { type: "open" });
  assert.deepEqual((await until("Steps", "early", "complete")).output, [1, 1, 1]);
});

test("[workflows-15] a wait whose time is over throws what code can catch", async () => {
  const { id } = await call("Waits", "create", { params: { timeout: 300 } });
  const { output } = await until("Waits", id, "complete");
  assert.match((output as { timedOut: string }).timedOut, /Execution timed out after 300ms/);
});

test("[workflows-16] a paused instance starts no step and goes on when it is resumed", async () => {
  const { id } = await call("Slow", "create", { params: { short: true } });
  while ((await count(`slow:${id}`)) === 0);
  await of("Slow", id, "pause");
  assert.equal((await of("Slow", id, "status")).status, "waitingForPause");
  // The step that ran ends; the next one does not begin.
  await until("Slow", id, "paused");
  assert.equal(await count(`slow:${id}`), 10);
  assert.deepEqual(names(await detail("Slow", id)), ["slow-1"]);
  await of("Slow", id, "resume");
  assert.equal((await until("Slow", id, "complete")).output, "done");
  assert.equal(await count(`slow:${id}`), 10);
  assert.match((await of("Slow", id, "pause")).error, /cannot_pause/);
  assert.match((await of("Slow", id, "resume")).error, /cannot_resume/);
});

test("[workflows-16] what a paused instance waits for is due later by the time of the pause", async () => {
  const { id } = await call("Waits", "create", { params: { timeout: "1 hour" } });
  await until("Waits", id, "waiting");
  const due = async () => Date.parse(stepOf(await detail("Waits", id), "answer-1").end);
  const before = await due();
  await of("Waits", id, "pause");
  const paused = Date.now();
  assert.equal((await of("Waits", id, "status")).status, "paused");
  while (Date.now() < paused + 100) assert.equal((await of("Waits", id, "status")).status, "paused");
  const pauseMs = Date.now() - paused;
  await of("Waits", id, "resume");
  assert.ok((await due()) >= before + pauseMs);
  // An event that comes to a paused instance is kept for it.
  await of("Waits", id, "pause");
  await of("Waits", id, "sendEvent", { type: "go.ahead", payload: "kept" });
  assert.equal((await of("Waits", id, "status")).status, "paused");
  await of("Waits", id, "resume");
  assert.equal(((await until("Waits", id, "complete")).output as { payload: string }).payload, "kept");
});

test("[workflows-17] a terminated instance stops in the middle of its step, for ever", async () => {
  const { id } = await call("Slow", "create", { params: {} });
  while ((await count(`slow:${id}`)) === 0);
  await of("Slow", id, "terminate");
  assert.equal((await of("Slow", id, "status")).status, "terminated");
  let last = -1;
  for (let now = await count(`slow:${id}`); now !== last; now = await count(`slow:${id}`)) {
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.equal(await count(`next:${id}`), 0);
  assert.match((await of("Slow", id, "terminate")).error, /\(instance\.cannot_terminate\)/);
  assert.match((await of("Slow", id, "sendEvent", { type: "x" })).error, /takes no events/);
  assert.deepEqual((await detail("Slow", id)).steps.at(-1), { type: "termination", trigger: { source: "binding" } });
});

test("[workflows-18] a restarted instance runs all its steps again", async () => {
  await call("Steps", "create", { id: "again" });
  await of("Steps", "again", "sendEvent", { type: "open" });
  assert.deepEqual((await until("Steps", "again", "complete")).output, [1, 1, 1]);
  await of("Steps", "again", "restart");
  await until("Steps", "again", "waiting");
  assert.deepEqual(names(await detail("Steps", "again")), ["one-1", "two-1", "gate-1"]);
  await of("Steps", "again", "sendEvent", { type: "open" });
  assert.deepEqual((await until("Steps", "again", "complete")).output, [2, 2, 2]);
});

test("[workflows-19] restarted from a step, an instance keeps what came before it", async () => {
  await call("Steps", "create", { id: "from" });
  await of("Steps", "from", "sendEvent", { type: "open" });
  await until("Steps", "from", "complete");
  assert.match((await of("Steps", "from", "restart", { from: { name: "nine" } })).error, /cannot_restart.*"nine" not found/);
  await of("Steps", "from", "restart", { from: { name: "two" } });
  await until("Steps", "from", "waiting");
  await of("Steps", "from", "sendEvent", { type: "open" });
  assert.deepEqual((await until("Steps", "from", "complete")).output, [1, 2, 2]);
});

test("[workflows-21] rollbacks of finished steps run when the instance fails, or is terminated with them, the last first", async () => {
  const { id } = await call("Undone", "create", { params: {} });
  const { error } = await until("Undone", id, "errored");
  assert.equal(error?.message, "broken");
  assert.deepEqual(await flows.notes(id), ["b=B:broken", "a=A:broken"]);
  const shown = await detail("Undone", id);
  assert.deepEqual([shown.rollback, names(shown)], [{ outcome: "complete", error: null }, ["a-1", "b-1", "b-1", "a-1"]]);
  const { id: stopped } = await call("Undone", "create", { params: { wait: true } });
  await until("Undone", stopped, "waiting");
  await of("Undone", stopped, "terminate", { rollback: true });
  await until("Undone", stopped, "terminated");
  const reason = "Instance terminated during rollback";
  assert.deepEqual(await flows.notes(stopped), [`b=B:${reason}`, `a=A:${reason}`]);
  const { id: plain } = await call("Undone", "create", { params: { wait: true } });
  await until("Undone", plain, "waiting");
  await of("Undone", plain, "terminate");
  assert.deepEqual(await flows.notes(plain), []);
});

test("[workflows-26, workflows-27] steps side by side are all kept, and a race inside a step has one winner for ever", async () => {
  const { id } = await call("Parallel", "create");
  const { output } = await until("Parallel", id, "complete");
  const { all, first, again } = output as { all: number[]; first: string; again: string };
  assert.deepEqual([all, again], [[1, 2, 3], first]);
  assert.equal(await count("parallel"), 3);
  assert.equal(await count("raced"), 2);
});

test("[workflows-28] a result of more than a mebibyte is refused, and one that cannot be stored ends the instance", async () => {
  const { id } = await call("Big", "create");
  assert.match(String((await until("Big", id, "complete")).output), /Step big-1 output is too large\. Maximum allowed size is 1MiB\.$/);
  const odd = await call("Unstorable", "create");
  const { error } = await until("Unstorable", odd.id, "errored");
  assert.deepEqual(error, {
    name: "WorkflowFatalError",
    message: 'The execution of the Workflow instance was terminated, as the step "odd" returned a value which is not serialisable',
  });
});

test("[workflows-29] a run has as many steps as the workflow's configuration says", async () => {
  const { id } = await call("Deep", "create");
  const { error } = await until("Deep", id, "errored");
  assert.match(error?.message ?? "", /The limit of 10 steps has been reached\. This limit can be changed in your worker configuration\./);
  assert.equal((await detail("Deep", id)).steps.length, 10);
});

test("[workflows-30] a stream that a step returns is kept and read again", async () => {
  const { id } = await call("Streams", "create");
  assert.deepEqual((await until("Streams", id, "complete")).output, { length: 3_000_000, text: "short" });
  assert.equal(await count("streamed"), 1);
  const bytes = await platform.fetch(`/client/v4${path("Streams")}/instances/${id}/step?type=step&name=stream-1`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.equal(bytes.headers.get("content-type"), "application/octet-stream");
  assert.equal((await bytes.text()).length, 3_000_000);
});

test("[workflows-31] of a workflow with a limit as many instances run as it says, the others wait in the queue", async () => {
  await call("Single", "create", { id: "first" });
  while ((await count("single:hold:first")) === 0);
  await call("Single", "create", { id: "second" });
  assert.equal((await of("Single", "second", "status")).status, "queued");
  await until("Single", "first", "complete");
  await until("Single", "second", "complete");
  assert.ok((await detail("Single", "first")).end <= (await detail("Single", "second")).start);
});

test("[workflows-33] an ended instance is gone after the time for which it is kept", async () => {
  await call("Short", "create", { id: "gone" });
  await call("Short", "create", { id: "kept", retention: { successRetention: "1 hour" } });
  await until("Short", "kept", "complete");
  while ((await of("Short", "gone", "status")).status !== undefined) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.match((await of("Short", "gone", "status")).error, /not_found/);
  assert.equal((await of("Short", "kept", "status")).status, "complete");
  assert.match((await call("Short", "create", { retention: { successRetention: "soon" } })).error, /retention/);
});

test("[workflows-41] queues hear of what becomes of instances", async () => {
  await platform.wrangler(["queues", "create", "heard"]);
  await platform.wrangler(["queues", "consumer", "http", "add", "heard"]);
  const events = "instance.queued,instance.started,instance.completed,instance.terminated";
  const subscription = ["--source", "workflows.workflow", "--workflow-name", "flows-compensates", "--events", events];
  await platform.wrangler(["queues", "subscription", "create", "heard", ...subscription]);
  const { id } = await call("Compensates", "create");
  await until("Compensates", id, "complete");
  // Of another workflow nothing is heard.
  await until("Simple", (await call("Simple", "create", { params: { n: 1 } })).id, "complete");
  const queues = `/accounts/${platform.ready.account_id}/queues`;
  const [{ queue_id }] = (await platform.rest("GET", `${queues}?name=heard`)).body.result;
  const { messages } = (await platform.rest("POST", `${queues}/${queue_id}/messages/pull`, { batch_size: 10 })).body.result;
  const bodies = messages.map(({ body }: { body: string }) => JSON.parse(Buffer.from(body, "base64").toString("utf8")));
  const { versionId } = await detail("Compensates", id);
  assert.deepEqual(
    bodies.map(({ metadata: _, ...rest }: { metadata: object }) => rest),
    ["queued", "started", "completed"].map((event) => ({
      type: `cf.workflows.workflow.instance.${event}`,
      source: { type: "workflows.workflow", workflowName: "flows-compensates" },
      payload: { versionId, instanceId: id },
    })),
  );
});

test("nobody reaches a workflow by what he is not given: not its class, not with a token for reading", async () => {
  const upload = async (binding: object) => {
    const form = new FormData();
    form.set("metadata", JSON.stringify({ main_module: "i.js", compatibility_date: "2026-11-01", bindings: [binding] }));
    form.set(
      "i.js",
      new File(["export default { fetch() { return new Response('ok'); } }"], "i.js", { type: "application/javascript+module" }),
    );
    const response = await platform.fetch(`/client/v4/accounts/${platform.ready.account_id}/workers/scripts/thief`, {
      method: "PUT",
      headers: { authorization: `Bearer ${platform.ready.api_token}` },
      body: form,
    });
    return (await response.json()) as { success: boolean; errors: { message: string }[] };
  };
  // A class that is a workflow is no entrypoint: else anybody could call run() with steps of his own.
  const refused = await upload({ type: "service", name: "WF", service: "flows", entrypoint: "Simple" });
  assert.equal(refused.success, false);
  assert.match(refused.errors[0]?.message ?? "", /has no entrypoint named 'Simple'/);
  const reader = (await platform.token(["Workers Scripts Read"])).value;
  assert.equal((await platform.rest("GET", path("Simple"), undefined, reader)).status, 200);
  for (const [method, at, body] of [
    ["POST", "/instances", {}],
    ["PUT", "", { script_name: "flows", class_name: "Simple" }],
    ["DELETE", "", undefined],
    ["PUT", "/instances/terminate", undefined],
  ] as const)
    assert.equal((await platform.rest(method, `${path("Simple")}${at}`, body, reader)).status, 403, method + at);
  const stranger = (await platform.token(["Queues Write"])).value;
  assert.equal((await platform.rest("GET", `${path("Simple")}/instances`, undefined, stranger)).status, 403);
});

test("what is no instance, no status or no workflow is refused and changes nothing", async () => {
  const refused = async (method: string, at: string, body?: unknown) =>
    (await platform.rest(method, `${path("Simple")}${at}`, body)).body.errors[0];
  assert.match((await refused("POST", "/instances", { instance_id: "../../x" }))?.message ?? "", /invalid id/);
  assert.match((await refused("PATCH", "/instances/nobody/status", { status: "pause" }))?.message ?? "", /not_found/);
  assert.match((await refused("PATCH", "/instances/nobody/status", { status: "explode" }))?.message ?? "", /Invalid request body/);
  assert.match((await refused("GET", "/instances?status=odd"))?.message ?? "", /"status" must be one of/);
  assert.match((await refused("GET", "/instances?cursor=e30"))?.message ?? "", /cursor/);
  assert.match((await refused("POST", "/instances", { params: "x".repeat(1024 * 1024) }))?.message ?? "", /too large/);
  const missing = { script_name: "flows", class_name: "Counter" };
  assert.match((await refused("PUT", "", missing))?.message ?? "", /exports no workflow class "Counter"/);
  assert.match(
    (await refused("PUT", "", { ...missing, class_name: "Simple", schedules: [{ cron: "* *" }] }))?.message ?? "",
    /five fields/,
  );
  assert.equal(
    (await platform.rest("PUT", `/accounts/${platform.ready.account_id}/workflows/bad%20name`, { ...missing, class_name: "Simple" }))
      .status,
    400,
  );
});

test("a step in an endless loop fails with its process, and takes no other instance with it", async () => {
  const spinning = await deployFlows(
    platform,
    "spinning",
    {
      Spin: `await step.do("spin", { retries: { limit: 1, delay: 1 } }, async () => { if (event.payload.spin) for (;;); return "fine"; });
      await step.waitForEvent("go", { type: "go" });
      return "ended";`,
    },
    { more: { limits: { cpu_ms: 100 } } },
  );
  await spinning.call("Spin", "create", { id: "good", params: {} });
  await spinning.until("Spin", "good", "waiting");
  await spinning.call("Spin", "create", { id: "bad", params: { spin: true } });
  // The Worker's process ends with it, so that the question may have to be asked again.
  const ended = async () => (await platform.rest("GET", `${spinning.path("Spin")}/instances/bad`)).body.result;
  let bad = await ended();
  for (; bad.status !== "errored"; bad = await ended()) await new Promise((resolve) => setTimeout(resolve, 30));
  assert.match(bad.error.message, /Attempt 2 of step "spin" did not finish/);
  await platform.rest("POST", `${spinning.path("Spin")}/instances/good/events/go`, {});
  assert.equal((await spinning.until("Spin", "good", "complete")).output, "ended");
});
