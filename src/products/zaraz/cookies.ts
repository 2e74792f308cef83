/** Cookies in which tools keep what they know of a visitor. They last a year at most, and scripts of the page cannot read them. */
import { isIP } from "node:net";

export interface CookieScope {
  /** Of the page. */
  readonly host: string;
  /** What the configuration says, or the zone's name: the highest domain that there is. */
  readonly domain: string;
  readonly secure: boolean;
}

const YEAR_S = 365 * 24 * 3600;

/** `expiry` in seconds; undefined: until the browser closes. Null as a value ends the cookie. */
export function cookieLine(name: string, value: string | null, expiry: number | undefined, { host, domain, secure }: CookieScope): string {
  const age = value === null ? 0 : expiry === undefined ? undefined : Math.max(0, Math.min(YEAR_S, Math.floor(expiry)));
  // A browser would drop the cookie of a domain that its page is not in.
  const fits = isIP(host) === 0 && (host === domain || host.endsWith(`.${domain}`));
  return [
    `${encodeURIComponent(name)}=${encodeURIComponent(value ?? "")}`,
    "Path=/",
    ...(fits ? [`Domain=${domain}`] : []),
    ...(age === undefined ? [] : [`Max-Age=${age}`]),
    "SameSite=Lax",
    "HttpOnly",
    ...(secure ? ["Secure"] : []),
  ].join("; ");
}

export const FOREVER_S = YEAR_S;
