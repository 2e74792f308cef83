/** Answers of the S3 door. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PlatformError } from "../../../kernel/errors.ts";
import { S3Error, type S3Failure, XML_TYPE, type XmlContent, xmlDocument, xmlError } from "../../../protocols/s3/index.ts";
import { SignatureError } from "../../../protocols/sigv4/index.ts";
import type { R2 } from "../context.ts";
import { s3Code } from "../errors.ts";
import type { S3Request } from "./request.ts";

type Headers = Readonly<Record<string, string | number | undefined>>;

/** Writes the head; headers that are undefined are left out. */
export function sendHead(response: ServerResponse, status: number, headers: Headers): void {
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
  response.writeHead(status);
}

export function sendXml(c: S3Request, root: string, content: XmlContent, headers: Headers = {}): void {
  const body = Buffer.from(xmlDocument(root, content));
  sendHead(c.response, 200, { ...headers, "content-type": XML_TYPE, "content-length": body.length });
  c.response.end(body);
}

export function sendEmpty(c: S3Request, status = 200, headers: Headers = {}): void {
  sendHead(c.response, status, { ...headers, "content-length": status === 204 ? undefined : 0 });
  c.response.end();
}

/** What an error is to a client: a documented failure, or InternalError for whatever else, which goes to the log. */
export function failureOf(r2: R2, error: unknown): S3Failure {
  if (error instanceof S3Error || error instanceof SignatureError) return error.failure;
  if (error instanceof PlatformError) return { status: error.spec.status, code: s3Code(error), message: error.message };
  r2.log.error("r2.s3_failed", { error });
  return { status: 500, code: "InternalError", message: "We encountered an internal error. Please try again." };
}

/** Sends an error document, without a body to HEAD. Nothing when an answer has begun: then the connection ends. */
export function sendFailure(response: ServerResponse, failure: S3Failure, head: boolean): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = Buffer.from(xmlError(failure));
  sendHead(response, failure.status, { "content-type": XML_TYPE, "content-length": head ? undefined : body.length });
  if (head) response.end();
  else response.end(body);
}

const DRAIN_MAX_BYTES = 32 * 1024 * 1024;
const DRAIN_MAX_MS = 2_000;

/**
 * Reads what is left of a refused body, within bounds: a client that is still sending would find its connection reset
 * and never see the answer. Resolves when the body has ended, or it is not worth waiting for.
 */
export function drain(request: IncomingMessage): Promise<void> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (request.complete || request.destroyed || announced > DRAIN_MAX_BYTES) return Promise.resolve();
  return new Promise((resolve) => {
    let bytes = 0;
    const done = () => {
      clearTimeout(timer);
      request.off("data", count).off("end", done).off("close", done);
      resolve();
    };
    const count = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > DRAIN_MAX_BYTES) done();
    };
    const timer = setTimeout(done, DRAIN_MAX_MS);
    request.on("data", count).on("end", done).on("close", done).resume();
  });
}
