/** Custom hostnames by the official SDK: proofs in a DNS of our own, requests by Host header and by TLS, to Workers and origins. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http, { createServer } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import type { TLSSocket } from "node:tls";
import Cloudflare from "cloudflare";
import { dnsServer, type Records } from "../../harness/dns-server.ts";
import { startPlatform } from "../../harness/platform.ts";
import { COMPATIBILITY_DATE } from "../../harness/worker-project.ts";

/** Everything that is not the platform: the origin, and the servers of the customers' domains. */
const tokens = new Map<string, string>();
const agents: (string | undefined)[] = [];
const elsewhere = createServer((request, response) => {
  const token = tokens.get(`http://${request.headers.host}${request.url}`);
  if (token !== undefined) agents.push(request.headers["user-agent"]);
  response.end(token ?? `origin of ${request.headers.host}`);
});
await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
after(() => void elsewhere.close());
const { port } = elsewhere.address() as AddressInfo;
const dns = new Map<string, Records>();
const platform = await startPlatform(
  { after },
  {
    config: {
      "runtime.outbound_allow": ["public", "private", "local"],
      "custom_hostnames.dns_servers": [await dnsServer({ after }, dns)],
      "custom_hostnames.http_port": port,
    },
  },
);
const client = platform.sdk();
const account = { account_id: platform.ready.account_id };
const zone = await client.zones.create({ account: { id: account.account_id }, name: "saas.test" });
const inZone = { zone_id: zone.id };
const { customHostnames } = client;

interface Answer {
  readonly status: number;
  readonly body: string;
}

function answered(request: http.ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.on("error", reject).on("response", (response) => {
      text(response).then((body) => resolve({ status: response.statusCode as number, body }), reject);
    });
    request.end();
  });
}

/** Asks the gateway by the Host header. */
function ask(host: string): Promise<Answer> {
  const gateway = new URL(platform.ready.gateway);
  return answered(http.request({ host: gateway.hostname, port: gateway.port, path: "/", headers: { host } }));
}

async function failure(work: Promise<unknown>): Promise<[number, number]> {
  try {
    await work;
  } catch (error) {
    assert(error instanceof Cloudflare.APIError, String(error));
    return [error.status as number, (error.errors as { code: number }[])[0]?.code as number];
  }
  assert.fail("no error");
}

/** A hostname whose traffic is led to the zone, and which is active. */
async function activeHostname(hostname: string, options: object = {}) {
  dns.set(hostname, { CNAME: ["customers.saas.test"] });
  const { id } = await customHostnames.create({ ...inZone, hostname, ssl: { method: "http", type: "dv" }, ...options });
  const active = await customHostnames.edit(id, { ...inZone, ssl: { method: "http", type: "dv" } });
  assert.deepEqual([active.status, active.ssl?.status], ["active", "active"]);
  return id;
}

test("[cloudflare-for-platforms-28] custom hostnames are made, found, edited and deleted", async () => {
  const ssl = { method: "txt", type: "dv", settings: { min_tls_version: "1.2", http2: "on" } } as const;
  const made = await customHostnames.create({ ...inZone, hostname: "App.Customer.test", ssl, custom_metadata: { plan: "pro" } });
  assert.equal(made.hostname, "app.customer.test");
  assert.equal(made.status, "pending");
  assert.deepEqual(
    [made.ssl?.status, made.ssl?.method, made.ssl?.settings],
    ["pending_validation", "txt", { min_tls_version: "1.2", http2: "on" }],
  );
  assert.equal(made.ssl?.validation_records?.[0]?.txt_name, "_acme-challenge.app.customer.test");
  assert.equal(made.ownership_verification?.name, "_cf-custom-hostname.app.customer.test");
  assert.match(
    made.ownership_verification_http?.http_url as string,
    /^http:\/\/app\.customer\.test\/\.well-known\/cf-custom-hostname-challenge\//,
  );

  const edited = await customHostnames.edit(made.id, {
    ...inZone,
    ssl: { ...ssl, settings: { http2: "off" } },
    custom_metadata: { plan: "free" },
  });
  // Settings that are not sent fall to their defaults.
  assert.deepEqual([edited.ssl?.settings, edited.custom_metadata], [{ http2: "off" }, { plan: "free" }]);
  const found: string[] = [];
  for await (const { id } of customHostnames.list({ ...inZone, hostname: { contain: "app" } as never })) found.push(id);
  for await (const { id } of customHostnames.list(inZone)) found.push(id);
  assert(found.includes(made.id));
  assert.equal((await customHostnames.get(made.id, inZone)).id, made.id);

  const create = (hostname: string, more: object = {}) => failure(customHostnames.create({ ...inZone, hostname, ssl, ...more }));
  assert.deepEqual(await create("app.customer.test"), [409, 1406]);
  assert.deepEqual(await create("saas.test"), [403, 1413]);
  assert.deepEqual(await create("not a name"), [400, 1407]);
  const long = `${"a".repeat(40)}.${"b".repeat(20)}.customer.test`;
  assert.deepEqual(await create(long), [400, 1469]);
  const big = { custom_metadata: { text: "x".repeat(4_096) } };
  assert.deepEqual(await create("big.customer.test", big), [400, 1410]);
  assert.deepEqual(await create("ip.customer.test", { custom_origin_server: "192.0.2.1" }), [400, 1434]);
  const other = await client.zones.create({ account: { id: account.account_id }, name: "other.test" });
  assert.deepEqual(await failure(customHostnames.get(made.id, { zone_id: other.id })), [404, 1436]);
  const reader = await platform.token(["SSL and Certificates Read"], { [`com.cloudflare.api.account.zone.${other.id}`]: "*" });
  assert.equal((await platform.rest("GET", `/zones/${zone.id}/custom_hostnames`, undefined, reader.value)).status, 403);

  assert.equal((await customHostnames.delete(made.id, inZone)).id, made.id);
  assert.deepEqual(await failure(customHostnames.get(made.id, inZone)), [404, 1436]);
});

