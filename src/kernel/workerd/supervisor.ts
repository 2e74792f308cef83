/**
 * The `Runtime` on this machine. Each id has at most one current process and any number of retired ones that finish
 * their work. A process that nobody uses is stopped after the idle time; one that dies is started again on the next
 * use, after a backoff that doubles with each death in a row; one that passes a limit is killed (`watchdog.ts`).
 */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { Meter } from "./meter.ts";
import { startFailed, startWorkerd, type WorkerdProcess } from "./process.ts";
import type { Exceeded, Lease, ProcessInfo, ProcessSpec, Runtime } from "./runtime.ts";
import { Watchdog, type Work } from "./watchdog.ts";

export interface SupervisorOptions {
  readonly runDirectory: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly idleTimeoutMs: number;
  readonly startTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** V8's heap. */
  readonly memoryMb: number;
  /** Everything beside it: buffers, WebAssembly, and what allocators keep. */
  readonly memoryOutsideMb: number;
  readonly processesMax: number;
}

interface Running {
  readonly spec: ProcessSpec;
  readonly directory: string;
  readonly process: WorkerdProcess;
  readonly startedAt: number;
  readonly retired: AbortController;
  leases: number;
  stopping: boolean;
  /** Work in flight, of a process with limits. */
  readonly work: Set<Work>;
  readonly watchdog: Watchdog | undefined;
  readonly meter: Meter | undefined;
  exceeded?: Exceeded;
  idleTimer?: NodeJS.Timeout;
  /** Called when the last lease of a retired process is released. */
  drained?: () => void;
}

