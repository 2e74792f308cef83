/** The platform's own MCP servers with the protocol's official client, and what a stranger or bad code gets of them. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { FormData } from "undici";
import { browserSettings, noBrowser } from "../../harness/browser.ts";
import { startModelServer } from "../../harness/model-server.ts";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { openOrigin } from "../browser-rendering-origin.ts";

// The official SDK is among what agents use.
const skip = missingClient("agents-0.7");
const [models, origin] = await Promise.all([startModelServer({ after }), openOrigin({ after })]);
const platform = await startPlatform(
  { after },
  {
    config: {
      ...browserSettings,
      "browser_rendering.private_hosts": [origin.host],
      "workers_ai.models": [`@cf/*=${models.url}#base`],
      // The real default is half a minute.
      "mcp.code_timeout_ms": 3_000,
      "mcp.code_requests": 20,
    },
  },
);
const account = platform.ready.account_id;
const dir = skip === false ? await clientProject({ after }, "agents-0.7") : "";

// biome-ignore lint/suspicious/noExplicitAny: what servers answer.
type Any = any;
const sdk = (path: string): Promise<Any> =>
  import(pathToFileURL(createRequire(join(dir, "index.js")).resolve(`@modelcontextprotocol/sdk/${path}`)).href);

interface Session {
  readonly client: Any;
  /** The texts that a tool answers. */
  call(name: string, args?: object): Promise<string>;
  /** The same of one that must fail. */
  fail(name: string, args?: object): Promise<string>;
}

const GATEWAY = {
  cache_invalidate_on_update: false,
  cache_ttl: null,
  collect_logs: true,
  rate_limiting_interval: null,
  rate_limiting_limit: null,
  rate_limiting_technique: "fixed",
};

/** `server` is the label before that of the server of the whole API. */
const urlOf = (server: string): string => platform.host("mcp").replace("//", server === "" ? "//" : `//${server}.`);

/** The official client, connected to a server with a token; the root's by default. */
async function connect(server: string, token: string | undefined = platform.ready.api_token): Promise<Session> {
  const [{ Client }, { StreamableHTTPClientTransport }] = await Promise.all([sdk("client/index.js"), sdk("client/streamableHttp.js")]);
  const client = new Client({ name: "test", version: "1.0.0" });
  const transport = new StreamableHTTPClientTransport(new URL(urlOf(server)), {
    fetch: (url: URL | string, init: Any) => platform.fetch(String(url), init),
    requestInit: { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } },
  });
  await client.connect(transport);
  const answer = async (name: string, args: object, failed: boolean): Promise<string> => {
    const { content, isError = false } = await client.callTool({ name, arguments: args });
    const text = content.map((one: Any) => one.text).join("\n");
    assert.equal(isError, failed, text);
    return text;
  };
  return {
    client,
    call: (name, args = {}) => answer(name, args, false),
    fail: (name, args = {}) => answer(name, args, true),
  };
}

