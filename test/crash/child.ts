/**
 * Runs one of this folder's programs as a child process that is killed at a moment the seed decides. The program
 * prints a line for each acknowledged operation; what the caller gets is all that was acknowledged.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The seed of this run: FREEHOLD_SEED repeats one. */
export const seed = Number(process.env.FREEHOLD_SEED ?? Math.floor(Math.random() * 2 ** 32)) >>> 0;

/** Numbers in [0, 1) that a seed determines (mulberry32). */
export function randomFrom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts the program, kills it with SIGKILL when it has printed `lines` lines, and returns every line that it got out. */
export async function runUntilKilled(program: string, args: readonly string[], lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  const exited = once(child, "exit");
  const printed: string[] = [];
  // A line without its end was not written whole: readline gives it too, and callers' formats make it fail to parse.
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => {
    printed.push(line);
    if (printed.length === lines) child.kill("SIGKILL");
  });
  const closed = once(reader, "close");
  const [code, signal] = await exited;
  await closed;
  if (signal !== "SIGKILL" || printed.length < lines)
    throw new Error(`${program} ended by itself with ${code ?? signal} after ${printed.length} lines`);
  return printed;
}
