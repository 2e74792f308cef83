/** The proxy with real clients: curl, Node's https, undici's ProxyAgent, ws, and Python's requests where it is installed. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { ProxyAgent, request as undiciRequest } from "undici";
import { WebSocket, WebSocketServer } from "ws";
import { openLog } from "../log.ts";
import { type ExecProxy, startExecProxy } from "./exec-proxy.ts";
import { openCertificateAuthority } from "./tls.ts";

const run = promisify(execFile);
const has = (command: string): boolean => spawnSync(command, ["--version"]).status === 0;
const DEADLINE_MS = 10_000;

interface Fixture {
  readonly proxy: ExecProxy;
  readonly caFile: string;
  readonly ca: string;
  curl(...args: string[]): Promise<string>;
}

/** A proxy whose platform echoes what reached it, for every name under platform.test and api.cloudflare.com. */
async function fixture(t: TestContext, handler: (request: IncomingMessage, response: ServerResponse) => void = echo): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), "freehold-proxy-"));
  const handles = (host: string): boolean => /\.platform\.test$|^api\.cloudflare\.com$|^localhost$/.test(host);
  const ca = await openCertificateAuthority({ directory, clock: { now: () => Date.now() }, allows: handles });
  const sockets = new WebSocketServer({ noServer: true });
  const proxy = await startExecProxy({
    ca,
    handles,
    log: openLog({ level: "error" }),
    request: handler,
    upgrade: (request, socket, head) =>
      sockets.handleUpgrade(request, socket, head, (ws) => {
        ws.on("message", (message, binary) =>
          ws.send(binary ? message : `${request.headers["x-forwarded-proto"]} ${request.url} ${message}`),
        );
      }),
  });
  t.after(async () => {
    await proxy.close(0);
    await rm(directory, { recursive: true, force: true });
  });
  return {
    proxy,
    caFile: ca.file,
    ca: ca.certificate,
    curl: async (...args) => (await run("curl", ["-sS", "--max-time", "10", "-x", proxy.url, "--cacert", ca.file, ...args])).stdout,
  };
}

function echo(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash("sha256");
  request.on("data", (chunk: Buffer) => hash.update(chunk));
  request.on("end", () =>
    response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, sha256: hash.digest("hex") })),
  );
}

/** A server that is not the platform's. */
async function foreign(t: TestContext, handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = http.createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function listening(t: TestContext, onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, onSocket);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Sends raw bytes and collects the answer until the connection ends. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error("no answer in time")));
  socket.write(text);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  socket.end();
  return Buffer.concat(chunks).toString("latin1");
}

test("curl reaches a platform name over https, with its own Host and the public scheme", { skip: !has("curl") && "no curl" }, async (t) => {
  const { curl } = await fixture(t);
  const seen = JSON.parse(await curl("https://api.cloudflare.com/client/v4/user?x=1", "-H", "X-Forwarded-Proto: gopher", "-d", "body"));
  assert.equal(seen.method, "POST");
  assert.equal(seen.url, "/client/v4/user?x=1");
  assert.equal(seen.headers.host, "api.cloudflare.com");
  assert.equal(seen.headers["x-forwarded-proto"], "https");
  assert.equal(seen.sha256, createHash("sha256").update("body").digest("hex"));
});

test("curl reaches a platform name over plain http, as absolute form and as tunnel", { skip: !has("curl") && "no curl" }, async (t) => {
  const { curl } = await fixture(t);
  for (const mode of [[], ["--proxytunnel"]]) {
    const seen = JSON.parse(await curl(...mode, "http://W.platform.test:8787/a%20b?c=%2F"));
    assert.equal(seen.url, "/a%20b?c=%2F");
    assert.equal(seen.headers.host, "W.platform.test:8787");
    assert.equal(seen.headers["x-forwarded-proto"], "http");
    assert.equal(seen.headers["proxy-connection"], undefined);
  }
});

test("undici's ProxyAgent sends a body of 20 MB through TLS unharmed, on one kept connection", async (t) => {
  const { proxy, ca } = await fixture(t);
  const dispatcher = new ProxyAgent({ uri: proxy.url, requestTls: { ca } });
  t.after(() => dispatcher.close());
  for (let i = 0; i < 3; i++) {
    const body = randomBytes(20 * 1024 * 1024);
    const answer = await undiciRequest("https://x.platform.test/put", { method: "PUT", body, dispatcher });
    const seen = (await answer.body.json()) as { sha256: string };
    assert.equal(seen.sha256, createHash("sha256").update(body).digest("hex"));
  }
});

