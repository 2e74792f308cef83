/** How clients get to agents, and what passes on their connections: routes, hooks, WebSockets, hibernation, events over HTTP. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type AgentClient, type Any, deployAgents, type Hooks, LocalWebSocket, until } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
const platform = await startPlatform({ after });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "connections"));

const isProtocol = (data: unknown): boolean => typeof data === "string" && data.includes('"cf_agent_');

/** A client that keeps the messages that are none of the SDK's. */
async function enter(
  t: Hooks,
  agent: string,
  name: string,
  query: Record<string, string>,
): Promise<{ client: AgentClient; heard: string[] }> {
  const heard: string[] = [];
  const client = await worker.connect(t, { agent, name, id: query.user, query });
  client.addEventListener("message", ({ data }) => typeof data === "string" && !isProtocol(data) && heard.push(data));
  await client.ready;
  return { client, heard };
}

async function ask(client: AgentClient, message: string | Uint8Array): Promise<Any> {
  const { promise, resolve } = Promise.withResolvers<Any>();
  client.addEventListener("message", ({ data }) => !isProtocol(data) && resolve(data));
  client.send(message);
  return promise;
}

/** The sleeper of the test of hibernation sleeps while the other tests run. */
const HIBERNATES_MS = 12_000;
const atEnd: (() => void)[] = [];
after(() => {
  for (const end of atEnd) end();
});
const sleeper = noAgents ? undefined : await fallAsleep();

async function fallAsleep() {
  const hooks = { after: (end: () => void) => void atEnd.push(end) };
  const { client } = await enter(hooks, "RoomAgent", "sleepy", { user: "sleeper", role: "admin" });
  client.send("become rested");
  const before = JSON.parse(await ask(client, "awake"));
  return { client, before, since: Date.now() };
}

test("[agents-10] an address leads to its agent, with a prefix, a path below and any method; others are refused", {
  skip: noAgents,
}, async () => {
  const users = await worker.json("/api/agents/my-agent/x/users/1");
  assert.deepEqual([users.name, users.method, users.pathname], ["x", "GET", "/api/agents/my-agent/x/users/1"]);
  const posted = await worker.json("/agents/my-agent/x/users", { method: "POST", body: "{}" });
  assert.deepEqual([posted.name, posted.method, posted.pathname], ["x", "POST", "/agents/my-agent/x/users"]);
  assert.equal(await (await worker.fetch("/agents/loud-agent/x")).text(), "LOUD");
  const unknown = await worker.fetch("/agents/no-agent/x");
  assert.deepEqual([unknown.status, await unknown.text()], [400, "Invalid request"]);
  const elsewhere = await worker.fetch("/other/my-agent/x");
  assert.deepEqual([elsewhere.status, await elsewhere.text()], [404, "nobody's"]);
});

test("[agents-11] hooks refuse upgrades and requests or change them; answers bear CORS headers where they are asked for", {
  skip: noAgents,
}, async (t) => {
  const socketUrl = `${worker.url.replace("http", "ws")}/guarded/agents/my-agent/x`;
  const refused = new LocalWebSocket(`${socketUrl}?token=wrong`);
  const [error] = await once(refused, "error");
  assert.match(String(error), /Unexpected server response: 401/);
  const client = await worker.connect(t, { agent: "MyAgent", name: "x", prefix: "guarded/agents", query: { token: "right" } });
  await client.ready;
  assert.equal((await worker.fetch("/guarded/agents/my-agent/x")).status, 401);
  assert.equal((await worker.json("/guarded/agents/my-agent/x?token=right")).by, "the hook");

  const preflight = await worker.fetch("/open/agents/my-agent/x", { method: "OPTIONS", headers: { origin: "https://app.test" } });
  const cors = (response: { headers: { get(name: string): string | null } }) =>
    ["origin", "methods", "headers"].map((name) => response.headers.get(`access-control-allow-${name}`));
  assert.deepEqual([preflight.status, cors(preflight)[0]], [200, "*"]);
  assert.match(String(cors(preflight)[1]), /GET.*POST/);
  assert.equal(cors(await worker.fetch("/open/agents/my-agent/x"))[0], "*");
  assert.equal(cors(await worker.fetch("/site/agents/my-agent/x"))[0], "https://app.test");
  assert.deepEqual(cors(await worker.fetch("/agents/my-agent/x")), [null, null, null]);
});

