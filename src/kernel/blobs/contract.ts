/**
 * What every blob backend must do, as tests over any of them. A backend's own test file calls `blobContract`; a case
 * that a backend cannot do is skipped there by name, with the reason.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import type { BlobId, BlobStore } from "./blobs.ts";

export interface BlobBackend {
  /** Opens the same state again and again, as a restart of the platform does. */
  open(): Promise<BlobStore>;
}

const timeout = 60_000;

export function blobContract(
  name: string,
  backendOf: (t: TestContext) => Promise<BlobBackend>,
  skip: Readonly<Record<string, string>> = {},
): void {
  const check = (title: string, fn: (store: BlobStore, backend: BlobBackend, t: TestContext) => Promise<void>) =>
    test(`${name}: ${title}`, { skip: skip[title] ?? false, timeout }, async (t) => {
      const backend = await backendOf(t);
      await fn(await backend.open(), backend, t);
    });

  check("put gives back the same bytes under an id that is safe in paths", async (store) => {
    for (const bytes of [Buffer.alloc(0), Buffer.from("a"), randomBytes(70_000)]) {
      const { id, size } = await store.put(bytes);
      assert.match(id, /^[A-Za-z0-9_-]{16,128}$/);
      assert.equal(size, bytes.length);
      assert.ok(bytes.equals(await store.bytes(id)));
      assert.ok(bytes.equals(await gather(await store.read(id))));
    }
  });

  check("equal bytes are different blobs", async (store) => {
    const [first, second] = await Promise.all([store.put(Buffer.from("same")), store.put(Buffer.from("same"))]);
    assert.notEqual(first.id, second.id);
    await store.delete(first.id);
    assert.equal(Buffer.from(await store.bytes(second.id)).toString(), "same");
  });

  check("a blob takes the name that was reserved for it", async (store) => {
    const [first, second, third] = store.reserve(3) as [BlobId, BlobId, BlobId];
    const writer = await store.create(first);
    await writer.write(Buffer.from("written"));
    assert.equal((await writer.commit()).id, first);
    const path = join(store.scratch, "adopted");
    await writeFile(path, "adopted");
    assert.equal((await store.adopt(path, second)).id, second);
    assert.equal(Buffer.from(await store.bytes(first)).toString(), "written");
    assert.equal(Buffer.from(await store.bytes(second)).toString(), "adopted");
    await assert.rejects(store.bytes(third), { code: "blobs.notFound" });
  });

  check("a writer's chunks become one blob when it commits", async (store) => {
    const writer = await store.create();
    const chunks = [1, 100_000, 0, 65_536, 3].map((size) => randomBytes(size));
    for (const chunk of chunks) await writer.write(chunk);
    const { id, size } = await writer.commit();
    assert.equal(size, 165_540);
    assert.ok(Buffer.concat(chunks).equals(await store.bytes(id)));
    const empty = await (await store.create()).commit();
    assert.equal(empty.size, 0);
    assert.equal((await store.bytes(empty.id)).byteLength, 0);
  });

  check("a chunk may be reused once its write has resolved", async (store) => {
    const writer = await store.create();
    const chunk = Buffer.alloc(20_000);
    for (let i = 0; i < 10; i++) await writer.write(chunk.fill(i));
    chunk.fill(255);
    const { id } = await writer.commit();
    const bytes = await store.bytes(id);
    for (let i = 0; i < 10; i++) assert.ok(bytes.subarray(i * 20_000, (i + 1) * 20_000).every((byte) => byte === i));
  });

  check("an ended writer takes no more", async (store) => {
    const writer = await store.create();
    await writer.write(Buffer.from("kept"));
    const { id } = await writer.commit();
    await assert.rejects(writer.write(Buffer.from("late")));
    await assert.rejects(writer.commit());
    await writer.abort();
    assert.equal(Buffer.from(await store.bytes(id)).toString(), "kept");
    const aborted = await store.create();
    await aborted.write(Buffer.from("dropped"));
    await aborted.abort();
    await aborted.abort();
    await assert.rejects(aborted.write(Buffer.from("late")));
    await assert.rejects(aborted.commit());
  });

  check("a range gives exactly its bytes", async (store) => {
    const bytes = randomBytes(1_000_000);
    const { id, size } = await store.put(bytes);
    for (const [offset, length] of [
      [0, 1],
      [0, 0],
      [size, 0],
      [1, 999_999],
      [999_999, 1],
      [262_143, 2],
      [500_000, 300_000],
      [0, size],
    ] as const) {
      const got = await gather(await store.read(id, { offset, length }));
      assert.ok(bytes.subarray(offset, offset + length).equals(got), `${length} bytes from ${offset}`);
    }
  });

  check("a range that leaves the blob is refused", async (store) => {
    const { id } = await store.put(Buffer.from("0123456789"));
    for (const range of [
      { offset: 0, length: 11 },
      { offset: 11, length: 0 },
      { offset: 10, length: 1 },
      { offset: -1, length: 2 },
      { offset: 5, length: -1 },
      { offset: 0.5, length: 1 },
      { offset: 0, length: Number.NaN },
    ])
      await assert.rejects(store.read(id, range), { code: "blobs.invalidRange" });
  });

  check("what was never a blob is not found, whatever the id", async (store) => {
    const { id } = await store.put(Buffer.from("a"));
    const other = (id.startsWith("0") ? "1" : "0") + id.slice(1);
    const outside = await mkdtemp(join(tmpdir(), "blobs-outside-"));
    try {
      await writeFile(join(outside, "secret"), "secret");
      const ids = [
        other,
        "",
        ".",
        "..",
        "/",
        `../${id}`,
        `${id}/`,
        `${id}\0`,
        `${id}/../${id}`,
        id.toUpperCase().replace(/^[0-9]*$/, "A"),
        join(outside, "secret"),
      ];
      for (const wrong of [...ids, `../../../../../../../..${join(outside, "secret")}`] as BlobId[]) {
        if (wrong === id) continue;
        await assert.rejects(store.read(wrong), { code: "blobs.notFound" }, wrong);
        await assert.rejects(store.bytes(wrong), { code: "blobs.notFound" });
        await assert.rejects(store.localFile(wrong), { code: "blobs.notFound" });
        await store.delete(wrong);
      }
      assert.equal(await readFile(join(outside, "secret"), "utf8"), "secret");
      assert.equal((await store.bytes(id)).byteLength, 1);
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  check("a deleted blob is gone, twice is once, and an open reader goes on", async (store) => {
    const bytes = randomBytes(3_000_000);
    const { id } = await store.put(bytes);
    const reader = await store.read(id);
    await store.delete(id);
    await store.delete(id);
    await assert.rejects(store.read(id), { code: "blobs.notFound" });
    await assert.rejects(store.bytes(id), { code: "blobs.notFound" });
    assert.ok(bytes.equals(await gather(reader)));
  });

  check("adopt takes over a file of scratch", async (store) => {
    const path = join(store.scratch, "made.parquet");
    const bytes = randomBytes(300_000);
    await writeFile(path, bytes);
    const { id, size } = await store.adopt(path);
    assert.equal(size, 300_000);
    assert.ok(bytes.equals(await store.bytes(id)));
    await assert.rejects(stat(path), { code: "ENOENT" });
  });

  check("adopt takes over a file of any other directory", async (store) => {
    // /dev/shm is another file system on Linux, from which nothing can be renamed.
    for (const base of [tmpdir(), "/dev/shm"]) {
      if ((await stat(base).catch(() => undefined)) === undefined) continue;
      const directory = await mkdtemp(join(base, "blobs-adopt-"));
      try {
        const path = join(directory, "file");
        await writeFile(path, "far");
        const { id } = await store.adopt(path);
        assert.equal(Buffer.from(await store.bytes(id)).toString(), "far");
        assert.deepEqual(await readdir(directory), []);
      } finally {
        await rm(directory, { recursive: true });
      }
    }
  });

  check("adopt of what is not a file changes nothing", async (store) => {
    await assert.rejects(store.adopt(join(store.scratch, "missing")), { code: "ENOENT" });
    await assert.rejects(store.adopt(store.scratch), TypeError);
    assert.ok((await stat(store.scratch)).isDirectory());
  });

  check("a local file holds the blob until it is released, deleted or not", async (store) => {
    const { id } = await store.put(Buffer.from("local"));
    const [first, second] = await Promise.all([store.localFile(id), store.localFile(id)]);
    assert.equal(await readFile(first.path, "utf8"), "local");
    await store.delete(id);
    await assert.rejects(store.read(id), { code: "blobs.notFound" });
    await assert.rejects(store.localFile(id), { code: "blobs.notFound" });
    await first.release();
    await first.release();
    assert.equal(await readFile(second.path, "utf8"), "local");
    await second.release();
    await assert.rejects(stat(second.path), { code: "ENOENT" });
  });

  check("committed blobs survive a restart; scratch and unfinished blobs do not", async (store, backend) => {
    const { id } = await store.put(Buffer.from("kept"));
    const unfinished = await store.create();
    await unfinished.write(Buffer.alloc(200_000, "lost"));
    await writeFile(join(store.scratch, "temporary"), "x");
    const again = await backend.open();
    assert.equal(Buffer.from(await again.bytes(id)).toString(), "kept");
    assert.deepEqual(await readdir(again.scratch), []);
    await assert.rejects(unfinished.commit());
    await unfinished.abort();
  });

  check("many blobs at once do not mix", async (store) => {
    const made = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const writer = await store.create();
        for (let n = 0; n < 5; n++) await writer.write(Buffer.alloc(1000 + i, i));
        return { i, ...(await writer.commit()) };
      }),
    );
    assert.equal(new Set(made.map(({ id }) => id)).size, 100);
    for (const { i, id, size } of made) {
      assert.equal(size, 5 * (1000 + i));
      assert.ok((await store.bytes(id)).every((byte) => byte === i));
    }
  });

  check("a large blob passes through in flat memory", async (store) => {
    const chunk = randomBytes(1_000_000);
    const before = process.memoryUsage().rss;
    let most = 0;
    const writer = await store.create();
    const written = createHash("sha256");
    for (let i = 0; i < 300; i++) {
      chunk.writeUInt32LE(i);
      written.update(chunk);
      await writer.write(chunk);
      if (i % 16 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    const { id, size } = await writer.commit();
    assert.equal(size, 300_000_000);
    const read = createHash("sha256");
    let chunks = 0;
    for await (const piece of await store.read(id)) {
      read.update(piece as Buffer);
      if (chunks++ % 16 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    assert.equal(read.digest("hex"), written.digest("hex"));
    assert.ok(most - before < 150_000_000, `memory grew by ${most - before} bytes`);
    await store.delete(id);
  });
}

async function gather(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
