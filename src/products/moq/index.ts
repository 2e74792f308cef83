/** MoQ: relays of Media over QUIC Transport, draft 07, over WebTransport and WebSocket. See README.md. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HostRoute, Product } from "../../kernel/product.ts";
import { migrations } from "./migrations.ts";
import { openRelays } from "./relays.ts";
import { relayRoutes } from "./routes.ts";
import { openSessions } from "./sessions.ts";
import { openQuicDoor, type QuicDoor } from "./transport/quic-door.ts";
import { openWebSocketDoor, type WebSocketDoor } from "./transport/web-socket-door.ts";

export const moq = {
  name: "moq",
  status: "beta",
  migrations,
  permissions: [
    { id: "5f7c1d0e9a4b4c0c8a7e3f2b6d9c1a01", name: "MoQ Read", scopes: ["com.cloudflare.api.account"] },
    { id: "5f7c1d0e9a4b4c0c8a7e3f2b6d9c1a02", name: "MoQ Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { config } = kernel;
    const relays = openRelays(kernel, config["moq.relays_max"]);
    const sessions = openSessions(kernel, relays);
    const webSockets = openWebSocketDoor(sessions.accept);
    const quic = config["moq.quic"] ? await openQuicDoor(kernel, sessions.accept) : undefined;
    return {
      routes: relayRoutes(relays, sessions.online, sessions.end),
      hosts: [moqHost(config["moq.host"], quic, webSockets)],
      check: async () => ({
        ok: quic === undefined || quic.address !== undefined,
        detail: `${sessions.count} sessions; QUIC ${quicDetail(quic)}`,
      }),
      closing: () => webSockets.close(),
      async stop() {
        sessions.stop();
        webSockets.close();
        await quic?.stop();
      },
    };
  },
} satisfies Product;

const quicDetail = (quic: QuicDoor | undefined): string =>
  quic === undefined ? "is off (moq.quic)" : quic.address === undefined ? "is not listening" : `on UDP port ${quic.address.port}`;

/** Tells clients where the QUIC port is and how to trust it, and takes WebSockets. */
function moqHost(address: string, quic: QuicDoor | undefined, webSockets: WebSocketDoor): HostRoute {
  return {
    name: "moq",
    patterns: ["moq"],
    publicHosts: ["draft-07.cloudflare.mediaoverquic.com", "relay.cloudflare.mediaoverquic.com"],
    wholeHost: true,
    handle(_params, request: IncomingMessage, response: ServerResponse) {
      // Players come from any page, and there is nothing secret about it.
      const headers = { "content-type": "application/json", "access-control-allow-origin": "*", "cache-control": "no-store" };
      if (request.method !== "GET" || request.url !== "/") return void response.writeHead(404, headers).end('{"error":"not found"}');
      const now = quic?.address;
      const webtransport = now && { url: `https://${address}:${now.port}`, certificate: now.cert, certificate_sha256: now.hash };
      return void response.writeHead(200, headers).end(JSON.stringify({ version: "draft-07", webtransport }));
    },
    upgrade: (_params, request, socket, head) => webSockets.upgrade(request, socket, head),
  };
}
