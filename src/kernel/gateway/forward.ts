/**
 * Passes a request on to a server on a unix socket and its answer back: streaming both ways, with back-pressure, limits
 * on the request's body, and the client's abort carried on. It decides nothing about who may call or where to: the
 * caller gives the socket and the headers.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { type Duplex, pipeline, type Writable } from "node:stream";
import { type AnswerHead, type ConnectionPool, type HttpConnection, parseHead } from "./http-connection.ts";

export interface ForwardOptions {
  /** Path of the unix socket. */
  readonly path: string;
  /** Request headers as lines, each ended by CRLF, without framing headers (Content-Length, Transfer-Encoding, Connection). */
  readonly headers: string;
  /** Headers to add to the answer; flat: name, value, … */
  readonly answerHeaders?: readonly string[];
  /** Sees the answer's head before anything is sent. True: the answer is dropped and the outcome is "intercepted". */
  intercept?(head: AnswerHead): boolean;
  /** May change the headers of the answer, and give what its body goes through on its way to the client. */
  rewrite?(head: AnswerHead): readonly [Duplex, ...Duplex[]] | undefined;
  /** Whether the server was ended while it had requests: then one on a kept connection that broke is not sent again. */
  condemned?(): boolean;
  readonly bodyMaxBytes: number;
  /** A body that makes no progress for this long ends the request. */
  readonly bodyIdleTimeoutMs: number;
  /** When it is aborted the exchange may go on for `signalGraceMs`, then it is cut. */
  readonly signal?: AbortSignal;
  readonly signalGraceMs?: number;
}

/**
 * How it ended. "done": the answer was passed on whole. "aborted": the client went away, or the answer broke off after
 * its head was sent (the client's connection is then cut, so that it sees it too). All others: nothing was sent yet, and
 * the caller answers. "unreachable": the server never had the request, so that it may be sent again, unless
 * `request.readableDidRead`. "broken": the server went away without an answer.
 */
export type ForwardOutcome = "done" | "aborted" | "intercepted" | "unreachable" | "broken" | "tooLarge" | "slow";

/** Forwards one request; resolves when the exchange is over, never rejects. */
export function forward(
  pool: ConnectionPool,
  request: IncomingMessage,
  response: ServerResponse,
  options: ForwardOptions,
): Promise<ForwardOutcome> {
  return new Promise((resolve) => exchange(pool, request, response, options, false, resolve));
}

/** Copying more than this costs more than a second system call. */
const ONE_WRITE_BYTES = 8 * 1024;

const hasBody = (request: IncomingMessage): boolean => {
  const { headers } = request;
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] !== undefined && headers["content-length"] !== "0");
};

function exchange(
  pool: ConnectionPool,
  request: IncomingMessage,
  response: ServerResponse,
  options: ForwardOptions,
  fresh: boolean,
  resolve: (outcome: ForwardOutcome) => void,
): void {
  const body = hasBody(request);
  const length = request.headers["content-length"];
  if (length !== undefined && Number(length) > options.bodyMaxBytes) {
    resolve("tooLarge");
    return;
  }
  const connection = pool.take(options.path, fresh);
  const { socket } = connection;
  let over = false;
  let answered = false;
  let upload: Upload | undefined;
  let sink: Writable = response;

  const onGone = () => {
    if (!response.writableFinished) cut("aborted");
  };
  const onRoom = (): void => {
    socket.resume();
  };
  response.once("close", onGone);
  let grace: NodeJS.Timeout | undefined;
  const onSignal = () => {
    grace = setTimeout(cut, options.signalGraceMs ?? 0, "broken");
  };
  options.signal?.addEventListener("abort", onSignal);

  function settle(outcome: ForwardOutcome): void {
    over = true;
    clearTimeout(grace);
    options.signal?.removeEventListener("abort", onSignal);
    upload?.stop();
    response.off("close", onGone);
    sink.off("drain", onRoom);
    resolve(outcome);
  }

  /** Ends the exchange before its time. */
  function cut(outcome: ForwardOutcome): void {
    if (over) return;
    connection.destroy();
    if (answered && outcome !== "aborted") response.destroy();
    settle(answered ? "aborted" : outcome);
  }

  connection.begin({
    isHead: request.method === "HEAD",
    onHead(head) {
      if (over) return;
      const { status, reason, headers } = head;
      if (options.intercept?.(head) === true) return cut("intercepted");
      answered = true;
      if (options.answerHeaders !== undefined) headers.push(...options.answerHeaders);
      const through = options.rewrite?.(head);
      response.writeHead(status, reason, headers);
      if (through !== undefined) {
        [sink] = through;
        // What ends it before its time cuts the client off, who sees it so.
        pipeline([...through, response], (error) => error != null && response.destroy());
      }
    },
    onData(chunk, last) {
      if (over) return;
      if (last) {
        // As text, Node sends a short body in the same write as the head.
        if (chunk.length <= ONE_WRITE_BYTES) sink.end(chunk.toString("latin1"), "latin1");
        else sink.end(chunk);
        return;
      }
      if (!sink.write(chunk)) {
        socket.pause();
        sink.once("drain", onRoom);
      }
    },
    onEnd() {
      if (over) return;
      // An answer that came before the whole body was sent leaves the connection in the middle of a request.
      if (upload !== undefined && !upload.sent) connection.destroy();
      if (!sink.writableEnded) sink.end();
      settle("done");
    },
    onError(error) {
      if (over) return;
      if (answered) return cut("broken");
      const code = (error as NodeJS.ErrnoException).code;
      const refused = code === "ECONNREFUSED" || code === "ENOENT";
      // A kept connection may be closed by the server just as it is taken: then the request was never read.
      const stale = connection.served > 0 && !body && !fresh && (request.method === "GET" || request.method === "HEAD");
      if (stale && options.condemned?.() !== true) {
        over = true;
        response.off("close", onGone);
        options.signal?.removeEventListener("abort", onSignal);
        return exchange(pool, request, response, options, true, resolve);
      }
      cut(refused ? "unreachable" : "broken");
    },
    onDrain() {
      if (upload !== undefined) request.resume();
    },
  });

  const line = `${request.method} ${request.url} HTTP/1.1\r\n${options.headers}`;
  if (!body) {
    socket.write(length === undefined ? `${line}\r\n` : `${line}Content-Length: 0\r\n\r\n`, "latin1");
    return;
  }
  socket.write(length === undefined ? `${line}Transfer-Encoding: chunked\r\n\r\n` : `${line}Content-Length: ${length}\r\n\r\n`, "latin1");
  upload = send(request, connection, options, length === undefined, cut);
}

