/** An MCP server behind a login of its own, at its HTTPS address: with the official client, with an agent, and in a browser. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fetch, ProxyAgent, type RequestInit, type Response } from "undici";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type Any, deployAgents, eventually, type Hooks } from "./agents.ts";

const ORIGIN = "https://agents-oauth.dev.workers.dev";
const noAgents = missingClient("agents-0.7");
const platform = await startPlatform({ after });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "oauth"));

/** `fetch` by the platform's proxy, by which its Workers have the addresses of the real service. */
async function openWay(t: Hooks): Promise<(url: string | URL, init?: RequestInit) => Promise<Response>> {
  const ca = await readFile(platform.ready.ca_file, "utf8");
  const dispatcher = new ProxyAgent({ uri: platform.ready.proxy, requestTls: { ca }, proxyTls: { ca } });
  t.after(() => dispatcher.destroy());
  return (url, init = {}) => fetch(url, { redirect: "manual", ...init, dispatcher });
}

/** The page of an authorization: what its form holds, and its cookie. */
async function consentPage(go: Awaited<ReturnType<typeof openWay>>, url: string) {
  const page = await go(url);
  const html = await page.text();
  assert.equal(page.status, 200, html);
  const field = (name: string): string => new RegExp(`name="${name}" value="([^"]+)"`).exec(html)?.[1] as string;
  const [setCookie] = page.headers.getSetCookie() as [string];
  return {
    page,
    html,
    setCookie,
    cookie: setCookie.split(";")[0] as string,
    fields: { csrf_token: field("csrf_token"), state: field("state") },
  };
}

/** Sends the form as somebody; what is answered. */
const decide = (go: Awaited<ReturnType<typeof openWay>>, form: Record<string, string>, cookie?: string): Promise<Response> =>
  go(`${ORIGIN}/authorize`, { method: "POST", body: new URLSearchParams(form), headers: { ...(cookie !== undefined && { cookie }) } });

/** The user's part: logs in on the page and comes back with a code. */
async function approve(go: Awaited<ReturnType<typeof openWay>>, url: string, user: string): Promise<URL> {
  const { cookie, fields } = await consentPage(go, url);
  const answer = await decide(go, { ...fields, user }, cookie);
  assert.equal(answer.status, 302, await answer.text());
  return new URL(answer.headers.get("location") as string);
}

/** The official client, registered, with its user logged in. */
async function login(t: Hooks, user: string, clientName = "test"): Promise<{ client: Any; asked: URL; registered: Any; code: URL }> {
  const go = await openWay(t);
  const [{ Client }, { StreamableHTTPClientTransport }] = await Promise.all([
    worker.load("@modelcontextprotocol/sdk/client/index.js"),
    worker.load("@modelcontextprotocol/sdk/client/streamableHttp.js"),
  ]);
  const kept: Record<string, Any> = {};
  const authProvider = {
    redirectUrl: "http://127.0.0.1:9999/callback",
    clientMetadata: { client_name: clientName, redirect_uris: ["http://127.0.0.1:9999/callback"], token_endpoint_auth_method: "none" },
    clientInformation: () => kept.client,
    saveClientInformation: (client: Any) => Object.assign(kept, { client }),
    tokens: () => kept.tokens,
    saveTokens: (tokens: Any) => Object.assign(kept, { tokens }),
    redirectToAuthorization: (url: URL) => Object.assign(kept, { asked: url }),
    saveCodeVerifier: (verifier: string) => Object.assign(kept, { verifier: verifier }),
    codeVerifier: () => kept.verifier,
  };
  const transport = () => new StreamableHTTPClientTransport(new URL(`${ORIGIN}/mcp`), { fetch: go, authProvider });
  const client = () => new Client({ name: "test", version: "1.0.0" });
  const first = transport();
  await assert.rejects(client().connect(first), /Unauthorized/);
  const code = await approve(go, String(kept.asked), user);
  await first.finishAuth(code.searchParams.get("code"));
  const connected = client();
  await connected.connect(transport());
  t.after(() => connected.close());
  return { client: connected, asked: kept.asked, registered: kept.client, code };
}

const call = async (client: Any, name: string): Promise<string> => (await client.callTool({ name, arguments: {} })).content[0].text;
const toolsOf = async (client: Any): Promise<string[]> => (await client.listTools()).tools.map(({ name }: Any) => name).sort();

