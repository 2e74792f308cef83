/**
 * What `cloudflare:email` exports; workerd ships the name but leaves the class to its host. The raw message lies under the
 * key by which `send()` of a `send_email` binding, wrangler's proxy of remote bindings, and Miniflare know such an object.
 */
const RAW = "EmailMessage::raw";

class EmailMessage {
  readonly from: string;
  readonly to: string;
  readonly [RAW]: ReadableStream | string;

  constructor(from: string, to: string, raw: ReadableStream | string) {
    this.from = from;
    this.to = to;
    this[RAW] = raw;
  }
}

export default { EmailMessage };
