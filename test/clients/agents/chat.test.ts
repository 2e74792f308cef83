/** Chats of AIChatAgent in a browser with useAgentChat, and agents that ask models: Workers AI, other servers, by code of theirs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startModelServer } from "../../harness/model-server.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { indexesPath, processed } from "../vectorize-world.ts";
import { type AgentClient, type Any, deployAgents, eventually, type Hooks } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
/** A model that understands "tomorrow" and "every morning", and knows the time from what it is told before. */
async function startParser(): Promise<string> {
  const server = createServer(async (request, response) => {
    const { messages, response_format } = JSON.parse((await request.setEncoding("utf8").toArray()).join(""));
    assert.equal(response_format.type, "json_schema");
    const words = messages.at(-1).content;
    const now = new Date(/Current time: (.*)/.exec(messages[0].content)?.[1] as string);
    const tomorrow = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1, 15));
    const when = words.includes("tomorrow")
      ? { type: "scheduled", date: tomorrow.toISOString() }
      : words.includes("every morning")
        ? { type: "cron", cron: "0 8 * * *" }
        : { type: "no-schedule" };
    const message = { role: "assistant", content: JSON.stringify({ description: words.split(" ").slice(0, 2).join(" "), when }) };
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id: "c", created: 1, model: "parser", choices: [{ index: 0, message, finish_reason: "stop" }], usage }));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const [models, slow, parser] = await Promise.all([startModelServer({ after }), startModelProvider({ after }), startParser()]);
const platform = await startPlatform(
  { after },
  { config: { "runtime.outbound_allow": ["public", "private", "local"], "workers_ai.models": [`@cf/*=${models.url}#base`] } },
);
await platform.rest("POST", indexesPath(platform), { name: "agents-notes", config: { dimensions: 768, metric: "cosine" } });
await platform.rest("POST", `/accounts/${platform.ready.account_id}/ai-gateway/gateways`, {
  id: "agents",
  cache_invalidate_on_update: false,
  cache_ttl: null,
  collect_logs: true,
  rate_limiting_interval: null,
  rate_limiting_limit: null,
  rate_limiting_technique: "fixed",
});
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "chat"), {
      MODELS: models.url,
      SLOW: `${slow.url}/v1`,
      PARSER: parser,
    });
const browser = noAgents || noBrowser ? undefined : await launchBrowser();
after(() => browser?.close());
const noPages = noAgents || noBrowser;

