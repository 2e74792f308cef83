/** Workflows by REST with the official SDK: workflows, versions, instances, their steps, status and events. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployFlows } from "../workflow-worker.ts";

const platform = await startPlatform({ after });
const account = { account_id: platform.ready.account_id };
const { workflows } = platform.sdk();
const flows = await deployFlows(platform, "sdk", {
  Order: `
    const found = await step.do("find", async () => ({ item: event.payload.item }));
    const { payload } = await step.waitForEvent("pay", { type: "paid" });
    return found.item + " " + payload.by;`,
});
const name = "sdk-order";

test("[workflows-05] instances are created, shown, changed and sent events by the SDK", async () => {
  const of = { ...account, workflow_name: name };
  const made = await workflows.instances.create(name, { ...account, instance_id: "one", params: { item: "pen" } as never });
  assert.deepEqual([made.id, made.status, made.trigger_source], ["one", "queued", "api"]);
  await flows.until("Order", "one", "waiting");
  assert.equal((await workflows.instances.status.edit("one", { ...of, status: "pause" })).status, "paused");
  await workflows.instances.status.edit("one", { ...of, status: "resume" });
  const sent = await workflows.instances.events.create("paid", { ...of, instance_id: "one", body: { by: "card" } });
  assert.equal(sent.instanceId, "one");
  await flows.until("Order", "one", "complete");
  const shown = await workflows.instances.get("one", of);
  assert.deepEqual(
    [shown.status, shown.output, shown.success, shown.step_count, shown.params],
    ["complete", "pen card", true, 2, { item: "pen" }],
  );
  const newest = await workflows.instances.get("one", { ...of, order: "desc" });
  assert.deepEqual(
    newest.steps.map((one) => one.type),
    ["waitForEvent", "step"],
  );
  assert.deepEqual((await workflows.instances.get("one", { ...of, simple: "true" })).steps, []);
  assert.deepEqual(await workflows.instances.step("one", { ...of, name: "find-1", type: "step" }), {
    status: "complete",
    error: null,
    output: { item: "pen" },
  });
  const bulk = await workflows.instances.bulk(name, { ...account, body: [{ instance_id: "two" }, { instance_id: "three" }] });
  assert.deepEqual(
    bulk.result.map(({ id }) => id),
    ["two", "three"],
  );
  await workflows.instances.status.edit("two", { ...of, status: "terminate" });
  const listed: string[] = [];
  for await (const { id } of workflows.instances.list(name, { ...account, status: "terminated" })) listed.push(id);
  assert.deepEqual(listed, ["two"]);
});

test("[workflows-34] workflows are listed, updated with new versions, and deleted by the SDK", async () => {
  const before = await workflows.get(name, account);
  assert.deepEqual([before.class_name, before.script_name, before.instances.complete], ["Order", "sdk", 1]);
  const update = {
    script_name: "sdk",
    class_name: "Order",
    limits: { steps: 20 },
    concurrency: { limit: 3 },
    default_retention: { success_retention: "2 days" },
  };
  const updated = await workflows.update(name, { ...account, ...update });
  assert.equal(updated.id, before.id);
  const [newest, older] = (await workflows.versions.list(name, account)).result;
  assert.deepEqual(
    [newest?.id, newest?.limits, newest?.concurrency, newest?.default_retention, older?.limits],
    [updated.version_id, { steps: 20 }, { limit: 3 }, { success_retention: 172_800_000 }, undefined],
  );
  assert.equal((await workflows.versions.get(updated.version_id, { ...account, workflow_name: name })).class_name, "Order");
  const found: string[] = [];
  for await (const one of workflows.list({ ...account, search: "ORDER" })) found.push(one.name);
  assert.deepEqual(found, [name]);
  await workflows.delete(name, account);
  await assert.rejects(workflows.get(name, account), /workflow\.not_found/);
});
