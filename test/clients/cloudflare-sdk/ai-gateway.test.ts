/** AI Gateway: settings and logs by the official SDK, the data plane by plain requests to a provider of our own. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import Cloudflare from "cloudflare";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startPlatform } from "../../harness/platform.ts";

const provider = await startModelProvider({ after });
const platform = await startPlatform(
  { after },
  {
    config: {
      "ai_gateway.providers": [`openai=${provider.url}/v1`, `anthropic=${provider.url}`, `ollama=${provider.url}/v1`],
      "ai_gateway.private_providers": true,
      "ai_gateway.cache_ttl_min_s": 1,
      "ai_gateway.gateways_max": 100,
    },
  },
);
const account_id = platform.ready.account_id;
const { aiGateway } = platform.sdk();
const base = `/accounts/${account_id}/ai-gateway`;

const plain = {
  cache_invalidate_on_update: false,
  cache_ttl: 0,
  collect_logs: true,
  rate_limiting_interval: 0,
  rate_limiting_limit: 0,
} as const;

let count = 0;
async function gateway(settings: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const id = `gw-${count++}`;
  await aiGateway.create({ account_id, id, ...plain, ...settings } as never);
  return id;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers of providers and errors have many shapes.
  readonly json: any;
}

async function send(id: string, path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const response = await platform.fetch(`${platform.host("ai_gateway", { gateway: id })}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const json = text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : undefined;
  return { status: response.status, headers: Object.fromEntries(response.headers), text, json };
}

const ask = (content: string, model = "gpt-4o-mini") => ({ model, messages: [{ role: "user", content }] });
const chat = (id: string, content: string, headers: Readonly<Record<string, string>> = {}, model?: string): Promise<Answer> =>
  send(id, "/openai/chat/completions", ask(content, model), { authorization: "Bearer sk-own", ...headers });
const reply = ({ json }: Answer): string => json.choices[0].message.content as string;
/** Requests that reached the provider while the work was done. */
async function reaching<T>(work: () => Promise<T>): Promise<{ result: T; seen: typeof provider.seen }> {
  const before = provider.seen.length;
  const result = await work();
  return { result, seen: provider.seen.slice(before) };
}
const codeOf = ({ status, json }: Answer): [number, number, number] => [status, json.error[0].code, json.errors[0].code];
const logOf = async (id: string, answer: Answer) =>
  aiGateway.logs.get(answer.headers["cf-aig-log-id"] as string, { account_id, gateway_id: id });

test("[ai-gateway-01, ai-gateway-42] gateways are created, read, changed, listed and deleted by the SDK, and the audit log has it", async () => {
  const id = await gateway();
  assert.equal((await aiGateway.get(id, { account_id })).cache_ttl, 0);
  const changed = await aiGateway.update(id, { account_id, ...plain, cache_ttl: 3600, rate_limiting_technique: "sliding" } as never);
  assert.deepEqual([changed.cache_ttl, changed.rate_limiting_technique], [3600, "sliding"]);
  const ids: string[] = [];
  for await (const one of aiGateway.list({ account_id, search: id })) ids.push(one.id);
  assert.deepEqual(ids, [id]);
  await assert.rejects(aiGateway.create({ account_id, id, ...plain }), Cloudflare.ConflictError);
  await assert.rejects(aiGateway.create({ account_id, id: "no spaces", ...plain }), Cloudflare.BadRequestError);
  await assert.rejects(aiGateway.create({ account_id, id: "x".repeat(65), ...plain }), Cloudflare.BadRequestError);
  const absent = aiGateway.create({
    account_id,
    id: "guarded",
    ...plain,
    dlp: { enabled: true, action: "BLOCK", profiles: ["x"] },
  } as never);
  await assert.rejects(absent, /dlp.*not implemented/);
  await aiGateway.delete(id, { account_id });
  await assert.rejects(aiGateway.get(id, { account_id }), Cloudflare.NotFoundError);
  const { body } = await platform.rest("GET", `/accounts/${account_id}/audit_logs?per_page=100`);
  const entries = (
    body.result as { action: { type: string }; resource: { type: string; id: string }; oldValueJson?: { cache_ttl?: number } }[]
  )
    .filter(({ resource }) => resource.type === "ai_gateway.gateway" && resource.id === id)
    .map(({ action }) => action.type);
  assert.deepEqual(entries.sort(), ["create", "delete", "update"]);
});

