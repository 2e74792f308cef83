/** `env.AI` in a Worker that wrangler deploys: models, streams, tools, JSON, vectors, gateways; and wrangler's own commands. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { zipSync } from "fflate";
import { FormData } from "undici";
import { startModelServer } from "../../harness/model-server.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { aiWorker, DOCUMENTS } from "../ai-worker.ts";

const models = await startModelServer({ after });
const key = encodeURIComponent("sk:of/operator");
const own = models.url.replace("http://", `http://:${key}@`);
const platform = await startPlatform(
  { after },
  {
    config: {
      "workers_ai.document_max_bytes": 2_000_000,
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

const documents = Object.fromEntries(
  await Promise.all(DOCUMENTS.map(async (name) => [name, await readFile(new URL(`fixtures/documents/${name}`, import.meta.url))])),
) as Record<string, Buffer>;
// More unpacked than the platform's configuration allows.
const bomb = Buffer.from(zipSync({ "content.xml": new Uint8Array(3_000_000) }));

const binaries = Object.fromEntries(Object.entries({ ...documents, "bomb.odt": bomb }).map(([name, bytes]) => [`${name}.bin`, bytes]));
const project = await deployWorker(platform, {
  files: { "index.js": aiWorker, ...binaries },
  config: { name: "ai", ai: { binding: "AI" } },
});

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
  const { shapes, data, one, scores, plain, ranks } = await asked("vectors");
  // What the server's vectors are comes through: of length one, and nearer where texts have more in common.
  const cosine = (left: readonly number[], right: readonly number[]): number =>
    left.reduce((sum, value, at) => sum + value * (right[at] ?? 0), 0);
  const [apple, another, war] = data as [number[], number[], number[]];
  for (const vector of [apple, another, war]) assert.ok(Math.abs(cosine(vector, vector) - 1) < 1e-6);
  assert.ok(cosine(apple, another) > cosine(apple, war));
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

interface Converted {
  readonly name: string;
  readonly mimeType: string;
  readonly format: string;
  readonly data: string;
  readonly tokens: number;
  readonly error?: string;
}

test("[workers-ai-19, workers-ai-20] documents of office programs, pages and tables become Markdown, as the options say", async () => {
  const { results, one, page, part, bad, supported } = (await asked("markdown")) as unknown as Record<string, Converted> & {
    results: Converted[];
    bad: string;
    supported: { extension: string; mimeType: string }[];
  };
  const result = (name: string): Converted => results.find((found) => found.name === name) as Converted;
  const report = `# Quarterly report

Written by **nobody** in _particular_, see [more](https://example.com/more).

## Figures

-   first point
-   second point

| city | people |
| --- | --- |
| Oslo | 700000 |`;
  assert.equal(result("report.docx").data, report);
  assert.equal(result("report.odt").data, report);
  const people = "## People\n\n| name | born | score |\n| --- | --- | --- |\n| Ada \\| Lovelace | 1915-12-10 | 4.5 |\n";
  for (const name of ["figures.xlsx", "figures.ods"]) assert.ok(result(name).data.startsWith(`# ${name}\n\n${people}\n## Sums`), name);
  const tagged = result("report-tagged.pdf").data;
  assert.match(
    tagged,
    /^# report-tagged\.pdf\n## Metadata\n(- .*\n)*- Title=Quarterly report\n(- .*\n)*\n## Contents\n### Page 1\n# Quarterly report\n/,
  );
  assert.match(tagged, /## Figures\n\n- first point\n- second point\n\n\| city \| people \|\n\| --- \| --- \|\n\| Oslo \| 700000 \|/);
  assert.match(
    result("report-plain.pdf").data,
    /## Metadata[\s\S]*### Page 1\nQuarterly report\nWritten by nobody in particular, see more\.\nFigures\n/,
  );
  assert.match(one?.data ?? "", /^# report-plain\.pdf\n## Contents\n### Page 1\nQuarterly report\n/);
  assert.equal(result("rows.csv").data, "| a | b |\n| --- | --- |\n| 1 | x; y |");
  assert.equal(result("data.xml").data, "```xml\n<a><b>c</b></a>\n```");
  assert.equal(result("report.docx").mimeType, supported.find(({ extension }) => extension === ".docx")?.mimeType);
  assert.equal(result("report.docx").tokens, Math.ceil(report.length / 4));
  const head = "---\ntitle: A page\ndescription: About it\n---\n\n";
  const data = '\n\n```json\n{"@type":"Thing"}\n```';
  assert.equal(page?.data, `${head}# Head\n\nSee [the guide](https://example.com/docs/guide)\n\nnoted${data}`);
  assert.equal(part?.data, `${head}See [the guide](guide)\n\nnoted${data}`);
  assert.match(bad, /^AiInternalError: Error: '\/options\/conversionOptions\/html\/cssSelector'/);
  // What cannot be converted is an error among the others.
  const errors = Object.fromEntries(results.filter(({ format }) => format === "error").map(({ name, error }) => [name, error]));
  assert.deepEqual(Object.keys(errors), ["bomb.odt", "not.pdf", "what.bin"]);
  assert.equal(errors["bomb.odt"], "the document is too large when unpacked");
});

interface Answered {
  readonly id: number;
  readonly success: boolean;
  readonly external_reference: string | null;
  readonly error?: string;
  readonly result: { readonly response?: readonly { readonly id: number }[]; readonly shape?: readonly number[] } | null;
}

test("[workers-ai-17, workers-ai-18] batches are queued, polled and answered in their order, and queues hear of them", async () => {
  const queue = (await platform.rest("POST", `/accounts/${account}/queues`, { queue_name: "batches" })).body.result;
  await platform.rest("POST", `/accounts/${account}/queues/${queue.queue_id}/consumers`, { type: "http_pull" });
  const events = ["batch.queued", "batch.succeeded", "batch.failed"];
  await project.wrangler([
    ...["queues", "subscription", "create", "batches", "--source", "workersAi.model", "--model-name", "@cf/baai/bge-m3"],
    ...["--events", events.join(",")],
  ]);
  const destination = { type: "queues.queue", queue_id: queue.queue_id };
  const source = { type: "workersAi.model", model_name: "@cf/meta/llama-3.2-3b-instruct" };
  await platform.rest("POST", `/accounts/${account}/event_subscriptions/subscriptions`, { name: "more", source, events, destination });
  const { queued, polled, failing, other } = (await asked("batch")) as Record<string, Record<string, unknown>>;
  const id = queued?.request_id as string;
  assert.deepEqual(queued, { status: "queued", model: "@cf/baai/bge-m3", request_id: id });
  const [first, second, third] = (polled as unknown as { responses: Answered[] }).responses;
  assert.deepEqual(
    first?.result?.response?.map((one) => one.id),
    [0, 1],
  );
  assert.deepEqual([first?.id, first?.success, first?.external_reference], [0, true, "mine"]);
  assert.deepEqual([second?.id, second?.result?.shape, second?.external_reference], [1, [1, 1024], null]);
  assert.deepEqual([third?.id, third?.success, third?.result], [2, false, null]);
  assert.match(third?.error ?? "", /^5006: /);
  const usage = polled?.usage as Record<string, number>;
  assert.equal(usage.total_tokens, usage.prompt_tokens);
  assert.ok((usage.prompt_tokens as number) > 0);
  assert.match(other as unknown as string, /3051/);
  const batch = `/accounts/${account}/ai/run/@cf/baai/bge-m3?queueRequest=true`;
  const posted = (await platform.rest("POST", batch, { requests: [{ text: ["by REST"] }] })).body.result;
  let answer: { status?: string; responses?: { success: boolean }[] };
  do answer = (await platform.rest("POST", batch, { request_id: posted.request_id })).body.result;
  while (answer.status !== undefined);
  assert.deepEqual(
    answer.responses?.map(({ success }) => success),
    [true],
  );
  assert.equal((await platform.rest("POST", batch, { requests: [{ text: "x".repeat(10_000_001) }] })).status, 413);
  const heard = new Map<string, string[]>();
  let failed: Record<string, unknown> = {};
  // Each batch has two events.
  while ([...heard.values()].flat().length < 6) {
    const { messages } = (await platform.rest("POST", `/accounts/${account}/queues/${queue.queue_id}/messages/pull`, { batch_size: 10 }))
      .body.result;
    for (const { body, lease_id } of messages) {
      const { type, source: from, payload } = JSON.parse(Buffer.from(body, "base64").toString());
      assert.equal(from.type, "workersAi.model");
      heard.set(payload.requestId, [...(heard.get(payload.requestId) ?? []), type.replace("cf.workersAi.model.", "")]);
      if (type.endsWith("failed")) failed = { ...payload, model: from.modelName };
      await platform.rest("POST", `/accounts/${account}/queues/${queue.queue_id}/messages/ack`, { acks: [{ lease_id }], retries: [] });
    }
  }
  assert.deepEqual(heard.get(id)?.toSorted(), ["batch.queued", "batch.succeeded"]);
  assert.deepEqual(heard.get(failing?.request_id as string)?.toSorted(), ["batch.failed", "batch.queued"]);
  // Killed before it is answered: a batch that has an id is answered all the same.
  const kept = (await platform.rest("POST", batch, { requests: [{ text: ["after all"] }] })).body.result;
  await platform.kill9();
  await platform.restart();
  do answer = (await platform.rest("POST", batch, { request_id: kept.request_id })).body.result;
  while (answer.status !== undefined);
  assert.equal(answer.responses?.[0]?.success, true);
  const facts = { message: "Model execution failed", internalCode: 5001, httpCode: 500, model: "@cf/meta/llama-3.2-3b-instruct" };
  assert.deepEqual(failed, { requestId: failing?.request_id, ...facts });
});

test("[workers-ai-23, workers-ai-24] wrangler creates a finetune with its files and lists it; public ones have reserved names", async () => {
  const adapter = { alpha_pattern: {}, task_type: "CAUSAL_LM", r: 8, model_type: "mistral" };
  await project.write({
    "adapter/adapter_config.json": JSON.stringify(adapter),
    "adapter/adapter_model.safetensors": Buffer.alloc(100_000, 7),
    "wrong/adapter_config.json": JSON.stringify({ ...adapter, model_type: "other" }),
    "wrong/adapter_model.safetensors": "x",
  });
  const create = (model: string, name: string, folder: string) => project.wrangler(["ai", "finetune", "create", model, name, folder]);
  const MISTRAL = "@cf/mistral/mistral-7b-instruct-v0.2-lora";
  assert.match((await create(MISTRAL, "test-lora", "adapter")).stdout, /Assets uploaded, finetune "test-lora" is ready to use/);
  const listed = await project.wrangler(["ai", "finetune", "list"]);
  assert.match(listed.stdout, /finetune_id[\s\S]*test-lora/);
  const wrong = await create(MISTRAL, "wrong", "wrong");
  assert.match(wrong.stdout + wrong.stderr, /model_type/);
  const refusal = async (model: string, name: string): Promise<string> =>
    (await platform.rest("POST", `/accounts/${account}/ai/finetunes`, { model, name })).body.errors[0]?.message ?? "";
  assert.match(await refusal(MISTRAL, "test-lora"), /already exists/);
  assert.match(await refusal("@cf/meta/llama-3-8b-instruct-awq", "other"), /does not support LoRa inference/);
  assert.match(await refusal(MISTRAL, "cf-public-mine"), /reserved/);
  const shared = (await platform.rest("GET", `/accounts/${account}/ai/finetunes/public`)).body.result;
  assert.deepEqual(
    shared.map(({ name }: { name: string }) => name),
    ["cf-public-magicoder", "cf-public-jigsaw-classification", "cf-public-cnn-summarization"],
  );
  // A file cannot be changed, and there are no others.
  const [finetune] = (await platform.rest("GET", `/accounts/${account}/ai/finetunes`)).body.result;
  const upload = async (name: string): Promise<number> => {
    const body = new FormData();
    body.set("file_name", name);
    body.set("file", new Blob(["{}"]));
    const headers = { authorization: `Bearer ${platform.ready.api_token}` };
    const path = `${platform.ready.api}/accounts/${account}/ai/finetunes/${finetune.name}/finetune-assets/`;
    return (await platform.fetch(path, { method: "POST", headers, body })).status;
  };
  assert.deepEqual([await upload("adapter_model.safetensors"), await upload("../../etc/passwd")], [400, 400]);
});
