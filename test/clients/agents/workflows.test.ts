/** Agents and the workflows that they start: progress, durable changes of state, approvals, control, and the agent's records. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type AgentClient, type Any, deployAgents, eventually, type Hooks, until } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
// Whoever waits for longer than a moment is ended, and runs anew from its beginning when it goes on.
const platform = await startPlatform({ after }, { config: { "workflows.hibernate_after_ms": 100 } });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "workflows"));

interface Flow {
  readonly client: AgentClient;
  /** What other messages the client got. */
  readonly messages: Any[];
  /** The states that the client was told. */
  readonly states: Any[];
  /** Calls a method of the SDK. */
  flow(method: string, ...args: unknown[]): Promise<Any>;
  /** Starts a workflow; its id. The SDK's own ids are not always ones: they may begin with a hyphen. */
  run(workflow: string, params: object, metadata?: object): Promise<string>;
  /** What the agent heard of its workflows, once it is as many of the kind. */
  heard(what: string, count?: number): Promise<Any[]>;
  /** The workflow's status, once it is this one. */
  status(workflow: string, id: string, wanted: string): Promise<Any>;
}

async function agent(t: Hooks, name: string): Promise<Flow> {
  const messages: Any[] = [];
  const states: Any[] = [];
  const client = await worker.connect(t, { agent: "FlowAgent", name, onStateUpdate: (state: Any) => states.push(state) });
  client.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "progress" || message.type === "update") messages.push(message);
  });
  await client.ready;
  const flow = (method: string, ...args: unknown[]): Promise<Any> => client.call("flow", [method, ...args]);
  return {
    client,
    messages,
    states,
    flow,
    run: (workflow, params, metadata) => flow("runWorkflow", workflow, params, { id: randomUUID(), metadata }),
    heard: (what, count = 1) =>
      eventually(
        async () => ((await client.call("heard")) as Any[]).filter((row) => row.what === what),
        (rows) => rows.length >= count,
      ),
    async status(workflow, id, wanted) {
      const status = await eventually(
        () => flow("getWorkflowStatus", workflow, id),
        (now) => now.status === wanted,
      );
      assert.equal(status.status, wanted, JSON.stringify(status));
      return status;
    },
  };
}

test("[agents-44, workflows-42] a workflow's progress, events, end and failure are its agent's and the clients'", {
  skip: noAgents,
}, async (t) => {
  const { client, messages, flow, run, heard, status } = await agent(t, "tasks");
  const id = await run("PROCESSING", { taskId: "t1", data: "text" }, { userId: "ada" });
  assert.equal((await heard("complete"))[0].detail, "TEXT");
  await until(() => messages.length === 2);
  const progress = { step: "process", status: "complete", percent: 0.5 };
  assert.deepEqual(
    messages.toSorted((a, b) => (a.type < b.type ? -1 : 1)),
    [
      { type: "progress", id, progress },
      { type: "update", taskId: "t1" },
    ],
  );
  assert.deepEqual(await client.call("heard"), [
    { what: "progress", workflow: "PROCESSING", id, detail: progress },
    { what: "saved", workflow: null, id: "t1", detail: "TEXT" },
    { what: "event", workflow: "PROCESSING", id, detail: { kind: "saved", taskId: "t1", params: ["taskId", "data"] } },
    { what: "complete", workflow: "PROCESSING", id, detail: "TEXT" },
  ]);
  assert.equal((await status("PROCESSING", id, "complete")).output, "TEXT");
  const tracked = await flow("getWorkflow", id);
  assert.deepEqual([tracked.workflowName, tracked.status, tracked.metadata], ["PROCESSING", "complete", { userId: "ada" }]);

  const failing = await flow("runWorkflow", "PROCESSING", { taskId: "t2", data: "x", fails: true }, { id: "of-my-own" });
  assert.equal(failing, "of-my-own");
  assert.deepEqual(await heard("error"), [{ what: "error", workflow: "PROCESSING", id: failing, detail: "t2 cannot be done" }]);
  assert.match((await status("PROCESSING", failing, "errored")).error.message, /t2 cannot be done/);
  assert.equal((await heard("complete")).length, 1);
});

