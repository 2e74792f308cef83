/** The threads that hold instances' files, from the main thread's side. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { openFileThreads, threadProgram } from "../../../kernel/file-threads.ts";
import type { Log } from "../../../kernel/log.ts";
import { searchError } from "../errors.ts";
import type { Requests, ThreadData } from "./protocol.ts";

export interface Engine {
  /** Throws `aiSearch.busy` when too many wait already. */
  call<K extends keyof Requests>(kind: K, ask: Requests[K]["ask"]): Promise<Requests[K]["answer"]>;
  stop(): Promise<void>;
}

export interface EngineOptions {
  /** Where the files lie; nothing else does. */
  readonly directory: string;
  readonly threads: number;
  /** For all threads together. */
  readonly memoryBytes: number;
  /** Answers that are kept for one instance. */
  readonly answersMax: number;
  readonly log: Log;
}

/** `known` tells which instances there are: files of others are what deletions left behind when they were interrupted. */
export async function openEngine(options: EngineOptions, known: (uid: string) => boolean): Promise<Engine> {
  const { directory, threads, memoryBytes, answersMax, log } = options;
  for (const file of await readdir(directory)) if (!known(file.replace(/\.sqlite.*$/, ""))) await rm(join(directory, file));
  const workerData: ThreadData = { directory, memoryBytes: Math.floor(memoryBytes / threads), answersMax };
  const holders = openFileThreads<Requests>({
    ...{ program: threadProgram(import.meta.url, "./thread.ts"), workerData, threads, name: "ai_search", log },
    busy: () => searchError("busy"),
  });
  return { call: (kind, ask) => holders.call(ask.uid, kind, ask), stop: holders.stop };
}
