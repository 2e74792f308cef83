/**
 * Signing keys: one for the platform's own mail domain and one for each zone, made when first needed and kept encrypted.
 * They sign what is forwarded, and their public halves are what a zone publishes as DKIM records.
 */
import { createPublicKey, generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import type { KernelSlice } from "../../kernel/product.ts";

export interface SigningKey {
  readonly domain: string;
  readonly selector: string;
  /** PEM. */
  readonly privateKey: string;
}

export interface SigningKeys {
  of(domain: string): Promise<SigningKey>;
}

export const SELECTOR = "freehold1";
const RSA_BITS = 2048;

export function openKeys({ meta, secrets }: KernelSlice): SigningKeys {
  const known = new Map<string, Promise<SigningKey>>();

  async function load(domain: string): Promise<SigningKey> {
    const purpose = `email-routing/dkim/${domain}`;
    const read = () => meta.get<{ sealed: string }>("SELECT sealed FROM email_routing_keys WHERE domain = ?", domain);
    let row = await read();
    if (row === undefined) {
      const { privateKey } = await promisify(generateKeyPair)("rsa", {
        modulusLength: RSA_BITS,
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
        publicKeyEncoding: { type: "spki", format: "pem" },
      });
      await meta.run(
        "INSERT INTO email_routing_keys (domain, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING",
        domain,
        secrets.seal(privateKey, purpose),
      );
      row = (await read()) as { sealed: string };
    }
    return { domain, selector: SELECTOR, privateKey: secrets.open(row.sealed, purpose) };
  }

  return {
    of(domain) {
      let key = known.get(domain);
      if (key === undefined) {
        key = load(domain);
        known.set(domain, key);
        // One that could not be read is tried again by the next who asks.
        key.catch(() => known.delete(domain));
      }
      return key;
    },
  };
}

/** Content of the TXT record `SELECTOR._domainkey.DOMAIN`. */
export function dkimRecord({ privateKey }: SigningKey): string {
  const der = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return `v=DKIM1; h=sha256; k=rsa; p=${der.toString("base64")}`;
}
