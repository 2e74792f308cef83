/**
 * Sockets of providers that speak WebSocket themselves (docs/ai-gateway/usage/websockets-api/realtime-api): one is opened at the
 * provider for each of a client, and frames go both ways as they are. Addresses that users name are public ones. When one
 * side ends, the other does; a slow reader holds up its writer. What is said is not logged.
 */
import { lookup as resolve } from "node:dns";
import type { IncomingMessage } from "node:http";
import { isIP, type LookupFunction } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import type { Log } from "../../kernel/log.ts";
import { isPublicAddress, PrivateAddressError } from "../../kernel/public-network.ts";
import { gatewayError } from "./errors.ts";
import type { Provider } from "./providers.ts";

const SOCKETS_MAX = 1000;
const OPEN_MAX_MS = 10_000;
const FRAME_MAX_BYTES = 32 * 1024 * 1024;
/** What waits for a slow reader before its writer is held up. */
const BUFFERED_MAX_BYTES = 1024 * 1024;

/** Where each provider has its sockets, below its address; others have them where the client says. */
const PATHS: Readonly<Record<string, string>> = {
  openai: "realtime",
  "google-ai-studio": "ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
  cartesia: "tts/websocket",
  elevenlabs: "v1/convai/conversation",
};

export const realtimePath = (slug: string, path: string): string => (path === "" ? (PATHS[slug] ?? "") : path);

export interface Target {
  readonly provider: Provider;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocols: readonly string[];
}

export interface Realtime {
  /** Rejects with `aiGateway.unreachable`, `aiGateway.privateAddress` or `aiGateway.rateLimited` before the client's socket is opened. */
  relay(target: Target, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  close(): void;
}

const publicLookup: LookupFunction = (host, options, done) => {
  resolve(host, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, "", 0);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address)))
      return done(new PrivateAddressError(`${host} is no public address`), "", 0);
    if (options.all === true) return done(null, addresses);
    const [{ address, family }] = addresses as [{ address: string; family: number }];
    done(null, address, family);
  });
};

export function openRealtime(log: Log): Realtime {
  const open = new Set<WebSocket>();
  const server = new WebSocketServer({ noServer: true, maxPayload: FRAME_MAX_BYTES, perMessageDeflate: false });

  function connected({ provider, url, headers, protocols }: Target): Promise<WebSocket> {
    const address = new URL(url.replace(/^http/, "ws"));
    const host = address.hostname.replace(/^\[|\]$/g, "");
    if (!provider.trusted && isIP(host) !== 0 && !isPublicAddress(host)) throw gatewayError("privateAddress");
    const ws = new WebSocket(address, [...protocols], {
      headers,
      handshakeTimeout: OPEN_MAX_MS,
      maxPayload: FRAME_MAX_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
      ...(!provider.trusted && { lookup: publicLookup }),
    });
    return new Promise((done, fail) => {
      ws.once("open", () => done(ws));
      ws.once("error", (cause) => {
        if (cause instanceof PrivateAddressError) fail(gatewayError("privateAddress", undefined, { cause }));
        else fail(gatewayError("unreachable", `The provider ${provider.slug} could not be reached`, { cause }));
      });
    });
  }

  return {
    async relay(target, request, socket, head) {
      if (open.size >= 2 * SOCKETS_MAX) throw gatewayError("rateLimited", "Too many sockets are open");
      const theirs = await connected(target);
      theirs.pause();
      if (socket.destroyed) return theirs.terminate();
      let joined = false;
      server.handleUpgrade(request, socket, head, (ours) => {
        joined = true;
        for (const [one, other] of [
          [ours, theirs],
          [theirs, ours],
        ] as const)
          join(one, other);
        theirs.resume();
      });
      // A handshake that is none has been answered.
      if (!joined) theirs.terminate();
    },
    close() {
      for (const socket of open) socket.close(1001, "the platform stops");
    },
  };

  /** Passes on what `from` says, and its end. */
  function join(from: WebSocket, to: WebSocket): void {
    open.add(from);
    from.on("message", (data, binary) => {
      to.send(data, { binary }, () => from.resume());
      if (to.bufferedAmount > BUFFERED_MAX_BYTES) from.pause();
    });
    from.on("error", (error) => log.debug("ai_gateway.realtime_failed", { error }));
    from.on("close", (code, reason) => {
      open.delete(from);
      // Codes that no side may send stand for an end without a word.
      if (code === 1005 || code === 1006 || code === 1015) to.close();
      else to.close(code, reason);
    });
  }
}
