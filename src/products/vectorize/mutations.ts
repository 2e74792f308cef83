/**
 * Changes of vectors on their way into indexes. A change is acknowledged when the journal has it on disk; one loop brings
 * what is there to the indexes, in batches, each index in the journal's order. An index knows how far it has followed, so
 * a batch that is interrupted comes again and does nothing twice.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../kernel/clock.ts";
import type { Journal, JournalEntry } from "../../kernel/journal/journal.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Engine } from "./engine.ts";
import { vectorizeError } from "./errors.ts";
import type { Index, Indexes } from "./indexes.ts";
import { type Change, decodeHead, encodeMutation } from "./mutation.ts";

export interface Mutations {
  /** Durable when it resolves, with the mutation's id; takes effect soon after. Throws `vectorize.tooManyRequests`. */
  submit(index: Index, change: Change): Promise<string>;
  /** Resolves when what was submitted before has taken effect, or the platform stops. */
  settled(): Promise<void>;
  /** Vectors that are on their way to the index. */
  pending(index: Index): number;
  stop(): Promise<void>;
}

export interface MutationOptions {
  readonly journal: Journal;
  readonly meta: MetaStore;
  readonly indexes: Indexes;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly backlogMaxBytes: number;
  /** How long lists that began may still ask for deleted vectors. */
  readonly cursorTtlMs: number;
}

/** Of one batch, in memory at a time. */
const BATCH_BYTES = 32 * 1024 * 1024;
/** Documented sizes of a batch. */
const BATCH_MUTATIONS = 1000;
const BATCH_VECTORS = 200_000;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 30_000;

export async function startMutations(options: MutationOptions): Promise<Mutations> {
  const { journal, meta, indexes, engine, clock, log } = options;
  const stopping = new AbortController();
  /** Vectors on their way, by index. */
  const pending = new Map<string, number>();
  /** Who waits for the loop to pass an offset. */
  const waiting = new Set<{ readonly offset: number; resolve(): void }>();
  const stored = await meta.get<{ position: number }>("SELECT position FROM vectorize_state");
  let position = Math.max(stored?.position ?? 0, journal.start);
  /** What lies before it was submitted to an earlier process and is not in `pending`. */
  const first = journal.end;

  function count(id: string, vectors: number): void {
    const sum = (pending.get(id) ?? 0) + vectors;
    if (sum === 0) pending.delete(id);
    else pending.set(id, sum);
  }

  async function passed(entries: readonly JournalEntry[]): Promise<void> {
    const last = entries.at(-1);
    if (last === undefined) return;
    for (const { offset, payload } of entries) {
      const { index, vectors } = decodeHead(payload);
      if (offset >= first) count(index, -vectors);
    }
    position = last.offset + last.count;
    for (const one of waiting) {
      if (one.offset > position) continue;
      waiting.delete(one);
      one.resolve();
    }
    // Only where to begin after a restart: an index skips what it has.
    await meta.run(
      "INSERT INTO vectorize_state (id, position) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET position = excluded.position",
      position,
    );
    await journal.trim(position);
  }

  /** Entries of the journal that make up the next batch. */
  async function nextBatch(): Promise<JournalEntry[]> {
    const entries = await journal.read(position, BATCH_BYTES);
    let vectors = 0;
    const end = entries.findIndex(({ payload }, i) => {
      vectors += decodeHead(payload).vectors;
      return i > 0 && (i >= BATCH_MUTATIONS || vectors > BATCH_VECTORS);
    });
    return end === -1 ? entries : entries.slice(0, end);
  }

  async function carryOut(entries: readonly JournalEntry[]): Promise<void> {
    const byIndex = Map.groupBy(entries, ({ payload }) => decodeHead(payload).index);
    await Promise.all(
      [...byIndex].map(async ([id, own]) => {
        const index = indexes.byId(id);
        // Without one, it has been deleted, and what was to change with it.
        if (index !== undefined) await applyRuns(index, own);
      }),
    );
  }

  /** An index is told the offset of each mutation: those that follow one another go together. */
  async function applyRuns(index: Index, entries: readonly JournalEntry[]): Promise<void> {
    for (let from = 0; from < entries.length; ) {
      let to = from + 1;
      while (to < entries.length && entries[to]?.offset === (entries[to - 1]?.offset as number) + 1) to++;
      // Copies of their own: they move to the thread, where a view would take the whole read with it.
      const payloads = entries.slice(from, to).map(({ payload }) => new Uint8Array(payload));
      const now = clock.now();
      const ask = { offset: entries[from]?.offset as number, payloads, now, goneBefore: now - options.cursorTtlMs };
      await engine.call(
        index,
        "apply",
        ask,
        payloads.map(({ buffer }) => buffer as ArrayBuffer),
      );
      from = to;
    }
  }

  async function loop(): Promise<void> {
    let pause = BACKOFF_MIN_MS;
    while (!stopping.signal.aborted) {
      try {
        await journal.wait(position, stopping.signal);
        if (stopping.signal.aborted) return;
        const entries = await nextBatch();
        await carryOut(entries);
        await passed(entries);
        pause = BACKOFF_MIN_MS;
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.error("vectorize.apply_failed", { error, offset: position, retryInMs: pause });
        // Rejects when the platform stops, which is what else it waits for.
        await delay(pause, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
        pause = Math.min(pause * 2, BACKOFF_MAX_MS);
      }
    }
  }

  const running = loop();
  return {
    async submit(index, change) {
      if (journal.bytes > options.backlogMaxBytes) throw vectorizeError("tooManyRequests");
      const mutation = randomUUID();
      const vectors = "vectors" in change ? change.vectors.length : 0;
      count(index.id, vectors);
      try {
        await journal.append(encodeMutation(index.id, mutation, change), 1);
      } catch (error) {
        count(index.id, -vectors);
        throw error;
      }
      return mutation;
    },
    settled() {
      const offset = journal.end;
      if (position >= offset) return Promise.resolve();
      return new Promise((resolve) => waiting.add({ offset, resolve }));
    },
    pending: ({ id }) => pending.get(id) ?? 0,
    async stop() {
      stopping.abort();
      await running;
      for (const { resolve } of waiting) resolve();
    },
  };
}
