/**
 * A message that a Worker sends: checked against its binding and the rules of the service, and in the builder's form made
 * into RFC 5322. Nothing is stored or delivered here, and no attachment is read from a file or URL.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { emailError } from "./errors.ts";

/** Documented size of a message. */
export const MESSAGE_MAX_BYTES = 25 * 1024 * 1024;
/** Larger heads are no message of anybody's. */
const HEAD_MAX_BYTES = 1024 * 1024;
const RECIPIENTS_MAX = 50;

/** Whom a binding lets write to whom: the options of `send_email` in wrangler's configuration. */
export interface SendRules {
  readonly destination_address?: string | undefined;
  readonly allowed_destination_addresses?: readonly string[] | undefined;
  readonly allowed_sender_addresses?: readonly string[] | undefined;
}

export interface Outgoing {
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly subject: string;
  readonly messageId: string;
  readonly raw: Uint8Array;
}

const address = z.union([z.string(), z.object({ email: z.string(), name: z.string().optional() })]);
const addresses = z.union([address, z.array(address).max(RECIPIENTS_MAX)]);
/** No line breaks: a header's value must not become a header. */
const line = z.string().regex(/^[^\r\n]*$/);

/** The builder's form of a message, contents of attachments in base64. */
export const builderSchema = z.object({
  from: address,
  to: addresses,
  cc: addresses.optional(),
  bcc: addresses.optional(),
  replyTo: address.optional(),
  subject: z.string().default(""),
  text: z.string().optional(),
  html: z.string().optional(),
  headers: z.record(z.string().regex(/^[A-Za-z0-9-]+$/), line).default({}),
  attachments: z
    .array(
      z.object({
        filename: line,
        type: line.default("application/octet-stream"),
        disposition: z.enum(["attachment", "inline"]).default("attachment"),
        contentId: line.optional(),
        base64: z.string(),
      }),
    )
    .default([]),
});

type Address = z.infer<typeof address>;

/** The bare address of "Name <a@b.c>", of "a@b.c", and of the object form. */
function bare(given: Address): string {
  const text = typeof given === "string" ? given : given.email;
  return (/<([^<>]*)>\s*$/.exec(text)?.[1] ?? text).trim();
}

const list = (given: Address | readonly Address[] | undefined): Address[] => (given === undefined ? [] : ([given].flat() as Address[]));

function check(rules: SendRules, sender: string, recipients: readonly string[]): void {
  if (rules.allowed_sender_addresses?.includes(sender) === false) throw emailError("sender", `email from ${sender} not allowed`);
  for (const recipient of recipients) {
    const elsewhere = rules.destination_address !== undefined && recipient !== rules.destination_address;
    if (elsewhere || rules.allowed_destination_addresses?.includes(recipient) === false || !recipient.includes("@"))
      throw emailError("recipient", `email to ${recipient} not allowed`);
  }
}

/** An `EmailMessage`: its envelope and its bytes. Without a recipient it goes to the one that the binding names. */
export async function rawMessage(rules: SendRules, sender: string, to: string | undefined, raw: Uint8Array): Promise<Outgoing> {
  const recipient = to ?? rules.destination_address ?? "";
  check(rules, sender, [recipient]);
  const head = await parseHead(raw);
  if (head.messageId === undefined) throw emailError("messageId");
  if (head.from?.address !== sender) throw emailError("fromMismatch");
  if (head.headers.some(({ key }) => key === "received")) throw emailError("headers");
  return { sender, recipients: [recipient], subject: head.subject ?? "", messageId: head.messageId, raw };
}

/** The headers of a message, without its body. Throws `emailRouting.unparsable`. */
export async function parseHead(raw: Uint8Array) {
  const { default: PostalMime } = await import("postal-mime");
  const text = Buffer.from(raw.buffer, raw.byteOffset, Math.min(raw.byteLength, HEAD_MAX_BYTES));
  const end = /\r?\n\r?\n/.exec(text.toString("latin1"));
  if (end === null && raw.byteLength > HEAD_MAX_BYTES) throw emailError("unparsable", "could not parse email: its head has no end");
  try {
    return await PostalMime.parse(text.subarray(0, end === null ? undefined : end.index + end[0].length));
  } catch (cause) {
    throw emailError("unparsable", `could not parse email: ${(cause as Error).message}`, { cause });
  }
}

/** A message in the builder's form. */
export async function builtMessage(rules: SendRules, given: z.infer<typeof builderSchema>): Promise<Outgoing> {
  const sender = bare(given.from);
  const recipients = [...list(given.to), ...list(given.cc), ...list(given.bcc)].map(bare);
  check(rules, sender, recipients);
  const named = (one: Address) => (typeof one === "string" ? one : { name: one.name ?? "", address: one.email });
  const messageId = `<${randomUUID()}@${sender.slice(sender.lastIndexOf("@") + 1)}>`;
  const { default: MailComposer } = await import("nodemailer/lib/mail-composer/index.js");
  const raw = await new MailComposer({
    from: named(given.from),
    to: list(given.to).map(named),
    cc: list(given.cc).map(named),
    ...(given.replyTo !== undefined && { replyTo: named(given.replyTo) }),
    subject: given.subject,
    ...(given.text !== undefined && { text: given.text }),
    ...(given.html !== undefined && { html: given.html }),
    headers: given.headers,
    messageId,
    attachments: given.attachments.map(({ filename, type, disposition, contentId, base64 }) => ({
      filename,
      contentType: type,
      contentDisposition: disposition,
      ...(contentId !== undefined && { cid: contentId }),
      content: Buffer.from(base64, "base64"),
    })),
    disableFileAccess: true,
    disableUrlAccess: true,
  })
    .compile()
    .build();
  if (raw.byteLength > MESSAGE_MAX_BYTES) throw emailError("tooLarge");
  return { sender, recipients, subject: given.subject, messageId, raw };
}
