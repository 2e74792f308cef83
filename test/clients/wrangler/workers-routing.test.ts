/** Routes and custom domains: zones by the SDK, routes by wrangler and the SDK, requests by Host header and by TLS. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const { account_id: account } = platform.ready;
const sdk = platform.sdk();
const zone = await sdk.zones.create({ account: { id: account }, name: "shop.example" });

const files = {
  "index.js": `export default { fetch(request, env) { const url = new URL(request.url); return new Response(env.NAME + " " + url.protocol + "//" + url.host + url.pathname); } };`,
};
const named = (name: string, config: object) => ({ files, config: { name, vars: { NAME: name }, ...config } });

/** Asks the gateway for a URL by its Host header. */
function ask(url: string): Promise<string> {
  const { host, pathname } = new URL(url);
  const { hostname, port } = new URL(platform.ready.gateway);
  return answerOf(http.get({ host: hostname, port, path: pathname, headers: { host } }));
}

/** The body of a 200, or the status. */
function answerOf(request: http.ClientRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    request.on("error", reject).on("response", (response) => {
      text(response).then((body) => resolve(response.statusCode === 200 ? body : String(response.statusCode)), reject);
    });
  });
}

/** The same by TLS, trusting the platform's authority alone. */
function askTls(host: string, path: string): Promise<string> {
  const { hostname, port } = new URL(platform.ready.gateway_tls);
  return answerOf(https.get({ host: hostname, port, path, servername: host, headers: { host }, ca: readFileSync(platform.ready.ca_file) }));
}

test("[workers-07] a custom domain and routes of a zone reach the Worker by the Host header", async () => {
  const config = {
    routes: [
      { pattern: "www.shop.example", custom_domain: true },
      { pattern: "shop.example/api/*", zone_name: "shop.example" },
      { pattern: "*.img.shop.example/*", zone_id: zone.id },
    ],
  };
  const project = await workerProject(platform, named("front", config));
  const deployed = await project.deploy();
  assert.match(deployed.stdout, /www\.shop\.example \(custom domain\)/);
  assert.match(deployed.stdout, /shop\.example\/api\/\*/);
  assert.equal(await ask("http://www.shop.example/any/path"), "front http://www.shop.example/any/path");
  assert.equal(await ask("http://shop.example/api/users"), "front http://shop.example/api/users");
  assert.equal(await ask("http://a.img.shop.example/x"), "front http://a.img.shop.example/x");
  assert.equal(await ask("http://shop.example/other"), "404");
  assert.equal(await ask("http://img.shop.example/x"), "404");
  assert.equal(await ask("http://other.shop.example/"), "404");
  assert.equal(await askTls("www.shop.example", "/secure"), "front https://www.shop.example/secure");

  // A more specific route of another Worker wins; one without a Worker takes its paths out.
  await deployWorker(platform, named("special", { routes: [{ pattern: "shop.example/api/special*", zone_name: "shop.example" }] }));
  const none = await sdk.workers.routes.create({ zone_id: zone.id, pattern: "shop.example/api/none/*" });
  assert.equal(await ask("http://shop.example/api/special/1"), "special http://shop.example/api/special/1");
  assert.equal(await ask("http://shop.example/api/none/1"), "404");
  assert.equal(await ask("http://shop.example/api/else"), "front http://shop.example/api/else");
  await sdk.workers.routes.delete(none.id as string, { zone_id: zone.id });
  assert.equal(await ask("http://shop.example/api/none/1"), "front http://shop.example/api/none/1");

  // A deploy replaces the Worker's routes; the domain of another Worker is taken only with consent, which no terminal means.
  await project.write({
    "wrangler.json": JSON.stringify({
      main: "index.js",
      compatibility_date: "2026-11-01",
      ...named("front", { routes: [{ pattern: "shop.example/v2/*", zone_name: "shop.example" }] }).config,
    }),
  });
  await project.deploy();
  assert.equal(await ask("http://shop.example/api/users"), "404");
  assert.equal(await ask("http://shop.example/v2/users"), "front http://shop.example/v2/users");

  await platform.kill9();
  await platform.restart();
  assert.equal(await ask("http://shop.example/v2/users"), "front http://shop.example/v2/users");
  assert.equal(await ask("http://shop.example/api/special/1"), "special http://shop.example/api/special/1");
  await project.wrangler(["delete", "--force"]);
  assert.equal(await ask("http://shop.example/v2/users"), "404");
});

