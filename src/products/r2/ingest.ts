/**
 * A body on its way into a blob: written while it arrives, hashed on the way, checked before it becomes durable.
 * Memory stays flat: nothing more is asked for than there is room for. A body that is cut off, too long or not what
 * its sender said leaves nothing behind.
 *
 * Small bodies are hashed as they pass. Large ones are gathered into a few slots of shared memory; while a slot is
 * written and hashed by other threads, the next fills. (Measured for 1 GiB with MD5 and CRC-32: the main thread
 * spends 1.2 s instead of 3.3 s.)
 */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { R2 } from "./context.ts";
import { digest } from "./digest.ts";
import { r2Error } from "./errors.ts";
import type { HashLane } from "./hash-pool.ts";
import type { DigestName, Digests, SsecMark } from "./model.ts";
import { type Encryption, encryption, type SsecKey } from "./ssec.ts";

export interface Body {
  /** A chunk is valid until the next one is asked for: its sender may take the memory back then. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Bytes that must come; undefined when the sender did not say. */
  readonly length: number | undefined;
}

export interface IngestOptions {
  readonly digests: readonly DigestName[];
  readonly maxBytes: number;
  /** Bodies that say that they are no longer than this are returned instead of written. */
  readonly inlineMaxBytes?: number | undefined;
  readonly ssecKey?: SsecKey | undefined;
  /** Sees the digests before anything is durable; throws when they are not what the sender said. */
  readonly verify?: ((digests: Digests) => void) | undefined;
}

export interface Ingested {
  /** Null for an empty body, and for one that is inline. */
  readonly blob: BlobId | null;
  /** The bytes of a small body, encrypted where there is a key. */
  readonly inline: Uint8Array | null;
  readonly size: number;
  readonly digests: Digests;
  /** The first bytes, at most 512. */
  readonly head: Uint8Array;
  readonly ssec: SsecMark | null;
}

const HEAD_BYTES = 512;
/** From this length on the other threads are worth their messages. */
const LARGE_BYTES = 4 * 1024 * 1024;
const SLOT_BYTES = 1024 * 1024;
/** One fills while the others are written and hashed. */
const SLOTS = 4;
/** Slots that are kept for the next upload. */
const FREE_SLOTS_MAX = 32;

export async function ingest(r2: R2, body: Body, options: IngestOptions): Promise<Ingested> {
  const { length } = body;
  if (length !== undefined && length > options.maxBytes) throw r2Error("entityTooLarge");
  const encrypt = options.ssecKey && encryption(options.ssecKey);
  // The bytes that are hashed are not those that are written then, so the slots cannot be shared.
  const large = encrypt === undefined && (length === undefined || length >= LARGE_BYTES);
  const inline = length !== undefined && length <= (options.inlineMaxBytes ?? 0);
  const sink = large
    ? new SlotSink(blobWriter(r2), r2.hashes.open(options.digests))
    : new DirectSink(inline ? memoryWriter(length) : blobWriter(r2), options.digests, encrypt);
  let head: Buffer = Buffer.alloc(0);
  let size = 0;
  let kept: Kept | undefined;
  try {
    for await (const chunk of body.chunks) {
      if (chunk.length === 0) continue;
      size += chunk.length;
      if (size > options.maxBytes) throw r2Error("entityTooLarge");
      if (length !== undefined && size > length) throw r2Error("incompleteBody");
      if (head.length < HEAD_BYTES) head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES - head.length)]);
      await sink.write(chunk);
    }
    if (length !== undefined && size !== length) throw r2Error("incompleteBody");
    const digests = await sink.digests();
    options.verify?.(digests);
    kept = await sink.commit();
    return { ...kept, size, digests, head, ssec: encrypt?.mark ?? null };
  } finally {
    if (kept === undefined) await sink.abort();
  }
}

type Kept = Pick<Ingested, "blob" | "inline">;
const NOTHING: Kept = { blob: null, inline: null };

/** Like a blob's writer, for bytes that will lie in a row. */
interface Writer {
  write(chunk: Uint8Array): Promise<void>;
  commit(): Promise<{ id: BlobId } | { bytes: Uint8Array }>;
  abort(): Promise<void>;
}

/** A blob's writer, under a name that is noted before anything is written. */
const blobWriter =
  ({ blobs, leases }: R2) =>
  async (): Promise<Writer> => {
    const id = await leases.take();
    const writer = await blobs.create(id);
    return {
      write: (chunk) => writer.write(chunk),
      commit: () => writer.commit(),
      async abort() {
        await writer.abort();
        await leases.discard(id);
      },
    };
  };

