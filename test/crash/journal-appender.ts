/**
 * Appends to a journal from many callers until it is killed, and prints "offset count id." for each acknowledged
 * entry. The payload begins with the id; its size and count come from the seed.
 */

import { openSegmentJournals } from "../../src/kernel/journal/segments.ts";
import { openLog } from "../../src/kernel/log.ts";
import { randomFrom } from "./child.ts";

const [directory, seed, firstId] = process.argv.slice(2) as [string, string, string];
const random = randomFrom(Number(seed));
const log = openLog({ level: "error", json: true });
const journals = await openSegmentJournals({ directory, segmentBytes: 256 * 1024, pendingMaxBytes: 2 ** 26, log });
const journal = await journals.open("crash");

let id = Number(firstId);
async function appender(): Promise<never> {
  for (;;) {
    const mine = id++;
    const payload = Buffer.alloc(random() < 0.02 ? 50_000 : 16 + Math.floor(random() * 2000), mine % 251);
    payload.writeUInt32LE(mine);
    const count = 1 + Math.floor(random() * 4);
    const offset = await journal.append(payload, count);
    process.stdout.write(`${offset} ${count} ${mine}.\n`);
  }
}
await Promise.all(Array.from({ length: 32 }, appender));
