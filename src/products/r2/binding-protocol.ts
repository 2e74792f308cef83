/**
 * The protocol between workerd's R2 classes and us (workerd's `r2-api.capnp` and `r2-rpc.c++`). Reads are GETs
 * with the request as JSON in `cf-r2-request`; writes are PUTs whose body begins with that JSON, of
 * `cf-r2-metadata-size` bytes. Answers begin with JSON of a size told by the same header, then the object's
 * bytes; errors travel in `cf-r2-error`. Which bucket it is about is in the capability's claims alone.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PlatformError } from "../../kernel/errors.ts";
import type { Claims } from "../../kernel/product.ts";
import { type ReadRequest, readBinding } from "./binding-reads.ts";
import { ConditionFailed, headResponse, sendJson } from "./binding-wire.ts";
import { type WriteRequest, writeBinding } from "./binding-writes.ts";
import { requireBucket } from "./buckets.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import type { Jurisdiction } from "./model.ts";
import { recycle } from "./recycle.ts";
import { usageName } from "./usage.ts";

/** A thousand longest keys, escaped. */
const METADATA_MAX_BYTES = 16 * 1024 * 1024;

/** S3's names of the binding's methods. */
const ACTIONS: Readonly<Record<string, string>> = {
  head: "HeadObject",
  get: "GetObject",
  list: "ListObjects",
  put: "PutObject",
  delete: "DeleteObject",
  createMultipartUpload: "CreateMultipartUpload",
  uploadPart: "UploadPart",
  completeMultipartUpload: "CompleteMultipartUpload",
  abortMultipartUpload: "AbortMultipartUpload",
};

function countUse(r2: R2, claims: Claims, method: string, response: ServerResponse): void {
  const action = Object.hasOwn(ACTIONS, method) ? (ACTIONS[method] as string) : "Unknown";
  const sent = Number(response.getHeader("content-length") ?? 0) - Number(response.getHeader("cf-r2-metadata-size") ?? 0);
  const name = usageName({ jurisdiction: claims.jurisdiction as string, name: claims.bucket as string });
  r2.usage.count({ bucket: name, action, status: response.statusCode, bytes: action === "GetObject" ? Math.max(0, sent) : 0 });
}

export async function serveBinding(r2: R2, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const bucket = () => requireBucket(r2, claims.bucket as string, claims.jurisdiction as Jurisdiction);
    if (request.method === "GET") {
      const read = parse<ReadRequest>(headerText(request));
      response.once("finish", () => countUse(r2, claims, read.method, response));
      await readBinding(r2, await bucket(), read, response);
    } else {
      const size = Number(request.headers["cf-r2-metadata-size"]);
      if (!Number.isInteger(size) || size < 1 || size > METADATA_MAX_BYTES) throw r2Error("invalidArgument", "Metadata missing or invalid");
      const { prefix, rest } = await splitPrefix(request, size);
      const length = Number(request.headers["content-length"]);
      const body = { chunks: rest, length: Number.isInteger(length) ? length - size : undefined };
      const write = parse<WriteRequest>(prefix.toString("utf8"));
      response.once("finish", () => countUse(r2, claims, write.method, response));
      await writeBinding(r2, await bucket(), write, body, response);
    }
  } catch (error) {
    fail(r2, request, response, error);
  }
}

/** Headers are bytes; Node reads them as Latin-1. */
const headerText = (request: IncomingMessage): string =>
  Buffer.from(String(request.headers["cf-r2-request"] ?? ""), "latin1").toString("utf8");

function parse<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw r2Error("invalidArgument", "Metadata missing or invalid", { cause });
  }
}

/** The first `size` bytes, and an iterator over what follows. */
async function splitPrefix(request: IncomingMessage, size: number): Promise<{ prefix: Buffer; rest: AsyncIterable<Buffer> }> {
  const chunks = request[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const collected: Buffer[] = [];
  let have = 0;
  while (have < size) {
    const { done, value } = await chunks.next();
    if (done) throw r2Error("incompleteBody");
    collected.push(value);
    have += value.length;
  }
  const all = collected.length === 1 ? (collected[0] as Buffer) : Buffer.concat(collected);
  const first = all.subarray(size);
  async function* rest(): AsyncGenerator<Buffer> {
    if (first.length > 0) yield first;
    for (;;) {
      const { done, value } = await chunks.next();
      if (done) return;
      yield value;
      recycle(value);
    }
  }
  return { prefix: all.subarray(0, size), rest: rest() };
}

/** JSON for a header: everything outside ASCII escaped. */
const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

function fail(r2: R2, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  // A Worker that went away in the middle of a call is no failure of ours, and nobody is left to tell.
  if (response.destroyed || response.headersSent || (request.destroyed && !request.complete)) {
    response.destroy();
    return;
  }
  const conditional = error instanceof ConditionFailed;
  let known = conditional ? r2Error("preconditionFailed") : error;
  if (!(known instanceof PlatformError)) {
    r2.log.error("r2.binding_failed", { error });
    known = r2Error("internal");
  }
  const { spec, message } = known as PlatformError;
  const header = asciiJson({ version: 1, v4code: spec.apiCode, message });
  if (conditional) sendJson(response, headResponse(error.object), spec.status, { "cf-r2-error": header });
  else response.writeHead(spec.status, { "cf-r2-error": header, "content-length": 0 }).end();
}
