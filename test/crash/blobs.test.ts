/**
 * Goal: a committed blob is there after SIGKILL with all its bytes, and an unfinished one takes no space in the end.
 * Method: a child commits blobs and prints them; it is killed after a number that the seed decides; all are read.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { BlobId } from "../../src/kernel/blobs/blobs.ts";
import { openDirectoryBlobs } from "../../src/kernel/blobs/directory.ts";
import { temporaryDirectory } from "../harness/temporary-directory.ts";
import { randomFrom, runUntilKilled, seed } from "./child.ts";

test("committed blobs survive SIGKILL with all their bytes", { timeout: 120_000 }, async (t) => {
  t.diagnostic(`FREEHOLD_SEED=${seed}`);
  const random = randomFrom(seed);
  const directory = await temporaryDirectory("blobs-crash-");
  const committed: { id: BlobId; size: number; byte: number }[] = [];
  for (let round = 0; round < 4; round++) {
    const printed = await runUntilKilled("./blob-writer.ts", [directory, String(seed + round)], 1 + Math.floor(random() * 200));
    for (const line of printed) {
      const match = /^([0-9a-f]+) (\d+) (\d+)\.$/.exec(line);
      if (match !== null) committed.push({ id: match[1] as BlobId, size: Number(match[2]), byte: Number(match[3]) });
    }
    const store = await openDirectoryBlobs({ directory });
    for (const { id, size, byte } of committed) {
      const bytes = await store.bytes(id);
      assert.equal(bytes.byteLength, size);
      assert.ok(
        bytes.every((b) => b === byte),
        `blob ${id} has other bytes`,
      );
    }
    assert.deepEqual(await readdir(join(directory, "writing")), []);
    assert.deepEqual(await readdir(store.scratch), []);
  }
  t.diagnostic(`${committed.length} blobs committed over 4 kills`);
});
