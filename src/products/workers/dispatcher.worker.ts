/**
 * Brings events from outside HTTP to the Worker of this process. Only the platform reaches its socket.
 * `POST /scheduled` with `{ cron, scheduledTime }` answers `{ outcome, noRetry }`.
 * `POST /queue` with a batch whose bodies are base64 answers what the handler did with it.
 * `POST /email?id=…&from=…&to=…` with a raw message answers `{ outcome, rejectReason }`; what the handler does with the
 * message meanwhile goes to ACTIONS under the event's id.
 */
export { Front } from "./front.worker.ts";
export { Outbound } from "./outbound.worker.ts";

interface Env {
  ACTIONS: Fetcher;
  USER: Fetcher & {
    scheduled(event: { cron: string; scheduledTime: Date }): Promise<{ outcome: string; noRetry: boolean }>;
    queue(name: string, messages: readonly object[], metadata: object): Promise<object>;
    email(message: object): Promise<void>;
  };
}

const TURNS = 5;

/** Key of a message's bytes in an `EmailMessage`: see `email.worker.ts`. */
const RAW = "EmailMessage::raw";

type Reply =
  | { readonly from: string; readonly to: string; readonly [RAW]: ReadableStream | string }
  | { readonly attachments?: readonly { readonly content: string | ArrayBuffer | ArrayBufferView }[] };

interface WireBatch {
  readonly queue: string;
  readonly messages: readonly {
    readonly id: string;
    readonly timestamp: number;
    readonly attempts: number;
    readonly contentType: "text" | "bytes" | "json" | "v8";
    readonly body: string;
  }[];
  readonly metrics: { readonly backlogCount: number; readonly backlogBytes: number; readonly oldestMessageTimestamp: number };
}

async function scheduled(request: Request, env: Env): Promise<Response> {
  const { cron, scheduledTime } = (await request.json()) as { cron: string; scheduledTime: number };
  const result = await env.USER.scheduled({ cron, scheduledTime: new Date(scheduledTime) });
  return Response.json({ outcome: result.outcome, noRetry: result.noRetry });
}

async function queue(request: Request, env: Env): Promise<Response> {
  const batch = (await request.json()) as WireBatch;
  const messages = batch.messages.map(({ id, timestamp, attempts, contentType, body }) => ({
    id,
    timestamp: new Date(timestamp),
    attempts,
    ...content(contentType, Uint8Array.fromBase64(body)),
  }));
  const { backlogCount, backlogBytes, oldestMessageTimestamp } = batch.metrics;
  const metrics = { backlogCount, backlogBytes, oldestMessageTimestamp: new Date(oldestMessageTimestamp) };
  return Response.json(await env.USER.queue(batch.queue, messages, { metrics }));
}

async function email(request: Request, env: Env): Promise<Response> {
  const query = new URL(request.url).searchParams;
  const raw = new Uint8Array(await request.arrayBuffer());
  const act = async (action: string, parameters: Record<string, string>, body: BodyInit): Promise<{ messageId: string }> => {
    const search = new URLSearchParams({ id: query.get("id") as string, ...parameters });
    const response = await env.ACTIONS.fetch(`http://email/${action}?${search}`, { method: "POST", body });
    const answer = (await response.json()) as { messageId: string; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return { messageId: answer.messageId };
  };
  const acts: Promise<unknown>[] = [];
  const acting = <T>(act: Promise<T>): Promise<T> => {
    acts.push(act);
    return act;
  };
  let rejectReason: string | undefined;
  const message = {
    from: query.get("from"),
    to: query.get("to"),
    raw: new Response(raw).body,
    rawSize: raw.byteLength,
    headers: headersOf(raw),
    setReject(reason: string): void {
      rejectReason = String(reason);
    },
    forward: (recipient: string, headers?: Headers) =>
      acting(act("forward", { to: String(recipient) }, JSON.stringify(headers === undefined ? [] : [...headers]))),
    reply(reply: Reply) {
      if (RAW in reply) return acting(act("reply", { from: String(reply.from), to: String(reply.to) }, reply[RAW]));
      const attachments = reply.attachments?.map(({ content, ...rest }) => ({ ...rest, base64: base64(content) }));
      return acting(act("reply-builder", {}, JSON.stringify({ ...reply, ...(attachments && { attachments }) })));
    },
  };
  try {
    await env.USER.email(message);
    // Calls that the handler made without waiting for them are on their way, behind its return: a few turns of the event loop.
    for (let turn = 0; turn < TURNS; turn++) await scheduler.wait(0);
    await Promise.allSettled(acts);
    return Response.json({ outcome: "ok", rejectReason });
  } catch (error) {
    const none = error instanceof Error && error.message.includes('does not implement the method "email"');
    return Response.json({ outcome: none ? "noHandler" : "exception", rejectReason });
  }
}

/** Text of an attachment is its content in base64 already, as documented for the builder. */
function base64(content: string | ArrayBuffer | ArrayBufferView): string {
  if (typeof content === "string") return content;
  return (
    ArrayBuffer.isView(content) ? new Uint8Array(content.buffer, content.byteOffset, content.byteLength) : new Uint8Array(content)
  ).toBase64();
}

/** The fields of a message's head, folded lines joined. A field whose name or value HTTP does not allow is left out. */
function headersOf(raw: Uint8Array): Headers {
  const text = new TextDecoder("latin1").decode(raw);
  const end = text.search(/\r?\n\r?\n/);
  const headers = new Headers();
  for (const line of (end < 0 ? text : text.slice(0, end)).replace(/\r?\n[ \t]+/g, " ").split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    try {
      headers.append(line.slice(0, colon).trimEnd(), line.slice(colon + 1).trim());
    } catch {
      // Such as a name with a space in it.
    }
  }
  return headers;
}

/** The body as the handler gets it; what the sender serialised with V8 stays so. */
function content(contentType: string, bytes: Uint8Array): object {
  switch (contentType) {
    case "text":
      return { body: new TextDecoder().decode(bytes) };
    case "json":
      return { body: JSON.parse(new TextDecoder().decode(bytes)) };
    case "bytes":
      return { body: bytes };
    default:
      return { serializedBody: bytes };
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    switch (new URL(request.url).pathname) {
      case "/scheduled":
        return scheduled(request, env);
      case "/queue":
        return queue(request, env);
      case "/email":
        return email(request, env);
      default:
        return new Response("Unknown event", { status: 404 });
    }
  },
};
