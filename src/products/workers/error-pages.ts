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
  // The status is not documented.
  loop: {
    status: 508,
    number: 1019,
    name: "worker_loop_limit",
    title: "Worker hit loop limit",
    text: "The request went through Workers too many times: they call each other in a loop.",
  },
  // "error code: 1042" is what Worker code sees of it.
  sameZone: {
    status: 404,
    number: 1042,
    name: "worker_fetch_same_zone",
    title: "Worker fetched a Worker of its own zone",
    text: "error code: 1042. A Worker cannot reach another one of its account by host name: use a service binding, or the compatibility flag global_fetch_strictly_public.",
  },
  dailyLimit: {
    status: 429,
    number: 1027,
    name: "worker_daily_limit",
    title: "Daily request limit exceeded",
    text: "The Workers of this account have had all the requests that they may have today. Please come back tomorrow.",
  },
  // wrangler opens a new session at "error code: 1031" or this text.
  previewInvalid: {
    status: 400,
    number: 1031,
    name: "preview_token_invalid",
    title: "Invalid Workers Preview configuration",
    text: "Invalid Workers Preview configuration: the preview does not exist, has expired, or is not for this URL.",
  },
  tooLarge: { status: 413, title: "Payload Too Large", text: "The request's body is larger than this platform accepts." },
  uriTooLong: { status: 414, title: "URI Too Long", text: "The request's URL is longer than 16 KB." },
  slow: { status: 408, title: "Request Timeout", text: "The request's body was not received in time." },
} satisfies Record<string, ErrorPage>;

/** Pages for an origin that does not answer (docs: Support, Troubleshooting, HTTP status codes). */
export const originPages = {
  prohibited: {
    status: 403,
    number: 1000,
    name: "dns_points_to_prohibited_ip",
    title: "DNS points to prohibited IP",
    text: "The DNS record of this host name points to an address that may not be reached from here.",
  },
  dns: {
    status: 530,
    number: 1016,
    name: "origin_dns_error",
    title: "Origin DNS error",
    text: "The address of this host name's origin could not be found.",
  },
  down: { status: 521, title: "Web server is down", text: "The origin of this host name refused the connection." },
  timeout: { status: 522, title: "Connection timed out", text: "The origin of this host name could not be reached in time." },
} satisfies Record<string, ErrorPage>;
