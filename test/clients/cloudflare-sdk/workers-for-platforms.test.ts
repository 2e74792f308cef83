/**
 * Workers for Platforms: namespaces by wrangler, user Workers by the official SDK, wrangler and the documentation's calls,
 * dispatch Workers as the documentation writes them, called by their routes.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http, { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { COMPATIBILITY_DATE, workerProject } from "../../harness/worker-project.ts";
import { rowsOf } from "../analytics.ts";

const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "private", "local"] } });
const client = platform.sdk();
const account = { account_id: platform.ready.account_id };
const inNamespace = { ...account, dispatch_namespace: "production" };
const { namespaces } = client.workersForPlatforms.dispatch;
const api = `/accounts/${account.account_id}/workers/dispatch/namespaces/production/scripts`;

/** What user Workers ask for lies here: it answers with the request's Authorization header, and remembers paths. */
const asked: string[] = [];
const origin = createServer((request, response) => {
  asked.push(request.url as string);
  response.end(JSON.stringify({ path: request.url, authorization: request.headers.authorization ?? null }));
});
await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
after(() => void origin.close());
const originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;

const file = (name: string, code: string) => new File([code], name, { type: "application/javascript+module" });

/** A user Worker by the SDK. */
async function put(name: string, code: string, metadata: object = {}) {
  return namespaces.scripts.update(name, {
    ...inNamespace,
    metadata: { main_module: `${name}.mjs`, compatibility_date: COMPATIBILITY_DATE, ...metadata },
    files: [file(`${name}.mjs`, code)],
  });
}

/** A Worker of the account, with routes on the platform's zone. */
async function worker(name: string, code: string, bindings: object[], routes: readonly string[] = []) {
  await client.workers.scripts.update(name, {
    ...account,
    metadata: { main_module: "index.mjs", compatibility_date: COMPATIBILITY_DATE, bindings } as never,
    files: { "index.mjs": file("index.mjs", code) } as never,
  });
  for (const pattern of routes) await client.workers.routes.create({ zone_id: zone.id, pattern, script: name });
}

