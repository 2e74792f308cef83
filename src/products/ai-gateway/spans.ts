/**
 * A span for each request, sent to the collectors that a gateway's settings name (docs/ai-gateway/observability/otel-integration),
 * as OTLP in JSON. Sent behind the answer, so many at a time, through a bounded queue: what does not fit, or does not arrive,
 * is left out and told in the log. Collectors are public addresses unless the operator allows others.
 */
import { randomBytes } from "node:crypto";
import { request } from "undici";
import type { Log } from "../../kernel/log.ts";
import { publicAgent } from "../../kernel/public-network.ts";
import type { Gateway } from "./gateways.ts";
import type { LogEntry } from "./logs.ts";

const AT_ONCE = 8;
const WAITING_MAX = 1000;
const ANSWER_MAX_MS = 10_000;
/** Of a prompt or an answer in a span. */
const TEXT_MAX_CHARACTERS = 256 * 1024;

export interface TraceContext {
  readonly traceId: string | undefined;
  readonly parentSpanId: string | undefined;
}

export interface Spans {
  send(gateway: Gateway, entry: LogEntry, trace: TraceContext): void;
  stop(): Promise<void>;
}

interface Export {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function openSpans(log: Log, allowPrivate: boolean): Spans {
  const agent = publicAgent(allowPrivate);
  const waiting: Export[] = [];
  const sending = new Set<Promise<void>>();
  const ending = new AbortController();

  async function post({ url, headers, body }: Export): Promise<void> {
    try {
      const answer = await request(url, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body,
        dispatcher: agent,
        signal: AbortSignal.any([ending.signal, AbortSignal.timeout(ANSWER_MAX_MS)]),
      });
      await answer.body.dump();
      if (answer.statusCode >= 300) log.warn("ai_gateway.span_refused", { url, status: answer.statusCode });
    } catch (error) {
      if (!ending.signal.aborted) log.warn("ai_gateway.span_not_sent", { url, error });
    }
  }

  function next(): void {
    if (sending.size >= AT_ONCE) return;
    const one = waiting.shift();
    if (one === undefined) return;
    const sent = post(one).finally(() => {
      sending.delete(sent);
      next();
    });
    sending.add(sent);
  }

  return {
    send(gateway, entry, trace) {
      const collectors = gateway.settings.otel ?? [];
      if (collectors.length === 0) return;
      const body = JSON.stringify(spanOf(gateway, entry, trace));
      for (const { url, headers } of collectors) {
        if (waiting.length >= WAITING_MAX) {
          log.warn("ai_gateway.span_lost", { gateway: gateway.id });
          return;
        }
        waiting.push({ url, headers, body });
        next();
      }
    },
    async stop() {
      waiting.length = 0;
      ending.abort();
      await Promise.all(sending);
      await agent.destroy();
    },
  };
}

type Value =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean };

function spanOf(gateway: Gateway, entry: LogEntry, { traceId, parentSpanId }: TraceContext): object {
  const attributes: [string, Value][] = [
    ["gen_ai.request.model", { stringValue: entry.model }],
    ["gen_ai.model.provider", { stringValue: entry.provider }],
    ["gen_ai.usage.input_tokens", { intValue: String(entry.tokensIn ?? 0) }],
    ["gen_ai.usage.output_tokens", { intValue: String(entry.tokensOut ?? 0) }],
    ["gen_ai.usage.cost", { doubleValue: entry.cost ?? 0 }],
    ["gen_ai.prompt_json", { stringValue: promptOf(entry.bodies?.request) }],
    ["gen_ai.completion_json", { stringValue: textOf(entry.bodies?.response) }],
    ...metadataOf(entry.metadata),
  ];
  const nanos = (at: number): string => `${at}000000`;
  const span = {
    traceId: traceId ?? randomBytes(16).toString("hex"),
    spanId: randomBytes(8).toString("hex"),
    ...(parentSpanId !== undefined && { parentSpanId }),
    name: `${entry.requestType} ${entry.model}`.trim(),
    kind: 3,
    startTimeUnixNano: nanos(entry.createdAt),
    endTimeUnixNano: nanos(entry.createdAt + entry.durationMs),
    attributes: attributes.map(([key, value]) => ({ key, value })),
    status: { code: entry.success ? 1 : 2 },
  };
  const resource = {
    attributes: [
      { key: "service.name", value: { stringValue: "ai-gateway" } },
      { key: "gateway", value: { stringValue: gateway.id } },
    ],
  };
  return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "ai-gateway" }, spans: [span] }] }] };
}

const textOf = (bytes: Uint8Array | undefined): string =>
  Buffer.from(bytes ?? [])
    .toString("utf8")
    .slice(0, TEXT_MAX_CHARACTERS);

/** The conversation of a request, or all of it. */
function promptOf(bytes: Uint8Array | undefined): string {
  const text = textOf(bytes);
  try {
    const { messages } = JSON.parse(text) as { messages?: unknown };
    return messages === undefined ? text : JSON.stringify(messages);
  } catch {
    return text; // Not every request is JSON, and one that was cut is none.
  }
}

/** Documented: names that begin with `gen_ai.` are not the caller's. */
function metadataOf(metadata: string | null): [string, Value][] {
  if (metadata === null) return [];
  return Object.entries(JSON.parse(metadata) as Record<string, unknown>)
    .filter(([name]) => !name.startsWith("gen_ai."))
    .map(([name, value]) => [name, attributeOf(value)]);
}

const attributeOf = (value: unknown): Value => {
  if (typeof value === "boolean") return { boolValue: value };
  return typeof value === "number" ? { doubleValue: value } : { stringValue: String(value) };
};
