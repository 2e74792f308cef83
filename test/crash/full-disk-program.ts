/**
 * Fills the small disk that holds its directory, and checks that journal, blobs and meta refuse with their error,
 * keep what they had, and go on by themselves when there is space again. Exits 0 when all holds. Started by
 * `full-disk.test.ts` on a disk of its own.
 */
import assert from "node:assert/strict";
import { readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openDirectoryBlobs } from "../../src/kernel/blobs/directory.ts";
import type { Journal } from "../../src/kernel/journal/journal.ts";
import { openSegmentJournals } from "../../src/kernel/journal/segments.ts";
import type { Log } from "../../src/kernel/log.ts";
import { openSqliteMeta } from "../../src/kernel/meta/sqlite.ts";

const [what, directory] = process.argv.slice(2) as [string, string];
const filler = join(directory, "filler");
const events: string[] = [];
const note = (event: string): void => void events.push(event);
const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log, scope: () => log };

/** Leaves about `bytes` of the disk free. */
async function fillUpTo(bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  await writeFile(filler, Buffer.alloc(bavail * bsize - bytes));
}

async function numbers(journal: Journal): Promise<number[]> {
  const found: number[] = [];
  for (let next = journal.start; next < journal.end; ) {
    for (const entry of await journal.read(next, 100_000)) {
      found.push(Buffer.from(entry.payload).readUInt32LE(0));
      next = entry.offset + entry.count;
    }
  }
  return found;
}

/** `segmentBytes` decides whether the disk is full when an entry is written or when a new segment is created. */
async function journalOnFullDisk(segmentBytes: number): Promise<void> {
  const open = () => openSegmentJournals({ directory: join(directory, "journals"), segmentBytes, pendingMaxBytes: 2 ** 22, log });
  const store = await open();
  const journal = await store.open("full");
  const kept: number[] = [];
  const refused: number[] = [];
  let id = 0;
  const append = async (): Promise<void> => {
    const mine = id++;
    const payload = Buffer.alloc(mine % 3 === 0 ? 20_000 : 900, mine % 251);
    payload.writeUInt32LE(mine);
    try {
      await journal.append(payload, 1);
      kept.push(mine);
    } catch (error) {
      assert.equal((error as { code: string }).code, "journal.full");
      refused.push(mine);
    }
  };
  await fillUpTo(1_000_000);
  while (refused.length < 50) await Promise.all(Array.from({ length: 20 }, append));
  assert.ok(kept.length > 50, `${kept.length} kept`);
  assert.equal(journal.end, kept.length);
  assert.deepEqual(await numbers(journal), kept);
  const files = await readdir(join(directory, "journals", "full"));
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(directory, "journals", "full", file))).size));
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    journal.bytes,
    "nothing of a refused entry is left in the files",
  );
  assert.equal(events.filter((event) => event === "journal.append_failed").length, 1, "one line for the whole time");

  const refusedWhileFull = refused.length;
  await rm(filler);
  await append();
  await Promise.all(Array.from({ length: 20 }, append));
  assert.equal(refused.length, refusedWhileFull, "nothing is refused once there is space");
  assert.ok(events.includes("journal.appends_resumed"));
  await store.close();

  const again = await open();
  assert.deepEqual(await numbers(await again.open("full")), kept);
  assert.ok(!events.includes("journal.tail_cut"), "refused entries were taken off the file at once");
  await again.close();
}

async function blobsOnFullDisk(): Promise<void> {
  const store = await openDirectoryBlobs({ directory: join(directory, "blobs") });
  const { id } = await store.put(Buffer.from("kept"));
  await fillUpTo(300_000);
  const full = { code: "platform.storageFull" };
  const writer = await store.create();
  await writer.write(Buffer.alloc(200_000));
  await assert.rejects(writer.write(Buffer.alloc(200_000)), full);
  await assert.rejects(writer.commit());
  await writer.abort();
  await assert.rejects(store.put(Buffer.alloc(400_000)), full);
  const small: string[] = [];
  await assert.rejects(async () => {
    for (;;) small.push((await store.put(Buffer.alloc(30_000))).id);
  }, full);
  assert.ok(small.length >= 5, "aborted writers gave their space back");
  assert.equal(Buffer.from(await store.bytes(id)).toString(), "kept");
  await rm(filler);
  const later = await store.put(Buffer.alloc(400_000, 1));
  assert.equal((await store.bytes(later.id)).byteLength, 400_000);
}

async function metaOnFullDisk(): Promise<void> {
  const path = join(directory, "meta.db");
  const store = await openSqliteMeta({ path });
  await store.script("CREATE TABLE test_row (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)");
  const insert = "INSERT INTO test_row (id, bytes) VALUES (?, ?)";
  const ids = async () => (await store.all<{ id: number }>("SELECT id FROM test_row ORDER BY id")).map((row) => row.id);
  await fillUpTo(2_000_000);
  const kept: number[] = [];
  let refused = 0;
  const attempt = async (id: number, write: () => Promise<unknown>): Promise<void> => {
    try {
      await write();
      kept.push(id);
    } catch (error) {
      assert.equal((error as { code: string }).code, "platform.storageFull", (error as Error).message);
      refused++;
    }
  };
  for (let id = 0; refused < 40; id += 10) {
    const batch = Array.from({ length: 10 }, (_, i) => id + i);
    await Promise.all(
      batch.map((n) =>
        attempt(n, () =>
          n % 10 === 9
            ? store.transaction((tx) => tx.run(insert, n, Buffer.alloc(20_000)))
            : store.run(insert, n, Buffer.alloc(n % 10 === 4 ? 100_000 : 100)),
        ),
      ),
    );
    kept.sort((a, b) => a - b);
    assert.deepEqual(await ids(), kept);
  }
  assert.ok(kept.length > 20, `${kept.length} kept`);
  await rm(filler);
  await store.run(insert, 1_000_000, Buffer.alloc(100_000));
  await store.close();
  const again = await openSqliteMeta({ path });
  assert.deepEqual(
    (await again.all<{ id: number }>("SELECT id FROM test_row ORDER BY id")).map((row) => row.id),
    [...kept, 1_000_000],
  );
  await again.close();
}

if (what === "blobs") await blobsOnFullDisk();
else if (what === "meta") await metaOnFullDisk();
else await journalOnFullDisk(Number(what));
