/** Stored logs, traces and metrics of Workers: settings by wrangler, queries by the official SDK. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type Cloudflare from "cloudflare";
import { toFile } from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

// Small enough that tables become files while the tests run.
const platform = await startPlatform({ after }, { config: { "observability.roll_bytes": 200_000 } });
const account_id = platform.ready.account_id;
const client = platform.sdk();
const { telemetry } = client.workers.observability;
const begun = Date.now() - 1_000;

type Query = Partial<Cloudflare.Workers.Observability.TelemetryQueryParams>;
type Leaf = { key: string; operation: string; type: string; value?: string | number | boolean };
const window = () => ({ from: begun, to: Date.now() + 60_000 });
const query = (body: Query) => telemetry.query({ account_id, queryId: "adhoc", timeframe: window(), parameters: {}, ...body });
const service = (name: string): Leaf => ({ key: "$metadata.service", operation: "eq", type: "string", value: name });

/** The first column of the first calculation: how many events match. */
async function count(filters: readonly unknown[], more: object = {}): Promise<number> {
  const { calculations } = await query({
    view: "calculations",
    parameters: { filters: filters as never, calculations: [{ operator: "count" }], ...more },
  });
  return calculations?.[0]?.aggregates[0]?.value ?? 0;
}

/** A Worker by the SDK; gives where it answers. */
async function upload(name: string, code: string, metadata: object = {}): Promise<string> {
  await client.workers.scripts.update(name, {
    account_id,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01", ...metadata } as never,
    files: { "index.js": await toFile(Buffer.from(code), "index.js", { type: "application/javascript+module" }) } as never,
  });
  await client.workers.scripts.subdomain.create(name, { account_id, enabled: true });
  return platform.host("workers", { worker: name, subdomain: "dev" });
}

async function until(enough: () => Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    if (await enough()) return;
  }
  throw new Error(`no ${what}`);
}

const invocationLog: Leaf = { key: "$metadata.type", operation: "eq", type: "string", value: "cf-worker-event" };
const rootSpan: Leaf = { key: "faas.trigger", operation: "exists", type: "string" };

const shop = await deployWorker(platform, {
  config: { name: "shop", observability: { enabled: true } },
  files: {
    "index.js": `export default { fetch(request) {
      const url = new URL(request.url);
      const order = Number(url.searchParams.get("order"));
      console.log({ message: "order placed", order: { id: order, total: order * 1.5 }, paid: order % 2 === 0, "odd'key\\"": "here" });
      console.log('{"text":"of JSON","order":{"id":' + order + '}}');
      console.warn("stock is low:", order, { sku: "a-" + order });
      if (url.pathname === "/fail") throw new RangeError("order " + order + " failed");
      return new Response("ok");
    } };`,
  },
});
platform.expectErrors(/./);
const ORDERS = [1, 2, 3, 4, 5, 6];
for (const order of ORDERS)
  await (await platform.fetch(`${shop.url}/buy?order=${order}`, { headers: { "x-api-key": "do-not-store" } })).text();
await (await platform.fetch(`${shop.url}/fail?order=7`)).text();
await until(async () => (await count([service("shop"), invocationLog])) === 7, "logs of all invocations");

