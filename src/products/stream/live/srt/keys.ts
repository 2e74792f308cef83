/**
 * The encryption of SRT (draft-sharabayko-srt-01, chapter 6): the caller's key comes wrapped by the passphrase, and each
 * packet's payload is AES in counter mode. Pure but for the caller's key, which may change while a connection lasts.
 */
import { type CipherGCMTypes, createCipheriv, createDecipheriv, pbkdf2Sync } from "node:crypto";

const HEAD_BYTES = 16;
const SALT_BYTES = 16;
const ITERATIONS = 2048;
const WRAP_IV = Buffer.alloc(8, 0xa6);
const SIGNATURE = 0x2029;
const AES_COUNTER = 2;

export interface SessionKeys {
  /** Takes a message with new keys; false where the passphrase does not open it. */
  take(message: Buffer): boolean;
  /** A payload in or out of its encryption; undefined where there is no such key. */
  turn(payload: Buffer, sequence: number, key: 1 | 2): Buffer | undefined;
  /** The key that was given last. */
  readonly newest: 1 | 2;
}

export function sessionKeys(passphrase: string): SessionKeys {
  const keys = new Map<1 | 2, { readonly key: Buffer; readonly salt: Buffer }>();
  let newest: 1 | 2 = 1;

  function take(message: Buffer): boolean {
    if (message.length < HEAD_BYTES + SALT_BYTES || message.readUInt16BE(1) !== SIGNATURE || message[8] !== AES_COUNTER) return false;
    const which = (message[3] as number) & 3;
    const bytes = (message[15] as number) * 4;
    const count = which === 3 ? 2 : 1;
    if (which === 0 || ![16, 24, 32].includes(bytes) || message[14] !== SALT_BYTES / 4) return false;
    const wrapped = message.subarray(HEAD_BYTES + SALT_BYTES);
    if (wrapped.length !== count * bytes + 8) return false;
    const salt = Buffer.from(message.subarray(HEAD_BYTES, HEAD_BYTES + SALT_BYTES));
    const wrapping = pbkdf2Sync(passphrase, salt.subarray(8), ITERATIONS, bytes, "sha1");
    const opened = unwrapped(wrapping, wrapped);
    if (opened === undefined) return false;
    if (which !== 2) keys.set(1, { key: opened.subarray(0, bytes), salt });
    if (which !== 1) keys.set(2, { key: opened.subarray(opened.length - bytes), salt });
    newest = which === 2 ? 2 : 1;
    return true;
  }

  return {
    take,
    turn(payload, sequence, which) {
      const found = keys.get(which);
      if (found === undefined) return undefined;
      const counter = Buffer.alloc(16);
      found.salt.copy(counter, 0, 0, 14);
      counter.writeUInt32BE((counter.readUInt32BE(10) ^ sequence) >>> 0, 10);
      return createCipheriv(`aes-${found.key.length * 8}-ctr`, found.key, counter).update(payload);
    },
    get newest() {
      return newest;
    },
  };
}

/** RFC 3394; undefined where the key is wrong. */
function unwrapped(wrapping: Buffer, wrapped: Buffer): Buffer | undefined {
  const decipher = createDecipheriv(`id-aes${wrapping.length * 8}-wrap` as CipherGCMTypes, wrapping, WRAP_IV);
  try {
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch {
    // That it does not fit is the answer.
    return undefined;
  }
}
