/**
 * `env.NAME` of a send_email binding. `send()` takes an `EmailMessage` of `cloudflare:email`, whose bytes lie under a key of
 * their own, or the builder's plain object. The class has the name by which wrangler's proxy of remote bindings knows it.
 */
const RAW = "EmailMessage::raw";

interface RawMessage {
  readonly from: string;
  readonly to?: string | null;
  readonly [RAW]: ReadableStream | string;
}

interface Attachment {
  readonly content: string | ArrayBuffer | ArrayBufferView;
}

interface Builder {
  readonly attachments?: readonly Attachment[];
}

class SendEmail {
  readonly #outbox: Fetcher;

  constructor(outbox: Fetcher) {
    this.#outbox = outbox;
  }

  async send(message: RawMessage | Builder): Promise<{ messageId: string }> {
    const response = RAW in message ? await this.#raw(message) : await this.#built(message);
    const answer = (await response.json()) as { messageId: string; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return { messageId: answer.messageId };
  }

  #raw({ from, to, [RAW]: body }: RawMessage): Promise<Response> {
    const query = new URLSearchParams({ from: String(from), ...(to != null && { to: String(to) }) });
    return this.#outbox.fetch(`http://email/raw?${query}`, { method: "POST", body });
  }

  #built(message: Builder): Promise<Response> {
    const attachments = message.attachments?.map(({ content, ...rest }) => ({ ...rest, base64: base64(content) }));
    const body = JSON.stringify({ ...message, ...(attachments && { attachments }) });
    return this.#outbox.fetch("http://email/message", { method: "POST", body });
  }
}

/** Text of an attachment is its content in base64 already, as documented for the builder. */
function base64(content: Attachment["content"]): string {
  if (typeof content === "string") return content;
  const bytes = ArrayBuffer.isView(content)
    ? new Uint8Array(content.buffer, content.byteOffset, content.byteLength)
    : new Uint8Array(content);
  let binary = "";
  for (let i = 0; i < bytes.length; i += 32_768) binary += String.fromCharCode(...bytes.subarray(i, i + 32_768));
  return btoa(binary);
}

export default (env: { readonly outbox: Fetcher }): SendEmail => new SendEmail(env.outbox);