test("[workers-23] structured logs are found by the fields of their JSON, with what the platform knows of the invocation", async () => {
  const byField = await query({
    view: "events",
    parameters: { filters: [service("shop"), { key: "order.total", operation: "gt", type: "number", value: 7 }] as never },
  });
  assert.deepEqual(
    byField.events?.events?.map(({ source }) => (source as { order: { id: number } }).order.id),
    [7, 6, 5],
  );
  const event = byField.events?.events?.[1];
  assert.equal(event?.dataset, "cloudflare-workers");
  assert.deepEqual(event?.source, { level: "log", message: "order placed", order: { id: 6, total: 9 }, paid: true, "odd'key\"": "here" });
  assert.equal(event?.$metadata.message, "order placed");
  assert.equal(event?.$metadata.service, "shop");
  assert.equal(event?.$metadata.trigger, "GET /buy");
  assert.equal(event?.$workers?.eventType, "fetch");
  assert.equal(event?.$workers?.scriptName, "shop");
  assert.match(String(event?.$workers?.scriptVersion?.id), /^[0-9a-f-]{36}$/);
  // Text that is JSON is fields as well; other text is one message, of all arguments.
  assert.equal(await count([service("shop"), { key: "text", operation: "eq", type: "string", value: "of JSON" }]), 7);
  assert.equal(
    await count([service("shop"), { key: "message", operation: "eq", type: "string", value: 'stock is low: 3 {"sku":"a-3"}' }]),
    1,
  );

  const failed = await query({
    view: "events",
    parameters: { filters: [service("shop"), { key: "$metadata.error", operation: "exists", type: "string" }] as never },
  });
  const [thrown, invocation] = ["cf-worker-log", "cf-worker-event"].map((type) =>
    failed.events?.events?.find((one) => one.$metadata.type === type),
  );
  assert(thrown !== undefined && invocation !== undefined);
  const { exception } = thrown.source as { exception: { name: string; message: string; stack: string } };
  assert.deepEqual([exception.name, exception.message], ["RangeError", "order 7 failed"]);
  assert.match(exception.stack, /index\.js/);
  assert.equal(invocation.$workers?.outcome, "exception");
  const wall = (invocation.$workers as { wallTimeMs: number }).wallTimeMs;
  assert(Number.isInteger(wall) && wall >= 0);

  // What may be a secret is not stored.
  assert.equal(
    await count([invocationLog, { key: "$workers.event.request.headers.x-api-key", operation: "eq", type: "string", value: "REDACTED" }]),
    6,
  );
  assert.equal(await count([], { needle: { value: "do-not-store" } }), 0);
});

test("[workers-23] every operation of filters, groups of filters, and needles", async () => {
  const messages = [service("shop"), { key: "$metadata.level", operation: "eq", type: "string", value: "warn" }];
  const matching = (filter: Omit<Leaf, "key"> & { key?: string }) => count([...messages, { key: "message", ...filter }]);
  const string = "string";
  assert.equal(await matching({ operation: "includes", type: string, value: "low: 3" }), 1);
  assert.equal(await matching({ operation: "not_includes", type: string, value: "low: 3" }), 6);
  assert.equal(await matching({ operation: "starts_with", type: string, value: "stock" }), 7);
  assert.equal(await matching({ operation: "ends_with", type: string, value: '"a-5"}' }), 1);
  assert.equal(await matching({ operation: "regex", type: string, value: "low: [1-3] " }), 3);
  assert.equal(await matching({ operation: "MATCH_REGEX", type: string, value: "^low" }), 0);
  const orders = (operation: string, value?: string | number) =>
    count([
      service("shop"),
      { key: "order.id", operation, type: "number", ...(value !== undefined && { value }) },
      { key: "paid", operation: "exists", type: "boolean" },
    ]);
  assert.deepEqual(
    [
      await orders("eq", 3),
      await orders("neq", 3),
      await orders("gt", 3),
      await orders("gte", "3"),
      await orders("lt", 3),
      await orders("<=", 3),
    ],
    [1, 6, 4, 5, 2, 3],
  );
  assert.deepEqual(
    [await orders("in", "1, 2,9"), await orders("not_in", "1,2,9"), await orders("exists"), await orders("is_null")],
    [2, 5, 7, 0],
  );
  const paid = (value: boolean | string) => count([service("shop"), { key: "paid", operation: "eq", type: "boolean", value }]);
  assert.deepEqual([await paid(true), await paid("false")], [3, 4]);

  const either = {
    kind: "group",
    filterCombination: "or",
    filters: [1, 2].map((value) => ({ key: "order.id", operation: "eq", type: "number", value })),
  };
  assert.equal(await count([service("shop"), either, { key: "paid", operation: "exists", type: "boolean" }]), 2);
  assert.equal(await count(either.filters, { filterCombination: "or" }), 4, "each order's two logs");
  const needle = (value: string, more: object = {}) => count([service("shop")], { needle: { value, ...more } });
  assert.deepEqual(
    [await needle("STOCK IS"), await needle("STOCK IS", { matchCase: true }), await needle('a-[12]"', { isRegex: true })],
    [7, 0, 2],
  );
});

