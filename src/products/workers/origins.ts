/**
 * The way to origins: what a host name of the account's zones has behind it, by its DNS records. Requests come from
 * Workers with routes (their fetch() to their own zones, and `passThroughOnException()`), and from outside for URLs
 * that no Worker answers. A Worker's fetch() to the account's Workers ends here, too, with the documented error or, where
 * its flags say so, at the gateway like a stranger's. It reaches public addresses only, unless `runtime.outbound_allow` says otherwise.
 */

import { lookup } from "node:dns";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { Agent, type Dispatcher } from "undici";
import type { CustomHostnames, ImagePolish, ImageTransforms, Origin, Zones } from "../../kernel/capabilities.ts";
import { type ErrorPage, sendErrorPage } from "../../kernel/gateway/pages.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { PrivateAddressError, publicAgent } from "../../kernel/public-network.ts";
import { errorPages, originPages } from "./error-pages.ts";
import type { HtmlRewriting } from "./html-pages.ts";

export interface Origins {
  /** Whether a record names an origin for the host. */
  has(host: string): boolean;
  /** Answers the request with its origin's answer, or the documented error page. */
  pass(request: IncomingMessage, response: ServerResponse, scheme: "http" | "https"): Promise<void>;
  /** A Worker's fetch() to a host name of its zones, or of the account's Workers. */
  passOut(from: Caller, request: IncomingMessage, response: ServerResponse, scheme: "http" | "https"): Promise<void>;
  close(): Promise<void>;
}

interface Caller {
  /** The Worker's name. */
  readonly name: string;
  /** `global_fetch_strictly_public`: every fetch() enters by the public door. */
  readonly strict: boolean;
}

/** Invocations of Workers that a request may go through by host names (docs: Errors and exceptions, "Loop limit"). */
const LOOPS_MAX = 16;
const VIA = "cf-ew-via";
/** Of one connection, or only the platform's. */
const DROPPED = /^(connection|keep-alive|transfer-encoding|upgrade|expect|proxy-connection|te|cf-ew-via|x-freehold-.*)$/i;

interface Needs {
  readonly zones: Zones;
  readonly customHostnames: CustomHostnames;
  readonly images: ImageTransforms;
  readonly html: HtmlRewriting;
}

