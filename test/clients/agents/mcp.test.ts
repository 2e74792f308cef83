/** MCP servers made with the SDK, used by the official client, and an agent that uses other MCP servers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type Any, deployAgents, type Hooks } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
// An agent's MCP servers are elsewhere; here that is this machine.
const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "private", "local"] } });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "mcp"));
const sdk = (path: string): Promise<Any> => worker.load(`@modelcontextprotocol/sdk/${path}`);

interface Session {
  readonly client: Any;
  readonly transport: Any;
  /** Calls a tool; the text that it answers. */
  call(name: string, args?: object): Promise<string>;
}

/** The official client, connected; `answer` is what its user fills into a form. */
async function connect(t: Hooks, path: string, answer?: object): Promise<Session> {
  const { Client } = await sdk("client/index.js");
  const client = new Client({ name: "test", version: "1.0.0" }, { capabilities: answer === undefined ? {} : { elicitation: {} } });
  if (answer !== undefined) {
    const { ElicitRequestSchema } = await sdk("types.js");
    client.setRequestHandler(ElicitRequestSchema, async ({ params }: Any) => {
      assert.deepEqual(params.requestedSchema.required, ["amount"]);
      return answer;
    });
  }
  const [file, Transport] = path === "/sse" ? ["sse", "SSEClientTransport"] : ["streamableHttp", "StreamableHTTPClientTransport"];
  const module = await sdk(`client/${file}.js`);
  const transport = new module[Transport](new URL(`${worker.url}${path}`), {
    fetch: (url: URL | string, init: Any) => platform.fetch(String(url), init),
  });
  await client.connect(transport);
  t.after(() => client.close());
  return {
    client,
    transport,
    call: async (name, args = {}) => (await client.callTool({ name, arguments: args })).content[0].text,
  };
}

/** An MCP server of somebody else's, without a memory, that wants a key. */
async function foreignServer(t: Hooks): Promise<string> {
  const [{ McpServer }, { StreamableHTTPServerTransport }, { z }] = await Promise.all([
    sdk("server/mcp.js"),
    sdk("server/streamableHttp.js"),
    worker.load("zod"),
  ]);
  const server = createServer(async (request, response) => {
    if (request.headers["x-key"] !== "open sesame") return void response.writeHead(403).end();
    if (request.method !== "POST") return void response.writeHead(405).end();
    const mcp = new McpServer({ name: "weather", version: "1.0.0" });
    mcp.registerTool("forecast", { description: "The weather", inputSchema: { city: z.string() } }, ({ city }: Any) => ({
      content: [{ type: "text", text: `Rain in ${city}` }],
    }));
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    await mcp.connect(transport);
    await transport.handleRequest(request, response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

const names = (list: Any[]): string[] => list.map(({ name }) => name);

test("[agents-50] a client lists and calls the tools of a stateless MCP server", { skip: noAgents }, async (t) => {
  const { client, call } = await connect(t, "/mcp");
  const { tools } = await client.listTools();
  assert.deepEqual([names(tools), tools[0].description], [["hello"], "Returns a greeting message"]);
  assert.deepEqual([await call("hello"), await call("hello", { name: "Ada" })], ["Hello, World!", "Hello, Ada!"]);
  const preflight = await worker.fetch("/mcp", { method: "OPTIONS", headers: { origin: "https://inspector.test" } });
  assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
  assert.equal((await worker.fetch("/elsewhere", { method: "POST", body: "{}" })).status, 404);
});

test("[agents-51] a session's counter grows, another session has its own, and a deleted one is gone", { skip: noAgents }, async (t) => {
  const [one, two] = [await connect(t, "/counter"), await connect(t, "/counter")];
  assert.deepEqual([await one.call("add", { amount: 2 }), await one.call("add", { amount: 3 })], ["2", "5"]);
  assert.equal(await two.call("add", { amount: 1 }), "1");
  const { contents } = await one.client.readResource({ uri: "mcp://resource/counter" });
  assert.equal(contents[0].text, "5");
  const { sessionId } = one.transport;
  await one.transport.terminateSession();
  const call = { jsonrpc: "2.0", id: 1, method: "tools/list" };
  const headers = { "mcp-session-id": sessionId, accept: "application/json, text/event-stream", "content-type": "application/json" };
  const gone = await worker.fetch("/counter", { method: "POST", headers, body: JSON.stringify(call) });
  assert.deepEqual([gone.status, ((await gone.json()) as Any).error.code], [404, -32001]);
  assert.equal(await two.call("add", { amount: 1 }), "2");
});

test("[agents-52] a client of the older transport keeps its session over server-sent events", { skip: noAgents }, async (t) => {
  const { client, call } = await connect(t, "/sse");
  assert.deepEqual(names((await client.listTools()).tools).sort(), ["add", "ask", "whoami"]);
  assert.deepEqual([await call("add", { amount: 4 }), await call("add", { amount: 4 })], ["4", "8"]);
});

test("[agents-54] an agent uses an MCP server of its own Worker without HTTP, which learns the props", { skip: noAgents }, async (t) => {
  const client = await worker.connect(t, { agent: "ClientAgent", name: "by-rpc" });
  await client.ready;
  assert.equal(await client.call("addOwn", [{ userId: "user-123", role: "admin" }]), "ready");
  const { servers, tools } = await client.call("servers");
  assert.deepEqual([servers[0].state, servers[0].server_url, tools.sort()], ["ready", "rpc:own", ["add", "ask", "whoami"]]);
  const { text } = await client.call("use", ["whoami", {}]);
  assert.match(text, /user-123.*admin/);
});

test("[agents-55] an agent's tools of another's MCP server work in the AI SDK, and are there again when it wakes", {
  skip: noAgents,
}, async (t) => {
  const url = await foreignServer(t);
  const client = await worker.connect(t, { agent: "ClientAgent", name: "by-http" });
  await client.ready;
  const { state, id } = await client.call("add", ["weather", url]);
  assert.equal(state, "ready");
  assert.equal((await client.call("add", ["weather", url])).id, id, "the same server is one");
  assert.match((await client.call("add", ["inside", "http://10.0.0.1/mcp"])).error, /Blocked URL/);
  const before = await client.call("use", ["forecast", { city: "Rome" }]);
  assert.deepEqual(before.tools, ["forecast"]);
  assert.match(before.text, /Rain in Rome/);
  // Documented: ten seconds without work, then the agent sleeps. Nothing else can be awaited.
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  const awake = await client.call("use", ["forecast", { city: "Paris" }]);
  assert.notEqual(awake.awakened, before.awakened, "the agent is a new one");
  assert.deepEqual(awake.tools, ["forecast"]);
  assert.match(awake.text, /Rain in Paris/);
  await client.call("remove", [id]);
  assert.deepEqual(await client.call("servers"), { servers: [], tools: [] });
});

test("[agents-53] a tool asks the client's user for a form; a session of an agent goes on in the agent's next life", {
  skip: noAgents,
}, async (t) => {
  const accept = { action: "accept", content: { amount: 5 } };
  assert.equal(await (await connect(t, "/counter", accept)).call("ask"), "by 5");
  assert.equal(await (await connect(t, "/counter", { action: "decline" })).call("ask"), "decline");
  const { call, transport } = await connect(t, "/form", accept);
  const { sessionId } = transport;
  assert.equal(await call("increase"), "5");
  await platform.kill9();
  await platform.restart();
  assert.equal(await call("increase"), "10");
  assert.equal(transport.sessionId, sessionId);
});
