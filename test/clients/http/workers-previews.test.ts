/** Preview sessions by hand: what `wrangler dev --remote` never tries, above all to get in where it should not. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after }, { config: { "workers.previews_max": 3 } });
const account = `/accounts/${platform.ready.account_id}`;
const url = (worker: string) => platform.host("workers", { worker, subdomain: "dev" });

async function open(token = platform.ready.api_token, path = `${account}/workers/subdomain/edge-preview`): Promise<string> {
  const { status, body } = await platform.rest("GET", path, undefined, token);
  assert.equal(status, 200, JSON.stringify(body));
  return body.result.token;
}

interface Uploaded {
  readonly status: number;
  readonly body: { errors: { code: number; message: string }[]; result: { preview_token: string; tail_url: string } };
}

async function upload(session: string, name: string, code: string, options: { token?: string; mode?: object; metadata?: object } = {}) {
  const form = new FormData();
  form.set("metadata", JSON.stringify({ main_module: "index.js", compatibility_date: "2026-11-01", ...options.metadata }));
  form.set("index.js", new File([code], "index.js", { type: "application/javascript+module" }));
  form.set("wrangler-session-config", JSON.stringify(options.mode ?? { workers_dev: true }));
  const response = await fetch(`${platform.ready.api}${account}/workers/scripts/${name}/edge-preview`, {
    method: "POST",
    body: form,
    headers: { authorization: `Bearer ${options.token ?? platform.ready.api_token}`, "cf-preview-upload-config-token": session },
  });
  return { status: response.status, body: await response.json() } as Uploaded;
}

const says = (word: string): string => `export default { fetch() { return new Response(${JSON.stringify(word)}); } };`;

const INVALID = "Invalid Workers Preview configuration";

async function ask(target: string, token: string): Promise<string> {
  const response = await platform.fetch(target, { headers: { "cf-workers-preview-token": token } });
  const answer = await response.text();
  return response.status === 400 && answer.includes(INVALID) ? "invalid" : answer;
}

/** The gateway under a host name of a zone. */
async function askHost(host: string, path: string, headers: Record<string, string>): Promise<string> {
  const { hostname, port } = new URL(platform.ready.gateway);
  const request = http.get({ host: hostname, port, path, headers: { host, ...headers } });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  const answer = await text(response);
  if (response.statusCode === 404) return "nothing";
  return response.statusCode === 400 && answer.includes(INVALID) ? "invalid" : answer;
}

test("a preview answers on its own host name, to its own token, and to nothing else", async () => {
  const session = await open();
  const { preview_token: token } = (await upload(session, "mine", says("mine"))).body.result;
  assert.equal(await ask(url("mine"), token), "mine");
  for (const [host, bearer] of [
    ["other", token],
    ["mine", session],
    ["mine", `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`],
    ["mine", ""],
  ] as const)
    assert.equal(await ask(url(host), bearer), "invalid", `${host} ${bearer}`);
  assert.equal((await platform.fetch(url("mine"))).status, 404);
  const socket = platform.webSocket(url("mine").replace("http", "ws"), [], { headers: { "cf-workers-preview-token": session } });
  const refused = await new Promise<number | undefined>((resolve) => {
    socket.once("unexpected-response", (_, answer) => resolve(answer.statusCode));
    socket.once("error", () => undefined);
  });
  assert.equal(refused, 400);
});

test("the upload before the newest answers until the next one", async () => {
  const session = await open();
  const tokens: string[] = [];
  for (const word of ["one", "two", "three"]) tokens.push((await upload(session, "rolling", says(word))).body.result.preview_token);
  assert.deepEqual(await Promise.all(tokens.map((token) => ask(url("rolling"), token))), ["invalid", "two", "three"]);
  const broken = await upload(session, "rolling", "this is no JavaScript");
  assert.deepEqual([broken.status, broken.body.errors[0]?.code], [400, 10021]);
  assert.equal(await ask(url("rolling"), tokens[2] as string), "three");
});

test("sessions belong to the API token that opened them and end with it", async () => {
  const developer = await platform.token(["Workers Scripts Write"]);
  const reader = await platform.token(["Workers Scripts Read"]);
  const session = await open(developer.value);
  const denied = await platform.rest("GET", `${account}/workers/subdomain/edge-preview`, undefined, reader.value);
  assert.equal(denied.status, 403);
  assert.equal((await upload(session, "theirs", says("x"), { token: reader.value })).status, 403);
  const stolen = await upload(session, "theirs", says("x"));
  assert.deepEqual([stolen.status, stolen.body.errors[0]?.code], [400, 10049]);
  const { preview_token: token } = (await upload(session, "theirs", says("theirs"), { token: developer.value })).body.result;
  assert.equal(await ask(url("theirs"), token), "theirs");
  await platform.rest("DELETE", `${account}/tokens/${developer.id}`);
  assert.equal(await ask(url("theirs"), token), "invalid");
});

test("a preview of a zone answers on the host names of that zone and its routes alone", async () => {
  const zone = async (name: string) =>
    (await platform.rest("POST", "/zones", { name, account: { id: platform.ready.account_id } })).body.result.id;
  const [ours] = [await zone("shop.example"), await zone("bank.example")];
  const session = await open(undefined, `/zones/${ours}/workers/edge-preview`);
  const mode = { routes: ["www.shop.example/app/*", "bank.example/*"] };
  const { preview_token: token } = (await upload(session, "zoned", says("zoned"), { mode })).body.result;
  const at = (host: string, path = "/app/page") => askHost(host, path, { "cf-workers-preview-token": token });
  assert.deepEqual(
    await Promise.all([at("www.shop.example"), at("www.shop.example", "/other"), at("bank.example"), ask(url("zoned"), token)]),
    ["zoned", "invalid", "nothing", "invalid"],
  );
  assert.equal(await askHost("www.shop.example", "/app/page", {}), "nothing");
  // The exchange of its token is the platform's, whoever serves the host name: no Worker sees it.
  const exchange = `/cdn-cgi/workers/preview/exchange?token=`;
  assert.deepEqual(JSON.parse(await askHost("www.shop.example", exchange + session, {})), { token: session });
  assert.equal(await askHost("www.shop.example", `${exchange}x`, {}), "invalid");
});

test("sessions are bounded: the oldest of the same API token makes room, and never another's", async () => {
  const other = await platform.token(["Workers Scripts Write"]);
  const first = await open();
  const { preview_token: token } = (await upload(first, "oldest", says("oldest"))).body.result;
  await open();
  await open();
  const full = await platform.rest("GET", `${account}/workers/subdomain/edge-preview`, undefined, other.value);
  assert.equal(full.status, 429);
  assert.equal(await ask(url("oldest"), token), "oldest");
  await open();
  assert.equal(await ask(url("oldest"), token), "invalid");
  const late = await upload(first, "oldest", says("x"));
  assert.deepEqual([late.status, late.body.errors[0]?.code], [400, 10049]);
});
