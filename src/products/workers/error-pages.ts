/** The documented error pages of Workers (docs: Workers, Observability, Errors and exceptions). */
import type { ErrorPage } from "../../kernel/gateway/pages.ts";

export const errorPages = {
  exception: {
    status: 500,
    number: 1101,
    name: "worker_threw_exception",
    title: "Worker threw exception",
    text: "The Worker threw an exception while it handled this request. Its log has the details.",
  },
  resources: {
    status: 503,
    number: 1102,
    name: "worker_exceeded_resources",
    title: "Worker exceeded resource limits",
    text: "The Worker used more CPU time or memory than it may, and was ended.",
    retryable: true,
  },
  unavailable: {
    status: 500,
    number: 1101,
    name: "worker_threw_exception",
    title: "Worker threw exception",
    text: "The Worker could not be started. The platform's log has the details.",
  },
  tooLarge: { status: 413, title: "Payload Too Large", text: "The request's body is larger than this platform accepts." },
  uriTooLong: { status: 414, title: "URI Too Long", text: "The request's URL is longer than 16 KB." },
  slow: { status: 408, title: "Request Timeout", text: "The request's body was not received in time." },
} satisfies Record<string, ErrorPage>;
