/**
 * The body of an S3 request: unwrapped from aws-chunked, and everything that the client said of it collected into
 * one check: signed hash, Content-MD5, checksum header or trailer, length.
 */
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumLength,
  invalidRequest,
  notImplemented,
  XML_BODY_MAX_BYTES,
} from "../../../protocols/s3/index.ts";
import { ChunkedDecoder, payloadHashMismatch } from "../../../protocols/sigv4/index.ts";
import { digest } from "../digest.ts";
import { r2Error } from "../errors.ts";
import type { Body } from "../ingest.ts";
import type { DigestName, Digests } from "../model.ts";
import { recycle } from "../recycle.ts";
import { header, type S3Request } from "./request.ts";
import { sendFailure } from "./respond.ts";

export interface ClaimedChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64. */
  readonly value: string;
}

export interface CheckedBody {
  readonly body: Body;
  /** What `verify` needs. */
  readonly digests: readonly DigestName[];
  /** Once the body has been read: throws when it is not what the client said; returns the checksum that it gave. */
  verify(digests: Digests): ClaimedChecksum | undefined;
}

const headerName = (algorithm: ChecksumAlgorithm): string => `x-amz-checksum-${algorithm}`;

export function requestBody(c: S3Request): CheckedBody {
  const { payload } = c.authentication;
  const decoder =
    payload.kind === "chunked"
      ? new ChunkedDecoder({ trailer: payload.trailer, ...(payload.signed && { signature: c.signature }) })
      : undefined;
  let trailers: ReadonlyMap<string, string> = new Map();
  async function* chunks(): AsyncGenerator<Buffer> {
    const stop = watchProgress(c);
    try {
      // Leaving early must not destroy the connection: the refusal still has to go out on it.
      for await (const chunk of c.request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        if (decoder === undefined) yield chunk;
        else yield* decoder.push(chunk);
        recycle(chunk);
      }
      if (decoder !== undefined) trailers = decoder.finish();
    } finally {
      stop();
    }
  }

  const md5 = contentMd5(c);
  const claimed = headerChecksum(c);
  const trailed = trailerAlgorithm(c);
  const digests: DigestName[] = [];
  if (payload.kind === "hash") digests.push("sha256");
  if (md5 !== undefined) digests.push("md5");
  if (claimed !== undefined) digests.push(claimed.algorithm);
  if (trailed !== undefined) digests.push(trailed);

  return {
    body: { chunks: chunks(), length: contentLength(c, payload.kind === "chunked") },
    digests: [...new Set(digests)],
    verify(computed) {
      if (payload.kind === "hash" && computed.sha256 !== payload.sha256) throw payloadHashMismatch();
      if (md5 !== undefined && computed.md5 !== md5) throw badDigest("MD5", md5, computed.md5 as string);
      const claim = claimed ?? (trailed && trailerChecksum(trailed, trailers));
      if (claim === undefined) return undefined;
      const given = Buffer.from(claim.value, "base64").toString("hex");
      const actual = computed[claim.algorithm] as string;
      if (given !== actual) throw badDigest(claim.algorithm.toUpperCase(), given, actual);
      return claim;
    },
  };
}

const badDigest = (name: string, given: string, actual: string) =>
  r2Error(
    "badDigest",
    `The ${name} checksum you specified did not match what we received.\nYou provided a ${name} checksum with value: ${given}\nActual ${name} was: ${actual}`,
  );

/** Bytes of the body itself. Throws `r2.missingContentLength`. */
function contentLength(c: S3Request, chunked: boolean): number {
  const text = header(c, chunked ? "x-amz-decoded-content-length" : "content-length");
  // A request without a body may leave the length out; one with a body of unknown length may not.
  if (text === undefined && !chunked && header(c, "transfer-encoding") === undefined) return 0;
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw r2Error("missingContentLength");
  return Number(text);
}

