/** The counter of the Agents quick start (examples/counter-agent), as its reader deploys and uses it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { projectRoot, startPlatform } from "../../harness/platform.ts";
import { type AgentsWorker, deployAgents, until } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
const platform = await startPlatform({ after });
const counter = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(projectRoot, "examples", "counter-agent"));

/** A client of one counter, and the counts that it was told. */
async function connect(t: Parameters<AgentsWorker["connect"]>[0], name: string) {
  const counts: number[] = [];
  const client = await counter.connect(t, {
    agent: "CounterAgent",
    name,
    onStateUpdate: (state: { count: number }) => counts.push(state.count),
  });
  await client.ready;
  return { client, counts };
}

test("[agents-01] the quick start's Counter is deployed by wrangler and answers at its address", { skip: noAgents }, async (t) => {
  assert.deepEqual(await counter.json("/agents/counter-agent/x"), { name: "x", count: 0 });
  assert.equal((await counter.fetch("/agents/counter-agent")).status, 404);
  const { client } = await connect(t, "x");
  assert.equal(await client.call("increment"), 1);
  assert.deepEqual(await counter.json("/agents/counter-agent/x"), { name: "x", count: 1 });
});

test("[agents-02] a name is one agent everywhere, and no other name's", { skip: noAgents }, async (t) => {
  const [red, redAgain, blue] = await Promise.all([connect(t, "red"), connect(t, "red"), connect(t, "blue")]);
  await red.client.call("increment");
  assert.equal(await redAgain.client.call("increment"), 2);
  assert.equal(await blue.client.call("decrement"), -1);
  assert.deepEqual(await counter.json("/agents/counter-agent/red"), { name: "red", count: 2 });
  assert.deepEqual(await counter.json("/agents/counter-agent/blue"), { name: "blue", count: -1 });
});

test("[agents-03] the count survives the platform's kill and a deploy, and clients come back to it by themselves", {
  skip: noAgents,
}, async (t) => {
  const { client, counts } = await connect(t, "kept");
  for (let i = 0; i < 5; i++) await client.call("increment");
  await platform.kill9();
  await platform.restart();
  assert.deepEqual(await counter.json("/agents/counter-agent/kept"), { name: "kept", count: 5 });
  counts.length = 0;
  await client.ready;
  await until(() => counts.length > 0);
  assert.deepEqual(counts, [5], "the client is told the state when it is back");
  await counter.deploy();
  assert.deepEqual(await counter.json("/agents/counter-agent/kept"), { name: "kept", count: 5 });
  await client.ready;
  assert.equal(await client.call("increment"), 6);
});

test("[agents-20] a page with useAgent counts in a browser and reconnects by itself; AgentClient and agentFetch see the same", {
  skip: noAgents || noBrowser,
}, async (t) => {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${counter.url}/?name=shown`);
  const count = page.locator("output");
  await count.getByText("0", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Increment" }).click();
  await count.getByText("1", { exact: true }).waitFor();

  const { client } = await connect(t, "shown");
  assert.equal(await client.call("increment"), 2);
  await count.getByText("2", { exact: true }).waitFor();
  const { agentFetch } = await counter.load("agents/client");
  const options = { agent: "CounterAgent", name: "shown", host: new URL(counter.url).host, protocol: "http", fetch: platform.fetch };
  assert.deepEqual(await (await agentFetch(options)).json(), { name: "shown", count: 2 });

  await platform.kill9();
  await page.getByText("connecting").waitFor();
  await platform.restart();
  await page.getByText("connected").waitFor();
  await page.getByRole("button", { name: "Decrement" }).click();
  await count.getByText("1", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Reset" }).click();
  await count.getByText("0", { exact: true }).waitFor();
  await client.ready;
  assert.deepEqual(await (await agentFetch(options)).json(), { name: "shown", count: 0 });
});

const noNewest = missingClient("agents-0.32");

test("[agents-82] the newest SDK: calls, schedules, and children of an agent, which have state of their own", {
  skip: noNewest,
}, async (t) => {
  const newest = await deployAgents(t, platform, "agents-0.32", join(import.meta.dirname, "fixtures", "newest"));
  const states: { ran: unknown[] }[] = [];
  const onStateUpdate = (state: { ran: unknown[] }) => states.push(state);
  const client = await newest.connect(t, { agent: "ParentAgent", name: "one", onStateUpdate });
  await client.ready;
  assert.equal(await client.call("sum", [2, 3]), 5);
  assert.equal(await client.call("later", [{ by: "schedule" }]), "delayed");
  await until(() => states.at(-1)?.ran.length === 1);
  assert.deepEqual(states.at(-1), { ran: [{ by: "schedule" }] });
  assert.deepEqual([await client.call("addTo", ["a", 2]), await client.call("addTo", ["a", 3])], [2, 5]);
  assert.equal(await client.call("addTo", ["b", 1]), 1);
  await platform.kill9();
  await platform.restart();
  await client.ready;
  assert.equal(await client.call("addTo", ["a", 1]), 6);
});
