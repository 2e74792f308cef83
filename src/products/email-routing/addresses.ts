/** E-mail addresses as envelopes carry them. Domains may be internationalised, local parts may not. */
import { domainToASCII } from "node:url";
import type { Config } from "../../kernel/config.ts";

export interface MailAddress {
  /** As given, of printable ASCII. */
  readonly local: string;
  /** Lower case, in ASCII. */
  readonly domain: string;
}

/** RFC 5321's limits. */
const LOCAL_MAX = 64;
const DOMAIN_MAX = 255;
const LOCAL = /^[!#-'*+\-/-9=?A-Z^-~.]+$/;

/** Undefined for what is no address, and for a local part outside of ASCII. */
export function parseAddress(text: string): MailAddress | undefined {
  const at = text.lastIndexOf("@");
  const local = text.slice(0, at);
  const domain = domainToASCII(text.slice(at + 1)).toLowerCase();
  if (at < 1 || local.length > LOCAL_MAX || domain.length > DOMAIN_MAX || !LOCAL.test(local) || !domain.includes(".")) return undefined;
  return { local, domain };
}

/** How an address is kept and compared: local parts without regard to case. */
export function normalAddress(text: string): string | undefined {
  const address = parseAddress(text.trim());
  return address && `${address.local.toLowerCase()}@${address.domain}`;
}

/** Name of this machine as a mail server. */
export const mailHost = (config: Config): string => config["email_routing.hostname"] || `mail.${config.domain}`;