test("[ai-gateway-02] the gateway `default` comes with its first authenticated request, not with another", async () => {
  const path = "/compat/chat/completions";
  const body = ask("hello", "openai/gpt-4o-mini");
  assert.deepEqual(codeOf(await send("default", path, body, { authorization: "Bearer sk-own" })), [400, 2001, 2001]);
  await assert.rejects(aiGateway.get("default", { account_id }), Cloudflare.NotFoundError);
  const auth = { "cf-aig-authorization": `Bearer ${platform.ready.api_token}` };
  assert.equal(reply(await send("default", path, body, auth)), "echo hello");
  const made = await aiGateway.get("default", { account_id });
  assert.deepEqual([made.authentication, made.collect_logs, made.cache_ttl, made.is_default], [true, true, 0, true]);
  await aiGateway.delete("default", { account_id });
  assert.equal((await send("default", path, body, auth)).status, 200);
  assert.deepEqual(codeOf(await send("nobody", path, body, auth)), [400, 2001, 2001]);
});

test("[ai-gateway-08] custom providers: created, listed, changed and deleted, with the documented refusals", async () => {
  const { customProviders } = aiGateway;
  const given = { account_id, name: "Mine", slug: "mine", base_url: "https://models.example.com" };
  const made = await customProviders.create(given);
  assert.equal(made.enable, false);
  const refusal = async (work: Promise<unknown>): Promise<[number, number]> => {
    const error = (await work.catch((thrown: unknown) => thrown)) as InstanceType<typeof Cloudflare.APIError>;
    return [error.status as number, error.errors[0]?.code as number];
  };
  assert.deepEqual(await refusal(customProviders.create(given)), [409, 1003]);
  assert.deepEqual(await refusal(customProviders.create({ ...given, slug: "bad", base_url: "ftp://x" })), [400, 1002]);
  assert.deepEqual(await refusal(customProviders.create({ ...given, slug: "bad", base_url: "no url" })), [400, 1002]);
  assert.deepEqual(await refusal(customProviders.get("00000000-0000-0000-0000-000000000000", { account_id })), [404, 1004]);
  const patched = await platform.rest("PATCH", `${base}/custom-providers/${made.id}`, { enable: true, description: "d" });
  assert.deepEqual([patched.body.result.enable, patched.body.result.description], [true, "d"]);
  const found: string[] = [];
  for await (const one of customProviders.list({ account_id, enable: true, search: "min" })) found.push(one.slug);
  assert.deepEqual(found, ["mine"]);
  assert.equal((await customProviders.delete(made.id, { account_id })).slug, "mine");
  assert.deepEqual(await refusal(customProviders.get(made.id, { account_id })), [404, 1004]);
});

test("[ai-gateway-09] a custom provider gets path and query behind its base, and chat completions of the compatible endpoint", async () => {
  const id = await gateway({ cache_ttl: 3600 });
  const made = await aiGateway.customProviders.create({ account_id, name: "X", slug: "x", base_url: `${provider.url}/deep`, enable: true });
  const native = await reaching(() => send(id, "/custom-x/a/b?c=1", { model: "m", messages: [] }));
  assert.equal(native.seen[0]?.url, "/deep/a/b?c=1");
  const compat = await reaching(() => send(id, "/compat/chat/completions", ask("hi", "custom-x/some/model")));
  assert.equal(reply(compat.result), "echo hi");
  assert.equal(compat.seen[0]?.url, "/deep/v1/chat/completions");
  assert.equal(JSON.parse(compat.seen[0]?.body as string).model, "some/model");
  // A path does not lead out of what the provider's address covers.
  const above = await reaching(() => send(id, "/compat/chat/completions".replace("compat/chat/completions", "custom-x/%2e%2e/secret"), {}));
  assert.equal(above.seen.filter(({ url }) => url.includes("secret") && !url.startsWith("/deep/")).length, 0);
  const step = [{ provider: "custom-x", endpoint: "../secret", headers: {}, query: {} }];
  assert.deepEqual(codeOf(await send(id, "/", step)), [400, 2100, 2100]);
  // A change forgets what was cached of it; its end is the end of requests.
  const cached = async () => (await send(id, "/compat/chat/completions", ask("hi", "custom-x/some/model"))).headers["cf-aig-cache-status"];
  assert.equal(await cached(), "HIT");
  await platform.rest("PATCH", `${base}/custom-providers/${made.id}`, { base_url: `${provider.url}/other` });
  assert.equal(await cached(), "MISS");
  await platform.rest("PATCH", `${base}/custom-providers/${made.id}`, { enable: false });
  assert.deepEqual(codeOf(await send(id, "/custom-x/a", {})), [400, 2008, 2008]);
});