test("[workers-23] calculations by group and over time, keys and values, the other views, and pages", async () => {
  const placed = [service("shop"), { key: "message", operation: "eq", type: "string", value: "order placed" }];
  const {
    calculations = [],
    run,
    statistics,
  } = await query({
    view: "calculations",
    parameters: {
      filters: placed as never,
      calculations: [
        { operator: "count" },
        ...(["sum", "avg", "min", "max", "median", "p90", "uniq", "stddev", "variance"] as const).map((operator) => ({
          operator,
          key: "order.total",
          keyType: "number" as const,
          alias: `the ${operator}`,
        })),
      ],
      groupBys: [{ type: "boolean", value: "paid" }],
      orderBy: { value: "the sum", order: "desc" },
    },
  });
  assert.equal(run.status, "COMPLETED");
  assert.equal(run.accountId, account_id);
  assert(statistics.rows_read >= 7 && statistics.bytes_read > 0);
  // Unpaid: orders 1, 3, 5, 7 at 1.5 each; paid: 2, 4, 6.
  const figures = (alias: string) =>
    calculations
      .find((one) => one.alias === alias || one.calculation === alias)
      ?.aggregates.map(({ value }) => Math.round(value * 100) / 100);
  assert.deepEqual(
    calculations[0]?.aggregates.map(({ groups }) => groups),
    [[{ key: "paid", value: false }], [{ key: "paid", value: true }]],
  );
  assert.deepEqual(
    [figures("count"), figures("the sum"), figures("the avg"), figures("the min"), figures("the max")],
    [
      [4, 3],
      [24, 18],
      [6, 6],
      [1.5, 3],
      [10.5, 9],
    ],
  );
  assert.deepEqual(
    [figures("the median"), figures("the uniq"), figures("the variance")],
    [
      [6, 6],
      [4, 3],
      [11.25, 6],
    ],
  );
  assert.equal(
    calculations[0]?.series.flatMap(({ data }) => data).reduce((sum, { value }) => sum + value, 0),
    7,
  );
  const having = await query({
    view: "calculations",
    parameters: {
      filters: placed as never,
      calculations: [{ operator: "count", alias: "n" }],
      groupBys: [{ type: "boolean", value: "paid" }],
      havings: [{ key: "n", operation: "gt", value: 3 }],
    },
    compare: true,
  });
  assert.deepEqual(
    having.calculations?.[0]?.aggregates.map(({ value }) => value),
    [4],
  );
  assert.deepEqual(having.compare?.[0]?.aggregates, []);

  const names: string[] = [];
  for await (const { key, type } of telemetry.keys({
    account_id,
    from: begun,
    to: Date.now() + 60_000,
    keyNeedle: { value: "^ORDER", isRegex: true },
    filters: placed as never,
  }))
    names.push(`${key} ${type}`);
  assert.deepEqual(names, ["order.id number", "order.total number"]);
  const values: unknown[] = [];
  for await (const { value } of telemetry.values({
    account_id,
    datasets: [],
    key: "$metadata.level",
    type: "string",
    timeframe: window(),
    filters: [service("shop")] as never,
  }))
    values.push(value);
  assert.deepEqual(values.sort(), ["error", "info", "log", "warn"]);

  const { invocations = {} } = await query({
    view: "invocations",
    limit: 3,
    parameters: { filters: [service("shop"), { key: "order.id", operation: "lt", type: "number", value: 6 }] as never },
  });
  const found = Object.values(invocations);
  assert.deepEqual(
    found.map((events) => events.length),
    [4, 4, 4],
    "three logs each, and the invocation",
  );
  assert(found.every((events) => new Set(events.map(({ $metadata }) => $metadata.requestId)).size === 1));

  // The next page begins where the last one ended; the one before it, too.
  const page = (offset?: string, offsetDirection = "next") =>
    query({ view: "events", limit: 4, offsetDirection, ...(offset !== undefined && { offset }), parameters: { filters: placed as never } });
  const ids = async (answer: ReturnType<typeof page>) =>
    ((await answer).events?.events ?? []).map(({ source }) => (source as { order: { id: number } }).order.id);
  const first = await page();
  assert.equal(first.events?.count, 7);
  assert.deepEqual(await ids(Promise.resolve(first) as never), [7, 6, 5, 4]);
  const second = await page(first.events?.events?.at(-1)?.$metadata.id);
  assert.deepEqual(await ids(Promise.resolve(second) as never), [3, 2, 1]);
  assert.deepEqual(await ids(page(second.events?.events?.[0]?.$metadata.id, "prev")), [7, 6, 5, 4]);

  const { distribution } = await query({
    view: "calculations",
    chartType: "distribution",
    distributionScale: "linear",
    parameters: { filters: placed as never, calculations: [{ operator: "avg", key: "order.total" }] },
  });
  assert.equal(
    distribution?.matrix.flat().reduce((sum, n) => sum + n, 0),
    7,
  );
});