test("[agents-61] a client finds an operation by code and creates a KV namespace by code, in about a thousand tokens", {
  skip,
}, async () => {
  const { client, call } = await connect("");
  const { tools } = await client.listTools();
  assert.deepEqual(
    tools.map(({ name }: Any) => name),
    ["search", "execute"],
  );
  const tokens = JSON.stringify(tools).length / 4;
  assert.ok(tokens < 1_000, `about ${tokens} tokens of context`);

  const wanted = `op.tags.includes("kv") && method === "post"`;
  const found = JSON.parse(
    await call("search", {
      code: `async () => Object.entries(spec.paths).flatMap(([path, methods]) => Object.entries(methods).filter(([method, op]) => ${wanted}).map(([method, op]) => ({ path, op: op.operationId })))`,
    }),
  );
  assert.ok(found.some(({ path, op }: Any) => path === "/accounts/{account_id}/storage/kv/namespaces" && op === "kv.namespaces.create"));

  const created = await call("execute", {
    code: `async () => {
      const namespaces = "/accounts/" + accountId + "/storage/kv/namespaces";
      const { result } = await cloudflare.request({ method: "POST", path: namespaces, body: { title: "by code" } });
      const path = namespaces + "/" + result.id + "/values/k";
      await cloudflare.request({ method: "PUT", path, body: "a value", rawBody: true, contentType: "text/plain" });
      console.log("made", result.title);
      return result.title;
    }`,
  });
  assert.equal(created, "by code\nConsole:\nmade by code");
  const namespaces = (await platform.rest("GET", `/accounts/${account}/storage/kv/namespaces`)).body.result;
  const made = namespaces.find(({ title }: Any) => title === "by code");
  const value = await platform.fetch(`${platform.ready.api}/accounts/${account}/storage/kv/namespaces/${made.id}/values/k`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.equal(await value.text(), "a value");
  const list = `cloudflare.request({ method: "GET", path: "/accounts/" + accountId + "/storage/kv/namespaces", query: { per_page: 5 } })`;
  assert.equal(await call("execute", { code: `async () => (await ${list}).result.map(({ title }) => title);` }), '["by code"]');
});

test("code has the rights of its token, and without a token there is nothing", { skip }, async () => {
  const post = (headers: Record<string, string>, body: unknown = { jsonrpc: "2.0", id: 1, method: "tools/list" }, method = "POST") =>
    platform.fetch(urlOf(""), {
      method,
      headers: { accept: "application/json, text/event-stream", "content-type": "application/json", ...headers },
      ...(method === "POST" && { body: JSON.stringify(body) }),
    });
  for (const [authorization, expected] of [
    [undefined, "Authentication error"],
    ["Bearer garbage", "Invalid API Token"],
  ] as const) {
    const refused = await post(authorization === undefined ? {} : { authorization });
    assert.deepEqual([refused.status, await refused.json()], [401, { error: "invalid_token", error_description: expected }]);
    assert.match(refused.headers.get("www-authenticate") as string, /^Bearer/);
  }
  await assert.rejects(connect("", "garbage"));

  const writer = await connect("", (await platform.token(["Workers KV Storage Write"])).value);
  const reader = await connect("", (await platform.token(["Workers KV Storage Read"])).value);
  const groups = ["Workers KV Storage Write", "Account Settings Read"];
  const stranger = await connect("", (await platform.token(groups, { [`com.cloudflare.api.account.${"f".repeat(32)}`]: "*" })).value);
  const create = (title: string) =>
    `async () => (await cloudflare.request({ method: "POST", path: "/accounts/" + accountId + "/storage/kv/namespaces", body: { title: "${title}" } })).result.title`;
  assert.equal(await writer.call("execute", { code: create("by a writer") }), "by a writer");
  for (const session of [reader, stranger])
    assert.match(await session.fail("execute", { code: create("by a stranger") }), /403: 10000: Authentication error|API error 403/);
  const databases = `async () => cloudflare.request({ method: "GET", path: "/accounts/" + accountId + "/d1/database" })`;
  assert.match(await writer.fail("execute", { code: databases }), /API error 403/);
  const other = `async () => cloudflare.request({ method: "GET", path: "/accounts/${"f".repeat(32)}/storage/kv/namespaces" })`;
  assert.match(await writer.fail("execute", { code: other }), /7403/);
  const bindings = await connect("bindings", (await platform.token(["Workers KV Storage Read"])).value);
  assert.match(await bindings.fail("kv_namespace_create", { title: "x" }), /API error 403/);

  const root = { authorization: `Bearer ${platform.ready.api_token}` };
  const status = async (...args: Parameters<typeof post>) => (await post(...args)).status;
  assert.equal(await status(root, undefined, "GET"), 405);
  assert.equal(await status({ ...root, accept: "application/json" }), 406);
  assert.equal(await status({ ...root, "content-type": "text/plain" }), 415);
  assert.equal(await status({ ...root, "mcp-protocol-version": "1999-01-01" }), 400);
  assert.equal(await status(root, { jsonrpc: "2.0", method: "notifications/initialized" }), 202);
  const unknown = (await (await post(root, { jsonrpc: "2.0", id: 2, method: "resources/list" })).json()) as Any;
  assert.equal(unknown.error.code, -32601);
  assert.equal((await platform.fetch(urlOf("nobody"), { method: "POST" })).status, 404);
});

test("code that loops is ended, has no network, and is gone with its answer", { skip }, async () => {
  const { call, fail } = await connect("");
  const ended = /it took longer than 3 s/;
  const [loop, waiting] = await Promise.all([
    fail("execute", { code: "async () => { for (;;); }" }),
    fail("execute", { code: "async () => new Promise((resolve) => setTimeout(resolve, 600_000))" }),
  ]);
  assert.match(loop, ended);
  assert.match(waiting, ended);
  for (const code of [
    `async () => (await fetch("http://${origin.host}/")).status`,
    `async () => (await fetch("${platform.ready.api}/user")).status`,
    `async () => (await fetch("http://1.1.1.1/")).status`,
    `async () => { const { connect } = await import("cloudflare:sockets"); return connect("${origin.host}").opened; }`,
  ])
    await fail("execute", { code });
  assert.equal(origin.requests.length, 0);
  assert.match(await fail("execute", { code: "async () => { syntax error }" }), /does not start/);
  assert.match(await fail("execute", { code: "42" }), /must be an async arrow function/);
  assert.match(await fail("execute", { code: "async () => { throw new Error('as told'); }" }), /^as told/);
  assert.equal(await call("search", { code: "async () => typeof cloudflare" }), "undefined", "what searches cannot call");
  const user = `cloudflare.request({ method: "GET", path: "/user" })`;
  assert.match(await fail("execute", { code: `async () => { for (let i = 0; i < 21; i++) await ${user}; }` }), /has made all its requests/);
  assert.match(await fail("execute", { code: `async () => cloudflare.request({ method: "GET", path: "/../../x" })` }), /API error 404|403/);
  // The capability of a run is of no use to another: only the run's own process has it, and only while it runs.
  const env = `async () => Object.keys((await import("cloudflare:workers")).env)`;
  assert.equal(await call("execute", { code: env }), '["API"]');
});

test("servers of single products do what they are for", { skip: skip || noBrowser }, async () => {
  const bindings = await connect("bindings");
  assert.equal((await bindings.client.listTools()).tools.length, 22);
  const { id } = JSON.parse(await bindings.call("kv_namespace_create", { title: "by a tool" }));
  assert.equal(JSON.parse(await bindings.call("kv_namespace_update", { namespace_id: id, title: "renamed" })).title, "renamed");
  assert.equal(JSON.parse(await bindings.call("kv_namespace_get", { namespace_id: id })).title, "renamed");
  await bindings.call("kv_namespace_delete", { namespace_id: id });
  assert.ok(!(await bindings.call("kv_namespaces_list")).includes("renamed"));
  const { uuid } = JSON.parse(await bindings.call("d1_database_create", { name: "by-a-tool" }));
  const [{ results }] = JSON.parse(
    await bindings.call("d1_database_query", { database_id: uuid, sql: "SELECT 6 * ? AS n", params: ["7"] }),
  );
  assert.deepEqual(results, [{ n: 42 }]);
  assert.equal(JSON.parse(await bindings.call("r2_bucket_create", { name: "by-a-tool" })).name, "by-a-tool");
  assert.match(await bindings.call("r2_buckets_list", { name_contains: "tool" }), /by-a-tool/);
  assert.match(await bindings.fail("kv_namespace_create", { title: 1 }), /Invalid arguments/);

  await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, { id: "watched", ...GATEWAY });
  const worker = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        console.log("a sign of life");
        return Response.json(await env.AI.run("@cf/meta/llama-3.1-8b-instruct", { prompt: "how are you" }, { gateway: { id: "watched" } }));
      } };`,
    },
    config: { name: "watched", observability: { enabled: true }, ai: { binding: "AI" } },
  });
  assert.match(await (await platform.fetch(worker.url)).text(), /echo how are you/);
  assert.match(await bindings.call("workers_get_worker_code", { scriptName: "watched" }), /a sign of life/);
  assert.equal(JSON.parse(await bindings.call("workers_get_worker", { scriptName: "watched" })).id, "watched");
  const observability = await connect("observability");
  const timeframe = { from: Date.now() - 3_600_000, to: Date.now() + 3_600_000 };
  const query = { view: "events", limit: 50, timeframe, parameters: { filters: [], needle: { value: "a sign of life" } } };
  for (;;) if ((await observability.call("query_worker_observability", { query })).includes("a sign of life")) break;
  assert.match(await observability.call("observability_keys", { keysQuery: { timeframe, limit: 1000 } }), /"\$metadata.service"/);
  const valuesQuery = { key: "$metadata.service", type: "string", timeframe };
  assert.match(await observability.call("observability_values", { valuesQuery }), /watched/);

  const audit = await connect("auditlogs");
  const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);
  const { logs } = JSON.parse(await audit.call("auditlogs_by_account_id", { since: day(-1), before: day(2), limit: 100 }));
  assert.ok(
    logs.some(({ action, resource }: Any) => action === "create" && resource === uuid),
    JSON.stringify(logs),
  );

  const graphql = await connect("graphql");
  assert.match(await graphql.call("graphql_schema_search", { keyword: "d1Queries" }), /d1QueriesAdaptiveGroups/);
  const asked = `query($accountTag: string!) { viewer { accounts(filter: { accountTag: $accountTag }) { d1AnalyticsAdaptiveGroups(limit: 5, filter: { date_geq: "${day(-1)}" }) { sum { readQueries } dimensions { databaseId } } } } }`;
  const [group] = JSON.parse(await graphql.call("graphql_query", { query: asked })).viewer.accounts[0].d1AnalyticsAdaptiveGroups;
  assert.deepEqual([group.dimensions.databaseId, group.sum.readQueries], [uuid, 1]);
  assert.match(await graphql.fail("graphql_query", { query: "{ nothing }" }), /nothing/);

  const gateways = await connect("ai-gateway");
  assert.deepEqual(
    JSON.parse(await gateways.call("list_gateways")).result.map(({ id }: Any) => id),
    ["watched"],
  );
  const { result: gatewayLogs } = JSON.parse(await gateways.call("list_logs", { gateway_id: "watched" }));
  const log = { gateway_id: "watched", log_id: gatewayLogs[0].id };
  assert.equal(JSON.parse(await gateways.call("get_log_details", log)).id, log.log_id);
  assert.match(await gateways.call("get_log_request_body", log), /how are you/);
  assert.match(await gateways.call("get_log_response_body", log), /echo how are you/);

  await platform.rest("POST", `/accounts/${account}/ai-search/instances`, { id: "shelf" });
  const form = new FormData();
  form.set("file", new Blob(["Tea is in the blue tin.\n"]), "tea.md");
  const upload = { method: "POST", headers: { authorization: `Bearer ${platform.ready.api_token}` }, body: form };
  assert.equal((await platform.fetch(`${platform.ready.api}/accounts/${account}/ai-search/instances/shelf/items`, upload)).status, 200);
  const search = await connect("autorag");
  assert.match(await search.call("list_rags"), /shelf/);
  const question = { rag_id: "shelf", query: "where is the tea" };
  while (!(await search.call("search", question)).includes("blue tin")) await delay(100);
  assert.match(await search.call("ai_search", question), /echo/);

  const browser = await connect("browser");
  const url = origin.page("shop", "<!doctype html><title>Shop</title><h1>Boots</h1><p>42 EUR");
  assert.match(await browser.call("get_url_markdown", { url }), /# Boots\n\n42 EUR/);
  assert.match(await browser.call("get_url_html_content", { url }), /<h1>Boots/);
  const { content } = await browser.client.callTool({ name: "get_url_screenshot", arguments: { url } });
  assert.deepEqual([content[0].type, content[0].mimeType], ["image", "image/png"]);
  assert.equal(Buffer.from(content[0].data, "base64").toString("latin1", 1, 4), "PNG");

  const docs = await connect("docs", undefined);
  assert.match(await docs.call("search_cloudflare_documentation", { query: "how long is the time travel of a D1 database" }), /bookmark/);
});
