/**
 * From what an invocation did to the events that are stored: one for each log line and exception, one for the invocation
 * itself, one for each span. What may be a secret (headers by the documented rule for Tail Workers, query strings where the
 * Worker asks for it) is left out before anything is stored.
 */
import type { MeteredInvocation, ObservedWorker, OutputLine, OutputOrigin } from "../../kernel/capabilities.ts";
import type { SpanRecord } from "../../kernel/invocation-record.ts";
import type { ObservabilitySettings } from "./settings.ts";
import {
  fingerprintOf,
  moreWorkers,
  type Row,
  rowOf,
  type Shared,
  sharedOf,
  templateOf,
  type WorkersPart,
  workersPart,
} from "./telemetry-event.ts";

export interface Telemetered {
  readonly logs: readonly Row[];
  readonly spans: readonly Row[];
}

const eventTypes: Readonly<Record<string, string>> = {
  fetch: "fetch",
  scheduled: "scheduled",
  alarm: "alarm",
  queue: "queue",
  email: "email",
  trace: "tail",
  jsrpc: "rpc",
  hibernatableWebSocket: "websocket",
};
/** The documented rule for what Tail Workers get to see (docs/workers/runtime-apis/handlers/tail). */
const SECRET_HEADER = /^(?:set-)?cookie$|auth|key|secret|token|jwt/i;
/** Spans in which a binding speaks to the platform: what it does inside is not the Worker's. */
const BINDING_SPAN = /^(?:kv|r2|d1|queue|cache|images|ai|vectorize)_/;

