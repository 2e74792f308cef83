/** What the system knows of a process. */
import { readdirSync, readFileSync } from "node:fs";

/** CPU time that a process has used, on all its threads: unlike a rate it hardly depends on what else the machine does. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Memory that would be free if the process ended. */
export const privateMegabytes = (pid: number): number => sumOf(pid, /^Private_\w+:\s+(\d+) kB/gm);

/** Memory of a process and of all that it started, each shared page counted once. */
export function treeMegabytes(root: number): number {
  const parents = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [[Number(name), parentOf(Number(name))] as const] : []));
  const tree = new Set([root]);
  // A process may have a smaller number than its parent: until nothing is added.
  for (let size = 0; size < tree.size; ) {
    size = tree.size;
    for (const [pid, parent] of parents) if (tree.has(parent)) tree.add(pid);
  }
  return [...tree].reduce((sum, pid) => sum + sumOf(pid, /^Pss:\s+(\d+) kB/gm), 0);
}

/** 0 for a process that is gone by now. */
function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** In megabytes; 0 for a process that is gone by now. */
function sumOf(pid: number, fields: RegExp): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    return [...text.matchAll(fields)].reduce((sum, [, kb]) => sum + Number(kb), 0) / 1000;
  } catch {
    return 0;
  }
}
