/** One process at a time, for what test files share and make on first use. The lock goes with the process that holds it, however that ends. */
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

/** Takes the lock that the file at `path` stands for; `close` gives it back. */
export async function takeLock(path: string, deadlineMs: number): Promise<DatabaseSync> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const lock = new DatabaseSync(path, { timeout: 0 });
    try {
      lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      return lock;
    } catch (error) {
      lock.close();
      if ((error as { errcode?: number }).errcode !== 5 || Date.now() > deadline) throw error;
      await sleep(200);
    }
  }
}
