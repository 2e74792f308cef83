/** REST routes of custom hostnames and of a zone's fallback origin. */
import { randomBytes, randomUUID } from "node:crypto";
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Zone, Zones } from "../../kernel/capabilities.ts";
import type { Log } from "../../kernel/log.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { hostnamesError } from "./errors.ts";
import type { FallbackOrigin, Hostnames } from "./hostnames.ts";
import type { Certificate, Hostname } from "./model.ts";
import type { Validation } from "./validation.ts";
import { fallbackView, hostnameView } from "./views.ts";

const READ = ["SSL and Certificates Read", "SSL and Certificates Write"] as const;
const WRITE = ["SSL and Certificates Write"] as const;
const ALL = "/zones/:zone/custom_hostnames";
const ONE = `${ALL}/:hostname`;
const FALLBACK = `${ALL}/fallback_origin`;
/** Documented size of custom metadata. */
const METADATA_MAX_BYTES = 4_096;
/** Documented length past which a name does not fit into a certificate's subject. */
const SUBJECT_MAX = 64;
const NAME = /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$/;

const onOff = z.enum(["on", "off"]).optional();
const sslSchema = z.looseObject({
  method: z.enum(["http", "txt", "email"]).default("http"),
  type: z.literal("dv").default("dv"),
  settings: z
    .object({
      http2: onOff,
      min_tls_version: z.enum(["1.0", "1.1", "1.2", "1.3"]).optional(),
      tls_1_3: onOff,
      early_hints: onOff,
      ciphers: z.array(z.string().max(100)).max(100).optional(),
    })
    .default({}),
  wildcard: z.boolean().default(false),
  certificate_authority: z.string().max(64).optional(),
  cloudflare_branding: z.boolean().default(false),
});
const changeSchema = z.object({
  ssl: sslSchema.nullish(),
  custom_metadata: z.record(z.string(), z.unknown()).nullish(),
  custom_origin_server: z.string().max(253).nullish(),
  custom_origin_sni: z.string().max(253).nullish(),
});
const createSchema = changeSchema.extend({ hostname: z.string() });

interface Deps {
  readonly hostnames: Hostnames;
  readonly validation: Validation;
  readonly zones: Zones;
  readonly log: Log;
  readonly countMax: number;
}

