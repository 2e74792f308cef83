/**
 * Sender Rewriting Scheme: the envelope sender of a forwarded message is an address of the forwarding domain, so that SPF
 * holds, which leads back to the original sender for some days. `SRS0=HASH=DAY=DOMAIN=LOCAL@forwarder`.
 * https://developers.cloudflare.com/email-routing/postmaster/#sender-rewriting
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { parseAddress } from "./addresses.ts";

const DAY_MS = 24 * 3600 * 1000;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** Days are counted in two characters: they come again after three years. */
const DAYS = BASE32.length ** 2;
const VALID_DAYS = 21;
const HASH_LENGTH = 8;

export interface SenderRewriting {
  /** The rewritten sender; the empty sender of a bounce stays empty. */
  rewrite(sender: string, domain: string, now: number): string;
  /** The original sender, or undefined for an address that was not made here or is too old. */
  restore(local: string, now: number): string | undefined;
}

export function senderRewriting(key: Buffer): SenderRewriting {
  const sign = (day: string, domain: string, local: string): string =>
    createHmac("sha256", key).update(`${day}=${domain.toLowerCase()}=${local.toLowerCase()}`).digest("hex").slice(0, HASH_LENGTH);

  return {
    rewrite(sender, domain, now) {
      const address = parseAddress(sender);
      if (address === undefined) return "";
      const day = Math.floor(now / DAY_MS) % DAYS;
      const days = `${BASE32[Math.floor(day / 32)]}${BASE32[day % 32]}`;
      return `SRS0=${sign(days, address.domain, address.local)}=${days}=${address.domain}=${address.local}@${domain}`;
    },
    restore(local, now) {
      const [, hash, days, domain, original] = /^SRS0=([0-9a-f]{8})=([A-Z2-7]{2})=([^=]+)=(.+)$/i.exec(local) ?? [];
      if (hash === undefined || days === undefined || domain === undefined || original === undefined) return undefined;
      if (!timingSafeEqual(Buffer.from(hash.toLowerCase()), Buffer.from(sign(days.toUpperCase(), domain, original)))) return undefined;
      const [high, low] = days.toUpperCase();
      const made = BASE32.indexOf(high as string) * 32 + BASE32.indexOf(low as string);
      const age = (Math.floor(now / DAY_MS) - made + 2 * DAYS) % DAYS;
      return age <= VALID_DAYS ? `${original}@${domain}` : undefined;
    },
  };
}