interface Entry {
  spec: ProcessSpec;
  current?: Running;
  starting?: Promise<Running>;
  deathsInRow: number;
  restarts: number;
  notBefore: number;
}

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** A process that lived this long has recovered: its next death starts the backoff anew. */
const STABLE_MS = 30_000;
/** A process that owns objects holds the databases of all that are awake, which no one of them is to blame for. */
const OBJECTS_FACTOR = 4;
/** How long a process that broke off its work may take to die before it counts as alive. */
const DEATH_MS = 1_000;
/** V8's last words when its heap is full. */
const OUT_OF_MEMORY = /^workerd\/jsg\/setup.*V8 fatal error.*out of memory|std::bad_alloc/i;
/** Longest time that setTimeout takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export function createSupervisor(options: SupervisorOptions): Runtime {
  const { log, clock } = options;
  const entries = new Map<string, Entry>();
  const running = new Set<Running>();
  /** For each exclusive group, the end of the process that holds it. */
  const groups = new Map<string, Promise<unknown>>();
  let stopped = false;

  function directoryOf(id: string): string {
    // A hash keeps the path short; the random part lets a successor start beside a process that is still draining.
    return join(options.runDirectory, `${createHash("sha256").update(id).digest("hex").slice(0, 10)}-${randomBytes(3).toString("hex")}`);
  }

  async function start(spec: ProcessSpec): Promise<Running> {
    if (running.size >= options.processesMax) await makeRoom();
    const directory = directoryOf(spec.id);
    const socket = (name: string): string => join(directory, `${name}.sock`);
    const { config, environment } = await spec.plan(socket);
    let item: Running | undefined;
    const exceeded = (what: Exceeded): void => {
      if (item === undefined || item.exceeded !== undefined) return;
      item.exceeded = what;
      // Nothing more for it; what comes now gets the next process.
      const entry = entries.get(spec.id);
      if (entry?.current === item) delete entry.current;
      item.process.kill();
    };
    const meterFailed = (error: unknown): void => {
      // What a process had counted that dies is gone with it.
      if (item !== undefined && running.has(item)) log.warn("worker.meter_failed", { worker: spec.label, process: spec.id, error });
    };
    const process = await startWorkerd({
      directory,
      config: { ...config, v8Flags: [...(config.v8Flags ?? []), `--max-old-space-size=${options.memoryMb}`] },
      environment,
      startTimeoutMs: options.startTimeoutMs,
      ...(spec.limits?.startCpuMs !== undefined && { startCpuMs: spec.limits.startCpuMs }),
      output: (stream, line) => {
        // It is dying, but would first print where.
        if (stream === "stderr" && OUT_OF_MEMORY.test(line)) exceeded("exceededMemory");
        spec.output?.(stream, line);
      },
    });
    const work = new Set<Work>();
    const { limits, meter } = spec;
    item = {
      spec,
      directory,
      process,
      startedAt: clock.now(),
      retired: new AbortController(),
      leases: 0,
      stopping: false,
      work,
      watchdog:
        limits &&
        new Watchdog({
          pid: process.pid,
          cpuMs: limits.cpuMs,
          memoryMaxBytes: (options.memoryMb + options.memoryOutsideMb * (spec.exclusive === undefined ? 1 : OBJECTS_FACTOR)) * 1024 * 1024,
          alivePath: socket(limits.aliveSocket),
          work: () => work,
          onExceeded: exceeded,
          ...(spec.exclusive !== undefined && { onFilling: () => item !== undefined && replace(item) }),
        }),
      meter: meter && new Meter(meter.everyMs, () => meter.run(socket), meterFailed),
    };
    running.add(item);
    log.info("worker.started", { worker: spec.label, process: spec.id, pid: process.pid });
    const started = item;
    void process.exited.then((why) => ended(started, why));
    return started;
  }

  /** The next lease gets another process, which waits for this one's end where it must. */
  function replace(item: Running): void {
    if (item.stopping) return;
    const entry = entries.get(item.spec.id);
    if (entry?.current === item) delete entry.current;
    log.info("worker.replaced", { worker: item.spec.label, process: item.spec.id, pid: item.process.pid });
    retireInBackground(item);
  }

  function ended(item: Running, why: string): void {
    running.delete(item);
    clearTimeout(item.idleTimer);
    item.watchdog?.stop();
    item.meter?.stop();
    item.retired.abort();
    item.drained?.();
    const entry = entries.get(item.spec.id);
    if (entry?.current === item) delete entry.current;
    if (item.stopping) {
      log.info("worker.stopped", { worker: item.spec.label, process: item.spec.id, pid: item.process.pid });
      return;
    }
    log.warn("worker.died", { worker: item.spec.label, process: item.spec.id, pid: item.process.pid, why: item.exceeded ?? why });
    if (entry?.spec !== item.spec) return;
    // One request did it, and took its time: the others need not wait for the next process.
    if (item.exceeded !== undefined) entry.restarts++;
    else failed(entry, clock.now() - item.startedAt >= STABLE_MS);
  }

  function failed(entry: Entry, wasStable: boolean): void {
    entry.deathsInRow = wasStable ? 1 : entry.deathsInRow + 1;
    entry.restarts++;
    entry.notBefore = clock.now() + Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (entry.deathsInRow - 1));
  }

  /** Stops the process that has been idle longest; throws when all are at work. */
  async function makeRoom(): Promise<void> {
    const idle = [...running].filter((item) => item.leases === 0 && !item.stopping).sort((a, b) => a.startedAt - b.startedAt)[0];
    if (idle === undefined) throw startFailed(`All ${options.processesMax} Worker processes are at work (setting "runtime.processes_max")`);
    await stop(idle);
  }

  async function stop(item: Running): Promise<void> {
    item.stopping = true;
    const entry = entries.get(item.spec.id);
    if (entry?.current === item) delete entry.current;
    item.retired.abort();
    await end(item);
  }

  async function end({ meter, process }: Running): Promise<void> {
    await meter?.read();
    await process.stop();
  }

  /** No new work for this process; it ends when its work has, or when the drain time is over. */
  async function retire(item: Running): Promise<void> {
    item.stopping = true;
    clearTimeout(item.idleTimer);
    item.retired.abort();
    if (item.leases > 0) {
      const { wrapUp } = item.spec;
      const wrapUpTimer = wrapUp && setTimeout(() => void runWrapUp(item, wrapUp), wrapUp.afterMs);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, options.drainTimeoutMs);
        item.drained = () => {
          clearTimeout(timer);
          clearTimeout(wrapUpTimer);
          resolve();
        };
      });
    }
    await end(item);
  }

  async function runWrapUp(item: Running, wrapUp: NonNullable<ProcessSpec["wrapUp"]>): Promise<void> {
    try {
      await wrapUp.run((name) => join(item.directory, `${name}.sock`));
    } catch (error) {
      // A process that does not listen is ended a little later all the same.
      log.warn("worker.wrap_up_failed", { worker: item.spec.label, process: item.spec.id, error });
    }
  }

  function watchIdle(item: Running, delayMs: number): void {
    clearTimeout(item.idleTimer);
    item.idleTimer = setTimeout(
      () => void idle(item).catch((error) => log.error("worker.idle_check_failed", { error })),
      Math.min(delayMs, TIMER_MAX_MS),
    );
    item.idleTimer.unref();
  }

  async function idle(item: Running): Promise<void> {
    if (item.leases > 0 || item.stopping) return;
    const busyUntil = await item.spec.busyUntil?.();
    if (item.leases > 0 || item.stopping) return;
    if (busyUntil !== undefined && busyUntil <= clock.now() + options.idleTimeoutMs) return watchIdle(item, options.idleTimeoutMs);
    await stop(item);
  }

  /** The one process of the entry, started if needed. Calls at the same time share the start. */
  function current(entry: Entry): Promise<Running> {
    if (entry.current !== undefined) return Promise.resolve(entry.current);
    entry.starting ??= startEntry(entry).finally(() => {
      delete entry.starting;
    });
    return entry.starting;
  }

  async function startEntry(entry: Entry): Promise<Running> {
    const { spec } = entry;
    const wait = entry.notBefore - clock.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const turns = (spec.exclusive ?? []).map(joinGroup);
    const over = (): void => {
      for (const turn of turns) turn.over();
    };
    await Promise.all(turns.map((turn) => turn.ready));
    try {
      const item = await start(spec);
      void item.process.exited.then(over);
      // A newer spec may have come while this process started: then it serves whoever waited for it, and goes.
      if (entries.get(spec.id)?.spec === spec) entry.current = item;
      else retireInBackground(item);
      return item;
    } catch (error) {
      over();
      failed(entry, false);
      throw error;
    }
  }

  /**
   * Queues up for an exclusive group at once, so that a process which is still starting counts too. Who queues for several
   * does so in one step: no two can wait for each other.
   */
  function joinGroup(name: string): { ready: Promise<unknown>; over(): void } {
    const before = groups.get(name) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const mine = before.then(() => promise);
    groups.set(name, mine);
    void mine.then(() => groups.get(name) === mine && groups.delete(name));
    return { ready: before, over: resolve };
  }

  function retireInBackground(item: Running): void {
    retire(item).catch((error) => log.error("worker.retire_failed", { worker: item.spec.label, error }));
  }

  /** Resolves when the process is dead, or seems to live on. */
  async function death({ process }: Running): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const alive = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DEATH_MS);
    });
    await Promise.race([process.exited, alive]);
    clearTimeout(timer);
  }

  function leaseOf(item: Running): Lease {
    item.leases++;
    clearTimeout(item.idleTimer);
    const { watchdog } = item;
    const work = watchdog?.begin();
    if (work !== undefined) item.work.add(work);
    let released = false;
    return {
      socket: (name) => join(item.directory, `${name}.sock`),
      retired: item.retired.signal,
      alive: () => watchdog?.alive(),
      allowCpuMs(ms) {
        if (work !== undefined) work.cpuMs = ms;
      },
      openEnded() {
        if (work !== undefined) work.openEnded = true;
      },
      condemned: () => item.exceeded !== undefined,
      async fate() {
        await death(item);
        if (item.exceeded === "exceededCpu" && work !== undefined && watchdog?.mayHaveExceeded(work) === false) return "innocent";
        return item.exceeded ?? "lost";
      },
      release() {
        if (released) return;
        released = true;
        if (work !== undefined) item.work.delete(work);
        watchdog?.end();
        if (--item.leases > 0) return;
        if (item.stopping) item.drained?.();
        else watchIdle(item, options.idleTimeoutMs);
      },
    };
  }

  return {
    define(spec) {
      const entry = entries.get(spec.id);
      if (entry === undefined) {
        entries.set(spec.id, { spec, deathsInRow: 0, restarts: 0, notBefore: 0 });
        return;
      }
      const old = entry.current;
      entries.set(spec.id, { spec, deathsInRow: 0, restarts: entry.restarts, notBefore: 0 });
      if (old !== undefined) retireInBackground(old);
    },
    async lease(id) {
      const entry = entries.get(id);
      if (stopped || entry === undefined) throw startFailed(`No Worker process is defined as ${id}`);
      const ready = entry.current;
      if (ready !== undefined && !ready.stopping) return leaseOf(ready);
      const item = await current(entry);
      return leaseOf(item);
    },
    async remove(id) {
      const entry = entries.get(id);
      if (entry === undefined) return;
      entries.delete(id);
      const starting = await entry.starting?.catch(() => undefined);
      const item = entry.current ?? starting;
      if (item !== undefined) await retire(item);
    },
    async alone(names, work) {
      const turns = names.map(joinGroup);
      try {
        await Promise.all(turns.map((turn) => turn.ready));
        return await work();
      } finally {
        for (const turn of turns) turn.over();
      }
    },
    async probe(spec) {
      const item = await start({ ...spec, id: `probe-${spec.id}` });
      await stop(item);
    },
    async readMeters() {
      await Promise.all([...running].map(({ meter }) => meter?.read()));
    },
    list: (): ProcessInfo[] =>
      [...running].map((item) => ({
        id: item.spec.id,
        label: item.spec.label,
        pid: item.process.pid,
        startedAt: item.startedAt,
        leases: item.leases,
        restarts: entries.get(item.spec.id)?.restarts ?? 0,
      })),
    async stop() {
      stopped = true;
      await Promise.allSettled([...entries.values()].map((entry) => entry.starting));
      await Promise.allSettled([...running].map(stop));
    },
  };
}
