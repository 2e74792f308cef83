/**
 * Goal: an acknowledged append is there after SIGKILL, exactly once and in order, whatever the moment.
 * Method: a child appends and prints acknowledgements; it is killed after a number of them that the seed decides;
 * the journal is opened and compared with what was printed, then the next round goes on in the same directory.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openSegmentJournals } from "../../src/kernel/journal/segments.ts";
import { openLog } from "../../src/kernel/log.ts";
import { temporaryDirectory } from "../harness/temporary-directory.ts";
import { randomFrom, runUntilKilled, seed } from "./child.ts";

test("acknowledged journal entries survive SIGKILL, each once and in order", { timeout: 120_000 }, async (t) => {
  t.diagnostic(`FREEHOLD_SEED=${seed}`);
  const random = randomFrom(seed);
  const directory = await temporaryDirectory("journal-crash-");
  const acknowledged = new Map<number, { count: number; id: number }>();
  for (let round = 0; round < 5; round++) {
    const lines = 1 + Math.floor(random() * 3000);
    const printed = await runUntilKilled("./journal-appender.ts", [directory, String(seed + round), String(round * 10_000_000)], lines);
    for (const line of printed) {
      const match = /^(\d+) (\d+) (\d+)\.$/.exec(line);
      if (match === null) continue;
      const [offset, count, id] = match.slice(1).map(Number) as [number, number, number];
      assert.ok(!acknowledged.has(offset), `offset ${offset} was acknowledged twice`);
      acknowledged.set(offset, { count, id });
    }

    const journals = await openSegmentJournals({
      directory,
      segmentBytes: 256 * 1024,
      pendingMaxBytes: 2 ** 26,
      log: openLog({ level: "error" }),
    });
    const journal = await journals.open("crash");
    const ids = new Set<number>();
    let found = 0;
    let next = 0;
    while (next < journal.end) {
      for (const entry of await journal.read(next, 1_000_000)) {
        assert.equal(entry.offset, next, "offsets have no holes");
        const id = Buffer.from(entry.payload).readUInt32LE(0);
        assert.ok(!ids.has(id), `entry ${id} is there twice`);
        ids.add(id);
        assert.ok(
          entry.payload.every((byte, i) => i < 4 || byte === id % 251),
          `entry ${id} has other bytes`,
        );
        const expected = acknowledged.get(entry.offset);
        if (expected !== undefined) {
          assert.deepEqual({ count: entry.count, id }, expected);
          found++;
        }
        next += entry.count;
      }
    }
    assert.equal(found, acknowledged.size, "every acknowledged entry is there");
    await journals.close();
  }
  t.diagnostic(`${acknowledged.size} entries acknowledged over 5 kills`);
});
