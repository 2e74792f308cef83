/**
 * What `cloudflare:email` exports; workerd ships the name but leaves the class to its host. The raw message lies under the
 * key by which `send()` of a `send_email` binding, wrangler's proxy of remote bindings, and Miniflare know such an object.
 */
const RAW = "EmailMessage::raw";

/** What `new` gives is a plain object, since one of a class could not be passed to another isolate: `message.reply()` is a call. */
class EmailMessage {
  constructor(from: string, to: string | null, raw: ReadableStream | string) {
    // biome-ignore lint/correctness/noConstructorReturn: see above.
    return { from, to, [RAW]: raw };
  }
}

export default { EmailMessage };
