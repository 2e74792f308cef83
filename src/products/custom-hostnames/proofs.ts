/**
 * Looks for the proofs of a custom hostname: TXT records, URLs of the hostname's present server, and the CNAME record that
 * leads its traffic here. It changes nothing. URLs are asked at public addresses only, unless `runtime.outbound_allow` says
 * otherwise: the name is whoever's who asked for it.
 */
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { request } from "undici";
import type { Zones } from "../../kernel/capabilities.ts";
import type { Config } from "../../kernel/config.ts";
import { isPublicAddress } from "../../kernel/public-network.ts";
import { type Hostname, proofs } from "./model.ts";

export interface Findings {
  readonly owned: boolean;
  readonly controlled: boolean;
  readonly errors: readonly string[];
}

/** Documented: servers may tell these requests by it. */
const USER_AGENT = "Cloudflare Custom Hostname Verification";
const DNS_TIMEOUT_MS = 2_000;
const HTTP_TIMEOUT_MS = 5_000;
const BODY_MAX_BYTES = 4_096;
/** Longest chain of CNAME records that is followed. */
const CHAIN_MAX = 8;

export function proofFinder(config: Config, zones: Zones): { find(hostname: Hostname): Promise<Findings> } {
  const servers = config["custom_hostnames.dns_servers"];
  const allowed = config["runtime.outbound_allow"];
  const anywhere = allowed.includes("private") && allowed.includes("local");
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);

  /** What the DNS says, or nothing; a proof that cannot be looked for is none. */
  const told = <T>(answer: Promise<T[]>): Promise<T[]> => answer.catch(() => []);

  /** Whether the traffic of the name is led to its zone. */
  async function leadsHere({ hostname, zoneId }: Hostname): Promise<boolean> {
    let name = hostname;
    for (let steps = 0; steps < CHAIN_MAX; steps++) {
      const [target] = await told(resolver.resolveCname(name));
      if (target === undefined) return false;
      name = target.toLowerCase();
      if (zones.ofHost(name)?.id === zoneId) return true;
    }
    return false;
  }

  const hasTxt = async (name: string, value: string): Promise<boolean> =>
    (await told(resolver.resolveTxt(name))).some((parts) => parts.join("") === value);

  async function hasBody(url: string, value: string): Promise<boolean> {
    const { hostname, pathname } = new URL(url);
    const [address] = await told(resolver.resolve4(hostname).catch(() => resolver.resolve6(hostname)));
    if (address === undefined || !(anywhere || isPublicAddress(address))) return false;
    const host = isIP(address) === 6 ? `[${address}]` : address;
    try {
      const answer = await request(`http://${host}:${config["custom_hostnames.http_port"]}${pathname}`, {
        headers: { host: hostname, "user-agent": USER_AGENT },
        headersTimeout: HTTP_TIMEOUT_MS,
        bodyTimeout: HTTP_TIMEOUT_MS,
        signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
      });
      let text = "";
      for await (const chunk of answer.body) {
        text += String(chunk);
        if (text.length > BODY_MAX_BYTES) break;
      }
      return answer.statusCode === 200 && text.trim() === value;
    } catch {
      return false;
    }
  }

  return {
    async find(hostname) {
      const { ownershipToken, certificate } = hostname;
      const { ownershipTxt, ownershipUrl, certificateTxt, certificateUrl } = proofs(hostname);
      const here = await leadsHere(hostname);
      const owned = here || (await hasTxt(ownershipTxt, ownershipToken)) || (await hasBody(ownershipUrl, ownershipToken));
      const { method, token } = certificate ?? { method: "http", token: "" };
      // Where the traffic comes here already, the platform would answer the certificate's URL itself.
      const controlled =
        certificate === null ||
        (method === "txt" ? await hasTxt(certificateTxt, token) : here || (method === "http" && (await hasBody(certificateUrl, token))));
      return { owned, controlled, errors: owned ? [] : [`custom hostname does not CNAME to this zone.`] };
    },
  };
}
