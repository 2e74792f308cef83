/**
 * Forwarding between real sockets: a client, a gateway that forwards everything, and a server on a unix socket whose
 * answers are written byte by byte where the test needs it.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http, { createServer } from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type ForwardOptions, type ForwardOutcome, forward } from "./forward.ts";
import { ConnectionPool, HttpConnection, parseHead } from "./http-connection.ts";

interface Setup {
  readonly port: number;
  readonly outcomes: ForwardOutcome[];
  get(
    path: string,
    options?: http.RequestOptions,
    body?: string,
  ): Promise<{ status: number; body: string; headers: http.IncomingHttpHeaders }>;
}

async function setup(t: TestContext, serve: (socket: Socket) => void, over: Partial<ForwardOptions> = {}): Promise<Setup> {
  const directory = await mkdtemp(join(tmpdir(), "freehold-forward-"));
  const path = join(directory, "server.sock");
  const server = net.createServer(serve).listen(path);
  await once(server, "listening");
  const pool = new ConnectionPool();
  const outcomes: ForwardOutcome[] = [];
  const gateway = createServer((request, response) => {
    const options = { path, headers: `Host: ${request.headers.host}\r\n`, bodyMaxBytes: 1_000_000, bodyIdleTimeoutMs: 300, ...over };
    void forward(pool, request, response, options).then((outcome) => {
      outcomes.push(outcome);
      if (!response.headersSent && outcome !== "aborted") response.writeHead(599, { connection: "close" }).end(outcome);
    });
  }).listen(0, "127.0.0.1");
  await once(gateway, "listening");
  const { port } = gateway.address() as AddressInfo;
  t.after(async () => {
    gateway.close();
    gateway.closeAllConnections();
    pool.close();
    server.close();
    await rm(directory, { recursive: true });
  });
  const get: Setup["get"] = (target, options = {}, body) =>
    new Promise((resolve, reject) => {
      const request = http.request({ port, host: "127.0.0.1", path: target, agent: false, ...options }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode as number, body: Buffer.concat(chunks).toString(), headers: response.headers }),
        );
      });
      request.on("error", reject);
      request.end(body);
    });
  return { port, outcomes, get };
}

/** A server that answers each request head with the given bytes, in the given pieces. */
const answering =
  (...pieces: string[]) =>
  (socket: Socket): void => {
    socket.on("data", async () => {
      for (const piece of pieces) {
        socket.write(piece, "latin1");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    socket.on("error", () => undefined);
  };

test("answers are framed by length, by chunks and by the end of the connection, cut anywhere", async (t) => {
  const whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";
  const chunked = "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
  for (const cut of [1, 7, 16, 40, 50]) {
    const length = await setup(t, answering(whole.slice(0, cut), whole.slice(cut)));
    const first = await length.get("/");
    assert.deepEqual([first.status, first.body, first.headers["x-a"]], [200, "hello", "b"]);
    const chunks = await setup(t, answering(chunked.slice(0, cut), chunked.slice(cut)));
    const second = await chunks.get("/");
    assert.deepEqual([second.status, second.body], [201, "abc0123456789"]);
  }
  const open = await setup(t, (socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end")));
  assert.equal((await open.get("/")).body, "until the end");
});

test("answers without a body leave the connection usable", async (t) => {
  let connections = 0;
  const { get } = await setup(t, (socket) => {
    connections++;
    socket.on("data", (data) => {
      const status = /^\w+ \/(\d+)/.exec(String(data))?.[1];
      socket.write(status === "200" ? "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" : `HTTP/1.1 ${status} X\r\n\r\n`);
    });
    socket.on("error", () => undefined);
  });
  for (const status of [204, 304]) assert.equal((await get(`/${status}`)).status, status);
  const head = await get("/200", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers["content-length"], head.body], [200, "12", ""]);
  assert.equal(connections, 1);
});

test("a connection that the server closed between two requests is replaced", async (t) => {
  let connections = 0;
  const { get, outcomes } = await setup(t, (socket) => {
    connections++;
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      // The next request on this connection finds it closing.
      socket.once("data", () => socket.destroy());
    });
    socket.on("error", () => undefined);
  });
  assert.equal((await get("/")).body, "ok");
  assert.equal((await get("/")).body, "ok");
  assert.equal(connections, 2);
  assert.deepEqual(outcomes, ["done", "done"]);
});

test("a server that goes away: before the answer it is told, in its middle the client's connection is cut", async (t) => {
  const before = await setup(t, (socket) => socket.once("data", () => socket.destroy()));
  assert.equal((await before.get("/")).body, "broken");
  const middle = await setup(t, (socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      setTimeout(() => socket.destroy(), 20);
    });
  });
  await assert.rejects(middle.get("/"));
  const absent = await setup(t, () => undefined, { path: "/nonexistent/socket" });
  assert.equal((await absent.get("/")).body, "unreachable");
});

