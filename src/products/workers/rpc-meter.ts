/**
 * Follows one Cap'n Proto RPC connection from outside and knows whether calls are in flight on it. workerd keeps a single
 * RPC connection to another process open for good; without this we could neither let an idle Worker stop nor move its
 * callers to a new version between two calls. It reads message heads only and changes nothing.
 * Format: https://capnproto.org/encoding.html#serialization-over-a-stream and rpc.capnp.
 */

/** Discriminants of `Message` in rpc.capnp, in the order of its ordinals. */
const CALL = 2;
const FINISH = 4;
const BOOTSTRAP = 8;
const WORD = 8;
/** A message with more segments than this is not one that workerd sends. */
const SEGMENTS_MAX = 512;

/** One direction of a connection. `onQuestion` and `onFinish` get the question's number. */
export class RpcReader {
  #head = Buffer.alloc(0);
  /** Bytes of the current message's body that are still to come. */
  #left = 0;
  #onQuestion: (id: number) => void;
  #onFinish: (id: number) => void;

  constructor(onQuestion: (id: number) => void, onFinish: (id: number) => void) {
    this.#onQuestion = onQuestion;
    this.#onFinish = onFinish;
  }

  /** Takes the next bytes of the stream. Throws when they are no RPC messages. */
  read(chunk: Buffer): void {
    let data = chunk;
    while (data.length > 0) {
      if (this.#left > 0) {
        const skip = Math.min(this.#left, data.length);
        this.#left -= skip;
        data = data.subarray(skip);
        continue;
      }
      // At the start of a message: the segment table and the first words of the body are needed.
      const all = this.#head.length === 0 ? data : Buffer.concat([this.#head, data]);
      const message = parseMessage(all);
      if (message === undefined) {
        this.#head = Buffer.from(all);
        return;
      }
      this.#head = Buffer.alloc(0);
      if (message.kind === CALL || message.kind === BOOTSTRAP) this.#onQuestion(message.id);
      else if (message.kind === FINISH) this.#onFinish(message.id);
      const taken = Math.min(all.length, message.size);
      this.#left = message.size - taken;
      data = all.subarray(taken);
    }
  }
}

interface MessageHead {
  /** Bytes of the whole message with its segment table. */
  readonly size: number;
  readonly kind: number;
  /** Question number, when `kind` has one. */
  readonly id: number;
}

/** The head of the message at the start of `bytes`; undefined when more bytes are needed. */
function parseMessage(bytes: Buffer): MessageHead | undefined {
  if (bytes.length < WORD) return undefined;
  const segments = bytes.readUInt32LE(0) + 1;
  if (segments > SEGMENTS_MAX) throw new Error(`an RPC message claims ${segments} segments`);
  const tableBytes = Math.ceil((4 + segments * 4) / WORD) * WORD;
  if (bytes.length < tableBytes) return undefined;
  let words = 0;
  for (let i = 0; i < segments; i++) words += bytes.readUInt32LE(4 + i * 4);
  const size = tableBytes + words * WORD;
  const root = structAt(bytes, tableBytes, size);
  if (root === "more") return undefined;
  if (root === undefined || root.data === 0) return { size, kind: 0, id: 0 };
  if (bytes.length < root.at + WORD) return undefined;
  const kind = bytes.readUInt16LE(root.at);
  if (kind !== CALL && kind !== FINISH && kind !== BOOTSTRAP) return { size, kind, id: 0 };
  // The union's one pointer leads to the message's own struct, whose first field is the question's number.
  const inner = structAt(bytes, root.at + root.data * WORD, size);
  if (inner === "more") return undefined;
  if (inner === undefined || inner.data === 0) return { size, kind, id: 0 };
  if (bytes.length < inner.at + 4) return undefined;
  return { size, kind, id: bytes.readUInt32LE(inner.at) };
}

/** The struct that the pointer at `at` leads to; far pointers, which small messages never have, give undefined. */
function structAt(bytes: Buffer, at: number, end: number): { at: number; data: number } | "more" | undefined {
  if (at + WORD > end) return undefined;
  if (bytes.length < at + WORD) return "more";
  const low = bytes.readInt32LE(at);
  if ((low & 3) !== 0) return undefined;
  return { at: at + WORD + (low >> 2) * WORD, data: bytes.readUInt16LE(at + 4) };
}

/** Both directions of a connection. */
export class RpcMeter {
  #open = new Set<string>();
  #onChange: () => void;
  readonly toServer = new RpcReader(
    (id) => this.#add(`c${id}`),
    (id) => this.#remove(`c${id}`),
  );
  readonly toClient = new RpcReader(
    (id) => this.#add(`s${id}`),
    (id) => this.#remove(`s${id}`),
  );

  /** `onChange` is called when the connection becomes idle or busy. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get idle(): boolean {
    return this.#open.size === 0;
  }

  #add(key: string): void {
    this.#open.add(key);
    if (this.#open.size === 1) this.#onChange();
  }

  #remove(key: string): void {
    if (this.#open.delete(key) && this.#open.size === 0) this.#onChange();
  }
}
