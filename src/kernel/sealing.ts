/**
 * Encryption at rest of customers' data: AES-256-GCM, each text under a key of its own that is derived from the given one.
 * Small texts are sealed whole; long ones in pieces, so that they stream, and none can be left out, added or moved. What a
 * text belongs to is bound into it. Not for the platform's own secrets: those are `secrets.ts`'s.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

export interface Sealing {
  /** What was sealed for one context does not open for another. */
  seal(plain: Uint8Array, context: Uint8Array): Uint8Array<ArrayBuffer>;
  /** Throws when the bytes were changed or belong to another context. */
  open(sealed: Uint8Array, context: Uint8Array): Uint8Array<ArrayBuffer>;
  /** For one long text. The name must never be given to another one. */
  sealer(name: string): Sealer;
  /** The long text of that name. Throws at its end when a piece is changed or missing; what came before was as it was sealed. */
  opened(name: string, sealed: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer>;
}

export interface Sealer {
  /** What can be written of the text so far. The chunk is the caller's again afterwards. */
  update(chunk: Uint8Array): Buffer;
  /** The rest. */
  final(): Buffer;
}

const VERSION = 1;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const PIECE_BYTES = 64 * 1024;
/** Each key encrypts one text, whose pieces are counted. */
const nonce = (piece: number, last: boolean): Buffer => {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(piece, 4);
  bytes[11] = last ? 1 : 0;
  return bytes;
};

export function sealing(key: Buffer): Sealing {
  const derived = (purpose: string, name: Uint8Array | string): Buffer => createHmac("sha256", key).update(purpose).update(name).digest();

  function sealPiece(pieceKey: Buffer, piece: number, last: boolean, plain: Uint8Array, context?: Uint8Array): Buffer {
    const cipher = createCipheriv("aes-256-gcm", pieceKey, nonce(piece, last));
    if (context !== undefined) cipher.setAAD(context);
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  function openPiece(pieceKey: Buffer, piece: number, last: boolean, sealed: Uint8Array, context?: Uint8Array): Buffer {
    if (sealed.byteLength < TAG_BYTES) throw new Error("open sealed data: it is cut off");
    const end = sealed.byteLength - TAG_BYTES;
    const decipher = createDecipheriv("aes-256-gcm", pieceKey, nonce(piece, last), { authTagLength: TAG_BYTES });
    if (context !== undefined) decipher.setAAD(context);
    decipher.setAuthTag(sealed.subarray(end));
    return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]);
  }

  return {
    seal(plain, context) {
      const salt = randomBytes(SALT_BYTES);
      return Uint8Array.from(Buffer.concat([Buffer.of(VERSION), salt, sealPiece(derived("whole", salt), 0, true, plain, context)]));
    },
    open(sealed, context) {
      if (sealed[0] !== VERSION) throw new Error(`open sealed data: unknown format ${sealed[0]}`);
      const body = sealed.subarray(1 + SALT_BYTES);
      return Uint8Array.from(openPiece(derived("whole", sealed.subarray(1, 1 + SALT_BYTES)), 0, true, body, context));
    },
    sealer(name) {
      const pieceKey = derived("pieces", name);
      let piece = 0;
      let rest: Buffer = Buffer.alloc(0);
      return {
        update(chunk) {
          rest = Buffer.concat([rest, chunk]);
          const out: Buffer[] = [];
          let at = 0;
          // The last piece says that it is the last, so a full one waits for what comes after it.
          for (; rest.byteLength - at > PIECE_BYTES; at += PIECE_BYTES)
            out.push(sealPiece(pieceKey, piece++, false, rest.subarray(at, at + PIECE_BYTES)));
          rest = rest.subarray(at);
          return Buffer.concat(out);
        },
        final: () => sealPiece(pieceKey, piece, true, rest),
      };
    },
    async *opened(name, sealed) {
      const pieceKey = derived("pieces", name);
      const full = PIECE_BYTES + TAG_BYTES;
      let piece = 0;
      let rest: Buffer = Buffer.alloc(0);
      for await (const chunk of sealed) {
        rest = Buffer.concat([rest, chunk]);
        let at = 0;
        for (; rest.byteLength - at > full; at += full) yield openPiece(pieceKey, piece++, false, rest.subarray(at, at + full));
        rest = rest.subarray(at);
      }
      yield openPiece(pieceKey, piece, true, rest);
    },
  };
}