test("Node's own fetch uses the proxy from the environment", async (t) => {
  const { proxy, caFile } = await fixture(t);
  const { stdout } = await run(
    process.execPath,
    ["-e", `fetch("https://a.platform.test/f").then((r) => r.json()).then((j) => console.log(j.headers.host))`],
    { env: { ...process.env, NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: caFile, NO_PROXY: "", no_proxy: "" } },
  );
  assert.equal(stdout.trim(), "a.platform.test");
});

test("Python's requests trusts the CA", {
  skip: spawnSync("python3", ["-c", "import requests"]).status !== 0 && "no requests module",
}, async (t) => {
  const { proxy, caFile } = await fixture(t);
  const { stdout } = await run("python3", ["-c", `import requests; print(requests.get("https://a.platform.test/p").json()["url"])`], {
    env: { ...process.env, HTTPS_PROXY: proxy.url, https_proxy: proxy.url, REQUESTS_CA_BUNDLE: caFile, NO_PROXY: "", no_proxy: "" },
  });
  assert.equal(stdout.trim(), "/p");
});

test("a WebSocket through the proxy echoes text and binary, over TLS and without", async (t) => {
  const { proxy, ca } = await fixture(t);
  for (const [scheme, proto] of [
    ["wss", "https"],
    ["ws", "http"],
  ] as const) {
    // The client of a CONNECT proxy: ws over a tunnel that we open by hand.
    const tunnel = http.request({ port: proxy.port, host: "127.0.0.1", method: "CONNECT", path: "s.platform.test:443" }).end();
    const [, socket] = (await once(tunnel, "connect")) as [IncomingMessage, Socket];
    const { connect: tlsConnect } = await import("node:tls");
    const ws = new WebSocket(`${scheme}://s.platform.test/chat`, {
      createConnection: () => (scheme === "wss" ? tlsConnect({ socket, servername: "s.platform.test", ca }) : socket) as Socket,
    });
    await once(ws, "open", { signal: AbortSignal.timeout(DEADLINE_MS) });
    ws.send("hello");
    const [text] = await once(ws, "message");
    assert.equal(String(text), `${proto} /chat hello`);
    const bytes = randomBytes(300_000);
    ws.send(bytes);
    const [binary] = (await once(ws, "message")) as [Buffer];
    assert.ok(binary.equals(bytes));
    ws.close();
    await once(ws, "close");
  }
});

test("a tunnel to a foreign host carries bytes untouched, both ways, and half-closes", async (t) => {
  const { proxy } = await fixture(t);
  const payload = randomBytes(5_000_000);
  // Answers only when the client has ended its side: the half-close must pass through the tunnel.
  const port = await listening(t, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => socket.end(Buffer.concat(chunks)));
  });
  const request = http.request({ port: proxy.port, host: "127.0.0.1", method: "CONNECT", path: `127.0.0.1:${port}` }).end();
  const [answer, socket] = (await once(request, "connect")) as [IncomingMessage, Socket];
  assert.equal(answer.statusCode, 200);
  socket.end(payload);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  assert.ok(Buffer.concat(chunks).equals(payload));
});

