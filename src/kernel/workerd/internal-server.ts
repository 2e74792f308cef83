/**
 * The unix socket on which Workers' bindings and our own trusted Workers reach the Node side. A request without a valid
 * capability is refused; one with a capability goes to the product that it names, with its claims.
 */
import { createServer, type Server } from "node:http";
import type { Log } from "../log.ts";
import type { RunningProduct } from "../product.ts";
import { CAPABILITY_HEADER, type CapabilityKey } from "./capability.ts";

export type InternalHandler = NonNullable<RunningProduct["internal"]>;

/** Listens on `socketPath`; `handlerOf` finds the product's handler. */
export async function startInternalServer(
  socketPath: string,
  key: CapabilityKey,
  handlerOf: (product: string) => InternalHandler | undefined,
  log: Log,
): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const header = request.headers[CAPABILITY_HEADER];
    const capability = typeof header === "string" ? key.verify(header) : undefined;
    const handler = capability && handlerOf(capability.product);
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
  // A binding's call may stream for as long as the Worker likes.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return server;
}
