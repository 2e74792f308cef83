/** Small and large blobs through the store itself: what R2 and S3 can at most reach on this disk. */

import type { BlobId } from "../src/kernel/blobs/blobs.ts";
import { openDirectoryBlobs } from "../src/kernel/blobs/directory.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";

const largeBytes = 2 ** 30;
const smallPuts = 4000;
const callers = 16;

export async function run(): Promise<BenchResult[]> {
  return inBenchDirectory(async (directory) => {
    const store = await openDirectoryBlobs({ directory });
    const small = Buffer.alloc(4096, "x");
    const ids: BlobId[] = [];
    const put = await eachCaller(smallPuts, async () => void ids.push((await store.put(small)).id));
    const get = await eachCaller(smallPuts, async (i) => void (await store.bytes(ids[i] as BlobId)));

    const chunk = Buffer.alloc(64 * 1024, "x");
    const writeStarted = performance.now();
    const writer = await store.create();
    for (let written = 0; written < largeBytes; written += chunk.length) await writer.write(chunk);
    const { id } = await writer.commit();
    const writeMs = performance.now() - writeStarted;

    const readStarted = performance.now();
    let read = 0;
    for await (const piece of await store.read(id)) read += (piece as Buffer).length;
    const readMs = performance.now() - readStarted;
    if (read !== largeBytes) throw new Error(`read ${read} of ${largeBytes} bytes`);

    const rate = (milliseconds: number) => Math.round(largeBytes / 1000 / milliseconds);
    return [
      { name: "blobs.put_4KB_c16", value: Math.round(put), unit: "1/s" },
      { name: "blobs.get_4KB_c16", value: Math.round(get), unit: "1/s", note: "from the page cache" },
      { name: "blobs.write_1GiB", value: rate(writeMs), unit: "MB/s", budget: 400, note: "chunks of 64 KiB, durable at the end" },
      { name: "blobs.read_1GiB", value: rate(readMs), unit: "MB/s", budget: 1000, note: "from the page cache" },
    ];
  });
}

/** Runs `work` `count` times by several callers at once; gives runs a second. */
async function eachCaller(count: number, work: (i: number) => Promise<void>): Promise<number> {
  let next = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (next < count) await work(next++);
    }),
  );
  return (count * 1000) / (performance.now() - started);
}