test("[agents-45, workflows-44] a workflow's changes of the agent's state reach the clients once, though steps and runs repeat", {
  skip: noAgents,
}, async (t) => {
  const { client, states, flow, run, heard, status } = await agent(t, "stateful");
  const id = await run("STATEFUL", { taskId: "t1" });
  const before = [
    { task: "t1", total: 0 },
    { task: "t1", total: 0, status: "processing" },
    { task: "t1", total: 1, status: "processing" },
  ];
  assert.deepEqual(
    (await heard("state", 3)).map(({ detail }) => detail),
    before,
  );
  await until(() => states.at(-1).total === 1);
  assert.deepEqual(states.slice(-3), before);

  await status("STATEFUL", id, "waiting");
  await platform.kill9();
  await platform.restart();
  await client.ready;
  await flow("sendWorkflowEvent", "STATEFUL", id, { type: "continue", payload: {} });
  const complete = { task: "t1", total: 1, status: "complete", attempts: 3 };
  assert.deepEqual(
    (await heard("state", 4)).map(({ detail }) => detail),
    [...before, complete],
  );
  await flow("sendWorkflowEvent", "STATEFUL", id, { type: "forget", payload: {} });
  await status("STATEFUL", id, "complete");
  await until(() => states.at(-1).task === null);
  assert.deepEqual(states.slice(-2), [complete, { task: null, pending: [] }]);
  assert.equal((await heard("state", 4)).length, 4);
});

test("[agents-46, workflows-43] an approval outlives restarts and lets go on; a rejection is thrown; a wait has its end", {
  skip: noAgents,
}, async (t) => {
  const { client, flow, run, heard, status } = await agent(t, "approvals");
  const [approved, rejected] = [await run("EXPENSE", { amount: 5 }), await run("EXPENSE", { amount: 6 })];
  for (const id of [approved, rejected]) await status("EXPENSE", id, "waiting");
  await platform.kill9();
  await platform.restart();
  await client.ready;
  for (const id of [approved, rejected]) await status("EXPENSE", id, "waiting");
  const late = await run("EXPENSE", { amount: 7, timeout: "1 second" });

  await flow("approveWorkflow", approved, { reason: "Expense approved", metadata: { approvedBy: "ada" } });
  const { output } = await status("EXPENSE", approved, "complete");
  assert.deepEqual([output.amount, output.approval], [5, { approvedBy: "ada" }]);
  await flow("rejectWorkflow", rejected, { reason: "Too dear" });
  assert.match((await status("EXPENSE", rejected, "errored")).error.message, /Too dear/);
  await status("EXPENSE", late, "errored");

  const caught = Object.fromEntries((await heard("caught", 2)).map(({ id, detail }) => [id, detail]));
  assert.equal(caught[rejected], "WorkflowRejectedError: Workflow rejected: Too dear");
  assert.match(caught[late], /timed out|timeout/i);
  const errors = Object.fromEntries((await heard("error", 2)).map(({ id, detail }) => [id, detail]));
  assert.equal(errors[rejected], "Too dear");
  assert.deepEqual(Object.keys(errors).sort(), [rejected, late].sort());
  assert.deepEqual(
    (await heard("complete")).map(({ id }) => id),
    [approved],
  );
  assert.match((await flow("getWorkflow", rejected)).error.message, /Too dear/);
});

test("[agents-47] an agent pauses, resumes, restarts and terminates its workflows, and sends them events", {
  skip: noAgents,
}, async (t) => {
  const { flow, run, status } = await agent(t, "control");
  const id = await run("ORDERS", {});
  const tracked = async () => (await flow("getWorkflow", id)).status;
  await status("ORDERS", id, "waiting");
  await flow("pauseWorkflow", id);
  await status("ORDERS", id, "paused");
  assert.equal(await tracked(), "paused");
  await flow("resumeWorkflow", id);
  await status("ORDERS", id, "waiting");
  await flow("restartWorkflow", id);
  assert.equal(await tracked(), "queued");
  await status("ORDERS", id, "waiting");
  await flow("sendWorkflowEvent", "ORDERS", id, { type: "shipping", payload: { carrier: "pigeon" } });
  assert.deepEqual((await status("ORDERS", id, "complete")).output, { run: 2, carrier: "pigeon" });
  assert.equal(await tracked(), "complete");

  await flow("restartWorkflow", id, { resetTracking: false });
  await status("ORDERS", id, "waiting");
  await flow("terminateWorkflow", id);
  await status("ORDERS", id, "terminated");
  assert.equal(await tracked(), "terminated");
});

