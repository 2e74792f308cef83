/** Finds out who listens on a port, for messages. Linux only; elsewhere, and for other users' processes, it does not know. */
import { existsSync, readFileSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";

const LISTEN = "0A";

/** The process that listens on a port, "nginx (process 812)", where /proc shows it to us. */
export async function portHolder(port: number): Promise<string | undefined> {
  const inodes = new Set<string>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    if (!existsSync(file)) continue;
    for (const line of readFileSync(file, "utf8").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === LISTEN && Number.parseInt(fields[1]?.split(":")[1] ?? "", 16) === port) inodes.add(`socket:[${fields[9]}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    // Processes come and go, and other users' are closed to us: those are passed over.
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "");
      if (inodes.has(target)) return `${readFileSync(`/proc/${pid}/comm`, "utf8").trim()} (process ${pid})`;
    }
  }
  return undefined;
}