/** Asks the gateway by the URL's host name. */
function ask(
  url: string,
  options: { method?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: string }> {
  const { host, pathname, search } = new URL(url);
  const { hostname, port } = new URL(platform.ready.gateway);
  const { body, method = "GET", headers } = options;
  return new Promise((resolve, reject) => {
    const request = http.request({ host: hostname, port, method, path: pathname + search, headers: { host, ...headers } });
    request.on("error", reject).on("response", (response) => {
      text(response).then((answer) => resolve({ status: response.statusCode as number, body: answer }), reject);
    });
    request.end(body);
  });
}

async function failure(work: Promise<unknown>): Promise<[number, string]> {
  try {
    await work;
  } catch (error) {
    assert(error instanceof Cloudflare.APIError, String(error));
    return [error.status as number, (error.errors as { message: string }[])[0]?.message as string];
  }
  assert.fail("no error");
}

const zone = await client.zones.create({ account: { id: account.account_id }, name: "saas.test" });

/** The documentation's dispatch Worker around one way to find the user Worker's name, and one to call it. */
const dispatcher = (lines: string) => `
export default {
  async fetch(request, env) {
    try {
      const url = new URL(request.url);
      ${lines}
      return await userWorker.fetch(request);
    } catch (e) {
      if (e.message.startsWith("Worker not found")) return new Response("", { status: 404 });
      if (e.message.includes("CPU time limit")) return new Response("CPU limit exceeded", { status: 429 });
      return new Response(e.message, { status: 500 });
    }
  },
};`;
const DISPATCHER = { type: "dispatch_namespace", name: "DISPATCHER", namespace: "production" };

test("[cloudflare-for-platforms-01] wrangler creates, lists, renames and deletes dispatch namespaces", async () => {
  const { wrangler } = await workerProject(platform, { config: { name: "unused" }, files: {} });
  assert.match(
    (await wrangler(["dispatch-namespace", "create", "prod"])).stdout,
    /Created dispatch namespace "prod" with ID "[0-9a-f-]{36}"/,
  );
  await wrangler(["dispatch-namespace", "rename", "prod", "production"]);
  await namespaces.create({ ...account, name: "staging" });
  const listed = (await wrangler(["dispatch-namespace", "list"])).stdout;
  assert(listed.includes("production") && listed.includes("staging") && !listed.includes("'prod'"), listed);
  assert.match((await wrangler(["dispatch-namespace", "delete", "staging"])).stdout, /Deleted dispatch namespace "staging"/);
  const names: unknown[] = [];
  for await (const { namespace_name, script_count, trusted_workers } of namespaces.list(account))
    names.push([namespace_name, script_count, trusted_workers]);
  assert.deepEqual(names, [["production", 0, false]]);
  assert.deepEqual((await failure(namespaces.get("staging", account)))[0], 404);
  assert.deepEqual((await failure(namespaces.create({ ...account, name: "production" })))[0], 409);
});

test("[cloudflare-for-platforms-02, cloudflare-for-platforms-03, cloudflare-for-platforms-05, cloudflare-for-platforms-06] user Workers are uploaded by REST and by the SDK, and dispatched to by path, subdomain and KV", async () => {
  // As the documentation's curl call does.
  const form = new FormData();
  form.append("metadata", new Blob(['{"main_module": "worker.mjs"}'], { type: "application/json" }));
  form.append(
    "worker.mjs",
    file("worker.mjs", 'export default { async fetch(request, env, ctx) { return new Response("Hello from user Worker!"); } };'),
    "worker.mjs",
  );
  const uploaded = await fetch(`${platform.ready.api}${api}/customer-1`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: form,
  });
  assert.equal(((await uploaded.json()) as { success: boolean }).success, true);
  const answer = await put("customer-2", 'export default { fetch: (request) => new Response("customer 2 at " + request.url) };');
  assert.equal(answer.id, "customer-2");

  const routes = await client.kv.namespaces.create({ ...account, title: "routes" });
  await client.kv.namespaces.values.update("mystore.kv.saas.test", { ...account, namespace_id: routes.id, value: "customer-2" });
  await worker(
    "by-path",
    dispatcher('const userWorker = env.DISPATCHER.get(url.pathname.split("/").filter(Boolean)[0]);'),
    [DISPATCHER],
    ["path.saas.test/*"],
  );
  await worker(
    "by-subdomain",
    dispatcher('const userWorker = env.DISPATCHER.get(url.hostname.split(".")[0]);'),
    [DISPATCHER],
    ["*.saas.test/*"],
  );
  const byKv = `
      const name = await env.USER_ROUTING.get(url.hostname);
      if (!name) return new Response("Route not configured", { status: 404 });
      const userWorker = env.DISPATCHER.get(name);`;
  const kv = { type: "kv_namespace", name: "USER_ROUTING", namespace_id: routes.id };
  await worker("by-kv", dispatcher(byKv), [DISPATCHER, kv], ["*.kv.saas.test/*"]);

  assert.deepEqual(await ask("http://path.saas.test/customer-1"), { status: 200, body: "Hello from user Worker!" });
  assert.deepEqual(await ask("http://customer-1.saas.test/x"), { status: 200, body: "Hello from user Worker!" });
  assert.deepEqual(await ask("http://customer-2.saas.test/x?y"), { status: 200, body: "customer 2 at http://customer-2.saas.test/x?y" });
  assert.deepEqual(await ask("http://mystore.kv.saas.test/"), { status: 200, body: "customer 2 at http://mystore.kv.saas.test/" });
  assert.deepEqual(await ask("http://other.kv.saas.test/"), { status: 404, body: "Route not configured" });
  assert.deepEqual(await ask("http://nobody.saas.test/"), { status: 404, body: "" });
  // A Worker of the account is no user Worker, nor of another namespace's.
  assert.deepEqual(await ask("http://by-path.saas.test/"), { status: 404, body: "" });
});