test("[agents-49] approvals of two people are audited, and whoever waits too long is reminded of it", { skip: noAgents }, async (t) => {
  const { client, flow, run, heard, status } = await agent(t, "committee");
  const id = await run("EXPENSE", { amount: 5000 });
  await heard("progress");
  await status("EXPENSE", id, "waiting");
  await client.call("remind", [id, 1]);
  const audit = () => client.call("audit");
  await eventually(audit, (rows) => rows.length === 1);
  assert.equal(await client.call("approveMulti", [id, "ada"]), false);
  await assert.rejects(client.call("approveMulti", [id, "ada"]), /Already approved by this user/);
  assert.equal((await flow("getWorkflowStatus", "EXPENSE", id)).status, "waiting");
  assert.equal(await client.call("approveMulti", [id, "grace"]), true);
  assert.deepEqual((await status("EXPENSE", id, "complete")).output.approval, { approvers: ["ada", "grace"] });
  const entry = (decision: string, decided_by: string) => ({ workflow_id: id, decision, decided_by });
  assert.deepEqual(await audit(), [entry("reminded", "schedule"), entry("approved", "ada"), entry("approved", "grace")]);
});

test("[agents-48, workflows-45] an agent finds, pages, deletes its records of workflows, and keeps them when a binding is renamed", {
  skip: noAgents,
}, async (t) => {
  const { client, flow, run, status } = await agent(t, "records");
  const users = ["ada", "ada", "grace"];
  const ids: string[] = [];
  for (const [i, userId] of users.entries()) {
    const id = await flow("runWorkflow", "ORDERS", {}, { id: `order-${i}`, metadata: { userId, priority: i } });
    await status("ORDERS", id, "waiting");
    ids.push(id);
  }
  const done = await run("PROCESSING", { taskId: "t", data: "d" }, { userId: "ada" });
  await status("PROCESSING", done, "complete");
  const idsOf = ({ workflows }: Any): string[] => workflows.map(({ workflowId }: Any) => workflowId);
  const find = (criteria: object) => flow("getWorkflows", criteria);
  assert.deepEqual(idsOf(await find({ metadata: { userId: "ada" }, workflowName: "ORDERS" })).sort(), [ids[0], ids[1]]);
  assert.deepEqual(idsOf(await find({ metadata: { priority: 2 } })), [ids[2]]);
  assert.deepEqual(idsOf(await find({ status: ["complete", "errored"] })), [done]);
  const first = await find({ status: "waiting", limit: 2, orderBy: "asc" });
  assert.deepEqual([idsOf(first), first.total], [[ids[0], ids[1]], 3]);
  const second = await find({ status: "waiting", limit: 2, orderBy: "asc", cursor: first.nextCursor });
  assert.deepEqual([idsOf(second), second.total, second.nextCursor], [[ids[2]], 3, null]);
  await assert.rejects(find({ cursor: "nonsense" }), /Invalid pagination cursor/);

  assert.deepEqual([await flow("deleteWorkflow", ids[1]), await flow("deleteWorkflow", ids[1])], [true, false]);
  await flow("deleteWorkflows", { status: "complete", before: Date.now() - 60_000 });
  assert.equal((await find({})).total, 3, "none of them is that old");
  await flow("deleteWorkflows", { status: "complete" });
  assert.deepEqual(idsOf(await find({ orderBy: "asc" })), [ids[0], ids[2]]);

  const file = join(worker.dir, "wrangler.jsonc");
  await writeFile(file, (await readFile(file, "utf8")).replace('"ORDERS"', '"SHIPMENTS"'));
  await worker.deploy();
  await client.ready;
  await assert.rejects(flow("getWorkflowStatus", "ORDERS", ids[0]), /'ORDERS' not found/);
  assert.deepEqual(idsOf(await find({ workflowName: "SHIPMENTS", orderBy: "asc" })), [ids[0], ids[2]]);
  await flow("terminateWorkflow", ids[0]);
  await status("SHIPMENTS", ids[0] as string, "terminated");
});
