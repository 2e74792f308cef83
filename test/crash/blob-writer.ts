/** Commits blobs of many sizes until it is killed, and prints "id size byte." for each committed one. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BlobId } from "../../src/kernel/blobs/blobs.ts";
import { openDirectoryBlobs } from "../../src/kernel/blobs/directory.ts";
import { randomFrom } from "./child.ts";

const [directory, seed] = process.argv.slice(2) as [string, string];
const random = randomFrom(Number(seed));
const store = await openDirectoryBlobs({ directory });
let made = 0;

async function commit(byte: number, size: number): Promise<{ id: BlobId }> {
  const way = random();
  if (way < 0.4) return store.put(Buffer.alloc(size, byte));
  if (way < 0.6) {
    const path = join(store.scratch, `file-${made}`);
    await writeFile(path, Buffer.alloc(size, byte));
    return store.adopt(path);
  }
  const writer = await store.create();
  for (let left = size; left > 0; left -= 50_000) await writer.write(Buffer.alloc(Math.min(left, 50_000), byte));
  return writer.commit();
}

async function caller(): Promise<never> {
  for (;;) {
    const byte = made++ % 251;
    const size = Math.floor(random() ** 3 * 500_000);
    const { id } = await commit(byte, size);
    process.stdout.write(`${id} ${size} ${byte}.\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, caller));