async function open(context: BrowserContext, name: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${worker.url}/?name=${name}`);
  await page.getByText("ready").waitFor();
  return page;
}

async function chat(t: Hooks, name: string): Promise<{ context: BrowserContext; page: Page }> {
  const context = await (browser as NonNullable<typeof browser>).newContext();
  t.after(() => context.close());
  return { context, page: await open(context, name) };
}

/** Sends a message from the page; what the agent is to do with it is the chat's custom body. */
const say = (page: Page, text: string, body: object = {}): Promise<void> =>
  page.evaluate(
    ([said, wanted]) => {
      Object.assign(globalThis, { body: wanted });
      void (globalThis as Any).chat.sendMessage({ role: "user", parts: [{ type: "text", text: said }] });
    },
    [text, body] as const,
  );

const history = (name: string): Promise<Any[]> => worker.json(`/agents/chat-agent/${name}/get-messages`);
const kept = (name: string, count: number): Promise<Any[]> =>
  eventually(
    () => history(name),
    (messages) => messages.length >= count && messages.at(-1).role === "assistant",
  );
const textOf = ({ parts }: Any): string => parts.map(({ text }: Any) => text ?? "").join("");

test("[agents-38] a chat is kept: the page and the agent have it again after a reload and a kill", { skip: noPages }, async (t) => {
  const { page } = await chat(t, "kept");
  await say(page, "hello there");
  await page.locator("li.assistant", { hasText: "echo hello there" }).waitFor();
  await say(page, "and again");
  await page.locator("li.assistant", { hasText: "echo and again" }).waitFor();
  const said = (await kept("kept", 4)).map((message) => [message.role, textOf(message)]);
  assert.deepEqual(said, [
    ["user", "hello there"],
    ["assistant", "echo hello there"],
    ["user", "and again"],
    ["assistant", "echo and again"],
  ]);
  await platform.kill9();
  await platform.restart();
  await page.reload();
  await page.locator("li.assistant", { hasText: "echo and again" }).waitFor();
  assert.deepEqual(await page.locator("li").allTextContents(), ["hello there", "echo hello there", "and again", "echo and again"]);
});

test("[agents-39] a page whose socket is dropped in the middle of an answer, or that is loaded again, gets all of it", {
  skip: noPages,
}, async (t) => {
  const { page } = await chat(t, "resumed");
  await say(page, "the long one", { server: "slow" });
  await slow.streaming.started;
  await page.locator("li.assistant", { hasText: "first" }).waitFor();
  // The socket is closed under the page, which opens another by itself; the answer still goes on.
  const opened = page.waitForEvent("websocket");
  await page.evaluate(() => (globalThis as Any).agent.reconnect());
  await opened;
  await page.locator("li.assistant", { hasText: "first" }).waitFor();
  // The connection ends with the page, and the new one's is another.
  await page.reload();
  await page.locator("li.assistant", { hasText: "first" }).waitFor();
  slow.streaming.release();
  await page.locator("li.assistant", { hasText: "first echo the long one" }).waitFor();
  assert.equal(textOf((await kept("resumed", 2)).at(-1)), "first echo the long one");
  assert.deepEqual(await page.locator("li").allTextContents(), ["the long one", "first echo the long one"]);
});

test("[agents-40] tabs show the same chat; stop ends the model's call, and a cleared chat is empty everywhere", {
  skip: noPages,
}, async (t) => {
  const { context, page } = await chat(t, "shared");
  const other = await open(context, "shared");
  await say(page, "for both");
  for (const tab of [page, other]) await tab.locator("li.assistant", { hasText: "echo for both" }).waitFor();
  await say(page, "without end", { model: "hangs" });
  await page.locator("li.assistant", { hasText: "echo without end" }).waitFor();
  await page.evaluate(() => (globalThis as Any).chat.stop());
  await models.abandoned;
  await page.getByText("ready").waitFor();
  await page.evaluate(() => (globalThis as Any).chat.clearHistory());
  for (const tab of [page, other])
    await eventually(
      () => tab.locator("li").count(),
      (count) => count === 0,
    );
  assert.equal(await other.locator("li").count(), 0);
  assert.deepEqual(await history("shared"), []);
});

test("[agents-41] tools run on the server, in the browser, and when the user has approved", { skip: noPages }, async (t) => {
  const answer = (page: Page, text: RegExp) => page.locator("li.assistant").filter({ hasText: text }).waitFor();
  // A chat for each: the server of models calls all its calls the same.
  const { page: weather } = await chat(t, "weather");
  await say(weather, "weather?", { tool: "getWeather" });
  await answer(weather, /"condition":"rainy".*echo .*rainy/);

  const { page: clock } = await chat(t, "clock");
  const zone = await clock.evaluate(() => Intl.DateTimeFormat().resolvedOptions().timeZone);
  await say(clock, "what time is it?", { tool: "getUserTimezone" });
  await answer(clock, new RegExp(`"timeZone":"${zone}".*echo`));

  const { page: sums } = await chat(t, "sums");
  await say(sums, "multiply", { tool: "calculate" });
  const approve = sums.getByRole("button", { name: "Approve" });
  await approve.waitFor();
  const [part] = (await kept("sums", 2)).at(-1).parts.filter(({ type }: Any) => type === "tool-calculate");
  assert.deepEqual([part.state, part.output], ["approval-requested", undefined]);
  await approve.click();
  await answer(sums, /"product":49.*echo/);
});

test("[agents-42] data parts, transient ones, a custom body, and what is too large for a row", { skip: noPages }, async (t) => {
  const { page } = await chat(t, "parts");
  await say(page, "parts", { parts: true });
  await page.locator("li.assistant", { hasText: "done" }).waitFor();
  const seen = await page.evaluate(() => (globalThis as Any).data.map(({ type, data }: Any) => [type, data]));
  assert.deepEqual(seen, [
    ["data-progress", { percent: 10 }],
    ["data-note", { text: "soon" }],
    ["data-progress", { percent: 100 }],
  ]);
  const [, stored] = await kept("parts", 2);
  const parts = stored.parts.map(({ type, data, text }: Any) => [type, data ?? text]);
  assert.deepEqual(parts, [
    ["data-progress", { percent: 100 }],
    ["text", "done"],
  ]);
  await say(page, "a long report", { tool: "report", steps: 1 });
  const [, , , report] = await kept("parts", 4);
  const { toolCallId, output } = report.parts.find(({ type }: Any) => type === "tool-report");
  assert.deepEqual(report.metadata.compactedToolOutputs, [toolCallId]);
  assert.ok(JSON.stringify(output).length < 100_000, "3 MB are no row");
});

test("[agents-43] a tool asks another model, steps are prepared, middleware and schemas count", { skip: noPages }, async (t) => {
  const { page } = await chat(t, "agents");
  const from = models.seen.length;
  await say(page, "find out", { tool: "research" });
  await page.locator("li.assistant", { hasText: "echo some subject" }).waitFor();
  await kept("agents", 2);
  const asked = models.seen.slice(from).map(({ body }) => [body.messages[0].role, body.messages[0].content, body.temperature]);
  assert.deepEqual(asked, [
    ["user", "find out", 0.25],
    ["system", "You are a researcher", undefined],
    ["system", "Step 1", 0.25],
  ]);
  await say(page, "a book", { structured: true });
  await page.locator("li.assistant", { hasText: '{"title":"some title","pages":7}' }).waitFor();
});

async function asker(t: Hooks, name: string): Promise<AgentClient> {
  const client = await worker.connect(t, { agent: "ModelAgent", name });
  await client.ready;
  return client;
}

test("[agents-33] the tokens of Workers AI reach a browser over the agent's WebSocket, one by one", { skip: noPages }, async (t) => {
  const { page } = await chat(t, "stream");
  const tokens = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://${(globalThis as Any).location.host}/agents/model-agent/stream`);
        const heard: string[] = [];
        socket.onmessage = ({ data }) => {
          const { token, done } = JSON.parse(data);
          if (token) heard.push(token);
          if (done) resolve(heard);
        };
        socket.onopen = () => socket.send(JSON.stringify({ prompt: "one two three" }));
      }),
  );
  assert.deepEqual(tokens, ["echo ", "one ", "two ", "three"]);
});

