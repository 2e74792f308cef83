/**
 * Two forms of the DevTools protocol on a WebSocket. Newer clients send its JSON as text. Older ones (`@cloudflare/puppeteer`
 * up to 1.0) cut it into binary frames below 1 MiB, the first of which begins with the length of the whole in four bytes,
 * and send the text "ping" each second.
 */
export interface Dialect {
  encode(json: Buffer): readonly (string | Buffer)[];
  /** The message that the frame completes, if it does. Throws for what is none. */
  decode(frame: Buffer, binary: boolean): string | undefined;
}

/** What a client may send at once: documents and files in base64. */
export const MESSAGE_MAX_BYTES = 100 * 1024 * 1024;
const HEADER_BYTES = 4;
const FRAME_MAX_BYTES = 1_048_575;

export const plainDialect: Dialect = {
  // As text, so that it arrives as a string.
  encode: (json) => [json.toString()],
  decode: (frame) => frame.toString(),
};

/** One for each connection: it keeps what has come of a message. */
export function chunkedDialect(): Dialect {
  let parts: Buffer[] = [];
  let missing = 0;
  return {
    encode(json) {
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32LE(json.length);
      const whole = Buffer.concat([header, json]);
      const frames: Buffer[] = [];
      for (let at = 0; at < whole.length; at += FRAME_MAX_BYTES) frames.push(whole.subarray(at, at + FRAME_MAX_BYTES));
      return frames;
    },
    decode(frame, binary) {
      if (!binary) return undefined;
      let part = frame;
      if (missing === 0) {
        if (frame.length < HEADER_BYTES) throw new Error("a frame without a length");
        missing = frame.readUInt32LE(0);
        if (missing > MESSAGE_MAX_BYTES) throw new Error("a message that is too long");
        part = frame.subarray(HEADER_BYTES);
      }
      parts.push(part);
      missing -= part.length;
      if (missing > 0) return undefined;
      if (missing < 0) throw new Error("more than the announced length");
      const whole = Buffer.concat(parts).toString();
      parts = [];
      return whole;
    },
  };
}
