/**
 * The trace of an invocation that ended with its process: nothing inside could tell it any more, so that the platform
 * does. It is what `tail()` handlers and live tails get of others, without the logs.
 */
import type { IncomingMessage } from "node:http";
import type { Exceeded } from "../../kernel/workerd/runtime.ts";
import type { TraceItem } from "./tails.ts";

const messages: Readonly<Record<Exceeded, string>> = {
  exceededCpu: "Worker exceeded CPU time limit.",
  exceededMemory: "Worker exceeded memory limit.",
};

export function killedTrace(outcome: Exceeded, request: IncomingMessage, startedAt: number, endedAt: number, ray: string): TraceItem {
  const scheme = (request.socket as { encrypted?: boolean }).encrypted === true ? "https" : "http";
  const headers: Record<string, string> = { "cf-ray": ray };
  for (const [name, value] of Object.entries(request.headers)) if (value !== undefined) headers[name] = String(value);
  const exception = { name: "Error", message: messages[outcome], timestamp: endedAt };
  return {
    outcome,
    wallTime: endedAt - startedAt,
    truncated: false,
    executionModel: "stateless",
    eventTimestamp: startedAt,
    event: { request: { method: request.method ?? "GET", url: `${scheme}://${request.headers.host}${request.url}`, headers } },
    logs: [],
    exceptions: [exception],
    diagnosticsChannelEvents: [],
  };
}
