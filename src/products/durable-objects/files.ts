/**
 * The files that workerd keeps for a part of a namespace: `<directory>/<part>/<object id>.sqlite`, and `metadata.sqlite` with
 * the pending alarms. Only read here; workerd alone writes them, and `arrangement.ts` says which directories there are.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** The pending alarms of a part. */
export const ALARMS_FILE = "metadata.sqlite";

/** The earliest pending alarm in directories of parts, in milliseconds since the epoch. */
export async function earliestAlarm(directories: readonly string[]): Promise<number | undefined> {
  const alarms = await Promise.all(directories.map((directory) => earliestOf(join(directory, ALARMS_FILE))));
  const times = alarms.filter((at) => at !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}

async function earliestOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
    const table = database.prepare("SELECT 1 FROM sqlite_master WHERE name = '_cf_ALARM'").get();
    if (table === undefined) return undefined;
    // workerd stores nanoseconds, which are no safe integers.
    const row = database.prepare("SELECT MIN(scheduled_time) / 1000000 AS at FROM _cf_ALARM").get() as { at: number | null };
    return row.at ?? undefined;
  } finally {
    database?.close();
  }
}

/** Ids of the objects in directories of parts that have stored something, sorted. */
export async function objectIds(directories: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(directories.map((directory) => readdir(directory).catch(() => [] as string[])));
  return lists.flatMap((names) => names.flatMap((name) => /^([0-9a-f]{64})\.sqlite$/.exec(name)?.[1] ?? [])).sort();
}
