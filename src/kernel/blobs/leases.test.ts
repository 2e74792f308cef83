/** Leases on their real parts. A crash is played by opening the leases again on what is on disk. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openLog } from "../log.ts";
import { openSqliteMeta } from "../meta/sqlite.ts";
import type { BlobId } from "./blobs.ts";
import { openDirectoryBlobs } from "./directory.ts";
import { leaseMigrations, openBlobLeases } from "./leases.ts";

async function open(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "freehold-leases-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.sqlite") });
  for (const { sql } of leaseMigrations) await meta.script(sql);
  await meta.script("CREATE TABLE named (blob TEXT PRIMARY KEY)");
  const blobs = await openDirectoryBlobs({ directory: join(directory, "blobs") });
  t.after(async () => {
    await meta.close();
    await rm(directory, { recursive: true, force: true });
  });
  const restart = () => openBlobLeases(meta, blobs, openLog({ level: "error" }));
  const exists = (id: BlobId): Promise<boolean> =>
    blobs.bytes(id).then(
      () => true,
      (error: { code?: string }) => {
        assert.equal(error.code, "blobs.notFound");
        return false;
      },
    );
  return { meta, blobs, exists, restart, leases: await restart() };
}

const bytes = Buffer.from("some bytes");

test("a blob whose writer died before it got a row is deleted at the next start, and no other", async (t) => {
  const { meta, blobs, leases, exists, restart } = await open(t);
  const kept = await leases.put(bytes);
  await meta.transaction(async (tx) => {
    await tx.run("INSERT INTO named VALUES (?)", kept);
    await leases.settle(tx, kept);
  });
  const orphan = await leases.put(bytes);
  const large = await blobs.create(await leases.take());
  await large.write(Buffer.alloc(1024 * 1024));
  const { id } = await large.commit();
  await restart();
  assert.deepEqual([await exists(kept), await exists(orphan), await exists(id)], [true, false, false]);
});

test("a transaction that is rolled back leaves the blob leased", async (t) => {
  const { meta, leases, exists, restart } = await open(t);
  const id = await leases.put(bytes);
  const failed = meta.transaction(async (tx) => {
    await leases.settle(tx, id);
    throw new Error("the row did not fit");
  });
  await assert.rejects(failed, /did not fit/);
  await restart();
  assert.equal(await exists(id), false);
});

test("a blob whose last row went is deleted, also when the process dies before it gets to it", async (t) => {
  const { meta, leases, exists, restart } = await open(t);
  const ids = [await leases.put(bytes), await leases.put(bytes)] as const;
  for (const id of ids) await meta.transaction((tx) => leases.settle(tx, id));
  for (const id of ids) await meta.transaction((tx) => leases.revoke(tx, id));
  await leases.discard(ids[0]);
  assert.deepEqual([await exists(ids[0]), await exists(ids[1])], [false, true]);
  await restart();
  assert.equal(await exists(ids[1]), false);
});