test("[agents-13] props are an agent's in onStart, by name and by route", { skip: noAgents }, async () => {
  const props = { userId: "u1", config: { maxRetries: 3 } };
  const query = new URLSearchParams({ name: "given", props: JSON.stringify(props) });
  assert.deepEqual((await worker.json(`/by-name?${query}`)).props, props);
  assert.deepEqual((await worker.json("/props/agents/my-agent/routed")).props, { role: "routed" });
  assert.equal((await worker.json("/agents/my-agent/without")).props, null);
});

test("[agents-14] an agent is reached with a location hint, and in a jurisdiction, where it has storage of its own", {
  skip: noAgents,
}, async () => {
  assert.equal((await worker.json("/by-name?name=hinted&locationHint=enam")).name, "hinted");
  assert.equal((await worker.json("/agents/my-agent/hinted?hint=apac")).name, "hinted");
  assert.equal((await worker.json("/by-name?name=placed&jurisdiction=eu")).name, "placed");
  assert.deepEqual(await worker.json("/by-name?name=placed&jurisdiction=eu&remember=there"), ["there"]);
  assert.deepEqual(await worker.json("/by-name?name=placed&remember=here"), ["here"]);
});

test("[agents-15] connections open, hear by tag, by id or all but one, exchange bytes, fail and close with code and reason", {
  skip: noAgents,
}, async (t) => {
  const ada = await enter(t, "RoomAgent", "room", { user: "ada", role: "admin" });
  const bob = await enter(t, "RoomAgent", "room", { user: "bob" });
  const eve = await enter(t, "RoomAgent", "room", { user: "eve" });
  bob.client.send("admins hello");
  bob.client.send("others hi");
  bob.client.send("direct eve");
  bob.client.send("break bob");
  await until(() => bob.heard.length === 2 && eve.heard.length === 3 && ada.heard.length === 5);
  assert.deepEqual(ada.heard, ["bob joined", "eve joined", "for admins: hello", "for others: hi", "error: broken by bob"]);
  assert.deepEqual(bob.heard, ["eve joined", "error: broken by bob"]);
  assert.deepEqual(eve.heard, ["for others: hi", "for eve", "error: broken by bob"]);
  const echo = await ask(bob.client, new Uint8Array([1, 2, 255]));
  assert.deepEqual([...new Uint8Array(echo.arrayBuffer ? await echo.arrayBuffer() : echo)], [255, 2, 1]);
  eve.client.close(1000, "bye");
  await until(() => bob.heard.length === 3);
  assert.equal(bob.heard[2], "eve left: 1000 bye true");
  const closed = new Promise<Any>((resolve) => bob.client.addEventListener("close", resolve));
  bob.client.send("leave");
  const { code, reason } = await closed;
  assert.deepEqual([code, reason], [4002, "as you like"]);
});

test("[agents-17] a readonly connection hears of changes and makes none, until it may", { skip: noAgents }, async (t) => {
  const errors: string[] = [];
  const states: Any[] = [];
  const onStateUpdate = (state: unknown, source: string) => source === "server" && states.push(state);
  const query = { mode: "view" };
  const viewer = await worker.connect(t, {
    agent: "DocAgent",
    name: "doc",
    query,
    onStateUpdate,
    onStateUpdateError: (e: string) => errors.push(e),
  });
  const editor = await worker.connect(t, { agent: "DocAgent", name: "doc" });
  await Promise.all([viewer.ready, editor.ready]);
  await editor.call("write", ["first"]);
  await until(() => states.at(-1)?.text === "first");
  viewer.setState({ text: "by the viewer" });
  await until(() => errors.length > 0);
  assert.deepEqual(errors, ["Connection is readonly"]);
  await assert.rejects(viewer.call("write", ["by call"]), { message: "Connection is readonly" });
  assert.deepEqual(await viewer.call("permissions"), { canEdit: false, protocol: true, effects: 2, state: null });
  assert.equal(states.at(-1).text, "first");
  await viewer.call("lock", [false]);
  await viewer.call("write", ["second"]);
  await until(() => states.at(-1)?.text === "second");
  await viewer.call("lock", [true]);
  await assert.rejects(viewer.call("write", ["third"]), { message: "Connection is readonly" });
  assert.deepEqual((await viewer.call("permissions")).state, { mine: "kept apart from the flag" });
});

