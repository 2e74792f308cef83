/**
 * Runs code that a model wrote, each time in a workerd process of its own that has nothing: no network, no storage, no other
 * code. What it may ask is the REST API, by a capability that names its run; the run holds the caller's credentials, and ends with
 * the answer, so that code which goes on by itself has nobody to ask. Not a Worker: it is stored nowhere.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Client } from "undici";
import { bodyChunks } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Claims, KernelSlice } from "../../kernel/product.ts";
import type { WorkerdConfig } from "../../kernel/workerd/config.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { newestDate } from "../../kernel/workerd/newest-date.ts";
import type { Lease, ProcessSpec } from "../../kernel/workerd/runtime.ts";
import { type Caller, ToolFailure } from "./tool.ts";

export interface Code {
  /** An async arrow function. */
  readonly source: string;
  /** Names that the code finds, with their values as JSON. */
  readonly globals: Readonly<Record<string, unknown>>;
  /** Whether it has `cloudflare.request()`. */
  readonly withApi: boolean;
}

/** What came of a run: the value, or what was thrown; and what the code printed. */
export interface Outcome {
  readonly result?: unknown;
  readonly error?: string;
  readonly logs: readonly string[];
}

export interface CodeRuns {
  /** Throws a `ToolFailure` for code that does not start, that takes too long, or for which there is no room now. */
  run(code: Code, caller: Caller): Promise<Outcome>;
  /** The REST API for code that runs. */
  internal(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void>;
  stop(): Promise<void>;
}

interface Run {
  readonly caller: Caller;
  requests: number;
}

const SOURCE_MAX = 100_000;
const OUTCOME_MAX_BYTES = 8 * 1024 * 1024;
/** Bodies to the API; what the API itself takes of a JSON body. */
const BODY_MAX_BYTES = 10 * 1024 * 1024;
/** CPU time until the code's module is there. */
const START_CPU_MS = 2_000;
const MAIN = "freehold-main.js";

export function openCodeRuns(kernel: KernelSlice): CodeRuns {
  const { runtime, config, clock } = kernel;
  const runs = new Map<string, Run>();
  const ends = new Set<Promise<unknown>>();

  function specOf(id: string, { source, globals, withApi }: Code): ProcessSpec {
    const modules = [
      { name: MAIN, esModule: mainModule() },
      // The parentheses keep statements out: what is not one expression does not start.
      { name: "freehold-code", esModule: `export default (\n${source}\n);` },
      { name: "freehold-globals", json: JSON.stringify(globals) },
    ];
    return {
      id: `mcp-${id}`,
      label: "mcp code",
      limits: { cpuMs: config["mcp.code_timeout_ms"], startCpuMs: START_CPU_MS, aliveSocket: "http" },
      output: (_, line) => kernel.log.debug("mcp.code_said", { run: id, line }),
      async plan(socket) {
        const workerd: WorkerdConfig = {
          services: [
            { name: "nowhere", network: { allow: [] } },
            ...(withApi ? [kernel.mint.node("api", { run: id })] : []),
            {
              name: "code",
              worker: {
                modules,
                compatibilityDate: newestDate(clock.now()),
                globalOutbound: "nowhere",
                bindings: withApi ? [{ name: "API", service: "api" }] : [],
              },
            },
          ],
          sockets: [{ name: "http", address: `unix:${socket("http")}`, http: {}, service: "code" }],
        };
        return { config: workerd, environment: {} };
      },
    };
  }

  async function outcomeOf(spec: ProcessSpec, caller: Caller): Promise<Outcome> {
    runtime.define(spec);
    const signal = AbortSignal.any([AbortSignal.timeout(config["mcp.code_timeout_ms"]), caller.gone]);
    let lease: Lease | undefined;
    try {
      lease = await runtime.lease(spec.id);
      return JSON.parse(await askProcess(lease.socket("http"), signal)) as Outcome;
    } catch (cause) {
      throw failureOf(cause, signal, lease, config["mcp.code_timeout_ms"]);
    } finally {
      lease?.release();
    }
  }

  return {
    async run(code, caller) {
      if (code.source.length > SOURCE_MAX) throw new ToolFailure(`The code is longer than ${SOURCE_MAX} characters`);
      if (runs.size + ends.size >= config["mcp.code_at_once"])
        throw new ToolFailure("Too much code is being run at the moment. Try again in a few seconds");
      const id = randomUUID();
      runs.set(id, { caller, requests: 0 });
      const spec = specOf(id, { ...code, source: code.source.trim().replace(/;+$/, "") });
      try {
        return await outcomeOf(spec, caller);
      } finally {
        // From here on the code is a stranger, also while its process still ends.
        runs.delete(id);
        const removed = runtime.remove(spec.id).catch((error: unknown) => kernel.log.error("mcp.code_not_ended", { run: id, error }));
        ends.add(removed);
        void removed.then(() => ends.delete(removed));
      }
    },
    async internal({ run: id }, request, response) {
      const run = runs.get(String(id));
      if (run === undefined) return refuse(response, 403, "This run is over");
      if (++run.requests > config["mcp.code_requests"]) return refuse(response, 429, "This run has made all its requests");
      const { pathname, search } = new URL(request.url as string, "http://api");
      const { method = "GET", headers } = request;
      const withBody = method !== "GET" && method !== "HEAD" && headers["content-length"] !== "0";
      const body = bodyChunks(request, { maxBytes: BODY_MAX_BYTES, idleTimeoutMs: config["gateway.body_idle_timeout_ms"] });
      const answer = await kernel.api(
        new Request(`http://api/client/v4${pathname}${search}`, {
          method,
          headers: { authorization: run.caller.authorization, ...(headers["content-type"] && { "content-type": headers["content-type"] }) },
          signal: run.caller.gone,
          ...(withBody && { body: ReadableStream.from(body) as unknown as ReadableStream<Uint8Array>, duplex: "half" }),
        }),
      );
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/octet-stream" });
      if (answer.body === null) return void response.end();
      // The code's process may have been ended meanwhile: its connection says so.
      await pipeline(Readable.fromWeb(answer.body as never), response).catch(() => response.destroy());
    },
    async stop() {
      await Promise.all(ends);
    },
  };
}

const mainModule = (): string => workerModule(import.meta.url, "./code.worker.ts");

async function askProcess(socketPath: string, signal: AbortSignal): Promise<string> {
  const client = new Client("http://code", { socketPath, headersTimeout: 0, bodyTimeout: 0 });
  try {
    const { body } = await client.request({ method: "POST", path: "/", signal });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength;
      if (size > OUTCOME_MAX_BYTES) throw new ToolFailure(`The code's result is larger than ${OUTCOME_MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  } finally {
    await client.destroy();
  }
}

/** Why there is no outcome, in words for whoever wrote the code. */
function failureOf(cause: unknown, signal: AbortSignal, lease: Lease | undefined, timeoutMs: number): unknown {
  if (cause instanceof ToolFailure) return cause;
  if (signal.aborted || lease?.condemned())
    return new ToolFailure(`The code was ended: it took longer than ${timeoutMs / 1_000} s, or too much memory`);
  if (cause instanceof PlatformError && cause.code === "runtime.startFailed")
    return new ToolFailure(`The code does not start: ${cause.message}`);
  if (lease !== undefined) return new ToolFailure("The code's process ended: it took too much memory, or failed");
  return cause;
}

function refuse(response: ServerResponse, status: number, message: string): void {
  const body = { success: false, errors: [{ code: 10_000, message }], messages: [], result: null };
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
