/** Memory of a group of processes, as Linux tells under /proc. Elsewhere there is nothing to read and nothing is limited. */
import { readdirSync, readFileSync } from "node:fs";

const PAGE_BYTES = 4096;

/** Memory of the group's processes that is neither shared nor backed by a file, in bytes. */
export function processGroupBytes(group: number): number {
  let sum = 0;
  for (const entry of list()) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = read(entry, "stat");
    // The program's name, which may hold anything, is in parentheses; state, parent and group follow.
    if (stat === undefined || Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]) !== group) continue;
    const [, resident, shared] = (read(entry, "statm") ?? "0 0 0").split(" ");
    sum += (Number(resident) - Number(shared)) * PAGE_BYTES;
  }
  return sum;
}

function list(): string[] {
  try {
    return readdirSync("/proc");
  } catch {
    return [];
  }
}

function read(pid: string, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return undefined;
  }
}
