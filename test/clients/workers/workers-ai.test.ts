/** `env.AI` in a Worker that wrangler deploys: models, streams, tools, JSON, vectors, gateways; and wrangler's own commands. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startModelServer } from "../../harness/model-server.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const models = await startModelServer({ after });
const key = encodeURIComponent("sk:of/operator");
const own = models.url.replace("http://", `http://:${key}@`);
const platform = await startPlatform(
  { after },
  {
    config: {
      "workers_ai.models": [
        `@cf/meta/llama-3.1-8b-instruct=${own}#llama3.1:8b`,
        `@cf/meta/llama-3.2-1b-instruct=${models.url}#hangs`,
        `@cf/meta/llama-3.2-3b-instruct=${models.url}#fails`,
        `@cf/meta/m*=http://127.0.0.1:9/v1`,
        `@own/assistant=${models.url}`,
        `@hf/*=${models.url}`,
        `@cf/meta/llama-*=${models.url}`,
        `@cf/openai/*=${models.url}`,
        `@cf/baai/*=${models.url}`,
      ],
    },
  },
);
const account = platform.ready.account_id;

const source = `
const thrown = async (work) => { try { await work(); return null; } catch (e) { return e.name + ": " + e.message; } };
const text = async (stream) => new Response(stream).text();
const LLAMA = "@cf/meta/llama-3.1-8b-instruct";
const weather = { name: "getWeather", description: "Weather of a city", parameters: { type: "object", properties: { city: { type: "string" }, days: { type: "number" } }, required: ["city"] } };
const routes = {
  async text({ AI }) {
    const prompt = await AI.run(LLAMA, { prompt: "hello" });
    const messages = await AI.run(LLAMA, { messages: [{ role: "system", content: "be kind" }, { role: "user", content: "hi there" }], temperature: 0.5, seed: 4 });
    const parts = await AI.run(LLAMA, { messages: [{ role: "user", content: [{ type: "text", text: "in parts" }] }] });
    const raw = await AI.run(LLAMA, { prompt: "as it is", raw: true });
    const long = await AI.run(LLAMA, { prompt: "tell me at length" });
    const longer = await AI.run(LLAMA, { prompt: "tell me at length", max_tokens: 300 });
    return { prompt, messages, parts: parts.response, raw: raw.response, long: long.response.split(" ").length, longer: longer.response.split(" ").length, id: typeof AI.lastRequestId, own: (await AI.run("@own/assistant", { prompt: "mine" })).response };
  },
  async stream({ AI }) {
    const stream = await AI.run(LLAMA, { prompt: "one two three", stream: true });
    const kind = stream instanceof ReadableStream;
    return { kind, text: await text(stream) };
  },
  async tools({ AI }) {
    const HERMES = "@hf/nousresearch/hermes-2-pro-mistral-7b";
    const messages = [{ role: "user", content: "what is the weather in london?" }];
    const legacy = await AI.run(HERMES, { messages, tools: [weather] });
    const standard = await AI.run(HERMES, { messages, tools: [{ type: "function", function: weather }] });
    const [call] = standard.tool_calls;
    const conversation = [...messages,
      { role: "assistant", content: null, tool_calls: [{ id: call.id, type: "function", function: { name: call.name, arguments: JSON.stringify(call.arguments) } }] },
      { role: "tool", tool_call_id: call.id, name: "getWeather", content: "it rains" }];
    const end = await AI.run(HERMES, { messages: conversation, tools: [weather] });
    const streamed = await text(await AI.run(HERMES, { messages, tools: [weather], stream: true }));
    return { legacy: legacy.tool_calls, standard: standard.tool_calls, end, streamed };
  },
  async json({ AI }) {
    const json_schema = { type: "object", properties: { name: { type: "string" }, age: { type: "number" } }, required: ["name", "age"] };
    const format = { type: "json_schema", json_schema };
    const messages = [{ role: "user", content: "who?" }];
    return {
      schema: (await AI.run(LLAMA, { messages, response_format: format })).response,
      unmet: await thrown(() => AI.run(LLAMA, { messages: [{ role: "user", content: "no JSON please" }], response_format: format })),
      other: await thrown(() => AI.run(LLAMA, { messages, response_format: { type: "json_schema", json_schema: { ...json_schema, properties: { ...json_schema.properties, name: { type: "string", enum: ["nobody"] } } } } })),
      streamed: await thrown(() => AI.run(LLAMA, { messages, response_format: format, stream: true })),
    };
  },
  async vectors({ AI }) {
    const shapes = {};
    for (const size of ["small", "base", "large"]) shapes[size] = (await AI.run("@cf/baai/bge-" + size + "-en-v1.5", { text: ["a red apple", "an apple", "war and peace"] })).shape;
    const one = await AI.run("@cf/baai/bge-base-en-v1.5", { text: "alone" });
    const contexts = [{ text: "a llama in the hills" }, { text: "the story of an orange cloud" }, { text: "a cloud" }];
    const scores = await AI.run("@cf/baai/bge-m3", { query: "story of a cloud", contexts });
    const plain = await AI.run("@cf/baai/bge-m3", { text: ["x y"] });
    const ranks = await AI.run("@cf/baai/bge-reranker-base", { query: "orange cloud", contexts, top_k: 2 });
    return { shapes, one: one.shape, scores: scores.response, plain: plain.shape, ranks: ranks.response };
  },
  async errors({ AI }) {
    return {
      unknown: await thrown(() => AI.run("@cf/nobody/nothing", { prompt: "x" })),
      none: await thrown(() => AI.run("@cf/google/gemma-3-12b-it", { prompt: "x" })),
      empty: await thrown(() => AI.run(LLAMA, {})),
      wrong: await thrown(() => AI.run(LLAMA, { messages: "hello" })),
      fails: await thrown(() => AI.run("@cf/meta/llama-3.2-3b-instruct", { prompt: "x" })),
      nobody: await thrown(() => AI.run("@cf/meta/m2m100-1.2b", { text: "x", target_lang: "fr" })),
      window: await thrown(() => AI.run("@cf/meta/llama-3.3-70b-instruct-fp8-fast", { prompt: "word ".repeat(20000), max_tokens: 512 })),
      adapter: await thrown(() => AI.run(LLAMA, { prompt: "x", lora: "mine" })),
      tags: await thrown(() => AI.run(LLAMA, { prompt: "x" }, { tags: ["a", "b c"] })),
      socket: (await AI.run(LLAMA, { prompt: "x" }, { websocket: true })).status,
    };
  },
  async raw({ AI }) {
    const response = await AI.run(LLAMA, { prompt: "raw" }, { returnRawResponse: true, tags: ["team:a", "team:a", "v1.0/x@y"] });
    const abort = new AbortController();
    const stream = await AI.run("@cf/meta/llama-3.2-1b-instruct", { prompt: "one two", stream: true }, { signal: abort.signal });
    const reader = stream.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    abort.abort();
    const ended = await thrown(async () => { while (!(await reader.read()).done); });
    return { is: response instanceof Response, status: response.status, type: response.headers.get("content-type"), body: await response.json(), first, ended: ended !== null };
  },
  async gateway({ AI }) {
    const options = { gateway: { id: "mine", metadata: { team: "a" }, eventId: "e-1", cacheTtl: 60 } };
    const first = await AI.run(LLAMA, { prompt: "through a gateway" }, options);
    const logId = AI.aiGatewayLogId;
    const again = await AI.run(LLAMA, { prompt: "through a gateway" }, options);
    const log = await AI.gateway("mine").getLog(logId);
    const stream = await text(await AI.run(LLAMA, { prompt: "a stream", stream: true }, { gateway: { id: "mine" } }));
    const universal = await AI.gateway("mine").run([{ provider: "workers-ai", endpoint: LLAMA, headers: {}, query: { prompt: "universal" } }]);
    return { first, same: JSON.stringify(first) === JSON.stringify(again), log: [log.provider, log.model, log.success, log.tokens_in, log.metadata], stream: stream.includes("[DONE]"),
      universal: (await universal.json()).result.response, nowhere: await thrown(() => AI.run(LLAMA, { prompt: "x" }, { gateway: { id: "nowhere" } })),
      unknown: await thrown(() => AI.run("@cf/nobody/nothing", { prompt: "x" }, { gateway: { id: "mine" } })) };
  },
  async catalogue({ AI }) {
    const found = await AI.models({ search: "bge-", per_page: 3 });
    return found.map(({ name, task }) => [name, task.name]);
  },
};
export default { async fetch(request, env) { try { return Response.json(await routes[new URL(request.url).pathname.slice(1)](env)); } catch (e) { return new Response(e.stack, { status: 500 }); } } };`;

const project = await deployWorker(platform, { files: { "index.js": source }, config: { name: "ai", ai: { binding: "AI" } } });

async function asked(route: string): Promise<Record<string, unknown>> {
  const response = await platform.fetch(`${project.url}/${route}`);
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as Record<string, unknown>;
}

test("[workers-ai-01, workers-ai-16] a prompt and a conversation are answered with text and tokens, after 256 tokens they end", async () => {
  assert.deepEqual(await asked("text"), {
    prompt: { response: "echo hello", usage: { prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 } },
    messages: { response: "echo hi there", usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 } },
    parts: "echo in parts",
    raw: "echo as it is",
    long: 256,
    longer: 300,
    id: "string",
    own: "echo mine",
  });
  const [prompt, messages, , raw] = models.seen;
  assert.equal(prompt?.headers.authorization, "Bearer sk:of/operator");
  assert.deepEqual(prompt?.body, { messages: [{ role: "user", content: "hello" }], max_tokens: 256, stream: false, model: "llama3.1:8b" });
  assert.deepEqual([messages?.body.temperature, messages?.body.seed], [0.5, 4]);
  assert.deepEqual([raw?.path, raw?.body.prompt], ["/v1/completions", "as it is"]);
});

test("[workers-ai-02] a stream is events with pieces of the text, the tokens and the end", async () => {
  const { kind, text } = await asked("stream");
  assert.equal(kind, true);
  const events = (text as string).trim().split("\n\n");
  assert.equal(events.pop(), "data: [DONE]");
  const values = events.map((event) => JSON.parse(event.replace(/^data: /, "")));
  assert.deepEqual(
    values.map(({ response }) => response),
    ["echo ", "one ", "two ", "three", ""],
  );
  assert.deepEqual(values.at(-1).usage, { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 });
});

test("[workers-ai-11, workers-ai-12] models call tools, and go on with what those answered", async () => {
  const { legacy, standard, end, streamed } = await asked("tools");
  const call = { id: "call_of_server", name: "getWeather", arguments: { city: "some city", days: 7 } };
  assert.deepEqual(legacy, [call]);
  assert.deepEqual(standard, [call]);
  assert.deepEqual(end, {
    response: "echo it rains",
    tool_calls: [],
    usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 },
  });
  assert.match(streamed as string, /"tool_calls":\[\{"index":0,"id":"call_of_server"/);
  const round = models.seen.findLast(({ body }) => body.messages?.length === 3)?.body;
  assert.deepEqual(round.messages[1].content, null);
  assert.deepEqual([round.messages[1].tool_calls[0].id, round.messages[2].tool_call_id], ["call_of_server", "call_of_server"]);
  assert.equal(round.tools[0].function.name, "getWeather");
});

test("[workers-ai-14] JSON mode answers with an object of the schema, or with the documented error", async () => {
  assert.deepEqual(await asked("json"), {
    schema: { name: "some name", age: 7 },
    unmet: "InferenceUpstreamError: 5024: JSON Mode couldn't be met",
    other: "InferenceUpstreamError: 5024: JSON Mode couldn't be met",
    streamed: "InferenceUpstreamError: 5006: Error: JSON Mode does not support streaming",
  });
});

test("[workers-ai-07, workers-ai-08, workers-ai-09] vectors have each model's shape, contexts come by their score", async () => {
  const { shapes, one, scores, plain, ranks } = await asked("vectors");
  assert.deepEqual(shapes, { small: [3, 384], base: [3, 768], large: [3, 1024] });
  assert.deepEqual(
    [one, plain],
    [
      [1, 768],
      [1, 1024],
    ],
  );
  const sorted = scores as { id: number; score: number }[];
  assert.deepEqual(
    sorted.map(({ id }) => id),
    [2, 1, 0],
  );
  assert.ok(sorted.every(({ score }, at) => score <= (sorted[at - 1]?.score ?? 1.0001)));
  assert.deepEqual(ranks, [
    { id: 1, score: 1 },
    { id: 2, score: 0.5 },
  ]);
});

test("[workers-ai-38, workers-ai-39] what cannot be answered is refused with the documented codes, and tells nothing of the server behind", async () => {
  const { window, ...rest } = await asked("errors");
  assert.match(
    window as string,
    /^InferenceUpstreamError: 5021: The estimated number of input and maximum output tokens \(25512\) exceeded this model context window limit \(24000\)/,
  );
  assert.deepEqual(rest, {
    unknown: "InferenceUpstreamError: 5007: No such model @cf/nobody/nothing or task",
    none: "InferenceUpstreamError: 5018: Nothing runs the model @cf/google/gemma-3-12b-it here: name what does in the setting workers_ai.models",
    empty:
      "InferenceUpstreamError: 5006: Error: oneOf at '/' not met, 0 matches: required properties at '/' are 'prompt', required properties at '/' are 'messages'",
    wrong: "InferenceUpstreamError: 5006: Error: '/messages': Invalid input: expected array, received string",
    fails: "InferenceUpstreamError: 3050: What runs the model answered 500",
    nobody: "InferenceUpstreamError: 3050: What runs the model could not be reached",
    adapter: "InferenceUpstreamError: 5005: The model @cf/meta/llama-3.1-8b-instruct does not support LoRa inference",
    tags: "InferenceUpstreamError: 5006: Error: 'tags': at most 5, each of at most 50 letters, numbers and : - . / @",
    socket: 501,
  });
  const unknown = await platform.rest("POST", `/accounts/${account}/ai/run/@cf/nobody/nothing`, { prompt: "x" });
  assert.equal(unknown.status, 400);
  assert.equal(unknown.body.errors[0]?.code, 5007);
});

test("[workers-ai-28] a raw response is a Response; an aborted call ends at what runs the model, too", async () => {
  const { first, ...rest } = await asked("raw");
  assert.deepEqual(rest, {
    is: true,
    status: 200,
    type: "application/json",
    body: { response: "echo raw", usage: { prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 } },
    ended: true,
  });
  assert.match(first as string, /"response":"echo "/);
  await models.abandoned;
});

test("[workers-ai-27, ai-gateway-26] models run through a gateway: logged, cached, with the log's id", async () => {
  await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, {
    id: "mine",
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: true,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
    authentication: true,
  });
  const before = models.seen.length;
  assert.deepEqual(await asked("gateway"), {
    first: { response: "echo through a gateway", usage: { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 } },
    same: true,
    log: ["workers-ai", "@cf/meta/llama-3.1-8b-instruct", true, 11, '{"team":"a"}'],
    stream: true,
    universal: "echo universal",
    nowhere: "InferenceUpstreamError: 2001: Please configure AI Gateway in the Cloudflare dashboard",
    unknown: "InferenceUpstreamError: 5007: No such model @cf/nobody/nothing or task",
  });
  // The second of two equal calls came from the cache.
  assert.equal(models.seen.length - before, 3);
});

test("[workers-ai-26] wrangler and the binding list models by name and task, and each has a schema", async () => {
  assert.deepEqual(await asked("catalogue"), [
    ["@cf/baai/bge-m3", "Text Embeddings"],
    ["@cf/baai/bge-large-en-v1.5", "Text Embeddings"],
    ["@cf/baai/bge-base-en-v1.5", "Text Embeddings"],
  ]);
  const table = await project.wrangler(["ai", "models"]);
  assert.match(table.stdout, /@cf\/meta\/llama-3\.1-8b-instruct .*Text Generation/);
  assert.match(table.stdout, /@own\/assistant/);
  const listed = JSON.parse((await project.wrangler(["ai", "models", "list", "--json", "--task", "Translation"])).stdout);
  assert.deepEqual(
    listed.map(({ name }: { name: string }) => name),
    ["@cf/meta/m2m100-1.2b", "@cf/ai4bharat/indictrans2-en-indic-1B"],
  );
  const { result } = (await platform.rest("GET", `/accounts/${account}/ai/models/schema?model=${encodeURIComponent("@cf/baai/bge-m3")}`))
    .body;
  assert.deepEqual(Object.keys(result), ["input", "output"]);
  assert.ok("query" in result.input.properties && "shape" in result.output.properties);
});