test("[ai-gateway-10] an authenticated gateway wants a token that may run it; a platform's token never reaches the provider", async () => {
  const on = await gateway({ authentication: true });
  const off = await gateway();
  const runs = await platform.token(["AI Gateway Run"]);
  const reads = await platform.token(["AI Gateway Read"]);
  const bearer = (token: string) => ({ "cf-aig-authorization": `Bearer ${token}` });
  assert.equal((await chat(on, "a", bearer(runs.value))).status, 200);
  assert.deepEqual(codeOf(await chat(on, "a")), [401, 2009, 2009]);
  assert.equal((await chat(off, "a", bearer(runs.value))).status, 200);
  assert.equal((await chat(off, "a")).status, 200);
  assert.deepEqual(codeOf(await chat(on, "a", bearer(reads.value))), [401, 2009, 2009]);
  assert.deepEqual(codeOf(await chat(on, "a", bearer("made-up"))), [401, 2009, 2009]);
  // Where SDKs put a provider's key the token is taken, too, and goes no further.
  for (const headers of [{ authorization: `Bearer ${runs.value}` }, { authorization: runs.value }, { "x-goog-api-key": runs.value }]) {
    const { result, seen } = await reaching(() => send(on, "/openai/chat/completions", ask("b"), headers as never));
    assert.equal(result.status, 200);
    assert.ok(!JSON.stringify(seen).includes(runs.value));
  }
  const sent = await reaching(() => chat(on, "a", { ...bearer(runs.value), "cf-aig-metadata": "{}", "x-own": "1" }));
  assert.deepEqual(
    Object.keys(sent.seen[0]?.headers ?? {}).filter((name) => name.startsWith("cf-") || name.startsWith("x-")),
    ["x-own"],
  );
  assert.equal(sent.seen[0]?.headers.authorization, "Bearer sk-own");
});

test("[ai-gateway-11, ai-gateway-12, ai-gateway-14] the universal endpoint: fallback, a timeout for each step, and whose headers count", async () => {
  const id = await gateway();
  const step = (model: string, more: object = {}) => ({
    provider: "openai",
    endpoint: "chat/completions",
    headers: { authorization: "Bearer sk-step" },
    query: ask("universal", model),
    ...more,
  });
  const second = await send(id, "", [step("fails"), step("good")]);
  assert.deepEqual([second.status, second.headers["cf-aig-step"], reply(second)], [200, "1", "echo universal"]);
  const other = await send(id, "/", [step("refuses"), { ...step("good"), provider: "compat", query: ask("c", "ollama/good") }]);
  assert.deepEqual([other.headers["cf-aig-step"], reply(other)], ["1", "echo c"]);
  assert.equal((await send(id, "", [step("good"), step("fails")])).headers["cf-aig-step"], "0");
  const none = await send(id, "", [step("fails"), step("refuses")]);
  assert.deepEqual([none.status, none.json.error.message], [400, "no such model"]);
  const late = await send(id, "", [step("slow", { config: { requestTimeout: 100 } }), step("good")]);
  assert.deepEqual([late.status, late.headers["cf-aig-step"]], [200, "1"]);
  assert.deepEqual(codeOf(await chat(id, "x", { "cf-aig-request-timeout": "100" }, "slow")), [504, 2101, 2101]);
  const refused = await send(id, "", { provider: "openai" });
  assert.equal(refused.status, 400);
  // A step that wants no cache, in a request that does.
  const uncached = step("good", { headers: { "cf-aig-cache-ttl": 0 } });
  const ttl = { "cf-aig-cache-ttl": "3600" };
  const { seen } = await reaching(async () => {
    for (let i = 0; i < 2; i++) assert.equal((await send(id, "", [uncached], ttl)).headers["cf-aig-cache-status"], undefined);
    assert.equal((await send(id, "", [step("good")], ttl)).headers["cf-aig-cache-status"], "MISS");
    assert.equal((await send(id, "", [step("good")], ttl)).headers["cf-aig-cache-status"], "HIT");
  });
  assert.equal(seen.length, 3);
});

