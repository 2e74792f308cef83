/**
 * Who a message is from: SPF, DKIM, DMARC and ARC by mailauth, and what follows from them.
 * https://developers.cloudflare.com/email-routing/postmaster/
 */
import type { SigningKey } from "./keys.ts";
import { Refusal } from "./refusal.ts";
import type { MailDns } from "./resolver.ts";

/** How a message came in. */
export interface Arrival {
  /** Address of the client. */
  readonly ip: string;
  /** Its name as it says. */
  readonly helo: string;
  /** Of the envelope; empty for a bounce. */
  readonly from: string;
}

export interface Verdict {
  readonly spf: string;
  readonly dkim: string;
  readonly dmarc: string;
  /** `reject`, `quarantine` or `none`, of the domain in From. */
  readonly policy: string;
  /** Header lines with the results and an ARC seal, to stand before a message that goes on. */
  readonly headers: string;
}

export async function judge(raw: Uint8Array, arrival: Arrival, mta: string, dns: MailDns, seal: SigningKey): Promise<Verdict> {
  const message = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const { authenticate } = await import("mailauth");
  const result = await authenticate(message, {
    ip: arrival.ip,
    helo: arrival.helo,
    sender: arrival.from,
    mta,
    resolver: dns.resolve,
    disableBimi: true,
    seal: { signingDomain: seal.domain, selector: seal.selector, privateKey: seal.privateKey },
  });
  const signatures = result.dkim.results.map(({ status }) => status.result);
  const dmarc = result.dmarc === false ? undefined : result.dmarc;
  return {
    spf: result.spf === false ? "none" : result.spf.status.result,
    dkim: signatures.includes("pass") ? "pass" : (signatures[0] ?? "none"),
    dmarc: dmarc?.status.result ?? "none",
    policy: dmarc?.policy ?? "none",
    headers: result.headers,
  };
}

/** Throws a `Refusal` for a message that nobody vouches for, or that its sender's domain wants refused. */
export function requireAuthentic({ spf, dkim, dmarc, policy }: Verdict): void {
  if (dmarc === "fail" && policy === "reject") throw new Refusal(550, "5.7.26 The message fails the DMARC policy of the domain in From");
  if (spf !== "pass" && dkim !== "pass") throw new Refusal(550, "5.7.26 The message is not authenticated: neither SPF nor DKIM passes");
}
