/**
 * Calls of user Workers: from the dispatch Worker that names one to its process, and from there to the outbound Worker that
 * takes its fetch(). What is said of a call (its limits, the parameters for the outbound Worker) goes along in headers that
 * user code neither sees nor sets; parameters pass by the user Worker sealed.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { UserCall } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { forward, forwardUpgrade } from "../../kernel/gateway/forward.ts";
import type { ConnectionPool } from "../../kernel/gateway/http-connection.ts";
import type { Claims, KernelSlice } from "../../kernel/product.ts";
import { type Invocations, statusOf } from "./invocations.ts";
import { EXCLUSIVE_DRAIN_MS, headerLines, isUncaught } from "./links.ts";
import { userWorkerName } from "./owner.ts";
import { CF_HEADER, entryName, PROTO_HEADER } from "./process.ts";
import type { Serving, VersionLease } from "./serving.ts";

export interface UserCalls {
  /** Passes a request on; a failure is an answer with the header `x-freehold-failure`, which the binding throws. */
  call(call: UserCall, request: IncomingMessage, response: ServerResponse): Promise<void>;
  upgrade(call: UserCall, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void>;
  /** Passes what a user Worker fetches on to its outbound Worker. */
  passOut(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void>;
  upgradeOut(claims: Claims, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void>;
}

const FAILURE = "x-freehold-failure";
const SUBREQUESTS = "x-freehold-subrequests";
const TOKEN = "x-freehold-call";
const PARAMETERS = "x-freehold-outbound";
const PURPOSE = "workers.outbound";
/** Parameters of one call, as JSON: they travel in a header. */
const PARAMETERS_MAX_BYTES = 16 * 1024;
/** The body's limit was the dispatch Worker's. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;
const IDLE_TIMEOUT_MS = 2 ** 31 - 1;
const ATTEMPTS = 3;
const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/** Texts of failures; the first and the second are documented ones' beginnings. */
const texts = {
  notFound: "Worker not found.",
  exceededCpu: "Worker exceeded CPU time limit.",
  exceededMemory: "Worker exceeded memory limit.",
  lost: "Network connection lost.",
  notStarted: "The Worker could not be started.",
  parameters: "The parameters of the outbound Worker are larger than 16 KB.",
} as const;

export function userCalls(
  { secrets, log }: KernelSlice,
  { pool, serving, invocations }: { pool: ConnectionPool; serving: Serving; invocations: Pick<Invocations, "begin" | "end"> },
): UserCalls {
  /** The process that serves the call, or why there is none. */
  async function leased({ namespace, worker, limits, outbound }: UserCall): Promise<VersionLease | string> {
    const name = userWorkerName(namespace, worker);
    try {
      const lease = await serving.lease(name, { outbound: outbound?.worker });
      if (limits?.cpuMs !== undefined) lease.allowCpuMs(limits.cpuMs);
      return lease;
    } catch (error) {
      if (error instanceof PlatformError && error.code === "workers.notFound") return texts.notFound;
      log.error("user_worker.unavailable", { worker: name, error });
      return texts.notStarted;
    }
  }

  /** The call's headers, or why it cannot be made. */
  function headersOf({ limits, outbound }: UserCall, { version }: VersionLease, request: IncomingMessage): string | undefined {
    let lines = headerLines(request, version.trusted === true ? [CF_HEADER, PROTO_HEADER] : [PROTO_HEADER]);
    if (limits?.subRequests !== undefined) lines += `${SUBREQUESTS}: ${limits.subRequests}\r\n`;
    if (outbound === undefined) return lines;
    const parameters = JSON.stringify(outbound.parameters);
    if (Buffer.byteLength(parameters) > PARAMETERS_MAX_BYTES) return undefined;
    return `${lines}${TOKEN}: ${secrets.seal(parameters, PURPOSE)}\r\n`;
  }

  async function call(called: UserCall, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const scriptName = userWorkerName(called.namespace, called.worker);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const lease = await leased(called);
      if (typeof lease === "string") return fail(request, response, lease);
      const headers = headersOf(called, lease, request);
      if (headers === undefined) {
        lease.release();
        return fail(request, response, texts.parameters);
      }
      const begun = invocations.begin(lease.version.id);
      const outcome = await forward(pool, request, response, {
        path: lease.socket("http"),
        headers,
        bodyMaxBytes: UNLIMITED,
        bodyIdleTimeoutMs: IDLE_TIMEOUT_MS,
        ...(lease.exclusive && { signal: lease.retired, signalGraceMs: EXCLUSIVE_DRAIN_MS }),
        condemned: lease.condemned,
        intercept(head) {
          lease.alive();
          return isUncaught(head);
        },
      });
      const fate = outcome === "broken" ? await lease.fate() : undefined;
      lease.release();
      const again = fate === "innocent" ? SAFE_METHODS.has(request.method as string) : outcome === "unreachable";
      if (again && !request.readableDidRead) continue;
      const status = statusOf[outcome];
      if (status !== undefined) invocations.end({ scriptName, versionId: lease.version.id }, status, begun);
      if (outcome === "done" || outcome === "aborted") return;
      return fail(request, response, fate === "exceededCpu" || fate === "exceededMemory" ? texts[fate] : texts.lost);
    }
    fail(request, response, texts.lost);
  }

  function fail(request: IncomingMessage, response: ServerResponse, text: string): void {
    request.resume();
    response.writeHead(500, { [FAILURE]: encodeURIComponent(text), "content-length": 0 }).end();
  }

  /** What goes to the outbound Worker with a request of a user Worker. */
  function outboundHeaders(request: IncomingMessage): string {
    const token = request.headers[TOKEN];
    const lines = headerLines(request, [PROTO_HEADER]);
    const parameters = typeof token === "string" ? opened(token) : undefined;
    return parameters === undefined ? lines : `${lines}${PARAMETERS}: ${Buffer.from(parameters).toString("base64")}\r\n`;
  }

  /** A token that is none was made up by user code. */
  function opened(token: string): string | undefined {
    try {
      return secrets.open(token, PURPOSE);
    } catch {
      return undefined;
    }
  }

  async function outboundLease(worker: string): Promise<VersionLease | undefined> {
    try {
      return await serving.lease(worker);
    } catch (error) {
      log.warn("outbound_worker.unavailable", { worker, error });
      return undefined;
    }
  }

  return {
    call,
    async upgrade(called, request, client, head) {
      client.on("error", () => client.destroy());
      const lease = await leased(called);
      const headers = typeof lease === "string" ? undefined : headersOf(called, lease, request);
      if (typeof lease === "string" || headers === undefined) {
        const text = typeof lease === "string" ? lease : texts.parameters;
        client.end(`HTTP/1.1 500 Internal Server Error\r\n${FAILURE}: ${encodeURIComponent(text)}\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      lease.openEnded();
      const outcome = await forwardUpgrade(request, client, head, { path: lease.socket("http"), headers, signal: lease.retired });
      lease.release();
      if (outcome !== "done") client.destroy();
    },
    async passOut({ worker }, request, response) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const lease = await outboundLease(String(worker));
        if (lease === undefined) break;
        const begun = invocations.begin(lease.version.id);
        const outcome = await forward(pool, request, response, {
          path: lease.socket(entryName({})),
          headers: outboundHeaders(request),
          bodyMaxBytes: UNLIMITED,
          bodyIdleTimeoutMs: IDLE_TIMEOUT_MS,
          // No answer at all makes the user Worker's fetch() throw.
          condemned: lease.condemned,
          intercept(head) {
            lease.alive();
            return isUncaught(head);
          },
        });
        lease.release();
        const status = statusOf[outcome];
        if (status !== undefined) invocations.end({ scriptName: String(worker), versionId: lease.version.id }, status, begun);
        if (outcome === "done" || outcome === "aborted") return;
        if (outcome !== "unreachable" || request.readableDidRead) break;
      }
      response.destroy();
    },
    async upgradeOut({ worker }, request, client, head) {
      client.on("error", () => client.destroy());
      const lease = await outboundLease(String(worker));
      if (lease === undefined) return void client.destroy();
      lease.openEnded();
      const path = lease.socket(entryName({}));
      const outcome = await forwardUpgrade(request, client, head, { path, headers: outboundHeaders(request), signal: lease.retired });
      lease.release();
      if (outcome !== "done") client.destroy();
    },
  };
}
