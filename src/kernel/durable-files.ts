/**
 * What every file-backed store needs so that a name survives power loss: fsync of directories, and telling a
 * full disk from other failures. Not a file system layer: each store opens and writes its files itself.
 */
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the names in a directory durable: files created, renamed or deleted there before the call. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates a directory and its missing parents, durably. An existing one is success. */
export async function makeDirectory(path: string): Promise<void> {
  const first = (await mkdir(path, { recursive: true })) ?? path;
  // A new directory's name lies in its parent: sync from the deepest parent up to the one that existed before. The
  // nearest one is synced in any case, since a process that was killed may have created the directory and got no further.
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    await syncDirectory(parent);
    if (parent === dirname(first) || parent === dirname(parent)) return;
  }
}

/** True when the failure means that no more bytes fit: a full disk or a used-up quota. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT";
}
