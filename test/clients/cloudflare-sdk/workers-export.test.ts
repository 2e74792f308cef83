/** Export of spans and logs to an OTLP endpoint on the network, set up by the official SDK. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { toFile } from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}
interface Received {
  readonly path: string;
  readonly key: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: the two forms of OTLP; the tests look into them
  readonly body: any;
}

const received: Received[] = [];
let answer = 200;
const collector = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  if (answer === 200)
    received.push({
      path: request.url as string,
      key: request.headers["x-api-key"] as string,
      body: JSON.parse(Buffer.concat(chunks).toString()),
    });
  response.writeHead(answer).end();
});
collector.listen(0, "127.0.0.1");
await once(collector, "listening");
after(() => collector.close());
const collectorUrl = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;

const platform = await startPlatform({ after }, { config: { "observability.private_destinations": true } });
const account_id = platform.ready.account_id;
const client = platform.sdk();
const { destinations } = client.workers.observability;

async function until<T>(look: () => T | undefined | Promise<T | undefined>, what: string): Promise<T> {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`no ${what}`);
}

const create = (name: string, logpushDataset: "opentelemetry-traces" | "opentelemetry-logs", path: string) =>
  destinations.create({
    account_id,
    name,
    enabled: true,
    configuration: { type: "logpush", logpushDataset, url: collectorUrl + path, headers: { "x-api-key": "for the collector" } },
  });

test("[workers-25] spans and logs reach an OTLP endpoint, also when they are not stored", async () => {
  assert.equal((await create("My Traces", "opentelemetry-traces", "/v1/traces")).slug, "my-traces");
  await create("logs", "opentelemetry-logs", "/v1/logs");
  assert.equal(received.splice(0).length, 2, "each was tried before it was taken");

  const code = `export default { async fetch(request, env) { console.warn("stock is low", 3); await env.KV.get("a"); return new Response("ok"); } };`;
  const kv = await client.kv.namespaces.create({ account_id, title: "exported" });
  await client.workers.scripts.update("exported", {
    account_id,
    metadata: {
      main_module: "index.js",
      compatibility_date: "2026-11-01",
      bindings: [{ type: "kv_namespace", name: "KV", namespace_id: kv.id }],
      observability: {
        enabled: true,
        logs: { enabled: true, invocation_logs: false, persist: false, destinations: ["logs"] },
        traces: { enabled: true, persist: false, destinations: ["my-traces", "logs", "no-such-one"] },
      },
    } as never,
    files: { "index.js": await toFile(Buffer.from(code), "index.js", { type: "application/javascript+module" }) } as never,
  });
  await client.workers.scripts.subdomain.create("exported", { account_id, enabled: true });
  const url = platform.host("workers", { worker: "exported", subdomain: "dev" });
  assert.equal(await (await platform.fetch(`${url}/buy`)).text(), "ok");

  const traces = await until(() => received.find(({ path }) => path === "/v1/traces"), "spans");
  const logs = await until(() => received.find(({ path }) => path === "/v1/logs"), "logs");
  assert.equal(traces.key, "for the collector");
  const [{ resource, scopeSpans }] = traces.body.resourceSpans;
  assert.deepEqual(resource.attributes[0], { key: "service.name", value: { stringValue: "exported" } });
  const [root, get] = scopeSpans[0].spans;
  assert.deepEqual([root.name, get.name, get.parentSpanId, get.traceId], ["GET", "kv_get", root.spanId, root.traceId]);
  assert.match(root.traceId, /^[0-9a-f]{32}$/);
  assert(BigInt(root.endTimeUnixNano) >= BigInt(root.startTimeUnixNano));
  assert.deepEqual(root.attributes.find(({ key }: Attribute) => key === "http.response.status_code").value, { intValue: "200" });
  const [record, ...others] = logs.body.resourceLogs[0].scopeLogs[0].logRecords;
  assert.deepEqual(
    [record.body.stringValue, record.severityText, record.severityNumber, record.traceId, others.length],
    ["stock is low 3", "WARN", 13, root.traceId, 0],
  );

  const stored = await client.workers.observability.telemetry.query({
    account_id,
    queryId: "x",
    view: "events",
    parameters: {},
    timeframe: { from: Date.now() - 600_000, to: Date.now() + 60_000 },
  });
  assert.equal(stored.events?.count, 0, "persist: false");

  const listed = [];
  for await (const one of destinations.list({ account_id, orderBy: "created", order: "asc" })) listed.push(one);
  assert.deepEqual(
    listed.map(({ slug, scripts }) => [slug, scripts]),
    [
      ["my-traces", ["exported"]],
      ["logs", ["exported"]],
    ],
  );
  assert.deepEqual(listed[0]?.configuration.headers, { "x-api-key": "REDACTED" });
  assert.match(listed[0]?.configuration.jobStatus.last_complete as string, /^20\d\d-/);

  // An endpoint that is out for a while gets what it missed.
  answer = 503;
  received.splice(0);
  await (await platform.fetch(`${url}/late`)).text();
  await until(async () => {
    for await (const one of destinations.list({ account_id }))
      if (one.slug === "logs" && /503/.test(one.configuration.jobStatus.error_message)) return true;
    return undefined;
  }, "failure in the job's status");
  answer = 200;
  await until(
    () => received.find(({ path, body }) => path === "/v1/traces" && JSON.stringify(body).includes("/late")),
    "spans after the outage",
  );

  const update = { account_id, enabled: false, configuration: { type: "logpush" as const, url: `${collectorUrl}/v1/traces`, headers: {} } };
  assert.equal((await destinations.update("my-traces", update)).enabled, false);
  assert.equal((await destinations.delete("logs", { account_id })).slug, "logs");
  await platform.restart();
  const kept = [];
  for await (const one of destinations.list({ account_id })) kept.push([one.slug, one.enabled]);
  assert.deepEqual(kept, [["my-traces", false]]);
});

test("a destination that refuses, is taken already or is no HTTP URL is not made", async () => {
  const status = (work: Promise<unknown>) =>
    work.then(
      () => assert.fail("it was made"),
      (error: { status: number }) => error.status,
    );
  assert.equal(await status(create("My  traces", "opentelemetry-traces", "/v1/traces")), 409);
  answer = 401;
  assert.equal(await status(create("other", "opentelemetry-traces", "/v1/traces")), 400);
  answer = 200;
  const configuration = { type: "logpush" as const, logpushDataset: "opentelemetry-logs" as const, url: "file:///etc/passwd", headers: {} };
  assert.equal(
    await status(destinations.create({ account_id, name: "file", enabled: true, skipPreflightCheck: true, configuration })),
    400,
  );
  const smuggled = { ...configuration, url: collectorUrl, headers: { "x-a": "b\r\nx-c: d" } };
  assert.equal(
    await status(destinations.create({ account_id, name: "smuggled", enabled: true, skipPreflightCheck: true, configuration: smuggled })),
    400,
  );
  assert.equal(await status(destinations.delete("nowhere", { account_id })), 404);
});
