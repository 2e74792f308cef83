/** AI Gateway by the SDKs of model providers, which know nothing of it but a base URL. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startPlatform } from "../../harness/platform.ts";

const provider = await startModelProvider({ after });
const platform = await startPlatform(
  { after },
  { config: { "ai_gateway.providers": [`openai=${provider.url}/v1`, `anthropic=${provider.url}`, `ollama=${provider.url}/v1`] } },
);
await platform.rest("POST", `/accounts/${platform.ready.account_id}/ai-gateway/gateways`, {
  id: "sdk",
  cache_invalidate_on_update: false,
  cache_ttl: 0,
  collect_logs: true,
  rate_limiting_interval: 0,
  rate_limiting_limit: 0,
});
const base = platform.host("ai_gateway", { gateway: "sdk" });
// Node's resolver does not know names under localhost.
const fetch = platform.fetch as unknown as typeof globalThis.fetch;
const openai = (path: string): OpenAI => new OpenAI({ apiKey: "sk-own", baseURL: `${base}/${path}`, fetch, maxRetries: 0 });
const messages = [{ role: "user" as const, content: "hello" }];

test("[ai-gateway-03, ai-gateway-04] the OpenAI SDK gets completions and responses, and the provider what the SDK sent", async () => {
  const client = openai("openai");
  const completion = await client.chat.completions.create({ model: "gpt-4o-mini", messages });
  assert.equal(completion.choices[0]?.message.content, "echo hello");
  assert.equal(completion.usage?.total_tokens, 150);
  assert.deepEqual([provider.seen.at(-1)?.url, provider.seen.at(-1)?.headers.authorization], ["/v1/chat/completions", "Bearer sk-own"]);
  const response = await client.responses.create({ model: "gpt-5", input: "ünï\u2028code" });
  assert.equal(response.output_text, "echo ");
  assert.equal(provider.seen.at(-1)?.url, "/v1/responses");
  // Byte for byte what a client wrote, spaces and all.
  const body = '{ "model":"gpt-5",\n "input" : "ünï\u2028code" }';
  const headers = { authorization: "Bearer sk-own", "content-type": "application/json" };
  await (await platform.fetch(`${base}/openai/responses`, { method: "POST", headers, body })).text();
  assert.equal(provider.seen.at(-1)?.body, body);
  await assert.rejects(client.chat.completions.create({ model: "refuses", messages }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    return /no such model/.test(error.message);
  });
});

test("[ai-gateway-05] a stream's pieces come before the provider has ended, and its tokens are in the log", async () => {
  const { data: stream, response } = await openai("openai")
    .chat.completions.create({ model: "gpt-4o", messages, stream: true })
    .withResponse();
  const waiting = provider.streaming;
  const pieces: string[] = [];
  for await (const { choices } of stream) {
    pieces.push(choices[0]?.delta.content ?? "");
    // The provider sends the rest only now that its first piece is here.
    if (pieces.length === 1) waiting.release();
  }
  assert.deepEqual(pieces, ["first ", "echo hello"]);
  const path = `/accounts/${platform.ready.account_id}/ai-gateway/gateways/sdk/logs/${response.headers.get("cf-aig-log-id")}`;
  const { result } = (await platform.rest("GET", path)).body;
  assert.deepEqual([result.tokens_in, result.tokens_out, result.model, result.success], [7, 11, "gpt-4o", true]);
});

test("[ai-gateway-06] one client reaches two providers by the model's name alone", async () => {
  const client = openai("compat");
  for (const [model, url, sent] of [
    ["openai/gpt-4o-mini", "/v1/chat/completions", "gpt-4o-mini"],
    ["anthropic/claude-3-haiku", "/v1/chat/completions", "claude-3-haiku"],
    ["ollama/llama3.2:1b", "/v1/chat/completions", "llama3.2:1b"],
  ] as const) {
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    assert.equal(data.choices[0]?.message.content, "echo hello");
    assert.equal(response.headers.get("cf-aig-provider"), model.split("/")[0]);
    assert.deepEqual([provider.seen.at(-1)?.url, JSON.parse(provider.seen.at(-1)?.body as string).model], [url, sent]);
  }
  await assert.rejects(client.chat.completions.create({ model: "nobody/m", messages }), OpenAI.BadRequestError);
  await assert.rejects(client.chat.completions.create({ model: "no-provider", messages }), OpenAI.BadRequestError);
});

test("the Anthropic SDK gets messages through its own provider", async () => {
  const client = new Anthropic({ apiKey: "sk-ant", baseURL: `${base}/anthropic`, fetch, maxRetries: 0 });
  const message = await client.messages.create({ model: "claude-3-haiku", max_tokens: 16, messages });
  assert.deepEqual(
    message.content.map((part) => (part.type === "text" ? part.text : "")),
    ["echo hello"],
  );
  assert.deepEqual([provider.seen.at(-1)?.url, provider.seen.at(-1)?.headers.authorization], ["/v1/messages", "Bearer sk-ant"]);
});

test("spans go to no private address that a user names", async () => {
  const settings = {
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: true,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
  };
  const otel = [{ url: `${provider.url}/traces`, headers: {} }];
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/ai-gateway/gateways`, { id: "leaky", ...settings, otel });
  const client = new OpenAI({ apiKey: "sk", baseURL: `${platform.host("ai_gateway", { gateway: "leaky" })}/openai`, fetch, maxRetries: 0 });
  await client.chat.completions.create({ model: "gpt-4o-mini", messages });
  while (!platform.log.some(({ msg }) => msg === "ai_gateway.span_not_sent")) await setImmediate();
  assert.ok(provider.seen.every(({ url }) => url !== "/traces"));
});
