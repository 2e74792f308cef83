/**
 * `message.reply()`: one answer to the sender of a message, in its thread. Every refusal is what the Worker sees thrown.
 * https://developers.cloudflare.com/email-routing/email-workers/reply-email-workers/
 */
import type { EmailReply } from "../../kernel/capabilities.ts";
import { normalAddress, parseAddress } from "./addresses.ts";
import { headerValues } from "./forward.ts";
import { builderSchema, builtMessage, parseHead } from "./outgoing.ts";

export interface Original {
  readonly from: string;
  readonly to: string;
  readonly raw: Uint8Array;
  /** Result of DMARC. */
  readonly dmarc: string;
}

export interface Answer {
  readonly sender: string;
  readonly recipient: string;
  readonly subject: string;
  readonly messageId: string;
  readonly raw: Uint8Array;
}

const REFERENCES_MAX = 100;
const NOT_REPLYABLE = "Original email is not replyable";

const first = (raw: Uint8Array, name: string): string | undefined => headerValues(raw, name)[0];
const ids = (references: string | undefined): string[] => references?.match(/<[^<>\s]+>/g) ?? [];

/** Throws for a message that may not be answered: not authentic, made by a machine, or going in circles. */
function requireReplyable({ raw, dmarc }: Original): void {
  const auto = first(raw, "auto-submitted")?.toLowerCase();
  const suppress = first(raw, "x-auto-response-suppress")?.toLowerCase();
  const automatic = (auto !== undefined && auto !== "no") || (suppress !== undefined && suppress !== "none");
  if (dmarc !== "pass" || automatic || first(raw, "message-id") === undefined) throw new Error(NOT_REPLYABLE);
  if (ids(first(raw, "references")).length > REFERENCES_MAX)
    throw new Error(`${NOT_REPLYABLE}: its References have more than ${REFERENCES_MAX} entries`);
}

export async function answerTo(original: Original, reply: EmailReply): Promise<Answer> {
  requireReplyable(original);
  const messageId = first(original.raw, "message-id") as string;
  const references = [...ids(first(original.raw, "references")), messageId].join(" ");
  const answer =
    "raw" in reply ? await rawAnswer(reply, messageId, references) : await builtAnswer(original, reply.builder, messageId, references);
  if (normalAddress(answer.recipient) !== normalAddress(original.from))
    throw new Error("recipient of the reply does not match the original sender");
  if (parseAddress(answer.sender)?.domain !== parseAddress(original.to)?.domain)
    throw new Error("sender of the reply is not in the domain that received the original email");
  return answer;
}

async function rawAnswer(reply: { from: string; to: string; raw: Uint8Array }, original: string, references: string): Promise<Answer> {
  const head = await parseHead(reply.raw);
  if (head.from?.address !== reply.from) throw new Error("From: header does not match mail from");
  if (head.messageId === undefined) throw new Error("invalid message-id");
  if (head.headers.some(({ key }) => key === "received")) throw new Error("invalid headers set");
  if (head.inReplyTo === undefined) throw new Error("no In-Reply-To header found in reply message");
  if (head.inReplyTo !== original) throw new Error("In-Reply-To does not match original Message-ID");
  const given = ids(head.references);
  if (head.references !== undefined && !ids(references).every((id) => given.includes(id)))
    throw new Error("provided References header is invalid");
  const added = head.references === undefined ? `References: ${references.replaceAll(" ", "\r\n ")}\r\n` : "";
  const raw = Buffer.concat([Buffer.from(added), reply.raw]);
  return { sender: reply.from, recipient: reply.to, subject: head.subject ?? "", messageId: head.messageId, raw };
}

async function builtAnswer(original: Original, builder: unknown, messageId: string, references: string): Promise<Answer> {
  const given = builderSchema.safeParse({ to: original.from, ...(builder as object) });
  if (!given.success) throw new Error(`could not parse email: ${given.error.issues[0]?.path.join(".")}: ${given.error.issues[0]?.message}`);
  const headers = { ...given.data.headers, "In-Reply-To": messageId, References: references };
  const { sender, recipients, subject, messageId: own, raw } = await builtMessage({}, { ...given.data, headers });
  if (recipients.length !== 1) throw new Error("a reply has one recipient");
  return { sender, recipient: recipients[0] as string, subject, messageId: own, raw };
}
