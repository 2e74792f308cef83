/** What AI Gateway tells of requests elsewhere than in its logs: the GraphQL API, and spans for OpenTelemetry collectors. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startPlatform } from "../../harness/platform.ts";
import { askAnalytics } from "../analytics.ts";

interface Received {
  readonly url: string;
  readonly header: unknown;
  // biome-ignore lint/suspicious/noExplicitAny: OTLP has many shapes
  readonly body: any;
}

/** A collector that hands out what it gets, one by one. */
const received: Received[] = [];
const waiting: ((one: Received) => void)[] = [];
const collector = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const one = { url: request.url as string, header: request.headers["x-team"], body: JSON.parse(Buffer.concat(chunks).toString()) };
  const taker = waiting.shift();
  if (taker === undefined) received.push(one);
  else taker(one);
  response.end("{}");
});
collector.listen(0, "127.0.0.1");
await once(collector, "listening");
after(() => void collector.close());
const take = (): Promise<Received> => {
  const one = received.shift();
  return one === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(one);
};

const provider = await startModelProvider({ after });
const providers = [`openai=${provider.url}/v1`, `ollama=${provider.url}/v1`];
const config = { "ai_gateway.providers": providers, "ai_gateway.private_providers": true };
const platform = await startPlatform({ after }, { config });
const account_id = platform.ready.account_id;
const { aiGateway } = platform.sdk();
const plain = {
  cache_invalidate_on_update: false,
  cache_ttl: 0,
  collect_logs: true,
  rate_limiting_interval: 0,
  rate_limiting_limit: 0,
} as const;

async function chat(gateway: string, provider: string, model: string, headers: Readonly<Record<string, string>> = {}): Promise<number> {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "hello" }] });
  const init = { method: "POST", headers: { authorization: "Bearer sk", "content-type": "application/json", ...headers }, body };
  const response = await platform.fetch(`${platform.host("ai_gateway", { gateway })}/${provider}/chat/completions`, init);
  await response.text();
  return response.status;
}

test("[ai-gateway-41] the documentation's query counts requests by minute, model, provider and gateway; sums tell tokens and costs", async () => {
  await aiGateway.create({ account_id, id: "figures", ...plain });
  for (const model of ["gpt-4o", "gpt-4o", "fails"]) await chat("figures", "openai", model);
  const cached = { "cf-aig-cache-ttl": "600" };
  for (const headers of [cached, cached, { "cf-aig-collect-log": "false" }]) await chat("figures", "ollama", "llama3.2", headers);
  const query = (selection: string, order: string): string => `query{ viewer { accounts(filter: { accountTag: "${account_id}" }) {
    requests: aiGatewayRequestsAdaptiveGroups(limit: $limit filter: { datetimeHour_geq: $start, datetimeHour_leq: $end } orderBy: [${order}]) { ${selection} }
  } } }`;
  const hour = 3600_000;
  const now = Math.floor(Date.now() / hour) * hour;
  const variables = {
    limit: 1000,
    start: new Date(now - hour).toISOString(),
    end: new Date(now + hour).toISOString(),
    orderBy: "date_ASC",
  };
  const declared = (text: string): string => text.replace("query{", "query($limit: Int!, $start: Time!, $end: Time!) {");
  const documented = declared(query("count, dimensions { model, provider, gateway, ts: datetimeMinute }", "datetimeMinute_ASC"));
  const { data, errors } = await askAnalytics(platform, documented, variables);
  assert.equal(errors, null);
  const rows = data?.viewer.accounts[0]?.requests as { count: number; dimensions: Record<string, string> }[];
  const counts = new Map<string, number>();
  for (const { count, dimensions } of rows) {
    assert.match(dimensions.ts ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$/);
    const key = `${dimensions.gateway} ${dimensions.provider} ${dimensions.model}`;
    counts.set(key, (counts.get(key) ?? 0) + count);
  }
  assert.deepEqual(Object.fromEntries(counts), { "figures openai gpt-4o": 2, "figures openai fails": 1, "figures ollama llama3.2": 3 });
  const sums = "dimensions { provider } sum { cachedRequests erroredRequests uncachedTokensIn uncachedTokensOut cost }";
  const summed = (await askAnalytics(platform, declared(query(sums, "provider_ASC")), variables)).data?.viewer.accounts[0]?.requests;
  const [ollama, openai] = (summed as { sum: Record<string, number> }[]).map(({ sum }) => sum);
  assert.deepEqual([ollama?.cachedRequests, ollama?.erroredRequests, ollama?.uncachedTokensIn], [1, 0, 200]);
  assert.deepEqual(
    [openai?.cachedRequests, openai?.erroredRequests, openai?.uncachedTokensIn, openai?.uncachedTokensOut],
    [0, 1, 200, 100],
  );
  // Two requests at the list price of gpt-4o: 2.5 and 10 dollars for a million tokens.
  assert.ok(Math.abs((openai?.cost ?? 0) - 2 * (100 * 2.5e-6 + 50 * 10e-6)) < 1e-9);
  const stranger = await platform.token(["Workers KV Storage Read"]);
  assert.ok((await askAnalytics(platform, documented, variables, stranger.value)).errors !== null);
});

test("[ai-gateway-38] a collector gets a span of each request with the documented attributes, in the trace that the caller gives", async () => {
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
  const otel = [{ url, headers: { "x-team": "blue" } }];
  await aiGateway.create({ account_id, id: "traced", ...plain });
  await aiGateway.update("traced", { account_id, ...plain, otel } as never);
  assert.deepEqual((await aiGateway.get("traced", { account_id })).otel, otel);
  const traceId = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
  const context = { "cf-aig-otel-trace-id": traceId, "cf-aig-otel-parent-span-id": "a1b2c3d4e5f60718" };
  const metadata = { "cf-aig-metadata": JSON.stringify({ user_id: "user123", paid: true, "gen_ai.request.model": "mine" }) };
  await chat("traced", "openai", "gpt-4o", { ...context, ...metadata });
  const { body, header, url: path } = await take();
  assert.deepEqual([header, path], ["blue", "/v1/traces"]);
  const [span] = body.resourceSpans[0].scopeSpans[0].spans;
  assert.deepEqual([span.traceId, span.parentSpanId, span.status.code], [traceId, "a1b2c3d4e5f60718", 1]);
  assert.match(span.spanId, /^[0-9a-f]{16}$/);
  assert.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
  const attributes = Object.fromEntries(
    span.attributes.map(({ key, value }: { key: string; value: object }) => [key, Object.values(value)[0]]),
  );
  const { "gen_ai.completion_json": completion, "gen_ai.usage.cost": cost, ...rest } = attributes;
  assert.deepEqual(rest, {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.model.provider": "openai",
    "gen_ai.usage.input_tokens": "100",
    "gen_ai.usage.output_tokens": "50",
    "gen_ai.prompt_json": '[{"role":"user","content":"hello"}]',
    user_id: "user123",
    paid: true,
  });
  assert.equal(JSON.parse(completion as string).choices[0].message.content, "echo hello");
  assert.ok((cost as number) > 0);
  // One of its own where the caller gives none, and a failure is one.
  await chat("traced", "openai", "fails");
  const failed = (await take()).body.resourceSpans[0].scopeSpans[0].spans[0];
  assert.match(failed.traceId, /^[0-9a-f]{32}$/);
  assert.deepEqual([failed.status.code, failed.parentSpanId], [2, undefined]);
  await assert.rejects(aiGateway.update("traced", { account_id, ...plain, otel: [{ url: "file:///etc/passwd", headers: {} }] } as never));
});
