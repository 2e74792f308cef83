/**
 * Goal: bytes on the gateway's port that are no honest HTTP hurt nobody but their sender: nothing is smuggled past the
 * gateway, nobody else waits, nothing is logged as an error of ours.
 * Method: raw sockets against the REST API and against a Worker that tells what reached it. Each test ends by asking both
 * as an honest client.
 *
 * Elsewhere: forged client headers and slow or large bodies to Workers (test/clients/wrangler/workers-http.test.ts), forged
 * capabilities (test/clients/workers/capabilities.test.ts), the proxy of `exec` (src/kernel/gateway/exec-proxy.test.ts).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../harness/platform.ts";
import { answerOn, rawHttp, rawSocket } from "../harness/raw-http.ts";
import { deployWorker } from "../harness/worker-project.ts";

const HEAD_TIMEOUT_MS = 1000;
const BODY_IDLE_TIMEOUT_MS = 1000;

const platform = await startPlatform(
  { after },
  {
    config: { "gateway.header_timeout_ms": HEAD_TIMEOUT_MS, "gateway.body_idle_timeout_ms": BODY_IDLE_TIMEOUT_MS },
  },
);
const { account_id: account, api_token: root } = platform.ready;
const auth = `Authorization: Bearer ${root}\r\n`;
let worker: string;
/** Host headers that lead to the API and to the Worker. */
let hosts: { readonly api: string; readonly worker: string };

before(async () => {
  const files = { "index.js": readFileSync(join(import.meta.dirname, "fixtures", "witness", "index.js"), "utf8") };
  worker = (await deployWorker(platform, { files, config: { name: "witness" } })).url;
  hosts = { api: new URL(platform.ready.gateway).host, worker: new URL(worker).host };
});

/** Others are served as if nothing had happened; and what a Worker saw holds no path that only a smuggler sends. */
async function honestClientsAreServed(): Promise<void> {
  const api = await platform.rest("GET", "/user/tokens/verify");
  assert.deepEqual([api.status, api.body.result.status], [200, "active"]);
  const seen = (await (await platform.fetch(`${worker}/seen`)).json()) as string[];
  assert.deepEqual(
    seen.filter((path) => /smuggled/.test(path)),
    [],
  );
}

test("requests whose framing can be read in two ways are refused, and nothing behind them is served", async (t) => {
  let attempts = 0;
  const behind = (host: string) => `GET /smuggled-${attempts} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const length = (host: string) => Buffer.byteLength(behind(host));
  const framings: Record<string, (host: string) => string> = {
    "length and chunks": (host) => `Content-Length: ${length(host) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "chunks and length": (host) => `Transfer-Encoding: chunked\r\nContent-Length: ${length(host) + 5}\r\n\r\n0\r\n\r\n`,
    "two lengths": (host) => `Content-Length: 0\r\nContent-Length: ${length(host)}\r\n\r\n`,
    "a list of lengths": () => "Content-Length: 0, 0\r\n\r\n",
    "a signed length": () => "Content-Length: +0\r\n\r\n",
    "a negative length": () => "Content-Length: -1\r\n\r\n",
    "a length in hex": () => "Content-Length: 0x10\r\n\r\n",
    "a length with a space in it": () => "Content-Length: 1 0\r\n\r\n",
    "an endless length": () => `Content-Length: ${"9".repeat(30)}\r\n\r\n`,
    "chunked that is not last": () => "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked and identity in two lines": () => "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": () => "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding with a control character": () => "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded line": () => "X-Folded: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded coding": () => "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": () => "Content-Length : 0\r\n\r\n",
    "a name with a space": () => "Content Length: 0\r\n\r\n",
    "a line without a colon": () => "Content-Length\r\n\r\n",
    "an empty name": () => ": 0\r\n\r\n",
    "a bare line feed": () => "X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare carriage return": () => "X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a NUL": () => "X-A: b\0\r\n\r\n",
    "two hosts": (host) => `Host: ${host}\r\n\r\n`,
  };
  const bodies: Record<string, () => string> = {
    "a chunk size that overflows": () => "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff0\r\n\r\n",
    "a negative chunk size": () => "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk size with a prefix": () => "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "chunks that end in line feeds": () => "Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk that is longer than it says": () => "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
  };
  for (const host of Object.values(hosts)) {
    for (const [what, framing] of Object.entries(framings)) {
      attempts++;
      const answer = await rawHttp(t, platform, `POST /framing HTTP/1.1\r\nHost: ${host}\r\n${framing(host)}${behind(host)}`);
      assert.deepEqual([answer.statuses, answer.closed], [[400], true], `${what} to ${host}: ${answer.text.slice(0, 300)}`);
    }
    // By then the request may be answered, if whoever answers it did not want its body.
    for (const [what, framing] of Object.entries(bodies)) {
      attempts++;
      const answer = await rawHttp(t, platform, `POST /framing HTTP/1.1\r\nHost: ${host}\r\n${framing()}${behind(host)}`);
      const refused = answer.closed && answer.statuses.every((status) => status === 400 || status === 404);
      assert.ok(refused, `${what} to ${host}: ${answer.text.slice(0, 300)}`);
    }
  }
  await honestClientsAreServed();
});

