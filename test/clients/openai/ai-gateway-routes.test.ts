/** Dynamic routes of AI Gateway: made by the official SDK, used by the OpenAI SDK. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import OpenAI from "openai";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startPlatform } from "../../harness/platform.ts";

const provider = await startModelProvider({ after });
const platform = await startPlatform(
  { after },
  { config: { "ai_gateway.providers": [`openai=${provider.url}/v1`, `anthropic=${provider.url}`] } },
);
const account_id = platform.ready.account_id;
const at = { account_id, gateway_id: "routes" };
const { dynamicRouting, providerConfigs, logs } = platform.sdk().aiGateway;
await platform.rest("POST", `/accounts/${account_id}/ai-gateway/gateways`, {
  id: "routes",
  cache_invalidate_on_update: false,
  cache_ttl: 0,
  collect_logs: true,
  rate_limiting_interval: 0,
  rate_limiting_limit: 0,
  authentication: true,
});
for (const slug of ["openai", "anthropic"])
  await providerConfigs.create("routes", {
    account_id,
    alias: "default",
    default_config: true,
    provider_slug: slug,
    secret: `key-of-${slug}`,
  });

const fetch = platform.fetch as unknown as typeof globalThis.fetch;
const client = new OpenAI({
  apiKey: platform.ready.api_token,
  baseURL: `${platform.host("ai_gateway", { gateway: "routes" })}/compat`,
  fetch,
  maxRetries: 0,
});
const messages = [{ role: "user" as const, content: "hello" }];

/** "provider/model" that answered. */
async function ask(route: string, metadata?: object, more: object = {}): Promise<string> {
  const headers = metadata === undefined ? {} : { "cf-aig-metadata": JSON.stringify(metadata) };
  const { data, response } = await client.chat.completions
    .create({ model: `dynamic/${route}`, messages, ...more }, { headers })
    .withResponse();
  assert.equal(data.choices[0]?.message.content, "echo hello");
  return `${response.headers.get("cf-aig-provider")}/${response.headers.get("cf-aig-model")}`;
}

const to = (elementId: string) => ({ elementId });
const start = (next: string) => ({ id: "start", type: "start" as const, outputs: { next: to(next) } });
const end = { id: "end", type: "end" as const, outputs: {} };
const model = (id: string, slug: string, name: string, fallback = "end", retries = 0) => ({
  id,
  type: "model" as const,
  properties: { provider: slug, model: name, timeout: 60_000, retries },
  outputs: { success: to("end"), fallback: to(fallback) },
});
const create = (name: string, elements: readonly unknown[]) =>
  dynamicRouting.create("routes", { account_id, name, elements: elements as never });
const one = (name: string) => [start("m"), model("m", "openai", name), end];

test("[ai-gateway-32, ai-gateway-35] a route's drafts have no effect until they are deployed, and earlier versions come back", async () => {
  const route = await create("support", one("first"));
  assert.deepEqual([route.name, route.version.active], ["support", "true"]);
  assert.equal(await ask("support"), "openai/first");
  assert.equal(provider.seen.at(-1)?.headers.authorization, "Bearer key-of-openai");
  const draft = await dynamicRouting.createVersion(route.id, { ...at, elements: one("second") as never });
  assert.equal(await ask("support"), "openai/first");
  const listed = (await dynamicRouting.listVersions(route.id, at)).data.versions;
  assert.deepEqual(
    listed.map(({ active }) => active),
    ["false", "true"],
  );
  const second = listed[0]?.version_id as string;
  assert.deepEqual((await dynamicRouting.getVersion(second, { ...at, id: route.id })).elements, draft.elements);
  await dynamicRouting.createDeployment(route.id, { ...at, version_id: second });
  assert.equal(await ask("support"), "openai/second");
  await platform.restart();
  assert.equal(await ask("support"), "openai/second");
  await dynamicRouting.createDeployment(route.id, { ...at, version_id: route.version.version_id });
  assert.equal(await ask("support"), "openai/first");
  const deployments = (await dynamicRouting.listDeployments(route.id, at)).data.deployments;
  assert.deepEqual(
    deployments.map(({ version_id }) => version_id),
    [route.version.version_id, second, route.version.version_id],
  );
  assert.equal((await dynamicRouting.update(route.id, { ...at, name: "renamed" })).route.name, "renamed");
  await assert.rejects(ask("support"), OpenAI.BadRequestError);
  assert.equal(await ask("renamed"), "openai/first");
  assert.deepEqual(
    (await dynamicRouting.list("routes", { account_id })).data.routes.map(({ name }) => name),
    ["renamed"],
  );
  await assert.rejects(create("renamed", one("x")), Cloudflare.ConflictError);
  await dynamicRouting.delete(route.id, at);
  await assert.rejects(dynamicRouting.get(route.id, at), Cloudflare.NotFoundError);
  await assert.rejects(ask("renamed"), OpenAI.BadRequestError);
});

