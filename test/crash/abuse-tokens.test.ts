/**
 * Goal: without a token, or with one that is garbage, revoked, expired or too weak, no surface does or tells anything.
 * Method: the platform lists its REST operations itself, so that one which is added later is walked, too; hosts have a
 * hand-kept table that must name every host of the ready file. Each refusal is compared as a whole with its surface's
 * format, and everything that can be read is the same before and after.
 *
 * What single tokens may do on a product is tested with the product: kv and d1 (test/clients/cloudflare-sdk), r2
 * (test/clients/aws-sdk), the catalog (test/clients/pyiceberg), r2-sql and ingest (test/clients/http).
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { after, before, test } from "node:test";
import { DeleteObjectCommand, GetObjectCommand, ListBucketsCommand, PutObjectCommand, type S3ServiceException } from "@aws-sdk/client-s3";
import { FormData } from "undici";
import { type Envelope, startPlatform, type Token } from "../harness/platform.ts";
import { bearer, NAME, type Operation, openSurface } from "./surface.ts";

const platform = await startPlatform({ after });
const { account_id: account, api_token: root } = platform.ready;
const surface = await openSurface(platform);
const { operations } = surface;
let groups: string[];
let revoked: Token;
let garbage: Token;
/** An AI gateway that asks for a token. */
const GATEWAY = "guarded-gateway";
let turnKey: { readonly uid: string; readonly key: string };
let tunnel: { readonly id: string; readonly token: string };
let rtcApp: { readonly uid: string; readonly secret: string };

before(async () => {
  groups = (await platform.rest("GET", `/accounts/${account}/tokens/permission_groups`)).body.result.map(
    ({ name }: { name: string }) => name,
  );
  const settings = {
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: false,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
  };
  const gateway = { id: GATEWAY, authentication: true, rate_limiting_technique: "fixed", ...settings };
  assert.equal((await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, gateway)).status, 200);
  rtcApp = (await platform.rest("POST", `/accounts/${account}/calls/apps`, { name: NAME })).body.result;
  tunnel = (await platform.rest("POST", `/accounts/${account}/cfd_tunnel`, { name: NAME })).body.result;
  turnKey = (await platform.rest("POST", `/accounts/${account}/calls/turn_keys`, { name: NAME })).body.result;
  revoked = await platform.token(groups);
  // Used while it is good, so that an answer from a cache would show.
  assert.equal((await platform.rest("GET", `/accounts/${account}/d1/database`, undefined, revoked.value)).status, 200);
  await platform.s3(revoked).send(new GetObjectCommand({ Bucket: NAME, Key: NAME }));
  assert.equal((await platform.rest("DELETE", `/accounts/${account}/tokens/${revoked.id}`)).status, 200);
  const value = randomBytes(30).toString("base64url");
  garbage = {
    id: randomBytes(16).toString("hex"),
    value,
    s3: { accessKeyId: randomBytes(16).toString("hex"), secretAccessKey: createHash("sha256").update(value).digest("hex") },
  };
});

const refusal = (code: number, message: string): Envelope => ({ result: null, success: false, errors: [{ code, message }], messages: [] });

async function call(operation: Operation, headers: Record<string, string>): Promise<{ status: number; body: unknown }> {
  const withBody = operation.method !== "GET" && operation.method !== "DELETE";
  const type = withBody ? { "content-type": "application/json" } : {};
  const { status, text } = await surface.send(operation, surface.pathOf(operation), { ...headers, ...type }, withBody ? "{}" : undefined);
  return { status, body: text === "" ? "" : parsed(text) };
}