/** What all events of an invocation have in common. */
interface Common {
  readonly account: string;
  readonly invocation: MeteredInvocation;
  readonly eventType: string;
  readonly trigger: string;
  readonly rayId: string | undefined;
  readonly url: string | undefined;
  /** Of the request; only the invocation's own event has them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly shared: Shared;
  readonly workers: Readonly<Record<string, unknown>>;
}

export function eventsOf(
  account: string,
  worker: ObservedWorker,
  settings: ObservabilitySettings,
  invocation: MeteredInvocation,
): Telemetered {
  const common = commonOf(account, worker, settings, invocation);
  const { logs, traces } = settings;
  return {
    logs: logs !== undefined && invocation.kept.logs ? logRows(common, worker.scriptName, 1 / logs.rate, logs.invocationLogs) : [],
    spans: traces !== undefined && invocation.kept.traces ? spanRows(common, worker, 1 / traces.rate) : [],
  };
}

function commonOf(account: string, worker: ObservedWorker, settings: ObservabilitySettings, invocation: MeteredInvocation): Common {
  const { info } = invocation;
  const eventType = eventTypes[info.type] ?? "unknown";
  const headers = Object.fromEntries(
    ((info.headers ?? []) as { name: string; value: string }[]).map(({ name, value }) => [
      name,
      SECRET_HEADER.test(name) ? "REDACTED" : value,
    ]),
  );
  const rayId = headers["cf-ray"]?.split("-")[0];
  const url = info.type === "fetch" ? urlOf(String(info.url), settings.redactQueryString) : undefined;
  const trigger = triggerOf(info, url);
  return {
    account,
    invocation,
    eventType,
    trigger,
    rayId,
    url: url?.href,
    headers,
    shared: sharedOf({
      account,
      service: worker.scriptName,
      requestId: invocation.invocationId,
      ...(rayId !== undefined && { rayId }),
      trigger,
      origin: eventType,
      provider: "cloudflare",
      cloudService: "workers",
      traceId: invocation.traceId,
    }),
    workers: {
      eventType,
      event: details(info, url, invocation.statusCode, rayId),
      scriptName: worker.scriptName,
      outcome: invocation.outcome,
      scriptVersion: { id: worker.versionId, ...(worker.versionTag !== undefined && { tag: worker.versionTag }) },
      requestId: invocation.invocationId,
      executionModel: invocation.executionModel,
      truncated: invocation.truncated,
      ...(invocation.entrypoint !== undefined && { entrypoint: invocation.entrypoint }),
      ...(invocation.durableObjectId !== undefined && { durableObjectId: invocation.durableObjectId }),
    },
  };
}

function urlOf(text: string, redactQuery: boolean): URL | undefined {
  const url = URL.parse(text);
  if (url === null) return undefined;
  if (redactQuery) url.search = "";
  return url;
}

function triggerOf(info: MeteredInvocation["info"], url: URL | undefined): string {
  if (info.type === "fetch") return `${info.method} ${url?.pathname ?? ""}`;
  if (info.type === "scheduled") return String(info.cron ?? "");
  if (info.type === "queue") return String(info.queueName ?? info.queue ?? "");
  return eventTypes[info.type] ?? "unknown";
}

function details(
  info: MeteredInvocation["info"],
  url: URL | undefined,
  status: number | undefined,
  rayId: string | undefined,
): Record<string, unknown> {
  if (info.type === "fetch") {
    return {
      request: {
        method: info.method,
        url: url?.href,
        path: url?.pathname,
        search: Object.fromEntries(url?.searchParams ?? []),
      },
      ...(status !== undefined && { response: { status } }),
      ...(rayId !== undefined && { rayId }),
    };
  }
  const { type: _, ...rest } = info;
  return rest;
}

// --- logs ---------------------------------------------------------------------------------------------------

function logRows(common: Common, service: string, sampleInterval: number, invocationLogs: boolean): Row[] {
  const { invocation } = common;
  const workers = workersPart(common.workers);
  const rows = invocation.logs.map(({ time, level, message }) => {
    const { source, text } = sourceOf(level, message);
    return line(
      common.shared,
      workers,
      service,
      time,
      source,
      text,
      level === "error" ? { level, error: text } : { level },
      sampleInterval,
    );
  });
  for (const { time, name, message, stack } of invocation.exceptions) {
    const text = `${name}: ${message}`;
    const source = { level: "error", message: text, exception: { name, message, timestamp: time, ...(stack !== undefined && { stack }) } };
    rows.push(line(common.shared, workers, service, time, source, text, { level: "error", error: text }, sampleInterval));
  }
  if (invocationLogs) rows.push(invocationRow(common, workers, sampleInterval));
  return rows;
}

/** Lines of a program outside any invocation. */
export function outputRows(account: string, origin: OutputOrigin, lines: readonly OutputLine[]): Row[] {
  const { scriptName, cloudService, requestId, details: known } = origin;
  const kind = { trigger: cloudService, origin: cloudService, provider: "cloudflare", cloudService };
  const shared = sharedOf({ account, service: scriptName, requestId, ...kind });
  const workers = workersPart({ eventType: cloudService, scriptName, requestId, ...known });
  return lines.map(({ time, level, text: printed }) => {
    const { source, text } = sourceOf(level, printed);
    return line(shared, workers, scriptName, time, source, text, level === "error" ? { level, error: text } : { level }, 1);
  });
}

function line(
  shared: Shared,
  workers: WorkersPart,
  service: string,
  timestamp: number,
  source: Readonly<Record<string, unknown>>,
  message: string,
  own: Readonly<Record<string, unknown>>,
  sampleInterval: number,
): Row {
  const template = templateOf(message);
  const metadata = {
    ...own,
    type: "cf-worker-log",
    message,
    messageTemplate: template,
    ...("error" in own && { errorTemplate: template }),
    fingerprint: fingerprintOf(service, template),
  };
  return rowOf(shared, { dataset: "cloudflare-workers", timestamp, source, workers, metadata, sampleInterval });
}

/** As documented, an object (or text that is the JSON of one) becomes fields; anything else one message. */
function sourceOf(level: string, message: unknown): { source: Record<string, unknown>; text: string } {
  const parts = Array.isArray(message) ? message : [message];
  const object = parts.length === 1 ? objectIn(parts[0]) : undefined;
  const text = parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" ");
  if (object === undefined) return { source: { level, message: text }, text };
  return { source: { level, ...object }, text: typeof object.message === "string" ? object.message : text };
}

function objectIn(value: unknown): Record<string, unknown> | undefined {
  let found = value;
  if (typeof value === "string" && value.trimStart().startsWith("{")) {
    try {
      found = JSON.parse(value);
    } catch {
      // It only looked like JSON.
      return undefined;
    }
  }
  return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as Record<string, unknown>) : undefined;
}

function invocationRow({ shared, workers, headers, invocation, trigger, url }: Common, part: WorkersPart, sampleInterval: number): Row {
  const { start, end, statusCode, exceptions, outcome, channelEvents, cpuTimeMs } = invocation;
  const failed = outcome !== "ok" && outcome !== "canceled" && outcome !== "responseStreamDisconnected";
  const error = exceptions[0] === undefined ? (failed ? outcome : undefined) : `${exceptions[0].name}: ${exceptions[0].message}`;
  const message = url === undefined ? trigger : `${trigger.split(" ")[0]} ${url}`;
  const level = failed ? "error" : "info";
  const own = {
    cpuTimeMs,
    wallTimeMs: end - start,
    ...(channelEvents.length > 0 && {
      diagnosticsChannelEvents: channelEvents.map(({ time, ...rest }) => ({ timestamp: time, ...rest })),
    }),
  };
  return rowOf(shared, {
    dataset: "cloudflare-workers",
    timestamp: start,
    source: { level, message },
    workers: moreWorkers(
      part,
      { ...withHeaders(workers, headers), ...own },
      { "$workers.": own, "$workers.event.request.headers.": headers },
    ),
    metadata: {
      level,
      type: "cf-worker-event",
      message,
      ...(error !== undefined && { error }),
      ...(url !== undefined && { url }),
      ...(statusCode !== undefined && { statusCode }),
      spanId: invocation.spanId,
    },
    sampleInterval,
  });
}

