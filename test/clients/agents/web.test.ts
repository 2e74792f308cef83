/** Agents that go out, from outside: they read pages in a browser, ask models in a row and by themselves, take money and pay. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { browserSettings, launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { startModelServer } from "../../harness/model-server.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { openOrigin } from "../browser-rendering-origin.ts";
import { indexesPath, processed } from "../vectorize-world.ts";
import { type Any, deployAgents, eventually } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
const PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
/** Of nobody. */
const PRIVATE_KEY = `0x${"0123456789abcdef".repeat(4)}`;
const [facilitator, models, origin] = await Promise.all([openFacilitator(), startModelServer({ after }), openOrigin({ after })]);
const config = {
  ...browserSettings,
  "browser_rendering.private_hosts": [origin.host],
  "browser_rendering.sessions_per_min": 0,
  // The models and the facilitator are elsewhere; here that is this machine.
  "runtime.outbound_allow": ["public", "private", "local"],
  "workers_ai.models": [`@cf/*=${models.url}#base`],
};
const platform = await startPlatform({ after }, { config });
await platform.rest("POST", indexesPath(platform), { name: "agents-tickets", config: { dimensions: 768, metric: "cosine" } });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "web"), {
      PAY_TO,
      MY_PRIVATE_KEY: PRIVATE_KEY,
      FACILITATOR: facilitator.url,
    });
const triage = noAgents ? undefined : await connected({ after }, "TriageAgent", "desk");

interface Facilitator {
  readonly url: string;
  /** What it was asked, and of which amount. */
  readonly asked: [string, string][];
}