interface Upload {
  /** The whole body is written. */
  readonly sent: boolean;
  stop(): void;
}

/** Streams the request's body to the connection. */
function send(
  request: IncomingMessage,
  connection: HttpConnection,
  limits: ForwardOptions,
  chunked: boolean,
  cut: (outcome: ForwardOutcome) => void,
): Upload {
  const { socket } = connection;
  let size = 0;
  let sent = false;
  let waiting = false;
  const timer = setTimeout(() => (waiting ? timer.refresh() : cut("slow")), limits.bodyIdleTimeoutMs);
  timer.unref();

  const onData = (chunk: Buffer) => {
    // Nobody reads it; it is taken and dropped, so that the answer can be sent.
    if (connection.writeFailed) return;
    size += chunk.length;
    if (size > limits.bodyMaxBytes) return cut("tooLarge");
    if (chunked) socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
    const room = socket.write(chunk);
    if (chunked) socket.write("\r\n", "latin1");
    // Time that the server takes to read is not the client's fault.
    waiting = !room;
    timer.refresh();
    if (!room) request.pause();
  };
  const onResume = (): void => {
    waiting = false;
  };
  const onEnd = (): void => {
    sent = true;
    clearTimeout(timer);
    if (chunked) socket.write("0\r\n\r\n", "latin1");
  };
  request.on("data", onData);
  request.on("resume", onResume);
  request.once("end", onEnd);
  return {
    get sent() {
      return sent;
    },
    stop() {
      clearTimeout(timer);
      request.off("data", onData);
      request.off("resume", onResume);
      request.off("end", onEnd);
      // The rest of a body that nobody wants is read and dropped, so that the client's connection can go on.
      request.resume();
    },
  };
}

export interface UpgradeOptions {
  readonly path: string;
  /** As for `forward`; the upgrade headers are added here. */
  readonly headers: string;
  readonly answerHeaders?: readonly string[];
  /** As for `forward`. */
  intercept?(head: AnswerHead): boolean;
  /** Cuts the connection. */
  readonly signal?: AbortSignal;
}

/**
 * Forwards a request to upgrade (WebSocket) and, when the server agrees, carries the bytes both ways until either side
 * ends. "unreachable", "broken" and "intercepted": nothing was sent to the client, the caller answers.
 */
export function forwardUpgrade(request: IncomingMessage, client: Duplex, head: Buffer, options: UpgradeOptions): Promise<ForwardOutcome> {
  return new Promise((resolve) => {
    const server = connect({ path: options.path });
    let buffer: Buffer = Buffer.alloc(0);
    let answered = false;
    let over = false;
    const cut = (outcome: ForwardOutcome): void => {
      if (over) return;
      over = true;
      options.signal?.removeEventListener("abort", onSignal);
      server.destroy();
      client.off("close", onClient);
      client.off("error", onClient);
      if (answered) client.destroy();
      resolve(outcome);
    };
    const onSignal = (): void => cut("aborted");
    const onClient = (): void => cut(answered ? "done" : "aborted");
    client.once("close", onClient);
    client.on("error", onClient);
    options.signal?.addEventListener("abort", onSignal);
    server.on("error", (error: NodeJS.ErrnoException) =>
      cut(answered ? "aborted" : error.code === "ECONNREFUSED" || error.code === "ENOENT" ? "unreachable" : "broken"),
    );
    server.once("close", () => cut(answered ? "done" : "broken"));

    const protocol = request.headers.upgrade ?? "websocket";
    server.write(
      `${request.method} ${request.url} HTTP/1.1\r\n${options.headers}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
      "latin1",
    );
    if (head.length > 0) server.write(head);

    const onHead = (chunk: Buffer) => {
      buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
      const end = buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const answer = parseHead(buffer.toString("latin1", 0, end));
      if (options.intercept?.(answer) === true) return cut("intercepted");
      answered = true;
      server.off("data", onHead);
      const lines = answer.headers.concat(options.answerHeaders ?? []);
      // Anything but 101 is a plain answer on a connection that ends with it.
      if (answer.status === 101)
        lines.push(
          "Connection",
          "Upgrade",
          ...(answer.headers.some((n, i) => i % 2 === 0 && /^upgrade$/i.test(n)) ? [] : ["Upgrade", protocol]),
        );
      else lines.push("Connection", "close", ...(answer.chunked ? ["Transfer-Encoding", "chunked"] : []));
      let text = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n`;
      for (let i = 0; i < lines.length; i += 2) text += `${lines[i]}: ${lines[i + 1]}\r\n`;
      client.write(`${text}\r\n`, "latin1");
      const rest = buffer.subarray(end + 4);
      if (rest.length > 0) client.write(rest);
      client.pipe(server);
      server.pipe(client);
    };
    server.on("data", onHead);
  });
}