function withHeaders(workers: Common["workers"], headers: Common["headers"]): Common["workers"] {
  const event = workers.event as { readonly request?: object };
  return event.request === undefined ? workers : { ...workers, event: { ...event, request: { ...event.request, headers } } };
}

// --- spans --------------------------------------------------------------------------------------------------

function spanRows(common: Common, worker: ObservedWorker, sampleInterval: number): Row[] {
  const { invocation } = common;
  const shown = ownSpans(invocation.spans);
  const everywhere = {
    "cloud.provider": "cloudflare",
    "cloud.platform": "cloudflare.workers",
    "faas.name": worker.scriptName,
    "faas.invocation_id": invocation.invocationId,
    "faas.version": worker.versionTag ?? worker.versionId,
    "service.name": worker.scriptName,
    "cloudflare.script_name": worker.scriptName,
    "cloudflare.script_version.id": worker.versionId,
    "telemetry.sdk.language": "javascript",
    "telemetry.sdk.name": "cloudflare",
  };
  const root = {
    id: invocation.spanId,
    parentId: invocation.parentSpanId,
    name: invocation.info.type === "fetch" ? String(invocation.info.method) : common.eventType,
    start: invocation.start,
    end: invocation.end,
    outcome: invocation.outcome,
    attributes: { ...rootAttributes(common), ...invocation.attributes },
  };
  return [root, ...shown].map((span, i) =>
    spanRow(
      common,
      { ...span, attributes: { ...everywhere, "cloudflare.invocation.sequence.number": i, ...span.attributes } },
      sampleInterval,
    ),
  );
}

/** Without what bindings do inside: their calls to the platform, which carry its own addresses. */
function ownSpans(spans: readonly SpanRecord[]): SpanRecord[] {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const inside = (span: SpanRecord): boolean => {
    for (
      let parent = byId.get(span.parentId), depth = 0;
      parent !== undefined && depth < 100;
      parent = byId.get(parent.parentId), depth++
    ) {
      if (BINDING_SPAN.test(parent.name)) return true;
    }
    return false;
  };
  return spans.filter((span) => !inside(span));
}

function rootAttributes({ invocation, rayId, url }: Common): Record<string, unknown> {
  const { info, statusCode } = invocation;
  return {
    "faas.trigger": info.type === "fetch" ? "http" : info.type === "scheduled" ? "timer" : info.type === "queue" ? "pubsub" : info.type,
    "cloudflare.outcome": invocation.outcome,
    "cloudflare.execution_model": invocation.executionModel,
    "cloudflare.wall_time_ms": invocation.end - invocation.start,
    "cloudflare.cpu_time_ms": invocation.cpuTimeMs,
    ...(rayId !== undefined && { "cloudflare.ray_id": rayId }),
    ...(invocation.durableObjectId !== undefined && { "cloudflare.durable_object.id": invocation.durableObjectId }),
    ...(info.type === "fetch" && { "http.request.method": info.method, "url.full": url }),
    ...(statusCode !== undefined && { "http.response.status_code": statusCode }),
  };
}

interface Span {
  readonly id: string;
  readonly parentId?: string | undefined;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly outcome?: string | undefined;
  readonly attributes: Readonly<Record<string, unknown>>;
}

function spanRow({ shared, invocation, trigger }: Common, span: Span, sampleInterval: number): Row {
  const duration = span.end - span.start;
  const isRoot = span.id === invocation.spanId;
  const [exception] = isRoot ? invocation.exceptions : [];
  const error =
    exception !== undefined ? `${exception.name}: ${exception.message}` : span.outcome === "exception" ? "exception" : undefined;
  return rowOf(shared, {
    dataset: "otel",
    timestamp: span.start,
    source: span.attributes,
    metadata: {
      type: "span",
      spanId: span.id,
      ...(span.parentId !== undefined && { parentSpanId: span.parentId }),
      spanName: span.name,
      transactionName: trigger,
      startTime: span.start,
      endTime: span.end,
      // Clients take a duration for a number above 0.
      ...(duration > 0 && { duration }),
      ...(error !== undefined && { error }),
      ...(isRoot && invocation.statusCode !== undefined && { statusCode: invocation.statusCode }),
    },
    sampleInterval,
    ...(duration === 0 && { hidden: { "$metadata.duration": 0 } }),
  });
}
