/**
 * Where a request is meant to go, as its first line and its Host header say. A server must take the absolute form
 * ("GET http://name/path") from anybody, not only as a proxy, and then ignore Host (RFC 9112, 3.2.2); whatever comes after
 * this file sees the origin form and one Host.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

export interface Authority {
  /** Lower case; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface AbsoluteTarget extends Authority {
  /** Host and port as the client wrote them. */
  readonly authority: string;
  /** Path and query as the client wrote them. */
  readonly path: string;
}

/** The target of an absolute-form request; undefined for an origin-form one and for other schemes. */
export function absoluteTarget(url: string | undefined): AbsoluteTarget | undefined {
  const match = /^(?:http|ws)(s?):\/\/([^/?#]+)([^#]*)/i.exec(url ?? "");
  if (match === null) return undefined;
  const authority = (match[2] as string).replace(/^.*@/, "");
  const target = parseAuthority(authority, match[1] === "" ? 80 : 443);
  const path = match[3] as string;
  return target && { ...target, authority, path: path.startsWith("/") ? path : `/${path}` };
}

/** "host:port", "[::1]:port"; the port may only be missing when there is a default. */
export function parseAuthority(text: string, defaultPort: number | undefined): Authority | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]@/\s]+))(?::(\d{1,5}))?$/i.exec(text);
  if (match === null) return undefined;
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  if (port === undefined || port < 1 || port > 65535) return undefined;
  const host = (match[1] ?? (match[2] as string)).toLowerCase().replace(/\.$/, "");
  if (host === "" || (match[1] !== undefined && isIP(host) !== 6)) return undefined;
  return { host, port };
}

/** Rewrites an absolute-form request into the form that a server of that name gets. */
export function toOriginForm(request: IncomingMessage, target: AbsoluteTarget): void {
  const { rawHeaders, headers } = request;
  request.url = target.path;
  headers.host = target.authority;
  delete headers["proxy-connection"];
  delete headers["proxy-authorization"];
  for (let i = 0; i < rawHeaders.length; i += 2) if (isHost(rawHeaders[i] as string)) rawHeaders[i + 1] = target.authority;
}

/**
 * Brings a request into the origin form. False: its target is malformed, its Host is not unique, or its body is coded in a
 * way that we do not read. Node hands on such requests before it closes their connection.
 */
export function normalizeTarget(request: IncomingMessage): boolean {
  const coding = request.headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return false;
  if (request.url?.startsWith("/") !== true) {
    const target = absoluteTarget(request.url);
    if (target === undefined) return false;
    toOriginForm(request, target);
  }
  // Node keeps the first of several Host headers; what comes after us could keep another (RFC 9112, 3.2: answer 400).
  let hosts = 0;
  const { rawHeaders } = request;
  for (let i = 0; i < rawHeaders.length; i += 2) if (isHost(rawHeaders[i] as string)) hosts++;
  return hosts < 2;
}

const isHost = (name: string): boolean => name.length === 4 && name.toLowerCase() === "host";
