/** DNS as mail needs it: through the operator's servers, or the system's. Answers that do not come in time are errors. */
import { Resolver } from "node:dns/promises";

const TIMEOUT_MS = 5_000;

export interface MailDns {
  /** In the form that mailauth asks with. Rejects with Node's error codes (ENOTFOUND, ENODATA, …). */
  resolve(name: string, type: string): Promise<string[] | string[][]>;
  /** Servers of a domain, the most preferred first; the domain itself where it names none. Empty: it takes no mail. */
  mailHosts(domain: string): Promise<string[]>;
  /** IPv6 addresses first, as documented. */
  addresses(host: string): Promise<string[]>;
}

const none = (error: unknown): boolean => ["ENOTFOUND", "ENODATA"].includes((error as NodeJS.ErrnoException).code ?? "");

export function openDns(servers: readonly string[]): MailDns {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);

  async function orNone<T>(answer: Promise<T[]>): Promise<T[]> {
    try {
      return await answer;
    } catch (error) {
      if (none(error)) return [];
      throw error;
    }
  }

  return {
    resolve: (name, type) => resolver.resolve(name, type) as unknown as Promise<string[] | string[][]>,
    async mailHosts(domain) {
      const records = await orNone(resolver.resolveMx(domain));
      if (records.length === 0) return [domain];
      // A single "." says that the domain takes no mail (RFC 7505).
      return records
        .filter(({ exchange }) => exchange !== "")
        .sort((a, b) => a.priority - b.priority)
        .map(({ exchange }) => exchange);
    },
    addresses: async (host) => [...(await orNone(resolver.resolve6(host))), ...(await orNone(resolver.resolve4(host)))],
  };
}