test("[cloudflare-for-platforms-31] the owner shows it by a TXT record, by an HTTP token, or by CNAME", async () => {
  const check = async (id: string, method: "http" | "txt") => {
    const { status, ssl } = await customHostnames.edit(id, { ...inZone, ssl: { method, type: "dv" } });
    return [status, ssl?.status];
  };
  const byTxt = await customHostnames.create({ ...inZone, hostname: "txt.customer.test", ssl: { method: "txt", type: "dv" } });
  assert.deepEqual(await check(byTxt.id, "txt"), ["pending", "pending_validation"]);
  dns.set("_cf-custom-hostname.txt.customer.test", { TXT: ["something else"] });
  assert.deepEqual(await check(byTxt.id, "txt"), ["pending", "pending_validation"]);
  dns.set("_cf-custom-hostname.txt.customer.test", { TXT: [byTxt.ownership_verification?.value as string] });
  assert.deepEqual(await check(byTxt.id, "txt"), ["active", "pending_validation"]);
  dns.set("_acme-challenge.txt.customer.test", { TXT: [byTxt.ssl?.validation_records?.[0]?.txt_value as string] });
  assert.deepEqual(await check(byTxt.id, "txt"), ["active", "active"]);
  // Another way to prove the control of the name begins anew.
  assert.deepEqual(await check(byTxt.id, "http"), ["active", "pending_validation"]);

  dns.set("http.customer.test", { A: ["127.0.0.1"] });
  const byHttp = await customHostnames.create({ ...inZone, hostname: "http.customer.test", ssl: { method: "http", type: "dv" } });
  const { http_url: url, http_body: body } = byHttp.ownership_verification_http ?? {};
  assert.deepEqual(await check(byHttp.id, "http"), ["pending", "pending_validation"]);
  tokens.set(url as string, body as string);
  assert.deepEqual(await check(byHttp.id, "http"), ["active", "pending_validation"]);
  assert.equal(agents[0], "Cloudflare Custom Hostname Verification");
  const record = byHttp.ssl?.validation_records?.[0];
  tokens.set(record?.http_url as string, record?.http_body as string);
  assert.deepEqual(await check(byHttp.id, "http"), ["active", "active"]);

  const byCname = await customHostnames.create({ ...inZone, hostname: "cname.customer.test", ssl: { method: "http", type: "dv" } });
  dns.set("cname.customer.test", { CNAME: ["elsewhere.example"] });
  assert.deepEqual(await check(byCname.id, "http"), ["pending", "pending_validation"]);
  assert.equal((await ask("cname.customer.test")).status, 404);
  dns.set("cname.customer.test", { CNAME: ["alias.customer.test"] });
  dns.set("alias.customer.test", { CNAME: ["customers.saas.test"] });
  assert.deepEqual(await check(byCname.id, "http"), ["active", "active"]);
});

