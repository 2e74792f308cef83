import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { openLog } from "../../kernel/log.ts";
import { openCacheStore } from "./store.ts";

const large = Buffer.alloc(50_000, 7);

async function open(t: TestContext, maxBytes = 10 ** 6) {
  const directory = await mkdtemp(join(tmpdir(), "freehold-cache-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, "left-over"), "of the last run");
  const clock = { time: 1_000, now: () => clock.time };
  const store = await openCacheStore({ directory, clock, maxBytes, objectMaxBytes: 100_000, log: openLog({ level: "error" }) });
  const put = (key: string, body: Uint8Array, lifeMs = 60_000) =>
    store.put(
      key,
      { status: 200, statusText: "OK", headers: [], byName: new Map(), expiresAt: clock.time + lifeMs },
      Readable.from([body]),
    );
  const read = async (key: string) => {
    const stored = store.find(key);
    return stored && (await buffer((await store.body(key, stored)) as Readable));
  };
  return { store, clock, put, read, files: async () => (await readdir(directory)).length };
}

test("small and large bodies are found until they expire or are replaced, and leave no file", async (t) => {
  const { store, clock, put, read, files } = await open(t);
  assert.equal(await files(), 0);
  await put("small", Buffer.from("body"));
  await put("large", large);
  assert.deepEqual([(await read("small"))?.toString(), (await read("large"))?.equals(large), await files()], ["body", true, 1]);
  await put("large", Buffer.from("now small"));
  assert.deepEqual([(await read("large"))?.toString(), await files()], ["now small", 0]);
  clock.time += 60_000;
  assert.deepEqual([store.find("small"), await store.delete("large"), await store.delete("none")], [undefined, false, false]);
});

test("a body that is being read is read to its end, also when it is replaced meanwhile", async (t) => {
  const { store, put, files } = await open(t);
  await put("k", large);
  const stored = store.find("k");
  assert(stored !== undefined);
  const reading = await store.body("k", stored);
  await put("k", Buffer.from("new"));
  assert.equal(await files(), 0);
  assert.equal((await buffer(reading as Readable)).equals(large), true);
  assert.equal(await store.body("k", stored), undefined);
});

test("past the bound, what was used longest ago goes first", async (t) => {
  const { put, read, files } = await open(t, 160_000);
  for (const key of ["a", "b", "c"]) await put(key, large);
  await read("a");
  await put("d", large);
  assert.deepEqual([await read("b"), (await read("a"))?.length, await files()], [undefined, large.length, 3]);
});

test("a body that is too large or breaks off changes nothing and leaves no file", async (t) => {
  const { store, put, read, files } = await open(t);
  await put("k", Buffer.from("old"));
  assert.equal(await put("k", Buffer.alloc(100_001)), false);
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield large;
    throw new Error("the client has gone");
  };
  const entry = { status: 200, statusText: "OK", headers: [], byName: new Map(), expiresAt: 10 ** 9 };
  await assert.rejects(store.put("k", entry, broken()), /has gone/);
  assert.deepEqual([(await read("k"))?.toString(), await files()], ["old", 0]);
});
