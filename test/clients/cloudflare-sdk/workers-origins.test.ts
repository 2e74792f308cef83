/**
 * Origins: DNS records by the SDK, and the requests that reach what they name. An origin is asked on the port of the URL,
 * so that the one of these tests listens on another loopback address at the gateway's port.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import type Cloudflare from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "private", "local"] } });
const sdk = platform.sdk();
const { hostname: address, port } = new URL(platform.ready.gateway);
const { id: zone_id } = await sdk.zones.create({ account: { id: platform.ready.account_id }, name: "fail.example" });

const origin = http.createServer((request, response) => {
  void text(request).then((body) => {
    response.writeHead(203, { "content-type": "text/plain", "x-origin": "yes" });
    response.end(`origin: ${request.method} ${request.headers.host} ${request.url} ${body} via ${request.headers["cf-ew-via"]}`);
  });
});
origin.listen(Number(port), "127.0.0.2");
await once(origin, "listening");
after(() => origin.close());

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

async function ask(
  host: string,
  path: string,
  options: { method?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const headers = { host: `${host}:${port}`, ...options.headers };
  const request = http.request({ host: address, port, path, method: options.method ?? "GET", headers });
  request.end(options.body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

test("[workers-10] a throwing Worker on a route yields the origin's page", async () => {
  await sdk.dns.records.create({ zone_id, type: "A", name: "www.fail.example", content: "127.0.0.2", ttl: 1, proxied: true });
  await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env, ctx) {
        const { pathname } = new URL(request.url);
        if (pathname !== "/strict") ctx.passThroughOnException();
        if (pathname === "/fetch") return fetch(request);
        if (pathname === "/fine") return new Response("the Worker's");
        await scheduler.wait(1);
        throw new Error("broken");
      } }`,
    },
    config: { name: "thrower", routes: [{ pattern: "*.fail.example/*", zone_name: "fail.example" }] },
  });
  assert.equal((await ask("www.fail.example", "/fine")).body, "the Worker's");
  const passed = await ask("www.fail.example", "/shop?item=1");
  assert.deepEqual([passed.status, passed.headers["x-origin"]], [203, "yes"]);
  assert.equal(passed.body, `origin: GET www.fail.example:${port} /shop?item=1  via 15`);
  const posted = await ask("www.fail.example", "/order", { method: "POST", body: "two of them" });
  assert.match(posted.body, /^origin: POST www\.fail\.example:\d+ \/order two of them /);
  // Without the call it is the error page, and fetch() of its own URL reaches the origin, not the Worker again.
  assert.equal((await ask("www.fail.example", "/strict")).status, 500);
  assert.match((await ask("www.fail.example", "/fetch")).body, /^origin: GET www\.fail\.example:\d+ \/fetch /);
});

test("URLs of a zone without a Worker are their origin's; without an origin they are nothing; loops end with 1019", async () => {
  await sdk.dns.records.create({ zone_id, type: "CNAME", name: "alias.fail.example", content: "www.fail.example", ttl: 1, proxied: true });
  await sdk.dns.records.create({ zone_id, type: "A", name: "fail.example", content: "127.0.0.2", ttl: 1 });
  await sdk.dns.records.create({ zone_id, type: "A", name: "loop.fail.example", content: "127.0.0.1", ttl: 1, proxied: true });
  assert.match((await ask("fail.example", "/plain")).body, /^origin: GET fail\.example:\d+ \/plain /);
  assert.equal((await ask("nothing.example", "/")).status, 404);
  // A CNAME within the zone; the Worker of the route throws here too.
  assert.match((await ask("alias.fail.example", "/x")).body, /^origin: GET alias\.fail\.example/);
  // Its record leads back to the gateway.
  const looped = await ask("loop.fail.example", "/", { headers: { accept: "application/json" } });
  assert.deepEqual([looped.status, JSON.parse(looped.body).error_code], [508, 1019]);
});

test("DNS records by the SDK: create, get, list, edit, update, delete, and their refusals", async () => {
  const record = await sdk.dns.records.create({ zone_id, type: "AAAA", name: "six", content: "2001:DB8::1", ttl: 300, comment: "a note" });
  assert.deepEqual([record.name, record.content, record.proxied, record.ttl], ["six.fail.example", "2001:db8::1", false, 300]);
  assert.equal((await sdk.dns.records.get(record.id, { zone_id })).comment, "a note");
  const edited = await sdk.dns.records.edit(record.id, { zone_id, type: "AAAA", name: "six", content: "2001:db8::2", ttl: 300 });
  assert.deepEqual([edited.content, edited.comment], ["2001:db8::2", "a note"]);
  const replaced = await sdk.dns.records.update(record.id, { zone_id, type: "A", name: "four.fail.example", content: "192.0.2.1", ttl: 1 });
  assert.deepEqual([replaced.type, replaced.name, replaced.comment], ["A", "four.fail.example", null]);
  const found: string[] = [];
  for await (const { id } of sdk.dns.records.list({ zone_id, type: "A", name: { exact: "four.fail.example" } })) found.push(id);
  assert.deepEqual(found, [record.id]);
  const refused: [Parameters<typeof sdk.dns.records.create>[0], number, number][] = [
    [{ zone_id, type: "A", name: "bad", content: "not an address", ttl: 1 }, 400, 9005],
    [{ zone_id, type: "AAAA", name: "bad", content: "192.0.2.1", ttl: 1 }, 400, 9006],
    [{ zone_id, type: "CNAME", name: "bad", content: "no host!", ttl: 1 }, 400, 9007],
    [{ zone_id, type: "A", name: "b?d", content: "192.0.2.1", ttl: 1 }, 400, 9000],
    [{ zone_id, type: "A", name: "four", content: "192.0.2.1", ttl: 1 }, 400, 81058],
    [{ zone_id, type: "CNAME", name: "four", content: "fail.example", ttl: 1 }, 400, 81053],
    [{ zone_id, type: "MX", name: "mail", content: "no host!", priority: 1, ttl: 1 }, 400, 9009],
    [{ zone_id, type: "NS", name: "text", content: "ns.fail.example", ttl: 1 }, 501, 10501],
  ];
  for (const [params, status, code] of refused) {
    const error = await sdk.dns.records.create(params).then(
      () => undefined,
      (thrown: unknown) => thrown as InstanceType<typeof Cloudflare.APIError>,
    );
    assert.deepEqual([error?.status, error?.errors[0]?.code], [status, code], JSON.stringify(params));
  }
  await sdk.dns.records.delete(record.id, { zone_id });
  await assert.rejects(
    sdk.dns.records.get(record.id, { zone_id }),
    (error: InstanceType<typeof Cloudflare.APIError>) => error.errors[0]?.code === 81044,
  );
});

test("a record cannot lead a request to an address that Workers may not reach", async (t) => {
  const strict = await startPlatform(t);
  const strictSdk = strict.sdk();
  const { id } = await strictSdk.zones.create({ account: { id: strict.ready.account_id }, name: "inner.example" });
  const gateway = new URL(strict.ready.gateway);
  let asked = 0;
  const secret = http.createServer((_request, response) => {
    asked++;
    response.end("internal");
  });
  secret.listen(Number(gateway.port), "127.0.0.2");
  await once(secret, "listening");
  t.after(() => secret.close());
  await strictSdk.dns.records.create({ zone_id: id, type: "A", name: "inner.example", content: "127.0.0.2", ttl: 1 });
  await strictSdk.dns.records.create({ zone_id: id, type: "CNAME", name: "name.inner.example", content: "localhost.localdomain", ttl: 1 });
  for (const host of ["inner.example", "name.inner.example"]) {
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get({ host: gateway.hostname, port: gateway.port, headers: { host: `${host}:${gateway.port}` } }, resolve).on("error", reject);
    });
    assert.match(String(answer.statusCode), /^(403|530)$/);
    answer.resume();
  }
  assert.equal(asked, 0);
});
