/**
 * What a process uses, as Linux tells under /proc: a few microseconds a look. Elsewhere there is nothing to read and
 * nothing is limited.
 */
import { readFileSync } from "node:fs";

const PAGE_BYTES = 4096;

/**
 * CPU time of the process's main thread in milliseconds, undefined when it is gone. workerd runs all JavaScript of a
 * process on it; garbage collection that V8 does on other threads is nobody's.
 */
export function mainThreadCpuMs(pid: number): number | undefined {
  const text = read(pid, "schedstat");
  return text === undefined ? undefined : Number(text.slice(0, text.indexOf(" "))) / 1e6;
}

/** Memory of the process that is neither shared nor backed by a file, in bytes. */
export function anonymousBytes(pid: number): number | undefined {
  const text = read(pid, "statm");
  if (text === undefined) return undefined;
  const [, resident, shared] = text.split(" ");
  return (Number(resident) - Number(shared)) * PAGE_BYTES;
}

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return undefined;
  }
}
