/** Opaque texts that stand for a message at REST: lease ids of pulled messages, refs of peeked ones. */

/** Names a message of one queue, and the delivery under which it was pulled. */
export const leaseId = (message: { readonly id: string; readonly lease: string }): string =>
  Buffer.from(`${message.id}.${message.lease}`).toString("base64url");

/** Undefined when the text is none of ours. */
export function parseLeaseId(text: unknown): { id: string; lease: string } | undefined {
  if (typeof text !== "string") return undefined;
  const match = /^([0-9a-f]{32})\.((?:pull-[0-9a-f]{16})?)$/.exec(Buffer.from(text, "base64url").toString("latin1"));
  return match === null ? undefined : { id: match[1] as string, lease: match[2] as string };
}

export const messageRef = (message: { readonly id: string }): string => leaseId({ id: message.id, lease: "" });

export const parseMessageRef = (text: unknown): string | undefined => parseLeaseId(text)?.id;
