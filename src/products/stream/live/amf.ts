/** AMF0, the values in commands of RTMP (Action Message Format, version 0). Pure; bounded by the message that holds them. */
export type Amf = number | boolean | string | null | undefined | { readonly [name: string]: Amf } | readonly Amf[];

const DEPTH_MAX = 8;

/** All values of a message. Throws for what is none. */
export function decodeAmf(bytes: Buffer): Amf[] {
  let at = 0;
  const text = (length: number): string => {
    if (at + length > bytes.length) throw new RangeError("the message ends early");
    at += length;
    return bytes.toString("utf8", at - length, at);
  };
  const short = (): number => {
    at += 2;
    return bytes.readUInt16BE(at - 2);
  };
  const long = (): number => {
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  function members(depth: number): Record<string, Amf> {
    const entries: [string, Amf][] = [];
    for (;;) {
      const name = text(short());
      if (name === "" && bytes[at] === 9) {
        at++;
        return Object.fromEntries(entries);
      }
      entries.push([name, value(depth + 1)]);
    }
  }
  function value(depth: number): Amf {
    if (depth > DEPTH_MAX) throw new RangeError("the value is too deep");
    const type = bytes.readUInt8(at++);
    if (type === 0) {
      at += 8;
      return bytes.readDoubleBE(at - 8);
    }
    if (type === 1) return bytes.readUInt8(at++) !== 0;
    if (type === 2) return text(short());
    if (type === 3) return members(depth);
    if (type === 5) return null;
    if (type === 6) return undefined;
    if (type === 8) {
      long();
      return members(depth);
    }
    if (type === 10) return Array.from({ length: Math.min(long(), bytes.length) }, () => value(depth + 1));
    if (type === 12) return text(long());
    throw new RangeError(`a value of the type ${type}`);
  }
  const values: Amf[] = [];
  while (at < bytes.length) values.push(value(0));
  return values;
}

export function encodeAmf(...values: readonly Amf[]): Buffer {
  return Buffer.concat(values.map(encode));
}

function encode(value: Amf): Buffer {
  if (typeof value === "number") {
    const bytes = Buffer.alloc(9);
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (typeof value === "boolean") return Buffer.of(1, Number(value));
  if (typeof value === "string") return Buffer.concat([Buffer.of(2), named(value)]);
  if (value === null || value === undefined) return Buffer.of(5);
  const members = Object.entries(value).flatMap(([name, member]) => [named(name), encode(member)]);
  return Buffer.concat([Buffer.of(3), ...members, Buffer.of(0, 0, 9)]);
}

function named(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
