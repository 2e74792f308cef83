import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { blobContract } from "./contract.ts";
import { openDirectoryBlobs } from "./directory.ts";

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "blobs-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

blobContract("directory", async (t) => {
  const directory = join(await temporary(t), "blobs");
  return { open: () => openDirectoryBlobs({ directory }) };
});

test("a blob's file cannot be written to, and nothing is left beside it", async (t) => {
  const directory = await temporary(t);
  const store = await openDirectoryBlobs({ directory });
  const { id } = await store.put(Buffer.from("a"));
  const { path } = await store.localFile(id);
  assert.equal(path, join(directory, "objects", id.slice(0, 2), id));
  assert.equal((await stat(path)).mode & 0o777, 0o400);
  const writer = await store.create();
  await writer.abort();
  assert.deepEqual(await readdir(join(directory, "writing")), []);
  assert.equal((await readdir(join(directory, "objects"), { recursive: true })).filter((name) => name.includes("/")).length, 1);
});
