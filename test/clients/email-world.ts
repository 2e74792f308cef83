/** What a mail server has around it: DNS, servers of other domains that take mail, and clients that bring it. */

import { once } from "node:events";
import { createTransport } from "nodemailer";
import { SMTPServer } from "smtp-server";
import { dnsServer, type Records } from "../harness/dns-server.ts";
import { startPlatform } from "../harness/platform.ts";
import { freePort } from "../harness/port.ts";

type Hooks = { after(fn: () => Promise<void>): void };

export interface Delivered {
  readonly from: string;
  readonly to: string;
  readonly raw: Buffer;
  /** Address family of the connection: "IPv6" where it came over that. */
  readonly over: "IPv4" | "IPv6";
}

export interface Sink {
  readonly port: number;
  readonly mails: Delivered[];
  /** Answer to recipients whose local part is this: a code with a text. */
  readonly refuses: Map<string, { responseCode: number; message: string }>;
}

/** The server of every other domain: takes mail and keeps it. Listens on both loopback addresses. */
async function mailSink(t: Hooks): Promise<Sink> {
  const port = await freePort();
  const mails: Delivered[] = [];
  const refuses: Sink["refuses"] = new Map();
  for (const host of ["127.0.0.1", "::1"]) {
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ["AUTH", "STARTTLS"],
      onRcptTo({ address }, _session, done) {
        const refusal = refuses.get(address.split("@")[0] as string);
        done(refusal && Object.assign(new Error(refusal.message), { responseCode: refusal.responseCode }));
      },
      onData(stream, session, done) {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => {
          const { mailFrom, rcptTo } = session.envelope;
          const from = mailFrom === false ? "" : mailFrom.address;
          mails.push({ from, to: rcptTo[0]?.address ?? "", raw: Buffer.concat(chunks), over: host === "::1" ? "IPv6" : "IPv4" });
          done();
        });
      },
    });
    const listening = once(server.server, "listening");
    server.listen(port, host);
    await listening;
    t.after(() => new Promise((resolve) => void server.close(() => resolve())));
  }
  return { port, mails, refuses };
}

/** A platform that receives mail on `port`, asks the records for DNS, and delivers to the sink whatever the domain. */
export async function mailPlatform(t: Hooks, records: Map<string, Records>, config: Readonly<Record<string, unknown>> = {}) {
  const sink = await mailSink(t);
  const port = await freePort();
  const mail = {
    "email_routing.smtp_port": port,
    "email_routing.outbound": "mx",
    "email_routing.outbound_port": sink.port,
    "email_routing.private_destinations": true,
    "email_routing.dns_servers": [await dnsServer(t, records)],
  };
  return { sink, port, platform: await startPlatform(t, { config: { ...mail, ...config } }) };
}

export interface Mail {
  readonly from: string;
  readonly to: string;
  /** Of the header, where it is not the envelope's. */
  readonly headerFrom?: string;
  readonly subject?: string;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly inReplyTo?: string;
  readonly references?: string;
  readonly dkim?: { readonly domainName: string; readonly keySelector: string; readonly privateKey: string };
}

export interface SmtpAnswer {
  readonly code: number;
  readonly text: string;
}

/** Brings a message to an SMTP server by nodemailer, and answers what the server said in the end. */
export async function bring(port: number, mail: Mail): Promise<SmtpAnswer> {
  const transport = createTransport({ host: "127.0.0.1", port, secure: false, ignoreTLS: true, name: "client.sender.example" });
  const { from, to, headerFrom = from, text = "Hello", ...rest } = mail;
  try {
    const info = await transport.sendMail({ ...rest, headers: { ...mail.headers }, from: headerFrom, to, text, envelope: { from, to } });
    return { code: Number(info.response.slice(0, 3)), text: info.response.slice(4) };
  } catch (error) {
    const { responseCode, response } = error as { responseCode?: number; response?: string };
    if (responseCode === undefined) throw error;
    return { code: responseCode, text: (response ?? "").slice(4) };
  } finally {
    transport.close();
  }
}
