/**
 * TCP and TLS towards a database. Only public addresses are reached unless the operator has opened private ones, whatever a
 * name resolves to at the moment of connecting. Which certificates count is decided here for both protocols.
 */
import { lookup } from "node:dns/promises";
import { connect, isIP, type Socket } from "node:net";
import { type ConnectionOptions, checkServerIdentity, connect as secure, type TLSSocket } from "node:tls";
import { isPublicAddress } from "../../kernel/public-network.ts";
import { OriginError } from "./origin-error.ts";

export interface TlsSettings {
  /** "require" encrypts; a certificate is then checked against the public authorities when the address is a public one. */
  readonly mode: "require" | "verify-ca" | "verify-full";
  /** PEM. */
  readonly authority?: string | undefined;
  readonly client?: { readonly certificates: string; readonly privateKey: string } | undefined;
}

export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls: TlsSettings;
  readonly allowPrivate: boolean;
  /** Without TLS rather than not at all. */
  readonly allowPlaintext: boolean;
  readonly timeoutMs: number;
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  readonly allowPrivate: boolean;
  /** Ends the attempt, with its reason. */
  readonly signal: AbortSignal;
}

/** A connected socket, in the clear, paused. */
export async function dial({ host, port, allowPrivate, signal }: DialOptions): Promise<Socket> {
  let last: OriginError | undefined;
  for (const address of await addressesOf(host, allowPrivate)) {
    try {
      return await connectTo(address, port, signal);
    } catch (error) {
      last = reasonOf(error);
    }
  }
  throw last as OriginError;
}

const ADDRESSES_MAX = 4;

async function addressesOf(host: string, allowPrivate: boolean): Promise<string[]> {
  const bare = host.replace(/^\[|\]$/g, "");
  let addresses = [bare];
  if (isIP(bare) === 0) {
    try {
      addresses = (await lookup(bare, { all: true })).map(({ address }) => address);
    } catch (cause) {
      throw new OriginError("badHost", "The hostname could not be resolved", { cause });
    }
  }
  const allowed = allowPrivate ? addresses : addresses.filter(isPublicAddress);
  if (allowed.length === 0) throw new OriginError("privateAddress", "The host is not a public IP address");
  return allowed.slice(0, ADDRESSES_MAX);
}

function connectTo(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, keepAlive: true });
    const stop = () => socket.destroy(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      signal.removeEventListener("abort", stop);
      socket.off("error", reject);
      // Whoever has the socket hears of its close.
      socket.on("error", () => undefined);
      socket.pause();
      resolve(socket);
    });
  });
}

/** What a socket's error is to whoever configured the database. */
export function reasonOf(error: unknown): OriginError {
  if (error instanceof OriginError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return new OriginError("refused", "Server connection attempt failed: Connection refused", { cause: error });
  if (code === "EHOSTUNREACH" || code === "ENETUNREACH" || code === "ETIMEDOUT")
    return new OriginError("unreachable", "Server connection attempt failed: Host Unreachable", { cause: error });
  if (code === "ECONNRESET" || code === "EPIPE")
    return new OriginError("other", "Server returned error and closed connection", { cause: error });
  return new OriginError("other", `Server connection attempt failed: ${message}`, { cause: error });
}

/** The socket under TLS, once its certificate is accepted. */
export function encrypt(socket: Socket, host: string, settings: TlsSettings, signal: AbortSignal): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const bare = host.replace(/^\[|\]$/g, "");
  const verified = settings.mode !== "require" || isPublicAddress(socket.remoteAddress ?? "");
  const options: ConnectionOptions = {
    socket,
    ...(isIP(bare) === 0 && { servername: bare }),
    rejectUnauthorized: verified,
    checkServerIdentity: settings.mode === "verify-ca" ? () => undefined : (_name, certificate) => checkServerIdentity(bare, certificate),
    // The authority may be an intermediate one.
    ...(settings.authority !== undefined && { ca: settings.authority, allowPartialTrustChain: true }),
    ...(settings.client !== undefined && { cert: settings.client.certificates, key: settings.client.privateKey }),
  };
  const stop = () => socket.destroy(signal.reason as Error);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  const failed = (error: NodeJS.ErrnoException): void => reject(tlsReason(error));
  const encrypted = secure(options);
  encrypted.once("error", failed);
  encrypted.once("close", () => reject(new OriginError("other", "Server returned error and closed connection")));
  encrypted.once("secureConnect", () => {
    signal.removeEventListener("abort", stop);
    encrypted.off("error", failed);
    encrypted.on("error", () => undefined);
    encrypted.pause();
    resolve(encrypted);
  });
  return promise;
}

const CERTIFICATE_ERROR = /^(CERT_|DEPTH_|ERR_TLS_CERT|HOSTNAME_|INVALID_|SELF_SIGNED|UNABLE_TO_|.*_CERT)/;

function tlsReason(error: NodeJS.ErrnoException): OriginError {
  if (error.code !== undefined && CERTIFICATE_ERROR.test(error.code))
    return new OriginError("other", "TLS handshake failed: cert validation failed", { cause: error });
  if (error.code?.startsWith("ERR_SSL_")) return new OriginError("other", `TLS handshake failed: ${error.message}`, { cause: error });
  return reasonOf(error);
}
