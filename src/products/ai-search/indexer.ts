/**
 * The background work of AI Search, which this owns: jobs that look through sources, and items that wait to be indexed. An
 * instance's work is done by one worker in order; so many instances are worked on at a time. What a crash interrupts is done
 * again at the next start: a job is a row until it has ended, and an item waits until its chunks are in.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../kernel/clock.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Instance, Instances } from "./instances.ts";
import type { Job, JobLine, Jobs } from "./jobs.ts";
import type { Content, Source } from "./source.ts";
import type { Engine } from "./store/engine.ts";
import type { Indexed, Item } from "./store/protocol.ts";
import { syncInterval } from "./views.ts";

export interface IndexerParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly instances: Instances;
  readonly jobs: Jobs;
  readonly engine: Engine;
  /** Instances that are worked on at a time. */
  readonly atOnce: number;
  /** Seconds between jobs of instances that set no other. */
  readonly syncSeconds: number;
  /** Files of one instance. */
  readonly itemsMax: number;
  sourceOf(instance: Instance): Source;
  /** Rejects when the instance's service token opens nothing (any more). */
  authorize(instance: Instance): Promise<void>;
  /** What is to be stored of a file: rejects with the reason when there is nothing. */
  prepare(
    instance: Instance,
    content: Content,
    signal: AbortSignal,
  ): Promise<Pick<Indexed, "chunks" | "vectors" | "dimensions" | "metadata">>;
}

export interface Indexer {
  /** There is work for the instance. */
  kick(uid: string): void;
  /** Resolves when the item has been worked on, or after that time. */
  settled(uid: string, item: string, timeoutMs: number): Promise<void>;
  /** Ends what is under way for the instance; its job is not ended. */
  interrupt(uid: string): void;
  stop(): Promise<void>;
}

/** A model or a site that is down is not asked for each of a million files. */
const FAILURES_MAX = 5;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 300_000;
const TICK_MS = 30_000;
const SWEEP = 500;

interface Worker {
  again: boolean;
  readonly done: Promise<void>;
  ending: AbortController;
}

/** The work cannot go on, and why. */
class Halt extends Error {}

