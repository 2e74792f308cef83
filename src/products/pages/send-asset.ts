/**
 * Sends what `asset-server.ts` decided, at the client's pace; compressed where the client takes it and the type gains by it.
 * https://developers.cloudflare.com/pages/configuration/serving-pages/#behavior
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createBrotliCompress, createGzip } from "node:zlib";
import type { BlobStore } from "../../kernel/blobs/blobs.ts";
import type { AssetAnswer } from "./asset-server.ts";

/** Below this nothing is gained (docs: Speed, compression). */
const COMPRESSED_MIN_BYTES = 50;
const COMPRESSIBLE =
  /^(text\/|application\/(javascript|json|manifest\+json|xml|wasm|x-javascript|[\w.-]+\+(json|xml))|image\/(svg\+xml|bmp|x-icon)|font\/(ttf|otf))/;

export interface SendOptions {
  /** Whether the answer may be compressed: not on the way to a Function. */
  readonly compress: boolean;
}

export async function sendAsset(
  blobs: BlobStore,
  { status, headers, body }: AssetAnswer,
  request: IncomingMessage,
  response: ServerResponse,
  { compress }: SendOptions,
): Promise<void> {
  request.resume();
  const type = headers.get("content-type") ?? "";
  const size = typeof body === "object" ? body.size : Buffer.byteLength(body ?? "");
  const compressible = compress && size >= COMPRESSED_MIN_BYTES && COMPRESSIBLE.test(type);
  const encoding = compressible ? encodingFor(String(request.headers["accept-encoding"] ?? "")) : undefined;
  if (compressible) headers.append("vary", "Accept-Encoding");
  if (encoding !== undefined) {
    headers.set("content-encoding", encoding);
    // As documented for encoded answers: nobody on the way may change them.
    const others = headers.get("cache-control");
    headers.set("cache-control", others === null ? "no-transform" : `${others}, no-transform`);
    const etag = headers.get("etag");
    if (etag !== null && !etag.startsWith("W/")) headers.set("etag", `W/${etag}`);
  } else if (status !== 304) {
    headers.set("content-length", String(size));
  }
  for (const [name, value] of headers) response.appendHeader(name, value);
  response.writeHead(status);
  if (body === undefined || request.method === "HEAD") {
    response.end();
    return;
  }
  const bytes = typeof body === "object" ? await blobs.read(body.blob) : Readable.from([Buffer.from(body)]);
  try {
    if (encoding === undefined) await pipeline(bytes, response);
    else await pipeline(bytes, compressor(encoding), response);
  } catch (error) {
    // A client that goes away in the middle is no failure of ours.
    if (!response.destroyed) throw error;
  }
}

/** The best of what a client takes. */
function encodingFor(accepted: string): "br" | "gzip" | undefined {
  const weights = new Map(
    accepted.split(",").map((item) => {
      const [name = "", q] = item
        .trim()
        .toLowerCase()
        .split(/\s*;\s*q=/);
      return [name, q === undefined ? 1 : Number(q)] as const;
    }),
  );
  const weight = (name: string): number => weights.get(name) ?? weights.get("*") ?? 0;
  if (weight("br") > 0 && weight("br") >= weight("gzip")) return "br";
  return weight("gzip") > 0 ? "gzip" : undefined;
}

const compressor = (encoding: "br" | "gzip") =>
  encoding === "gzip" ? createGzip() : createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