test("[ai-gateway-13] retries: a provider that fails twice answers the third attempt, each later than the one before", async () => {
  const id = await gateway();
  const attempts = async (headers: Record<string, string>) => {
    provider.fail(2);
    const { result, seen } = await reaching(() => chat(id, "retry", headers));
    provider.fail(0);
    return { status: result.status, gaps: seen.slice(1).map(({ at }, i) => at - (seen[i]?.at as number)) };
  };
  const exponential = await attempts({ "cf-aig-max-attempts": "3", "cf-aig-retry-delay": "100", "cf-aig-backoff": "exponential" });
  assert.equal(exponential.status, 200);
  // Timers fire a millisecond early at most; how late they fire is the machine's matter.
  assert.ok(
    exponential.gaps.length === 2 && (exponential.gaps[0] as number) >= 99 && (exponential.gaps[1] as number) >= 199,
    `${exponential.gaps}`,
  );
  const linear = await attempts({ "cf-aig-max-attempts": "3", "cf-aig-retry-delay": "60", "cf-aig-backoff": "linear" });
  assert.ok((linear.gaps[0] as number) >= 59 && (linear.gaps[1] as number) >= 119, `${linear.gaps}`);
  assert.equal((await attempts({ "cf-aig-max-attempts": "2", "cf-aig-retry-delay": "1" })).status, 500);
  assert.equal((await attempts({})).gaps.length, 0);
  const own = await gateway({ retry_max_attempts: 3, retry_delay: 0, retry_backoff: "constant" });
  provider.fail(2);
  assert.equal((await chat(own, "retry")).status, 200);
});

test("[ai-gateway-15, ai-gateway-16, ai-gateway-17] the cache: identical requests, times to live, skipping, and keys of one's own", async () => {
  const on = await gateway({ cache_ttl: 3600 });
  const off = await gateway();
  const status = async (id: string, content: string, headers: Record<string, string> = {}) =>
    (await chat(id, content, headers)).headers["cf-aig-cache-status"];
  const { seen } = await reaching(async () => {
    assert.equal(await status(on, "same"), "MISS");
    const hit = await chat(on, "same");
    assert.deepEqual([hit.headers["cf-aig-cache-status"], reply(hit), hit.headers["x-provider"]], ["HIT", "echo same", "foreign"]);
  });
  assert.equal(seen.length, 1);
  assert.equal(await status(on, "other"), "MISS");
  assert.equal(await status(on, "same", { authorization: "Bearer sk-another" }), "MISS");
  const skipped = await reaching(async () => [
    await status(on, "same", { "cf-aig-skip-cache": "true" }),
    await status(on, "same", { "cf-skip-cache": "true" }),
  ]);
  assert.equal(skipped.seen.length, 2);
  assert.equal(await status(off, "same"), undefined);
  assert.equal(await status(off, "brief", { "cf-aig-cache-ttl": "1" }), "MISS");
  assert.equal(await status(off, "old name", { "cf-cache-ttl": "1" }), "MISS");
  const since = Date.now();
  while ((await status(off, "brief", { "cf-aig-cache-ttl": "1" })) === "HIT") await delay(50);
  assert.ok(Date.now() - since > 500);
  const key = { "cf-aig-cache-key": "answer-a" };
  assert.equal(await status(off, "first body", key), "MISS");
  const keyed = await chat(off, "another body", key);
  assert.deepEqual([keyed.headers["cf-aig-cache-status"], reply(keyed)], ["HIT", "echo first body"]);
  // Failures are not kept.
  for (let i = 0; i < 2; i++) assert.equal((await chat(on, "x", {}, "fails")).headers["cf-aig-cache-status"], "MISS");
});

