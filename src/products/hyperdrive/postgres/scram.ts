/** The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding: proves the password, and checks that the server knows it. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

const derive = promisify(pbkdf2);
const hmac = (key: Buffer, text: string | Buffer): Buffer => createHmac("sha256", key).update(text).digest();
/** A server could keep us busy with more. */
const ITERATIONS_MAX = 1_000_000;

export interface Scram {
  readonly first: string;
  /** The answer to the server's first message. */
  respond(serverFirst: string): Promise<string>;
  /** Throws unless the server has proven itself. */
  verify(serverFinal: string): void;
}

export function scram(password: string): Scram {
  const nonce = randomBytes(18).toString("base64");
  const bare = `n=,r=${nonce}`;
  let expected: Buffer | undefined;
  return {
    first: `n,,${bare}`,
    async respond(serverFirst) {
      const { r, s, i } = attributes(serverFirst);
      const iterations = Number(i);
      if (r === undefined || s === undefined || !r.startsWith(nonce) || r === nonce) throw new Error("SCRAM: the server's nonce is wrong");
      if (!Number.isInteger(iterations) || iterations < 1 || iterations > ITERATIONS_MAX)
        throw new Error("SCRAM: the server's iteration count is wrong");
      const salted = await derive(password.normalize("NFKC"), Buffer.from(s, "base64"), iterations, 32, "sha256");
      const clientKey = hmac(salted, "Client Key");
      const final = `c=biws,r=${r}`;
      const all = `${bare},${serverFirst},${final}`;
      const signature = hmac(createHash("sha256").update(clientKey).digest(), all);
      expected = hmac(hmac(salted, "Server Key"), all);
      return `${final},p=${Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] as number))).toString("base64")}`;
    },
    verify(serverFinal) {
      const given = Buffer.from(attributes(serverFinal).v ?? "", "base64");
      if (expected === undefined || given.length !== expected.length || !timingSafeEqual(given, expected))
        throw new Error("SCRAM: the server does not know the password");
    },
  };
}

function attributes(text: string): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(text.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));
}
