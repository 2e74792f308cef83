/**
 * Durable steps, through SIGKILL. Goal: a step whose result code has learned of never runs again, and every instance ends
 * with the results of all its steps. Method: the code of instances notes each time that a step runs and each time that it
 * has a result, in the order in which it happens, in an object that no kill undoes; the platform and the Worker's process
 * are killed at random moments; at the end no step may have run after it was noted as done.
 *
 * FREEHOLD_CRASH_ROUNDS sets the number of kills (2), FREEHOLD_SEED repeats a run's choices.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { deployFlows, type Flows, openFlows } from "../clients/workflow-worker.ts";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";
import { seeded } from "../harness/seed.ts";

const ROUNDS = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 2);
const INSTANCES = 5;
const STEPS = 15;

const CLASSES = {
  Counted: `
    const results = [];
    for (let i = 0; i < ${STEPS}; i++) {
      results.push(await step.do("step " + i, { retries: { limit: 1000, delay: 1, backoff: "constant" } }, async () => {
        await this.note(event.instanceId, "run " + i);
        await scheduler.wait(10 * (i % 7));
        return i;
      }));
      await this.note(event.instanceId, "done " + i);
      if (i % 5 === 4) await step.sleep("rest " + i, 700);
    }
    return results;`,
};

const workerPid = (platform: TestPlatform): number | undefined =>
  platform.log.findLast((line) => line.msg === "worker.started" && String(line.process).startsWith("w-"))?.pid as number | undefined;

/** One that has ended by itself need not be killed. */
function killed(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

test("[workflows-06] a finished step never runs again, whatever is killed", async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  const platform = await startPlatform({ after }, { config: { "workflows.hibernate_after_ms": 100 } });
  const flows = await deployFlows(platform, "counted", CLASSES);
  const ids: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < INSTANCES; i++) ids.push((await flows.call("Counted", "create", { id: `r${round}-${i}` })).id);
    await sleep(random.integer(30, 1200));
    // First its Worker alone, then everything.
    const pid = workerPid(platform);
    if (pid !== undefined) killed(pid);
    await sleep(random.integer(30, 1200));
    await platform.kill9();
    await platform.restart();
  }
  for (const id of ids) {
    const { output } = await flows.until("Counted", id, "complete");
    assert.deepEqual(
      output,
      Array.from({ length: STEPS }, (_, i) => i),
    );
    const notes = await flows.notes(id);
    for (let i = 0; i < STEPS; i++) {
      const done = notes.indexOf(`done ${i}`);
      assert.ok(done > 0 && notes.lastIndexOf(`run ${i}`) < done, `${id}: step ${i} ran again: ${notes.join(", ")}`);
    }
    const { steps } = await flows.detail("Counted", id);
    assert.equal(steps.filter((one: { type: string; success: boolean }) => one.type === "step" && one.success).length, STEPS);
  }
});

const SLEEPERS = {
  Sleeper: `
    const before = await step.do("before", async () => this.count("before:" + event.instanceId));
    if (event.payload.until) await step.sleepUntil("night", new Date(event.payload.until));
    else await step.sleep("night", "1 day");
    const waited = await step.waitForEvent("morning", { type: "morning", timeout: "2 days" });
    return [before, waited.payload, await step.do("after", async () => this.count("after:" + event.instanceId))];`,
  Minutely: `return event.schedule;`,
  Past: `
    try { await step.sleepUntil("past", event.timestamp.getTime() - 1000); } catch (error) { return error.message; }`,
};
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Sets the clock of a platform forward. */
const later = (ms: number): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(`const now = Date.now; Date.now = () => now() + ${ms};`)}`,
});

test("[workflows-12, workflows-32] a schedule makes instances; a sleep of a day holds no process, outlives the platform and ends on time", async (t) => {
  const first = await startPlatform(t, { config: { "runtime.idle_timeout_s": 0.2 } });
  const dir = first.dir;
  const flows = await deployFlows(first, "sleepers", SLEEPERS, { workflows: { Minutely: { schedules: ["* * * * *"] } } });
  const until = Date.now() + DAY_MS;
  await flows.call("Sleeper", "create", { id: "a", params: {} });
  await flows.call("Sleeper", "create", { id: "b", params: { until } });
  await flows.until("Sleeper", "a", "waiting");
  await flows.until("Sleeper", "b", "waiting");
  const { id } = await flows.call("Past", "create");
  assert.match(String((await flows.until("Past", id, "complete")).output), /You can't sleep until a time in the past, time-traveler$/);
  // An event for what comes after the sleep, which it does not end.
  await flows.of("Sleeper", "a", "sendEvent", { type: "morning", payload: "light" });
  await idle(first);
  await first.kill9();

  // Not ten minutes before.
  const early = await startPlatform(t, { dir, env: later(DAY_MS - 10 * MINUTE_MS) });
  assert.equal((await resumed(early, flows).of("Sleeper", "a", "status")).status, "waiting");
  assert.equal(await resumed(early, flows).count("after:a"), 0);
  await early.stop();

  // A moment before a minute begins, and more than a day after the start. Who starts too slowly meets the minute after it.
  const begins = Math.ceil((Date.now() + DAY_MS + 10_000) / MINUTE_MS) * MINUTE_MS;
  const next = await startPlatform(t, { dir, env: later(begins - 4_000 - Date.now()) });
  const again = resumed(next, flows);
  assert.deepEqual((await again.until("Sleeper", "a", "complete")).output, [1, "light", 1]);
  await again.of("Sleeper", "b", "sendEvent", { type: "morning", payload: "light" });
  assert.deepEqual((await again.until("Sleeper", "b", "complete")).output, [1, "light", 1]);
  const { steps } = await again.detail("Sleeper", "b");
  assert.ok(Date.parse(steps[1].end) >= until, JSON.stringify(steps[1]));

  const scheduled = async () => (await next.rest("GET", `${again.path("Minutely")}/instances`)).body.result;
  while ((await scheduled()).length === 0) await sleep(50);
  const [instance] = await scheduled();
  assert.equal(instance.trigger_source, "cron");
  const { output } = await again.until("Minutely", instance.id, "complete");
  const { cron, scheduledTime } = output as { cron: string; scheduledTime: number };
  assert.deepEqual([cron, scheduledTime % MINUTE_MS], ["* * * * *", 0]);
  const [schedule] = (await next.rest("GET", again.path("Minutely"))).body.result.schedules;
  assert.ok(schedule.cron === cron && Date.parse(schedule.next_instance) >= scheduledTime + MINUTE_MS, JSON.stringify(schedule));
});

const resumed = (platform: TestPlatform, flows: Flows): Flows => openFlows(platform, flows);

/** Resolves when no Worker's process runs any more. */
async function idle(platform: TestPlatform): Promise<void> {
  const count = (msg: string): number => platform.log.filter((line) => line.msg === msg && String(line.process).startsWith("w-")).length;
  while (count("worker.started") > count("worker.stopped")) await sleep(20);
}
