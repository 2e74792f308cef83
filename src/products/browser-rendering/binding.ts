/**
 * The binding type "browser": `env.BROWSER` is a service whose requests (`https://fake.host/v1/…`, by `@cloudflare/puppeteer`
 * and `@cloudflare/playwright`) come here. Older clients acquire by `/v1/acquire` and connect by `/v1/connectDevtools`, newer
 * ones by `/v1/devtools/browser`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { PlatformError } from "../../kernel/errors.ts";
import type { BindingCompiler, CapabilityMint } from "../../kernel/product.ts";
import { browserError } from "./errors.ts";
import type { Devtools } from "./sessions/devtools.ts";
import type { Sessions } from "./sessions/sessions.ts";

const SERVICE = "browser-rendering:binding";

export const browserBinding = (mint: CapabilityMint): BindingCompiler => ({
  validate: async ({ type, name }) => ({ type, name }),
  compile: async ({ name }) => ({ bindings: [{ name, service: SERVICE }], services: [mint.node(SERVICE, {})] }),
});

const urlOf = (request: IncomingMessage): URL => new URL(request.url as string, "https://fake.host");

/** Serves what is no WebSocket. */
export async function serveBinding(
  sessions: Sessions,
  devtools: Devtools,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.resume();
  const { pathname, searchParams } = urlOf(request);
  const answer = async (): Promise<unknown> => {
    switch (`${request.method} ${pathname}`) {
      case "GET /v1/acquire":
        return devtools.acquire(searchParams);
      case "GET /v1/sessions":
        return { sessions: sessions.list() };
      case "GET /v1/history":
        return { history: await sessions.history() };
      case "GET /v1/limits":
        return sessions.limits();
      default:
        if (!pathname.startsWith("/v1/devtools/")) throw browserError("noRoute");
        return devtools.answer(request.method as string, pathname.slice("/v1".length), searchParams);
    }
  };
  try {
    const body = JSON.stringify(await answer());
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    // The clients show the text as it is.
    response.writeHead(error.spec.status, { "content-type": "text/plain", ...retryAfter(error, sessions) }).end(error.message);
  }
}

/** Connects WebSockets; what is refused is answered as by `serveBinding`. */
export async function connectBinding(
  sessions: Sessions,
  devtools: Devtools,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { pathname, searchParams } = urlOf(request);
  try {
    if (pathname === "/v1/connectDevtools") await devtools.connectChunked(searchParams.get("browser_session") ?? "", request, socket, head);
    else await devtools.connect(pathname.slice("/v1".length), searchParams, request, socket, head);
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    refuseUpgrade(socket, error, retryAfter(error, sessions));
  }
}

function refuseUpgrade(socket: Duplex, { spec, message }: PlatformError, headers: Readonly<Record<string, string>>): void {
  const lines = [
    `HTTP/1.1 ${spec.status} Refused`,
    "Content-Type: text/plain",
    `Content-Length: ${Buffer.byteLength(message)}`,
    "Connection: close",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${message}`);
}

const retryAfter = ({ spec }: PlatformError, sessions: Sessions): Record<string, string> =>
  spec.status === 429
    ? { "retry-after": String(Math.max(1, Math.ceil(sessions.limits().timeUntilNextAllowedBrowserAcquisition / 1000))) }
    : {};