test("[ai-gateway-33] conditions over metadata, body and headers, shares of requests, fallbacks of models", async () => {
  const conditional = (id: string, condition: object, yes: string, no: string) => ({
    id,
    type: "conditional" as const,
    properties: { condition },
    outputs: { true: to(yes), false: to(no) },
  });
  await create("plans", [
    start("paid"),
    conditional("paid", { "metadata.plan": { $in: ["pro", "team"] } }, "big", "short"),
    conditional("short", { $and: [{ "body.max_tokens": { $lte: 10 } }, { "headers.x-stainless-lang": "js" }] }, "tiny", "small"),
    model("big", "anthropic", "claude-opus-4"),
    model("small", "openai", "gpt-4o-mini"),
    model("tiny", "openai", "gpt-5-nano"),
    end,
  ]);
  assert.equal(await ask("plans", { plan: "pro" }), "anthropic/claude-opus-4");
  assert.equal(await ask("plans", { plan: "free" }), "openai/gpt-4o-mini");
  assert.equal(await ask("plans"), "openai/gpt-4o-mini");
  assert.equal(await ask("plans", undefined, { max_tokens: 5 }), "openai/gpt-5-nano");

  await create("falls", [
    start("a"),
    model("a", "openai", "fails", "b", 1),
    model("b", "openai", "refuses", "c"),
    model("c", "anthropic", "good"),
    end,
  ]);
  const before = provider.seen.length;
  assert.equal(await ask("falls"), "anthropic/good");
  assert.deepEqual(
    provider.seen.slice(before).map(({ body }) => JSON.parse(body).model),
    ["fails", "fails", "refuses", "good"],
  );
  await create("ends", [start("a"), model("a", "openai", "refuses"), end]);
  await assert.rejects(ask("ends"), /no such model/);

  const split = { id: "split", type: "percentage" as const, outputs: { "10%": to("few"), "90%": to("many") } };
  await create("split", [start("split"), split, model("few", "openai", "few"), model("many", "openai", "many"), end]);
  let few = 0;
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask("split")));
    few += answers.filter((answer) => answer === "openai/few").length;
  }
  // Five standard deviations around 100 of 1,000.
  assert.ok(few > 52 && few < 148, `${few} of 1000`);

  for (const elements of [
    [],
    [end],
    [start("nowhere"), end],
    [start("m"), start("m"), model("m", "openai", "x"), end],
    [start("c"), conditional("c", { x: { $regex: "(a+)+" } }, "end", "end"), end],
    [start("split"), { ...split, outputs: { "60%": to("end"), "50%": to("end") } }, end],
    [start("split"), { ...split, outputs: { "60%": to("end") } }, end],
  ])
    await assert.rejects(create("bad", elements), Cloudflare.BadRequestError);
});

test("[ai-gateway-34] limits for each user: by requests, and by what requests have cost", async () => {
  const limit = (limitType: "count" | "cost", amount: number, fallback?: string) => ({
    id: "limit",
    type: "rate_limit" as const,
    properties: { limitType, key: "metadata.user", limit: amount, interval: 100_000_000, technique: "sliding" },
    outputs: { success: to("main"), ...(fallback !== undefined && { fallback: to(fallback) }) },
  });
  const models = [model("main", "openai", "gpt-4o"), model("cheap", "openai", "gpt-4o-mini"), end];
  await create("counted", [start("limit"), limit("count", 2), ...models]);
  await ask("counted", { user: "a" });
  await ask("counted", { user: "a" });
  await assert.rejects(ask("counted", { user: "a" }), OpenAI.RateLimitError);
  assert.equal(await ask("counted", { user: "b" }), "openai/gpt-4o");
  // A request of the provider's costs (100 × 2.50 + 50 × 10.00) / 1,000,000 dollars: two of them pass 0.001.
  await create("budget", [start("limit"), limit("cost", 0.001, "cheap"), ...models]);
  assert.deepEqual(
    [await ask("budget", { user: "a" }), await ask("budget", { user: "a" }), await ask("budget", { user: "a" })],
    ["openai/gpt-4o", "openai/gpt-4o", "openai/gpt-4o-mini"],
  );
  assert.equal(await ask("budget", { user: "b" }), "openai/gpt-4o");
  const found = (await logs.list("routes", { account_id, model: "gpt-4o-mini", search: '"user":"a"' })).result;
  assert.equal(found.length, 1);
});
