/**
 * Previews for members of the account alone. A visitor of a preview's host name is sent to sign in at `access.<domain>`
 * (`sign-in.ts`), which is an origin of its own, so that no code of a preview ever sees an API token, and comes back with a
 * ticket that is good for one host and a moment. It becomes a cookie of that host, which counts while the API token that
 * stands behind it does. https://developers.cloudflare.com/pages/configuration/preview-deployments/
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { sendErrorPage } from "../../../kernel/gateway/pages.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { type SignedTokens, signedTokens } from "../../../kernel/signed-token.ts";
import type { Project } from "../model.ts";

interface Ticket {
  readonly project: string;
  readonly host: string;
  /** Of the API token. */
  readonly token: string;
}

export interface Gate {
  /** Whether the request may go on. If not, it has been answered. */
  admits(project: Project, request: IncomingMessage, response: ServerResponse): Promise<boolean>;
  /** Whether a request that cannot be sent to sign in may go on. */
  knows(project: Project, request: IncomingMessage): Promise<boolean>;
  /** Where someone who has signed in goes on: a URL of the host. */
  enter(project: Project, place: Place, tokenId: string): string;
}

/** A page of a preview. */
export interface Place {
  readonly scheme: "http" | "https";
  /** With the port. */
  readonly host: string;
  /** Path and query. */
  readonly target: string;
}

const COOKIE = "CF_Authorization";
const ENTRANCE = "/cdn-cgi/access/authorized";
const TICKET_TTL_S = 60;
const SESSION_TTL_S = 24 * 3600;
/** Who may see previews: whoever may see the project. */
export const VIEWER = "Pages Read";

export function openGate(kernel: KernelSlice): Gate {
  const { secrets, clock, urls } = kernel;
  const tickets: SignedTokens<Ticket> = signedTokens(secrets.derive("pages.access.ticket"), clock, TICKET_TTL_S);
  const sessions: SignedTokens<Ticket> = signedTokens(secrets.derive("pages.access.session"), clock, SESSION_TTL_S);

  const isFor = (found: Ticket | undefined, project: Project, request: IncomingMessage): found is Ticket =>
    found !== undefined && found.project === project.id && found.host === request.headers.host;

  async function knows(project: Project, request: IncomingMessage): Promise<boolean> {
    const session = sessions.verify(cookieOf(request, COOKIE) ?? "");
    if (!isFor(session, project, request)) return false;
    return (await kernel.auth.accessKey(session.token))?.principal.can(VIEWER) === true;
  }

  function admit(project: Project, request: IncomingMessage, response: ServerResponse, url: URL): void {
    const ticket = tickets.verify(url.searchParams.get("ticket") ?? "");
    if (!isFor(ticket, project, request)) {
      forbid(request, response);
      return;
    }
    const session = sessions.sign({ project: ticket.project, host: ticket.host, token: ticket.token });
    const secure = schemeOf(request) === "https" ? "; Secure" : "";
    response.writeHead(302, {
      location: localPath(url.searchParams.get("redirect_url")),
      "set-cookie": `${COOKIE}=${session}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${SESSION_TTL_S}${secure}`,
      "cache-control": "no-store",
    });
    response.end();
  }

  return {
    knows,
    async admits(project, request, response) {
      const url = URL.parse(`${schemeOf(request)}://${request.headers.host}${request.url}`);
      if (url?.pathname === ENTRANCE) {
        admit(project, request, response, url);
        return false;
      }
      if (await knows(project, request)) return true;
      if (url !== null && /text\/html/.test(request.headers.accept ?? "") && (request.method === "GET" || request.method === "HEAD")) {
        const query = new URLSearchParams({ scheme: schemeOf(request), redirect_url: url.pathname + url.search });
        const location = `${urls.host("access")}/cdn-cgi/access/login/${url.host}?${query}`;
        response.writeHead(302, { location, "cache-control": "no-store" });
        response.end();
      } else forbid(request, response);
      return false;
    },
    enter(project, { scheme, host, target }, tokenId) {
      const query = new URLSearchParams({ ticket: tickets.sign({ project: project.id, host, token: tokenId }), redirect_url: target });
      return `${scheme}://${host}${ENTRANCE}?${query}`;
    },
  };
}

/** A path of the same origin, whatever was asked for. */
export const localPath = (given: string | null): string => {
  const url = URL.parse(given ?? "/", "http://host");
  return url === null || url.origin !== "http://host" ? "/" : url.pathname.replace(/^\/+/, "/") + url.search;
};

const schemeOf = (request: IncomingMessage): "http" | "https" => ((request.socket as TLSSocket).encrypted === true ? "https" : "http");

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  for (const part of (headers.cookie ?? "").split(";")) {
    const [key, value] = part.trim().split("=", 2);
    if (key === name) return value;
  }
  return undefined;
}

function forbid(request: IncomingMessage, response: ServerResponse): void {
  sendErrorPage(request, response, {
    status: 403,
    title: "This preview is for members",
    text: "Sign in with a browser to see it.",
  });
}
