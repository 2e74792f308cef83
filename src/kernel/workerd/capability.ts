/**
 * Capabilities between workerd processes and us: a header that workerd itself injects into each request of a binding,
 * `<product>.<claims as base64url JSON>.<HMAC>`. User code can neither read nor replace it. The key is made anew at each
 * start, so a capability does not outlive the platform that minted it.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { CapabilityMint, Claims } from "../product.ts";
import type { HttpOptions, Service } from "./config.ts";

export const CAPABILITY_HEADER = "x-freehold-capability";
/** In the environment of an entry Worker of the system workerd; `capability.worker.ts` verifies with it. */
export const CAPABILITY_KEY_BINDING = "CAPABILITY_KEY";

const VERIFIED_MAX = 10_000;

export interface Capability {
  readonly product: string;
  readonly claims: Claims;
}

export interface CapabilityKey {
  mint(product: string, claims: Claims): string;
  /** Undefined when the header was not minted with this key. */
  verify(header: string | undefined): Capability | undefined;
  readonly hex: string;
}

export function capabilityKey(key: Buffer): CapabilityKey {
  const verified = new Map<string, Capability>();
  const mac = (signed: string) => createHmac("sha256", key).update(signed).digest();
  return {
    hex: key.toString("hex"),
    mint(product, claims) {
      const signed = `${product}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
      return `${signed}.${mac(signed).toString("base64url")}`;
    },
    verify(header) {
      if (header === undefined) return undefined;
      const known = verified.get(header);
      if (known !== undefined) return known;
      const [product, claims, given, ...rest] = header.split(".");
      if (product === undefined || claims === undefined || given === undefined || rest.length > 0) return undefined;
      const expected = mac(`${product}.${claims}`);
      const bytes = Buffer.from(given, "base64url");
      if (bytes.length !== expected.length || !timingSafeEqual(bytes, expected)) return undefined;
      const capability = { product, claims: JSON.parse(Buffer.from(claims, "base64url").toString("utf8")) as Claims };
      if (verified.size >= VERIFIED_MAX) verified.clear();
      verified.set(header, capability);
      return capability;
    },
  };
}

/** The mint of one product. */
export function capabilityMint(product: string, key: CapabilityKey, sockets: { node: string; system: string }): CapabilityMint {
  const external = (name: string, socket: string, claims: Claims, http: HttpOptions = {}): Service => ({
    name,
    external: {
      address: `unix:${socket}`,
      http: { ...http, injectRequestHeaders: [{ name: CAPABILITY_HEADER, value: key.mint(product, claims) }] },
    },
  });
  return {
    node: (name, claims, http) => external(name, sockets.node, claims, http),
    system: (name, claims) => external(name, sockets.system, claims),
  };
}
