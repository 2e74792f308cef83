/** How every HTTP server that clients reach reads requests: the gateway's, and those behind the proxy of `exec`. */
import type { IncomingMessage, ServerOptions } from "node:http";

/** Largest head of a request: Cloudflare's documented limit for all headers together. */
const HEAD_MAX_BYTES = 128 * 1024;
// Longer than clients keep idle connections, so that it is the client who ends them and no request meets a closing one.
const KEEP_ALIVE_MS = 75_000;
/** How often node:http looks for connections that are past a timeout. */
const CHECK_INTERVAL_MAX_MS = 5_000;

export const WEBSOCKET = "websocket";

/** The protocol that a request offers to go over to, in lower case. */
export const upgradeOf = ({ headers }: IncomingMessage): string | undefined => headers.upgrade?.toLowerCase();

/**
 * `headTimeoutMs`: a client that takes longer to send its request's head is answered 408. Bodies have limits of their own.
 * `takes`: whether a request's offer of a protocol besides WebSocket is one that its host knows.
 */
export const serverOptions = (headTimeoutMs: number, takes: (request: IncomingMessage) => boolean = () => false): ServerOptions => ({
  headersTimeout: headTimeoutMs,
  connectionsCheckingInterval: Math.min(headTimeoutMs, CHECK_INTERVAL_MAX_MS),
  requestTimeout: 0,
  keepAliveTimeout: KEEP_ALIVE_MS,
  maxHeaderSize: HEAD_MAX_BYTES,
  noDelay: true,
  // An offer that we do not take is ignored (RFC 9110, 7.8): `curl --http2` asks for h2c on every plain request.
  shouldUpgradeCallback: (request) => upgradeOf(request) === WEBSOCKET || takes(request),
});
