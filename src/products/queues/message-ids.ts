/**
 * Ids of messages: 32 hex digits that order by time. 12 digits of milliseconds, 4 of a counter (messages of one moment
 * keep their order), 16 random ones.
 */
import { randomFillSync } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";

const COUNTER_MAX = 0xffff;
const RANDOM_BYTES = 8;
/** Random bytes are fetched for so many ids at a time: each call costs as much as the rest of a send's arithmetic. */
const RANDOM_IDS = 512;

const timeDigits = (time: number): string => Math.max(0, time).toString(16).padStart(12, "0");

/** The lowest id of a message that is sent at this time. */
export const lowestId = (time: number): string => timeDigits(time) + "0".repeat(20);

/** When the message was sent. */
export const timeOfId = (id: string): number => Number.parseInt(id.slice(0, 12), 16);

/** Makes ids that rise even when the clock stands still or steps back. */
export function messageIds(clock: Clock): () => string {
  const random = Buffer.allocUnsafeSlow(RANDOM_BYTES * RANDOM_IDS);
  let used = random.length;
  let time = 0;
  let counter = 0;
  return () => {
    if (used === random.length) {
      randomFillSync(random);
      used = 0;
    }
    const tail = random.toString("hex", used, used + RANDOM_BYTES);
    used += RANDOM_BYTES;
    const now = clock.now();
    if (now > time) {
      time = now;
      counter = 0;
    } else if (counter === COUNTER_MAX) {
      time++;
      counter = 0;
    } else counter++;
    return timeDigits(time) + counter.toString(16).padStart(4, "0") + tail;
  };
}