test("queries are saved, shared and run again", async () => {
  const parameters = { filters: [service("shop"), invocationLog] as never, calculations: [{ operator: "count" as const }] };
  const kept = await client.workers.observability.queries.create({
    account_id,
    name: "invocations",
    description: "of the shop",
    parameters,
  } as never);
  const listed = [];
  for await (const one of client.workers.observability.queries.list({ account_id })) listed.push(one.name);
  assert.deepEqual(listed, ["invocations"]);
  const run = await telemetry.query({ account_id, queryId: kept.id, timeframe: window() });
  assert.equal(run.calculations?.[0]?.aggregates[0]?.value, 7);
  assert.equal(run.run.query.name, "invocations");
  const shared = await client.workers.observability.sharedQueries.create({
    account_id,
    queryId: "adhoc",
    timeframe: window(),
    parameters,
  } as never);
  assert.equal(
    (await client.workers.observability.sharedQueries.get(shared.id, { account_id })).calculations?.[0]?.aggregates[0]?.value,
    7,
  );
});

test("[workers-23] head sampling keeps its share, which stands for the rest; a Worker without observability stores nothing", async () => {
  const code = `export default { fetch() { console.log("seen"); return new Response("ok"); } };`;
  const sampled = await deployWorker(platform, {
    // Traces of all say when the logs of some are there.
    config: {
      name: "sampled",
      observability: {
        enabled: true,
        head_sampling_rate: 1,
        logs: { enabled: true, head_sampling_rate: 0.1, invocation_logs: false },
        traces: { enabled: true },
      },
    },
    files: { "index.js": code },
  });
  const silent = await upload("silent", code);
  const requests = 200;
  await Promise.all(Array.from({ length: requests }, async () => (await platform.fetch(sampled.url)).text()));
  await (await platform.fetch(silent)).text();
  await until(async () => (await count([service("sampled"), rootSpan])) === requests, "traces of all requests");
  const { calculations = [] } = await query({
    parameters: { filters: [service("sampled"), { key: "message", operation: "eq", type: "string", value: "seen" }] as never },
  });
  const { value, sampleInterval } = calculations[0]?.aggregates[0] ?? assert.fail();
  const stored = value / 10;
  assert.equal(sampleInterval, 10);
  assert(stored >= 2 && stored <= 60, `${stored} of ${requests}`);
  assert.equal(await count([service("sampled"), invocationLog]), 0, "invocation_logs: false");
  assert.equal(await count([service("silent")]), 0);
});