function contentMd5(c: S3Request): string | undefined {
  const value = header(c, "content-md5");
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value, "base64");
  if (bytes.length !== 16 || bytes.toString("base64") !== value) throw r2Error("invalidDigest");
  return bytes.toString("hex");
}

/** The one `x-amz-checksum-…` header. Throws when there are several or the value is not one of the algorithm. */
export function headerChecksum(c: S3Request): ClaimedChecksum | undefined {
  const found = checksumAlgorithms.flatMap((algorithm) => {
    const value = header(c, headerName(algorithm));
    return value === undefined ? [] : [{ algorithm, value }];
  });
  if (found.length > 1) throw invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
  const [claim] = found;
  // The checksum of a multipart object may be followed by its number of parts.
  return claim && checkForm(claim, c.operation === "CompleteMultipartUpload");
}

function checkForm(claim: ClaimedChecksum, composite: boolean): ClaimedChecksum {
  const value = composite ? claim.value.replace(/-\d+$/, "") : claim.value;
  const bytes = Buffer.from(value, "base64");
  if (bytes.length !== checksumLength[claim.algorithm] || bytes.toString("base64") !== value) throw r2Error("invalidDigest");
  return claim;
}

function trailerAlgorithm(c: S3Request): ChecksumAlgorithm | undefined {
  if (c.authentication.payload.kind !== "chunked" || !c.authentication.payload.trailer) return undefined;
  const name = header(c, "x-amz-trailer")?.toLowerCase().trim();
  if (name === undefined || name === "") return undefined;
  const algorithm = checksumAlgorithms.find((one) => headerName(one) === name);
  if (algorithm === undefined) throw notImplemented(`Trailer '${name}'`);
  return algorithm;
}

function trailerChecksum(algorithm: ChecksumAlgorithm, trailers: ReadonlyMap<string, string>): ClaimedChecksum {
  const value = trailers.get(headerName(algorithm));
  if (value === undefined) throw invalidRequest(`The trailer ${headerName(algorithm)} was announced and is missing.`);
  return checkForm({ algorithm, value }, false);
}

/** A small body as text, checked. Throws `r2.entityTooLarge`. */
export async function readText(c: S3Request): Promise<string> {
  const { body, digests, verify } = requestBody(c);
  if ((body.length as number) > XML_BODY_MAX_BYTES) throw r2Error("entityTooLarge");
  const running = digests.map((name) => [name, digest(name)] as const);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body.chunks) {
    size += chunk.length;
    if (size > (body.length as number)) throw r2Error("incompleteBody");
    for (const [, one] of running) one.update(chunk);
    chunks.push(Buffer.from(chunk));
  }
  if (size !== body.length) throw r2Error("incompleteBody");
  verify(Object.fromEntries(running.map(([name, one]) => [name, one.digest().toString("hex")])));
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Ends a request whose client stopped sending in the middle of its body, with the answer that S3 has for it.
 * While we are the slower side there is always something waiting in the stream, and the client is not to blame.
 */
function watchProgress({ r2, request, response }: S3Request): () => void {
  const limitMs = r2.config["gateway.body_idle_timeout_ms"];
  let seen = -1;
  let idleMs = 0;
  const periodMs = Math.ceil(limitMs / 4);
  const timer = setInterval(() => {
    const { bytesRead } = request.socket;
    const idle = bytesRead === seen && request.readableLength === 0;
    seen = bytesRead;
    idleMs = idle ? idleMs + periodMs : 0;
    if (idleMs < limitMs) return;
    clearInterval(timer);
    if (!response.headersSent) {
      const failure = {
        status: 408,
        code: "RequestTimeout",
        message: "Your socket connection to the server was not read from or written to within the timeout period.",
      };
      response.once("finish", () => request.destroy());
      response.setHeader("connection", "close");
      sendFailure(response, failure, false);
    } else request.destroy();
  }, periodMs).unref();
  return () => clearInterval(timer);
}
