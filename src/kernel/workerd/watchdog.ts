/**
 * Keeps one workerd process within CPU time and memory, which open workerd does not limit itself. It looks from outside:
 * the kernel says how much the process's one JavaScript thread has run, and the supervisor which work is in flight.
 *
 * Three observations convict. Each is certain: some work in the process has passed its limit.
 * - The thread has run for the limit without a sign of life: no answer, and none to a ping that it would give between any
 *   two turns of its event loop. Some invocation is in a loop.
 * - A piece of work was alone in the process while the thread ran for the limit: whatever ran was its own, however many
 *   turns it took.
 * - The same several pieces of work were in it while the thread ran for all their limits together.
 */
import { connect } from "node:net";
import { anonymousBytes, mainThreadCpuMs } from "./process-usage.ts";
import type { Exceeded } from "./runtime.ts";

/** One piece of work in the process. */
export interface Work {
  /** CPU time that it may use, in milliseconds. */
  cpuMs: number;
  /** CPU time that certainly was its own. */
  chargedMs: number;
  /** The thread's CPU time when it began: what it has run since is the most that can be its own. */
  readonly sinceMs: number;
  /** It stands for many invocations, one after another (a WebSocket, an RPC connection), and is not charged as one. */
  openEnded: boolean;
}

export interface WatchdogOptions {
  readonly pid: number;
  /** CPU time of one piece of work, in milliseconds. */
  readonly cpuMs: number;
  /** Anonymous memory of the process past which it is ended, in bytes. */
  readonly memoryMaxBytes: number;
  /**
   * For a process whose memory may well be that of idle objects: called once when it is past most of its limit, so that
   * another can take its place in good order.
   */
  readonly onFilling?: (() => void) | undefined;
  /** Path of a unix socket on which the process answers HTTP between two turns of its event loop. */
  readonly alivePath: string;
  /** What is in flight now. */
  work(): ReadonlySet<Work>;
  /** The process must end. Called once. */
  onExceeded(what: Exceeded): void;
}

/** How often it looks: four times in the CPU time that is allowed, within these bounds. */
const TICK_MIN_MS = 25;
const TICK_MAX_MS = 100;
/** A thread that runs less than this part of the time is not in a loop, even where it shares its core with many. */
const BUSY = 0.05;
/** Looks in a row at a process without work or use of the CPU after which looks become rare: timers and alarms need none. */
const QUIET_LOOKS = 4;
const TICK_QUIET_MS = 1_000;
/** The part of the memory limit past which a process is filling. */
const FILLING = 0.8;
/** What fills a younger process than this is at work: another one would be filled by it, too. */
const FILLING_AGE_MS = 3_000;

