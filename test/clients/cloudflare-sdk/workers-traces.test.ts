/** Spans of what a Worker calls, and figures of Workers: by the official SDK and the GraphQL Analytics API. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { toFile } from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";

const origin = createServer((_request, response) => response.writeHead(203).end("from the origin"));
origin.listen(0, "127.0.0.1");
await once(origin, "listening");
after(() => origin.close());
const originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}/stock`;

const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "private"] } });
const account_id = platform.ready.account_id;
const client = platform.sdk();
const begun = Date.now() - 1_000;
const query = (view: "events" | "traces" | "agents" | "calculations", parameters: object = {}, more: object = {}) =>
  client.workers.observability.telemetry.query({
    account_id,
    queryId: "adhoc",
    view,
    timeframe: { from: begun, to: Date.now() + 60_000 },
    parameters: parameters as never,
    limit: 200,
    ...more,
  });

async function upload(name: string, code: string, metadata: object = {}): Promise<string> {
  await client.workers.scripts.update(name, {
    account_id,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01", ...metadata } as never,
    files: { "index.js": await toFile(Buffer.from(code), "index.js", { type: "application/javascript+module" }) } as never,
  });
  await client.workers.scripts.subdomain.create(name, { account_id, enabled: true });
  return platform.host("workers", { worker: name, subdomain: "dev" });
}

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`no ${what}`);
}

const [kv, d1, queue] = await Promise.all([
  client.kv.namespaces.create({ account_id, title: "traced" }),
  client.d1.database.create({ account_id, name: "traced" }),
  client.queues.create({ account_id, queue_name: "traced" }),
  client.r2.buckets.create({ account_id, name: "traced" }),
]);
await upload(
  "callee",
  `import { WorkerEntrypoint } from "cloudflare:workers";
  export default class extends WorkerEntrypoint { fetch() { return new Response("callee"); } add(a, b) { return a + b; } }`,
);

test("[workers-24] fetch() and every binding are spans of one trace, without a change of code", async () => {
  const url = await upload(
    "traced",
    `import { DurableObject } from "cloudflare:workers";
    export class Counter extends DurableObject {
      async hit() { this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (a)"); await this.ctx.storage.put("n", 1); return 1; }
    }
    export default { async fetch(request, env) {
      await env.KV.put("a", "1");
      await env.KV.get("a");
      await env.BUCKET.put("a", "1");
      await (await env.BUCKET.get("a")).text();
      await env.DB.prepare("SELECT 1 AS one").all();
      await env.QUEUE.send({ a: 1 });
      await env.OBJECTS.get(env.OBJECTS.idFromName("x")).hit();
      await env.CALLEE.add(1, 2);
      await (await env.CALLEE.fetch("http://callee/")).text();
      return new Response(await (await fetch(${JSON.stringify(originUrl)})).text(), { status: 201 });
    } };`,
    {
      migrations: { new_tag: "v1", new_sqlite_classes: ["Counter"] },
      bindings: [
        { type: "kv_namespace", name: "KV", namespace_id: kv.id },
        { type: "r2_bucket", name: "BUCKET", bucket_name: "traced" },
        { type: "d1", name: "DB", id: d1.uuid },
        { type: "queue", name: "QUEUE", queue_name: queue.queue_name },
        { type: "durable_object_namespace", name: "OBJECTS", class_name: "Counter" },
        { type: "service", name: "CALLEE", service: "callee" },
      ],
      observability: { enabled: false, traces: { enabled: true } },
    },
  );
  assert.equal(await (await platform.fetch(`${url}/checkout`)).text(), "from the origin");
  // The object's invocation ends on its own: the trace is whole when it has both.
  const ended = async (filter: object) => ((await query("events", { filters: [filter] })).events?.count ?? 0) > 0;
  await until(async () => (await ended({ key: "faas.trigger", operation: "eq", type: "string", value: "http" })) || undefined, "root span");
  const stored = { key: "$metadata.spanName", operation: "eq", type: "string", value: "durable_object_storage_exec" };
  await until(async () => (await ended(stored)) || undefined, "span of the object");
  const trace = (await query("traces")).traces?.[0] ?? assert.fail("no trace");
  assert.equal(trace.rootSpanName, "GET");
  assert.equal(trace.rootTransactionName, "GET /checkout");
  assert.deepEqual(trace.service, ["traced"]);
  assert.equal(trace.traceEndMs - trace.traceStartMs, trace.traceDurationMs);

  const { events } = await query("events", {
    filters: [{ key: "$metadata.traceId", operation: "eq", type: "string", value: trace.traceId }],
  });
  const spans = (events?.events ?? []).map(({ dataset, source, $metadata }) => {
    assert.equal(dataset, "otel");
    assert.equal($metadata.service, "traced");
    return {
      name: $metadata.spanName as string,
      id: $metadata.spanId,
      parent: $metadata.parentSpanId,
      attributes: source as Record<string, unknown>,
    };
  });
  const named = (name: string) =>
    spans.find((span) => span.name === name) ?? assert.fail(`${name} is not among ${spans.map((span) => span.name)}`);
  const root = spans.find((span) => span.parent === undefined);
  assert.equal(root?.attributes["http.response.status_code"], 201);
  for (const name of ["kv_put", "kv_get", "r2_put", "r2_get", "d1_all", "durable_object_subrequest"])
    assert.equal(named(name).parent, root?.id, name);
  assert.equal(named("kv_get").attributes["cloudflare.binding.name"], "KV");
  assert.equal(named("d1_all").attributes["db.query.text"], "SELECT 1 AS one");
  assert(
    spans.some(({ name }) => name.startsWith("queue_")),
    spans.map((span) => span.name).join(" "),
  );
  const fetched = spans
    .filter(({ name, parent }) => name === "fetch" && parent === root?.id)
    .map(({ attributes }) => [attributes["url.full"], attributes["http.response.status_code"]]);
  assert.deepEqual(fetched.sort(), [
    [originUrl, 203],
    ["http://callee/", 200],
  ]);
  assert(spans.some(({ attributes }) => attributes["jsrpc.method"] === "add"));
  // The object's own work is in its caller's trace, below the call.
  const inObject = named("durable_object_storage_exec");
  const byId = new Map(spans.map((span) => [span.id, span]));
  const above: (string | undefined)[] = [];
  for (let span = byId.get(inObject.parent); span !== undefined; span = byId.get(span.parent)) above.push(span.name);
  assert(above.includes("durable_object_subrequest") && above.at(-1) === "GET", above.join(" "));
  // How bindings reach the platform is not the Worker's.
  assert(!JSON.stringify(spans).includes("x-freehold"), "no address or capability of the platform's own");
  assert.equal(
    (await query("events", { filters: [{ key: "dataset", operation: "eq", type: "string", value: "cloudflare-workers" }] })).events?.count,
    0,
    "no logs",
  );
});

test("custom spans are kept with their attributes, and agents' runs are found by theirs", async () => {
  const url = await upload(
    "agent",
    `import { tracing } from "cloudflare:workers";
    export default { fetch: () => tracing.enterSpan("invoke_agent planner", (span) => {
      span.setAttribute("gen_ai.operation.name", "invoke_agent");
      span.setAttribute("gen_ai.agent.name", "planner");
      span.setAttribute("gen_ai.request.model", "small");
      span.setAttribute("gen_ai.usage.input_tokens", 12);
      return new Response("planned");
    }) };`,
    { observability: { traces: { enabled: true } } },
  );
  assert.equal(await (await platform.fetch(url)).text(), "planned");
  const run = await until(async () => (await query("agents")).agents?.[0], "agent run");
  assert.deepEqual(
    [run.agentName, run.models, run.inputTokens, run.services, run.status, run.spans],
    ["planner", ["small"], 12, ["agent"], "completed", 2],
  );
});

test("[workers-24] requests, errors, CPU and wall time of each Worker, logs stored or not", async () => {
  platform.expectErrors(/./);
  const url = await upload(
    "busy",
    `export default { async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/throw") throw new Error("no");
      const end = performance.now() + 60_000;
      let sum = 0;
      for (let i = 0; i < 60_000_000; i++) sum += i;
      await scheduler.wait(Number(url.searchParams.get("wait")));
      return new Response(String(sum > 0 && end > 0));
    } };`,
    { observability: { enabled: true } },
  );
  for (let i = 0; i < 4; i++) await (await platform.fetch(`${url}/?wait=100`)).text();
  await (await platform.fetch(`${url}/throw`)).text();
  const figures = await platform.rest("POST", "/graphql", {
    query: `query ($account: string) { viewer { accounts(filter: { accountTag: $account }) {
      workersInvocationsAdaptive(limit: 10, filter: { scriptName_in: ["busy", "callee"] }) {
        sum { requests errors wallTime cpuTimeUs } quantiles { cpuTimeP50 wallTimeP50 wallTimeP999 } dimensions { scriptName status }
      }
    } } }`,
    variables: { account: account_id },
  });
  const rows =
    (figures.body as unknown as { data: { viewer: { accounts: { workersInvocationsAdaptive: Row[] }[] } } }).data.viewer.accounts[0]
      ?.workersInvocationsAdaptive ?? [];
  const by = (status: string, name = "busy") =>
    rows.find(({ dimensions }) => dimensions.scriptName === name && dimensions.status === status) ?? assert.fail(JSON.stringify(rows));
  // Reached by a binding of the first test; its logs are not stored.
  assert.equal(by("success", "callee").sum.requests, 1);
  const [done, thrown] = [by("success"), by("scriptThrewException")];
  assert.deepEqual([done.sum.requests, done.sum.errors, thrown.sum.requests, thrown.sum.errors], [4, 0, 1, 1]);
  // Each waited for 100 ms after it had worked for a while; microseconds.
  assert(done.sum.wallTime >= 400_000 && done.quantiles.wallTimeP50 >= 100_000, JSON.stringify(done));
  assert(done.sum.cpuTimeUs > 4_000 && done.sum.cpuTimeUs < done.sum.wallTime, JSON.stringify(done));

  const logged = await until(async () => {
    const { calculations } = await query("calculations", {
      filters: [
        { key: "$metadata.trigger", operation: "eq", type: "string", value: "GET /" },
        { key: "$metadata.service", operation: "eq", type: "string", value: "busy" },
      ],
      calculations: ["cpuTimeMs", "wallTimeMs"].map((key) => ({ operator: "sum", key: `$workers.${key}`, keyType: "number" })),
    });
    return calculations?.[0]?.aggregates[0]?.count === 4 ? calculations : undefined;
  }, "invocation logs");
  const [cpuMs = 0, wallMs = 0] = logged.map(({ aggregates }) => aggregates[0]?.value);
  assert(cpuMs > 4 && cpuMs < wallMs && wallMs >= 400, `${cpuMs} ms of ${wallMs} ms`);
});

interface Row {
  readonly sum: { readonly requests: number; readonly errors: number; readonly wallTime: number; readonly cpuTimeUs: number };
  readonly quantiles: { readonly cpuTimeP50: number; readonly wallTimeP50: number };
  readonly dimensions: { readonly scriptName: string; readonly status: string };
}
