/**
 * The files that workerd keeps for a part of a namespace: `<directory>/<part>/<object id>.sqlite`, and `metadata.sqlite` with
 * the pending alarms. Read here; workerd writes them, but for alarms that are given up, and `arrangement.ts` says which directories there are.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** The pending alarms of a part. */
export const ALARMS_FILE = "metadata.sqlite";
/** Of a database without a table: its first page. */
const EMPTY_BYTES = 4096;

export interface PendingAlarm {
  readonly directory: string;
  readonly object: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** The earliest pending alarm in directories of parts. */
export async function earliestAlarm(directories: readonly string[]): Promise<PendingAlarm | undefined> {
  const alarms = await Promise.all(directories.map(earliestOf));
  return alarms.filter((alarm) => alarm !== undefined).sort((a, b) => a.at - b.at)[0];
}

async function earliestOf(directory: string): Promise<PendingAlarm | undefined> {
  const path = join(directory, ALARMS_FILE);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
    const table = database.prepare("SELECT 1 FROM sqlite_master WHERE name = '_cf_ALARM'").get();
    if (table === undefined) return undefined;
    // workerd stores nanoseconds, which are no safe integers.
    const first = database.prepare(
      "SELECT actor_id AS object, scheduled_time / 1000000 AS at FROM _cf_ALARM ORDER BY scheduled_time LIMIT 1",
    );
    const row = first.get() as { object: string; at: number } | undefined;
    return row && { directory, ...row };
  } finally {
    database?.close();
  }
}

/** Removes a pending alarm, durably. Nothing may run on the directory. */
export function dropAlarm({ directory, object }: PendingAlarm): void {
  const database = new DatabaseSync(join(directory, ALARMS_FILE));
  try {
    database.exec("PRAGMA synchronous = FULL");
    database.prepare("DELETE FROM _cf_ALARM WHERE actor_id = ?").run(object);
  } finally {
    database.close();
  }
}

/** Ids of the objects in directories of parts that have stored something, sorted. */
export async function objectIds(directories: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(directories.map((directory) => readdir(directory).catch(() => [] as string[])));
  return lists.flatMap((names) => names.flatMap((name) => /^([0-9a-f]{64})\.sqlite$/.exec(name)?.[1] ?? [])).sort();
}

/**
 * The first ids after `after`, sorted, of the objects in directories of parts that store something now. One whose storage was
 * deleted keeps its file, an empty database of one page without a log of writes beside it.
 */
export async function storingIds(directories: readonly string[], after: string, max: number): Promise<string[]> {
  const files = new Map<string, string>();
  const written = new Set<string>();
  for (const directory of directories)
    for (const name of await readdir(directory).catch(() => [] as string[])) {
      const [, id, log] = /^([0-9a-f]{64})\.sqlite(-wal)?$/.exec(name) ?? [];
      if (id === undefined || id <= after) continue;
      if (log === undefined) files.set(id, join(directory, name));
      else written.add(id);
    }
  const found: string[] = [];
  for (const [id, file] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (found.length === max) break;
    if (written.has(id) || (await sizeOf(file)) > EMPTY_BYTES) found.push(id);
  }
  return found;
}

/** A file that has gone meanwhile is none. */
const sizeOf = async (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );
