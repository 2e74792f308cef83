/** Answers of the doors that show videos: whole, in part, or with the reason why not. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BlobRange } from "../../kernel/blobs/blobs.ts";

export class DeliveryError extends Error {
  readonly status: number;

  constructor(status: number, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.status = status;
  }
}

/** Players on any page may read what they are given; who is given something is decided before. */
export function corsHeaders({ headers }: IncomingMessage): Record<string, string> {
  return {
    "access-control-allow-origin": headers.origin ?? "*",
    "access-control-allow-methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "access-control-allow-headers": "*",
    "access-control-expose-headers": "Content-Length, Content-Range, ETag, Location, Stream-Media-Id, Preview-Start-Seconds",
    "x-content-type-options": "nosniff",
    vary: "Origin, Referer",
  };
}

export function answerBytes(
  { method }: IncomingMessage,
  response: ServerResponse,
  type: string,
  bytes: Buffer,
  headers: Readonly<Record<string, string>>,
  status = 200,
): void {
  response.writeHead(status, { ...headers, "content-type": type, "content-length": bytes.byteLength });
  response.end(method === "HEAD" ? undefined : bytes);
}

export const answerText = (
  request: IncomingMessage,
  response: ServerResponse,
  type: string,
  text: string,
  headers: Readonly<Record<string, string>>,
  status = 200,
): void => answerBytes(request, response, type, Buffer.from(text), headers, status);

export const answerJson = (
  request: IncomingMessage,
  response: ServerResponse,
  value: unknown,
  headers: Readonly<Record<string, string>>,
): void => answerText(request, response, "application/json", JSON.stringify(value), headers);

/** A file of that size, or the range of it that is asked for. */
export async function answerFile(
  { method, headers: { range } }: IncomingMessage,
  response: ServerResponse,
  read: (range: BlobRange) => Promise<Readable>,
  size: number,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const asked = range === undefined ? undefined : rangeFrom(range, size);
  if (asked === "none") return void response.writeHead(416, { ...headers, "content-range": `bytes */${size}` }).end();
  const part = asked ?? { offset: 0, length: size };
  const more = asked === undefined ? {} : { "content-range": `bytes ${part.offset}-${part.offset + part.length - 1}/${size}` };
  response.writeHead(asked === undefined ? 200 : 206, { ...headers, ...more, "accept-ranges": "bytes", "content-length": part.length });
  if (method === "HEAD") return void response.end();
  await pipeline(await read(part), response);
}

/** One range of bytes; more than one are answered with the whole file. */
function rangeFrom(header: string, size: number): BlobRange | "none" | undefined {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(header.trim()) ?? [];
  if (first === "" && last === "") return undefined;
  const offset = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return offset >= size || end < offset ? "none" : { offset, length: end - offset + 1 };
}

/** The one who asked went away. */
export const clientGone = (error: unknown): boolean =>
  ["ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET", "EPIPE"].includes(String((error as NodeJS.ErrnoException)?.code));
