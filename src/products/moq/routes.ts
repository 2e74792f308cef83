/** REST of relays and their tokens, as the `cloudflare` SDKs send it. */
import { z } from "zod";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { moqError } from "./errors.ts";
import { OPERATIONS, type Relay, type Relays, type Token } from "./relays.ts";

const READ = ["MoQ Read", "MoQ Write"] as const;
const WRITE = ["MoQ Write"] as const;
const PER_PAGE_MAX = 1000;
const ROOT = "/accounts/:account/moq/relays";

const name = z.string().min(1).max(255);
const upstreams = z.object({ enabled: z.boolean().optional(), upstreams: z.array(z.object({ url: z.string() })).optional() });
const config = z.object({ upstreams: upstreams.optional() });
const creation = z.object({ name, config: z.record(z.string(), z.unknown()).nullish() });
const update = z.object({ name: name.optional(), config: config.optional() });
const tokenCreation = z.object({
  operations: z.array(z.enum(OPERATIONS)).min(1).max(OPERATIONS.length),
  expires: z.iso.datetime({ offset: true }).optional(),
  label: z.string().max(255).optional(),
});

/** `online` tells whether a relay has sessions now; `removed` ends them. */
export function relayRoutes(relays: Relays, online: (uid: string) => boolean, removed: (uid: string) => void): Route[] {
  const uid = (c: RequestContext): string => c.params.relay as string;
  const note = (c: RequestContext, type: "create" | "update" | "delete", what: "relay" | "token", id: string): void =>
    c.audit({ info: `${type[0]?.toUpperCase()}${type.slice(1)} MoQ ${what}`, type, resource: { type: `moq.${what}s`, id } });
  const full = (relay: Relay) => ({
    ...relay,
    config: { upstreams: { enabled: false, upstreams: [] } },
    ...(online(relay.uid) && { status: "connected" }),
  });
  const issuers = (tokens: readonly Token[]) => ({
    issuers: [{ type: "cloudflare_jwt", issuer: "cloudflare", cloudflare_tokens: tokens }],
  });

  return [
    {
      op: "moq.relays.list",
      method: "GET",
      path: ROOT,
      permission: READ,
      async handle({ query }) {
        const perPage = Math.min(PER_PAGE_MAX, positive(query.get("per_page")) ?? 20);
        const [after, before] = [time(query.get("created_after")), time(query.get("created_before"))];
        const { relays: found, total } = await relays.list({ ascending: query.get("asc") === "true", after, before, perPage });
        return { page: true, result: found, resultInfo: { count: found.length, total } };
      },
    },
    {
      op: "moq.relays.create",
      method: "POST",
      path: ROOT,
      permission: WRITE,
      async handle(c) {
        const body = await c.json(creation);
        if (Object.keys(body.config ?? {}).length > 0) throw moqError("configAtCreation");
        const { relay, tokens } = await relays.create(body.name);
        note(c, "create", "relay", relay.uid);
        return { ...full(relay), ...issuers(tokens) };
      },
    },
    { op: "moq.relays.get", method: "GET", path: `${ROOT}/:relay`, permission: READ, handle: async (c) => full(await relays.get(uid(c))) },
    {
      op: "moq.relays.update",
      method: "PUT",
      path: `${ROOT}/:relay`,
      permission: WRITE,
      async handle(c) {
        const body = await c.json(update);
        if (body.config?.upstreams?.enabled === true || (body.config?.upstreams?.upstreams?.length ?? 0) > 0) throw moqError("badUpstream");
        const relay = await relays.rename(uid(c), body.name);
        note(c, "update", "relay", relay.uid);
        return full(relay);
      },
    },
    {
      op: "moq.relays.delete",
      method: "DELETE",
      path: `${ROOT}/:relay`,
      permission: WRITE,
      async handle(c) {
        await relays.remove(uid(c));
        note(c, "delete", "relay", uid(c));
        removed(uid(c));
        return null;
      },
    },
    {
      op: "moq.tokens.list",
      method: "GET",
      path: `${ROOT}/:relay/tokens`,
      permission: READ,
      handle: async (c) => issuers(await relays.tokens(uid(c))),
    },
    {
      op: "moq.tokens.create",
      method: "POST",
      path: `${ROOT}/:relay/tokens`,
      permission: WRITE,
      async handle(c) {
        const { operations, expires, label } = await c.json(tokenCreation);
        const chosen = OPERATIONS.filter((one) => operations.includes(one));
        const token = await relays.addToken(uid(c), chosen, expires === undefined ? undefined : Date.parse(expires), label);
        note(c, "create", "token", token.jti);
        return issuers([token]);
      },
    },
    {
      op: "moq.tokens.delete",
      method: "DELETE",
      path: `${ROOT}/:relay/tokens/:jti`,
      permission: WRITE,
      async handle(c) {
        await relays.removeToken(uid(c), c.params.jti as string);
        note(c, "delete", "token", c.params.jti as string);
        return null;
      },
    },
  ];
}

function positive(text: string | null): number | undefined {
  if (text === null) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw moqError("invalid", "per_page must be a whole number above 0");
  return value;
}

function time(text: string | null): number | undefined {
  if (text === null) return undefined;
  const value = Date.parse(text);
  if (Number.isNaN(value)) throw moqError("invalid", "created_after and created_before must be times");
  return value;
}
