/** Tunnels and VPC services as the API gives them. */
export const TUNNELS = "/cfd_tunnel";
export const SERVICES = "/connectivity/directory/services";

export interface Tunnel {
  readonly id: string;
  readonly name: string;
  readonly status: "inactive" | "healthy" | "down";
  readonly connections: readonly { readonly id: string; readonly origin_ip: string; readonly opened_at: string }[];
  readonly created_at: string;
}

export interface Service {
  readonly service_id: string;
  readonly name: string;
  readonly type: "http" | "tcp";
  readonly http_port?: number | null;
  readonly https_port?: number | null;
  readonly tcp_port?: number;
  readonly host: {
    readonly hostname?: string;
    readonly ipv4?: string;
    readonly ipv6?: string;
    readonly network?: { readonly tunnel_id: string };
    readonly resolver_network?: { readonly tunnel_id: string; readonly resolver_ips?: readonly string[] | null };
  };
  readonly created_at: string;
}

/** What the form of a new service says; texts as they were typed. */
export interface ServiceForm {
  readonly name: string;
  readonly tunnel: string;
  readonly host: string;
  readonly ports: "default" | "own";
  readonly httpPort: string;
  readonly httpsPort: string;
  readonly resolver: "tunnel" | "own";
  readonly resolverIp: string;
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** The body that makes the service: by address or by name, as the host looks. */
export function serviceOf(form: ServiceForm): object {
  const host = form.host.trim().replace(/^\[|\]$/g, "");
  const network = { tunnel_id: form.tunnel };
  const port = (text: string) => (form.ports === "own" && text !== "" ? Number(text) : undefined);
  const resolvers = form.resolver === "own" ? { resolver_ips: form.resolverIp.split(/[\s,]+/).filter((ip) => ip !== "") } : {};
  return {
    type: "http",
    name: form.name,
    http_port: port(form.httpPort),
    https_port: port(form.httpsPort),
    host: isAddress(host)
      ? { [IPV4.test(host) ? "ipv4" : "ipv6"]: host, network }
      : { hostname: host, resolver_network: { ...network, ...resolvers } },
  };
}

/** An address needs no resolver. */
export const isAddress = (host: string): boolean => IPV4.test(host) || host.includes(":");

export const tunnelOf = ({ host }: Service): string => host.network?.tunnel_id ?? host.resolver_network?.tunnel_id ?? "";

export const addressOf = ({ host }: Service): string => host.hostname ?? [host.ipv4, host.ipv6].filter(Boolean).join(", ");

export function portsOf({ type, http_port, https_port, tcp_port }: Service): string {
  if (type === "tcp") return `TCP ${tcp_port}`;
  if (http_port == null && https_port == null) return "HTTP 80, HTTPS 443";
  return [http_port && `HTTP ${http_port}`, https_port && `HTTPS ${https_port}`].filter(Boolean).join(", ");
}
