/**
 * What one file has differently from another, as a third file from which the first is made again: its size, then each
 * block that differs, compressed. Knows nothing of what the files hold. Reads both from front to end, in bounded memory.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdCompress, createZstdDecompress } from "node:zlib";

/** A page of SQLite's, so that a changed page is one entry. */
const BLOCK_BYTES = 4096;
const PIECE_BYTES = 256 * BLOCK_BYTES;
const NUMBER_BYTES = 8;

/** Writes to `target` what it takes to make `wanted` out of `base`; on disk when it resolves. */
export async function writeDifference(wanted: string, base: string, target: string): Promise<void> {
  const [from, to] = await Promise.all([open(wanted), open(base)]);
  try {
    await pipeline(Readable.from(entries(from, to)), createZstdCompress(), createWriteStream(target, { flush: true, mode: 0o600 }));
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
}

async function* entries(wanted: FileHandle, base: FileHandle): AsyncGenerator<Buffer> {
  const { size } = await wanted.stat();
  yield number(size);
  const pieces = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)] as const;
  for (let start = 0; start < size; start += PIECE_BYTES) {
    // What a file does not reach to counts as zeros.
    await Promise.all([fill(wanted, pieces[0], start), fill(base, pieces[1], start)]);
    if (pieces[0].equals(pieces[1])) continue;
    for (let at = 0; at < PIECE_BYTES && start + at < size; at += BLOCK_BYTES) {
      const block = pieces[0].subarray(at, at + BLOCK_BYTES);
      if (!block.equals(pieces[1].subarray(at, at + BLOCK_BYTES))) yield Buffer.concat([number(start + at), block]);
    }
  }
}

/** Makes the file at `path`, which is the difference's base, into what was wanted. */
export async function applyDifference(difference: string, path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await pipeline(createReadStream(difference), createZstdDecompress(), async (source: AsyncIterable<Buffer>) => {
      let size: number | undefined;
      let rest: Buffer = Buffer.alloc(0);
      for await (const chunk of source) {
        rest = Buffer.concat([rest, chunk]);
        let at = 0;
        if (size === undefined && rest.length >= NUMBER_BYTES) {
          size = Number(rest.readBigUInt64BE());
          at = NUMBER_BYTES;
        }
        for (; size !== undefined && rest.length - at >= NUMBER_BYTES + BLOCK_BYTES; at += NUMBER_BYTES + BLOCK_BYTES) {
          const data = rest.subarray(at + NUMBER_BYTES, at + NUMBER_BYTES + BLOCK_BYTES);
          await file.write(data, 0, BLOCK_BYTES, Number(rest.readBigUInt64BE(at)));
        }
        rest = rest.subarray(at);
      }
      if (size === undefined || rest.length > 0) throw new Error(`the difference ${difference} is cut off`);
      await file.truncate(size);
    });
  } finally {
    await file.close();
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

async function fill(file: FileHandle, buffer: Buffer, position: number): Promise<void> {
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  buffer.fill(0, length);
}
