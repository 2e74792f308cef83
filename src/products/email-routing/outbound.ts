/**
 * Mail on its way out, in one of three ways that the operator chooses (`email_routing.outbound`): "none" keeps it here,
 * "mx" brings it to the recipient domain's own servers, and a URL to a relay. Nothing is queued: whoever hands a message
 * over waits, and hears what the server upstream answered.
 */
import { isIP } from "node:net";
import type { Config } from "../../kernel/config.ts";
import { isPublicAddress } from "../../kernel/public-network.ts";
import { mailHost, parseAddress } from "./addresses.ts";
import { isPermanent, Refusal } from "./refusal.ts";
import type { MailDns } from "./resolver.ts";

export interface Outbound {
  /** Whether mail leaves the platform. */
  readonly delivers: boolean;
  /** Resolves when the server upstream has taken the message. Rejects with a `Refusal`: its answer, or 451 when none was reached. */
  deliver(sender: string, recipient: string, raw: Uint8Array): Promise<void>;
}

interface Server {
  readonly host: string;
  readonly port: number;
  readonly servername?: string;
  readonly secure?: boolean;
  readonly auth?: { readonly user: string; readonly pass: string };
}

const CONNECT_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 60_000;
/** Servers of one domain that are tried. */
const SERVERS_MAX = 10;

export function openOutbound(config: Config, dns: MailDns): Outbound {
  const way = config["email_routing.outbound"];
  const name = mailHost(config);

  async function servers(domain: string): Promise<Server[]> {
    if (way !== "mx") return [relay(way)];
    const found: Server[] = [];
    try {
      for (const host of await dns.mailHosts(domain)) {
        const addresses = isIP(host) ? [host] : await dns.addresses(host);
        const reachable = addresses.filter((address) => config["email_routing.private_destinations"] || isPublicAddress(address));
        found.push(...reachable.map((address) => ({ host: address, servername: host, port: config["email_routing.outbound_port"] })));
      }
    } catch (cause) {
      throw new Refusal(451, `4.4.3 DNS of ${domain} does not answer`, { cause });
    }
    if (found.length === 0) throw new Refusal(550, `5.1.2 ${domain} has no server for mail`);
    return found.slice(0, SERVERS_MAX);
  }

  return {
    delivers: way !== "none",
    async deliver(sender, recipient, raw) {
      if (way === "none") return;
      const domain = parseAddress(recipient)?.domain;
      if (domain === undefined) throw new Refusal(553, `5.1.3 ${recipient} is no address`);
      let last: Refusal | undefined;
      for (const server of await servers(domain)) {
        try {
          return await send(server, name, { from: sender, to: recipient }, raw);
        } catch (error) {
          last = refusalOf(error, domain);
          if (isPermanent(last)) throw last;
        }
      }
      throw last as Refusal;
    },
  };
}

function relay(url: string): Server {
  const { protocol, hostname, port, username, password } = new URL(url);
  const secure = protocol === "smtps:";
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port) || (secure ? 465 : 587),
    secure,
    ...(username !== "" && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
  };
}

/** What the server upstream said, in one line; 451 when it said nothing. */
function refusalOf(error: unknown, domain: string): Refusal {
  const { responseCode, response } = error as { responseCode?: number; response?: string };
  if (responseCode === undefined || responseCode < 400)
    return new Refusal(451, `4.4.1 No server of ${domain} could be reached`, { cause: error });
  const text = (response ?? "")
    .replace(/^\d{3}[ -]/gm, "")
    .replace(/\s+/g, " ")
    .trim();
  return new Refusal(responseCode, text, { cause: error });
}

/** One message over one connection. TLS where the server offers it; as among mail servers everywhere, any certificate will do. */
async function send(server: Server, name: string, envelope: { from: string; to: string }, raw: Uint8Array): Promise<void> {
  const { host, port, secure = false, auth, servername } = server;
  const { default: SMTPConnection } = await import("nodemailer/lib/smtp-connection/index.js");
  const connection = new SMTPConnection({
    host,
    port,
    secure,
    name,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: ANSWER_TIMEOUT_MS,
    tls: { rejectUnauthorized: false, ...(servername !== undefined && isIP(servername) === 0 && { servername }) },
  });
  try {
    await new Promise<void>((resolve, reject) => {
      connection.once("error", reject);
      connection.once("end", () => reject(new Error("the connection ended")));
      const done = (error: Error | null | undefined): void => (error ? reject(error) : resolve());
      const transmit = (): void =>
        connection.send({ from: envelope.from, to: [envelope.to] }, Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength), done);
      connection.connect((error) => {
        if (error) reject(error);
        else if (auth === undefined) transmit();
        else connection.login({ credentials: auth }, (refused) => (refused ? reject(refused) : transmit()));
      });
    });
  } finally {
    // An error after this has nobody to tell.
    connection.on("error", () => undefined);
    connection.close();
  }
}
