/**
 * The REST v4 API: the routes of all products behind one bearer check, one envelope and one log line. A path that
 * nobody serves answers 404 with code 7003, and is logged once by name.
 */
import { Hono } from "hono";
import type { Config } from "../config.ts";
import { platformError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Auth, RequestContext, Route } from "../product.ts";
import type { AuditLog, Change } from "./audit.ts";
import { bodyChunks, parseJson, parseWith, readBody } from "./body.ts";
import { failureOf, success } from "./envelope.ts";
import { type Principal, zoneResource } from "./tokens.ts";

export interface ApiOptions {
  readonly routes: readonly Route[];
  readonly accountId: string;
  readonly auth: Auth;
  readonly audit: AuditLog;
  readonly config: Config;
  readonly log: Log;
}

/** Answers requests under /client/v4. */
export interface Api {
  /** As whom the request's own credentials name. `ip`: the client's address, for the audit log. */
  fetch(request: Request, ip?: string): Promise<Response>;
  /** As the principal; the request's own credentials are not read. */
  fetchAs(principal: Principal, request: Request): Promise<Response>;
}

/** What is known of a caller beside its request. */
interface Caller {
  readonly principal?: Principal;
  readonly ip?: string;
}

export const API_PREFIX = "/client/v4";
const JSON_BODY_MAX_BYTES = 10 * 1024 * 1024;
/** Names of unknown routes that are remembered as logged. */
const UNKNOWN_MAX = 1000;

export function createApi(options: ApiOptions): Api {
  const { log, auth } = options;
  const app = new Hono<{ Bindings: Caller }>();
  for (const route of options.routes) {
    // A dot would not match the line breaks that keys may have.
    app.on(route.method, `${API_PREFIX}${route.path.replace("{.+}", "{[\\s\\S]+}")}`, async (c) => {
      try {
        const principal = route.permission === "public" ? anonymous : await authorize(route, c.req.param(), c.req.raw, c.env.principal);
        const changes: Change[] = [];
        const value = await route.handle(
          context(c.req.raw, c.req.param() as Record<string, string>, { principal, ip: c.env.ip ?? "" }, changes),
        );
        await options.audit.record({ principal, ip: c.env.ip ?? "" }, changes);
        return value instanceof Response ? value : success(value);
      } catch (error) {
        return failureOf(error, route.op, log);
      }
    });
  }
  const unknown = new Set<string>();
  app.notFound(async (c) => {
    const name = `${c.req.method} ${c.req.path.replace(options.accountId, ":account")}`;
    if (unknown.size < UNKNOWN_MAX && !unknown.has(name)) {
      unknown.add(name);
      log.warn("api.not_implemented", { route: name });
    }
    return failureOf(platformError("noRoute", `Could not route to ${c.req.path}, perhaps your object identifier is invalid?`), name, log);
  });

  async function authorize(
    route: Route,
    params: Readonly<Record<string, string>>,
    request: Request,
    known?: Principal,
  ): Promise<Principal> {
    const principal = known ?? (await auth.bearer(Object.fromEntries(request.headers)));
    const { account, zone } = params;
    if (account !== undefined && account !== options.accountId) throw platformError("accountNotFound");
    const { permission } = route;
    const resource = zone === undefined ? undefined : zoneResource(zone);
    if (permission !== "public" && permission.length > 0 && !permission.some((group) => principal.can(group, resource))) {
      throw platformError("forbidden");
    }
    return principal;
  }

  function context(request: Request, params: Record<string, string>, actor: Required<Caller>, changes: Change[]): RequestContext {
    const idleTimeoutMs = options.config["gateway.body_idle_timeout_ms"];
    const bytes = (maxBytes: number) => readBody(request.body, { maxBytes, idleTimeoutMs });
    return {
      params,
      query: new URL(request.url).searchParams,
      headers: request.headers,
      ...actor,
      request,
      audit: (change) => void changes.push(change),
      bytes,
      chunks: (maxBytes) => bodyChunks(request.body, { maxBytes, idleTimeoutMs }),
      async json(schema, maxBytes = JSON_BODY_MAX_BYTES) {
        const value = parseJson((await bytes(maxBytes)).toString("utf8"));
        return parseWith(schema, value);
      },
    };
  }

  return {
    fetch: async (request, ip) => app.fetch(request, ip === undefined ? {} : { ip }),
    fetchAs: async (principal, request) => app.fetch(request, { principal }),
  };
}

const anonymous: Principal = { tokenId: "", tokenName: "anonymous", policies: [], can: () => false };
