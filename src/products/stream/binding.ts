/**
 * The binding types "stream" and "media". Each is a small Worker of ours (`binding.worker.ts`) over a way to the platform:
 * Stream's requests are those of the REST API, as a principal that may do with videos what it likes and nothing else; media
 * transformations are bytes that come and go, and are kept nowhere.
 */
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { bodyChunks, parseJson } from "../../kernel/api/body.ts";
import type { Principal } from "../../kernel/api/tokens.ts";
import type { BindingCompiler, CapabilityMint, Claims, KernelSlice } from "../../kernel/product.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { transformOptions } from "./transform-options.ts";
import { type MediaTransforms, SOURCE_MAX_BYTES, TransformError, transformErrorOf } from "./transforms.ts";
import type { Turns } from "./turns.ts";
import { newUid } from "./videos.ts";

const GROUPS: readonly string[] = ["Stream Read", "Stream Write"];
const WORKER: Principal = { tokenId: "", tokenName: "Worker binding", policies: [], can: (group) => GROUPS.includes(group) };

export function streamBindings(mint: CapabilityMint): Readonly<Record<string, BindingCompiler>> {
  const compiler = (kind: "stream" | "media", entrypoint: string): BindingCompiler => ({
    validate: async ({ type, name }) => ({ type, name }),
    compile: async ({ name }) => {
      const service = `stream:binding:${kind}`;
      return {
        bindings: [{ name, service: { name: service, entrypoint } }],
        services: [
          mint.node(`${service}:door`, { kind }),
          {
            name: service,
            worker: {
              modules: workerModules(import.meta.url, "./binding.worker.ts"),
              compatibilityDate: "2026-01-01",
              bindings: [{ name: "PLATFORM", service: `${service}:door` }],
            },
          },
        ],
      };
    },
  });
  return { stream: compiler("stream", "Stream"), media: compiler("media", "Media") };
}

export function bindingServer(kernel: KernelSlice, transforms: MediaTransforms, turns: Turns) {
  const { accountId, api, config, log } = kernel;

  /** A request of the REST API below `/stream`. */
  async function rest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const { pathname, search } = new URL(request.url as string, "http://stream");
    const withBody = request.method === "POST" || request.method === "PUT";
    const type = request.headers["content-type"];
    const asked = new Request(`http://api/client/v4/accounts/${accountId}/stream${pathname === "/" ? "" : pathname}${search}`, {
      method: request.method as string,
      signal: gone.signal,
      ...(type !== undefined && { headers: { "content-type": type } }),
      ...(withBody && { body: Readable.toWeb(request) as ReadableStream, duplex: "half" }),
    });
    if (!withBody) request.resume();
    const answer = await api(asked, WORKER);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body === null) response.end();
    else await pipeline(Readable.fromWeb(answer.body as never), response).catch(() => response.destroy());
  }

  async function media(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = join(kernel.directory, "transforms", newUid());
    try {
      const options = optionsOf(new URL(request.url as string, "http://stream").searchParams.get("options"));
      const limits = { maxBytes: SOURCE_MAX_BYTES, idleTimeoutMs: config["gateway.body_idle_timeout_ms"] };
      await pipeline(bodyChunks(request, limits), createWriteStream(path));
      const { type, bytes } = await turns.take(() => transforms.transform(path, options));
      response.writeHead(200, { "content-type": type, "content-length": bytes.byteLength }).end(bytes);
    } catch (error) {
      request.resume();
      const { number, message, status } = transformErrorOf(error);
      if (status === 500) log.error("stream.transform_failed", { error });
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ code: number, message }));
    } finally {
      await rm(path, { force: true });
    }
  }

  return (claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> =>
    claims.kind === "media" ? media(request, response) : rest(request, response);
}

function optionsOf(text: string | null) {
  const given = parseJson(text ?? "{}");
  const entries = Object.entries((given ?? {}) as object).flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]]));
  const options = transformOptions(Object.fromEntries(entries));
  if ("wrong" in options) throw new TransformError(9401, options.wrong);
  return options;
}
