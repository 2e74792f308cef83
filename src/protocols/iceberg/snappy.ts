/** Snappy's raw block format, reading only: some engines write Avro with it. */

/** Decompresses one block; throws when it is malformed or larger than `maxBytes`. */
export function snappyDecompress(input: Uint8Array, maxBytes: number): Buffer {
  let at = 0;
  const byte = (): number => {
    if (at >= input.length) throw new Error("snappy block is cut short");
    return input[at++] as number;
  };
  const little = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) value += byte() * 2 ** (8 * i);
    return value;
  };
  let size = 0;
  for (let shift = 0; ; shift += 7) {
    const b = byte();
    size += (b & 0x7f) * 2 ** shift;
    if (b < 0x80) break;
    if (shift > 28) throw new Error("snappy length is too long");
  }
  if (size > maxBytes) throw new Error("snappy block is too large");
  const output = Buffer.alloc(size);
  let to = 0;
  const room = (length: number): void => {
    if (to + length > size) throw new Error("snappy block is longer than it says");
  };
  while (at < input.length) {
    const tag = byte();
    if ((tag & 3) === 0) {
      const short = tag >> 2;
      const length = (short < 60 ? short : little(short - 59)) + 1;
      room(length);
      if (at + length > input.length) throw new Error("snappy block is cut short");
      output.set(input.subarray(at, at + length), to);
      at += length;
      to += length;
      continue;
    }
    const kind = tag & 3;
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = kind === 1 ? ((tag >> 5) << 8) | byte() : little(kind === 2 ? 2 : 4);
    room(length);
    if (offset === 0 || offset > to) throw new Error("snappy copy reaches before the block");
    // Byte by byte: a copy may overlap its own output.
    for (let i = 0; i < length; i++, to++) output[to] = output[to - offset] as number;
  }
  if (to !== size) throw new Error("snappy block is shorter than it says");
  return output;
}
