/**
 * One version of a legacy pipeline at work: its shards, each a journal of its own with a reader of its own. Events go to
 * the shards in turn. A version that was replaced takes no more events and drains: it delivers what it holds, then
 * its journals are given back.
 */
import type { Journal } from "../../../kernel/journal/journal.ts";
import { commitBatch } from "../commit.ts";
import type { Reader } from "../reader.ts";
import type { Batch } from "../records.ts";
import type { LegacySettings } from "./settings.ts";

export interface Shard {
  readonly index: number;
  readonly journal: Journal;
  /** Durable when it resolves. */
  append(batch: Batch): Promise<void>;
}

export interface Instance {
  /** The pipeline's id. */
  readonly pipeline: string;
  readonly version: number;
  readonly settings: LegacySettings;
  /** As the credentials of the destination are stored. */
  readonly sealed: string;
  /** The shard whose turn it is. Append to it at once: the instance may be replaced meanwhile. */
  next(): Shard;
  /**
   * After the last `next`: delivers what the journals hold, with as many attempts as it takes. Resolves with the number of
   * events that were given up, or undefined when the readers were ended before they had finished.
   */
  drain(): Promise<number | undefined>;
  /** From now on each shard's next failure is its last: what it holds is given up. */
  giveUp(): void;
  /** Ends the readers; what is not delivered stays in the journals. */
  stop(): Promise<void>;
}

/** Starts the reader of a shard; `onHealth` is told the reason of each failure, and undefined when one is over. */
export type StartReader = (index: number, journal: Journal, onHealth: (reason: string | undefined) => void) => Reader;

export function startInstance(
  about: Pick<Instance, "pipeline" | "version" | "settings" | "sealed">,
  journals: readonly Journal[],
  startReader: StartReader,
): Instance {
  let turn = 0;
  let stopped = false;
  let givingUp = false;
  const appending = new Set<Promise<void>>();
  const failing = new Set<number>();

  const shards = journals.map((journal, index): Shard & { readonly reader: Reader } => {
    const reader: Reader = startReader(index, journal, (reason) => {
      if (reason === undefined) failing.delete(index);
      else failing.add(index);
      if (givingUp && reason !== undefined) void reader.stop();
    });
    return {
      index,
      journal,
      reader,
      async append(batch) {
        const append = commitBatch(journal, batch);
        appending.add(append);
        try {
          await append;
        } finally {
          appending.delete(append);
        }
      },
    };
  });

  const left = (): number => shards.reduce((sum, { journal, reader }) => sum + Math.max(0, journal.end - reader.position), 0);

  return {
    ...about,
    next: () => shards[turn++ % shards.length] as Shard,
    async drain() {
      await Promise.allSettled(appending);
      await Promise.all(shards.map(({ reader }) => reader.drain()));
      const events = left();
      // Whatever else may have ended a reader: what nobody gave up stays.
      return events === 0 || (givingUp && !stopped) ? events : undefined;
    },
    giveUp() {
      givingUp = true;
      for (const index of failing) void shards[index]?.reader.stop();
    },
    async stop() {
      stopped = true;
      await Promise.all(shards.map(({ reader }) => reader.stop()));
    },
  };
}
