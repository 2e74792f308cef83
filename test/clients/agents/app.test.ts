/** Agents in an app, from outside: assets and routes beside them, webhooks, Slack and ChatGPT, what is seen of them, and their deploys. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { type Any, deployAgents, eventually, type Hooks, until } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
// Slack's API is elsewhere; here that is this machine.
const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "private", "local"] } });
/** Keeps what agents say on their diagnostics channels. */
const tail = await deployWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
export class Kept extends DurableObject {
  add(messages) { this.ctx.storage.kv.put("messages", [...this.all(), ...messages]); }
  all() { return this.ctx.storage.kv.get("messages") ?? []; }
}
export default {
  async tail(events, env) {
    const messages = events.flatMap(({ diagnosticsChannelEvents }) => diagnosticsChannelEvents.map((event) => ({ ...event })));
    if (messages.length > 0) await env.KEPT.getByName("all").add(messages);
  },
  async fetch(request, env) { return Response.json(await env.KEPT.getByName("all").all()); },
};`,
  },
  config: {
    name: "agents-tail",
    durable_objects: { bindings: [{ name: "KEPT", class_name: "Kept" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Kept"] }],
  },
});
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "app"));

const app = async (t: Hooks, name: string, agent = "AppAgent", more: object = {}) => {
  const client = await worker.connect(t, { agent, name, ...more });
  await client.ready;
  return client;
};

test("[agents-76] an asset comes first, then agents, then the app's own routes", { skip: noAgents }, async (t) => {
  const text = async (path: string) => (await worker.fetch(path)).text();
  assert.match(await text("/"), /The board/);
  assert.equal(await text("/agents/app-agent/asset"), "an asset, and no agent\n");
  assert.deepEqual(await worker.json("/api/hello"), { message: "Hello!" });
  assert.equal((await worker.json("/agents/app-agent/other")).count, 0);
  assert.equal(await (await app(t, "other")).call("increment"), 1);
  assert.equal((await worker.fetch("/nowhere")).status, 404);
});

test("[agents-73] a Tail Worker gets what agents say on their diagnostics channels", { skip: noAgents }, async (t) => {
  const client = await app(t, "watched");
  await client.call("increment");
  await assert.rejects(client.call("fail"), /as told/);
  const messages = await eventually(
    async () => ((await (await platform.fetch(tail.url)).json()) as Any[]).filter(({ message }) => message.name === "watched"),
    (all) => ["rpc", "rpc:error", "state:update"].every((type) => all.some(({ message }) => message.type === type)),
  );
  // Each call is an event of its own, and events come in any order. That of the connection comes when it is closed.
  const said = messages.map(({ channel, message: { type, payload } }) => [channel, type, payload]);
  assert.deepEqual(
    said.toSorted((a, b) => (a[1] < b[1] ? -1 : 1)),
    [
      ["agents:rpc", "rpc", { method: "increment" }],
      ["agents:rpc", "rpc:error", { method: "fail", error: "as told" }],
      ["agents:state", "state:update", {}],
    ],
  );
  for (const { timestamp, message } of messages) {
    assert.equal(message.agent, "AppAgent");
    assert.ok(Math.abs(Date.now() - timestamp) < 120_000 && Math.abs(Date.now() - message.timestamp) < 120_000);
  }
});

test("[agents-69] a signed webhook comes to its repository's agent once, and whoever watches sees it", { skip: noAgents }, async (t) => {
  const states: Any[] = [];
  await app(t, "acme-widgets", "RepoAgent", { onStateUpdate: (state: Any) => states.push(state) });
  const hook = async (event: string, id: string, payload: object, secret = "hook secret") => {
    const body = JSON.stringify(payload);
    const signature = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
    const headers = { "x-hub-signature-256": signature, "x-github-event": event, "x-github-delivery": id };
    const answer = await worker.fetch("/webhooks/github", { method: "POST", body, headers });
    return [answer.status, await answer.text()];
  };
  const of = (full_name: string) => ({ repository: { full_name } });
  assert.deepEqual(await hook("star", "d1", of("Acme/Widgets")), [200, "OK"]);
  await until(() => states.at(-1)?.stars === 1);
  assert.deepEqual(await hook("star", "d1", of("Acme/Widgets")), [200, "Already processed"]);
  assert.deepEqual(await hook("star", "d1", of("Acme/Other")), [200, "OK"], "another repository is another agent");
  assert.deepEqual(await hook("push", "d2", of("Acme/Widgets")), [200, "OK"]);
  await until(() => states.at(-1)?.events.length === 2);
  assert.deepEqual(states.at(-1), { stars: 1, events: ["star", "push"] });
  assert.deepEqual(await hook("star", "d3", of("Acme/Widgets"), "another secret"), [401, "Invalid signature"]);
  assert.deepEqual(await hook("star", "d3", {}), [400, "Missing repository"]);
  assert.equal(states.at(-1).stars, 1);
});

/** Slack's API, as far as the agent uses it; what it was told. */
async function slackApi(t: Hooks): Promise<{ url: string; told: Any[] }> {
  const told: Any[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    told.push(JSON.parse(body));
    response.end("{}");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, told };
}

test("[agents-70] Slack's signed events come to the workspace's agent, and ChatGPT gets a tool with its widget", {
  skip: noAgents,
}, async (t) => {
  const { url: api, told } = await slackApi(t);
  const slack = async (payload: object, { secret = "slack secret", at = Date.now() } = {}) => {
    const body = JSON.stringify(payload);
    const time = String(Math.floor(at / 1000));
    const signature = `v0=${createHmac("sha256", secret).update(`v0:${time}:${body}`).digest("hex")}`;
    const headers = { "x-slack-request-timestamp": time, "x-slack-signature": signature };
    const answer = await worker.fetch("/slack", { method: "POST", body, headers });
    return [answer.status, await answer.text()];
  };
  const event = (team_id: string, more: object = {}) => ({
    type: "event_callback",
    team_id,
    event: { type: "app_mention", text: "hello", channel: "C1", ts: "1.0", api, ...more },
  });
  assert.deepEqual(await slack({ type: "url_verification", challenge: "say it" }), [200, "say it"]);
  for (const team of ["T1", "T1", "T2"]) assert.equal((await slack(event(team)))[0], 200);
  await slack(event("T2", { bot_id: "B1" }));
  assert.deepEqual(
    told.map(({ text, thread_ts }) => [text, thread_ts]),
    [
      ["T1 heard 1", "1.0"],
      ["T1 heard 2", "1.0"],
      ["T2 heard 1", "1.0"],
    ],
  );
  assert.equal((await slack(event("T1"), { secret: "guessed" }))[0], 401);
  assert.equal((await slack(event("T1"), { at: Date.now() - 600_000 }))[0], 401, "an old event is somebody's copy");
  assert.equal(told.length, 3);

  const [{ Client }, { StreamableHTTPClientTransport }] = await Promise.all([
    worker.load("@modelcontextprotocol/sdk/client/index.js"),
    worker.load("@modelcontextprotocol/sdk/client/streamableHttp.js"),
  ]);
  const client = new Client({ name: "chatgpt", version: "1.0.0" });
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${worker.url}/mcp`), { fetch: (url: URL, init: Any) => platform.fetch(String(url), init) }),
  );
  t.after(() => client.close());
  const [tool] = (await client.listTools()).tools;
  assert.deepEqual([tool.name, tool._meta["openai/outputTemplate"]], ["playChess", "ui://widget/index.html"]);
  const [widget] = (await client.readResource({ uri: tool._meta["openai/outputTemplate"] })).contents;
  assert.equal(widget.mimeType, "text/html+skybridge");
  assert.match(widget.text, /The board/);
  assert.ok(widget.text.includes(`window.HOST = "${new URL(worker.url).host}"`));
});