test("[cloudflare-for-platforms-04, cloudflare-for-platforms-09] wrangler deploys a user Worker, whose next version serves at once", async () => {
  const project = await workerProject(platform, {
    config: { name: "by-wrangler", vars: { GREETING: "hello" } },
    files: { "index.js": "export default { fetch: (request, env) => new Response(env.GREETING + ' 1') };" },
  });
  assert.match((await project.wrangler(["deploy", "--dispatch-namespace", "production"])).stdout, /Dispatch Namespace: production/);
  assert.equal((await ask("http://by-wrangler.saas.test/")).body, "hello 1");
  await put("by-wrangler", "export default { fetch: () => new Response('version 2') };");
  assert.equal((await ask("http://by-wrangler.saas.test/")).body, "version 2");
  const { script, dispatch_namespace } = await namespaces.scripts.get("by-wrangler", inNamespace);
  assert.deepEqual([script?.id, dispatch_namespace], ["by-wrangler", "production"]);
  await namespaces.scripts.delete("by-wrangler", inNamespace);
  assert.equal((await ask("http://by-wrangler.saas.test/")).status, 404);
  assert.equal((await failure(namespaces.scripts.get("by-wrangler", inNamespace)))[0], 404);
});

test("[cloudflare-for-platforms-07, cloudflare-for-platforms-08] tenants have stores of their own, and keep_bindings keeps them", async () => {
  const code = `export default { async fetch(request, env) {
    if (request.method === "PUT") await env.USER_KV.put("key", await request.text());
    if (request.url.endsWith("/bindings")) return Response.json(Object.keys(env).sort());
    return new Response(await env.USER_KV.get("key"));
  } };`;
  for (const name of ["tenant-a", "tenant-b"]) {
    const { id } = await client.kv.namespaces.create({ ...account, title: name });
    await put(name, code, { bindings: [{ type: "kv_namespace", name: "USER_KV", namespace_id: id }] });
    await ask(`http://${name}.saas.test/`, { method: "PUT", body: `of ${name}` });
  }
  assert.equal((await ask("http://tenant-a.saas.test/")).body, "of tenant-a");
  assert.equal((await ask("http://tenant-b.saas.test/")).body, "of tenant-b");

  await client.r2.buckets.create({ ...account, name: "tenant-a" });
  const form = new FormData();
  form.append(
    "metadata",
    JSON.stringify({ bindings: [{ type: "r2_bucket", name: "STORAGE", bucket_name: "tenant-a" }], keep_bindings: ["kv_namespace"] }),
  );
  const second = await fetch(`${platform.ready.api}${api}/tenant-a`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: form,
  });
  assert.equal(second.status, 200, await second.text());
  assert.equal((await ask("http://tenant-a.saas.test/bindings")).body, '["STORAGE","USER_KV"]');
  assert.equal((await ask("http://tenant-a.saas.test/")).body, "of tenant-a");
  // Without it an upload drops what it does not name.
  await put("tenant-b", code);
  assert.equal((await ask("http://tenant-b.saas.test/bindings")).body, "[]");
});

test("[cloudflare-for-platforms-10, cloudflare-for-platforms-11] a call's limits of CPU time and subrequests", async () => {
  const limits = 'const userWorker = env.DISPATCHER.get(url.hostname.split(".")[0], {}, { limits: { cpuMs: 10, subRequests: 5 } });';
  await worker("limiting", dispatcher(limits), [DISPATCHER], ["*.limited.saas.test/*"]);
  await put(
    "hungry",
    `export default { async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/loop") for (;;) {}
      for (let i = 0; i < Number(searchParams.get("n")); i++) await fetch("${originUrl}/sub");
      return new Response("fetched" + [...request.headers.keys()].filter((name) => name.startsWith("x-freehold")));
    } };`,
  );
  assert.deepEqual(await ask("http://hungry.limited.saas.test/?n=5"), { status: 200, body: "fetched" });
  const before = asked.length;
  const sixth = await ask("http://hungry.limited.saas.test/?n=6");
  assert.equal(sixth.status, 500);
  assert.match(sixth.body, /Too many subrequests/);
  assert.equal(asked.length - before, 5);
  // The limit is the call's, not the Worker's.
  assert.equal((await ask("http://hungry.saas.test/?n=6")).status, 200);
  assert.deepEqual(await ask("http://hungry.limited.saas.test/loop"), { status: 429, body: "CPU limit exceeded" });
  assert.equal((await ask("http://hungry.limited.saas.test/?n=1")).status, 200);
});

