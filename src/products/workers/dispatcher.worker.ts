/**
 * Brings events from outside HTTP to the Worker of this process. Only the platform reaches its socket.
 * `POST /scheduled` with `{ cron, scheduledTime }` answers `{ outcome, noRetry }`.
 * `POST /queue` with a batch whose bodies are base64 answers what the handler did with it.
 */
export { Outbound } from "./outbound.worker.ts";

interface Env {
  USER: Fetcher & {
    scheduled(event: { cron: string; scheduledTime: Date }): Promise<{ outcome: string; noRetry: boolean }>;
    queue(name: string, messages: readonly object[], metadata: object): Promise<object>;
  };
}

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
      default:
        return new Response("Unknown event", { status: 404 });
    }
  },
};