test("[agents-34] OpenAI's SDK and the AI SDK ask a server in OpenAI's form by its URL", { skip: noAgents }, async (t) => {
  const client = await asker(t, "sdk");
  for (const sdk of ["openai", "ai"]) assert.equal(await client.call("ask", [sdk, `by ${sdk}`]), `echo by ${sdk}`);
});

test("[agents-29] what people say of a time becomes a schedule, by the SDK's prompt and schema", { skip: noAgents }, async (t) => {
  const client = await asker(t, "planner");
  const meeting = await client.call("planByWords", ["Team meeting tomorrow at 3pm"]);
  const at = new Date(meeting.time * 1000);
  assert.deepEqual([meeting.description, meeting.when.type, meeting.planned], ["Team meeting", "scheduled", "scheduled"]);
  assert.ok(at.getUTCHours() === 15 && at.getTime() > Date.now() && at.getTime() < Date.now() + 2 * 86_400_000);
  const news = await client.call("planByWords", ["Read news every morning"]);
  assert.deepEqual([news.when, news.planned, new Date(news.time * 1000).getUTCHours()], [{ type: "cron", cron: "0 8 * * *" }, "cron", 8]);
  assert.deepEqual((await client.call("planByWords", ["Just think"])).when, { type: "no-schedule" });
});

