/**
 * The directory of unix sockets and generated configs. It lies under the system's temporary directory and not in the
 * data directory, because a socket's path may have at most 107 bytes. It holds no state: each start makes a new one,
 * and ends what a killed predecessor left behind.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes a new run directory; the file `record` remembers its name for the next start. */
export async function openRunDirectory(record: string): Promise<string> {
  const previous = await readFile(record, "utf8").catch(ignoreMissing);
  if (previous !== undefined) {
    await killOrphans(previous);
    await rm(previous, { recursive: true, force: true });
  }
  // mkdtemp gives mode 0700: nobody else can connect to the sockets inside.
  const directory = await mkdtemp(join(tmpdir(), "freehold-"));
  await writeFile(record, directory, { mode: 0o600 });
  return directory;
}

/**
 * Kills processes whose command line names the old run directory: workerd processes that outlived a SIGKILL of the
 * platform. Two processes on the same Durable Object files must never run.
 */
async function killOrphans(runDirectory: string): Promise<void> {
  for (const entry of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(ignoreMissing);
    if (!command?.includes(`${runDirectory}/`)) continue;
    try {
      process.kill(Number(entry), "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** A process may end, and a file vanish, between listing and reading. */
function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT" || error.code === "ESRCH") return undefined;
  throw error;
}