test("an absolute request to a foreign host is forwarded without hop-by-hop headers", async (t) => {
  const { proxy } = await fixture(t);
  const host = await foreign(t, (request, response) => {
    const seen = JSON.stringify({ url: request.url, raw: request.rawHeaders });
    response.writeHead(201, "Made", ["X-Two", "1", "X-Two", "2", "Connection", "x-drop", "X-Drop", "1", "Keep-Alive", "timeout=1"]);
    response.end(seen);
  });
  const answer = await raw(
    proxy.port,
    `GET http://${host}/p?q HTTP/1.1\r\nHost: other\r\nX-A: 1\r\nX-A: 2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: Basic x\r\nTE: trailers\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1.1 201 Made\r\n/);
  assert.match(answer, /X-Two: 1\r\nX-Two: 2\r\n/);
  assert.doesNotMatch(answer, /X-Drop|Keep-Alive/);
  const body = answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1);
  const seen = JSON.parse(body) as { url: string; raw: string[] };
  assert.equal(seen.url, "/p?q");
  assert.deepEqual(
    seen.raw.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()),
    ["host", "x-a", "x-a", "connection"],
  );
  assert.equal(seen.raw[1], host);
});

test("localhost is passed on even where the gateway serves that name: the port says whose it is", async (t) => {
  const { proxy } = await fixture(t, (_request, response) => response.end("platform"));
  const host = await foreign(t, (_request, response) => response.end("foreign"));
  const answer = await raw(proxy.port, `GET http://localhost:${host.split(":")[1]}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  assert.match(answer, /foreign$/m);
});

test("a chunked upload to a foreign host arrives whole", { skip: !has("curl") && "no curl" }, async (t) => {
  const { curl } = await fixture(t);
  const host = await foreign(t, echo);
  const body = "x".repeat(100_000);
  const seen = JSON.parse(
    await curl("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", "--data-binary", body, `http://${host}/up`),
  );
  assert.equal(seen.sha256, createHash("sha256").update(body).digest("hex"));
});

test("a foreign WebSocket upgrade in absolute form passes through", async (t) => {
  const { proxy } = await fixture(t);
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => server.close());
  server.on("connection", (ws) => ws.on("message", (message) => ws.send(`echo ${message}`)));
  const { port } = server.address() as AddressInfo;
  const request = http
    .request({
      port: proxy.port,
      host: "127.0.0.1",
      path: `http://127.0.0.1:${port}/`,
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
      },
    })
    .end();
  const [answer, socket] = (await once(request, "upgrade", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [IncomingMessage, Socket];
  assert.equal(answer.statusCode, 101);
  socket.destroy();
});

test("what cannot be reached is a 502 that names it; nonsense is a 400", async (t) => {
  const { proxy } = await fixture(t);
  const free = await listening(t, () => undefined);
  const closedPort = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
  assert.notEqual(free, closedPort);
  assert.match(
    await raw(proxy.port, `CONNECT 127.0.0.1:${closedPort} HTTP/1.1\r\n\r\n`),
    /^HTTP\/1.1 502 [\s\S]*cannot reach 127.0.0.1:\d+: connect ECONNREFUSED/,
  );
  assert.match(
    await raw(proxy.port, `GET http://127.0.0.1:${closedPort}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1.1 502 /,
  );
  assert.match(await raw(proxy.port, "CONNECT host-without-port HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 400 /);
  assert.match(await raw(proxy.port, "CONNECT evil@host:443 HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 400 /);
  assert.match(await raw(proxy.port, "CONNECT host:99999 HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 400 /);
  assert.match(await raw(proxy.port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), /^HTTP\/1.1 400 [\s\S]*freehold exec/);
});

test("a name that only looks like ours is not answered by the platform", async (t) => {
  const { proxy, ca } = await fixture(t);
  const dispatcher = new ProxyAgent({ uri: proxy.url, requestTls: { ca } });
  t.after(() => dispatcher.close());
  // The resolver knows no .test names, so a tunnel to it fails; the platform would have answered 200.
  for (const host of ["api.cloudflare.com.evil.test", "platform.test.evil.test"])
    await assert.rejects(undiciRequest(`https://${host}/`, { dispatcher }), /Proxy response \(502\)/);
  // A tunnel to our name does not let TLS in for another one.
  const tunnel = http.request({ port: proxy.port, host: "127.0.0.1", method: "CONNECT", path: "a.platform.test:443" }).end();
  const [, socket] = (await once(tunnel, "connect")) as [IncomingMessage, Socket];
  const { connect: tlsConnect } = await import("node:tls");
  const secure = tlsConnect({ socket, servername: "bank.test", rejectUnauthorized: false });
  const [error] = (await once(secure, "error", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [Error];
  assert.match(error.message, /alert|ECONNRESET|disconnected/);
});

test("it listens on the loopback interface only, and takes a free port when the wanted one is taken", async (t) => {
  const { proxy } = await fixture(t);
  const directory = await mkdtemp(join(tmpdir(), "freehold-proxy-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const ca = await openCertificateAuthority({ directory, clock: { now: () => Date.now() }, allows: () => false });
  const second = await startExecProxy({
    ca,
    handles: () => false,
    log: openLog({ level: "error" }),
    request: () => undefined,
    upgrade: () => undefined,
    port: proxy.port,
  });
  t.after(() => second.close(0));
  assert.notEqual(second.port, proxy.port);
  assert.match(second.url, /^http:\/\/127\.0\.0\.1:\d+$/);
});

test("close lets a request finish and ends tunnels when its time is up", async (t) => {
  let answer: (() => void) | undefined;
  const started = Promise.withResolvers<void>();
  const { proxy } = await fixture(t, (_request, response) => {
    answer = () => response.end("late");
    started.resolve();
  });
  const port = await listening(t, () => undefined);
  const tunnel = http.request({ port: proxy.port, host: "127.0.0.1", method: "CONNECT", path: `127.0.0.1:${port}` }).end();
  const [, socket] = (await once(tunnel, "connect")) as [IncomingMessage, Socket];
  const gone = once(socket.resume(), "close");
  socket.on("error", () => undefined);
  const pending = raw(proxy.port, "GET http://a.platform.test/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await started.promise;
  const closed = proxy.close(500);
  answer?.();
  assert.match(await pending, /late/);
  await Promise.all([closed, gone]);
  await proxy.close(0);
});