test("[agents-75] types, secrets, environments, a rollback and migrations of an agent's Worker", { skip: noAgents }, async (t) => {
  const file = join(worker.dir, "wrangler.jsonc");
  const source = join(worker.dir, "src", "server.ts");
  const agent = (path: string) => worker.json(`/agents/${path}`);
  await worker.wrangler(["types"]);
  assert.match(await readFile(join(worker.dir, "worker-configuration.d.ts"), "utf8"), /AppAgent: DurableObjectNamespace/);

  const client = await app(t, "kept");
  assert.equal(await client.call("increment"), 1);
  // Each deploy below ends connections; the client's way of connecting anew is not the subject here.
  client.close();
  await worker.wrangler(["secret", "put", "API_KEY"], { input: "sesame" });
  assert.deepEqual(await agent("app-agent/kept"), { count: 1, stage: "production", key: "sesame" });
  await worker.wrangler(["rollback", "-y", "-m", "as before"]);
  assert.deepEqual(await agent("app-agent/kept"), { count: 1, stage: "production", key: null });

  await worker.deploy(["--env", "staging"]);
  const staging = platform.host("workers", { worker: "agents-app-staging", subdomain: "dev" });
  const staged = (await (await platform.fetch(`${staging}/agents/app-agent/kept`)).json()) as Any;
  assert.deepEqual(staged, { count: 0, stage: "staging", key: null });

  // The class has another name in the code, in the bindings, and from the second migration on.
  await writeFile(source, (await readFile(source, "utf8")).replace("class AppAgent", "class CountAgent"));
  const config = JSON.parse(await readFile(file, "utf8"));
  config.durable_objects.bindings[0] = { name: "CountAgent", class_name: "CountAgent" };
  config.migrations.push({ tag: "v2", renamed_classes: [{ from: "AppAgent", to: "CountAgent" }] });
  await writeFile(file, JSON.stringify(config));
  await worker.deploy();
  assert.equal((await agent("count-agent/kept")).count, 1, "a renamed class keeps its agents");
  assert.equal((await worker.fetch("/agents/app-agent/kept")).status, 400);

  config.migrations.push({ tag: "v3", deleted_classes: ["CountAgent"] }, { tag: "v4", new_sqlite_classes: ["CountAgent"] });
  await writeFile(file, JSON.stringify(config));
  await worker.deploy();
  assert.equal((await agent("count-agent/kept")).count, 0, "a deleted one does not");
});