export function hostnameRoutes({ hostnames, validation, zones, log, countMax }: Deps): Route[] {
  function zoneOf(c: RequestContext): Zone {
    const zone = zones.byId(c.params.zone as string);
    if (zone === undefined) throw hostnamesError("zoneNotFound");
    return zone;
  }

  const named = (c: RequestContext): Hostname => hostnames.require(zoneOf(c).id, c.params.hostname as string);

  function fallbackOf(c: RequestContext): FallbackOrigin {
    const found = hostnames.fallback(zoneOf(c).id);
    if (found === undefined) throw hostnamesError("originNotFound");
    return found;
  }

  // Before those of one hostname, whose id could be this word.
  const fallback: Route[] = [
    {
      op: "customHostnames.fallback.get",
      method: "GET",
      path: FALLBACK,
      permission: READ,
      handle: async (c) => fallbackView(fallbackOf(c)),
    },
    {
      op: "customHostnames.fallback.put",
      method: "PUT",
      path: FALLBACK,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const origin = (await c.json(z.object({ origin: z.string() }))).origin.toLowerCase();
        if (!NAME.test(origin) || zones.ofHost(origin)?.id !== zone.id) throw hostnamesError("invalidOrigin");
        return fallbackView(await hostnames.setFallback(zone.id, origin));
      },
    },
    {
      op: "customHostnames.fallback.delete",
      method: "DELETE",
      path: FALLBACK,
      permission: WRITE,
      async handle(c) {
        const old = fallbackOf(c);
        await hostnames.removeFallback(zoneOf(c).id);
        return { ...fallbackView(old), status: "pending_deletion" };
      },
    },
  ];

  return [
    ...fallback,
    {
      op: "customHostnames.list",
      method: "GET",
      path: ALL,
      permission: READ,
      async handle(c) {
        const [hostname, id, status] = ["hostname", "id", "hostname_status"].map((key) => c.query.get(key));
        const found = hostnames
          .ofZone(zoneOf(c).id)
          .filter((h) => hostname == null || h.hostname.includes(hostname.toLowerCase()))
          .filter((h) => id == null || h.id === id)
          .filter((h) => status == null || h.status === status)
          .sort((a, b) => a.createdOn - b.createdOn);
        const { page, result, resultInfo } = numberedPage(found, c.query, 1000, 20);
        return { page, result: result.map(hostnameView), resultInfo };
      },
    },
    {
      op: "customHostnames.create",
      method: "POST",
      path: ALL,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const wanted = await c.json(createSchema);
        const hostname = wanted.hostname.toLowerCase();
        if (!NAME.test(hostname)) throw hostnamesError("invalidHostname");
        if (hostname === zone.name) throw hostnamesError("zoneName");
        if (hostnames.ofZone(zone.id).length >= countMax) throw hostnamesError("tooMany");
        const certificate = wanted.ssl == null ? null : newCertificate(hostname, wanted.ssl);
        const added = await hostnames.add(zone.id, hostname, {
          status: "pending",
          ownershipToken: randomUUID(),
          certificate,
          metadata: checkedMetadata(wanted.custom_metadata ?? null),
          originServer: checkedOrigin(wanted.custom_origin_server ?? null),
          originSni: wanted.custom_origin_sni ?? null,
          errors: [],
          attempts: 0,
        });
        validation.check(added.id).catch((error: unknown) => log.error("custom_hostname.check_failed", { hostname, error }));
        return hostnameView(added);
      },
    },
    { op: "customHostnames.get", method: "GET", path: ONE, permission: READ, handle: async (c) => hostnameView(named(c)) },
    {
      op: "customHostnames.edit",
      method: "PATCH",
      path: ONE,
      permission: WRITE,
      async handle(c) {
        const old = named(c);
        const wanted = await c.json(changeSchema);
        const { ssl, custom_metadata: metadata, custom_origin_server: originServer, custom_origin_sni: originSni } = wanted;
        await hostnames.change(
          old.id,
          (now) => ({
            ...(ssl != null && { certificate: editedCertificate(now, ssl) }),
            ...(metadata !== undefined && { metadata: checkedMetadata(metadata) }),
            ...(originServer !== undefined && { originServer: checkedOrigin(originServer) }),
            ...(originSni !== undefined && { originSni }),
            attempts: 0,
          }),
          true,
        );
        const changed = await validation.check(old.id);
        if (changed === undefined) throw hostnamesError("notFound");
        return hostnameView(changed);
      },
    },
    {
      op: "customHostnames.delete",
      method: "DELETE",
      path: ONE,
      permission: WRITE,
      async handle(c) {
        const { id } = named(c);
        await hostnames.remove(id);
        // The SDKs take the id from the answer itself, not from its result.
        return Response.json({ id, result: { id }, success: true, errors: [], messages: [] });
      },
    },
  ];
}

/** The token is new: what proved the control of the name before counts no more. */
function newCertificate(hostname: string, ssl: z.infer<typeof sslSchema>): Certificate {
  if (hostname.length > SUBJECT_MAX && !ssl.cloudflare_branding) throw hostnamesError("tooLong");
  return {
    id: randomUUID(),
    method: ssl.method,
    settings: ssl.settings,
    wildcard: ssl.wildcard,
    authority: ssl.certificate_authority,
    branding: ssl.cloudflare_branding,
    status: "pending_validation",
    token: randomBytes(32).toString("base64url"),
  };
}

/** What does not concern the proof changes nothing of it; keys of `settings` that are not sent fall to their defaults. */
function editedCertificate({ hostname, certificate: old }: Hostname, ssl: z.infer<typeof sslSchema>): Certificate {
  const fresh = newCertificate(hostname, ssl);
  if (old === null || old.method !== fresh.method || old.wildcard !== fresh.wildcard) return fresh;
  return { ...fresh, id: old.id, status: old.status, token: old.token };
}

function checkedMetadata(metadata: Readonly<Record<string, unknown>> | null): Readonly<Record<string, unknown>> | null {
  if (metadata !== null && Buffer.byteLength(JSON.stringify(metadata)) > METADATA_MAX_BYTES) throw hostnamesError("metadata");
  return metadata;
}

/** Documented: a host name, never an address. */
function checkedOrigin(origin: string | null): string | null {
  if (origin !== null && !NAME.test(origin.toLowerCase())) throw hostnamesError("invalidOrigin");
  return origin?.toLowerCase() ?? null;
}
