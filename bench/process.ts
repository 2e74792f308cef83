/** What the system knows of a process. */
import { readFileSync } from "node:fs";

/** CPU time that a process has used, on all its threads: unlike a rate it hardly depends on what else the machine does. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