const memoryWriter = (length: number) => async (): Promise<Writer> => {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  return {
    async write(chunk) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    },
    commit: async () => ({ bytes }),
    abort: async () => undefined,
  };
};

async function finish(writer: Writer | undefined): Promise<Kept> {
  if (writer === undefined) return NOTHING;
  const kept = await writer.commit();
  return "id" in kept ? { blob: kept.id, inline: null } : { blob: null, inline: kept.bytes };
}

interface Sink {
  /** Resolves when it has no more need of the chunk. */
  write(chunk: Uint8Array): Promise<void>;
  /** After the last chunk. */
  digests(): Promise<Digests>;
  /** Makes the bytes durable, or returns those that will lie in a row. */
  commit(): Promise<Kept>;
  /** Drops everything. */
  abort(): Promise<void>;
}

class DirectSink implements Sink {
  readonly #create: () => Promise<Writer>;
  readonly #digests;
  readonly #encryption: Encryption | undefined;
  #writer: Writer | undefined;

  constructor(create: () => Promise<Writer>, names: readonly DigestName[], encrypt: Encryption | undefined) {
    this.#create = create;
    this.#digests = names.map((name) => [name, digest(name)] as const);
    this.#encryption = encrypt;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#writer ??= await this.#create();
    const written = this.#writer.write(this.#encryption === undefined ? chunk : this.#encryption.cipher.update(chunk));
    for (const [, one] of this.#digests) one.update(chunk);
    await written;
  }

  async digests(): Promise<Digests> {
    return Object.fromEntries(this.#digests.map(([name, one]) => [name, one.digest().toString("hex")]));
  }

  commit(): Promise<Kept> {
    return finish(this.#writer);
  }

  async abort(): Promise<void> {
    await this.#writer?.abort();
  }
}

const freeSlots: SharedArrayBuffer[] = [];

class SlotSink implements Sink {
  readonly #create: () => Promise<Writer>;
  readonly #lane: HashLane;
  #writer: Writer | undefined;
  #slots: SharedArrayBuffer[] = [];
  #filling: Buffer | undefined;
  #filled = 0;
  /** The write, and the hashing, of the slot before; each waits for its own only. */
  #writing: Promise<void> = Promise.resolve();
  #hashing: Promise<void> = Promise.resolve();
  /** Full slots under way, in order. */
  readonly #busy: Promise<SharedArrayBuffer>[] = [];

  constructor(create: () => Promise<Writer>, lane: HashLane) {
    this.#create = create;
    this.#lane = lane;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      this.#filling ??= Buffer.from(await this.#takeSlot());
      const piece = chunk.subarray(at, at + SLOT_BYTES - this.#filled);
      this.#filling.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === SLOT_BYTES) this.#send();
    }
  }

  async #takeSlot(): Promise<SharedArrayBuffer> {
    this.#writer ??= await this.#create();
    if (this.#slots.length + this.#busy.length < SLOTS) return freeSlots.pop() ?? new SharedArrayBuffer(SLOT_BYTES);
    return this.#slots.pop() ?? ((await this.#busy.shift()) as SharedArrayBuffer);
  }

  /** Gives the filling slot to the disk and to the hashing thread. */
  #send(): void {
    const bytes = (this.#filling as Buffer).subarray(0, this.#filled);
    const memory = bytes.buffer as SharedArrayBuffer;
    const writer = this.#writer as Writer;
    this.#filling = undefined;
    this.#filled = 0;
    this.#writing = this.#writing.then(() => writer.write(bytes));
    this.#hashing = this.#hashing.then(() => this.#lane.update(memory, bytes.length));
    const done = Promise.all([this.#writing, this.#hashing]).then(() => memory);
    // A failure is met where the slot is taken again, or at the end; until then it is not an unhandled one.
    done.catch(() => undefined);
    this.#busy.push(done);
  }

  async digests(): Promise<Digests> {
    if (this.#filled > 0) this.#send();
    else if (this.#filling !== undefined) this.#slots.push(this.#filling.buffer as SharedArrayBuffer);
    for (const one of this.#busy.splice(0)) this.#slots.push(await one);
    return this.#lane.digest();
  }

  async commit(): Promise<Kept> {
    const kept = await finish(this.#writer);
    freeSlots.push(...this.#slots.splice(0, FREE_SLOTS_MAX - freeSlots.length));
    return kept;
  }

  async abort(): Promise<void> {
    // What is under way still uses the slots, and the writer: they are left to it and to the garbage collector.
    await Promise.allSettled([this.#writing, this.#hashing]);
    this.#lane.drop();
    await this.#writer?.abort();
  }
}
