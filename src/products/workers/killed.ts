/**
 * The trace of an invocation that ended with its process: nothing inside could tell it any more, so that the platform
 * does. It is what `tail()` handlers and live tails get of others, without the logs.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TelemetryRates } from "../../kernel/capabilities.ts";
import type { InvocationRecord } from "../../kernel/invocation-record.ts";
import type { Exceeded } from "../../kernel/workerd/runtime.ts";
import type { TraceItem } from "./tails.ts";

const messages: Readonly<Record<Exceeded, string>> = {
  exceededCpu: "Worker exceeded CPU time limit.",
  exceededMemory: "Worker exceeded memory limit.",
};

/** Names of headers whose values nobody is to read in a trace (docs: Tail handler, `TailRequest`). */
const SECRET_HEADER = /^(set-)?cookie$|auth|key|secret|token|jwt/i;

/** The URL without what looks like an id or a secret: long hexadecimal numbers, and long mixtures of cases and digits. */
export function redactedUrl(url: string): string {
  return url.replace(/[A-Za-z0-9+_-]{21,}/g, (run) => {
    const count = (set: RegExp): number => (run.match(set) ?? []).length;
    const isHex = /^[0-9a-f+_-]+$/i.test(run) && count(/[0-9a-f]/gi) >= 32;
    const isMixed = count(/[A-Z]/g) >= 2 && count(/[a-z]/g) >= 2 && count(/[0-9]/g) >= 2;
    return isHex || isMixed ? "REDACTED" : run;
  });
}

export interface KilledTrace extends TraceItem {
  readonly wallTime: number;
  readonly executionModel: string;
  readonly eventTimestamp: number;
  readonly event: {
    readonly request: { readonly method: string; readonly url: string; readonly headers: Readonly<Record<string, string>> };
  };
  readonly exceptions: readonly { readonly name: string; readonly message: string; readonly timestamp: number }[];
}

export function killedTrace(outcome: Exceeded, request: IncomingMessage, startedAt: number, endedAt: number, ray: string): KilledTrace {
  const scheme = (request.socket as { encrypted?: boolean }).encrypted === true ? "https" : "http";
  const headers: Record<string, string> = { "cf-ray": ray };
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = SECRET_HEADER.test(name) ? "REDACTED" : String(value);
  }
  const exception = { name: "Error", message: messages[outcome], timestamp: endedAt };
  return {
    outcome,
    wallTime: endedAt - startedAt,
    truncated: false,
    executionModel: "stateless",
    eventTimestamp: startedAt,
    event: { request: { method: request.method ?? "GET", url: redactedUrl(`${scheme}://${request.headers.host}${request.url}`), headers } },
    logs: [],
    exceptions: [exception],
    diagnosticsChannelEvents: [],
  };
}

/** The same as a record for what is kept of the Worker. */
export function killedRecord(
  { outcome, eventTimestamp, wallTime, executionModel, event, exceptions }: KilledTrace,
  rates: TelemetryRates,
): InvocationRecord {
  const { method, url, headers } = event.request;
  return {
    kept: { logs: Math.random() < rates.logs, traces: Math.random() < rates.traces },
    traceId: randomBytes(16).toString("hex"),
    spanId: randomBytes(8).toString("hex"),
    invocationId: randomBytes(16).toString("hex"),
    start: eventTimestamp,
    end: eventTimestamp + wallTime,
    executionModel,
    info: { type: "fetch", method, url, headers: Object.entries(headers).map(([name, value]) => ({ name, value })) },
    logs: [],
    exceptions: exceptions.map(({ timestamp, name, message }) => ({ time: timestamp, name, message })),
    channelEvents: [],
    spans: [],
    attributes: {},
    outcome,
    truncated: false,
  };
}