test("[ai-gateway-18] rate limits: what a window is past is 429 and not forwarded, what comes from the cache is free", async () => {
  for (const rate_limiting_technique of ["fixed", "sliding"]) {
    const id = await gateway({ rate_limiting_interval: 100_000_000, rate_limiting_limit: 2, rate_limiting_technique, cache_ttl: 3600 });
    const { result, seen } = await reaching(async () => {
      const answers = [await chat(id, "1"), await chat(id, "1"), await chat(id, "2"), await chat(id, "3")];
      assert.deepEqual(codeOf(answers[3] as Answer), [429, 2003, 2003]);
      return answers.map(({ status }) => status);
    });
    assert.deepEqual(result, [200, 200, 200, 429]);
    assert.equal(seen.length, 2);
    assert.equal((await chat(id, "1")).status, 200);
  }
});

test("[ai-gateway-19] a request's log has what happened and both bodies", async () => {
  const id = await gateway();
  const answer = await chat(id, "log me", { "cf-aig-event-id": "event-1" });
  assert.equal(answer.headers["cf-aig-event-id"], "event-1");
  const log = await logOf(id, answer);
  assert.deepEqual(
    [log.provider, log.model, log.path, log.success, log.status_code, log.cached, log.tokens_in, log.tokens_out, log.step],
    ["openai", "gpt-4o-mini", "chat/completions", true, 200, false, 100, 50, 0],
  );
  assert.equal(log.request_head_complete, true);
  assert.deepEqual(JSON.parse(log.request_head as string), ask("log me"));
  const at = { account_id, gateway_id: id };
  const logId = answer.headers["cf-aig-log-id"] as string;
  assert.deepEqual(await aiGateway.logs.request(logId, at), ask("log me"));
  assert.deepEqual(await aiGateway.logs.response(logId, at), answer.json);
  const failed = await chat(id, "x", {}, "fails");
  assert.deepEqual([(await logOf(id, failed)).success, (await logOf(id, failed)).status_code], [false, 500]);
  await platform.restart();
  assert.equal((await logOf(id, answer)).model, "gpt-4o-mini");
});

test("[ai-gateway-20, ai-gateway-23] logs are filtered by what they have, metadata among it, and deleted by a filter", async () => {
  const id = await gateway({ cache_ttl: 3600 });
  const six = JSON.stringify({ plan: "pro", user: 42, beta: true, d: "4", e: "5", f: "6" });
  await chat(id, "a", { "cf-aig-metadata": six });
  await chat(id, "a");
  await chat(id, "b", { "cf-aig-metadata": '{"plan":"free"}' }, "gpt-4o");
  await chat(id, "c", {}, "fails");
  await send(id, "/anthropic/v1/messages", ask("d", "claude-3-haiku"), { "x-api-key": "k" });
  const bad = await chat(id, "x", { "cf-aig-metadata": '{"deep":{}}' });
  assert.equal(bad.status, 400);
  type Options = Omit<Parameters<typeof aiGateway.logs.list>[1], "account_id">;
  const found = async (options: Options): Promise<number> => {
    let n = 0;
    for await (const _ of aiGateway.logs.list(id, { account_id, ...options })) n++;
    return n;
  };
  const filter = (key: string, operator: string, ...value: (string | number | boolean)[]): Options => ({
    filters: [{ key, operator, value }] as never,
  });
  const cases: [Options, number][] = [
    [{}, 5],
    [{ provider: "anthropic" }, 1],
    [{ model: "gpt-4o" }, 1],
    [{ success: false }, 1],
    [{ cached: true }, 1],
    [{ min_tokens_in: 50 }, 3],
    [{ max_total_tokens: 10 }, 2],
    [{ search: "claude" }, 1],
    [{ start_date: "2100-01-01T00:00:00Z" }, 0],
    [filter("provider", "eq", "anthropic", "openai"), 5],
    [filter("provider", "neq", "openai"), 1],
    [filter("model", "contains", "gpt"), 3],
    [filter("tokens", "gt", 100), 3],
    [filter("tokens_out", "lt", 10), 1],
    [filter("success", "eq", false), 1],
    [filter("metadata.key", "eq", "plan"), 2],
    [filter("metadata.value", "eq", "pro"), 1],
    [filter("metadata.value", "eq", "42"), 1],
  ];
  for (const [options, n] of cases) assert.equal(await found(options), n, JSON.stringify(options));
  const [pro] = (await aiGateway.logs.list(id, { account_id, ...filter("metadata.value", "eq", "pro") })).result;
  assert.deepEqual(JSON.parse(pro?.metadata as string), { plan: "pro", user: 42, beta: true, d: "4", e: "5" });
  await aiGateway.logs.delete(id, { account_id, filters: [{ key: "provider", operator: "eq", value: ["anthropic"] }] });
  assert.deepEqual([await found({}), await found({ provider: "anthropic" })], [4, 0]);
  await assert.rejects(found(filter("nonsense", "eq", "x")), Cloudflare.BadRequestError);
});

