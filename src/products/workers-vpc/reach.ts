/**
 * Ways to a VPC service: a TCP connection by its tunnel, to its host and the port that is asked for, and TLS on it. The
 * service says where; only the name for TLS comes from the caller. The connector does not see into TLS.
 */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { checkServerIdentity, connect as secure } from "node:tls";
import type { Certificates } from "../../kernel/capabilities.ts";
import type { Connectors } from "./connectors.ts";
import { UnreachableError } from "./errors.ts";
import { type Service, tunnelOf } from "./services.ts";

export type Reach = ReturnType<typeof openReach>;

export function openReach(connectors: Connectors, certificates: Certificates, timeoutMs: number) {
  /** PEM of the authority and the client certificate that the service's settings name. */
  async function credentials({ certificate_authority, client_certificate }: NonNullable<Service["tls_settings"]>) {
    const authority = certificate_authority == null ? undefined : await certificates.authority(certificate_authority);
    const client = client_certificate == null ? undefined : await certificates.client(client_certificate);
    if ((certificate_authority != null && authority === undefined) || (client_certificate != null && client === undefined))
      throw new UnreachableError("a certificate of the VPC service does not exist any more");
    return { authority, client };
  }

  async function encrypt(stream: Duplex, name: string, settings: NonNullable<Service["tls_settings"]>): Promise<Duplex> {
    const { cert_verification_mode: mode } = settings;
    const { authority, client } = await credentials(settings);
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const encrypted = secure({
      socket: stream,
      ...(isIP(name) === 0 && { servername: name }),
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: mode !== "disabled",
      checkServerIdentity: mode === "verify_full" ? (_name, certificate) => checkServerIdentity(name, certificate) : () => undefined,
      // The authority may be an intermediate one.
      ...(authority !== undefined && { ca: authority, allowPartialTrustChain: true }),
      ...(client !== undefined && { cert: client.certificates, key: client.privateKey }),
    });
    encrypted.once("secureConnect", () => resolve(encrypted));
    encrypted.on("error", (error) => reject(new UnreachableError(error.message, { cause: error })));
    encrypted.once("close", () => {
      stream.destroy();
      reject(new UnreachableError("the connection was closed during the TLS handshake"));
    });
    const timer = setTimeout(() => reject(new UnreachableError("the TLS handshake takes too long")), timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  return {
    /** Rejects with an `UnreachableError`. `name`: without it no TLS; the server's name otherwise, or its address. */
    async connect({ host, tls_settings }: Service, port: number, name?: string): Promise<Duplex> {
      const stream = await connectors.dial({
        tunnel: tunnelOf(host),
        hosts: "hostname" in host ? [host.hostname] : [host.ipv4, host.ipv6].filter((address) => address !== undefined),
        port,
        resolvers: ("hostname" in host && host.resolver_network.resolver_ips) || [],
      });
      if (name === undefined) return stream;
      try {
        return await encrypt(stream, name, tls_settings ?? { cert_verification_mode: "verify_full" });
      } catch (error) {
        stream.destroy();
        throw error;
      }
    },
  };
}
