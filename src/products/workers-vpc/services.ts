/**
 * VPC services: the account's directory of what lies in private networks. A service is one host, reached by one tunnel, on at
 * most two ports; Workers name it by its id. Shapes as `wrangler vpc service` and the SDKs send them: host by name
 * (`resolver_network`) or by address (`network`).
 */
import { randomUUID } from "node:crypto";
import { isIP, isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import type { Certificates } from "../../kernel/capabilities.ts";
import type { MetaReader } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { vpcError } from "./errors.ts";
import type { Tunnels } from "./tunnels.ts";

const NAME_MAX = 255;
const RESOLVERS_MAX = 8;

const port = z.number().int().min(1).max(65_535).nullish();
const uuid = z.uuid();
const network = z.object({ tunnel_id: uuid });
const hostname = z
  .string()
  .trim()
  .toLowerCase()
  .max(253)
  .regex(/^(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/, "must be a host name without scheme, port and path")
  .refine((text) => isIP(text) === 0, "must be no IP address");
const host = z.union([
  z.object({
    hostname,
    resolver_network: network.extend({
      resolver_ips: z
        .array(z.string().refine((text) => isIP(text) !== 0, "must be IP addresses"))
        .max(RESOLVERS_MAX)
        .nullish(),
    }),
  }),
  z
    .object({
      ipv4: z.string().refine(isIPv4, "must be an IPv4 address").optional(),
      ipv6: z.string().refine(isIPv6, "must be an IPv6 address").optional(),
      network,
    })
    .refine(({ ipv4, ipv6 }) => ipv4 !== undefined || ipv6 !== undefined, "must have an ipv4, an ipv6 or a hostname"),
]);
const tls = z
  .object({
    cert_verification_mode: z.enum(["verify_full", "verify_ca", "disabled"]),
    certificate_authority: uuid.nullish(),
    client_certificate: uuid.nullish(),
  })
  .refine(
    (given) => given.cert_verification_mode !== "disabled" || given.certificate_authority == null,
    "a certificate authority needs verify_ca or verify_full",
  )
  .nullish();

export const serviceInput = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("http"),
    name: z.string().trim().min(1).max(NAME_MAX),
    http_port: port,
    https_port: port,
    host,
    tls_settings: tls,
  }),
  z.object({
    type: z.literal("tcp"),
    name: z.string().trim().min(1).max(NAME_MAX),
    tcp_port: z.number().int().min(1).max(65_535),
    app_protocol: z.enum(["postgresql", "mysql"]).nullish(),
    host,
    tls_settings: tls,
  }),
]);

type Input = z.infer<typeof serviceInput>;
export type ServiceHost = z.infer<typeof host>;
export type Service = Input & { readonly service_id: string; readonly created_at: string; readonly updated_at: string };

interface ServiceRow {
  readonly [column: string]: string | number | null;
  readonly id: string;
  readonly name: string;
  readonly settings: string;
  readonly created_at: number;
  readonly updated_at: number;
}

export const tunnelOf = (given: ServiceHost): string =>
  ("hostname" in given ? given.resolver_network.tunnel_id : given.network.tunnel_id).toLowerCase();

export type Services = ReturnType<typeof openServices>;

export function openServices({ meta, clock, config }: KernelSlice, tunnels: Tunnels, certificates: Certificates) {
  const view = (row: ServiceRow): Service => ({
    service_id: row.id,
    ...(JSON.parse(row.settings) as Input),
    name: row.name,
    created_at: new Date(row.created_at).toISOString(),
    updated_at: new Date(row.updated_at).toISOString(),
  });

  const find = (id: string, from: MetaReader = meta): Promise<ServiceRow | undefined> =>
    from.get<ServiceRow>("SELECT * FROM workers_vpc_services WHERE id = ?", id.toLowerCase());

  async function need(id: string, from?: MetaReader): Promise<ServiceRow> {
    const row = await find(id, from);
    if (row === undefined) throw vpcError("serviceNotFound");
    return row;
  }

  /** What it names must be there, and its name be free. */
  async function check(tx: MetaReader, given: Input, id: string): Promise<void> {
    const same = await tx.get("SELECT 1 FROM workers_vpc_services WHERE name = ? AND id <> ?", given.name, id);
    if (same !== undefined) throw vpcError("serviceNameTaken");
    if ((await tunnels.find(tunnelOf(given.host), tx)) === undefined) throw vpcError("noTunnel");
  }

  async function checkCertificates({ tls_settings: given }: Input): Promise<void> {
    const { certificate_authority: authority, client_certificate: client } = given ?? {};
    if (authority != null && (await certificates.authority(authority)) === undefined) throw vpcError("noCertificate");
    if (client != null && (await certificates.client(client)) === undefined) throw vpcError("noCertificate");
  }

  return {
    list: async (): Promise<Service[]> =>
      (
        await meta.all<ServiceRow>("SELECT * FROM workers_vpc_services ORDER BY created_at, id LIMIT ?", config["workers_vpc.services_max"])
      ).map(view),
    get: async (id: string): Promise<Service> => view(await need(id)),
    async find(id: string): Promise<Service | undefined> {
      const row = await find(id);
      return row && view(row);
    },
    async create(given: Input): Promise<Service> {
      await checkCertificates(given);
      return meta.transaction(async (tx) => {
        const id = randomUUID();
        const { n } = (await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM workers_vpc_services")) ?? { n: 0 };
        if (n >= config["workers_vpc.services_max"]) throw vpcError("tooManyServices");
        await check(tx, given, id);
        const now = clock.now();
        await tx.run(
          "INSERT INTO workers_vpc_services (id, name, tunnel_id, settings, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
          ...[id, given.name, tunnelOf(given.host), JSON.stringify(given), now, now],
        );
        return view(await need(id, tx));
      });
    },
    /** A whole new content: what is left out is gone. */
    async replace(id: string, given: Input): Promise<Service> {
      await checkCertificates(given);
      return meta.transaction(async (tx) => {
        const old = await need(id, tx);
        await check(tx, given, old.id);
        await tx.run(
          "UPDATE workers_vpc_services SET name = ?, tunnel_id = ?, settings = ?, updated_at = ? WHERE id = ?",
          ...[given.name, tunnelOf(given.host), JSON.stringify(given), Math.max(clock.now(), old.created_at), old.id],
        );
        return view(await need(id, tx));
      });
    },
    remove: (id: string): Promise<void> =>
      meta.transaction(async (tx) => {
        const { id: found } = await need(id, tx);
        await tx.run("DELETE FROM workers_vpc_services WHERE id = ?", found);
      }),
  };
}