test("a log past 256 KB in one invocation is left out, and the invocation says so", async () => {
  const code = `export default { fetch() { for (let i = 0; i < 40; i++) console.log(i, "x".repeat(10_000)); return new Response("ok"); } };`;
  const loud = await upload("loud", code, { observability: { enabled: true } });
  await (await platform.fetch(loud)).text();
  await until(async () => (await count([service("loud"), invocationLog])) === 1, "the invocation");
  assert.equal(await count([service("loud")]), 26 + 1);
  assert.equal(
    await count([service("loud"), invocationLog, { key: "$workers.truncated", operation: "eq", type: "boolean", value: true }]),
    1,
  );
});

test("keys, values and needles are data whatever they say; regular expressions end; others' accounts and weak tokens are refused", async () => {
  for (const text of [`'; DROP TABLE recent_1; --`, `"] = 'x' OR true --`, "order.id'] IS NULL OR s['x", "$1", "\u0000"]) {
    assert.equal(await count([{ key: text, operation: "eq", type: "string", value: text }]), 0, text);
    assert.equal(await count([service("shop"), { key: text, operation: "is_null", type: "number" }, invocationLog]), 7, text);
    assert.equal(await count([], { needle: { value: `${text}${text}` } }), 0, text);
    const grouped = await query({
      parameters: { groupBys: [{ type: "string", value: text }], calculations: [{ operator: "max", key: text, alias: text }] },
    });
    assert.deepEqual(grouped.calculations?.[0]?.aggregates, []);
  }
  assert.equal(await count([{ key: "odd'key\"", operation: "eq", type: "string", value: "here" }]), 7);
  // Exponential for engines that backtrack.
  assert.equal(await count([service("loud"), { key: "message", operation: "regex", type: "string", value: "^[0-9]+ (x+x+)+y$" }]), 0);
  const refused = async (work: Promise<unknown>): Promise<number | undefined> =>
    work.then(
      () => assert.fail("it was not refused"),
      (error: InstanceType<typeof Cloudflare.APIError>) => error.status,
    );
  assert.equal(await refused(count([{ key: "message", operation: "regex", type: "string", value: "(" }])), 400);
  assert.equal(await refused(count([{ key: "message", operation: "gt", type: "number", value: "no number" }])), 400);
  assert.equal(await refused(query({ timeframe: { from: 2, to: 1 } })), 400);
  const nested = (depth: number): object =>
    depth === 0 ? service("shop") : { kind: "group", filterCombination: "and", filters: [nested(depth - 1)] };
  assert.equal(await count([nested(4)]), await count([service("shop")]));
  assert.equal(await refused(count([nested(5)])), 400);

  // The platform is not sent to look around in its own network.
  const configuration = { type: "logpush" as const, logpushDataset: "opentelemetry-traces" as const, url: platform.ready.api, headers: {} };
  const inside = client.workers.observability.destinations.create({ account_id, name: "inside", enabled: true, configuration });
  assert.equal(await refused(Promise.resolve(inside)), 400);

  const call = { queryId: "adhoc", timeframe: window(), parameters: {} };
  const as = async (permissions: readonly string[]) => platform.sdk((await platform.token(permissions)).value).workers.observability;
  const reader = await as(["Workers Observability Read"]);
  await reader.telemetry.query({ account_id, ...call });
  assert.equal(await refused(reader.queries.create({ account_id, name: "x", parameters: {} } as never)), 403);
  assert.equal(await refused((await as(["Workers Scripts Write"])).telemetry.query({ account_id, ...call })), 403);
  assert.equal(await refused(telemetry.query({ account_id: "0".repeat(32), ...call })), 403);
});

test("[workers-23] logs survive SIGKILL, those in files and those that are not yet", async () => {
  const before = await count([service("shop")]);
  assert(platform.log.length > 0 && before > 0);
  await platform.kill9();
  await platform.restart();
  assert.equal(await count([service("shop")]), before);
  await (await platform.fetch(`${shop.url}/buy?order=8`)).text();
  await until(async () => (await count([service("shop"), invocationLog])) === 8, "the new invocation");
});
