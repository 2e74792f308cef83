/**
 * The way to origins: what a host name of the account's zones has behind it, by its DNS records. Requests come from
 * Workers with routes (their fetch() to their own zones, and `passThroughOnException()`), and from outside for URLs
 * that no Worker answers. It reaches public addresses only, unless `runtime.outbound_allow` says otherwise.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { pipeline } from "node:stream/promises";
import type { Dispatcher } from "undici";
import type { Origin, Zones } from "../../kernel/capabilities.ts";
import { type ErrorPage, sendErrorPage } from "../../kernel/gateway/pages.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { PrivateAddressError, publicAgent } from "../../kernel/public-network.ts";
import { errorPages, originPages } from "./error-pages.ts";

export interface Origins {
  /** Whether a record names an origin for the host. */
  has(host: string): boolean;
  /** Answers the request with its origin's answer, or the documented error page. */
  pass(request: IncomingMessage, response: ServerResponse, scheme: "http" | "https"): Promise<void>;
  close(): Promise<void>;
}

/** Invocations of Workers that a request may go through by host names (docs: Errors and exceptions, "Loop limit"). */
const LOOPS_MAX = 16;
const VIA = "cf-ew-via";
/** Of one connection, or only the platform's. */
const DROPPED = /^(connection|keep-alive|transfer-encoding|upgrade|expect|proxy-connection|te|cf-ew-via|x-freehold-.*)$/i;

export function openOrigins(kernel: KernelSlice, zones: Zones): Origins {
  const allowed = kernel.config["runtime.outbound_allow"];
  const agent = publicAgent(allowed.includes("private") && allowed.includes("local"));

  async function ask(request: IncomingMessage, url: URL, { address }: Origin, left: number): Promise<Dispatcher.ResponseData> {
    const headers: string[] = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const name = request.rawHeaders[i] as string;
      if (!DROPPED.test(name)) headers.push(name, request.rawHeaders[i + 1] as string);
    }
    headers.push(VIA, String(left));
    const abort = new AbortController();
    request.once("close", () => !request.complete && abort.abort());
    const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
    return agent.request({
      // The origin is asked on the port of the URL.
      origin: `${url.protocol}//${isIP(address) === 6 ? `[${address}]` : address}${url.port === "" ? "" : `:${url.port}`}`,
      path: request.url as string,
      method: request.method as Dispatcher.HttpMethod,
      headers,
      body: hasBody ? request : null,
      signal: abort.signal,
    });
  }

  return {
    has: (host) => zones.origin(host) !== undefined,
    async pass(request, response, scheme) {
      const refuse = (page: ErrorPage): void => sendErrorPage(request, response, page);
      const url = URL.parse(`${scheme}://${request.headers.host}`);
      if (url === null) return refuse(originPages.dns);
      const left = Number(request.headers[VIA] ?? LOOPS_MAX) - 1;
      if (left < 0) return refuse(errorPages.loop);
      let answer: Dispatcher.ResponseData;
      try {
        // Without a record here, whatever the public DNS says.
        answer = await ask(request, url, zones.origin(url.hostname) ?? { address: url.hostname }, left);
      } catch (error) {
        if (request.destroyed && !request.complete) return;
        kernel.log.warn("origin.unreachable", { host: url.host, error });
        return refuse(pageOf(error));
      }
      const headers = Object.entries(answer.headers).filter(([name, value]) => value !== undefined && !DROPPED.test(name));
      response.writeHead(answer.statusCode, Object.fromEntries(headers));
      // Whoever is cut off sees it by its own end of the connection.
      await pipeline(answer.body, response).catch(() => response.destroy());
    },
    close: () => agent.destroy(),
  };
}

function pageOf(error: unknown): ErrorPage {
  const { cause, code } = error as { cause?: unknown; code?: string };
  if (error instanceof PrivateAddressError || cause instanceof PrivateAddressError) return originPages.prohibited;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return originPages.dns;
  return code === "UND_ERR_CONNECT_TIMEOUT" ? originPages.timeout : originPages.down;
}