test("a request line that is no HTTP/1.1 is refused", async (t) => {
  const lines = [
    "GET /\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "\0".repeat(1000),
    "\r\n".repeat(1000),
  ];
  for (const line of lines) {
    const answer = await rawHttp(t, platform, line);
    const refused = answer.closed && answer.statuses.length <= 1 && answer.statuses.every((status) => status >= 400 && status < 500);
    assert.ok(refused, `${JSON.stringify(line.slice(0, 40))}: ${JSON.stringify(answer)}`);
  }
  // CONNECT is for the proxy of `exec` alone, which has a port of its own.
  assert.deepEqual((await rawHttp(t, platform, `CONNECT ${hosts.api} HTTP/1.1\r\nHost: ${hosts.api}\r\n\r\n`)).statuses, []);
  await honestClientsAreServed();
});

test("the target's authority counts, not Host, and a Worker sees one of both", async (t) => {
  const api = await rawHttp(
    t,
    platform,
    `GET http://${hosts.api}/client/v4/user HTTP/1.1\r\nHost: nowhere\r\n${auth}Connection: close\r\n\r\n`,
  );
  assert.deepEqual(api.statuses, [200]);
  const lines = `GET http://${hosts.worker}/path?q=1 HTTP/1.1\r\nHost: admin.internal\r\nConnection: close\r\n\r\n`;
  const answer = await rawHttp(t, platform, lines);
  assert.deepEqual(answer.statuses, [200]);
  const seen = JSON.parse(/\{.*\}/.exec(answer.text)?.[0] ?? "") as { url: string; headers: { host: string } };
  assert.deepEqual([seen.url, seen.headers.host], [`http://${hosts.worker}/path?q=1`, hosts.worker]);
});