/** Says of every payment whose signature is there that it is good; no chain is behind it. */
async function openFacilitator(): Promise<Facilitator> {
  const asked: [string, string][] = [];
  const answers: Record<string, (body: Any) => object> = {
    "/supported": () => ({ kinds: [{ x402Version: 2, scheme: "exact", network: "eip155:84532" }], extensions: [], signers: {} }),
    "/verify": ({ paymentPayload: { payload } }) => ({
      isValid: /^0x[0-9a-f]{130}$/.test(payload.signature),
      payer: payload.authorization.from,
    }),
    "/settle": ({ paymentPayload: { payload } }) => ({
      success: true,
      transaction: "0xfeed",
      network: "eip155:84532",
      payer: payload.authorization.from,
    }),
  };
  const server = createServer(async (request, response) => {
    const text = (await request.setEncoding("utf8").toArray()).join("");
    const body = text === "" ? {} : JSON.parse(text);
    const path = request.url as string;
    if (path !== "/supported") asked.push([path, body.paymentRequirements.amount]);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answers[path]?.(body)));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function connected(hooks: { after(fn: () => void | Promise<void>): void }, agent: string, name: string, more: object = {}) {
  const client = await worker.connect(hooks, { agent, name, ...more });
  await client.ready;
  return client;
}

// The finest time of a cron is the minute: it passes while the other tests run.
const draft = await triage?.call("resolved", ["t1", "the invoice is wrong"]).then(async (mutation: string) => {
  await processed(platform, "agents-tickets", mutation);
  return triage.call("triage", ["my invoice is too high"]);
});
await triage?.call("planDigest");
triage?.close();

test("[agents-67] an agent reads a page in a browser of the platform's, as its scripts have made it", {
  skip: noAgents || noBrowser,
}, async (t) => {
  const script = "onload = () => { document.title = 'Offers'; document.body.append(' Boots 42 EUR'); }";
  const client = await connected(t, "BrowseAgent", "shopper");
  const [said] = await client.call("browse", [
    [origin.page("shop", `<!doctype html><title>Shop</title><script>${script}</script><body>Shop`)],
  ]);
  assert.deepEqual(said, { title: "Offers", response: "echo Prices in: Shop Boots 42 EUR" });
});

test("[agents-71] a tool that costs is paid for by the agent's client when its user agrees, and the facilitator settles it", {
  skip: noAgents,
}, async (t) => {
  const client = await connected(t, "PayAgent", "payer");
  const use = (user: boolean | null, name: string, args: object) => client.call("use", [user, name, args]);
  const tools = Object.fromEntries(await client.call("tools"));
  assert.equal(tools.square, "Squares a number (This is a paid tool, you will be charged $0.01 for its execution)");
  assert.deepEqual(await use(false, "echo", { message: "free" }), { text: "free", isError: false, asked: [] });

  const declined = await use(false, "square", { number: 4 });
  assert.deepEqual([declined.text, declined.isError], ["User declined payment", true]);
  const [terms] = declined.asked;
  assert.deepEqual([terms.scheme, terms.network, terms.amount, terms.payTo], ["exact", "eip155:84532", "10000", PAY_TO]);
  assert.deepEqual(facilitator.asked.splice(0), [], "nothing is paid without a yes");

  for (const user of [true, null]) {
    const { text, isError, paid, asked } = await use(user, "square", { number: 4 });
    assert.deepEqual([text, isError, asked.length], ["16", false, user ? 1 : 0]);
    assert.deepEqual([paid.success, paid.transaction], [true, "0xfeed"]);
    assert.match(paid.payer, /^0x[0-9a-fA-F]{40}$/);
    assert.deepEqual(facilitator.asked.splice(0), [
      ["/verify", "10000"],
      ["/settle", "10000"],
    ]);
  }
  assert.match((await use(true, "mansion", {})).text, /Payment exceeds client cap: 5000000 > 100000/);
  assert.deepEqual(facilitator.asked.splice(0), []);
});

/** A fetch that pays, of the protocol's own client. */
async function payingFetch(): Promise<(url: string) => Promise<Response>> {
  const [{ wrapFetchWithPayment, x402Client }, { registerExactEvmScheme }, { privateKeyToAccount }] = await Promise.all([
    worker.load("@x402/fetch"),
    worker.load("@x402/evm/exact/client"),
    worker.load("viem/accounts"),
  ]);
  const client = new x402Client();
  registerExactEvmScheme(client, { signer: privateKeyToAccount(PRIVATE_KEY) });
  // It hands over a Request; its headers say what it pays.
  const ask = async (request: Request) => platform.fetch(request.url, { headers: Object.fromEntries(request.headers) });
  return wrapFetchWithPayment(ask, client);
}

test("[agents-72] a route costs, with its terms in the answer 402; another costs only clients with a low bot score", {
  skip: noAgents,
}, async () => {
  const refused = await worker.fetch("/premium");
  const [terms, unpaid] = [JSON.parse(atob(refused.headers.get("payment-required") as string)), facilitator.asked.splice(0)];
  const { scheme, network, amount, payTo } = terms.accepts[0];
  assert.deepEqual([refused.status, terms.resource.description], [402, "Premium content"]);
  assert.deepEqual([scheme, network, amount, payTo, unpaid], ["exact", "eip155:84532", "100000", PAY_TO, []]);
  const forged = btoa(JSON.stringify({ x402Version: 2, accepted: terms.accepts[0], payload: { signature: "0x00", authorization: {} } }));
  assert.equal((await worker.fetch("/premium", { headers: { "payment-signature": forged } })).status, 402);
  assert.ok(!facilitator.asked.splice(0).some(([path]) => path === "/settle"));

  const pay = await payingFetch();
  const paid = await pay(`${worker.url}/premium`);
  assert.deepEqual([paid.status, await paid.json()], [200, { message: "Thanks for paying!" }]);
  assert.equal(JSON.parse(atob(paid.headers.get("payment-response") as string)).transaction, "0xfeed");
  assert.deepEqual(facilitator.asked.splice(0), [
    ["/verify", "100000"],
    ["/settle", "100000"],
  ]);

  assert.equal((await worker.fetch("/scored?score=29")).status, 402);
  assert.deepEqual(await worker.json("/scored?score=30"), { score: 30 });
});

test("[agents-70] a coding tool's hook pays for a page that its fetch could not have, and tells the tool what it says", {
  skip: noAgents,
}, async () => {
  // As the documentation's page has it for Claude Code, where it is run with what the tool did on its standard input.
  const hook = join(worker.dir, "handle-x402.mjs");
  await copyFile(new URL("./fixtures/web/handle-x402.mjs", import.meta.url), hook);
  const url = `${worker.url}/premium`;
  const run = (response: string, environment: Record<string, string> = { X402_PRIVATE_KEY: PRIVATE_KEY }, expected = 0) =>
    platform.exec(process.execPath, [hook], {
      cwd: worker.dir,
      env: { NODE_USE_ENV_PROXY: "1", ...environment },
      input: JSON.stringify({ tool_input: { url }, tool_response: response }),
      code: expected,
    });
  assert.equal((await run("<html>for free</html>")).stdout, "");
  assert.equal((await run("HTTP 402 Payment Required", {}, 2)).stderr.trim(), "X402_PRIVATE_KEY not set.");
  facilitator.asked.length = 0;
  const paid = await run("HTTP 402 Payment Required");
  const { hookSpecificOutput } = JSON.parse(paid.stdout);
  assert.deepEqual(hookSpecificOutput, {
    hookEventName: "PostToolUse",
    additionalContext: `Paid for "${url}" via x402:\n{"message":"Thanks for paying!"}`,
  });
  assert.deepEqual(
    facilitator.asked.map(([path]) => path),
    ["/verify", "/settle"],
  );
});

test("[agents-74] an agent's logs are live in the dashboard and in wrangler tail, its data is browsed, and one agent is deleted", {
  skip: noAgents || noBrowser,
}, async (t) => {
  const terminal = openTerminal(t, platform, ["wrangler", "tail", "agents-web"], { cwd: worker.dir });
  await terminal.expect("Connected to agents-web");
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const { page, open, problems } = await openDashboard(platform, browser);
  await open("/durable-objects");
  await page.getByRole("link", { name: "TriageAgent" }).click();
  await page.getByRole("link", { name: "Logs" }).click();
  await page.getByLabel("Live").check();

  // A client that came back would make the agent anew.
  const [seen, other] = [await connected(t, "TriageAgent", "seen", { maxRetries: 0 }), await connected(t, "TriageAgent", "other")];
  const closed = new Promise((resolve) => seen.addEventListener("close", resolve));
  for (const agent of [seen, other]) await agent.call("cachedGenerate", ["a long story"]);
  await terminal.expect("nobody has asked seen before: a long story");
  const logs = page.getByRole("list", { name: "Logs" }).locator("summary");
  await logs.filter({ hasText: "nobody has asked seen before: a long story" }).waitFor();

  await page.getByRole("link", { name: "Objects", exact: true }).click();
  // The list is a few seconds old, from before there was this agent.
  await page.reload();
  const id = await seen.call("id");
  await page.getByRole("link", { name: id }).click();
  await page.getByLabel("Table").selectOption("llm_cache");
  await page.getByRole("table", { name: "Rows of llm_cache" }).getByText("echo a long story").waitFor();
  await page.goBack();
  const row = page.getByRole("row").filter({ hasText: id });
  await row.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByText("has stored is deleted").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Object deleted").waitFor();
  await row.waitFor({ state: "detached" });
  assert.deepEqual(problems, []);

  // Its connections end, and the name leads to a new agent, which knows nothing; the other one is as it was.
  await closed;
  const asked = () => models.seen.filter(({ body }) => JSON.stringify(body).includes("a long story")).length;
  const before = asked();
  await other.call("cachedGenerate", ["a long story"]);
  assert.equal(asked(), before);
  await (await connected(t, "TriageAgent", "seen")).call("cachedGenerate", ["a long story"]);
  assert.equal(asked(), before + 1);
  const audited = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/audit_logs?per_page=50`)).body.result as Any[];
  assert.ok(audited.some(({ action, oldValueJson }) => action.info === "object deleted" && oldValueJson.object === id));
});

test("[agents-36] models work in a row, each with what the one before found; what was asked once comes from the agent's cache", {
  skip: noAgents,
}, async (t) => {
  assert.equal(draft, "echo Draft for (echo Classify: my invoice is too high) like (the invoice is wrong)");
  const client = await connected(t, "TriageAgent", "cache");
  const asked = models.seen.length;
  for (let i = 0; i < 2; i++) assert.equal(await client.call("cachedGenerate", ["the weather"]), "echo the weather");
  assert.equal(models.seen.slice(asked).filter(({ body }) => JSON.stringify(body).includes("the weather")).length, 1);
  // Nobody is connected to this agent, and nobody asks it but for what it has made.
  const digests = await eventually(
    () => worker.json("/agents/triage-agent/desk"),
    (made) => made.length > 0,
    90_000,
  );
  assert.deepEqual(digests, [{ summary: "echo Summary of my invoice is too high", connections: 0 }]);
});
