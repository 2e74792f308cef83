/** What agents keep and answer: state that clients share, SQL, calls, streams, identity, the context of a call. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type AgentClient, type Any, deployAgents, eventually, type Hooks, until } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
const platform = await startPlatform({ after });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "state"));

/** A client of a game that keeps what it is told from when it is connected. */
async function player(t: Hooks, name: string): Promise<{ client: AgentClient; states: Any[]; errors: string[] }> {
  const told = { states: [] as Any[], errors: [] as string[] };
  const client = await worker.connect(t, {
    agent: "GameAgent",
    name,
    id: `${name}-${Math.random()}`,
    onStateUpdate: (state: unknown, source: string) => source === "server" && told.states.push(state),
    onStateUpdateError: (error: string) => told.errors.push(error),
  });
  await client.ready;
  // What comes on connecting is here before the answer.
  await client.call("stored");
  assert.deepEqual(told.states.at(-1), { score: 0, players: [] });
  told.states.length = 0;
  return { client, ...told };
}

async function tools(t: Hooks, name: string, options: Record<string, unknown> = {}): Promise<AgentClient> {
  const client = await worker.connect(t, { agent: "ToolAgent", name, ...options });
  await client.ready;
  return client;
}

const page = (query: Record<string, string>): string => `${worker.url}/?${new URLSearchParams(query)}`;

test("[agents-04] state that a client sets reaches the others and the server, which knows from whom", { skip: noAgents }, async (t) => {
  const [ada, bob] = [await player(t, "synced"), await player(t, "synced")];
  ada.client.setState({ score: 7, players: ["ada"] });
  await until(() => bob.states.length === 1);
  assert.deepEqual(bob.states, [{ score: 7, players: ["ada"] }]);
  await bob.client.call("addPlayer", ["bob"]);
  const both = { score: 7, players: ["ada", "bob"] };
  await until(() => ada.states.length === 1);
  assert.deepEqual([ada.states, bob.states[1]], [[both], both], "who set a state is not told it again");
  const { changes } = await bob.client.call("stored");
  const sources = changes.map(({ source }: Any) => source);
  // The first is the initial state, kept when it was first read.
  assert.deepEqual(sources, ["server", (ada.client as Any).id, "server"]);
});

test("[agents-05] a state that the agent finds invalid is refused to its client and kept nowhere", { skip: noAgents }, async (t) => {
  const [ada, bob] = [await player(t, "strict"), await player(t, "strict")];
  ada.client.setState({ score: -1, players: [] });
  await until(() => ada.errors.length > 0);
  assert.deepEqual(ada.errors, ["State update rejected"]);
  const { state, changes } = await bob.client.call("stored");
  assert.deepEqual([state, changes.length, bob.states.length], [{ score: 0, players: [] }, 1, 0]);
});

test("[agents-06] an agent's tables are its own", { skip: noAgents }, async (t) => {
  const [ada, bob] = [await player(t, "writes"), await player(t, "reads")];
  await ada.client.call("note", ["first"]);
  const injection = "x'); DROP TABLE notes; --";
  assert.deepEqual(await ada.client.call("note", [injection]), [
    { id: 1, text: "first" },
    { id: 2, text: injection },
  ]);
  await assert.rejects(ada.client.call("note", ["first"]), /UNIQUE constraint failed: notes\.text/);
  await assert.rejects(bob.client.call("notes"), /SQL query failed: no such table: notes/);
  assert.deepEqual(await ada.client.call("notes"), [{ text: "first" }, { text: injection }]);
});

test("[agents-07] callable methods answer by name and by typed stub; others, errors, timeouts and a lost connection reject", {
  skip: noAgents || noBrowser,
}, async (t) => {
  const client = await tools(t, "calls");
  assert.equal(await client.call("add", [2, 3]), 5);
  assert.deepEqual(await client.call("greet", ["Ada"]), { text: "Hello, Ada!", by: "calls" });
  assert.equal(await client.call("nothing"), undefined);
  await assert.rejects(client.call("secret"), { message: "Method secret is not callable" });
  await assert.rejects(client.call("missing"), { message: "Method missing does not exist" });
  await assert.rejects(client.call("refuse", ["today"]), { message: "refused: today" });
  await assert.rejects(client.call("hang", [], { timeout: 100 }), { message: "RPC call to hang timed out after 100ms" });
  const lost = assert.rejects(client.call("hang"), { message: "Connection closed" });
  await Promise.allSettled([client.call("kick")]);
  await lost;
  await client.ready;
  assert.equal(await client.call("add", [1, 1]), 2, "the client is back by itself");

  const browser = await launchBrowser();
  t.after(() => browser.close());
  const tab = await browser.newPage();
  await tab.goto(page({ name: "calls" }));
  await tab.getByText("connected to calls of tool-agent").waitFor();
  assert.equal(await tab.evaluate("agent.stub.add(2, 3)"), 5);
  assert.equal(await tab.evaluate("agent.stub.secret().catch((error) => error.message)"), "Method secret is not callable");

  // Identity by a path of the application's own.
  await tab.goto(page({ agent: "UserAgent", basePath: "user" }));
  await tab.getByText("connected to user-123 of user-agent").waitFor();
  assert.deepEqual(await tab.evaluate("told.identity"), [["user-123", "user-agent"]]);
});

