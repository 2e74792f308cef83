/**
 * The way of Workers' bindings to the platform: their requests are those of the REST API, below the namespace (and instance) that
 * the capability names, and as a principal that may do with AI Search what it has and nothing else.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Principal } from "../../kernel/api/tokens.ts";
import type { Claims, KernelSlice } from "../../kernel/product.ts";

const GROUPS: readonly string[] = ["AI Search Read", "AI Search Write", "AI Search Run"];
const WORKER: Principal = { tokenId: "", tokenName: "Worker binding", policies: [], can: (group) => GROUPS.includes(group) };

export function openDoor({ accountId, api }: Pick<KernelSlice, "accountId" | "api">) {
  async function pass(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const withBody = request.method !== "GET" && request.method !== "HEAD" && request.method !== "DELETE";
    const type = request.headers["content-type"];
    const asked = new Request(`http://api/client/v4/accounts/${accountId}${path}`, {
      method: request.method as string,
      signal: gone.signal,
      ...(type !== undefined && { headers: { "content-type": type } }),
      ...(withBody && { body: Readable.toWeb(request) as ReadableStream, duplex: "half" }),
    });
    if (!withBody) request.resume();
    const answer = await api(asked, WORKER);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.flushHeaders();
    if (answer.body === null) response.end();
    // The reader went away, or what makes the answer failed: whoever is left sees it by the connection.
    else await pipeline(Readable.fromWeb(answer.body as never), response).catch(() => response.destroy());
  }

  return {
    internal(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
      const { pathname, search } = new URL(request.url as string, "http://ai-search");
      const instance = claims.instance === null ? "" : `/instances/${claims.instance}`;
      const below = pathname === "/" ? "" : pathname;
      return pass(`/ai-search/namespaces/${claims.namespace}${instance}${below}${search}`, request, response);
    },
    /** `env.AI.autorag(name)`: workerd's own class, which asks AutoRAG's paths. */
    autorag(request: IncomingMessage, response: ServerResponse): Promise<void> {
      const { pathname, search } = new URL(request.url as string, "http://ai-search");
      return pass(`${pathname}${search}`, request, response);
    },
  };
}