test("absurd hosts lead nowhere", async (t) => {
  const names = [
    "",
    ".",
    "..",
    "..r2.freehold.localhost",
    `${"a.".repeat(5000)}freehold.localhost`,
    `${"a".repeat(5000)}.${account}.r2.freehold.localhost`,
    `../../x.${account}.r2.freehold.localhost`,
    "%2e%2e.ingest.freehold.localhost",
    "__proto__.ingest.freehold.localhost",
    "constructor.freehold.localhost",
    "witness.freehold.localhost",
    `${hosts.worker.split(":")[0]}.`,
    `${hosts.worker.split(":")[0]}.evil.example`,
    `x@${hosts.worker}`,
    `${hosts.worker}:80`,
    "[::1",
    "127.0.0.1:99999",
    "\xff\xfe",
    "freehold.localhost/client/v4/user",
    "a b",
    "a,b",
  ];
  for (const name of names) {
    const answer = await rawHttp(t, platform, `GET /path HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
    assert.equal(answer.statuses.length, 1, `${name}: ${answer.text}`);
    assert.ok([400, 401, 403, 404].includes(answer.statuses[0] as number), `${name.slice(0, 60)}: ${answer.text.slice(0, 200)}`);
    assert.doesNotMatch(answer.text, /"url"/, `${name} reached the Worker`);
  }
  await honestClientsAreServed();
});

test("heads may have 128 KiB, more is 431", async (t) => {
  const filler = (bytes: number) =>
    Array.from({ length: bytes / 1000 }, (_, i) => `X-${String(i).padStart(3, "0")}: ${"a".repeat(991)}\r\n`).join("");
  const heads = (target: string, host: string, bytes: number) =>
    `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${auth}${filler(bytes)}Connection: close\r\n\r\n`;
  assert.deepEqual((await rawHttp(t, platform, heads("/client/v4/user", hosts.api, 100_000))).statuses, [200]);
  const echoed = await rawHttp(t, platform, heads("/large", hosts.worker, 100_000));
  assert.deepEqual(echoed.statuses, [200]);
  assert.match(echoed.text, /"x-099":"a{991}"/);
  for (const host of Object.values(hosts)) {
    assert.deepEqual((await rawHttp(t, platform, heads("/client/v4/user", host, 200_000))).statuses, [431]);
    const many = `GET / HTTP/1.1\r\nHost: ${host}\r\n${"A: b\r\n".repeat(15_000)}\r\n`;
    assert.deepEqual((await rawHttp(t, platform, many)).statuses, [431]);
    const path = `GET /${"a".repeat(200_000)} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    assert.deepEqual((await rawHttp(t, platform, path)).statuses, [431]);
  }
  await honestClientsAreServed();
});

test("tricks with the path reach no operation without its token, and none that the path does not name", async (t) => {
  const paths = [
    "//client/v4/user",
    "/client//v4/user",
    "/client/v4//user",
    "/client/v4/./user",
    "/client/v4/x/../user",
    "/client/v4/x/%2e%2e/user",
    "/client/v4/%2e%2e/%2e%2e/client/v4/user",
    "/client/v4/..%2fuser",
    "/client/v4\\user",
    "/CLIENT/V4/user",
    "/client/v4/user%00",
    "/client/v4/user/",
    "/client/v4/user;a=b",
    "/client%2fv4/user",
    "/client/v4/user?/../..",
    `/client/v4/accounts/${account}%2f..%2f..%2fuser`,
    `/client/v4/accounts/../accounts/${account}`,
  ];
  for (const path of paths) {
    const request = (headers: string) => `GET ${path} HTTP/1.1\r\nHost: ${hosts.api}\r\n${headers}Connection: close\r\n\r\n`;
    const [stranger] = (await rawHttp(t, platform, request(""))).statuses;
    assert.ok([400, 401, 403, 404].includes(stranger as number), `${path} without a token: ${stranger}`);
    const [owner] = (await rawHttp(t, platform, request(auth))).statuses;
    // Dots are resolved as every URL parser does it; what they lead to then needs its token, as shown above.
    assert.ok([200, 400, 403, 404].includes(owner as number), `${path} with a token: ${owner}`);
  }
  // On a Worker's host the API has no paths: what the Worker does with its own is its affair.
  const own = await platform.fetch(`${worker}/client/v4/user`);
  assert.match(((await own.json()) as { url: string }).url, /\/client\/v4\/user$/);
  await honestClientsAreServed();
});

test("an upgrade to anything but WebSocket is ignored, and one to WebSocket leads only where one is served", async (t) => {
  const upgrade = (target: string, host: string, to: string) =>
    `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${auth}Connection: Upgrade, close\r\nUpgrade: ${to}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  for (const to of ["h2c", "TLS/1.0", "websocket2", ""]) {
    const answer = await rawHttp(t, platform, upgrade("/client/v4/user", hosts.api, to));
    assert.deepEqual([answer.statuses, answer.closed], [[200], true], `${to}: ${answer.text.slice(0, 200)}`);
  }
  for (const host of [hosts.api, "nowhere.freehold.localhost", hosts.worker.replace("witness", "nobody")]) {
    const answer = await rawHttp(t, platform, upgrade("/client/v4/user", host, "websocket"));
    assert.deepEqual([answer.statuses, answer.closed], [[404], true], `${host}: ${answer.text.slice(0, 200)}`);
  }
  await honestClientsAreServed();
});

test("hundreds of connections that never finish their head keep nobody waiting, and are ended", async (t) => {
  const heads = [
    "",
    "G",
    "GET / HTTP/1.1\r\n",
    `GET / HTTP/1.1\r\nHost: ${hosts.worker}\r\n`,
    `POST / HTTP/1.1\r\nHost: ${hosts.api}\r\nX-A: `,
  ];
  const sockets = await Promise.all(
    Array.from({ length: 300 }, async (_, i) => {
      const socket = await rawSocket(t, platform);
      socket.write(heads[i % heads.length] as string);
      return socket;
    }),
  );
  const startedAt = performance.now();
  await honestClientsAreServed();
  assert.ok(performance.now() - startedAt < 5000, "an honest client waited for the others");
  for (const [i, answer] of (await Promise.all(sockets.map((socket) => answerOn(socket)))).entries()) {
    assert.ok(answer.closed, `${JSON.stringify(heads[i % heads.length])} was left open`);
    assert.ok(answer.statuses.length === 0 || answer.statuses[0] === 408, answer.text);
  }
});

test("a client that closes its half of the connection, or all of it, in the middle leaves nothing behind", async (t) => {
  const pieces = [
    `POST /client/v4/accounts/${account}/storage/kv/namespaces HTTP/1.1\r\nHost: ${hosts.api}\r\n${auth}Content-Length: 100\r\n\r\n{"title":`,
    `POST /half HTTP/1.1\r\nHost: ${hosts.worker}\r\nContent-Length: 100\r\n\r\nabc`,
    `POST /half HTTP/1.1\r\nHost: ${hosts.worker}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab`,
    `GET /half HTTP/1.1\r\nHost: ${hosts.worker}\r\n`,
    `GET /half HTTP/1.1\r\nHost: ${hosts.worker}\r\n\r\n`,
  ];
  for (const piece of pieces) {
    for (const how of ["end", "destroy", "resetAndDestroy"] as const) {
      for (let i = 0; i < 10; i++) {
        const socket = await rawSocket(t, platform);
        socket.write(piece);
        socket[how]();
        assert.ok((await answerOn(socket)).closed, `${how} after ${piece.slice(0, 40)}`);
      }
    }
  }
  const { body } = await platform.rest("GET", `/accounts/${account}/storage/kv/namespaces`);
  assert.deepEqual(body.result, []);
  await honestClientsAreServed();
});

test("a body that stands still is answered 408 on every surface, and changes nothing", async (t) => {
  const created = async (path: string, body: unknown): Promise<Record<string, string>> => {
    const answer = await platform.rest("POST", `/accounts/${account}${path}`, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.result;
  };
  const { id: namespace } = await created("/storage/kv/namespaces", { title: "slow" });
  const { uuid: database } = await created("/d1/database", { name: "slow" });
  await created("/r2/buckets", { name: "slow" });
  await created("/r2-catalog/slow/enable", undefined);
  const http = { enabled: true, authentication: true, cors: { origins: [] } };
  const { id: stream } = await created("/pipelines/v1/streams", {
    name: "slow",
    format: { type: "json" },
    http,
    worker_binding: { enabled: true },
  });
  const api = `/client/v4/accounts/${account}`;
  const at = (name: string, params: Record<string, string> = {}): [string, string] => {
    const url = new URL(platform.host(name, params));
    return [url.host, url.pathname.replace(/\/$/, "")];
  };
  const [catalogHost, catalogPath] = at("catalog", { bucket: "slow" });
  const [sqlHost, sqlPath] = at("sql");
  const config = await platform.fetch(`http://${catalogHost}${catalogPath}/v1/config?warehouse=${account}_slow`, {
    headers: { authorization: `Bearer ${root}` },
  });
  const { prefix } = ((await config.json()) as { overrides: { prefix: string } }).overrides;
  const surfaces: [string, string, string, string][] = [
    ["KV value", "PUT", hosts.api, `${api}/storage/kv/namespaces/${namespace}/values/slow`],
    ["KV bulk", "PUT", hosts.api, `${api}/storage/kv/namespaces/${namespace}/bulk`],
    ["REST JSON", "POST", hosts.api, `${api}/storage/kv/namespaces`],
    ["R2 object", "PUT", hosts.api, `${api}/r2/buckets/slow/objects/slow`],
    ["D1 query", "POST", hosts.api, `${api}/d1/database/${database}/query`],
    ["pipeline SQL", "POST", hosts.api, `${api}/pipelines/v1/validate_sql`],
    ["Worker upload", "PUT", hosts.api, `${api}/workers/scripts/slow`],
    ["GraphQL", "POST", hosts.api, "/client/v4/graphql"],
    ["ingest", "POST", at("ingest", { stream: stream as string })[0], "/"],
    ["catalog", "POST", catalogHost, `${catalogPath}/v1/${prefix}/namespaces`],
    ["R2 SQL", "POST", sqlHost, `${sqlPath}/r2-sql/query/slow`],
    ["Worker", "POST", hosts.worker, "/slow"],
  ];
  const answers = surfaces.map(async ([what, method, host, path]) => {
    const type = what === "Worker upload" ? "multipart/form-data; boundary=x" : "application/json";
    const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${auth}Content-Type: ${type}\r\nContent-Length: 1000\r\n\r\n`;
    return { what, answer: await rawHttp(t, platform, `${head}${what === "Worker upload" ? "--x\r\n" : "["}`) };
  });
  for (const { what, answer } of await Promise.all(answers)) {
    assert.deepEqual([answer.statuses, answer.closed], [[408], true], `${what}: ${answer.text.slice(0, 300)}`);
  }
  assert.deepEqual((await platform.rest("GET", `/accounts/${account}/storage/kv/namespaces/${namespace}/keys`)).body.result, []);
  assert.deepEqual((await platform.rest("GET", `/accounts/${account}/r2/buckets/slow/objects`)).body.result, []);
  assert.equal((await platform.rest("GET", `/accounts/${account}/workers/services/slow`)).status, 404);
  await honestClientsAreServed();
});

test("clients that ask for much and never read hold up nobody", async (t) => {
  await platform.rest("POST", `/accounts/${account}/r2/buckets`, { name: "unread" });
  await platform.s3().send(new PutObjectCommand({ Bucket: "unread", Key: "large", Body: Buffer.alloc(20_000_000) }));
  const target = `/client/v4/accounts/${account}/r2/buckets/unread/objects/large`;
  for (let i = 0; i < 50; i++) {
    const socket = await rawSocket(t, platform);
    socket.pause();
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${hosts.api}\r\n${auth}\r\n`);
  }
  const startedAt = performance.now();
  await honestClientsAreServed();
  assert.ok(performance.now() - startedAt < 5000, "an honest client waited for the others");
});

test("pipelined requests are answered in order", async (t) => {
  const count = 200;
  const one = (host: string, i: number, close: boolean) =>
    `POST /pipelined-${i} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\nConnection: ${close ? "close" : "keep-alive"}\r\n\r\nx`;
  const requests = Array.from({ length: count }, (_, i) => one(i % 2 === 0 ? hosts.worker : hosts.api, i, i === count - 1)).join("");
  const answer = await rawHttp(t, platform, requests);
  assert.deepEqual(
    answer.statuses,
    Array.from({ length: count }, (_, i) => (i % 2 === 0 ? 200 : 404)),
  );
  const order = [...answer.text.matchAll(/\/pipelined-(\d+)"/g)].map((match) => Number(match[1]));
  assert.deepEqual(
    order,
    Array.from({ length: count / 2 }, (_, i) => 2 * i),
  );
});
