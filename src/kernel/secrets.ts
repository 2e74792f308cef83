/**
 * Encryption at rest for Worker secrets, token material and sink credentials: AES-256-GCM under a key that lies in
 * its own file in the data directory, outside the database, readable by the owner alone.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

export interface SecretBox {
  /** `purpose` is bound into the ciphertext: what was sealed for one purpose does not open for another. */
  seal(plain: string, purpose: string): string;
  /** Throws when the text was changed, or sealed for another purpose or under another key. */
  open(sealed: string, purpose: string): string;
  /** A key of its own for `purpose`, the same at every start: 32 bytes. */
  derive(purpose: string): Buffer;
}

const VERSION = "v1";

export function secretBox(key: Buffer): SecretBox {
  return {
    seal(plain, purpose) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(purpose));
      const body = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
      return `${VERSION}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64url")}`;
    },
    open(sealed, purpose) {
      const [version, text] = sealed.split(".");
      if (version !== VERSION || text === undefined) throw new Error(`open sealed secret: unknown format ${version}`);
      const bytes = Buffer.from(text, "base64url");
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12)).setAAD(Buffer.from(purpose));
      decipher.setAuthTag(bytes.subarray(12, 28));
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8");
    },
    derive: (purpose) => createHmac("sha256", key).update(purpose).digest(),
  };
}
