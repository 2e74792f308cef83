/**
 * A body on its way into a blob: written while it arrives, hashed on the way, checked before it becomes durable.
 * Memory stays flat: a chunk is not asked for before the one before it is with the blob store. A body that is
 * cut off, too long or not what its sender said leaves nothing behind.
 */
import { createHash } from "node:crypto";
import type { BlobId, BlobWriter } from "../../kernel/blobs/blobs.ts";
import { checksum, type Digest } from "../../protocols/s3/index.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import type { DigestName, Digests, SsecMark } from "./model.ts";
import { encryption, type SsecKey } from "./ssec.ts";

export interface Body {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Bytes that must come; undefined when the sender did not say. */
  readonly length: number | undefined;
}

export interface IngestOptions {
  readonly digests: readonly DigestName[];
  readonly maxBytes: number;
  readonly ssecKey?: SsecKey | undefined;
  /** Sees the digests before anything is durable; throws when they are not what the sender said. */
  readonly verify?: ((digests: Digests) => void) | undefined;
}

export interface Ingested {
  /** Null for an empty body. */
  readonly blob: BlobId | null;
  readonly size: number;
  readonly digests: Digests;
  /** The first bytes, at most 512. */
  readonly head: Uint8Array;
  readonly ssec: SsecMark | null;
}

const HEAD_BYTES = 512;

export function digest(name: DigestName): Digest {
  switch (name) {
    case "crc32":
    case "crc32c":
    case "crc64nvme":
      return checksum(name);
    default:
      return createHash(name);
  }
}

export async function ingest(r2: R2, body: Body, options: IngestOptions): Promise<Ingested> {
  if (body.length !== undefined && body.length > options.maxBytes) throw r2Error("entityTooLarge");
  const digests = options.digests.map((name) => [name, digest(name)] as const);
  const encrypt = options.ssecKey && encryption(options.ssecKey);
  let head: Buffer = Buffer.alloc(0);
  let size = 0;
  let writer: BlobWriter | undefined;
  try {
    let writing: Promise<void> | undefined;
    for await (const chunk of body.chunks) {
      if (chunk.length === 0) continue;
      size += chunk.length;
      if (size > options.maxBytes) throw r2Error("entityTooLarge");
      if (body.length !== undefined && size > body.length) throw r2Error("incompleteBody");
      if (head.length < HEAD_BYTES) head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES - head.length)]);
      writer ??= await r2.blobs.create();
      await writing;
      // The write goes on while this thread hashes; its failure is seen at the next await of `writing`.
      writing = writer.write(encrypt === undefined ? chunk : encrypt.cipher.update(chunk));
      writing.catch(() => undefined);
      for (const [, one] of digests) one.update(chunk);
    }
    await writing;
    if (body.length !== undefined && size !== body.length) throw r2Error("incompleteBody");
    const result: Digests = Object.fromEntries(digests.map(([name, one]) => [name, one.digest().toString("hex")]));
    options.verify?.(result);
    const ended = writer;
    writer = undefined;
    const blob = ended === undefined ? null : (await ended.commit()).id;
    return { blob, size, digests: result, head, ssec: encrypt?.mark ?? null };
  } finally {
    await writer?.abort();
  }
}
