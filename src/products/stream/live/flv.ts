/** FLV's pieces of sound and picture, which is how a broadcast goes through the platform, and the file of them. Pure. */

/** A piece of sound (8), picture (9) or data about both (18). */
export interface FlvTag {
  readonly type: 8 | 9 | 18;
  /** Milliseconds since the broadcast began. */
  readonly time: number;
  readonly data: Buffer;
}

const TAG_MAX_BYTES = 8 * 1024 * 1024;

/** FLV's numbers of the codecs that players know: H.264 and AAC. */
const CODECS = { video: 7, audio: 10 } as const;

/** The codec of a piece that is neither H.264 nor AAC, by FLV's number or its letters; undefined for any other piece. */
export function foreignCodec({ type, data }: FlvTag): { readonly kind: "video" | "audio"; readonly codec: string } | undefined {
  const first = data[0] ?? 0;
  if (type === 8) return first >> 4 === CODECS.audio ? undefined : { kind: "audio", codec: String(first >> 4) };
  if (type !== 9 || (first & 15) === CODECS.video) return undefined;
  // A newer form of the protocol names codecs by four letters.
  return { kind: "video", codec: (first & 128) === 0 ? String(first & 15) : data.toString("latin1", 1, 5).replace(/\W/g, "") };
}

/** Describes its track, rather than being a part of it. */
export const isConfig = ({ type, data }: FlvTag): boolean => type === 18 || data[1] === 0;

export const isKeyFrame = ({ type, data }: FlvTag): boolean => type === 9 && (data[0] as number) >> 4 === 1 && data[1] === 1;

/** The beginning of an FLV file with sound and picture. */
export const FLV_HEAD = Buffer.from("FLV\x01\x05\0\0\0\x09\0\0\0\0", "latin1");

export function flvBytes({ type, time, data }: FlvTag): Buffer {
  const head = Buffer.alloc(11);
  head[0] = type;
  head.writeUIntBE(data.length, 1, 3);
  head.writeUIntBE(time & 0xffffff, 4, 3);
  head[7] = (time >>> 24) & 0xff;
  const end = Buffer.alloc(4);
  end.writeUInt32BE(11 + data.length);
  return Buffer.concat([head, data, end]);
}

/** The pieces of a file that comes in chunks. Throws for what is no such file. */
export async function* flvTags(chunks: AsyncIterable<Buffer>): AsyncGenerator<FlvTag> {
  let kept: Buffer = Buffer.alloc(0);
  let begun = false;
  for await (const chunk of chunks) {
    kept = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
    let at = 0;
    if (!begun && kept.length >= FLV_HEAD.length) {
      if (kept.toString("latin1", 0, 3) !== "FLV") throw new Error("it is no FLV file");
      at = kept.readUInt32BE(5) + 4;
      begun = true;
    }
    while (begun && kept.length >= at + 11) {
      const length = kept.readUIntBE(at + 1, 3);
      if (length > TAG_MAX_BYTES) throw new Error("a piece is too large");
      if (kept.length < at + 11 + length + 4) break;
      const type = (kept[at] as number) & 31;
      const time = kept.readUIntBE(at + 4, 3) + (kept[at + 7] as number) * 0x1000000;
      if (type === 8 || type === 9 || type === 18) yield { type, time, data: Buffer.from(kept.subarray(at + 11, at + 11 + length)) };
      at += 15 + length;
    }
    kept = kept.subarray(at);
  }
}
