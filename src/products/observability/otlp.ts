/** Stored events as OpenTelemetry's own JSON (OTLP/HTTP): spans and log records by the Worker that they are of. */
import type { Row, TelemetryEvent } from "./telemetry-event.ts";

export type ExportKind = "traces" | "logs";

interface Attribute {
  readonly key: string;
  readonly value: unknown;
}

const SCOPE = { name: "freehold.workers" };
const SERVER = 2;
const INTERNAL = 1;
const ERROR = 2;

/** OpenTelemetry's numbers of what `console` calls its levels. */
const severities: Readonly<Record<string, number>> = { debug: 5, log: 9, info: 9, warn: 13, error: 17 };

export function otlp(kind: ExportKind, rows: readonly Row[]): unknown {
  const events = rows.map(({ event }) => JSON.parse(event) as TelemetryEvent);
  const byWorker = [...Map.groupBy(events, ({ $metadata }) => $metadata.service)];
  const resource = (service: string) => ({
    attributes: attributes({ "service.name": service, "cloud.provider": "cloudflare", "cloud.platform": "cloudflare.workers" }),
  });
  return kind === "traces"
    ? {
        resourceSpans: byWorker.map(([service, own]) => ({
          resource: resource(service),
          scopeSpans: [{ scope: SCOPE, spans: own.map(spanOf) }],
        })),
      }
    : {
        resourceLogs: byWorker.map(([service, own]) => ({
          resource: resource(service),
          scopeLogs: [{ scope: SCOPE, logRecords: own.map(recordOf) }],
        })),
      };
}

const nanos = (ms: unknown): string => `${Math.round(Number(ms))}000000`;

function spanOf({ $metadata, source }: TelemetryEvent) {
  const { traceId, spanId, parentSpanId, spanName, startTime, endTime, error } = $metadata;
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name: spanName,
    kind: parentSpanId === undefined ? SERVER : INTERNAL,
    startTimeUnixNano: nanos(startTime),
    endTimeUnixNano: nanos(endTime),
    attributes: attributes(source as Record<string, unknown>),
    status: error === undefined ? {} : { code: ERROR, message: error },
  };
}

function recordOf({ timestamp, source, $metadata, $workers }: TelemetryEvent) {
  const { traceId, level, message, requestId, trigger } = $metadata;
  const fields = typeof source === "string" ? {} : source;
  return {
    timeUnixNano: nanos(timestamp),
    observedTimeUnixNano: nanos(timestamp),
    severityNumber: severities[String(level)] ?? severities.info,
    severityText: String(level).toUpperCase(),
    body: { stringValue: String(message) },
    ...(traceId !== undefined && { traceId }),
    attributes: attributes({
      ...fields,
      "faas.invocation_id": requestId,
      "cloudflare.trigger": trigger,
      "cloudflare.outcome": $workers?.outcome,
    }),
  };
}

const attributes = (values: Readonly<Record<string, unknown>>): Attribute[] =>
  Object.entries(values).flatMap(([key, value]) => (value === undefined || value === null ? [] : [{ key, value: anyValue(value) }]));

function anyValue(value: unknown): unknown {
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { stringValue: typeof value === "string" ? value : JSON.stringify(value) };
}
