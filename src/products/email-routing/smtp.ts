/**
 * The door for mail: an SMTP server for whoever has mail for the account's domains. One recipient for each message, so that
 * its fate can be told in the session; a client with several asks again for the next (RFC 5321, 452). A message is held in
 * memory while it goes on, and connections are counted, which bounds what they hold.
 */
import { readFileSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import type { SMTPServerDataStream, SMTPServerSession } from "smtp-server";
import type { KernelSlice } from "../../kernel/product.ts";
import { mailHost, parseAddress } from "./addresses.ts";
import { MESSAGE_MAX_BYTES } from "./outgoing.ts";
import type { Receiver } from "./receiver.ts";
import { Refusal } from "./refusal.ts";
import type { MailDns } from "./resolver.ts";

export interface SmtpDoor {
  readonly address: AddressInfo;
  close(): Promise<void>;
}

const IDLE_TIMEOUT_MS = 60_000;
/** A client that sends a byte now and then keeps its place for this long at most; one place takes a whole session. */
const CONNECTION_MAX_MS = 15 * 60_000;
const RBL_TEXT = "Refer to https://developers.cloudflare.com/email-routing/postmaster/#spam-and-abusive-traffic/";
/** TLS material that smtp-server ships for tests is known to everybody: without the operator's there is no STARTTLS. */
const withoutTls = ["STARTTLS"];

export async function openSmtp({ config, log }: KernelSlice, receiver: Receiver, dns: MailDns): Promise<SmtpDoor> {
  const [cert, key] = [config["email_routing.tls_certificate"], config["email_routing.tls_key"]];
  const tls = cert !== "" && key !== "";
  const lists = config["email_routing.dnsbls"];

  const { SMTPServer } = await import("smtp-server");
  const server = new SMTPServer({
    name: mailHost(config),
    banner: "Freehold Email Routing",
    size: MESSAGE_MAX_BYTES,
    maxClients: config["email_routing.connections_max"],
    socketTimeout: IDLE_TIMEOUT_MS,
    closeTimeout: 5_000,
    authOptional: true,
    disabledCommands: ["AUTH", ...(tls ? [] : withoutTls)],
    disableReverseLookup: true,
    hideSMTPUTF8: true,
    ...(tls && { cert: readFileSync(cert), key: readFileSync(key) }),
    onConnect: (session, done) => settle(refuseListed(session.remoteAddress), done),
    onMailFrom({ address }, _session, done) {
      if (address !== "" && parseAddress(address) === undefined)
        done(new Refusal(553, "5.1.7 The sender is no address, or has an internationalised local part"));
      else done();
    },
    onRcptTo({ address }, session, done) {
      settle(
        (async () => {
          if (session.envelope.rcptTo.length > 0) throw new Refusal(452, "4.5.3 One recipient at a time");
          if (parseAddress(address) === undefined)
            throw new Refusal(553, "5.1.3 The recipient is no address, or has an internationalised local part");
          receiver.check(senderOf(session), address);
        })(),
        done,
      );
    },
    onData: (stream, session, done) => settle(take(stream, session), done),
  });
  server.server.on("connection", (socket: Socket) => {
    const timer = setTimeout(() => socket.destroy(), CONNECTION_MAX_MS).unref();
    socket.once("close", () => clearTimeout(timer));
  });
  // Of single connections: a client that speaks no SMTP, or leaves.
  server.on("error", (error) => log.debug("email_routing.smtp", { error }));

  /** A client on one of the operator's block lists is refused by name. A list that does not answer lists nobody. */
  async function refuseListed(ip: string): Promise<void> {
    const reversed = reversedAddress(ip);
    for (const list of lists) {
      const found = await dns.resolve(`${reversed}.${list}`, "A").catch(() => []);
      if (found.length > 0) throw new Refusal(554, `found on one or more RBLs (${list}). ${RBL_TEXT}`);
    }
  }

  async function take(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<void> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size <= MESSAGE_MAX_BYTES) chunks.push(chunk);
    }
    if (size > MESSAGE_MAX_BYTES || stream.sizeExceeded) throw new Refusal(552, "5.3.4 The message is larger than 25 MiB");
    const recipient = parseAddress(session.envelope.rcptTo[0]?.address ?? "");
    if (recipient === undefined) throw new Refusal(503, "5.5.1 There is no recipient");
    const arrival = { ip: session.remoteAddress, helo: String(session.hostNameAppearsAs), from: senderOf(session) };
    await receiver.receive(arrival, `${recipient.local}@${recipient.domain}`, Buffer.concat(chunks));
  }

  await new Promise<void>((resolve, reject) => {
    server.server.once("error", reject);
    server.listen(config["email_routing.smtp_port"], config["email_routing.smtp_host"], () => {
      server.server.removeListener("error", reject);
      resolve();
    });
  });
  return {
    address: server.server.address() as AddressInfo,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

const senderOf = ({ envelope }: SMTPServerSession): string => (envelope.mailFrom === false ? "" : envelope.mailFrom.address);

function settle(work: Promise<void>, done: (error?: Error | null) => void): void {
  work.then(
    () => done(),
    (error: Error) => done(error instanceof Refusal ? error : new Refusal(451, "4.3.0 The server failed", { cause: error })),
  );
}

/** As DNS block lists name an address: "4.3.2.1", or the nibbles of an IPv6 one. */
function reversedAddress(ip: string): string {
  const plain = ip.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!plain.includes(":")) return plain.split(".").reverse().join(".");
  const [head = "", tail = ""] = plain.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0");
  const digits = [...before, ...zeros, ...after].map((group) => group.padStart(4, "0")).join("");
  return [...digits].reverse().join(".");
}