test("[cloudflare-for-platforms-29] requests of a custom hostname reach the fallback origin, or one of its own", async () => {
  await activeHostname("shop.fallback.test");
  const host = `shop.fallback.test:${port}`;
  const without = await ask(host);
  assert.equal(without.status, 530);
  assert.match(without.body, /1016/);
  await client.dns.records.create({ ...inZone, type: "A", name: "proxy-fallback.saas.test", content: "127.0.0.1", ttl: 1 });
  assert.deepEqual(await failure(customHostnames.fallbackOrigin.update({ ...inZone, origin: "origin.elsewhere.example" })), [400, 1434]);
  const set = await customHostnames.fallbackOrigin.update({ ...inZone, origin: "proxy-fallback.saas.test" });
  assert.equal(set.status, "active");
  assert.equal((await customHostnames.fallbackOrigin.get(inZone)).origin, "proxy-fallback.saas.test");
  // The Host header stays the customer's.
  assert.deepEqual(await ask(host), { status: 200, body: `origin of ${host}` });
  // Nobody's name is nobody's, whatever its DNS says.
  dns.set("stranger.fallback.test", { CNAME: ["customers.saas.test"] });
  assert.equal((await ask(`stranger.fallback.test:${port}`)).status, 404);
  await customHostnames.fallbackOrigin.delete(inZone);
  assert.deepEqual(await failure(customHostnames.fallbackOrigin.get(inZone)), [404, 1551]);
});

test("[cloudflare-for-platforms-30, cloudflare-for-platforms-32, cloudflare-for-platforms-34] custom hostnames reach the dispatch Worker by the route */*, with metadata and certificates of their own", async () => {
  const file = (name: string, code: string) => new File([code], name, { type: "application/javascript+module" });
  const { namespaces } = client.workersForPlatforms.dispatch;
  await namespaces.create({ ...account, name: "production" });
  for (const name of ["tenant-1", "tenant-2"])
    await namespaces.scripts.update(name, {
      ...account,
      dispatch_namespace: "production",
      metadata: { main_module: "w.mjs", compatibility_date: COMPATIBILITY_DATE },
      files: [file("w.mjs", `export default { fetch: (request) => new Response("${name} at " + request.url + " " + typeof request.cf) };`)],
    });
  await client.workers.scripts.update("dispatch", {
    ...account,
    metadata: {
      main_module: "index.mjs",
      compatibility_date: COMPATIBILITY_DATE,
      bindings: [{ type: "dispatch_namespace", name: "DISPATCHER", namespace: "production" }],
    },
    files: {
      "index.mjs": file(
        "index.mjs",
        `export default { async fetch(request, env) {
          const { hostMetadata } = request.cf;
          if (hostMetadata === undefined) return new Response("no custom hostname: " + new URL(request.url).host);
          if (hostMetadata.customer_id === undefined) return Response.json(hostMetadata);
          return env.DISPATCHER.get("tenant-" + hostMetadata.customer_id).fetch(request);
        } };`,
      ),
    } as never,
  });
  await client.workers.routes.create({ ...inZone, pattern: "*/*", script: "dispatch" });

  const id = await activeHostname("shop.customer.test", { custom_metadata: { customer_id: "1" } });
  await activeHostname("mystore.example.test", { custom_metadata: { customer_id: "2" } });
  assert.equal((await ask("shop.customer.test")).body, "tenant-1 at http://shop.customer.test/ undefined");
  assert.equal((await ask("mystore.example.test")).body, "tenant-2 at http://mystore.example.test/ undefined");
  assert.equal((await ask("any.saas.test")).body, "no custom hostname: any.saas.test");
  // Neither another zone's names, nor those of nobody, nor a hostname that nobody has proven.
  for (const host of ["www.other.test", "nobody.example", "shop.unproven.test"]) {
    if (host === "shop.unproven.test") await customHostnames.create({ ...inZone, hostname: host });
    assert.equal((await ask(host)).status, 404, host);
  }
  const metadata = { redirect_to_https: true, level: 3, name: "Käse ☃" };
  await customHostnames.edit(id, { ...inZone, custom_metadata: metadata as never });
  assert.deepEqual(JSON.parse((await ask("shop.customer.test")).body), metadata);

  const gateway = new URL(platform.ready.gateway_tls);
  const secure = (servername: string) =>
    https.request({
      host: gateway.hostname,
      port: gateway.port,
      servername,
      headers: { host: servername },
      ca: readFileSync(platform.ready.ca_file),
      agent: false,
    });
  const request = secure("mystore.example.test");
  const shown = new Promise<string | undefined>((resolve, reject) => {
    request
      .on("error", reject)
      .on("socket", (socket: TLSSocket) => socket.once("secureConnect", () => resolve(socket.getPeerCertificate().subjectaltname)));
  });
  assert.equal((await answered(request)).body, "tenant-2 at https://mystore.example.test/ undefined");
  assert.equal(await shown, "DNS:mystore.example.test");
  await assert.rejects(answered(secure("shop.unproven.test")));

  // A route without a Worker takes its names out; the hostname goes with its deletion.
  await client.workers.routes.create({ ...inZone, pattern: "mystore.example.test/*" });
  assert.equal((await ask("mystore.example.test")).status, 530);
  await customHostnames.delete(id, inZone);
  assert.equal((await ask("shop.customer.test")).status, 404);
});