export function openOrigins(kernel: KernelSlice, { zones, customHostnames, images, html }: Needs, subdomain: () => string): Origins {
  const allowed = kernel.config["runtime.outbound_allow"];
  const agent = publicAgent(allowed.includes("private") && allowed.includes("local"));

  /** Goes to the gateway whatever the name: it is on this machine, where `agent` would not go, and nobody else answers there. */
  const gateway = new Agent({
    connect: {
      rejectUnauthorized: false,
      lookup: (_name, options, done) => lookup(new URL(kernel.urls.gateway()).hostname.replace(/[[\]]/g, ""), options, done),
    },
  });

  async function ask(request: IncomingMessage, origin: string, left: number, by: Dispatcher = agent): Promise<Dispatcher.ResponseData> {
    const headers: string[] = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const name = request.rawHeaders[i] as string;
      if (!DROPPED.test(name)) headers.push(name, request.rawHeaders[i + 1] as string);
    }
    headers.push(VIA, String(left));
    const abort = new AbortController();
    request.once("close", () => !request.complete && abort.abort());
    const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
    return by.request({
      origin,
      path: request.url as string,
      method: request.method as Dispatcher.HttpMethod,
      headers,
      body: hasBody ? request : null,
      signal: abort.signal,
    });
  }

  /** The origin is asked on the port of the URL. */
  const originOf = ({ address }: Origin, { protocol, port }: URL): string =>
    `${protocol}//${isIP(address) === 6 ? `[${address}]` : address}${port === "" ? "" : `:${port}`}`;

  /** The Worker that a host name means. */
  function workerOf(host: string): string | undefined {
    const [worker, rest] = [host.slice(0, host.indexOf(".")), host.slice(host.indexOf(".") + 1)];
    return rest === `${subdomain()}.workers.${kernel.urls.domain}` || rest === `${subdomain()}.workers.dev` ? worker : undefined;
  }

  async function pass(
    request: IncomingMessage,
    response: ServerResponse,
    scheme: "http" | "https",
    { gatewayPort, polished = false }: { gatewayPort?: string; polished?: boolean } = {},
  ): Promise<void> {
    const refuse = (page: ErrorPage): void => sendErrorPage(request, response, page);
    const url = URL.parse(`${scheme}://${request.headers.host}`);
    if (url === null) return refuse(originPages.dns);
    const left = Number(request.headers[VIA] ?? LOOPS_MAX) - 1;
    if (left < 0) return refuse(errorPages.loop);
    let answer: Dispatcher.ResponseData;
    try {
      const custom = customHostnames.ofHost(url.hostname);
      if (custom !== undefined && custom.origin === undefined) return refuse(originPages.dns);
      const name = custom?.origin ?? url.hostname;
      // Without a record here, whatever the public DNS says.
      const origin = zones.origin(name) ?? { address: name };
      answer =
        gatewayPort === undefined
          ? await ask(request, originOf(origin, url), left)
          : await ask(request, `${scheme}://${url.hostname}:${gatewayPort}`, left, gateway);
    } catch (error) {
      if (request.destroyed && !request.complete) return;
      kernel.log.warn("origin.unreachable", { host: url.host, error });
      return refuse(pageOf(error));
    }
    const headers = Object.entries(answer.headers).filter(([name, value]) => value !== undefined && !DROPPED.test(name));
    const about = { status: answer.statusCode, headers: answer.headers };
    const polish =
      polished && request.method === "GET" ? images.polish(new URL(request.url as string, url), request.headers, about) : undefined;
    if (polish?.take !== undefined) return sendPolished(response, answer, Object.fromEntries(headers), polish.take);
    const shown = { ...Object.fromEntries(headers), ...polish?.headers } as Record<string, string | string[]>;
    const flat = Object.entries(shown).flatMap(([name, value]) => [value].flat().flatMap((one) => [name, one]));
    // Only what leaves the platform: a Worker's own fetch() sees the page as the origin made it.
    const rewritten = polished ? html.rewrite(request, url.hostname, answer.statusCode, flat) : undefined;
    response.writeHead(answer.statusCode, rewritten?.headers ?? flat);
    // Whoever is cut off sees it by its own end of the connection.
    const steps = rewritten === undefined ? [answer.body, response] : [answer.body, ...rewritten.through, response];
    await pipeline(steps).catch(() => response.destroy());
  }

  /** An image as it was made smaller. Its length is known, and bounded by who takes it. */
  async function sendPolished(
    response: ServerResponse,
    { statusCode, body }: Dispatcher.ResponseData,
    headers: Readonly<Record<string, unknown>>,
    take: NonNullable<ImagePolish["take"]>,
  ): Promise<void> {
    let whole: Buffer;
    try {
      whole = await buffer(body);
    } catch {
      return void response.destroy();
    }
    const { bytes, headers: changed } = await take(whole);
    const { etag, "accept-ranges": _ranges, "content-md5": _digest, ...kept } = headers;
    // Another body than the origin's, but one of the same image.
    const weak = typeof etag === "string" && { etag: etag.startsWith("W/") ? etag : `W/${etag}` };
    response
      .writeHead(statusCode, { ...(kept as OutgoingHttpHeaders), ...weak, ...changed, "content-length": bytes.byteLength })
      .end(bytes);
  }

  return {
    has: (host) => zones.origin(host) !== undefined || customHostnames.ofHost(host) !== undefined,
    pass: (request, response, scheme) => pass(request, response, scheme, { polished: true }),
    async passOut(from, request, response, scheme) {
      if (from.strict) return pass(request, response, scheme, { gatewayPort: new URL(kernel.urls.gateway(scheme)).port });
      const worker = workerOf((request.headers.host ?? "").toLowerCase().replace(/:\d+$/, ""));
      if (worker === undefined) return pass(request, response, scheme);
      // What passThroughOnException() does where there is no origin: the exception stays one.
      if (worker === from.name) return void response.destroy();
      sendErrorPage(request, response, errorPages.sameZone);
    },
    async close() {
      await Promise.all([agent.destroy(), gateway.destroy()]);
    },
  };
}

function pageOf(error: unknown): ErrorPage {
  const { cause, code } = error as { cause?: unknown; code?: string };
  if (error instanceof PrivateAddressError || cause instanceof PrivateAddressError) return originPages.prohibited;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return originPages.dns;
  return code === "UND_ERR_CONNECT_TIMEOUT" ? originPages.timeout : originPages.down;
}
