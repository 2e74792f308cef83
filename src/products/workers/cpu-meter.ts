/**
 * CPU time of Workers' processes. Stock workerd gives 0 for each invocation, so it is taken from the operating system: what
 * the process's main thread, on which all user code runs, has used since it was last asked. Who asks shares it among the
 * invocations that ended in between. Linux only; elsewhere every answer is 0.
 */
import { mainThreadCpuMs } from "../../kernel/workerd/process-usage.ts";
import type { Runtime } from "../../kernel/workerd/runtime.ts";

/** Processes that are remembered; those that are gone go first. */
const PROCESSES_MAX = 2_000;

/** One process: how far each asker has read. */
interface Read {
  readonly pid: number;
  readonly first: number;
  readonly last: Map<string, number>;
}

export class CpuMeter {
  readonly #runtime: Pick<Runtime, "list">;
  readonly #reads = new Map<string, Read>();

  constructor(runtime: Pick<Runtime, "list">) {
    this.#runtime = runtime;
  }

  /** Begins to count for a process: what it used before was for its start. Without it the first `since` does. */
  begin(processId: string): void {
    this.#read(processId);
  }

  /** Milliseconds since the same asker's last call for this process. */
  since(processId: string, asker: string): number {
    const read = this.#read(processId);
    if (read === undefined) return 0;
    const used = read.ms - (read.last.get(asker) ?? read.first);
    read.last.set(asker, read.ms);
    return used;
  }

  #read(processId: string): (Read & { readonly ms: number }) | undefined {
    const pid = this.#runtime.list().find(({ id }) => id === processId)?.pid;
    const ms = pid === undefined ? undefined : mainThreadCpuMs(pid);
    if (pid === undefined || ms === undefined) return undefined;
    let read = this.#reads.get(processId);
    if (read?.pid !== pid) read = { pid, first: ms, last: new Map() };
    this.#reads.delete(processId);
    this.#reads.set(processId, read);
    for (const id of this.#reads.keys()) {
      if (this.#reads.size <= PROCESSES_MAX) break;
      this.#reads.delete(id);
    }
    return { ...read, ms };
  }
}
