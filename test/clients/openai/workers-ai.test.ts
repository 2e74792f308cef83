/** Workers AI by the OpenAI SDK, by curl's plain requests, and as a provider behind AI Gateway. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import OpenAI from "openai";
import { startModelServer } from "../../harness/model-server.ts";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const models = await startModelServer({ after });
const config = { "workers_ai.models": [`@cf/*=${models.url}`] };
const platform = await startPlatform({ after }, { config });
const account = platform.ready.account_id;
const ai = `/accounts/${account}/ai`;
// Node's resolver does not know names under localhost.
const fetch = platform.fetch as unknown as typeof globalThis.fetch;
const openai = (apiKey: string, baseURL = `${platform.ready.api}${ai}/v1`, defaultHeaders = {}): OpenAI =>
  new OpenAI({ apiKey, baseURL, defaultHeaders, fetch, maxRetries: 0 });
const client = openai(platform.ready.api_token);
const LLAMA = "@cf/meta/llama-3.1-8b-instruct";
const messages = [{ role: "user" as const, content: "hello" }];
const tools = [
  { type: "function" as const, function: { name: "add", parameters: { type: "object", properties: { a: { type: "number" } } } } },
];

test("[workers-ai-03] curl gets a model's answer in the envelope, also for a body without a type", async () => {
  const curl = async (path: string, init: string[]): Promise<Record<string, unknown>> =>
    JSON.parse(
      (
        await platform.exec("curl", [
          "-s",
          `${platform.ready.api}${ai}/run/${path}`,
          "-H",
          `authorization: Bearer ${platform.ready.api_token}`,
          ...init,
        ])
      ).stdout,
    );
  const result = { response: "echo hello", usage: { prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 } };
  const envelope = { result, success: true, errors: [], messages: [] };
  assert.deepEqual(await curl(LLAMA, ["-d", '{"prompt":"hello"}']), envelope);
  assert.deepEqual(await curl(LLAMA, ["--json", '{"prompt":"hello"}']), envelope);
  const unknown = await curl("@cf/no/model", ["-d", '{"prompt":"hello"}']);
  assert.deepEqual([unknown.success, unknown.errors], [false, [{ code: 5007, message: "No such model @cf/no/model or task" }]]);
  // The SDK writes the name into the path in its own way.
  const sdk = await platform.sdk().ai.run(LLAMA, { account_id: account, prompt: "hello" });
  assert.deepEqual(sdk, result);
});

test("[workers-ai-04] the OpenAI SDK gets completions and streams, with the reason of the end told once", async () => {
  const { choices, usage, model } = await client.chat.completions.create({ model: LLAMA, messages });
  assert.deepEqual([choices[0]?.message.content, choices[0]?.finish_reason, usage?.total_tokens, model], ["echo hello", "stop", 13, LLAMA]);
  const pieces: string[] = [];
  const ends: [string, number | undefined][] = [];
  for await (const chunk of await client.chat.completions.create({ model: LLAMA, messages, stream: true })) {
    pieces.push(chunk.choices[0]?.delta.content ?? "");
    if (chunk.choices[0]?.finish_reason) ends.push([chunk.choices[0].finish_reason, chunk.usage?.total_tokens]);
  }
  assert.deepEqual([pieces.join(""), ends], ["echo hello", [["stop", 13]]]);
  await assert.rejects(client.chat.completions.create({ model: "@cf/no/model", messages }), OpenAI.BadRequestError);
});

test("[workers-ai-12] calls of tools keep the ids that the model gave them, and a conversation goes on from them", async () => {
  const asked = { model: "@cf/openai/gpt-oss-20b", tools };
  const first = await client.chat.completions.create({ ...asked, messages });
  const call = first.choices[0]?.message.tool_calls?.[0];
  assert.ok(call?.type === "function");
  assert.deepEqual([call.id, call.function.name, call.function.arguments], ["call_of_server", "add", '{"a":7}']);
  assert.equal(first.choices[0]?.finish_reason, "tool_calls");
  const reasons: string[] = [];
  for await (const { choices } of await client.chat.completions.create({ ...asked, messages, stream: true }))
    if (choices[0]?.finish_reason) reasons.push(choices[0].finish_reason);
  assert.deepEqual(reasons, ["tool_calls"]);
  const round = [
    ...messages,
    { role: "assistant" as const, content: null, tool_calls: [call] },
    { role: "tool" as const, tool_call_id: call.id, content: "14" },
  ];
  const end = await client.chat.completions.create({ ...asked, messages: round });
  assert.equal(end.choices[0]?.message.content, "echo 14");
});

test("[workers-ai-05, workers-ai-06] the OpenAI SDK gets vectors, and responses of a gpt-oss model", async () => {
  const { data, usage } = await client.embeddings.create({ model: "@cf/baai/bge-base-en-v1.5", input: ["one text", "another"] });
  assert.deepEqual([data.length, data[0]?.embedding.length, usage.prompt_tokens], [2, 768, 3]);
  assert.ok(Math.abs(Math.hypot(...(data[1]?.embedding ?? [])) - 1) < 1e-6);
  const response = await client.responses.create({ model: "@cf/openai/gpt-oss-120b", input: "hello" });
  assert.deepEqual([response.output_text, response.model], ["echo hello", "@cf/openai/gpt-oss-120b"]);
  const run = (inputs: object) => platform.rest("POST", `${ai}/run/@cf/openai/gpt-oss-120b`, inputs);
  assert.equal((await run({ input: "hello" })).body.result.object, "response");
  assert.equal((await run({ messages })).body.result.object, "chat.completion");
  assert.equal((await run({ prompt: "hello" })).body.result.response, "echo hello");
});

test("[workers-ai-15] parts of a message that are pictures reach the model", async () => {
  const url = "data:image/png;base64,iVBORw0KGgo=";
  const content = [
    { type: "text" as const, text: "what is this?" },
    { type: "image_url" as const, image_url: { url } },
  ];
  const completion = await client.chat.completions.create({
    model: "@cf/meta/llama-4-scout-17b-16e-instruct",
    messages: [{ role: "user", content }],
  });
  assert.equal(completion.choices[0]?.message.content, "echo what is this? <image_url>");
  assert.equal(models.seen.at(-1)?.body.messages[0].content[1].image_url.url, url);
});

test("[ai-gateway-28] models of this platform are a provider of a gateway, for whoever shows a token of the platform", async () => {
  const settings = {
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: true,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
  };
  await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, { id: "open", ...settings });
  const base = platform.host("ai_gateway", { gateway: "open" });
  const reader = await platform.token(["Workers AI Read"]);
  const gatewayRun = await platform.token(["AI Gateway Run"]);
  const post = (path: string, headers: Record<string, string>, body: object) =>
    platform.fetch(`${base}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const answer = await post(`workers-ai/${LLAMA}`, { authorization: `Bearer ${reader.value}` }, { prompt: "hello" });
  assert.equal(answer.headers.get("cf-aig-provider"), "workers-ai");
  const { result, success } = (await answer.json()) as { result: { response: string }; success: boolean };
  assert.deepEqual([success, result.response], [true, "echo hello"]);
  const log = (await platform.rest("GET", `/accounts/${account}/ai-gateway/gateways/open/logs/${answer.headers.get("cf-aig-log-id")}`)).body
    .result;
  assert.deepEqual([log.model, log.tokens_in, log.tokens_out], [LLAMA, 11, 2]);
  const behind = openai(reader.value, `${base}/workers-ai/v1`);
  assert.equal((await behind.chat.completions.create({ model: LLAMA, messages })).choices[0]?.message.content, "echo hello");
  // The compatible endpoint with the gateway's token alone.
  const compat = openai("none", `${base}/compat`, { "cf-aig-authorization": `Bearer ${gatewayRun.value}`, authorization: null });
  const { data, response } = await compat.chat.completions.create({ model: `workers-ai/${LLAMA}`, messages }).withResponse();
  assert.deepEqual([data.choices[0]?.message.content, response.headers.get("cf-aig-provider")], ["echo hello", "workers-ai"]);
  let pieces = "";
  for await (const chunk of await compat.chat.completions.create({ model: `workers-ai/${LLAMA}`, messages, stream: true }))
    pieces += chunk.choices[0]?.delta.content ?? "";
  assert.equal(pieces, "echo hello");
  // A gateway that asks for no token opens no models; neither does a token for something else.
  const other = await platform.token(["Workers KV Storage Read"]);
  const before = models.seen.length;
  for (const headers of [{}, { authorization: "Bearer sk-other" }, { authorization: `Bearer ${other.value}` }])
    for (const [path, body] of [
      [`workers-ai/${LLAMA}`, { prompt: "hello" }],
      ["workers-ai/v1/chat/completions", { model: LLAMA, messages }],
      ["compat/chat/completions", { model: `workers-ai/${LLAMA}`, messages }],
      ["", [{ provider: "workers-ai", endpoint: LLAMA, headers: {}, query: { prompt: "hello" } }]],
    ] as const)
      assert.equal((await post(path, headers, body)).status, 401, `${path} ${JSON.stringify(headers)}`);
  assert.equal(models.seen.length, before);
});

test("[ai-gateway-36] guardrails block and flag what the classifier finds, and nothing passes when it does not answer where it should block", async () => {
  const settings = {
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: true,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
  };
  const guardrails = { prompt: { S1: "BLOCK", S3: "FLAG" }, response: { S2: "BLOCK" } };
  const gateways = `/accounts/${account}/ai-gateway/gateways`;
  const made = await platform.rest("POST", gateways, { id: "guarded", ...settings, guardrails });
  assert.deepEqual(made.body.result.guardrails, guardrails);
  await platform.rest("POST", gateways, { id: "flagging", ...settings, guardrails: { prompt: { S1: "FLAG" }, response: {} } });
  const guarded = (id: string): OpenAI => openai(platform.ready.api_token, `${platform.host("ai_gateway", { gateway: id })}/workers-ai/v1`);
  const say = (content: string, id = "guarded") =>
    guarded(id)
      .chat.completions.create({ model: LLAMA, messages: [{ role: "user", content }] })
      .withResponse();
  const refusal = async (content: string): Promise<unknown[]> => {
    const asked = models.seen.filter(({ body }) => body.model === LLAMA).length;
    const error = await say(content).then(
      () => undefined,
      (thrown: { status: number; error: unknown[]; message: string }) => thrown,
    );
    return [
      error?.status,
      /201[67]/.exec(error?.message ?? "")?.[0],
      models.seen.filter(({ body }) => body.model === LLAMA).length - asked,
    ];
  };
  assert.equal((await say("good morning")).data.choices[0]?.message.content, "echo good morning");
  // The prompt is blocked before the model is asked, its answer after.
  assert.deepEqual(await refusal("a hazard S1"), [400, "2016", 0]);
  assert.deepEqual(await refusal("answer with hazard S2"), [400, "2017", 1]);
  assert.deepEqual(await refusal("the guard is down"), [400, "2016", 0]);
  assert.equal((await say("the guard is down", "flagging")).data.choices[0]?.message.content, "echo the guard is down");
  const flagged = await say("only hazard S3");
  assert.equal(flagged.data.choices[0]?.message.content, "echo only hazard S3");
  const event = flagged.response.headers.get("cf-aig-event-id");
  const filter = encodeURIComponent(JSON.stringify([{ key: "event_id", operator: "eq", value: [event] }]));
  const logs = (await platform.rest("GET", `${gateways}/guarded/logs?filters=${filter}`)).body.result;
  const looks = logs.filter(({ path }: { path: string }) => path.startsWith("guardrails/"));
  assert.deepEqual(
    looks
      .map(({ metadata }: { metadata: string }) => JSON.parse(metadata))
      .toSorted((one: { guardrail: string }, other: { guardrail: string }) => one.guardrail.localeCompare(other.guardrail)),
    [
      { guardrail: "prompt", action: "FLAG", hazards: "S3" },
      { guardrail: "response", action: "PASS", hazards: "S3" },
    ],
  );
  assert.equal(logs.length, 3);
  assert.equal(
    (await platform.rest("POST", gateways, { id: "wrong", ...settings, guardrails: { prompt: { S99: "BLOCK" }, response: {} } })).status,
    400,
  );
});

test("models need a permission of Workers AI, and a client that goes away ends what it asked for", async () => {
  const other = await platform.token(["AI Gateway Read"]);
  for (const path of [`${ai}/run/${LLAMA}`, `${ai}/v1/chat/completions`])
    assert.equal((await platform.rest("POST", path, { model: LLAMA, prompt: "x", messages }, other.value)).status, 403);
  const reader = await platform.token(["Workers AI Read"]);
  assert.equal((await platform.rest("POST", `${ai}/run/${LLAMA}`, { prompt: "x" }, reader.value)).status, 200);
});

test("[workers-ai-21] files of a form become Markdown by REST and by the SDK, and what is supported is listed", async () => {
  const dir = await temporaryDirectory("freehold-markdown-");
  await writeFile(join(dir, "page.html"), "<h1>Title</h1><p class=x>text</p><p>more</p>");
  await writeFile(join(dir, "rows.csv"), "a,b\n1,2\n");
  await writeFile(join(dir, "bad.pdf"), "none");
  const url = `${platform.ready.api}${ai}/tomarkdown`;
  const form = [
    ...["page.html", "rows.csv", "bad.pdf"].flatMap((name) => ["-F", `files=@${name}`]),
    "-F",
    'conversionOptions={ "html": { "cssSelector": ".x" } }',
  ];
  const { stdout } = await platform.exec("curl", ["-s", url, "-H", `authorization: Bearer ${platform.ready.api_token}`, ...form], {
    cwd: dir,
  });
  const { result, success } = JSON.parse(stdout) as { success: boolean; result: Record<string, unknown>[] };
  assert.equal(success, true);
  assert.deepEqual(
    result.map(({ name, mimeType, format, data }) => [name, mimeType, format, data]),
    [
      ["page.html", "text/html", "markdown", "text"],
      ["rows.csv", "text/csv", "markdown", "| a | b |\n| --- | --- |\n| 1 | 2 |"],
      ["bad.pdf", "application/pdf", "error", undefined],
    ],
  );
  const sdk = platform.sdk();
  const converted = await sdk.ai.toMarkdown.transform({ account_id: account, file: { files: [new File(["x,y\n3,4\n"], "t.csv")] } });
  assert.equal(converted.result[0]?.data, "| x | y |\n| --- | --- |\n| 3 | 4 |");
  const formats = (await sdk.ai.toMarkdown.supported({ account_id: account })).result.map(({ extension }) => extension);
  for (const extension of [".html", ".pdf", ".docx", ".odt", ".xlsx", ".csv", ".xml", ".png"])
    assert.ok(formats.includes(extension), extension);
});

test("[workers-ai-40] with the limits on, more requests than a minute's and more neurons than a day's are refused", async () => {
  const limited = await startPlatform({ after }, { config: { ...config, "workers_ai.rate_limits": true, "workers_ai.daily_neurons": 20 } });
  const run = (model: string, inputs: object) => limited.rest("POST", `/accounts/${limited.ready.account_id}/ai/run/${model}`, inputs);
  const codeOf = ({ body }: { body: { errors: readonly { code: number }[] } }): number | undefined => body.errors[0]?.code;
  const codes: (number | undefined)[] = [];
  // A minute may begin in between: then the next one's requests are counted anew.
  while (!codes.includes(3049) && codes.length < 5000)
    codes.push(...(await Promise.all(Array.from({ length: 100 }, () => run(LLAMA, {})))).map(codeOf));
  assert.equal(codes.at(-1), 3049);
  assert.ok(codes.filter((code) => code === 5006).length >= 300);
  // Other tasks have limits of their own. Each of these counts as a neuron at least.
  for (let count = 0; count < 20; count++) assert.equal((await run("@cf/baai/bge-m3", { text: "x" })).status, 200);
  const refused = await run("@cf/baai/bge-m3", { text: "x" });
  assert.deepEqual([refused.status, codeOf(refused)], [429, 3036]);
  assert.match(refused.body.errors[0]?.message ?? "", /^You have used up your daily free allocation of 20 neurons/);
});
