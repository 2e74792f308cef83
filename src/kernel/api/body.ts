/**
 * Reads request bodies within bounds: of size, and of time without progress, so that a client that never ends its body
 * does not hold a request for ever.
 */
import { platformError } from "../errors.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  readonly idleTimeoutMs: number;
}

/** How much of a body that is too large is still read, so that its sender hears why and can go on with the connection. */
const DISCARD_MAX_BYTES = 64 * 1024 * 1024;

/** The whole body. Throws `platform.bodyTooLarge` (413), `platform.requestTimeout` (408) or `platform.clientGone`. */
export async function readBody(body: AsyncIterable<Uint8Array> | null, limits: BodyLimits): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bodyChunks(body, limits)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The body piece by piece, for what is too large for memory. Throws as `readBody` does. */
export async function* bodyChunks(body: AsyncIterable<Uint8Array> | null, limits: BodyLimits): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  let size = 0;
  const iterator = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await withinIdleTime(iterator.next(), limits.idleTimeoutMs);
      if (done) return;
      size += value.byteLength;
      if (size > limits.maxBytes) {
        await discard(iterator, limits.idleTimeoutMs);
        throw platformError("bodyTooLarge");
      }
      yield value;
    }
  } finally {
    // Not awaited: an iterator that waits for a stuck client would not return either. At the body's end it does nothing.
    void iterator.return?.().catch(() => undefined);
  }
}

async function discard(body: AsyncIterator<Uint8Array>, idleTimeoutMs: number): Promise<void> {
  for (let left = DISCARD_MAX_BYTES; left > 0; ) {
    const { done, value } = await withinIdleTime(body.next(), idleTimeoutMs);
    if (done) return;
    left -= value.byteLength;
  }
}

async function withinIdleTime<T>(next: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(platformError("requestTimeout")), ms);
  });
  // The bytes come from the client: what fails before they have come is its connection.
  const came = next.catch((cause: unknown) => {
    throw platformError("clientGone", undefined, { cause });
  });
  return Promise.race([came, late]).finally(() => clearTimeout(timer));
}

/** Parses JSON text; throws `platform.invalidJson`. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw platformError("invalidJson", undefined, { cause });
  }
}

/** What a client sent, checked: throws `platform.badRequest` with what is wrong and where, which schemas of Zod tell in `issues`. */
export function parseWith<T>(schema: { parse(value: unknown): T }, value: unknown): T {
  try {
    return schema.parse(value);
  } catch (cause) {
    const issues = (cause as { issues?: readonly { path: readonly PropertyKey[]; message: string }[] }).issues;
    if (issues === undefined) throw cause;
    const text = issues
      .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.map(String).join(".")}: ${issue.message}`))
      .join("; ");
    throw platformError("badRequest", text, { cause });
  }
}