test("[cloudflare-for-platforms-12, cloudflare-for-platforms-13, cloudflare-for-platforms-14] an outbound Worker sees, blocks and signs what tenants fetch", async () => {
  await worker(
    "guard",
    `export default { async fetch(request, env, ctx) {
      const url = new URL(request.url);
      ctx.waitUntil(fetch("${originUrl}/log?" + new URLSearchParams({ customer: env.customer_name, from: env.params_object?.url, to: request.url })));
      if (url.hostname === "malicious.example") return new Response("blocked", { status: 403 });
      const headers = new Headers(request.headers);
      headers.set("Authorization", "Bearer jwt-of-" + env.customer_name);
      return fetch(new Request(request, { headers }));
    } };`,
    [],
  );
  const outbound = { worker: { service: "guard" }, params: [{ name: "customer_name" }, { name: "params_object" }] };
  const call =
    'const customer_name = url.hostname.split(".")[0]; const userWorker = env.DISPATCHER.get(customer_name, {}, { outbound: { customer_name, params_object: { url: request.url }, other: 1 } });';
  await worker("guarded", dispatcher(call), [{ ...DISPATCHER, outbound }], ["*.guarded.saas.test/*"]);
  await put(
    "curious",
    `import { connect } from "cloudflare:sockets";
    export default { async fetch(request) {
      const to = new URL(request.url).searchParams.get("to");
      if (to === "socket") {
        try {
          const socket = connect("${new URL(originUrl).host}");
          await socket.writable.getWriter().write(new TextEncoder().encode("GET /by-socket HTTP/1.0\\r\\n\\r\\n"));
          return new Response((await new Response(socket.readable).text()).slice(0, 15));
        } catch (error) { return new Response("no socket"); }
      }
      const forged = { "x-freehold-outbound": btoa(JSON.stringify({ customer_name: "forged" })), "x-freehold-call": "v1.AAAA" };
      const response = await fetch(to, { headers: forged });
      return new Response(await response.text(), { status: response.status });
    } };`,
  );
  const to = (target: string, host = "guarded.saas.test") => ask(`http://curious.${host}/?${new URLSearchParams({ to: target })}`);
  asked.length = 0;
  assert.deepEqual(await to(`${originUrl}/data`), { status: 200, body: '{"path":"/data","authorization":"Bearer jwt-of-curious"}' });
  assert.deepEqual(await to("http://malicious.example/steal"), { status: 403, body: "blocked" });
  const logged = () =>
    asked.filter((path) => path.startsWith("/log")).map((path) => Object.fromEntries(new URL(path, originUrl).searchParams));
  while (logged().length < 2) await once(origin, "request");
  assert.deepEqual(
    logged().map(({ customer, to: target }) => [customer, target]),
    [
      ["curious", `${originUrl}/data`],
      ["curious", "http://malicious.example/steal"],
    ],
  );
  assert.match(logged()[0]?.from as string, /^http:\/\/curious\.guarded\.saas\.test\//);
  assert.equal((await to("socket")).body, "no socket");
  // Without an outbound Worker nothing of that holds.
  assert.equal((await to(`${originUrl}/data`, "saas.test")).body, '{"path":"/data","authorization":null}');
  assert.equal((await to("socket", "saas.test")).body, "HTTP/1.1 200 OK");
});

test("[cloudflare-for-platforms-15, cloudflare-for-platforms-16] user Workers are isolated until their namespace trusts them", async () => {
  const code = `export default { async fetch(request) {
    const cache = await caches.open("shared");
    const key = "http://cached.example/";
    if (request.method === "PUT") await cache.put(key, new Response(await request.text(), { headers: { "cache-control": "max-age=60" } }));
    let standard = "usable";
    try { await caches.default.match(key); } catch { standard = "disabled"; }
    return Response.json([typeof request.cf, standard, (await (await cache.match(key))?.text()) ?? null]);
  } };`;
  await put("first", code);
  await put("second", code);
  const put1 = { method: "PUT", body: "cached by the first" };
  assert.equal((await ask("http://first.saas.test/", put1)).body, '["undefined","disabled","cached by the first"]');
  assert.equal((await ask("http://second.saas.test/")).body, '["undefined","disabled",null]');

  const trusted = await platform.rest("PUT", api.replace("/scripts", ""), { name: "production", trusted_workers: true });
  assert.equal(trusted.body.result.trusted_workers, true);
  assert.equal((await ask("http://second.saas.test/")).body, '["undefined","disabled",null]');
  await put("first", code);
  await put("second", code);
  assert.equal((await ask("http://first.saas.test/", put1)).body, '["object","usable","cached by the first"]');
  assert.equal((await ask("http://second.saas.test/")).body, '["object","usable","cached by the first"]');
  await platform.rest("PUT", api.replace("/scripts", ""), { trusted_workers: false });
});

test("[cloudflare-for-platforms-17, cloudflare-for-platforms-18] tags, the limit of eight, and lists and deletions by tag", async () => {
  const { tags } = namespaces.scripts;
  const code = "export default { fetch: () => new Response('tagged') };";
  await put("tagged-1", code, { tags: ["customer-123", "production"] });
  await put("tagged-2", code, { tags: ["customer-123"] });
  await put("tagged-3", code, { tags: ["production"] });
  const of = async (name: string) => {
    const found: string[] = [];
    for await (const tag of tags.list(name, inNamespace)) found.push(tag);
    return found;
  };
  assert.deepEqual(await of("tagged-1"), ["customer-123", "production"]);
  assert.equal((await platform.rest("PUT", `${api}/tagged-1/tags/pro-plan`)).status, 200);
  assert.deepEqual(await of("tagged-1"), ["customer-123", "production", "pro-plan"]);
  await tags.delete("pro-plan", { ...inNamespace, script_name: "tagged-1" });
  const eight = Array.from({ length: 8 }, (_, i) => `tag-${i}`);
  await tags.update("tagged-3", { ...inNamespace, body: eight });
  assert.deepEqual(await of("tagged-3"), eight);
  assert.deepEqual(await platform.rest("PUT", `${api}/tagged-3/tags/ninth`).then(({ status, body }) => [status, body.errors[0]?.message]), [
    400,
    "A Worker can have at most 8 tags.",
  ]);
  assert.equal((await platform.rest("PUT", `${api}/tagged-3/tags/a%2Cb`)).status, 400);
  assert.deepEqual(await of("tagged-3"), eight);

  const names = async (filter: string) =>
    ((await platform.rest("GET", `${api}?tags=${encodeURIComponent(filter)}`)).body.result as { id: string }[]).map(({ id }) => id);
  assert.deepEqual(await names("customer-123:yes"), ["tagged-1", "tagged-2"]);
  assert.deepEqual(await names("customer-123:yes,production:no"), ["tagged-2"]);
  assert.equal((await platform.rest("DELETE", api)).status, 400);
  assert.equal((await platform.rest("DELETE", `${api}?tags=customer-123:yes`)).status, 200);
  assert.deepEqual(await names("customer-123:yes"), []);
  assert.equal((await ask("http://tagged-1.saas.test/")).status, 404);
  assert.equal((await ask("http://tagged-3.saas.test/")).body, "tagged");
});

test("[cloudflare-for-platforms-19, cloudflare-for-platforms-20, cloudflare-for-platforms-21] static assets in three steps, shared in the namespace by hash, with each tenant's own handling", async () => {
  const contents = { "/index.html": "<h1>Hello World</h1>", "/about.html": "<p>About</p>" };
  const hashOf = (content: string) => createHash("sha256").update(content).digest("hex").slice(0, 32);
  const manifest = Object.fromEntries(
    Object.entries(contents).map(([path, content]) => [path, { hash: hashOf(content), size: content.length }]),
  );
  const session = async (name: string) =>
    (await platform.rest("POST", `${api}/${name}/assets-upload-session`, { manifest })).body.result as { jwt: string; buckets: string[][] };

  const { jwt, buckets } = await session("site-1");
  assert.deepEqual(buckets.flat().sort(), Object.values(contents).map(hashOf).sort());
  const form = new FormData();
  for (const content of Object.values(contents)) form.append(hashOf(content), btoa(content));
  const upload = `${platform.ready.api}/accounts/${account.account_id}/workers/assets/upload?base64=true`;
  const done = await fetch(upload, { method: "POST", headers: { authorization: `Bearer ${jwt}` }, body: form });
  assert.equal(done.status, 201);
  const completed = ((await done.json()) as { result: { jwt: string } }).result.jwt;
  const code = "export default { fetch: (request, env) => env.ASSETS.fetch(request) };";
  const bindings = [{ type: "assets", name: "ASSETS" }];
  await put("site-1", code, { assets: { jwt: completed }, bindings });
  assert.equal((await ask("http://site-1.saas.test/")).body, contents["/index.html"]);
  assert.equal((await ask("http://site-1.saas.test/about")).body, contents["/about.html"]);

  // The files are there already; the token of one Worker's session is none for another.
  const second = await session("site-2");
  assert.deepEqual(second.buckets, []);
  assert.equal((await failure(put("site-2", code, { assets: { jwt: completed }, bindings })))[0], 400);
  await put("site-2", code, { assets: { jwt: second.jwt, config: { html_handling: "none" } }, bindings });
  assert.equal((await ask("http://site-2.saas.test/about")).status, 404);
  assert.equal((await ask("http://site-2.saas.test/about.html")).body, contents["/about.html"]);
  assert.equal((await ask("http://site-1.saas.test/about.html")).status, 307);
  // A Worker goes with its code; what the other shares stays.
  await namespaces.scripts.delete("site-1", inNamespace);
  assert.equal((await ask("http://site-2.saas.test/index.html")).body, contents["/index.html"]);
});

test("[cloudflare-for-platforms-23] invocations are counted by namespace and user Worker", async () => {
  await put("counted", "export default { fetch: () => new Response('counted') };");
  for (let i = 0; i < 3; i++) assert.equal((await ask("http://counted.saas.test/")).body, "counted");
  const where = ', dispatchNamespaceName: "production", scriptName: "counted"';
  const selection = "sum { requests errors } dimensions { dispatchNamespaceName scriptName status }";
  assert.deepEqual(await rowsOf(platform, "workersInvocationsAdaptive", where, "", selection), [
    { sum: { requests: 3, errors: 0 }, dimensions: { dispatchNamespaceName: "production", scriptName: "counted", status: "success" } },
  ]);
  const all = (await rowsOf(platform, "workersInvocationsAdaptive", ', dispatchNamespaceName: ""', "", "dimensions { scriptName }")) as {
    dimensions: { scriptName: string };
  }[];
  const names = all.map(({ dimensions }) => dimensions.scriptName);
  assert(names.includes("by-subdomain") && !names.includes("counted"), String(names));
});

test("[cloudflare-for-platforms-22] a Tail Worker of the dispatch Worker hears of its user Workers: two events a request", async () => {
  const observer = `export default { async tail(events, env) {
    for (const { event, logs } of events) await env.KV.put(crypto.randomUUID(), [new URL(event.request.url).pathname, ...logs.flatMap((l) => l.message)].join(" "));
  } };`;
  const { id } = await client.kv.namespaces.create({ ...account, title: "observed" });
  await worker("observer", observer, [{ type: "kv_namespace", name: "KV", namespace_id: id }]);
  const code = dispatcher('console.log("from the dispatcher"); const userWorker = env.DISPATCHER.get("observed");');
  await worker("observed-dispatcher", code, [DISPATCHER], ["observed.saas.test/*"]);
  await put("observed", "export default { fetch() { console.log('from the tenant'); return new Response('served'); } };");
  // The user Worker runs before anybody listens, and is followed from then on.
  assert.equal((await ask("http://observed.saas.test/before")).body, "served");
  await client.workers.scripts.settings.edit("observed-dispatcher", { ...account, tail_consumers: [{ service: "observer" }] });
  assert.equal((await ask("http://observed.saas.test/one")).body, "served");
  await put("observed-later", "export default { fetch: () => { console.log('from the other tenant'); return new Response('served'); } };");
  await worker("later-dispatcher", code.replace('"observed"', '"observed-later"'), [DISPATCHER], ["later.saas.test/*"]);
  assert.equal((await ask("http://later.saas.test/two")).body, "served");
  const kv = { ...account, namespace_id: id };
  const wanted = ["/one from the dispatcher", "/one from the tenant", "/two from the other tenant"];
  const deadline = Date.now() + 30_000;
  for (let seen: string[] = []; seen.length < wanted.length; ) {
    assert(Date.now() < deadline, seen.join());
    const { result } = await client.kv.namespaces.keys.list(id, account);
    seen = await Promise.all(result.map(async ({ name }) => (await client.kv.namespaces.values.get(name, kv)).text()));
    if (seen.length >= wanted.length) assert.deepEqual(seen.sort(), wanted);
  }
});

test("[cloudflare-for-platforms-24] wrangler dev runs the dispatch Worker here and its user Workers on the platform", async (t) => {
  await put(
    "deployed",
    "export default { fetch: async (request) => new Response(request.method + ' ' + new URL(request.url).pathname + ' ' + (await request.text())) };",
  );
  const project = await workerProject(platform, {
    config: { name: "local-dispatcher", dispatch_namespaces: [{ binding: "DISPATCHER", namespace: "production", remote: true }] },
    files: { "index.js": dispatcher('const userWorker = env.DISPATCHER.get(url.pathname.split("/")[1]);') },
  });
  const terminal = openTerminal(
    t,
    platform,
    ["wrangler", "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"],
    { cwd: project.dir },
  );
  const [, port] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
  const answer = await fetch(`http://127.0.0.1:${port}/deployed/page`, { method: "POST", body: "from here" });
  assert.equal(await answer.text(), "POST /deployed/page from here", terminal.text());
});

test("WebSockets pass through a dispatch Worker, and an unknown Worker's is refused", async () => {
  await put(
    "talker",
    `export default { fetch() {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send("heard " + data));
      return new Response(null, { status: 101, webSocket: client });
    } };`,
  );
  const gateway = new URL(platform.ready.gateway).host;
  const open = (worker: string) => platform.webSocket(`ws://${gateway}/${worker}`, [], { headers: { host: "path.saas.test" } });
  const socket = open("talker");
  await once(socket, "open");
  socket.send("hello");
  const [message] = await once(socket, "message");
  assert.equal(String(message), "heard hello");
  socket.close();
  const refused = open("nobody");
  const [, response] = (await once(refused, "unexpected-response")) as [unknown, http.IncomingMessage];
  assert.equal(response.statusCode, 404);
  refused.on("error", () => undefined).terminate();
});

test("user Workers are reached through their namespace alone", async () => {
  await put("hidden", "export default { fetch: () => new Response('the user Worker') };");
  assert.equal((await platform.fetch(platform.host("workers", { worker: "hidden", subdomain: "dev" }))).status, 404);
  const [{ namespace_id: id } = {}] = (await platform.rest("GET", api.replace("/production/scripts", ""))).body.result;
  const escaped = encodeURIComponent(`${id}/hidden`);
  const scripts = `/accounts/${account.account_id}/workers/scripts`;
  for (const path of [`${scripts}/${escaped}`, `${scripts}/${escaped}/settings`, `${scripts}/hidden`])
    assert.equal((await platform.rest("GET", path)).status, 404, path);
  const bound = (name: string) =>
    worker("binder", dispatcher("const userWorker = env.S;"), [{ type: "service", name: "S", service: name }]);
  assert.equal((await failure(bound(`${id}/hidden`)))[0], 400);
  assert.equal((await failure(worker("binder", "export default { fetch() {} };", [{ ...DISPATCHER, namespace: "none" }])))[0], 404);
  assert.equal(
    (await failure(client.workers.routes.create({ zone_id: zone.id, pattern: "x.saas.test/*", script: `${id}/hidden` })))[0],
    404,
  );
  // A reader may not write, and a namespace that is bound stays.
  const reader = await platform.token(["Workers Scripts Read"]);
  assert.equal((await platform.rest("GET", api, undefined, reader.value)).status, 200);
  assert.equal((await platform.rest("DELETE", `${api}/hidden`, undefined, reader.value)).status, 403);
  assert.equal((await failure(namespaces.delete("production", account)))[0], 400);
});

test("what was uploaded is there after SIGKILL", async () => {
  await put("survivor", "export default { fetch: (request, env) => new Response(env.WORD) };", {
    bindings: [{ type: "plain_text", name: "WORD", text: "alive" }],
    tags: ["kept"],
  });
  await platform.kill9();
  await platform.restart();
  assert.equal((await ask("http://survivor.saas.test/")).body, "alive");
  assert.equal((await ask("http://customer-1.saas.test/")).body, "Hello from user Worker!");
  assert.equal((await ask("http://nobody.saas.test/")).status, 404);
  assert.deepEqual((await platform.rest("GET", `${api}/survivor/tags`)).body.result, ["kept"]);
});
