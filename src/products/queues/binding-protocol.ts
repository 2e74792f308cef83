/**
 * The HTTP protocol that workerd's queue binding speaks (`src/workerd/api/queue.c++` there): POST /message, POST /batch,
 * GET /metrics. The queue comes from the capability alone. A refusal carries its code and cause in two headers, from
 * which the binding makes "cause (code)"; before compatibility date 2026-03-12 it shows the reason phrase instead.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PlatformError } from "../../kernel/errors.ts";
import type { Claims } from "../../kernel/product.ts";
import { queuesError } from "./errors.ts";
import { batchDelay, contentTypeOf, MESSAGE_MAX_BYTES, messageDelay, SEND_BATCH_MAX, SEND_BATCH_MAX_BYTES } from "./limits.ts";
import type { Messages } from "./messages.ts";
import type { NewMessage, Queue } from "./model.ts";
import type { Queues } from "./queues.ts";
import type { Sender } from "./send.ts";

/** A batch in base64, with what stands around each message. */
const BATCH_BODY_MAX_BYTES = Math.ceil((SEND_BATCH_MAX_BYTES * 4) / 3) + SEND_BATCH_MAX * 200;

export interface Door {
  readonly queues: Queues;
  readonly messages: Messages;
  readonly sender: Sender;
}

export async function serveBinding(door: Door, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const queue = door.queues.byName(claims.queue as string);
    const answer = await serve(door, queue, claims.delay as number | null, request);
    const text = JSON.stringify(answer);
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    const { status, apiCode } = error.spec;
    // The kernel's own errors (a full disk) have no code that Queues documents.
    const code = error.code.startsWith("queues.") ? apiCode : queuesError("unknown").spec.apiCode;
    const head = { "cf-queues-error-code": String(code), "cf-queues-error-cause": error.message, "content-length": 0 };
    response.writeHead(status, `${error.message} (${code})`, head).end();
  }
}

async function serve(door: Door, queue: Queue | undefined, bindingDelay: number | null, request: IncomingMessage): Promise<unknown> {
  const header = (name: string): string | undefined => request.headers[name] as string | undefined;
  const delay = header("x-msg-delay-secs");
  const target = `${request.method} ${request.url}`;
  if (target === "POST /message") {
    const body = await readBody(request, MESSAGE_MAX_BYTES);
    // The body is read to its end first: workerd reports a lost connection, not the refusal, when it cannot finish.
    if (queue === undefined) throw queuesError("queueNotFound");
    if (body === undefined) throw queuesError("messageSize");
    const contentType = contentTypeOf(header("x-msg-fmt"), "v8");
    const own = messageDelay(delay === undefined ? undefined : Number(delay));
    await door.sender.send(queue, [{ body, contentType, delaySeconds: own }], "worker", bindingDelay ?? undefined);
    return { metadata: { metrics: await metricsOf(door.messages, queue) } };
  }
  if (target === "POST /batch") {
    const body = await readBody(request, BATCH_BODY_MAX_BYTES);
    if (queue === undefined) throw queuesError("queueNotFound");
    if (Number(header("cf-queue-batch-count")) > SEND_BATCH_MAX) throw queuesError("batchCount");
    if (Number(header("cf-queue-largest-msg")) > MESSAGE_MAX_BYTES) throw queuesError("messageSize");
    if (body === undefined || Number(header("cf-queue-batch-bytes")) > SEND_BATCH_MAX_BYTES) throw queuesError("batchSize");
    const ofBatch = batchDelay(delay === undefined ? undefined : Number(delay));
    const messages = parseBatch(body);
    // What the headers say is workerd's word, but not where a Worker has the binding's raw fetcher.
    if (messages.length > SEND_BATCH_MAX) throw queuesError("batchCount");
    if (messages.some((message) => message.body.byteLength > MESSAGE_MAX_BYTES)) throw queuesError("messageSize");
    await door.sender.send(queue, messages, "worker", ofBatch ?? bindingDelay ?? undefined);
    return { metadata: { metrics: await metricsOf(door.messages, queue) } };
  }
  if (target === "GET /metrics") {
    if (queue === undefined) throw queuesError("queueNotFound");
    return metricsOf(door.messages, queue);
  }
  throw queuesError("bodyInvalid");
}

async function metricsOf(messages: Messages, queue: Queue): Promise<unknown> {
  const { count, bytes, oldest } = await messages.backlog.of(queue.id);
  return { backlogCount: count, backlogBytes: bytes, oldestMessageTimestamp: oldest };
}

interface WireMessage {
  readonly body: string;
  readonly contentType?: string;
  readonly delaySecs?: number;
}

function parseBatch(body: Uint8Array): NewMessage[] {
  const { messages } = JSON.parse(Buffer.from(body).toString("utf8")) as { messages: readonly WireMessage[] };
  return messages.map(({ body, contentType, delaySecs }) => ({
    body: Buffer.from(body, "base64"),
    contentType: contentTypeOf(contentType, "v8"),
    delaySeconds: messageDelay(delaySecs),
  }));
}

/** The whole body, or undefined when it is longer; then it is read to its end all the same. */
function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size <= maxBytes) chunks.push(chunk);
    });
    request.once("end", () => resolve(size > maxBytes ? undefined : chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.once("error", reject);
    request.once("close", () => {
      if (!request.complete) reject(queuesError("clientDisconnected"));
    });
  });
}
