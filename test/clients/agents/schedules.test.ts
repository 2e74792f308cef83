/** What agents do later and by themselves: schedules through a kill of the platform, intervals, the queue, retries, their end. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type AgentClient, type Any, deployAgents, eventually, type Hooks, until } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
const noLongTests = process.env.FREEHOLD_LONG === undefined && "takes three minutes of nothing else; FREEHOLD_LONG=1 runs it";
const platform = await startPlatform({ after });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "schedules"));

interface Run {
  readonly at: number;
  readonly task: string;
  readonly detail: Any;
}

async function tasks(t: Hooks, name: string): Promise<AgentClient> {
  const client = await worker.connect(t, { agent: "TaskAgent", name });
  await client.ready;
  return client;
}

/** The runs of a task once they are as many as wanted. */
const runs = (client: AgentClient, task: string, count: number, deadlineMs?: number): Promise<Run[]> =>
  eventually(
    async () => ((await client.call("runs")) as Run[]).filter((run) => run.task === task),
    (list) => list.length >= count,
    deadlineMs,
  );

// A cron's finest time is the minute, and work of minutes takes minutes: both go on while the other tests run, and through the kill.
const atEnd: (() => void)[] = [];
after(() => {
  for (const end of atEnd) end();
});
const patient = noAgents ? undefined : await tasks({ after: (end) => void atEnd.push(end as () => void) }, "patient");
const cron = await patient?.call("plan", ["* * * * *", "digest", { user: "ada" }]);

test("[agents-24] a task in two seconds, and one at a date, run once and in time, also when the platform is killed before", {
  skip: noAgents,
}, async (t) => {
  const client = await tasks(t, "delayed");
  const delayed = await client.call("plan", [2, "task", { by: "delay" }]);
  assert.deepEqual([delayed.type, delayed.delayInSeconds, delayed.callback], ["delayed", 2, "task"]);
  const [run] = await runs(client, "task", 1);
  assert.ok((run as Run).at >= delayed.time * 1000, "not before its time, which is in whole seconds");
  assert.deepEqual(run?.detail, { by: "delay" });
  assert.equal(await client.call("byId", [delayed.id]), null, "a task that ran is gone");

  const at = Date.now() + 4000;
  await client.call("plan", [{ at }, "task", { by: "date" }]);
  await client.call("plan", [3, "task", { by: "delay again" }]);
  await platform.kill9();
  await platform.restart();
  await client.ready;
  const all = await runs(client, "task", 3);
  // Their times are whole seconds, and may be the same one.
  assert.deepEqual(all.map(({ detail }) => detail.by).sort(), ["date", "delay", "delay again"]);
  assert.ok((all.find(({ detail }) => detail.by === "date") as Run).at >= Math.floor(at / 1000) * 1000);
  assert.deepEqual(await client.call("planned"), []);
  assert.equal((await runs(client, "task", 3)).length, 3, "each ran once");
});

test("[agents-26] an interval comes again and again, and not beside a run that still goes on", { skip: noAgents }, async (t) => {
  const client = await tasks(t, "interval");
  const every = await client.call("every", [1, "task", { n: 1 }]);
  assert.deepEqual([every.type, every.intervalSeconds], ["interval", 1]);
  assert.equal((await client.call("every", [1, "task", { n: 1 }])).id, every.id, "the same interval is one");
  const beats = await runs(client, "task", 3);
  for (const [i, { at }] of beats.entries()) if (i > 0) assert.ok(at - (beats[i - 1] as Run).at >= 900, "a second lies between");
  assert.equal(await client.call("cancel", [every.id]), true);

  // Its job is as long as the test wants: three seconds pass on the clock of another agent.
  const slow = await client.call("every", [1, "slow", {}]);
  await runs(client, "slow begins", 1);
  const other = await tasks(t, "clock");
  await other.call("every", [1, "task", {}]);
  await runs(other, "task", 3);
  await client.call("plan", [0, "task", { by: "the way" }]);
  assert.equal((await runs(client, "slow begins", 1)).length, 1, "no second run beside the first");
  await client.call("release");
  await runs(client, "slow ends", 1);
  await runs(client, "slow begins", 2);
  // Of a run that the platform's end has cut, the agent knows only that it goes on.
  await platform.kill9();
  await platform.restart();
  await until(() => platform.printed().includes(`Skipping interval schedule ${slow.id}: previous execution still running`));
  await client.ready;
  assert.equal((await runs(client, "slow begins", 2)).length, 2);
  assert.equal(await client.call("cancel", [slow.id]), true);
});

test("[agents-27] schedules are listed by type and time, and cancelled once", { skip: noAgents }, async (t) => {
  const client = await tasks(t, "listed");
  const now = Date.now();
  const hour = 3_600_000;
  const soon = await client.call("plan", [600, "task", { n: 1 }]);
  const later = await client.call("plan", [{ at: now + 5 * hour }, "task", { n: 2 }]);
  const daily = await client.call("plan", ["0 8 * * *", "digest", { n: 3 }]);
  const every = await client.call("every", [900, "task", { n: 4 }]);
  const ids = async (criteria: object): Promise<string[]> => (await client.call("planned", [criteria])).map(({ id }: Any) => id).sort();
  assert.deepEqual(await ids({}), [soon, later, daily, every].map(({ id }) => id).sort());
  assert.deepEqual(await ids({ type: "cron" }), [daily.id]);
  assert.deepEqual(await ids({ type: "scheduled" }), [later.id]);
  assert.deepEqual(await ids({ type: "interval" }), [every.id]);
  assert.deepEqual(await ids({ type: "delayed", start: now, end: now + hour }), [soon.id]);
  assert.deepEqual(await ids({ start: now + 4 * hour, end: now + 6 * hour, type: "scheduled" }), [later.id]);
  assert.deepEqual(await ids({ id: every.id }), [every.id]);
  assert.deepEqual((await client.call("byId", [daily.id])).payload, { n: 3 });
  assert.equal(await client.call("cancel", [soon.id]), true);
  assert.equal(await client.call("cancel", [soon.id]), false);
  assert.equal((await ids({})).length, 3);
});