test("[agents-35, agents-81] a gateway of the binding caches and logs, and keeps what people say of an answer", {
  skip: noAgents,
}, async (t) => {
  const client = await asker(t, "gateway");
  const from = models.seen.length;
  const first = await client.call("throughGateway", ["once"]);
  const second = await client.call("throughGateway", ["once"]);
  assert.deepEqual([first.response, second.response, models.seen.length - from], ["echo once", "echo once", 1]);
  await client.call("feedback", [first.log, 1]);
  const path = `/accounts/${platform.ready.account_id}/ai-gateway/gateways/agents/logs`;
  const logs = (await platform.rest("GET", path)).body.result as Any[];
  assert.deepEqual(
    logs.map(({ id, cached, feedback }) => [id, cached, feedback ?? null]).toSorted((a, b) => Number(a[1]) - Number(b[1])),
    [
      [first.log, false, 1],
      [second.log, true, null],
    ],
  );
  // What an evaluation is made of: the answers that people liked, with what was asked.
  const liked = (await platform.rest("GET", `${path}?feedback=1`)).body.result as Any[];
  assert.deepEqual(
    liked.map(({ id, metadata }) => [id, JSON.parse(metadata)]),
    [[first.log, { by: "gateway" }]],
  );
  const asked = await platform.fetch(`${platform.ready.api}${path}/${first.log}/request`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.match(await asked.text(), /once/);
});

test("[agents-37] the five patterns: a chain, a route, parallel work, orders to workers, a judge", { skip: noAgents }, async (t) => {
  const client = await asker(t, "patterns");
  const run = async (name: string, ...args: unknown[]): Promise<[Any, string[]]> => {
    const from = models.seen.length;
    const answer = await client.call(name, args);
    return [answer, models.seen.slice(from).map(({ body }) => body.messages.at(-1).content)];
  };
  assert.deepEqual(await run("chain", "bees"), [
    "echo Text: echo Outline of bees",
    ["Outline of bees", "Rate: echo Outline of bees", "Text: echo Outline of bees"],
  ]);
  assert.deepEqual((await run("route", "why?"))[0], "echo why?");
  assert.equal(models.seen.at(-1)?.body.messages[0].content, "You answer the common kind");
  const [sum, asked] = await run("parallel", "it");
  assert.equal(sum, "echo Sum: echo security of it; echo speed of it; echo style of it");
  assert.equal(asked.length, 4);
  assert.deepEqual((await run("orchestrate", "a gate"))[0], ["echo Do some first", "echo Do some second"]);
  assert.deepEqual((await run("evaluate", "x", 7))[0], ["echo Translate x"]);
  assert.equal((await run("evaluate", "x", 8))[0].length, 3);
});

test("[agents-68] an agent finds what it remembers by its meaning", { skip: noAgents }, async (t) => {
  const client = await asker(t, "notes");
  await client.call("remember", ["n1", "the cat sleeps on the sofa"]);
  await client.call("remember", ["n2", "invoices are paid in march"]);
  const mutation = await client.call("remember", ["n3", "the dog sleeps in the garden"]);
  await processed(platform, "agents-notes", mutation);
  const found = await client.call("recall", ["where sleeps the cat"]);
  assert.deepEqual(
    found.map(({ text }: Any) => text),
    ["the cat sleeps on the sofa", "the dog sleeps in the garden"],
  );
  assert.equal(found[0].length, 26);
});

test("[agents-63] code of a model chains tools in an isolate of its own, without a network, and ends when its time is over", {
  skip: noAgents,
}, async (t) => {
  const client = await asker(t, "code");
  const code = (text: string, timeout = 30_000) => client.call("code", [text, timeout]);
  const chained = await code(`async () => {
    const city = await codemode.cityOf({ user: "ada" });
    console.log("lives in", city);
    return codemode.weatherOf({ city });
  }`);
  assert.deepEqual([chained.result, chained.logs], ["rain in adaville", ["lives in adaville"]]);
  assert.match(chained.description, /weatherOf/);
  assert.doesNotMatch(chained.description, /pay/);
  assert.match(
    (await code(`async () => (await fetch("${models.url}")).status`)).error,
    /not permitted|not allowed|no global outbound|blocked/i,
  );
  assert.match((await code("async () => codemode.pay({})")).error, /"pay" not found/);
  const log = "console.log('on and on');";
  assert.match(
    (await code(`async () => { ${log} for (;;) await new Promise((done) => setTimeout(done, 10)); }`, 500)).error,
    /Execution timed out[\s\S]*on and on/,
  );
});
