/**
 * A Worker's `fetch()` on a VPC service. It leaves by the service's tunnel to the service's host and port whatever the URL
 * says; the URL gives path, `Host` header and, under TLS, the server's name. What cannot be reached makes `fetch()` throw:
 * the request's connection is cut, before the answer or within it.
 */
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Log } from "../../kernel/log.ts";
import type { Claims } from "../../kernel/product.ts";
import { CAPABILITY_HEADER } from "../../kernel/workerd/capability.ts";
import { UnreachableError } from "./errors.ts";
import type { Reach } from "./reach.ts";
import type { Service, Services } from "./services.ts";

/** In which workerd says the URL's scheme; what user code has set by that name does not get here. */
export const SCHEME_HEADER = "x-freehold-vpc-scheme";
/** Of one connection, and ours: not passed on. */
const OWN_HEADERS = new Set([CAPABILITY_HEADER, SCHEME_HEADER, "connection", "keep-alive", "proxy-connection"]);

export interface FetchParts {
  readonly services: Services;
  readonly reach: Reach;
  readonly log: Log;
}

export async function serveFetch(parts: FetchParts, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    const socket = await connect(parts, claims.service as string, request);
    if (gone.signal.aborted) return void socket.destroy();
    await exchange(socket, request, response, gone.signal);
  } catch (error) {
    if (!gone.signal.aborted) parts.log.info("workers_vpc.unreachable", { service: claims.service, reason: (error as Error).message });
    // Without an answer, or in its middle: the Worker's promise rejects.
    response.destroy();
  }
}

async function connect({ services, reach }: FetchParts, id: string, request: IncomingMessage): Promise<Duplex> {
  const service = await services.find(id);
  if (service?.type !== "http") throw new UnreachableError("the VPC service does not exist any more");
  const { encrypted, port } = portOf(service, request.headers[SCHEME_HEADER] === "https");
  return reach.connect(service, port, encrypted ? nameOf(request) : undefined);
}

/** The URL's host, which workerd has put into the header. */
const nameOf = ({ headers }: IncomingMessage): string => new URL(`https://${headers.host ?? "invalid"}`).hostname.replace(/^\[|\]$/g, "");

/** Both schemes on their own ports, unless the service names a port of one alone: then it is that scheme. */
function portOf({ http_port: http, https_port: https }: Extract<Service, { type: "http" }>, wanted: boolean) {
  const encrypted = (http == null) === (https == null) ? wanted : http == null;
  return { encrypted, port: (encrypted ? https : http) ?? (encrypted ? 443 : 80) };
}

/** Request and answer on a connection of their own, each streamed. Ends with `signal`. */
async function exchange(socket: Duplex, request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
  try {
    const upstream = httpRequest({
      method: request.method as string,
      path: request.url as string,
      headers: passed(request.rawHeaders),
      setDefaultHeaders: false,
      // Without `agent`: any agent, even `false`, would make a connection of its own, to this machine.
      createConnection: () => socket as never,
      signal,
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      upstream.once("response", resolve);
      upstream.on("error", reject);
      upstream.once("upgrade", () => reject(new UnreachableError("the service has changed the protocol")));
    });
    // An answer may come before the end of the request; a failure of the request is one of `answered`, or of the answer.
    pipeline(request, upstream).catch((error: Error) => upstream.destroy(error));
    const answer = await answered;
    // To the parser an answer without a length is whole when its connection fails.
    upstream.once("error", (error) => answer.destroy(error));
    response.writeHead(answer.statusCode as number, answer.statusMessage, passed(answer.rawHeaders));
    await pipeline(answer, response);
  } finally {
    socket.destroy();
  }
}

const passed = (raw: readonly string[]): string[] => raw.filter((_, i) => !OWN_HEADERS.has((raw[i - (i % 2)] as string).toLowerCase()));