export function startIndexer(parts: IndexerParts): Indexer {
  const { clock, log, instances, jobs, engine, atOnce, syncSeconds, itemsMax, sourceOf, authorize, prepare } = parts;
  const workers = new Map<string, Worker>();
  const waiters = new Map<string, Set<() => void>>();
  const turns: (() => void)[] = [];
  let running = 0;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function turn(): Promise<void> {
    if (running < atOnce) return void running++;
    await new Promise<void>((resolve) => turns.push(resolve));
  }

  function leave(): void {
    const next = turns.shift();
    if (next === undefined) running--;
    else next();
  }

  function kick(uid: string): void {
    if (stopped) return;
    const worker = workers.get(uid);
    if (worker !== undefined) {
      worker.again = true;
      return;
    }
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const fresh: Worker = { again: true, done, ending: new AbortController() };
    workers.set(uid, fresh);
    void serve(uid, fresh).finally(() => {
      workers.delete(uid);
      resolve();
    });
  }

  /** Works until there is nothing left. What fails is tried again later and later, as long as there is work. */
  async function serve(uid: string, worker: Worker): Promise<void> {
    for (let failures = 0; worker.again && !stopped && instances.byUid(uid) !== undefined; ) {
      worker.again = false;
      await turn();
      try {
        worker.ending = new AbortController();
        await work(uid, worker);
        failures = 0;
      } catch (error) {
        if (stopped || instances.byUid(uid) === undefined) return;
        if (worker.ending.signal.aborted) continue;
        const pause = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** failures++);
        log.warn("ai_search.indexing_failed", { instance: instances.byUid(uid)?.id, retry_ms: pause, error });
        worker.again = true;
        leave();
        await delay(pause, undefined, { signal: worker.ending.signal }).catch(() => undefined);
        await turn();
      } finally {
        leave();
      }
    }
  }

  async function work(uid: string, worker: Worker): Promise<void> {
    const { signal } = worker.ending;
    await engine.call("requeue", { uid });
    for (let job = await jobs.unfinished(uid); job !== undefined; job = await jobs.unfinished(uid)) {
      const instance = instances.byUid(uid);
      if (instance === undefined || instance.config.paused === true) return;
      await carryOut(instance, job, signal);
    }
    const instance = instances.byUid(uid);
    if (instance === undefined || instance.config.paused === true) return;
    if (instance.config.type !== null && !(await authorized(instance))) return;
    await drain(instance, sourceOf(instance), undefined, signal);
  }

  /** Without a job there is nowhere to say why not: what waits goes on waiting. */
  async function authorized(instance: Instance): Promise<boolean> {
    try {
      await authorize(instance);
      return true;
    } catch (error) {
      if (error instanceof PlatformError) return false;
      throw error;
    }
  }

  async function carryOut(instance: Instance, job: Job, signal: AbortSignal): Promise<void> {
    await jobs.start(job);
    let reason = "completed";
    try {
      await authorize(instance);
      await synchronize(instance, job, signal);
    } catch (error) {
      // Half done because of a stop: the job goes on at the next start.
      if (signal.aborted) throw error;
      if (!(error instanceof Halt || error instanceof PlatformError)) throw error;
      reason = error.message;
      await jobs.note(job, [{ message: error.message, error: true }]);
    }
    await jobs.end(job.id, reason);
  }

  /** Brings the items to what the source has now. */
  async function synchronize(instance: Instance, job: Job, signal: AbortSignal): Promise<void> {
    const { uid } = instance;
    const source = sourceOf(instance);
    const notes: JobLine[] = [{ message: `Scanning ${source.name}` }];
    const flush = (): Promise<void> => jobs.note(job, notes.splice(0));
    let seen = 0;
    let due = 0;
    await engine.call("retry", { uid });
    for await (const page of source.list(signal, (message) => notes.push({ message }))) {
      signal.throwIfAborted();
      const found = page.slice(0, Math.max(0, itemsMax - seen));
      seen += page.length;
      for (const { key, refused } of found)
        if (refused !== undefined) notes.push({ message: `${key}: ${refused.reason}`, error: refused.status === "error" });
      due += (await engine.call("scan", { uid, source: source.name, run: job.id, now: clock.now(), found })).due;
      await flush();
    }
    if (seen > itemsMax) notes.push({ message: `The limit of ${itemsMax} files is reached: ${seen - itemsMax} are left out`, error: true });
    if (instance.config.type !== null) {
      // Only now is known what is there no more.
      for (;;) {
        const gone = await engine.call("sweep", { uid, source: source.name, run: job.id, limit: SWEEP });
        for (const key of gone) notes.push({ message: `${key}: Removed` });
        await flush();
        if (gone.length < SWEEP) break;
      }
      notes.push({ message: `Found ${seen} items, ${due} of them new or changed` });
      await flush();
    }
    const { done, failed } = await drain(instance, source, job, signal);
    await jobs.note(job, [{ message: `Indexed ${done} items, ${failed} failed` }]);
  }

  /** Indexes what waits. With a job, `Halt` when one item after the other fails. */
  async function drain(
    instance: Instance,
    source: Source,
    job: Job | undefined,
    signal: AbortSignal,
  ): Promise<{ done: number; failed: number }> {
    let done = 0;
    let failed = 0;
    let inARow = 0;
    for (;;) {
      signal.throwIfAborted();
      const items = await engine.call("take", { uid: instance.uid, limit: source.atOnce });
      if (items.length === 0) return { done, failed };
      const reasons = await Promise.all(items.map((item) => indexItem(instance, source, item, signal)));
      const lines: JobLine[] = [];
      for (const [at, reason] of reasons.entries()) {
        if (reason === undefined) done++;
        else {
          failed++;
          lines.push({ message: `${items[at]?.key}: ${reason.text}`, error: true });
        }
        inARow = reason?.outside === true ? inARow + 1 : 0;
      }
      if (job !== undefined) {
        await jobs.note(job, lines);
        if (inARow >= FAILURES_MAX) throw new Halt(`Stopped after ${inARow} failures in a row: ${reasons.at(-1)?.text}`);
      }
    }
  }

  /** Resolves with what went wrong; `outside`: not with the file itself. */
  async function indexItem(
    instance: Instance,
    source: Source,
    item: Item,
    signal: AbortSignal,
  ): Promise<{ text: string; outside: boolean } | undefined> {
    const { uid } = instance;
    const startedAt = clock.now();
    const fail = (status: "error" | "queued", reason: string) =>
      engine.call("fail", { uid, now: clock.now(), item: item.id, status, reason, etag: null });
    try {
      const content = await source.read(item, signal);
      if (content === undefined) {
        await engine.call("remove", { uid, item: item.id });
        return undefined;
      }
      if (content.etag === item.indexed) {
        await engine.call("unchanged", { uid, now: clock.now(), item: item.id, modified: content.modified });
        return undefined;
      }
      const prepared = await prepare(instance, content, signal);
      const file = content.keep === true ? { file: { type: content.type ?? "text/html", bytes: content.bytes } } : {};
      const { etag, modified, bytes } = content;
      const indexed: Indexed = {
        item: item.id,
        etag,
        modified,
        size: bytes.byteLength,
        ...prepared,
        ...file,
        tookMs: clock.now() - startedAt,
      };
      await engine.call("index", { uid, now: clock.now(), indexed });
      return undefined;
    } catch (error) {
      if (signal.aborted) {
        await fail("queued", "");
        throw error;
      }
      const text = error instanceof Error ? error.message : String(error);
      if (error instanceof PlatformError && error.code === "platform.storageFull") throw error;
      await fail("error", text);
      return { text, outside: error instanceof PlatformError };
    } finally {
      const key = `${uid}/${item.id}`;
      for (const resolve of waiters.get(key) ?? []) resolve();
      waiters.delete(key);
    }
  }

  async function tick(): Promise<void> {
    const now = clock.now();
    for (const instance of instances.list()) {
      if (instance.config.paused === true || now - instance.syncedAt < syncInterval(instance, syncSeconds) * 1000) continue;
      // A job that still runs is not followed by another one.
      if (workers.has(instance.uid) || (await jobs.unfinished(instance.uid)) !== undefined) continue;
      await jobs.schedule(instance, "Scheduled sync");
      kick(instance.uid);
    }
  }

  function tickLater(): void {
    if (stopped) return;
    timer = setTimeout(
      () =>
        void tick()
          .catch((error: unknown) => log.warn("ai_search.schedule_failed", { error }))
          .finally(tickLater),
      Math.min(TICK_MS, syncSeconds * 1000),
    ).unref();
  }

  for (const instance of instances.list()) kick(instance.uid);
  tickLater();

  return {
    kick,
    settled(uid, item, timeoutMs) {
      const key = `${uid}/${item}`;
      return new Promise((resolve) => {
        const finish = (): void => {
          clearTimeout(late);
          waiters.get(key)?.delete(finish);
          resolve();
        };
        const late = setTimeout(finish, timeoutMs);
        waiters.set(key, (waiters.get(key) ?? new Set()).add(finish));
      });
    },
    interrupt(uid) {
      const worker = workers.get(uid);
      if (worker === undefined) return;
      worker.again = true;
      worker.ending.abort();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      for (const { ending } of workers.values()) ending.abort();
      for (const resolve of turns.splice(0)) resolve();
      for (const waiting of waiters.values()) for (const resolve of waiting) resolve();
      await Promise.all([...workers.values()].map(({ done }) => done));
    },
  };
}
