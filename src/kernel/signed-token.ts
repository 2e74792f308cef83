/**
 * JSON Web Tokens that only the platform signs and reads again, for uploads in steps: the client carries the claims from one
 * request to the next and may read them, but not change them. HS256, with an expiry; no other algorithm is accepted.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "./clock.ts";

export interface SignedTokens<T extends object> {
  sign(claims: T): string;
  /** The claims, or undefined when the token is not ours, was changed, or is too old. */
  verify(token: string): T | undefined;
}

/** `key` is for these tokens alone (`SecretBox.derive`). */
export function signedTokens<T extends object>(key: Buffer, clock: Clock, ttlSeconds: number): SignedTokens<T> {
  const mac = (signed: string): Buffer => createHmac("sha256", key).update(signed).digest();
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = encode({ alg: "HS256", typ: "JWT" });
  return {
    sign(claims) {
      const signed = `${head}.${encode({ ...claims, exp: Math.floor(clock.now() / 1000) + ttlSeconds })}`;
      return `${signed}.${mac(signed).toString("base64url")}`;
    },
    verify(token) {
      const [given, body, signature, ...rest] = token.split(".");
      if (given !== head || body === undefined || signature === undefined || rest.length > 0) return undefined;
      const expected = mac(`${head}.${body}`);
      const bytes = Buffer.from(signature, "base64url");
      if (bytes.length !== expected.length || !timingSafeEqual(bytes, expected)) return undefined;
      const claims = JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as T & { exp: number };
      return claims.exp * 1000 > clock.now() ? claims : undefined;
    },
  };
}
