/** The store on its real parts, SQLite and a directory of blobs, with a clock that the test moves. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDirectoryBlobs } from "../../kernel/blobs/directory.ts";
import { leaseMigrations, openBlobLeases } from "../../kernel/blobs/leases.ts";
import { openLog } from "../../kernel/log.ts";
import { openSqliteMeta } from "../../kernel/meta/sqlite.ts";
import { sealing } from "../../kernel/sealing.ts";
import { writeRate } from "../../kernel/write-rate.ts";
import { INLINE_MAX_BYTES, openEntries, successor } from "./entries.ts";
import { kvError } from "./errors.ts";
import { migrations } from "./migrations.ts";
import { openNamespaces } from "./namespaces.ts";
import { startSweeper } from "./sweeper.ts";

async function open(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "freehold-kv-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.sqlite") });
  for (const { sql } of [...leaseMigrations, ...migrations]) await meta.script(sql);
  const blobs = await openDirectoryBlobs({ directory: join(directory, "blobs") });
  const leases = await openBlobLeases(meta, blobs, openLog());
  const time = { now: 1_000_000_000 };
  const clock = { now: () => time.now };
  const sweeper = startSweeper(meta, blobs, clock, openLog());
  t.after(async () => {
    await sweeper.stop();
    await meta.close();
    await rm(directory, { recursive: true, force: true });
  });
  const blobFiles = async () =>
    (await readdir(join(directory, "blobs"), { recursive: true, withFileTypes: true })).filter((file) => file.isFile()).length;
  return {
    meta,
    blobs,
    time,
    clock,
    sweeper,
    blobFiles,
    entries: openEntries({ meta, blobs, leases, sealing: sealing(Buffer.alloc(32, 5)), clock }),
    count: async (table: string) => (await meta.get<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))?.n,
  };
}

const key = (name: string) => new TextEncoder().encode(name);
const plain = { expiration: null, metadata: null };
const large = new Uint8Array(INLINE_MAX_BYTES + 1).fill(7);

test("a replaced or deleted large value gives its disk space back", async (t) => {
  const { entries, sweeper, time, blobFiles, count } = await open(t);
  const put = async (value: Uint8Array) => entries.write("n", key("k"), await entries.holdBytes(value), plain);
  await put(large);
  await put(large);
  await put(key("small"));
  await put(large);
  assert.equal(await blobFiles(), 3);
  time.now += 60_000;
  await sweeper.sweep();
  assert.equal(await blobFiles(), 1);
  assert(Buffer.from(large).equals((await entries.readWhole("n", key("k")))?.bytes ?? key("")));
  await entries.remove("n", key("k"));
  assert.equal(await entries.read("n", key("k")), undefined);
  time.now += 60_000;
  await sweeper.sweep();
  assert.deepEqual([await blobFiles(), await count("kv_garbage"), await count("kv_entries")], [0, 0, 0]);
});

test("a streamed value that is too large is refused with its length and leaves nothing behind", async (t) => {
  const { entries, blobFiles } = await open(t);
  async function* chunks() {
    for (let i = 0; i < 26; i++) yield new Uint8Array(1024 * 1024);
  }
  await assert.rejects(entries.hold(chunks()), {
    code: "kv.valueTooLarge",
    message: "Value length of 27262976 exceeds limit of 26214400.",
  });
  assert.equal(await blobFiles(), 0);
});

test("a pair reads as absent from the second it expires, before any sweep", async (t) => {
  const { entries, time, sweeper, count, blobFiles } = await open(t);
  const expiration = Math.floor(time.now / 1000) + 60;
  await entries.write("n", key("k"), await entries.holdBytes(large), { expiration, metadata: null });
  await entries.write("n", key("stays"), await entries.holdBytes(key("v")), plain);
  time.now = expiration * 1000 - 1;
  assert.notEqual(await entries.read("n", key("k")), undefined);
  time.now = expiration * 1000;
  assert.equal(await entries.read("n", key("k")), undefined);
  assert.deepEqual(
    (await entries.list("n", key(""), null, 10)).map((row) => Buffer.from(row.key).toString()),
    ["stays"],
  );
  await sweeper.sweep();
  assert.deepEqual([await count("kv_entries"), await blobFiles()], [1, 0]);
});

test("a deleted namespace is emptied, and a write that was under way with it", async (t) => {
  const { meta, clock, time, entries, sweeper, count } = await open(t);
  const namespaces = await openNamespaces(meta, clock, 10, async () => () => undefined);
  const { id } = await namespaces.create("doomed", null);
  const { id: kept } = await namespaces.create("kept", null);
  for (let i = 0; i < 1200; i++) await entries.write(id, key(`k${i}`), await entries.holdBytes(key("v")), plain);
  await entries.write(kept, key("k"), await entries.holdBytes(key("v")), plain);
  await namespaces.remove(id);
  assert.equal(namespaces.has(id), false);
  await sweeper.sweep();
  await entries.write(id, key("late"), await entries.holdBytes(key("v")), plain);
  time.now += 61_000;
  await sweeper.sweep();
  assert.deepEqual([await count("kv_entries"), await count("kv_purges")], [1, 0]);
  assert.equal((await openNamespaces(meta, clock, 10, async () => () => undefined)).has(kept), true);
});

test("a prefix's range ends at its successor", () => {
  assert.deepEqual(successor(key("a")), key("b"));
  assert.deepEqual(successor(new Uint8Array([1, 0xff, 0xff])), new Uint8Array([2]));
  assert.equal(successor(new Uint8Array([0xff])), null);
  assert.equal(successor(new Uint8Array()), null);
});

test("writes to one key are counted by the second, other keys apart", () => {
  const time = { now: 0 };
  const rate = writeRate(2, { now: () => time.now }, () => kvError("tooManyRequests"));
  rate.take("n", key("k"));
  rate.take("n", key("k"));
  assert.throws(() => rate.take("n", key("k")), { code: "kv.tooManyRequests", message: "Too Many Requests" });
  rate.take("n", key("other"));
  rate.take("m", key("k"));
  time.now = 1000;
  rate.take("n", key("k"));
});
