/** REST of Workers VPC: tunnels and their connectors, and the directory of services, as wrangler and the SDKs send them. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import type { Connection, Connectors } from "./connectors.ts";
import { vpcError } from "./errors.ts";
import { type Services, serviceInput } from "./services.ts";
import { newTunnel, type TunnelRow, type Tunnels, tunnelChange } from "./tunnels.ts";

const TUNNELS = "/accounts/:account/cfd_tunnel";
const TUNNEL = `${TUNNELS}/:tunnel`;
const SERVICES = "/accounts/:account/connectivity/directory/services";
const SERVICE = `${SERVICES}/:service`;
const TUNNEL_READ = ["Cloudflare Tunnel Read", "Cloudflare Tunnel Write"] as const;
const TUNNEL_WRITE = ["Cloudflare Tunnel Write"] as const;
const READ = ["Connectivity Directory Read", "Connectivity Directory Bind", "Connectivity Directory Admin"] as const;
const ADMIN = ["Connectivity Directory Admin"] as const;
const BODY_MAX_BYTES = 64 * 1024;

export function tunnelRoutes(
  { accountId, clock: { now } }: Pick<KernelSlice, "accountId" | "clock">,
  tunnels: Tunnels,
  connectors: Connectors,
): Route[] {
  const idOf = (c: RequestContext): string => c.params.tunnel as string;
  const view = (row: TunnelRow) => tunnelView(accountId, row, connectors.of(row.id));
  return [
    {
      op: "workersVpc.tunnels.list",
      method: "GET",
      path: TUNNELS,
      permission: TUNNEL_READ,
      handle: async ({ query }) => numberedPage(selected((await tunnels.list()).map(view), query), query, 1000, 100),
    },
    {
      op: "workersVpc.tunnels.create",
      method: "POST",
      path: TUNNELS,
      permission: TUNNEL_WRITE,
      async handle(c) {
        const made = await tunnels.create(await c.json(newTunnel, BODY_MAX_BYTES));
        audit(c, "create", "CreateTunnel", "tunnel", made);
        return { ...view(made), token: await tunnels.token(made.id) };
      },
    },
    {
      op: "workersVpc.tunnels.get",
      method: "GET",
      path: TUNNEL,
      permission: TUNNEL_READ,
      handle: async (c) => view(await tunnels.get(idOf(c))),
    },
    {
      op: "workersVpc.tunnels.edit",
      method: "PATCH",
      path: TUNNEL,
      permission: TUNNEL_WRITE,
      async handle(c) {
        const changed = await tunnels.edit(idOf(c), await c.json(tunnelChange, BODY_MAX_BYTES));
        audit(c, "update", "UpdateTunnel", "tunnel", changed);
        return view(changed);
      },
    },
    {
      op: "workersVpc.tunnels.delete",
      method: "DELETE",
      path: TUNNEL,
      permission: TUNNEL_WRITE,
      async handle(c) {
        const row = await tunnels.get(idOf(c));
        // As `cloudflared tunnel delete --force` asks for it.
        const cascade = c.query.get("cascade") === "true";
        if (!cascade && connectors.of(row.id).length > 0) throw vpcError("tunnelActive");
        await tunnels.remove(row.id);
        // Their token is none any more: they do not come again.
        connectors.end(row.id);
        audit(c, "delete", "DeleteTunnel", "tunnel", row);
        return { ...view(row), deleted_at: new Date(now()).toISOString() };
      },
    },
    {
      op: "workersVpc.tunnels.token",
      method: "GET",
      path: `${TUNNEL}/token`,
      // Who has the token may stand in for the private network.
      permission: TUNNEL_WRITE,
      handle: (c) => tunnels.token(idOf(c)),
    },
    {
      op: "workersVpc.connections.list",
      method: "GET",
      path: `${TUNNEL}/connections`,
      permission: TUNNEL_READ,
      async handle(c) {
        const row = await tunnels.get(idOf(c));
        return [...clientsOf(connectors.of(row.id)).values()];
      },
    },
    {
      op: "workersVpc.connections.delete",
      method: "DELETE",
      path: `${TUNNEL}/connections`,
      permission: TUNNEL_WRITE,
      async handle(c) {
        const row = await tunnels.get(idOf(c));
        connectors.end(row.id, c.query.get("client_id") ?? undefined);
        audit(c, "update", "CleanUpConnections", "tunnel", row);
        return {};
      },
    },
    {
      op: "workersVpc.connectors.get",
      method: "GET",
      path: `${TUNNEL}/connectors/:connector`,
      permission: TUNNEL_READ,
      async handle(c) {
        const row = await tunnels.get(idOf(c));
        const client = clientsOf(connectors.of(row.id)).get(c.params.connector as string);
        if (client === undefined) throw vpcError("tunnelNotFound", "Tunnel connector not found");
        return client;
      },
    },
  ];
}

export function serviceRoutes(services: Services): Route[] {
  const idOf = (c: RequestContext): string => c.params.service as string;
  return [
    {
      op: "workersVpc.services.list",
      method: "GET",
      path: SERVICES,
      permission: READ,
      async handle({ query }) {
        const type = query.get("service_type");
        const found = (await services.list()).filter((service) => type === null || service.type === type);
        return numberedPage(found, query, 1000, 1000);
      },
    },
    {
      op: "workersVpc.services.create",
      method: "POST",
      path: SERVICES,
      permission: ADMIN,
      async handle(c) {
        const made = await services.create(await c.json(serviceInput, BODY_MAX_BYTES));
        audit(c, "create", "CreateConnectivityService", "service", { id: made.service_id, name: made.name });
        return made;
      },
    },
    { op: "workersVpc.services.get", method: "GET", path: SERVICE, permission: READ, handle: (c) => services.get(idOf(c)) },
    {
      op: "workersVpc.services.update",
      method: "PUT",
      path: SERVICE,
      permission: ADMIN,
      async handle(c) {
        const changed = await services.replace(idOf(c), await c.json(serviceInput, BODY_MAX_BYTES));
        audit(c, "update", "UpdateConnectivityService", "service", { id: changed.service_id, name: changed.name });
        return changed;
      },
    },
    {
      op: "workersVpc.services.delete",
      method: "DELETE",
      path: SERVICE,
      permission: ADMIN,
      async handle(c) {
        await services.remove(idOf(c));
        audit(c, "delete", "DeleteConnectivityService", "service", { id: idOf(c) });
        return null;
      },
    },
  ];
}

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

function tunnelView(accountId: string, row: TunnelRow, connections: readonly Connection[]) {
  return {
    id: row.id,
    account_tag: accountId,
    name: row.name,
    tun_type: "cfd_tunnel",
    config_src: row.config_src,
    remote_config: row.config_src === "cloudflare",
    status: connections.length > 0 ? "healthy" : row.active_at === null ? "inactive" : "down",
    connections: connections.map(connectionView),
    conns_active_at: connections.length > 0 ? iso(row.active_at) : null,
    conns_inactive_at: connections.length > 0 ? null : iso(row.inactive_at),
    created_at: iso(row.created_at),
    deleted_at: null,
    metadata: {},
  };
}

const connectionView = ({ id, clientId, version, originIp, openedAt }: Connection) => ({
  id,
  uuid: id,
  client_id: clientId,
  client_version: version,
  colo_name: "freehold",
  is_pending_reconnect: false,
  opened_at: iso(openedAt),
  origin_ip: originIp,
});

function clientsOf(connections: readonly Connection[]) {
  const groups = Map.groupBy(connections, ({ clientId }) => clientId);
  return new Map(
    [...groups].map(([id, all]) => {
      const { version, arch } = all[0] as Connection;
      const first = Math.min(...all.map(({ openedAt }) => openedAt));
      return [id, { id, arch, version, features: [], run_at: iso(first), conns: all.map(connectionView) }] as const;
    }),
  );
}

type View = ReturnType<typeof tunnelView>;

/** The list's documented filters. Deleted tunnels are not kept. */
function selected(tunnels: readonly View[], query: URLSearchParams): View[] {
  const [name, uuid, status] = ["name", "uuid", "status"].map((key) => query.get(key));
  const [include, exclude] = ["include_prefix", "exclude_prefix"].map((key) => query.get(key));
  if (query.get("is_deleted") === "true") return [];
  return tunnels.filter(
    (one) =>
      (name == null || one.name === name) &&
      (uuid == null || one.id === uuid.toLowerCase()) &&
      (status == null || one.status === status) &&
      (include == null || one.name.startsWith(include)) &&
      (exclude == null || !one.name.startsWith(exclude)),
  );
}

function audit(
  c: RequestContext,
  type: "create" | "update" | "delete",
  info: string,
  kind: string,
  { id, name }: { readonly id: string; readonly name?: string },
): void {
  c.audit({ info, type, resource: { type: kind, id }, ...(type !== "delete" && name !== undefined && { newValue: { name } }) });
}