test("routes and domains by the SDK: list, get, update, delete", async () => {
  await deployWorker(platform, named("by-sdk", {}));
  const made = await sdk.workers.routes.create({ zone_id: zone.id, pattern: "sdk.shop.example/*", script: "by-sdk" });
  assert.equal(await ask("http://sdk.shop.example/a"), "by-sdk http://sdk.shop.example/a");
  const id = made.id as string;
  assert.deepEqual(await sdk.workers.routes.get(id, { zone_id: zone.id }), { id, pattern: "sdk.shop.example/*", script: "by-sdk" });
  await sdk.workers.routes.update(id, { zone_id: zone.id, pattern: "sdk2.shop.example/*", script: "by-sdk" });
  assert.deepEqual(
    [await ask("http://sdk.shop.example/a"), await ask("http://sdk2.shop.example/a")],
    ["404", "by-sdk http://sdk2.shop.example/a"],
  );
  await assert.rejects(sdk.workers.routes.create({ zone_id: zone.id, pattern: "sdk2.shop.example/*", script: "by-sdk" }), /10020/);
  const patterns = [];
  for await (const route of sdk.workers.routes.list({ zone_id: zone.id })) patterns.push(route.pattern);
  assert(patterns.includes("sdk2.shop.example/*"));
  const domain = await sdk.workers.domains.update({
    account_id: account,
    hostname: "d.shop.example",
    service: "by-sdk",
    zone_id: zone.id,
  });
  assert.equal(await ask("http://d.shop.example/"), "by-sdk http://d.shop.example/");
  const listed = [];
  for await (const one of sdk.workers.domains.list({ account_id: account, service: "by-sdk" }))
    listed.push([one.hostname, one.service, one.zone_name]);
  assert.deepEqual(listed, [["d.shop.example", "by-sdk", "shop.example"]]);
  await sdk.workers.domains.delete(domain.id as string, { account_id: account });
  assert.equal(await ask("http://d.shop.example/"), "404");
  const zones = [];
  for await (const one of sdk.zones.list({ name: "shop.example" })) zones.push([one.id, one.name, one.status]);
  assert.deepEqual(zones, [[zone.id, "shop.example", "active"]]);
});

test("what is not in the account's zones is refused, and nothing of the platform can be taken", async () => {
  const refuse = async (name: string, routes: unknown[], words: RegExp) => {
    const project = await workerProject(platform, named(name, { routes }));
    const { stdout, stderr } = await project.wrangler(["deploy"], { code: 1 });
    assert.match(stdout + stderr, words);
  };
  await refuse(
    "lost-zone",
    [{ pattern: "elsewhere.example/*", zone_name: "elsewhere.example" }],
    /Could not find zone for `elsewhere\.example`/,
  );
  await refuse("wrong-zone", [{ pattern: "elsewhere.example/*", zone_id: zone.id }], /does not belong to the zone/);
  await refuse("bad-pattern", [{ pattern: "shop.example/*/x", zone_name: "shop.example" }], /wildcard/);
  await deployWorker(platform, named("holder", { routes: [{ pattern: "held.shop.example", custom_domain: true }] }));
  // wrangler asks on a terminal and takes the domain elsewhere: the refusal is for who does not say that he wants it.
  await deployWorker(platform, named("taker", {}));
  const { status, body } = await platform.rest("PUT", `/accounts/${account}/workers/scripts/taker/domains/records`, {
    origins: [{ hostname: "held.shop.example" }],
  });
  assert.equal(status, 409);
  assert.match(body.errors[0]?.message ?? "", /already used by another Worker/);
  assert.equal(await ask("http://held.shop.example/"), "holder http://held.shop.example/");
  for (const name of [
    "freehold.localhost",
    "x.freehold.localhost",
    "api.cloudflare.com",
    "workers.dev",
    "localhost",
    "a b.example",
    "example",
  ])
    await assert.rejects(sdk.zones.create({ account: { id: account }, name }), /1002/, name);
  await assert.rejects(sdk.zones.create({ account: { id: account }, name: "shop.example" }), /1061/);
});

test("a token for one zone reaches its routes and no other zone's", async () => {
  const other = await sdk.zones.create({ account: { id: account }, name: "other.example" });
  const token = await platform.token(["Workers Routes Write", "Zone Read"], { [`com.cloudflare.api.account.zone.${other.id}`]: "*" });
  const limited = platform.sdk(token.value);
  const seen = [];
  for await (const one of limited.zones.list()) seen.push(one.name);
  assert.deepEqual(seen, ["other.example"]);
  assert.equal((await limited.workers.routes.create({ zone_id: other.id, pattern: "other.example/*" })).pattern, "other.example/*");
  await assert.rejects(limited.workers.routes.create({ zone_id: zone.id, pattern: "x.shop.example/*" }), /403/);
  await assert.rejects(limited.zones.get({ zone_id: zone.id }), /403/);
  await assert.rejects(limited.zones.create({ account: { id: account }, name: "mine.example" }), /403/);
});
