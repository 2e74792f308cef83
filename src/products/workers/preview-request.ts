/**
 * A request to a preview exactly as its sender writes it, and the answer as it came: what the editor's HTTP tab shows. It
 * enters by the gateway like every other request. Nothing is followed, kept or interpreted; the answer is cut at a bound.
 */
import { isUtf8 } from "node:buffer";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { PlatformUrls } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";

export const REQUEST_MAX_BYTES = 10 * 1024 * 1024;
const ANSWER_MAX_BYTES = 1024 * 1024;
/** An answer that makes no progress for this long is given up. */
const IDLE_MS = 30_000;
/** The connection's own. */
const NOT_SENT = /^(?:host|connection|content-length|transfer-encoding|upgrade|expect|keep-alive|te|trailer|proxy-.*)$/i;

export const rawRequestSchema = z.object({
  /** `preview_url` of the upload. */
  preview_url: z.url().max(1000),
  method: z.string().regex(/^[A-Z]{1,20}$/),
  /** Path and query. */
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/)
    .max(16 * 1024),
  headers: z
    .array(z.tuple([z.string().min(1).max(1000), z.string().max(64 * 1024)]))
    .max(200)
    .default([]),
  body: z.string().optional(),
});

export interface RawAnswer {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Text, or base64 when the bytes are none. */
  readonly body: string;
  readonly binary: boolean;
  /** The answer was longer. */
  readonly truncated: boolean;
}

export async function sendRaw(urls: PlatformUrls, wanted: z.infer<typeof rawRequestSchema>): Promise<RawAnswer> {
  const { hostname, host } = new URL(wanted.preview_url);
  if (!hostname.endsWith(`.preview.${urls.domain}`)) throw workersError("previewExpired");
  try {
    return await readAnswer(await send(new URL(urls.gateway()), host, wanted));
  } catch (cause) {
    throw platformError("badRequest", `There was no whole answer: ${(cause as Error).message}`, { cause });
  }
}

function send(
  gateway: URL,
  host: string,
  { method, path, headers, body = "" }: z.infer<typeof rawRequestSchema>,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const lines = ["host", host, ...headers.filter(([name]) => !NOT_SENT.test(name)).flat()];
    if (body !== "") lines.push("content-length", String(Buffer.byteLength(body)));
    const address = { host: gateway.hostname.replace(/^\[|\]$/g, ""), port: gateway.port };
    const request = httpRequest({ ...address, method, path, headers: lines, agent: false, timeout: IDLE_MS }, resolve);
    request.once("error", reject);
    request.once("timeout", () => request.destroy(new Error("the Worker did not go on in time")));
    request.end(body);
  });
}

async function readAnswer(answer: IncomingMessage): Promise<RawAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Leaving the loop ends the connection, and with it an answer that has no end.
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > ANSWER_MAX_BYTES) break;
  }
  const bytes = Buffer.concat(chunks).subarray(0, ANSWER_MAX_BYTES);
  const truncated = size > ANSWER_MAX_BYTES;
  // A cut may go through a character, which then is replaced.
  const binary = !truncated && !isUtf8(bytes);
  const headers: [string, string][] = [];
  for (let i = 0; i < answer.rawHeaders.length; i += 2) headers.push([answer.rawHeaders[i] as string, answer.rawHeaders[i + 1] as string]);
  return {
    status: answer.statusCode as number,
    reason: answer.statusMessage ?? "",
    headers,
    body: bytes.toString(binary ? "base64" : "utf8"),
    binary,
    truncated,
  };
}