test("[agents-18] a connection without protocol messages gets none of them, and all else", { skip: noAgents }, async (t) => {
  const frames: Any[] = [];
  const plain = await worker.connect(t, { agent: "DocAgent", name: "quiet", query: { protocol: "false" } });
  plain.addEventListener("message", ({ data }) => frames.push(data));
  const usual = await worker.connect(t, { agent: "DocAgent", name: "quiet" });
  await usual.ready;
  assert.deepEqual(await plain.call("permissions"), { canEdit: true, protocol: false, effects: 0, state: null });
  await plain.call("write", ["changed by call"]);
  await usual.call("announce", ["for all"]);
  await until(() => frames.includes("for all"));
  plain.send("echo");
  await until(() => frames.includes("echo"));
  const types = frames.map((frame) => (frame.startsWith("{") ? JSON.parse(frame).type : frame));
  assert.deepEqual(types, ["rpc", "rpc", "for all", "echo"]);
});

test("[agents-22] an agent that finds a token wrong closes with a code of its own", { skip: noAgents }, async (t) => {
  const refused = new LocalWebSocket(`${worker.url.replace("http", "ws")}/agents/room-agent/door?token=wrong&user=mallory`);
  const [code, reason] = await once(refused, "close");
  assert.deepEqual([code, String(reason)], [4001, "Unauthorized"]);
  const { client } = await enter(t, "RoomAgent", "door", { token: "right", user: "ada" });
  assert.equal(JSON.parse(await ask(client, "awake")).state.user, "ada");
});

test("[agents-16] an agent that slept wakes for a message on the connection it had, with the connection's state", {
  skip: noAgents,
}, async () => {
  const { client, before, since } = sleeper as NonNullable<typeof sleeper>;
  // Documented: ten seconds without work. Nothing else can be awaited.
  await new Promise((resolve) => setTimeout(resolve, since + HIBERNATES_MS - Date.now()));
  assert.equal(client.readyState, 1);
  const awake = JSON.parse(await ask(client, "awake"));
  assert.deepEqual([before.messages, awake.messages], [2, 1], "the agent is a new one");
  assert.notEqual(awake.awakened, before.awakened);
  assert.deepEqual([before.state, awake.state], Array(2).fill({ user: "rested", since: "connect" }));
  const { heard } = await enter({ after: (end) => void atEnd.push(end as () => void) }, "RoomAgent", "sleepy", { user: "other" });
  client.send("others still here");
  await until(() => heard.includes("for others: here") || heard.includes("for others: still"));
});

test("[agents-19] events of an agent come one by one, and an EventSource goes on after a lost connection", {
  skip: noAgents || noBrowser,
}, async (t) => {
  const path = "/agents/stream-agent/steps";
  const response = await worker.fetch(path);
  assert.match(response.headers.get("content-type") ?? "", /text\/event-stream/);
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  for (let step = 1; step <= 5; step++) {
    // The next event is made only after this one was read: nothing on the way keeps it back.
    assert.equal((await reader.read()).value, `event: step\nid: ${step}\ndata: {"step":${step}}\n\n`);
    await worker.fetch(path, { method: "POST" });
  }
  assert.equal((await reader.read()).done, true);

  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${worker.url}/agents/loud-agent/page`);
  await page.evaluate(`
    window.steps = [];
    window.source = new EventSource("/agents/stream-agent/again");
    source.addEventListener("step", ({ lastEventId, data }) => steps.push([lastEventId, JSON.parse(data).step]));
  `);
  const again = (count: number) => page.waitForFunction(`steps.length === ${count}`);
  await again(1);
  await worker.fetch("/agents/stream-agent/again", { method: "POST" });
  await again(2);
  await platform.kill9();
  await platform.restart();
  await again(3);
  assert.deepEqual(await page.evaluate("steps"), [
    ["1", 1],
    ["2", 2],
    ["3", 3],
  ]);
  await page.evaluate("source.close()");
});
