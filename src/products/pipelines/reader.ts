/**
 * One INSERT of a pipeline at work: follows the stream's journal, decides when a roll is complete, writes its file and
 * delivers it. The loop has one owner, `stop` ends it, and a failure is repeated with backoff for as long as it lasts;
 * meanwhile the events stay in the journal.
 *
 * Exactly once: the position and what is being written (`intent`) are one row. A roll goes
 *   1. intent into the row   2. file to the target   3. position forward and intent away, one transaction
 * and a crash anywhere repeats the roll of the intent, the same events under the same name.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { WrittenFile } from "../../kernel/duckdb/parquet.ts";
import type { Journal } from "../../kernel/journal/journal.ts";
import type { Log } from "../../kernel/log.ts";
import { RollLimitError, type RollLines } from "./file-writer.ts";
import { Gathering } from "./gather.ts";
import type { RollMetrics } from "./metrics.ts";
import type { FileIdentity } from "./naming.ts";
import type { ScratchFiles } from "./scratch-files.ts";
import type { RollingPolicy } from "./sink-config.ts";
import type { Delivered, Prepared, Target } from "./target.ts";

/** What is being written. */
export interface Intent {
  readonly from: number;
  readonly to: number;
  /** Ingest time of the first event, milliseconds since the epoch. */
  readonly time: number;
  readonly serial: number;
}

export interface ReaderState {
  /** Events before it are in the sink. */
  readonly position: number;
  /** Files written so far. */
  readonly rolls: number;
  readonly intent: Intent | undefined;
}

