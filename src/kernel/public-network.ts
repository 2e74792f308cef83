/**
 * HTTP connections to addresses that a user has named. They reach public addresses only, whatever a name resolves to at
 * the moment of connecting, so that the platform cannot be used to look around in its own network.
 */
import { lookup as resolve } from "node:dns";
import { BlockList, connect as connectSocket, isIP, type LookupFunction, type Socket } from "node:net";
import { Agent, buildConnector } from "undici";

const blocked = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const)
  blocked.addSubnet(network, bits, "ipv4");
for (const [network, bits] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["100::", 64],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const)
  blocked.addSubnet(network, bits, "ipv6");

/** Whether an IP address belongs to the public Internet. */
export const isPublicAddress = (address: string): boolean => !blocked.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");

/** A connection was refused because it would have left the public Internet. */
export class PrivateAddressError extends Error {}

const refusal = (host: string): PrivateAddressError => new PrivateAddressError(`${host} is no public address`);

/** Timeouts of each step of a request. */
const CONNECT_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 30_000;

/** Resolves a name for a connection that is about to be made; to public addresses alone. */
const publicLookup: LookupFunction = (host, options, done) => {
  resolve(host, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, "", 0);
    // All of them: the caller may try one after another.
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) return done(refusal(host), "", 0);
    const [first] = addresses;
    if (options.all) (done as unknown as (error: null, addresses: unknown) => void)(null, addresses);
    else done(null, first?.address as string, first?.family as number);
  });
};

/** A TCP connection to a public address; fails with a `PrivateAddressError` where there is none. */
export function connectPublic(host: string, port: number): Socket {
  // Addresses are not looked up.
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw refusal(host);
  return connectSocket({ host, port, lookup: publicLookup, allowHalfOpen: true, noDelay: true });
}

/** `allowPrivate` is the operator's word that every address may be reached. Redirects are not followed. */
export function publicAgent(allowPrivate: boolean): Agent {
  const timeouts = { headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS };
  if (allowPrivate) return new Agent({ ...timeouts, connect: { timeout: CONNECT_TIMEOUT_MS } });
  const connect = buildConnector({
    timeout: CONNECT_TIMEOUT_MS,
    lookup: publicLookup,
  });
  return new Agent({
    ...timeouts,
    connect(options, done) {
      const host = options.hostname.replace(/^\[|\]$/g, "");
      // Addresses are not looked up.
      if (isIP(host) !== 0 && !isPublicAddress(host)) done(refusal(host), null);
      else connect(options, done);
    },
  });
}