test("[ai-gateway-21, ai-gateway-22, ai-gateway-24] which requests are logged, how many logs stay, and what people say of them", async () => {
  const on = await gateway();
  const off = await gateway({ collect_logs: false });
  const missing = async (id: string, answer: Answer) => assert.rejects(logOf(id, answer), Cloudflare.NotFoundError);
  await missing(on, await chat(on, "x", { "cf-aig-collect-log": "false" }));
  await missing(off, await chat(off, "x"));
  const logged = await chat(off, "x", { "cf-aig-collect-log": "true" });
  assert.equal((await logOf(off, logged)).success, true);
  await aiGateway.logs.edit(logged.headers["cf-aig-log-id"] as string, {
    account_id,
    gateway_id: off,
    feedback: 1,
    score: 80,
    metadata: { a: 1 },
  });
  const edited = (await logOf(off, logged)) as unknown as Record<string, unknown>;
  assert.deepEqual([edited.feedback, edited.score, edited.metadata], [1, 80, '{"a":1}']);
  for (const [strategy, kept] of [
    ["STOP_INSERTING", 0],
    ["DELETE_OLDEST", 2],
  ] as const) {
    const capped = await gateway({ log_management: 10, log_management_strategy: strategy });
    const ids: string[] = [];
    for (let i = 0; i < 12; i++) ids.push((await chat(capped, `${i}`)).headers["cf-aig-log-id"] as string);
    const found: string[] = [];
    for await (const { id } of aiGateway.logs.list(capped, { account_id, order_by: "created_at", order_by_direction: "asc" }))
      found.push(id);
    assert.deepEqual(found.sort(), ids.slice(kept, kept + 10).sort());
  }
});

test("[ai-gateway-25, ai-gateway-07] costs: tokens by the model's price, or by the request's own; the cache is free; models are listed with prices", async () => {
  const id = await gateway({ cache_ttl: 3600 });
  const cost = async (headers: Record<string, string>, content: string, model?: string) => {
    const log = await logOf(id, await chat(id, content, headers, model));
    return [log.cost, log.custom_cost];
  };
  const near = (found: readonly unknown[], wanted: number, custom: boolean): void => {
    assert.ok(Math.abs((found[0] as number) - wanted) < 1e-12, `${found[0]} is not ${wanted}`);
    assert.equal(found[1], custom);
  };
  near(await cost({}, "priced"), (100 * 0.15 + 50 * 0.6) / 1e6, false);
  near(await cost({}, "priced"), 0, false);
  near(await cost({}, "dated", "gpt-4o-2024-08-06"), (100 * 2.5 + 50 * 10) / 1e6, false);
  const own = { "cf-aig-custom-cost": '{"per_token_in":0.001,"per_token_out":0.002}' };
  near(await cost(own, "own"), 0.2, true);
  near(await cost(own, "own"), 0, false);
  assert.deepEqual(await cost({}, "unknown", "nobody-knows-it"), [null, false]);
  const models = await platform.fetch(`${platform.host("ai_gateway", { gateway: id })}/compat/v1/models`);
  const { data } = (await models.json()) as { data: { id: string; cost_in: number; cost_out: number }[] };
  const mini = data.find((model) => model.id === "openai/gpt-4o-mini");
  assert.deepEqual([mini?.cost_in, mini?.cost_out], [0.15 / 1e6, 0.6 / 1e6]);
});

