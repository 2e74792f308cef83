import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { z } from "zod";
import { resolveConfig } from "../config.ts";
import { defineErrors, platformError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Route } from "../product.ts";
import { numberedPage } from "./envelope.ts";
import { createApi } from "./router.ts";
import type { Principal } from "./tokens.ts";

const ACCOUNT = "0123456789abcdef0123456789abcdef";
const failing = defineErrors("x", { taken: { status: 409, apiCode: 1234, message: "Taken" } });

const routes: Route[] = [
  {
    op: "x.get",
    method: "GET",
    path: "/accounts/:account/x/:key{.+}",
    permission: ["X Read"],
    handle: async ({ params }) => ({ key: params.key }),
  },
  { op: "x.list", method: "GET", path: "/x", permission: [], handle: async ({ query }) => numberedPage(["a", "b", "c"], query) },
  { op: "x.create", method: "POST", path: "/x", permission: [], handle: async (c) => c.json(z.object({ name: z.string() }), 100) },
  {
    op: "x.change",
    method: "PATCH",
    path: "/x",
    permission: [],
    async handle({ audit, query }) {
      audit({ info: "ChangeX", type: "update", resource: { type: "x", id: "1" } });
      if (query.has("fail")) throw failing("taken");
      return null;
    },
  },
  { op: "x.taken", method: "PUT", path: "/x", permission: [], handle: async () => Promise.reject(failing("taken")) },
  { op: "x.bug", method: "DELETE", path: "/x", permission: [], handle: async () => Promise.reject(new Error("secret detail")) },
];

function recordingLog(): { log: Log; lines: { event: string; fields: Readonly<Record<string, unknown>> }[] } {
  const lines: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const write = (event: string, fields: Readonly<Record<string, unknown>> = {}) => void lines.push({ event, fields });
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log, scope: () => log };
  return { log, lines };
}

function open(_t: TestContext) {
  const { log, lines } = recordingLog();
  const principal = (groups: string[]): Principal => ({
    tokenId: "t",
    tokenName: "t",
    policies: [],
    can: (group) => groups.includes(group),
  });
  const recorded: unknown[] = [];
  const api = createApi({
    routes,
    accountId: ACCOUNT,
    audit: {
      record: async ({ principal, ip }, changes) =>
        void recorded.push(...changes.map((change) => ({ ...change, by: principal.tokenId, ip }))),
      find: async () => ({ rows: [], total: 0 }),
    },
    config: resolveConfig({ "gateway.body_idle_timeout_ms": 50 }, "test"),
    log,
    auth: {
      async bearer({ authorization }) {
        if (authorization === undefined) throw platformError("authentication");
        return principal(authorization === "Bearer strong" ? ["X Read"] : []);
      },
      accessKey: async () => undefined,
      s3Secret: () => "",
    },
  });
  const call = async (method: string, path: string, init: RequestInit = {}) => {
    const headers = { authorization: "Bearer strong", ...(init.headers as Record<string, string>) };
    const answer = await api.fetch(new Request(`http://api/client/v4${path}`, { method, ...init, headers }));
    return {
      status: answer.status,
      body: (await answer.json()) as {
        success: boolean;
        result: unknown;
        errors: { code: number; message: string }[];
        result_info?: unknown;
      },
    };
  };
  return { call, lines, recorded, api, strong: principal(["X Read"]) };
}

test("a handler's value comes in the envelope, and the rest of a path decoded", async (t) => {
  const { call } = open(t);
  const { status, body } = await call("GET", `/accounts/${ACCOUNT}/x/a%2Fb%2520c/d`);
  assert.equal(status, 200);
  assert.deepEqual(body, { result: { key: "a/b%20c/d" }, success: true, errors: [], messages: [] });
});

test("no token, another account and a missing permission are refused before the handler", async (t) => {
  const { call, api } = open(t);
  assert.equal((await api.fetch(new Request(`http://api/client/v4/accounts/${ACCOUNT}/x/a`))).status, 401);
  assert.deepEqual(
    (await call("GET", "/accounts/ffff/x/a")).body.errors.map((e) => e.code),
    [7403],
  );
  const weak = await call("GET", `/accounts/${ACCOUNT}/x/a`, { headers: { authorization: "Bearer weak" } });
  assert.deepEqual([weak.status, weak.body.errors[0]?.code], [403, 10000]);
});

test("as a principal the API answers without credentials, and only who calls it so is one", async (t) => {
  const { api, strong } = open(t);
  const request = () => new Request(`http://api/client/v4/accounts/${ACCOUNT}/x/a`);
  assert.equal((await api.fetchAs(strong, request())).status, 200);
  // HTTP servers hand a second argument to what they call.
  const careless = api.fetch as (request: Request, env: unknown) => Promise<Response>;
  assert.equal((await careless(request(), { principal: strong })).status, 401);
});

test("what a handler changed is recorded before its answer, unless it failed", async (t) => {
  const { api, call, recorded } = open(t);
  await call("PATCH", "/x?fail=yes");
  assert.deepEqual(recorded, []);
  await api.fetch(new Request("http://api/client/v4/x", { method: "PATCH", headers: { authorization: "Bearer strong" } }), "10.0.0.1");
  assert.deepEqual(recorded, [{ info: "ChangeX", type: "update", resource: { type: "x", id: "1" }, by: "t", ip: "10.0.0.1" }]);
});

test("lists are paged, and a page past the end is empty", async (t) => {
  const { call } = open(t);
  const second = await call("GET", "/x?page=2&per_page=2");
  assert.deepEqual(second.body.result, ["c"]);
  assert.deepEqual(second.body.result_info, { page: 2, per_page: 2, count: 1, total_count: 3, total_pages: 2 });
  assert.deepEqual((await call("GET", "/x?page=9")).body.result, []);
});

test("bad bodies get their error: JSON, schema, size, and a client that never ends", async (t) => {
  const { call } = open(t);
  const code = async (init: RequestInit) => {
    const { status, body } = await call("POST", "/x", init);
    return [status, body.errors[0]?.code];
  };
  assert.deepEqual(await code({ body: "{" }), [400, 10026]);
  assert.deepEqual(await code({ body: '{"name":1}' }), [400, 10021]);
  assert.deepEqual(await code({ body: JSON.stringify({ name: "x".repeat(200) }) }), [413, 10413]);
  const endless = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("{")) });
  assert.deepEqual(await code({ body: endless, duplex: "half" } as RequestInit), [408, 10408]);
});

test("documented errors keep their code; a bug gives an id that is in the log, and no detail", async (t) => {
  const { call, lines } = open(t);
  assert.deepEqual((await call("PUT", "/x")).body.errors, [{ code: 1234, message: "Taken" }]);
  const bug = await call("DELETE", "/x");
  assert.equal(bug.status, 500);
  const text = bug.body.errors[0]?.message ?? "";
  assert.ok(!text.includes("secret detail"));
  const logged = lines.find((line) => line.event === "api.internal_error");
  assert.ok(text.endsWith(String(logged?.fields.id)));
});

test("an unknown route answers 404 with code 7003 and is logged once by name", async (t) => {
  const { call, lines } = open(t);
  for (let i = 0; i < 3; i++) {
    const { status, body } = await call("GET", `/accounts/${ACCOUNT}/nothing`);
    assert.deepEqual([status, body.errors[0]?.code], [404, 7003]);
  }
  assert.deepEqual(
    lines.filter((line) => line.event === "api.not_implemented").map((line) => line.fields.route),
    ["GET /client/v4/accounts/:account/nothing"],
  );
});
