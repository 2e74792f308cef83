import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Log } from "../log.ts";
import { all, journalContract, numbered } from "./contract.ts";
import type { JournalStore } from "./journal.ts";
import { entryHeaderBytes, segmentHeaderBytes } from "./segment-format.ts";
import { openSegmentJournals } from "./segments.ts";

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "journal-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Collects warnings; an error line fails the test. */
function testLog(warnings: [string, Readonly<Record<string, unknown>>][] = []): Log {
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (event, fields = {}) => void warnings.push([event, fields]),
    error: (event, fields) => assert.fail(`${event} ${JSON.stringify(fields)}`),
    child: () => log,
    scope: () => log,
  };
  return log;
}

const openStore = (
  directory: string,
  options: { segmentBytes?: number; pendingMaxBytes?: number; log?: Log } = {},
): Promise<JournalStore> => openSegmentJournals({ directory, segmentBytes: 2 ** 26, pendingMaxBytes: 2 ** 26, log: testLog(), ...options });

journalContract("segments", async (t) => {
  const directory = await temporary(t);
  return { open: (limits) => openStore(join(directory, "journals"), limits) };
});

/** A closed journal "j" with ten entries of 100 bytes, each its own group; returns its only segment. */
async function tenGroups(directory: string): Promise<string> {
  const store = await openStore(directory);
  const journal = await store.open("j");
  for (let i = 0; i < 10; i++) await journal.append(numbered(i, 100), 1);
  await store.close();
  return onlySegment(directory);
}

async function onlySegment(directory: string): Promise<string> {
  const files = await readdir(join(directory, "j"));
  assert.equal(files.length, 1);
  return join(directory, "j", files[0] as string);
}

const numbers = async (store: JournalStore): Promise<number[]> =>
  (await all(await store.open("j"), 1000)).map((entry) => Buffer.from(entry.payload).readUInt32LE(0));

async function flip(path: string, position: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[position] = (bytes[position] as number) ^ 0x40;
  await writeFile(path, bytes);
}

const entrySize = entryHeaderBytes + 100;

test("a file cut at any byte opens with the entries before the cut, and goes on from there", async (t) => {
  const directory = await temporary(t);
  const whole = await tenGroups(directory);
  const size = (await stat(whole)).size;
  assert.equal(size, segmentHeaderBytes + 10 * entrySize);
  for (let cut = 0; cut <= size; cut += cut < segmentHeaderBytes + 2 * entrySize || cut > size - 130 ? 1 : 37) {
    const copy = join(directory, `cut-${cut}`);
    await mkdir(join(copy, "j"), { recursive: true });
    const path = join(copy, "j", whole.slice(-"0000000000000000.segment".length));
    await copyFile(whole, path);
    await truncate(path, cut);
    const warnings: [string, Readonly<Record<string, unknown>>][] = [];
    const store = await openStore(copy, { log: testLog(warnings) });
    const kept = cut < segmentHeaderBytes ? 0 : Math.floor((cut - segmentHeaderBytes) / entrySize);
    assert.equal((await store.open("j")).end, kept, `cut at ${cut}`);
    assert.equal(await (await store.open("j")).append(numbered(99, 100), 1), kept);
    assert.deepEqual(await numbers(store), [...Array(kept).keys(), 99]);
    await store.close();
    const torn = cut > segmentHeaderBytes && (cut - segmentHeaderBytes) % entrySize !== 0;
    assert.deepEqual(
      warnings.map(([event, fields]) => [event, fields.offset]),
      torn ? [["journal.tail_cut", kept]] : [],
    );
    const again = await openStore(copy);
    assert.deepEqual(await numbers(again), [...Array(kept).keys(), 99]);
    await again.close();
    await rm(copy, { recursive: true });
  }
});

test("zeros and garbage after the last entry are cut", async (t) => {
  for (const tail of [Buffer.alloc(5000), Buffer.alloc(10_000, "x")]) {
    const directory = await temporary(t);
    const path = await tenGroups(directory);
    const file = await open(path, "a");
    await file.appendFile(tail);
    await file.close();
    const store = await openStore(directory, { log: testLog([]) });
    assert.deepEqual(await numbers(store), [...Array(10).keys()]);
    await store.close();
    assert.equal((await stat(path)).size, segmentHeaderBytes + 10 * entrySize);
  }
});

test("an entry that a client wrote to look like a later one does not turn a torn write into damage", async (t) => {
  const directory = await temporary(t);
  const path = await tenGroups(directory);
  const bytes = await readFile(path);
  const store = await openStore(directory);
  const journal = await store.open("j");
  // The last entry's bytes as a payload, claiming a later offset and group, but with the crc of no salt.
  const forged = Buffer.from(bytes.subarray(-entrySize));
  forged.writeUInt32LE(1000, 16);
  forged.writeUInt32LE(bytes.length + 1, 24);
  await journal.append(Buffer.concat([forged, forged]), 1);
  await store.close();
  await flip(path, bytes.length + entryHeaderBytes + 2 * entrySize - 1);
  const again = await openStore(directory);
  assert.deepEqual(await numbers(again), [...Array(10).keys()]);
  await again.close();
});