test("[ai-gateway-31] a gateway's keys: sent when the client has none, picked by alias, never shown, and gone when deleted", async () => {
  const id = await gateway({ authentication: true });
  const configs = aiGateway.providerConfigs;
  const key = (alias: string, secret: string) =>
    configs.create(id, { account_id, alias, default_config: alias === "default", provider_slug: "openai", secret });
  const first = await key("default", "sk-stored-default-key");
  await key("testing", "sk-stored-testing-key");
  assert.ok(!JSON.stringify([first, (await configs.list(id, { account_id })).result]).includes("sk-stored"));
  const auth = { "cf-aig-authorization": `Bearer ${platform.ready.api_token}` };
  const used = async (headers: Record<string, string>) => {
    const { result, seen } = await reaching(() => send(id, "/openai/chat/completions", ask("k"), { ...auth, ...headers }));
    return [result.status, seen[0]?.headers.authorization];
  };
  assert.deepEqual(await used({}), [200, "Bearer sk-stored-default-key"]);
  assert.deepEqual(await used({ "cf-aig-byok-alias": "testing" }), [200, "Bearer sk-stored-testing-key"]);
  assert.deepEqual(await used({ authorization: "Bearer sk-client" }), [200, "Bearer sk-client"]);
  assert.deepEqual(await used({ authorization: `Bearer ${platform.ready.api_token}` }), [200, "Bearer sk-stored-default-key"]);
  const compat = await reaching(() => send(id, "/compat/chat/completions", ask("k", "openai/gpt-4o"), auth));
  assert.equal(compat.seen[0]?.headers.authorization, "Bearer sk-stored-default-key");
  await configs.create(id, { account_id, alias: "default", default_config: true, provider_slug: "anthropic", secret: "ant-key" });
  const anthropic = await reaching(() => send(id, "/anthropic/v1/messages", ask("k", "claude-3-haiku"), auth));
  assert.equal(anthropic.seen[0]?.headers["x-api-key"], "ant-key");
  await platform.rest("DELETE", `${base}/gateways/${id}/provider_configs/${first.id}`);
  assert.deepEqual(await used({}), [200, undefined]);
  assert.deepEqual((await used({ "cf-aig-byok-alias": "default" }))[0], 401);
});

test("whatever a URL or a step names, only configured and public addresses are reached", async () => {
  const id = await gateway();
  for (const slug of ["127.0.0.1", "localhost", "custom-nobody", "http:", "unknown"])
    assert.equal((await send(id, `/${slug}/x`, {})).status, 400, slug);
  const strict = await startPlatform({ after });
  const own = `/accounts/${strict.ready.account_id}/ai-gateway`;
  await strict.rest("POST", `${own}/gateways`, { id: "strict", ...plain });
  const http = await strict.rest("POST", `${own}/custom-providers`, { name: "h", slug: "h", base_url: provider.url, enable: true });
  assert.deepEqual([http.status, http.body.errors[0]?.code], [400, 1002]);
  const urls = ["https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1", "https://169.254.169.254", "https://10.0.0.1"];
  for (const [i, base_url] of urls.entries()) {
    await strict.rest("POST", `${own}/custom-providers`, { name: "p", slug: `p${i}`, base_url, enable: true });
    const answer = await strict.fetch(`${strict.host("ai_gateway", { gateway: "strict" })}/custom-p${i}/x`, { method: "POST", body: "{}" });
    assert.equal(answer.status, 403, `${base_url}: ${await answer.text()}`);
  }
});