test("[agents-57] a client registers itself, its user logs in, and the server knows the user by its props", {
  skip: noAgents,
}, async (t) => {
  const go = await openWay(t);
  const bare = await go(`${ORIGIN}/mcp`, { method: "POST", body: "{}" });
  assert.equal(bare.status, 401);
  assert.match(bare.headers.get("www-authenticate") ?? "", /resource_metadata="https:\/\/agents-oauth\.dev\.workers\.dev\/\.well-known/);
  const metadata = (await (await go(`${ORIGIN}/.well-known/oauth-authorization-server`)).json()) as Any;
  assert.deepEqual(
    [metadata.issuer, metadata.registration_endpoint, metadata.code_challenge_methods_supported],
    [ORIGIN, `${ORIGIN}/register`, ["S256"]],
  );
  const { client, asked, registered, code } = await login(t, "grace");
  assert.ok(registered.client_id.length > 8);
  assert.equal(asked.searchParams.get("client_id"), registered.client_id);
  assert.equal(code.origin, "http://127.0.0.1:9999");
  assert.deepEqual(JSON.parse(await call(client, "whoami")), { user: "grace", permissions: ["read"] });
  const forged = { method: "POST", body: "{}", headers: { authorization: "Bearer grace:1:2" } };
  assert.equal((await go(`${ORIGIN}/mcp`, forged)).status, 401);
});

test("[agents-58] consent is asked for safely, a forged form is refused, and tools are those of the user", {
  skip: noAgents,
}, async (t) => {
  const go = await openWay(t);
  const { client, asked } = await login(t, "grace", `<script>alert("x")</script>`);
  const { page, html, setCookie, cookie, fields } = await consentPage(go, String(asked));
  assert.match(setCookie, /^__Host-CSRF_TOKEN=[^;]+; HttpOnly; Secure; Path=\/; SameSite=Lax; Max-Age=600$/);
  assert.equal(page.headers.get("x-frame-options"), "DENY");
  assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
  assert.ok(html.includes("&#60;script&#62;") && !html.includes("<script>"), "the client's name is no script");
  for (const [form, with_] of [
    [{ ...fields, user: "ada" }, undefined],
    [{ ...fields, user: "ada" }, "__Host-CSRF_TOKEN=another"],
    [{ ...fields, csrf_token: "another", user: "ada" }, cookie],
  ] as const) {
    const answer = await decide(go, form, with_);
    assert.deepEqual([answer.status, await answer.text()], [403, "CSRF token mismatch"]);
  }
  assert.equal((await decide(go, { ...fields, user: "ada" }, cookie)).status, 302);
  assert.equal((await decide(go, { ...fields, user: "ada" }, cookie)).status, 400, "a form counts once");
  const elsewhere = new URL(asked);
  elsewhere.searchParams.set("redirect_uri", "https://evil.example/callback");
  assert.notEqual((await go(elsewhere)).status, 200, "codes go where the client has registered");

  assert.deepEqual(await toolsOf(client), ["adminAction", "whoami"]);
  assert.match(await call(client, "adminAction"), /Permission denied/);
  const { client: admin } = await login(t, "ada");
  assert.deepEqual(await toolsOf(admin), ["adminAction", "adminTool", "whoami"]);
  assert.equal(await call(admin, "adminAction"), "done");
});

test("[agents-56] an agent is let into the server by its user, and keeps its tokens through a kill of the platform", {
  skip: noAgents || noBrowser,
}, async (t) => {
  let go = await openWay(t);
  const agent = (name: string, path = "") => go(`${ORIGIN}/agents/client-agent/${name}${path}`, { method: path === "" ? "GET" : "POST" });
  const ready = async (name: string): Promise<void> =>
    assert.deepEqual(
      await eventually(
        async () => (await (await agent(name)).json()) as Any,
        ({ servers }) => servers[0] === "ready",
      ),
      { servers: ["ready"], tools: ["whoami", "adminAction"] },
    );
  const { authUrl } = (await (await agent("kept", "/connect")).json()) as Any;
  assert.deepEqual(await (await agent("kept")).json(), { servers: ["authenticating"], tools: [] });
  const callback = await approve(go, authUrl, "grace");
  assert.equal(`${callback.origin}${callback.pathname}`, `${ORIGIN}/agents/client-agent/kept/callback`);
  const done = await go(callback);
  assert.deepEqual([done.status, done.headers.get("location")], [302, `${ORIGIN}/dashboard`]);
  await ready("kept");
  await platform.kill9();
  await platform.restart();
  go = await openWay(t);
  await ready("kept");
  const client = await worker.connect(t, { agent: "ClientAgent", name: "kept" });
  await client.ready;
  assert.deepEqual(JSON.parse(await client.call("use", ["whoami"])), { user: "grace", permissions: ["read"] });
  const again = await go(callback);
  assert.match(decodeURIComponent(again.headers.get("location") as string), /auth-error\?error=.*State not found or already used/);

  const browser = await launchBrowser();
  t.after(() => browser.close());
  const context = await browser.newContext({ proxy: { server: platform.ready.proxy }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${ORIGIN}/app`);
  const opened = context.waitForEvent("page");
  await page.getByRole("button", { name: "Connect" }).click();
  const popup = await opened;
  await popup.getByLabel("User").fill("grace");
  const closed = popup.waitForEvent("close");
  await popup.getByRole("button", { name: "Approve" }).click();
  await closed;
  await page.getByText("authorized").waitFor();
  await ready("popup");
});