export interface ReaderOptions {
  readonly pipeline: string;
  readonly ordinal: number;
  readonly journal: Journal;
  readonly rolling: RollingPolicy;
  readonly target: Target;
  /** A value that SQL makes of an event may be so many times as large; absent: once. */
  readonly growth?: number;
  /** Makes the sink's file of a roll, as `target.prepare` says; undefined when nothing is left of the roll. */
  write(roll: RollLines, prepared: Prepared, signal: AbortSignal): Promise<WrittenFile | undefined>;
  readonly scratch: ScratchFiles;
  readonly state: ReaderState;
  /** Bounds the rolls that are written at a time, over all readers. */
  limit<T>(work: () => Promise<T>): Promise<T>;
  saveIntent(intent: Intent): Promise<void>;
  /** Moves the position to `state.position` and adds the metrics, in one transaction. */
  advance(state: ReaderState, metrics: RollMetrics): Promise<void>;
  /** Called with the reason when a roll fails, with undefined when one succeeds. */
  onHealth(reason: string | undefined): void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Reader {
  readonly position: number;
  /** Ends the loop and waits for it; what is not delivered stays in the journal. */
  stop(): Promise<void>;
  /**
   * For a journal that gets no more events: delivers what it holds without waiting for the policy, then ends the loop.
   * Resolves when the loop has ended, which `stop` may bring about earlier.
   */
  drain(): Promise<void>;
}

/** Payload bytes read from the journal at a time. */
const READ_BYTES = 4 * 1024 * 1024;
/** A roll holds at most this much, whatever the sink's policy: bounds the time and the disk that one roll takes. */
const ROLL_BYTES_MAX = 256 * 1024 * 1024;
/** Events that DuckDB works on at a time, and memory that what SQL makes of them may take: large events come in small rolls. */
const VECTOR_ROWS = 2048;
const VECTOR_BYTES_MAX = 64 * 1024 * 1024;
/** Rolls from this size on tell how many bytes of lines make a byte of the sink's file. */
const LEARN_BYTES_MIN = 1024 * 1024;
/** Pause between two steps of gathering while events trickle in. */
const GATHER_MS = 50;
const BACKOFF_MS = [500, 60_000] as const;

export function startReader(options: ReaderOptions): Reader {
  const { journal, target, rolling, clock, log } = options;
  const stopping = new AbortController();
  const draining = new AbortController();
  const ended = AbortSignal.any([stopping.signal, draining.signal]);
  const { growth = 1 } = options;
  let state = options.state;
  // Bytes of the sink's file for each byte of lines, as learnt; 1 until a file was written.
  let ratio = 1;

  /** Gathers the roll that begins at the offset. Undefined when stopped, and at the end of a journal that is drained. */
  async function gather(from: number): Promise<Gathering | undefined> {
    const roll = new Gathering(from, options.scratch, (time) => target.partitionOf(time));
    try {
      let begun = clock.now();
      let firstSeen = Number.POSITIVE_INFINITY;
      for (;;) {
        // A clock may be set back: nothing waits for a time that was only ahead of it.
        begun = Math.min(begun, clock.now());
        if (stopping.signal.aborted) return await discard(roll);
        const entries = await journal.read(roll.to, READ_BYTES);
        if (entries.length > 0) {
          if (!(await roll.add(entries, isFull))) break;
          // While there is more to read, only the time spent here counts: after an outage old events must not make tiny files.
          if (clock.now() - begun < rolling.intervalMs) continue;
        } else if (draining.signal.aborted) {
          if (roll.empty) return await discard(roll);
          break;
        }
        if (!roll.empty) firstSeen = Math.min(firstSeen, clock.now());
        const due = dueAt(roll, firstSeen);
        if (due !== undefined && due <= clock.now()) break;
        await waitFor(roll.to, due);
      }
      await roll.close();
      return roll;
    } catch (error) {
      await roll.discard();
      throw error;
    }
  }

  function isFull(roll: Gathering): boolean {
    const grown = growth > 1 && (roll.bytes / roll.records) * growth * VECTOR_ROWS > VECTOR_BYTES_MAX;
    const most = grown ? VECTOR_BYTES_MAX / growth : ROLL_BYTES_MAX;
    const { eventBytes = most, fileBytes = Number.POSITIVE_INFINITY, events = Number.POSITIVE_INFINITY } = rolling;
    return roll.bytes >= Math.min(most, eventBytes, fileBytes / ratio) || roll.records >= events;
  }

  /**
   * When the roll is complete though no more comes: milliseconds since the epoch, undefined for an empty one. `firstSeen`:
   * when its first event was gathered, by the clock as it is set now.
   */
  function dueAt(roll: Gathering, firstSeen: number): number | undefined {
    if (roll.empty) return undefined;
    const byAge = Math.min(roll.firstTime, firstSeen) + rolling.intervalMs;
    return rolling.inactivityMs === undefined ? byAge : Math.min(byAge, roll.lastTime + rolling.inactivityMs);
  }

  async function waitFor(offset: number, due: number | undefined): Promise<void> {
    const wake = new AbortController();
    const onStop = (): void => wake.abort();
    // Node's timers end at 2^31 ms.
    const timer = due === undefined ? undefined : setTimeout(onStop, Math.min(Math.max(0, due - clock.now()), 2 ** 31 - 1));
    ended.addEventListener("abort", onStop, { once: true });
    try {
      if (!ended.aborted) await journal.wait(offset, wake.signal);
    } finally {
      clearTimeout(timer);
      ended.removeEventListener("abort", onStop);
    }
    // Many small requests are gathered in one step; a due roll is not held up.
    await pause(due === undefined ? GATHER_MS : Math.min(GATHER_MS, Math.max(0, due - clock.now())), stopping.signal);
  }

  /** Exactly the events of an intent that a crash left behind. */
  async function regather(intent: Intent): Promise<Gathering> {
    const roll = new Gathering(intent.from, options.scratch, () => "");
    try {
      while (roll.to < intent.to) {
        const entries = await journal.read(roll.to, READ_BYTES);
        if (entries.length === 0)
          throw new Error(`the journal ends at ${journal.end}, before the end of the roll that was begun, ${intent.to}`);
        await roll.add(entries, () => false, intent.to);
      }
      await roll.close();
      return roll;
    } catch (error) {
      await roll.discard();
      throw error;
    }
  }

  const discard = async (roll: Gathering): Promise<undefined> => {
    await roll.discard();
    return undefined;
  };

  async function write(roll: Gathering): Promise<WrittenFile | undefined> {
    const prepared = await target.prepare();
    if (roll.files.length === 0) return undefined;
    return options.write({ lines: roll.files, linesBytes: roll.bytes, records: roll.records }, prepared, stopping.signal);
  }

  async function deliver(roll: Gathering, repeated: Intent | undefined): Promise<void> {
    const intent = repeated ?? { from: roll.from, to: roll.to, time: roll.firstTime, serial: state.rolls };
    const identity: FileIdentity = { pipeline: options.pipeline, ordinal: options.ordinal, ...intent };
    let done: Delivered | undefined = repeated && (await target.delivered(identity));
    let written: WrittenFile | undefined;
    if (done === undefined) {
      written = await write(roll);
      if (written !== undefined) {
        // Small files are mostly their own bookkeeping.
        if (roll.bytes >= LEARN_BYTES_MIN) ratio = Math.max(written.bytes / roll.bytes, 1e-3);
        // From here on this range belongs to this file, whatever happens.
        if (repeated === undefined) await options.saveIntent(intent);
        state = { ...state, intent };
        await target.deliver(written, identity);
        done = { rows: written.rows, bytes: written.bytes };
      }
    }
    const next: ReaderState = { position: intent.to, rolls: state.rolls + (done === undefined ? 0 : 1), intent: undefined };
    // The events are done with: this is what makes it known.
    await options.advance(next, {
      records: roll.records,
      bytes: roll.sentBytes,
      dropped: roll.dropped.list(),
      written: done && { ...done, rowGroups: written?.rowGroups ?? 0, uncompressedBytes: written?.uncompressedBytes ?? done.bytes },
    });
    state = next;
  }

  const failures: { gather?: string | undefined; deliver?: string | undefined } = {};

  /** Repeats the work until it succeeds; undefined when stopped before. */
  async function insist<T>(what: keyof typeof failures, work: () => Promise<T>): Promise<T | undefined> {
    const tell = (reason: string | undefined): void => {
      failures[what] = reason;
      options.onHealth(failures.deliver ?? failures.gather);
    };
    for (let wait = BACKOFF_MS[0] as number; !stopping.signal.aborted; wait = Math.min(2 * wait, BACKOFF_MS[1])) {
      try {
        const result = await work();
        tell(undefined);
        return result;
      } catch (error) {
        if (stopping.signal.aborted) return undefined;
        const reason = error instanceof Error ? error.message : String(error);
        tell(reason);
        const retryMs = Math.max(wait, error instanceof RollLimitError ? error.retryAfterMs : 0);
        log.warn("reader.failed", { what, reason, retry_ms: retryMs, error });
        await pause(retryMs, stopping.signal);
      }
    }
    return undefined;
  }

  /** While one roll is being written, the next one is gathered. */
  async function run(): Promise<void> {
    const { intent } = state;
    let next = insist("gather", () => (intent === undefined ? gather(state.position) : regather(intent)));
    for (;;) {
      const roll = await next;
      if (roll === undefined) return;
      next = insist("gather", () => gather(roll.to));
      try {
        // An intent that this loop has saved in an earlier attempt is the roll's own.
        await insist("deliver", () => options.limit(() => deliver(roll, state.intent)));
      } finally {
        await roll.discard();
      }
      if (stopping.signal.aborted) {
        await (await next)?.discard();
        return;
      }
    }
  }

  const loop = run().catch((error: unknown) => log.error("reader.ended", { error }));
  return {
    get position() {
      return state.position;
    },
    async stop() {
      stopping.abort();
      await loop;
    },
    async drain() {
      draining.abort();
      await loop;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
