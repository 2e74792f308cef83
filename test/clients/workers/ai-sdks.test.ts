/** SDKs for models in one Worker: the AI SDK's providers for Workers AI and AI Gateway, TanStack AI, and `@cloudflare/ai-utils`. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startModelServer } from "../../harness/model-server.ts";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { COMPATIBILITY_DATE } from "../../harness/worker-project.ts";
import { eventually } from "../pipelines-world.ts";

const skip = missingClient("ai-sdks");
const source = `
import { createOpenAI } from "ai-gateway-provider/providers/openai";
import { createAiGateway } from "ai-gateway-provider";
import { embedMany, experimental_transcribe, generateText, jsonSchema, rerank, stepCountIs, streamText, tool } from "ai";
import { createWorkersAI } from "workers-ai-provider";
import { runWithTools } from "@cloudflare/ai-utils";
import { createWorkersAiChat } from "@cloudflare/tanstack-ai";
import { chat } from "@tanstack/ai";
import { CloudflareVectorizeStore, CloudflareWorkersAIEmbeddings } from "@langchain/cloudflare";

const LLAMA = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";
const parameters = { type: "object", properties: { a: { type: "number" }, b: { type: "number" } }, required: ["a", "b"] };
const AUDIO = new Uint8Array(2000);

const routes = {
  async provider({ AI }) {
    const workersai = createWorkersAI({ binding: AI });
    const model = workersai(LLAMA);
    const one = await generateText({ model, prompt: "hello" });
    let pieces = "";
    for await (const piece of streamText({ model, prompt: "in a stream" }).textStream) pieces += piece;
    const seen = [];
    const sum = tool({ description: "adds", inputSchema: jsonSchema(parameters), execute: async ({ a, b }) => { seen.push([a, b]); return String(a + b); } });
    const tools = await generateText({ model, prompt: "add", tools: { sum }, stopWhen: stepCountIs(3) });
    const { embeddings } = await embedMany({ model: workersai.textEmbedding("@cf/baai/bge-base-en-v1.5"), values: ["one", "two"] });
    const ranked = await rerank({ model: workersai.reranking("@cf/baai/bge-reranker-base"), query: "orange cloud", documents: ["a llama", "an orange cloud"] });
    const heard = await experimental_transcribe({ model: workersai.transcription("@cf/openai/whisper"), audio: AUDIO });
    return { text: one.text, usage: one.usage.totalTokens, pieces, tools: tools.text, seen, sizes: embeddings.map((e) => e.length), first: ranked.ranking[0].originalIndex, heard: heard.text };
  },
  async utils({ AI }) {
    const calls = [];
    const sum = { name: "sum", description: "adds", parameters, function: async ({ a, b }) => { calls.push([a, b]); return String(a + b); } };
    const answer = await runWithTools(AI, "@hf/nousresearch/hermes-2-pro-mistral-7b", { messages: [{ role: "user", content: "add" }], tools: [sum] });
    return { calls, response: answer.response };
  },
  async tanstack({ AI }) {
    const events = chat({ adapter: createWorkersAiChat(LLAMA, { binding: AI }), messages: [{ role: "user", content: "to tanstack" }] });
    let text = "";
    for await (const event of events) text += event.delta ?? "";
    return { text };
  },
  async gateway({ AI }) {
    const gateway = createAiGateway({ binding: AI.gateway("sdk") });
    const openai = createOpenAI({ apiKey: "sk-own" });
    const model = gateway([openai.chat("fails"), openai.chat("gpt-4o")]);
    const { text } = await generateText({ model, prompt: "by the second", maxRetries: 0 });
    return { text };
  },
  // The documentation's example: one route writes, one searches, one clears.
  async store({ AI, INDEX }, act) {
    const embeddings = new CloudflareWorkersAIEmbeddings({ binding: AI, model: "@cf/baai/bge-base-en-v1.5" });
    const store = new CloudflareVectorizeStore(embeddings, { index: INDEX });
    const documents = [
      { pageContent: "an orange cloud over the llama's pen", metadata: { page: 1 } },
      { pageContent: "databases keep rows", metadata: { page: 2 } },
    ];
    if (act === "add") return { ids: await store.addDocuments(documents, { ids: ["cloud", "rows"] }) };
    if (act === "clear") return { done: (await store.delete({ ids: ["cloud", "rows"] })) ?? null };
    const [[best, score]] = await store.similaritySearchWithScore("orange cloud", 1);
    const two = await store.similaritySearch("orange cloud", 2);
    const filtered = await store.similaritySearch("orange cloud", 2, { page: 2 });
    return { best, score, two: two.length, filtered: filtered.map(({ pageContent }) => pageContent) };
  },
  async bytes({ AI }) {
    const body = (bytes) => new Blob([bytes]).stream();
    const whole = await AI.run("@cf/openai/whisper", { audio: { body: body(AUDIO), contentType: "audio/wav" }, language: "en" });
    const numbers = await AI.run("@cf/openai/whisper", { audio: [...AUDIO.slice(0, 100)] });
    const base64 = await AI.run("@cf/openai/whisper-large-v3-turbo", { audio: btoa("x".repeat(3000)) });
    const bad = await AI.run("@cf/openai/whisper", { audio: "no base64!" }).catch((error) => error.message);
    return { whole, numbers: numbers.text, base64: [base64.text, base64.transcription_info], bad };
  },
};
export default { async fetch(request, env) {
  try { return Response.json(await routes[new URL(request.url).pathname.split("/")[1]](env, new URL(request.url).pathname.split("/")[2])); } catch (e) { return new Response(e.stack, { status: 500 }); }
} };`;

async function start() {
  const models = await startModelServer({ after });
  const config = { "workers_ai.models": [`@*=${models.url}`], "ai_gateway.providers": [`openai=${models.url}`] };
  const platform = await startPlatform({ after }, { config });
  const settings = {
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: true,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
  };
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/ai-gateway/gateways`, { id: "sdk", ...settings });
  const indexes = `/accounts/${platform.ready.account_id}/vectorize/v2/indexes`;
  await platform.rest("POST", indexes, { name: "documents", config: { dimensions: 768, metric: "cosine" } });
  await platform.rest("POST", `${indexes}/documents/metadata_index/create`, { propertyName: "page", indexType: "number" });
  const cwd = await clientProject({ after }, "ai-sdks");
  await writeFile(join(cwd, "index.js"), source);
  const flags = { compatibility_date: COMPATIBILITY_DATE, compatibility_flags: ["nodejs_compat"] };
  await writeFile(
    join(cwd, "wrangler.json"),
    JSON.stringify({
      name: "sdks",
      main: "index.js",
      ...flags,
      ai: { binding: "AI" },
      vectorize: [{ binding: "INDEX", index_name: "documents" }],
    }),
  );
  await platform.wrangler(["deploy"], { cwd });
  const { subdomain } = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/subdomain`)).body.result;
  const url = platform.host("workers", { worker: "sdks", subdomain });
  return {
    platform,
    models,
    async asked(route: string): Promise<Record<string, unknown>> {
      const response = await platform.fetch(`${url}/${route}`);
      assert.equal(response.status, 200, await response.clone().text());
      return (await response.json()) as Record<string, unknown>;
    },
  };
}

const started = skip === false ? await start() : undefined;
const asked = (route: string) => (started as NonNullable<typeof started>).asked(route);

test("[workers-ai-41] the AI SDK's provider and TanStack AI generate, stream, call tools, embed, rank and hear", { skip }, async () => {
  assert.deepEqual(await asked("provider"), {
    text: "echo hello",
    usage: 13,
    pieces: "echo in a stream",
    tools: "echo 14",
    seen: [[7, 7]],
    sizes: [768, 768],
    first: 1,
    heard: "heard much",
  });
  assert.deepEqual(await asked("tanstack"), { text: "echo to tanstack" });
});

test("[workers-ai-13] runWithTools carries out a function of the Worker that the model has called", { skip }, async () => {
  assert.deepEqual(await asked("utils"), { calls: [[7, 7]], response: 'echo "14"' });
});

test("[ai-gateway-43] the AI SDK's gateway provider goes to the next model of a list when one fails", { skip }, async () => {
  assert.deepEqual(await asked("gateway"), { text: "echo by the second" });
  assert.deepEqual(
    started?.models.seen.slice(-2).map(({ body }) => body.model),
    ["fails", "gpt-4o"],
  );
});

test("[vectorize-28] LangChain's store embeds and adds documents, and finds the most similar, also among those that a filter leaves", {
  skip,
}, async () => {
  assert.deepEqual(await asked("store/add"), { ids: ["cloud", "rows"] });
  const { platform } = started as NonNullable<typeof started>;
  const holds = (vectors: number) =>
    eventually(`the index holds ${vectors} vectors`, async () => {
      const { body } = await platform.rest("GET", `/accounts/${platform.ready.account_id}/vectorize/v2/indexes/documents/info`);
      assert.equal(body.result.vectorCount, vectors);
    });
  await holds(2);
  const { best, score, two, filtered } = await asked("store/search");
  const { pageContent, metadata } = best as { pageContent: string; metadata: object };
  assert.deepEqual([pageContent, metadata], ["an orange cloud over the llama's pen", { page: 1 }]);
  assert.ok((score as number) > 0.3, String(score));
  assert.deepEqual([two, filtered], [2, ["databases keep rows"]]);
  await asked("store/clear");
  await holds(0);
});

test("[workers-ai-29] sound reaches a model as a stream, as numbers and in base64", { skip }, async () => {
  const { whole, ...rest } = await asked("bytes");
  assert.deepEqual(whole, {
    text: "heard much",
    word_count: 2,
    vtt: "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nheard much\n",
    words: [{ word: "heard", start: 0, end: 0.5 }],
  });
  assert.deepEqual(rest, {
    numbers: "heard little",
    base64: ["heard much", { language: "en", duration: 1.5 }],
    bad: "5004: Invalid data type for base64 input: string",
  });
  const forms = started?.models.seen.filter(({ path }) => path.endsWith("transcriptions")).map(({ body }) => body as string) ?? [];
  assert.ok(forms.some((form) => form.includes('name="language"\r\n\r\nen\r\n') && /Content-Type: audio\/wav/i.test(form)));
});
