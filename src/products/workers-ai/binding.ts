/**
 * The binding type "ai": `env.AI` is the class that workerd ships in `cloudflare-internal:ai-api`. Models and conversions are
 * answered here; other paths of the class (`env.AI.gateway`, `autorag`) by the products that have registered for them.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { readBody } from "../../kernel/api/body.ts";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { BindingFront, ModelAnswer } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { BindingCompiler, CapabilityMint, Claims } from "../../kernel/product.ts";
import { type Answers, failureBody, jsonOf } from "./answers.ts";
import { type Catalogue, modelView, searchModels } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import { supported } from "./markdown/formats.ts";
import { conversionOptions, type Markdown } from "./markdown/markdown.ts";
import { checked } from "./task.ts";

/** `front`: what stands before the service, if there is such. */
export function aiBinding(mint: CapabilityMint, front: () => BindingFront | undefined): BindingCompiler {
  return {
    validate: async (binding) => ({ type: "ai", name: binding.name }),
    async compile(binding) {
      const inner = "ai";
      const { service, services } = front()?.(inner) ?? { service: inner, services: [] };
      return {
        bindings: [
          { name: binding.name, wrapped: { moduleName: "cloudflare-internal:ai-api", innerBindings: [{ name: "fetcher", service }] } },
        ],
        services: [mint.node(inner, {}), ...services],
      };
    },
  };
}

/** Serves paths of the binding's class that belong to another product. */
export type PathServer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export interface AiDoor {
  readonly answers: Answers;
  readonly catalogue: Catalogue;
  readonly markdown: Markdown;
  /** By the first part of the path: "ai-gateway". */
  readonly others: ReadonlyMap<string, PathServer>;
  readonly requestMaxBytes: number;
  readonly idleTimeoutMs: number;
}

/** Documented for tags of a request. */
const TAGS_MAX = 5;
const TAG = /^[\p{L}\p{N}:\-./@]{1,50}$/u;

/** Serves what the binding's class asks of `https://workers-binding.ai`. */
export async function serveAi(door: AiDoor, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url as string, "http://ai");
  const other = door.others.get(url.pathname.split("/")[1] as string);
  if (other !== undefined) return other(request, response);
  try {
    if (url.pathname === "/run") return await run(door, url, request, response);
    if (url.pathname === "/ai-api/models/search") {
      const { result } = numberedPage(searchModels(door.catalogue.all(), url.searchParams).map(modelView), url.searchParams, 1000, 1000);
      return json(response, 200, { success: true, result, errors: [], messages: [] });
    }
    if (url.pathname === "/to-everything/markdown/supported") return json(response, 200, { success: true, result: supported });
    if (url.pathname === "/to-everything/markdown/transformer") return await toMarkdown(door, request, response);
    throw aiError("notImplemented", `${url.pathname} of the binding is not implemented by this version of Freehold`);
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    request.resume();
    json(response, error.spec.status, failureBody(error));
  }
}

async function run(door: AiDoor, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { model, contentType, body, query } = await requestOf(url, request, door);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  await send(await door.answers.answer({ path: `run/${model}`, query, contentType, body, bare: true }, gone.signal), response);
}

const conversion = z.object({
  files: z.array(z.object({ name: z.string(), mimeType: z.string(), data: z.string() })),
  options: z.looseObject({ conversionOptions: conversionOptions.optional() }).optional(),
});

async function toMarkdown(door: AiDoor, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // A third is added by the base64 that the class writes.
  const read = await readBody(request, { maxBytes: 2 * door.requestMaxBytes, idleTimeoutMs: door.idleTimeoutMs });
  const { files, options } = checked(conversion, jsonOf(read));
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const given = files.map(({ data, ...file }) => ({ ...file, bytes: Buffer.from(data, "base64") }));
  json(response, 200, { success: true, result: await door.markdown.convert(given, options?.conversionOptions ?? {}, gone.signal) });
}

/** WebSockets to models (`websocket: true`) are refused by name. */
export async function refuseUpgrade(_claims: Claims, _request: IncomingMessage, socket: Duplex): Promise<void> {
  const text = JSON.stringify(
    failureBody(aiError("notImplemented", "WebSockets to models are not implemented by this version of Freehold")),
  );
  const head = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 501 Not Implemented\r\n${head}\r\n\r\n${text}`);
}

/** A call of `env.AI.run`, with its options where REST has them: in the query. */
async function requestOf(url: URL, request: IncomingMessage, limits: Pick<AiDoor, "requestMaxBytes" | "idleTimeoutMs">) {
  const read = await readBody(request, { maxBytes: limits.requestMaxBytes, idleTimeoutMs: limits.idleTimeoutMs });
  const contentType = request.headers["content-type"] ?? "";
  const model = modelIn(request);
  const query = new URLSearchParams();
  if (url.searchParams.has("userInputs")) {
    query.set("userInputs", url.searchParams.get("userInputs") as string);
    return { model, contentType, body: read, query };
  }
  const { inputs, options } = jsonOf(read) as { inputs?: unknown; options?: { queueRequest?: unknown; tags?: unknown } };
  checkTags(options?.tags);
  if (options?.queueRequest === true) query.set("queueRequest", "true");
  return { model, contentType: "application/json", body: Buffer.from(JSON.stringify(inputs ?? null)), query };
}

/** The model's name without the `prefix` of the options. */
export function modelIn(request: IncomingMessage): string {
  const id = String(request.headers["cf-consn-model-id"] ?? "");
  return id.slice(id.search(/@|$/)) || id;
}

export function checkTags(tags: unknown): void {
  if (tags === undefined) return;
  if (!Array.isArray(tags) || new Set(tags).size > TAGS_MAX || !tags.every((tag) => typeof tag === "string" && TAG.test(tag)))
    throw aiError("invalidInput", `Error: 'tags': at most ${TAGS_MAX}, each of at most 50 letters, numbers and : - . / @`);
}

/** Passes an answer on as it comes; one that breaks off is cut off for its reader, too. */
async function send(answer: ModelAnswer, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, answer.headers);
  response.flushHeaders();
  // The reader went away, or what runs the model did: whoever is left sees it by the connection.
  await pipeline(answer.body, response).catch(() => response.destroy());
}

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}
