/**
 * The HTTP protocol of workerd's Vectorize binding (`cloudflare-internal:vectorize-api`, which is in its executable): its
 * paths are named like its methods, vectors come as NDJSON, and a refusal is `{ code, error }`, from which the binding makes
 * "VECTOR_QUERY_ERROR (code = N): text". The index comes from the capability alone.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PlatformError } from "../../kernel/errors.ts";
import type { Claims } from "../../kernel/product.ts";
import { vectorizeError } from "./errors.ts";
import type { Index, Indexes } from "./indexes.ts";
import { BINDING_BATCH_MAX, UPLOAD_MAX_BYTES } from "./limits.ts";
import type { Operations } from "./operations.ts";
import { readVectors } from "./vector-input.ts";

/** Of a query or a list of ids. */
const BODY_MAX_BYTES = 1024 * 1024;

export interface Door {
  readonly indexes: Indexes;
  readonly operations: Operations;
}

export async function serveBinding(door: Door, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = (status: number, body: unknown): void => {
    const text = JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
  };
  try {
    answer(200, await serve(door, door.indexes.require(claims.index as string), request));
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    // Read to its end: the binding reports a lost connection, not the refusal, when it cannot finish.
    for await (const _ of request);
    answer(error.spec.status, { code: error.spec.apiCode, error: error.message });
  }
}

async function serve({ operations }: Door, index: Index, request: IncomingMessage): Promise<unknown> {
  switch (`${request.method} ${request.url}`) {
    case "GET /info":
      return operations.info(index);
    case "POST /insert":
    case "POST /upsert": {
      const kind = request.url === "/insert" ? "insert" : "upsert";
      const options = { dimensions: index.dimensions, most: BINDING_BATCH_MAX };
      return operations.write(index, kind, await readVectors(bounded(request, UPLOAD_MAX_BYTES), "application/x-ndjson", options));
    }
    case "POST /query":
      return operations.query(index, await jsonOf(request));
    case "POST /getByIds":
      return operations.getByIds(index, await jsonOf(request));
    case "POST /deleteByIds":
      return operations.deleteByIds(index, await jsonOf(request));
    default:
      throw vectorizeError("invalidBody", `There is no operation ${request.method} ${request.url}`);
  }
}

async function* bounded(request: IncomingMessage, maxBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > maxBytes) throw vectorizeError("invalidBody", `The request body is larger than ${maxBytes} bytes`);
    yield chunk;
  }
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bounded(request, BODY_MAX_BYTES)) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw vectorizeError("invalidBody", `Failed to parse the request body as JSON: ${(cause as Error).message}`, { cause });
  }
}