export class Watchdog {
  #options: WatchdogOptions;
  #timer: NodeJS.Timeout | undefined;
  /** Between two looks; rare while the process is quiet. */
  #tickMs = 0;
  #cpu = 0;
  #lookedAt = 0;
  #nowAt = 0;
  #nowCpu = 0;
  #quiet = 0;
  #over = false;
  /** Grows with each beginning and end of work: the same at two looks means the same work between them. */
  #changes = 0;
  #changesSeen = -1;
  /** What the thread has run since the work in flight last changed. */
  #togetherMs = 0;
  #alive = true;
  #filling = false;
  readonly #startedAt = performance.now();
  /** The thread's CPU time at the ping that is not answered yet. */
  #pingedAtMs: number | undefined;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#cpu = mainThreadCpuMs(options.pid) ?? 0;
    this.#pace(this.#tickBusyMs());
  }

  /** Work begins. */
  begin(): Work {
    this.#changes++;
    this.#quiet = 0;
    if (this.#tickMs === TICK_QUIET_MS) this.#pace(this.#tickBusyMs());
    return { cpuMs: this.#options.cpuMs, chargedMs: 0, sinceMs: this.#now(), openEnded: false };
  }

  end(): void {
    this.#changes++;
  }

  /** The process has answered something: its thread is not stuck. */
  alive(): void {
    this.#alive = true;
  }

  /** Whether the work may have used up its time. */
  mayHaveExceeded(work: Work): boolean {
    return this.#cpu - work.sinceMs >= work.cpuMs;
  }

  stop(): void {
    this.#over = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The thread's CPU time, at most a tick old: looking it up for each request would cost too much. */
  #now(): number {
    const now = performance.now();
    if (now - this.#nowAt > TICK_MIN_MS) {
      this.#nowAt = now;
      this.#nowCpu = mainThreadCpuMs(this.#options.pid) ?? this.#nowCpu;
    }
    return this.#nowCpu;
  }

  #tickBusyMs(): number {
    return Math.min(TICK_MAX_MS, Math.max(TICK_MIN_MS, this.#options.cpuMs / 4));
  }

  #pace(ms: number): void {
    if (this.#over) return;
    clearInterval(this.#timer);
    this.#tickMs = ms;
    this.#lookedAt = performance.now();
    this.#cpu = mainThreadCpuMs(this.#options.pid) ?? this.#cpu;
    this.#timer = setInterval(() => this.#look(), ms);
    this.#timer.unref();
  }

  #look(): void {
    const { pid, memoryMaxBytes, work } = this.#options;
    const cpu = mainThreadCpuMs(pid);
    // Gone; its end is told by others.
    if (cpu === undefined) {
      this.stop();
      return;
    }
    const now = performance.now();
    const ran = cpu - this.#cpu;
    const busy = ran >= (now - this.#lookedAt) * BUSY;
    this.#cpu = cpu;
    this.#lookedAt = now;
    const memory = anonymousBytes(pid) ?? 0;
    if (memory > memoryMaxBytes) this.#exceeded("exceededMemory");
    else if (memory > memoryMaxBytes * FILLING && now - this.#startedAt > FILLING_AGE_MS) this.#fills();
    const current = work();
    this.#quiet = current.size > 0 || busy ? 0 : this.#quiet + 1;
    if (this.#quiet === QUIET_LOOKS) this.#pace(TICK_QUIET_MS);
    if (busy && this.#tickMs === TICK_QUIET_MS) this.#pace(this.#tickBusyMs());
    if (this.#changes === this.#changesSeen) this.#charge(current, ran);
    else this.#togetherMs = 0;
    this.#changesSeen = this.#changes;
    // What the process has sent by now is read before it is judged: we may have been busy ourselves.
    setImmediate(() => this.#judge(cpu, busy));
  }

  /** What ran since the last look was this work's, which was in the process all the time, and no other. */
  #charge(works: ReadonlySet<Work>, ran: number): void {
    let allowed = 0;
    for (const work of works) {
      if (work.openEnded) return;
      if (works.size === 1) work.chargedMs += ran;
      if (work.chargedMs >= work.cpuMs) this.#exceeded("exceededCpu");
      allowed += work.cpuMs;
    }
    this.#togetherMs += ran;
    if (works.size > 1 && this.#togetherMs >= allowed) this.#exceeded("exceededCpu");
  }

  #judge(cpu: number, busy: boolean): void {
    if (this.#over) return;
    // Who answers need not be asked.
    if (this.#alive) {
      this.#alive = false;
      this.#pingedAtMs = undefined;
      return;
    }
    if (this.#pingedAtMs === undefined) {
      if (busy) this.#ping(cpu);
      return;
    }
    // Work with a limit of its own may be what runs.
    const limit = Math.max(this.#options.cpuMs, ...[...this.#options.work()].map(({ cpuMs }) => cpuMs));
    if (cpu - this.#pingedAtMs >= limit) this.#exceeded("exceededCpu");
  }

  #ping(cpu: number): void {
    this.#pingedAtMs = cpu;
    const socket = connect({ path: this.#options.alivePath });
    socket.once("data", () => {
      this.#alive = true;
      socket.destroy();
    });
    // A process that ends is told by its end.
    socket.on("error", () => socket.destroy());
    socket.write("GET /alive HTTP/1.1\r\nHost: freehold\r\nConnection: close\r\n\r\n");
  }

  #fills(): void {
    if (this.#filling) return;
    this.#filling = true;
    this.#options.onFilling?.();
  }

  #exceeded(what: Exceeded): void {
    if (this.#over) return;
    this.stop();
    this.#options.onExceeded(what);
  }
}