test("[agents-30] three tasks of a queue run in order after the request was answered", { skip: noAgents }, async (t) => {
  const client = await tasks(t, "queue");
  const accepted = await worker.fetch("/agents/task-agent/queue", { method: "POST", headers: { "x-user": "ada" } });
  assert.equal(accepted.status, 202);
  // The first is held up; the others wait behind it.
  assert.deepEqual((await runs(client, "step", 1)).length, 1);
  const waiting = await client.call("queued", ["user", "ada"]);
  assert.deepEqual(
    waiting.map(({ number }: Any) => number),
    [1, 2, 3],
  );
  const unwanted = await client.call("enqueue", ["step", { number: 4, user: "ada" }]);
  await client.call("unqueue", [unwanted]);
  await client.call("release");
  assert.deepEqual(
    (await runs(client, "step", 3)).map(({ detail }) => detail),
    [1, 2, 3],
  );
  assert.deepEqual(
    await eventually(
      () => client.call("queued", ["user", "ada"]),
      (left) => left.length === 0,
    ),
    [],
  );
  assert.equal((await runs(client, "step", 3)).length, 3);
});

test("[agents-31] what fails twice works the third time, in a call, a queue and a schedule; wrong options fail at once", {
  skip: noAgents,
}, async (t) => {
  const client = await tasks(t, "retries");
  assert.deepEqual(await client.call("tryThrice"), { answer: "works", attempts: [1, 2, 3] });
  assert.deepEqual(await client.call("refusals"), {
    bailed: "try 2",
    attempts: "retry.maxAttempts must be >= 1",
    integer: "retry.maxAttempts must be an integer",
    base: "retry.baseDelayMs must be > 0",
    order: "retry.baseDelayMs must be <= retry.maxDelayMs",
    callback: "this.missing is not a function",
    queue: "this.missing is not a function",
    left: 0,
  });
  await client.call("enqueue", ["flaky", { failures: 2 }]);
  await runs(client, "flaky works", 1);
  assert.equal((await runs(client, "flaky", 3)).length, 3);
  const scheduled = await tasks(t, "scheduled-retries");
  await scheduled.call("plan", [1, "flaky", { failures: 1 }, { retry: { maxAttempts: 2, baseDelayMs: 10 } }]);
  await scheduled.call("plan", [1, "hopeless", {}, { retry: { maxAttempts: 2, baseDelayMs: 10 } }]);
  await runs(scheduled, "flaky works", 1);
  assert.equal((await runs(scheduled, "hopeless", 2)).length, 2);
  await eventually(
    () => scheduled.call("planned"),
    (left) => left.length === 0,
  );
  assert.deepEqual(await scheduled.call("planned"), [], "given up, and gone");
});

test("[agents-32] an agent that its own schedule destroys leaves nothing: the next access is a new one", { skip: noAgents }, async (t) => {
  const path = "/agents/mayfly-agent/one";
  assert.deepEqual(await worker.json(path), { visits: 1, tables: 0, schedules: 0 });
  assert.deepEqual(await worker.json(path), { visits: 2, tables: 1, schedules: 0 });
  const client = await worker.connect(t, { agent: "MayflyAgent", name: "one" });
  await client.ready;
  const closed = new Promise<Any>((resolve) => client.addEventListener("close", resolve));
  await client.call("endIn", [1]);
  assert.equal((await closed).code, 1006);
  assert.deepEqual(await worker.json(path), { visits: 1, tables: 0, schedules: 0 });
});

test("[agents-25] a cron's task comes with each minute, through the kill of the platform", { skip: noAgents }, async () => {
  const client = patient as AgentClient;
  await client.ready;
  const digests = await runs(client, "digest", 2, 150_000);
  const minutes = digests.map(({ at }) => Math.floor(at / 60_000));
  assert.equal(minutes[1], (minutes[0] as number) + 1);
  assert.deepEqual(digests[0]?.detail, { payload: { user: "ada" }, type: "cron", cron: "* * * * *" });
  const [left] = await client.call("planned", [{ type: "cron" }]);
  assert.equal(left.id, cron.id);
  await until(() => left.time * 1000 > (digests[1] as Run).at);
});

test("[agents-28] work of three minutes that keeps its agent alive ends without a client", { skip: noAgents || noLongTests }, async (t) => {
  const name = { agent: "TaskAgent", name: "background" };
  const client = await worker.connect({ after: () => undefined }, name);
  await client.ready;
  assert.equal(await client.call("background", [180]), 1, "a heartbeat is scheduled");
  client.close();
  await new Promise((resolve) => setTimeout(resolve, 185_000));
  const again = await tasks(t, name.name);
  const [finished] = await runs(again, "finished", 1);
  assert.equal(finished?.detail, 0, "and no more when the work is done");
  const beats = await runs(again, "beat", 180);
  assert.equal(beats.length, 180);
  assert.equal(new Set(beats.map(({ detail }) => detail)).size, 1, "the agent was never another one");
});