const parsed = (text: string): unknown => (/^[{[]/.test(text) ? JSON.parse(text) : text);

/** Operations that need no token of the API, with what proves their caller instead and what a stranger gets. */
const PUBLIC: Readonly<Record<string, number>> = {
  // A secret in the URL, made for one transfer.
  "d1.transfers.upload": 404,
  "d1.transfers.download": 404,
  // The token of the upload session.
  "workers.assets.upload": 401,
  "workers.assets.uploadOne": 401,
  // The upload token of a project.
  "pages.assets.missing": 401,
  "pages.assets.upload": 401,
  "pages.assets.upsert": 401,
  // Secrets in the URL: of a deploy hook, and of a repository whose forge tells of pushes.
  "pages.hooks.run": 404,
  "pages.webhooks.push": 404,
  // The token of the link in the message to the address.
  "emailRouting.addresses.verify": 400,
};

test("without a good token every REST operation answers 401, and nothing changes", async () => {
  const beforehand = await surface.state();
  const expired = await platform.rest("POST", `/accounts/${account}/tokens`, {
    name: "expired",
    expires_on: "2020-01-01T00:00:00Z",
    policies: [
      {
        effect: "allow",
        permission_groups: [{ id: (await groupIds()).get("API Tokens Write") }],
        resources: { [`com.cloudflare.api.account.${account}`]: "*" },
      },
    ],
  });
  const callers: [string, Record<string, string>, number, Envelope][] = [
    ["no token", {}, 401, refusal(10000, "Authentication error")],
    ["a garbage token", bearer(garbage.value), 401, refusal(1000, "Invalid API Token")],
    ["a revoked token", bearer(revoked.value), 401, refusal(1000, "Invalid API Token")],
    ["an expired token", bearer(expired.body.result.value), 401, refusal(1000, "Invalid API Token")],
    ["a revoked token as a key", { "x-auth-key": revoked.value, "x-auth-email": "a@b.example" }, 401, refusal(1000, "Invalid API Token")],
    ["another scheme", { authorization: "Basic YTpi" }, 400, refusal(6003, "Invalid format for Authorization header")],
    ["an empty token", { authorization: "Bearer" }, 400, refusal(6003, "Invalid format for Authorization header")],
    ["two tokens", { authorization: `Bearer ${garbage.value} ${root}` }, 400, refusal(6003, "Invalid format for Authorization header")],
  ];
  await platform.rest("DELETE", `/accounts/${account}/tokens/${expired.body.result.id}`);
  for (const operation of operations) {
    for (const [what, headers, status, body] of callers) {
      const answer = await call(operation, headers);
      const place = `${operation.method} ${operation.path} with ${what}`;
      if (operation.permission === "public") assert.equal(answer.status, PUBLIC[operation.op], `${place}: ${JSON.stringify(answer)}`);
      else assert.deepEqual(answer, { status, body }, place);
    }
  }
  assert.deepEqual(await surface.state(), beforehand);
});

test("a token with every permission but the one that is needed gets 403, and nothing changes", async () => {
  const beforehand = await surface.state();
  const tokens = new Map<string, Token>();
  for (const operation of operations) {
    const { permission } = operation;
    if (permission === "public" || permission.length === 0) continue;
    const key = permission.join();
    const token = tokens.get(key) ?? (await platform.token(groups.filter((group) => !implies(group, permission))));
    tokens.set(key, token);
    const answer = await call(operation, bearer(token.value));
    assert.deepEqual(answer, { status: 403, body: refusal(10000, "Authentication error") }, `${operation.method} ${operation.path}`);
  }
  for (const { id } of tokens.values()) await platform.rest("DELETE", `/accounts/${account}/tokens/${id}`);
  assert.deepEqual(await surface.state(), beforehand);
});

/** Writing includes reading. */
const implies = (group: string, needed: readonly string[]): boolean =>
  needed.some((one) => one === group || one.replace(/ Read$/, " Write") === group || one.replace(/ Read$/, " Edit") === group);

test("a token of another account, or for one bucket alone, does not reach the account", async () => {
  const strangers = await Promise.all([
    platform.token(groups, { [`com.cloudflare.api.account.${"f".repeat(32)}`]: "*" }),
    platform.token(groups, { [`com.cloudflare.edge.r2.bucket.${"f".repeat(32)}_default_${NAME}`]: "*" }),
  ]);
  const beforehand = await surface.state();
  for (const operation of operations) {
    if (operation.permission === "public" || operation.permission.length === 0) continue;
    for (const { value } of strangers) {
      const answer = await call(operation, bearer(value));
      assert.deepEqual(answer, { status: 403, body: refusal(10000, "Authentication error") }, `${operation.method} ${operation.path}`);
    }
  }
  assert.deepEqual(await surface.state(), beforehand);
});

test("a token for one bucket does nothing to another, and shows nothing of it", async () => {
  const stranger = await platform.token(groups, { [`com.cloudflare.edge.r2.bucket.${account}_default_other`]: "*" });
  const beforehand = await surface.state();
  for (const operation of operations) {
    if (operation.permission === "public" || operation.permission.length === 0) continue;
    const { status, body } = await call(operation, bearer(stranger.value));
    const place = `${operation.method} ${operation.path}: ${status} ${JSON.stringify(body)}`;
    if (status === 200) assert.doesNotMatch(JSON.stringify((body as Envelope).result), new RegExp(NAME), place);
    // Temporary credentials name their bucket in the body, which is empty here.
    else if (operation.op !== "r2.temporaryCredentials.create") assert.equal(status, 403, place);
  }
  assert.deepEqual(await surface.state(), beforehand);
});

test("another account's id is refused on every operation", async () => {
  const other = "f".repeat(32);
  for (const operation of operations) {
    if (operation.permission === "public" || !operation.path.startsWith("/accounts/:account")) continue;
    const answer = await call({ ...operation, path: operation.path.replace(":account", other) }, bearer(root));
    assert.equal(answer.status, 403, operation.path);
    assert.equal((answer.body as Envelope).errors[0]?.code, 7403, operation.path);
  }
});

// --- hosts -------------------------------------------------------------------------------------------------

interface Probe {
  readonly what: string;
  readonly method: string;
  readonly url: string;
  readonly body?: unknown;
  /** The token's permissions that it needs, none of which the weak token has. */
  readonly needs: readonly string[];
}

/** Status and body of a refusal, by caller. */
interface Refusals {
  readonly none: readonly [number, unknown];
  readonly garbage: readonly [number, unknown];
  readonly weak: readonly [number, unknown];
}

async function refusals(probes: readonly Probe[], expected: Refusals): Promise<void> {
  for (const { what, method, url, body, needs } of probes) {
    const weak = await platform.token(groups.filter((group) => !implies(group, needs)));
    const callers: [string, Record<string, string>, readonly [number, unknown]][] = [
      ["no token", {}, expected.none],
      ["a garbage token", bearer(garbage.value), expected.garbage],
      ["a revoked token", bearer(revoked.value), expected.garbage],
      ["a weak token", bearer(weak.value), expected.weak],
    ];
    for (const [who, headers, [status, text]] of callers) {
      const answer = await platform.fetch(url, {
        method,
        headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const raw = await answer.text();
      const got = answer.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(raw) : raw;
      assert.deepEqual([answer.status, got], [status, text], `${what} with ${who}`);
    }
    await platform.rest("DELETE", `/accounts/${account}/tokens/${weak.id}`);
  }
}

const HOSTS: Readonly<Record<string, () => Promise<void>>> = {
  // Where visitors of previews that only members may see sign in: there is no such preview.
  async access() {
    const url = `${platform.host("access")}/cdn-cgi/access/login/x.none.pages.${platform.ready.domain}`;
    for (const method of ["GET", "POST"]) assert.equal((await platform.fetch(url, { method })).status, 404);
  },
  // Git's clients give the token as password.
  async git() {
    const url = `${platform.host("git")}/owner/repository.git`;
    const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`git:${password}`).toString("base64")}` });
    const weak = await platform.token(groups.filter((group) => !implies(group, ["Pages Read"])));
    for (const [method, path] of [
      ["GET", "/info/refs?service=git-upload-pack"],
      ["GET", "/info/refs?service=git-receive-pack"],
      ["POST", "/git-upload-pack"],
      ["POST", "/git-receive-pack"],
    ] as const) {
      for (const [who, headers, status] of [
        ["no token", {}, 401],
        ["a garbage token", basic(garbage.value), 401],
        ["a revoked token", basic(revoked.value), 401],
        ["a weak token", basic(weak.value), 403],
        ["a good token", basic(platform.ready.api_token), 404],
      ] as const) {
        const answer = await platform.fetch(`${url}${path}`, { method, headers });
        assert.equal(answer.status, status, `${method} ${path} with ${who}: ${await answer.text()}`);
      }
    }
    await platform.rest("DELETE", `/accounts/${account}/tokens/${weak.id}`);
  },
  async ingest() {
    const url = platform.host("ingest", { stream: surface.stream });
    const error = (code: number, message: string) => ({ success: false, errors: [{ code, message }], messages: [], result: null });
    await refusals([{ what: "ingest", method: "POST", url, body: [{ id: 1 }], needs: ["Workers Pipelines Send"] }], {
      none: [401, error(10000, "Authentication error")],
      garbage: [401, error(10000, "Authentication error")],
      weak: [403, error(10000, "The token does not have the Workers Pipelines Send permission")],
    });
  },
  // Legacy pipelines.
  async pipelines() {
    const { endpoint, access_key_id, secret_access_key } = platform.ready.s3;
    const legacy = `/accounts/${account}/pipelines`;
    const { status, body } = await platform.rest("POST", legacy, {
      name: NAME,
      source: [{ type: "http", format: "json", authentication: true }],
      transforms: [],
      destination: {
        type: "r2",
        format: "json",
        compression: { type: "none" },
        batch: { max_bytes: 1_000_000, max_duration_s: 300, max_rows: 100 },
        path: { bucket: NAME },
        credentials: { endpoint, access_key_id, secret_access_key },
      },
    });
    assert.equal(status, 200, JSON.stringify(body));
    const error = (code: number, message: string) => ({ success: false, errors: [{ code, message }], messages: [], result: null });
    const url = (body.result as { endpoint: string }).endpoint;
    await refusals([{ what: "legacy ingest", method: "POST", url, body: [{ id: 1 }], needs: ["Workers Pipelines Send"] }], {
      none: [401, error(10000, "Authentication error")],
      garbage: [401, error(10000, "Authentication error")],
      weak: [403, error(10000, "The token does not have the Workers Pipelines Send permission")],
    });
    await platform.rest("DELETE", `${legacy}/${NAME}`);
  },
  // Without a session it is the REST API, and pages that show nothing.
  async dash() {
    const url = `${platform.host("dash")}/client/v4/accounts/${account}/storage/kv/namespaces`;
    const error = (code: number, message: string) => ({ success: false, errors: [{ code, message }], messages: [], result: null });
    const needs = ["Workers KV Storage Read", "Workers KV Storage Write"];
    await refusals([{ what: "REST", method: "GET", url, needs }], {
      none: [401, error(10000, "Authentication error")],
      garbage: [401, error(1000, "Invalid API Token")],
      weak: [403, error(10000, "Authentication error")],
    });
  },
  async catalog() {
    const base = platform.host("catalog", { bucket: NAME });
    const config = await platform.fetch(`${base}/v1/config?warehouse=${account}_${NAME}`, { headers: bearer(root) });
    const { overrides } = (await config.json()) as { overrides: { prefix: string } };
    const prefix = `${base}/v1/${encodeURIComponent(overrides.prefix)}`;
    const needs = ["Workers R2 Data Catalog Read", "Workers R2 Data Catalog Write"];
    const table = { name: "t", schema: { type: "struct", fields: [] } };
    const probes: Probe[] = [
      { what: "config", method: "GET", url: `${base}/v1/config?warehouse=${account}_${NAME}`, needs },
      { what: "list namespaces", method: "GET", url: `${prefix}/namespaces`, needs },
      { what: "create a namespace", method: "POST", url: `${prefix}/namespaces`, body: { namespace: ["stolen"] }, needs },
      { what: "drop a namespace", method: "DELETE", url: `${prefix}/namespaces/${NAME}`, needs },
      { what: "create a table", method: "POST", url: `${prefix}/namespaces/${NAME}/tables`, body: table, needs },
      { what: "load a table", method: "GET", url: `${prefix}/namespaces/${NAME}/tables/${NAME}`, needs },
      { what: "vend credentials", method: "GET", url: `${prefix}/namespaces/${NAME}/tables/${NAME}/credentials`, needs },
      { what: "commit a transaction", method: "POST", url: `${prefix}/transactions/commit`, body: { "table-changes": [] }, needs },
    ];
    await refusals(probes, { none: [401, "Unauthorized"], garbage: [401, "Unauthorized"], weak: [403, "Forbidden"] });
  },
  async sql() {
    const error = (code: number, message: string) => ({ success: false, errors: [{ code, message }], messages: [], result: null });
    const probes = ["r2-sql", "basin-sql"].map((path) => ({
      what: path,
      method: "POST",
      url: `${platform.host("sql")}/${path}/query/${NAME}`,
      body: { query: "SHOW DATABASES" },
      needs: ["Workers R2 SQL Read"],
    }));
    await refusals(probes, {
      none: [401, error(80007, "Unauthenticated.")],
      garbage: [403, error(80011, "Invalid token.")],
      weak: [403, error(10000, "Authentication error")],
    });
  },
  async r2() {
    const weak = await platform.token(groups.filter((group) => !group.startsWith("Workers R2 Storage")));
    const reader = await platform.token(["Workers R2 Storage Read"]);
    const forged: Token = { ...reader, s3: { ...reader.s3, secretAccessKey: "0".repeat(64) } };
    const commands = {
      read: () => new GetObjectCommand({ Bucket: NAME, Key: NAME }),
      list: () => new ListBucketsCommand({}),
      write: () => new PutObjectCommand({ Bucket: NAME, Key: NAME, Body: "2" }),
      delete: () => new DeleteObjectCommand({ Bucket: NAME, Key: NAME }),
    };
    const expected: [string, Token, number, string, readonly (keyof typeof commands)[]][] = [
      ["a garbage key", garbage, 401, "Unauthorized", ["read", "list", "write", "delete"]],
      ["a revoked key", revoked, 401, "Unauthorized", ["read", "list", "write", "delete"]],
      ["a wrong secret", forged, 403, "SignatureDoesNotMatch", ["read", "list", "write", "delete"]],
      ["a weak key", weak, 403, "AccessDenied", ["read", "list", "write", "delete"]],
      ["a key for reading", reader, 403, "AccessDenied", ["write", "delete"]],
    ];
    for (const [who, token, status, code, names] of expected) {
      for (const name of names) {
        // The commands differ in their types only.
        await assert.rejects(platform.s3(token).send(commands[name]() as GetObjectCommand), (error: S3ServiceException) => {
          assert.deepEqual([error.$metadata.httpStatusCode, error.name], [status, code], `${name} with ${who}`);
          return true;
        });
      }
    }
    for (const method of ["GET", "PUT", "DELETE"]) {
      // R2's own answer to a request that carries no credentials at all is 400 InvalidArgument: Authorization.
      const url = `${platform.host("r2")}/${NAME}/${NAME}`;
      const answer = await platform.fetch(url, { method, ...(method === "PUT" && { body: "2" }) });
      const error = /<Code>(.*)<\/Code><Message>(.*)<\/Message>/.exec(await answer.text());
      assert.deepEqual([answer.status, error?.[1], error?.[2]], [400, "InvalidArgument", "Authorization"], `${method} unsigned`);
    }
    for (const { id } of [weak, reader]) await platform.rest("DELETE", `/accounts/${account}/tokens/${id}`);
    const kept = await platform.s3().send(new GetObjectCommand({ Bucket: NAME, Key: NAME }));
    assert.equal(await kept.Body?.transformToString(), "1");
  },
  // Public by their nature; only names that somebody made public lead anywhere.
  r2_public: () => nothingAt(platform.host("r2_public", { public: `pub-${"0".repeat(32)}` })),
  workers: () => nothingAt(platform.host("workers", { worker: "nobody", subdomain: "nowhere" })),
  pages: () => nothingAt(platform.host("pages", { project: "nothing" })),
  // Open to clients that must stay unknown; leads to what the operator has named and nowhere else.
  // Says where the QUIC port is, to everyone; sessions are let in by the token in their path.
  async moq() {
    const { status } = await platform.fetch(`${platform.host("moq")}/some-token`);
    assert.equal(status, 404);
    const socket = platform.webSocket(`${platform.host("moq").replace(/^http/, "ws")}/no-such-token`, ["webtransport"]);
    const [frame] = (await once(socket, "message")) as [Buffer];
    // CONNECTION_CLOSE with draft 07's code for "unauthorized".
    assert.deepEqual([...frame.subarray(0, 2)], [0x1d, 0x2]);
  },
  privacy_gateway: () => nothingAt(platform.host("privacy_gateway", { application: "nobody" })),
  // Unguessable names.
  preview: () => nothingAt(platform.host("preview", { preview: "0".repeat(48) }), 400),
  async ai_gateway() {
    const weak = await platform.token(groups.filter((group) => !group.startsWith("AI Gateway")));
    const url = `${platform.host("ai_gateway", { gateway: GATEWAY })}/openai/chat/completions`;
    for (const token of [undefined, garbage.value, revoked.value, weak.value]) {
      const headers = { "content-type": "application/json", ...(token !== undefined && { "cf-aig-authorization": `Bearer ${token}` }) };
      const answer = await platform.fetch(url, { method: "POST", headers, body: JSON.stringify({ model: "m", messages: [] }) });
      const { success, error } = (await answer.json()) as { success: boolean; error: { code: number }[] };
      assert.deepEqual([answer.status, success, error[0]?.code], [401, false, 2009]);
    }
    await platform.rest("DELETE", `/accounts/${account}/tokens/${weak.id}`);
  },
  // A tool has the rights of its caller's token. The documentation's server is open, and knows nothing of the account.
  async mcp() {
    const weak = await platform.token(groups.filter((group) => !group.startsWith("Workers KV Storage")));
    const accept = "application/json, text/event-stream";
    const code = `async () => cloudflare.request({ method: "GET", path: "/accounts/" + accountId + "/storage/kv/namespaces" })`;
    for (const [server, name, args] of [
      ["", "execute", { code }],
      ["bindings.", "kv_namespaces_list", {}],
    ] as const)
      for (const [token, status] of [
        [undefined, 401],
        [garbage.value, 401],
        [revoked.value, 401],
        [weak.value, 200],
      ] as const) {
        const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } });
        const headers = { accept, "content-type": "application/json", ...(token !== undefined && bearer(token)) };
        const answer = await platform.fetch(platform.host("mcp").replace("//", `//${server}`), { method: "POST", headers, body });
        const { error, result } = (await answer.json()) as { error?: string; result?: { isError: boolean; content: { text: string }[] } };
        const told = `${name}: ${answer.status} ${result?.content[0]?.text ?? error}`;
        assert.equal(told, status === 401 ? `${name}: 401 invalid_token` : `${name}: 200 API error 403: 10000: Authentication error`);
      }
    await platform.rest("DELETE", `/accounts/${account}/tokens/${weak.id}`);
  },
  // Public by its nature: the keys that sign requests of browsers.
  web_bot_auth: () => nothingAt(`${new URL(platform.host("web_bot_auth")).origin}/${NAME}`),
  // Public by its nature; only an image's own path leads anywhere.
  imagedelivery: () => nothingAt(`${platform.host("imagedelivery")}/${NAME}/public`),
  // The URL of an upload is made for one draft.
  async imagedelivery_upload() {
    for (const headers of [{}, bearer(garbage.value), bearer(root)]) {
      const body = new FormData();
      body.set("file", new Blob(["x"]), "x.png");
      const answer = await platform.fetch(`${platform.host("imagedelivery_upload")}/${NAME}`, { method: "POST", headers, body });
      const { success, errors } = (await answer.json()) as Envelope;
      assert.deepEqual([answer.status, success, errors[0]?.code], [404, false, 5404]);
    }
  },
  // A signed token may stand for a video's id; the API's own tokens mean nothing there.
  async stream() {
    for (const headers of [{}, bearer(garbage.value), bearer(root)])
      for (const [id, status] of [
        ["f".repeat(32), 404],
        [garbage.value, 404],
        ["a.b.c", 401],
      ] as const)
        for (const customer of ["customer-x", "embed"]) {
          const url = `${platform.host("stream", { customer })}/${id}/manifest/video.m3u8`;
          assert.ok([404, status].includes((await platform.fetch(url, { headers })).status), url);
        }
  },
  async stream_upload() {
    for (const headers of [{}, bearer(garbage.value), bearer(root)])
      for (const [method, path] of [
        ["POST", "f".repeat(32)],
        ["PATCH", "f".repeat(32)],
        ["POST", NAME],
      ] as const) {
        const answer = await platform.fetch(`${platform.host("stream_upload")}/${path}`, { method, headers, body: "x" });
        const { success, errors } = (await answer.json()) as Envelope;
        assert.deepEqual([answer.status, success, errors[0]?.code], [404, false, 10003]);
      }
  },
  // A token of its own, which stands for the API token that asked for it: also that one's refusals.
  async imagedelivery_batch() {
    const url = `${platform.host("imagedelivery_batch")}/v2`;
    const error = (code: number, message: string) => ({ success: false, errors: [{ code, message }], messages: [], result: null });
    const strangers = error(1000, "Invalid API Token");
    await refusals([{ what: "batch", method: "GET", url, needs: ["Images Read", "Images Write"] }], {
      none: [401, error(10000, "Authentication error")],
      garbage: [401, strangers],
      weak: [401, strangers],
    });
    const reader = await platform.token(["Images Read"]);
    const issued = await platform.rest("GET", `/accounts/${account}/images/v1/batch_token`, undefined, reader.value);
    const headers = bearer(issued.body.result.token);
    const ask = (method: string, path: string) => platform.fetch(`${platform.host("imagedelivery_batch")}${path}`, { method, headers });
    assert.equal((await ask("GET", "/v2")).status, 200);
    assert.equal((await ask("DELETE", `/v1/${NAME}`)).status, 403);
    // Only what is documented for it, and nothing else of the API.
    for (const path of ["/v1/keys", "/v1/batch_token", "/v1/../../storage/kv/namespaces", "/v1/variants"])
      assert.equal((await ask("GET", path)).status, 404, path);
    const tampered = bearer(`${issued.body.result.token.slice(0, -2)}xx`);
    assert.equal((await platform.fetch(url, { headers: tampered })).status, 401);
    await platform.rest("DELETE", `/accounts/${account}/tokens/${reader.id}`);
    assert.equal((await ask("GET", "/v2")).status, 401);
  },
  // The secret of an app or of a TURN key, each for its own; a token of the API is none.
  async rtc() {
    const credentials = `/turn/keys/${turnKey.uid}/credentials`;
    const sessions = `/apps/${rtcApp.uid}/sessions`;
    for (const path of [
      `${credentials}/generate`,
      `${credentials}/generate-ice-servers`,
      `${sessions}/new`,
      `${sessions}/${NAME}/tracks/new`,
    ]) {
      // Neither opens what is the other's.
      const wrong = path.startsWith("/apps") ? turnKey.key : rtcApp.secret;
      for (const headers of [{}, bearer(garbage.value), bearer(root), bearer(wrong)]) {
        const answer = await platform.fetch(`${platform.host("rtc")}${path}`, {
          method: "POST",
          headers,
          body: JSON.stringify({ ttl: 60 }),
        });
        const { errorCode } = (await answer.json()) as { errorCode: string };
        assert.deepEqual([answer.status, errorCode], [401, "unauthorized"], path);
      }
    }
  },
  // A name for other ports.
  turn: () => nothingAt(platform.host("turn")),
  // Credentials of its own, which the API gives: an API token is none.
  async registry() {
    const issue = async (permissions: string[]): Promise<string> => {
      const path = `/accounts/${account}/containers/registries/registry.cloudflare.com/credentials`;
      return (await platform.rest("POST", path, { permissions, expiration_minutes: 5 })).body.result.password;
    };
    const ask = async (method: string, path: string, password?: string): Promise<[number, string | undefined]> => {
      const authorization = password && `Basic ${Buffer.from(`v1:${password}`).toString("base64")}`;
      const answer = await platform.fetch(`${platform.host("registry")}${path}`, {
        method,
        ...(authorization && { headers: { authorization } }),
      });
      return [answer.status, ((await answer.json()) as { errors: { code: string }[] }).errors?.[0]?.code];
    };
    const [pull, push] = await Promise.all([issue(["pull"]), issue(["pull", "push"])]);
    for (const password of [undefined, garbage.value, revoked.value, root, `${push.slice(0, -2)}xx`])
      for (const [method, path] of [
        ["GET", ""],
        ["GET", "_catalog"],
        ["GET", `${account}/${NAME}/manifests/latest`],
        ["POST", `${account}/${NAME}/blobs/uploads/`],
        ["DELETE", `${account}/${NAME}/manifests/latest`],
      ] as const)
        assert.deepEqual(await ask(method, path, password), [401, "UNAUTHORIZED"], `${method} ${path} with ${password}`);
    assert.deepEqual(await ask("POST", `${account}/${NAME}/blobs/uploads/`, pull), [403, "DENIED"]);
    assert.deepEqual(await ask("POST", `${"0".repeat(32)}/${NAME}/blobs/uploads/`, push), [403, "DENIED"]);
    assert.deepEqual(await ask("GET", `${account}/../${NAME}/manifests/latest`, push), [400, "NAME_INVALID"]);
  },
  // A tunnel's own token, by an upgrade alone; a token of the API is none, and one of another secret is none.
  async tunnel() {
    await nothingAt(platform.host("tunnel"), 426);
    const { id, token } = tunnel;
    const { u } = JSON.parse(Buffer.from(token, "base64").toString()) as { u: string };
    const other = Buffer.from(JSON.stringify({ a: account, t: id, s: randomBytes(32).toString("base64"), u })).toString("base64");
    const dial = async (upgrade: string, authorization?: string): Promise<number | undefined> => {
      const headers = {
        host: new URL(platform.host("tunnel")).host,
        connection: "Upgrade",
        upgrade,
        ...(authorization && { authorization }),
      };
      const request = get(platform.ready.gateway, { agent: false, headers });
      const [answer] = (await Promise.race([once(request, "response"), once(request, "upgrade")])) as [IncomingMessage];
      request.destroy();
      return answer.statusCode;
    };
    for (const value of [undefined, "", garbage.value, revoked.value, root, other, `${token.slice(0, -8)}AAAAAA==`, "e30=", "bnVsbA=="])
      assert.equal(await dial("freehold-tunnel", value === undefined ? undefined : `Bearer ${value}`), 401, value);
    assert.equal(await dial("freehold-tunnel", `Basic ${token}`), 401);
    // Not by another protocol, and that one's not at other hosts.
    assert.equal(await dial("websocket", `Bearer ${token}`), 404);
    assert.equal(await dial("h2c", `Bearer ${token}`), 426);
  },
  // A live tail's id is its secret.
  async tail() {
    const socket = platform.webSocket(platform.host("tail", { id: "0".repeat(32) }).replace(/^http/, "ws"), ["trace-v1"]);
    const [, answer] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(answer.statusCode, 404);
    answer.destroy();
  },
};

async function nothingAt(url: string, status = 404): Promise<void> {
  for (const headers of [{}, bearer(garbage.value), bearer(revoked.value)]) {
    const answer = await platform.fetch(url, { headers });
    await answer.text();
    assert.equal(answer.status, status, url);
  }
}

test("every host refuses callers without the permission in its own format", async (t) => {
  assert.deepEqual(Object.keys(HOSTS).sort(), Object.keys(platform.ready.hosts).sort(), "add the new host's probes to this file");
  const beforehand = await surface.state();
  for (const [name, probe] of Object.entries(HOSTS)) await t.test(name, probe);
  assert.deepEqual(await surface.state(), beforehand);
});

async function groupIds(): Promise<Map<string, string>> {
  const all = (await platform.rest("GET", `/accounts/${account}/tokens/permission_groups`)).body.result as { id: string; name: string }[];
  return new Map(all.map(({ id, name }) => [name, id]));
}