test("bodies: by length and in chunks, over the limit, and standing still", async (t) => {
  const echo = (socket: Socket): void => {
    let text = "";
    socket.on("data", (data) => {
      text += String(data);
      const end = text.indexOf("\r\n\r\n");
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
      const body = text.slice(end + 4);
      const done = Number.isNaN(length) ? body.endsWith("0\r\n\r\n") : body.length >= length;
      if (!done) return;
      text = "";
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
    socket.on("error", () => undefined);
  };
  const { get, port } = await setup(t, echo);
  assert.equal((await get("/", { method: "POST" }, "with length")).body, "with length");
  assert.equal(
    (await get("/", { method: "POST", headers: { "transfer-encoding": "chunked" } }, "chunks")).body,
    "6\r\nchunks\r\n0\r\n\r\n",
  );
  assert.equal(
    (await get("/", { method: "POST", headers: { "content-length": 2_000_000 } }).catch(() => ({ body: "tooLarge" }))).body,
    "tooLarge",
  );
  const stuck = net.connect(port, "127.0.0.1");
  stuck.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  let answer = "";
  for await (const chunk of stuck) answer += String(chunk);
  assert.match(answer, /\r\nslow\r\n/);
});

test("an answer that comes before the body was read arrives whole, although writing on fails", async (t) => {
  const { get, outcomes } = await setup(t, (socket) => {
    socket.on("error", () => undefined);
    // Reads the head only, answers, and closes with the body unread: what workerd does when user code throws.
    socket.once("data", () => {
      socket.pause();
      socket.write("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 6\r\n\r\ndenied", () => socket.destroy());
    });
  });
  for (let i = 0; i < 20; i++) {
    const { status, body } = await get("/", { method: "POST" }, "x".repeat(900_000));
    assert.deepEqual([status, body], [401, "denied"]);
  }
  assert.deepEqual(new Set(outcomes), new Set(["done"]));
});

test("an idle connection that the server closes is noticed without being used", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "freehold-forward-"));
  const path = join(directory, "server.sock");
  const server = net
    .createServer((socket) => socket.once("data", () => socket.write("HTTP/1.1 204 X\r\n\r\n", () => socket.end())))
    .listen(path);
  await once(server, "listening");
  t.after(async () => {
    server.close();
    await rm(directory, { recursive: true });
  });
  const connection = new HttpConnection(path, () => undefined);
  const ended = Promise.withResolvers<void>();
  const ignore = (): void => undefined;
  connection.begin({
    isHead: false,
    onHead: ignore,
    onData: ignore,
    onEnd: () => ended.resolve(),
    onError: (error) => ended.reject(error),
    onDrain: ignore,
  });
  connection.socket.write("GET / HTTP/1.1\r\n\r\n");
  await ended.promise;
  if (!connection.closed) await once(connection.socket, "close", { signal: AbortSignal.timeout(5000) });
  assert(connection.closed);
});

test("a client that goes away ends the exchange at the server", async (t) => {
  const gone = Promise.withResolvers<void>();
  const { port, outcomes } = await setup(t, (socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart"));
    socket.on("error", () => undefined);
    socket.on("close", () => gone.resolve());
  });
  const client = net.connect(port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(client, "data");
  client.destroy();
  await gone.promise;
  assert.deepEqual(outcomes, ["aborted"]);
});

test("an answer can be intercepted by its head", async (t) => {
  const { get } = await setup(
    t,
    answering("HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 21\r\n\r\nInternal Server Error"),
    {
      intercept: ({ status, close, length, headers }) => status === 500 && close && length === 21 && headers.length === 2,
    },
  );
  const { status, body } = await get("/");
  assert.deepEqual([status, body], [599, "intercepted"]);
});

test("heads: hop-by-hop headers go, repeated ones stay", () => {
  const head = parseHead(
    "HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nX:  spaced ",
  );
  assert.deepEqual(head, {
    status: 200,
    reason: "Fine",
    headers: ["Set-Cookie", "a=1", "set-cookie", "b=2", "X", "spaced"],
    length: undefined,
    chunked: true,
    close: false,
  });
});