test("[agents-08] chunks of a streaming method arrive one by one, then its end or its error", { skip: noAgents }, async (t) => {
  const client = await tools(t, "streams");
  const stream = (to: number, fail: boolean) => {
    const chunks: unknown[] = [];
    const onChunk = (chunk: unknown): void => {
      chunks.push(chunk);
      // The agent sends the next one only after this call.
      void client.call("next");
    };
    return { chunks, ended: client.call("count", [to, fail], { stream: { onChunk } }) };
  };
  const whole = stream(4, false);
  assert.equal(await whole.ended, "done");
  assert.deepEqual(whole.chunks, [1, 2, 3, 4]);
  const broken = stream(2, true);
  await assert.rejects(broken.ended, { message: "cannot go on" });
  assert.deepEqual(broken.chunks, [1, 2]);
});

test("[agents-09] a Worker calls an agent, and that another one, by methods that no client may call", { skip: noAgents }, async () => {
  assert.deepEqual(await worker.json("/work"), ["worker did sweep", "nobody's business"]);
});

test("[agents-12] a client of a path of the application's own learns who answers, unless the agent hides it", {
  skip: noAgents,
}, async (t) => {
  const identities: string[][] = [];
  const changes: string[][] = [];
  let session = "user-7";
  const user = await worker.connect(t, {
    agent: "UserAgent",
    basePath: "user",
    query: () => ({ session }),
    onIdentity: (...identity: string[]) => identities.push(identity),
    onIdentityChange: (...change: string[]) => changes.push(change),
  });
  assert.equal(user.identified, false);
  await user.ready;
  assert.deepEqual([user.name, user.agent, user.identified, identities], ["user-7", "user-agent", true, [["user-7", "user-agent"]]]);
  session = "user-8";
  user.reconnect();
  await until(() => changes.length > 0);
  assert.deepEqual(changes, [["user-7", "user-8", "user-agent", "user-agent"]]);

  const states: unknown[] = [];
  const frames = new Set<string>();
  const hidden = await worker.connect(t, {
    agent: "SecretAgent",
    basePath: "hidden",
    onStateUpdate: (state: unknown) => states.push(state),
  });
  hidden.addEventListener("message", ({ data }) => frames.add(JSON.parse(data).type));
  await until(() => frames.has("cf_agent_mcp_servers"));
  assert.deepEqual([...frames], ["cf_agent_state", "cf_agent_mcp_servers"]);
  assert.deepEqual([hidden.identified, states.at(-1)], [false, { greeting: "hush" }]);
});

test("[agents-21] useAgent asks for a new token after the connection was lost", { skip: noAgents || noBrowser }, async (t) => {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const tab = await browser.newPage();
  await tab.goto(page({ name: "tokens", tokens: "yes" }));
  await tab.getByText("connected to tokens").waitFor();
  const watcher = await tools(t, "tokens");
  const connected = async (): Promise<unknown[]> => (await watcher.call("connected")).tokens;
  assert.deepEqual(await connected(), ["token-1", null]);
  await Promise.allSettled([watcher.call("kick")]);
  await tab.waitForFunction("told.tokens.length === 2");
  await watcher.ready;
  const tokens = await eventually(connected, (list) => list.includes("token-2"));
  assert.deepEqual(
    tokens.filter((token) => token !== null),
    ["token-1", "token-2"],
  );
});

test("[agents-23] a library function learns the agent, and the connection, request or mail that it works for", {
  skip: noAgents,
}, async (t) => {
  const nothing = { connection: null, path: null, email: null };
  assert.deepEqual(await worker.json("/agents/tool-agent/desk/some/path"), {
    ...nothing,
    name: "desk",
    path: "/agents/tool-agent/desk/some/path",
  });
  const client = await tools(t, "desk", { id: "wire-1", query: { token: "t" } });
  assert.deepEqual(await client.call("context"), { ...nothing, name: "desk", connection: "wire-1" });
  const { contexts } = await client.call("connected");
  assert.deepEqual(contexts, [{ ...nothing, name: "desk", connection: "wire-1", path: "/agents/tool-agent/desk" }]);
  assert.equal((await worker.fetch("/mail")).status, 200);
  const [mail] = await client.call("mail");
  assert.equal(mail.subject, "Help");
  assert.deepEqual(JSON.parse(mail.context), { ...nothing, name: "desk", email: "ada@example.com" });
});
