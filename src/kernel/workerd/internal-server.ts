/**
 * The unix socket on which Workers' bindings and our own trusted Workers reach the Node side. A request without a valid
 * capability is refused; one with a capability goes to the product that it names, with its claims.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Log } from "../log.ts";
import type { RunningProduct } from "../product.ts";
import { CAPABILITY_HEADER, type CapabilityKey } from "./capability.ts";

/** What a product serves there. */
export type InternalDoor = Pick<RunningProduct, "internal" | "internalUpgrade">;

/** A dispatch Worker passes on all headers of its request, and the platform adds to them. */
const HEAD_MAX_BYTES = 256 * 1024;

/** Listens on `socketPath`; `doorOf` finds what the product serves. */
export async function startInternalServer(
  socketPath: string,
  key: CapabilityKey,
  doorOf: (product: string) => InternalDoor | undefined,
  log: Log,
): Promise<Server> {
  const capabilityOf = ({ headers: { [CAPABILITY_HEADER]: header } }: IncomingMessage) =>
    typeof header === "string" ? key.verify(header) : undefined;
  const server = createServer({ keepAliveTimeout: 60_000, maxHeaderSize: HEAD_MAX_BYTES }, (request, response) => {
    const capability = capabilityOf(request);
    const handler = capability && doorOf(capability.product)?.internal;
    if (capability === undefined || handler === undefined) {
      log.warn("internal.refused", { product: capability?.product, url: request.url });
      response.writeHead(403, { "content-type": "text/plain" }).end("This request carries no valid capability");
      return;
    }
    handler(capability.claims, request, response).catch((error: unknown) => {
      if (error === request.errored) {
        // The process ended in the middle of its request.
        log.debug("internal.aborted", { product: capability.product, url: request.url });
        return;
      }
      log.error("internal.failed", { product: capability.product, url: request.url, error });
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { "content-type": "text/plain" }).end("Internal error");
    });
  });
  server.on("upgrade", (request, socket, head) => {
    const capability = capabilityOf(request);
    const handler = capability && doorOf(capability.product)?.internalUpgrade;
    socket.on("error", () => socket.destroy());
    if (capability === undefined || handler === undefined) {
      log.warn("internal.refused", { product: capability?.product, url: request.url });
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    handler(capability.claims, request, socket, head).catch((error: unknown) => {
      log.error("internal.failed", { product: capability.product, url: request.url, error });
      socket.destroy();
    });
  });
  // A binding's call may stream for as long as the Worker likes.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return server;
}
