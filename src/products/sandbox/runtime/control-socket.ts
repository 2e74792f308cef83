/**
 * Many requests over one WebSocket: the same operations as over HTTP, each message with the id of its request. A stream's events
 * come as `stream` messages before the `response` that ends it; `cancel` lets go of one.
 */
import type { WebSocket } from "ws";
import { asRuntimeError } from "./errors.ts";
import { EventStream, type Runtime } from "./routes.ts";

interface ControlRequest {
  readonly type: "request";
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

/** A client that reads this little of what it asked for waits with its streams. */
const MAX_BEHIND_BYTES = 8 * 1024 * 1024;

export function serveControl(socket: WebSocket, runtime: Runtime): void {
  const streams = new Map<string, AbortController>();
  const send = (message: object) => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
  };
  const refuse = (code: string, message: string) => send({ type: "error", code, message, status: 400 });

  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    for (const stream of streams.values()) stream.abort();
  });
  socket.on("message", (data: Buffer) => {
    let message: { type?: unknown; id?: unknown };
    try {
      message = JSON.parse(data.toString("utf8"));
    } catch {
      return refuse("PARSE_ERROR", "Invalid JSON message");
    }
    if (message?.type === "cancel") return streams.get(String(message.id))?.abort();
    if (!isRequest(message)) return refuse("INVALID_REQUEST", "Message must be a valid WSRequest");
    void respond(message);
  });

  async function respond({ id, method, path: target, body }: ControlRequest): Promise<void> {
    const gone = new AbortController();
    streams.set(id, gone);
    try {
      const { pathname: path, searchParams: query } = new URL(target, "http://sandbox");
      const result = await runtime.handle({ method, path, query, body: (body ?? {}) as Record<string, unknown>, signal: gone.signal });
      if (!(result instanceof EventStream)) return send({ type: "response", id, status: 200, body: result, done: true });
      for await (const event of result.events) {
        if (gone.signal.aborted) return;
        send({ type: "stream", id, data: JSON.stringify(event) });
        await caughtUp(socket, gone.signal);
      }
      if (!gone.signal.aborted) send({ type: "response", id, status: 200, done: true });
    } catch (error) {
      const failure = asRuntimeError(error);
      send({ type: "response", id, status: failure.status, body: failure, done: true });
    } finally {
      streams.delete(id);
    }
  }
}

function isRequest(message: object): message is ControlRequest {
  const { type, id, method, path } = message as Partial<ControlRequest>;
  return type === "request" && typeof id === "string" && typeof method === "string" && typeof path === "string" && path.startsWith("/");
}

async function caughtUp(socket: WebSocket, signal: AbortSignal): Promise<void> {
  while (socket.bufferedAmount > MAX_BEHIND_BYTES && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, 20));
}