test("a group of which the disk kept only a later part is cut where it breaks", async (t) => {
  const directory = await temporary(t);
  const store = await openStore(directory);
  const journal = await store.open("j");
  await journal.append(numbered(0, 100), 1);
  // One group: nothing of it was acknowledged before all of it was durable.
  await Promise.all([1, 2, 3, 4, 5].map((i) => journal.append(numbered(i, 100), 1)));
  await store.close();
  await flip(await onlySegment(directory), segmentHeaderBytes + 3 * entrySize + 50);
  const again = await openStore(directory);
  assert.deepEqual(await numbers(again), [0, 1, 2]);
  assert.equal(await (await again.open("j")).append(numbered(7, 100), 1), 3);
  await again.close();
  const third = await openStore(directory);
  assert.deepEqual(await numbers(third), [0, 1, 2, 7]);
  await third.close();
});

test("damage before a later group is refused with the place and the remedy, and nothing is cut", async (t) => {
  // In each part of the fifth entry: magic, crc, length, count, offset, group, payload.
  for (const at of [0, 5, 9, 11, 13, 17, 25, 60]) {
    const directory = await temporary(t);
    const path = await tenGroups(directory);
    const position = segmentHeaderBytes + 4 * entrySize;
    await flip(path, position + at);
    const before = await readFile(path);
    const store = await openStore(directory);
    await assert.rejects(store.open("j"), (error: Error & { code: string }) => {
      assert.equal(error.code, "journal.damaged");
      assert.match(error.message, new RegExp(`0{16}\\.segment is damaged at byte ${position} \\(journal j, offset 4\\)`));
      assert.match(error.message, /restore this file from a backup/);
      return true;
    });
    assert.ok(before.equals(await readFile(path)));
    // The owner of the journal can give it up.
    await store.remove("j");
    assert.equal((await store.open("j")).end, 0);
    await store.close();
  }
});

test("damage in an earlier segment is found by the read that meets it; other records stay readable", async (t) => {
  const directory = await temporary(t);
  const store = await openStore(directory, { segmentBytes: 4096 });
  const journal = await store.open("j");
  for (let i = 0; i < 100; i++) await journal.append(numbered(i, 100), 1);
  await store.close();
  const files = (await readdir(join(directory, "j"))).sort();
  assert.ok(files.length >= 3);
  await flip(join(directory, "j", files[1] as string), segmentHeaderBytes + 2 * entrySize + 60);
  const again = await openStore(directory, { segmentBytes: 4096 });
  const reopened = await again.open("j");
  assert.equal(reopened.end, 100);
  const second = Number.parseInt(files[1] as string, 10);
  await assert.rejects(reopened.read(second, 10_000), { code: "journal.damaged" });
  assert.equal((await reopened.read(second, 200)).length, 2);
  assert.equal((await reopened.read(second + 3, 100)).length, 1);
  await again.close();
});

test("a segment that a crash left half created is created again", async (t) => {
  const directory = await temporary(t);
  const store = await openStore(directory, { segmentBytes: 4096 });
  const journal = await store.open("j");
  for (let i = 0; i < 40; i++) await journal.append(numbered(i, 100), 1);
  await store.close();
  for (const header of ["", "FHJOUR"]) {
    await writeFile(join(directory, "j", "0000000000000040.segment"), header);
    const again = await openStore(directory, { segmentBytes: 4096 });
    assert.deepEqual(await numbers(again), [...Array(40).keys()]);
    assert.equal(await (await again.open("j")).append(numbered(40, 100), 1), 40);
    await again.close();
    await rm(join(directory, "j", "0000000000000040.segment"));
  }
});

test("a format of a later release is refused by its version", async (t) => {
  const directory = await temporary(t);
  const path = await tenGroups(directory);
  const { crc32 } = await import("node:zlib");
  const bytes = await readFile(path);
  bytes.writeUInt32LE(2, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 24)), 24);
  await writeFile(path, bytes);
  const store = await openStore(directory);
  await assert.rejects(store.open("j"), /format version 2/);
  await store.close();
});

test("a removal that a crash interrupted is finished at the next start", async (t) => {
  const directory = await temporary(t);
  await tenGroups(directory);
  await mkdir(join(directory, ".removed-0-other"));
  await writeFile(join(directory, ".removed-0-other", "0000000000000000.segment"), "x");
  const store = await openStore(directory);
  assert.deepEqual(await readdir(directory), ["j"]);
  await store.close();
});

test("trimmed segments are deleted, and a reader that holds views of them keeps its bytes", async (t) => {
  const directory = await temporary(t);
  const store = await openStore(directory, { segmentBytes: 4096 });
  const journal = await store.open("j");
  for (let i = 0; i < 100; i++) await journal.append(numbered(i, 100), 1);
  const held = await journal.read(0, 100_000);
  const trims = [journal.trim(journal.end), journal.read(0, 100_000).catch((error) => error.code)];
  const [, racing] = await Promise.all(trims);
  assert.ok(racing === "journal.trimmed" || (racing as unknown[]).length > 0);
  assert.equal((await readdir(join(directory, "j"))).length, 1);
  assert.deepEqual(
    held.map((entry) => Buffer.from(entry.payload).readUInt32LE(0)),
    [...Array(100).keys()],
  );
  await store.close();
});
