/**
 * Documents converted in threads of their own, so many at a time: what takes too long or too much memory is ended with its
 * thread, and its document is answered with an error. A conversion that nobody waits for any more is ended, too.
 */
import { Worker } from "node:worker_threads";
import { aiError } from "../errors.ts";
import type { Conversion } from "./conversion.ts";

export interface ConverterOptions {
  readonly atOnce: number;
  readonly waitingMax: number;
  readonly timeoutMs: number;
  readonly memoryMb: number;
}

/** Why a document did not become Markdown, in words for its owner. */
export class ConversionError extends Error {}

export interface Converter {
  /** Rejects with a `ConversionError`, or with `workersAi.outOfCapacity` when too many wait. */
  convert(conversion: Conversion, signal: AbortSignal): Promise<string>;
  stop(): Promise<void>;
}

export function openConverter({ atOnce, waitingMax, timeoutMs, memoryMb }: ConverterOptions): Converter {
  const running = new Set<Worker>();
  const waiting: (() => void)[] = [];
  let turns = 0;

  async function turn(): Promise<void> {
    if (turns < atOnce) {
      turns++;
      return;
    }
    if (waiting.length >= waitingMax) throw aiError("outOfCapacity");
    await new Promise<void>((resolve) => waiting.push(resolve));
  }

  function nextTurn(): void {
    const next = waiting.shift();
    if (next === undefined) turns--;
    else next();
  }

  function inThread(conversion: Conversion, signal: AbortSignal): Promise<string> {
    // One file serves both forms of the project: TypeScript in a checkout, JavaScript in the package.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./thread.${extension}`, import.meta.url), {
      workerData: conversion,
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
      env: {},
      stderr: true,
      stdout: true,
    });
    running.add(worker);
    return new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new ConversionError("the conversion took too long")), timeoutMs);
      signal.addEventListener("abort", () => reject(aiError("aborted")), { once: true });
      worker.once("message", ({ text, error }: { text?: string; error?: string }) =>
        text === undefined ? reject(new ConversionError(error)) : resolve(text),
      );
      worker.once("error", (cause) => reject(new ConversionError("the document could not be converted within its bounds", { cause })));
      worker.once("exit", () => {
        clearTimeout(timer);
        reject(new ConversionError("the conversion ended early"));
      });
    }).finally(() => worker.terminate().then(() => running.delete(worker)));
  }

  return {
    async convert(conversion, signal) {
      await turn();
      try {
        signal.throwIfAborted();
        return await inThread(conversion, signal);
      } finally {
        nextTurn();
      }
    },
    async stop() {
      await Promise.all([...running].map((worker) => worker.terminate()));
    },
  };
}
