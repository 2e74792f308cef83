/** A Worker that uses `env.AI` in every way that the tests ask for; its answers are what came of it. */

/** Files beside it, as NAME.bin. */
export const DOCUMENTS = ["report.docx", "report.odt", "report-tagged.pdf", "report-plain.pdf", "figures.xlsx", "figures.ods"];

/** Source of the Worker. Each route is a function of its environment. */
export const aiWorker = `
${DOCUMENTS.map((name, at) => `import file${at} from "./${name}.bin";`).join("\n")}
import bomb from "./bomb.odt.bin";
const text8 = (text) => new TextEncoder().encode(text);
const FILES = { ${DOCUMENTS.map((name, at) => `"${name}": file${at}`).join(", ")}, "rows.csv": text8('a;b\\n1;"x; y"\\n'), "data.xml": text8("<a><b>c</b></a>"), "bomb.odt": bomb,
  "not.pdf": text8("no PDF at all"), "what.bin": text8("?") };
const thrown = async (work) => { try { await work(); return null; } catch (e) { return e.name + ": " + e.message; } };
const text = async (stream) => new Response(stream).text();
const LLAMA = "@cf/meta/llama-3.1-8b-instruct";
const PAGE = '<!doctype html><html><head><title>A page</title><meta name="description" content="About it"><base href="/docs/"><script type="application/ld+json">{"@type":"Thing"}</script></head><body><header>menu</header><article><h1>Head</h1><p>See <a href="guide">the guide</a></p></article><div class="note">noted</div><script>boo()</script><footer>foot</footer></body></html>';
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
    const { data } = await AI.run("@cf/baai/bge-small-en-v1.5", { text: ["a red apple", "an apple", "war and peace"] });
    const one = await AI.run("@cf/baai/bge-base-en-v1.5", { text: "alone" });
    const contexts = [{ text: "a llama in the hills" }, { text: "the story of an orange cloud" }, { text: "a cloud" }];
    const scores = await AI.run("@cf/baai/bge-m3", { query: "story of a cloud", contexts });
    const plain = await AI.run("@cf/baai/bge-m3", { text: ["x y"] });
    const ranks = await AI.run("@cf/baai/bge-reranker-base", { query: "orange cloud", contexts, top_k: 2 });
    return { shapes, data, one: one.shape, scores: scores.response, plain: plain.shape, ranks: ranks.response };
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
  async markdown({ AI, FILES }) {
    const blobs = await Promise.all(Object.entries(FILES).map(async ([name, bytes]) => ({ name, blob: new Blob([bytes], { type: "application/octet-stream" }) })));
    const results = await AI.toMarkdown(blobs);
    const one = await AI.toMarkdown(blobs.find(({ name }) => name === "report-plain.pdf"), { conversionOptions: { pdf: { metadata: false } } });
    const html = (type, options) => AI.toMarkdown().transform({ name: "p.html", blob: new Blob([PAGE], { type }) }, options);
    const page = await html("text/html", { conversionOptions: { html: { hostname: "example.com" } } });
    const part = await html("text/html", { conversionOptions: { html: { cssSelector: "article p, .note" } } });
    const bad = await thrown(() => html("text/html", { conversionOptions: { html: { cssSelector: 7 } } }));
    return { results, one, page, part, bad, supported: await AI.toMarkdown().supported() };
  },
  async batch({ AI }) {
    const contexts = [{ text: "an orange cloud" }, { text: "a llama" }];
    const queued = await AI.run("@cf/baai/bge-m3", { requests: [{ query: "the cloud", contexts, external_reference: "mine" }, { text: ["x"] }, { nothing: true }] }, { queueRequest: true });
    let polled;
    // Each poll asks the platform; there is nothing to wait for in between.
    do polled = await AI.run("@cf/baai/bge-m3", { request_id: queued.request_id }); while (polled.status);
    const failing = await AI.run("@cf/meta/llama-3.2-3b-instruct", { requests: [{ prompt: "x" }] }, { queueRequest: true });
    return { queued, polled, failing, other: await thrown(() => AI.run(LLAMA, { request_id: queued.request_id })) };
  },
  async catalogue({ AI }) {
    const found = await AI.models({ search: "bge-", per_page: 3 });
    return found.map(({ name, task }) => [name, task.name]);
  },
};
export default { async fetch(request, env) { try { return Response.json(await routes[new URL(request.url).pathname.slice(1)]({ ...env, FILES })); } catch (e) { return new Response(e.stack, { status: 500 }); } } };`;
