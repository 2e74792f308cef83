/** The threads that hold the indexes, from the main thread's side. An index always lies with the same thread, which answers in order. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { openFileThreads, threadProgram } from "../../kernel/file-threads.ts";
import type { Log } from "../../kernel/log.ts";
import type { EngineIndex, IndexRequests, Kind, Requests, ThreadData } from "./engine-protocol.ts";
import { vectorizeError } from "./errors.ts";

export interface Engine {
  /** Throws `vectorize.tooManyRequests` when too many wait already. */
  call<K extends Kind>(
    index: EngineIndex,
    kind: K,
    ask: Requests[K]["ask"],
    transfer?: readonly ArrayBuffer[],
  ): Promise<Requests[K]["answer"]>;
  stop(): Promise<void>;
}

export interface EngineOptions {
  /** Where the files of indexes lie; nothing else does. */
  readonly directory: string;
  readonly threads: number;
  /** For all threads together. */
  readonly memoryBytes: number;
  readonly log: Log;
}

/** `known` tells which indexes there are: files of others are what deletions left behind when they were interrupted. */
export async function openEngine({ directory, threads, memoryBytes, log }: EngineOptions, known: (id: string) => boolean): Promise<Engine> {
  for (const file of await readdir(directory)) if (!known(file.replace(/\.sqlite.*$/, ""))) await rm(join(directory, file));
  const workerData: ThreadData = { directory, memoryBytes: Math.floor(memoryBytes / threads) };
  const holders = openFileThreads<IndexRequests>({
    ...{ program: threadProgram(import.meta.url, "./engine-thread.ts"), workerData, threads, name: "vectorize", log },
    busy: () => vectorizeError("tooManyRequests"),
  });
  return {
    call: (index, kind, ask, transfer = []) =>
      // What the journal holds must get in; the one loop that brings it waits for each answer.
      holders.call(index.id, kind, { index, ask }, { transfer, always: kind === "apply" }),
    stop: holders.stop,
  };
}
