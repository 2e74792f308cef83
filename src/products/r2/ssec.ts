/**
 * Encryption with a key that the customer sends with each request (docs/r2/examples/ssec): AES-256 in counter
 * mode, so that ranges decrypt by themselves. Only the key's MD5 is kept. This hides the bytes; that they were
 * not changed is the blob store's matter.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { r2Error } from "./errors.ts";
import type { SsecMark } from "./model.ts";

/** 32 bytes. */
export type SsecKey = Buffer & { readonly __brand: "SsecKey" };

const BLOCK_BYTES = 16;

/** Throws `r2.invalidArgument` unless there are 32 bytes. */
export function ssecKey(bytes: Buffer): SsecKey {
  if (bytes.length !== 32) throw r2Error("invalidArgument", "The secret key was invalid for the specified algorithm.");
  return bytes as SsecKey;
}

export const keyMd5 = (key: SsecKey): string => createHash("md5").update(key).digest("hex");

export interface Encryption {
  readonly mark: SsecMark;
  readonly cipher: { update(chunk: Uint8Array): Buffer };
}

export function encryption(key: SsecKey): Encryption {
  const iv = randomBytes(BLOCK_BYTES);
  return { mark: { keyMd5: keyMd5(key), iv: iv.toString("hex") }, cipher: createCipheriv("aes-256-ctr", key, iv) };
}

/** Decrypts from `offset` on: the counter starts at its block, and what precedes in the block is thrown away. */
export function decryption(key: SsecKey, mark: SsecMark, offset: number): { update(chunk: Uint8Array): Buffer } {
  const block = BigInt(`0x${mark.iv}`) + BigInt(Math.floor(offset / BLOCK_BYTES));
  const iv = Buffer.from(BigInt.asUintN(128, block).toString(16).padStart(32, "0"), "hex");
  const decipher = createDecipheriv("aes-256-ctr", key, iv);
  decipher.update(Buffer.alloc(offset % BLOCK_BYTES));
  return decipher;
}

/** The key must be the object's, and there must be one exactly when the object has one. */
export function checkKey(mark: { readonly keyMd5: string } | null, key: SsecKey | undefined): void {
  if (mark === null) {
    if (key !== undefined) throw r2Error("ssecInvalid");
    return;
  }
  if (key === undefined) throw r2Error("ssecRequired");
  if (keyMd5(key) !== mark.keyMd5) throw r2Error("ssecWrongKey");
}
