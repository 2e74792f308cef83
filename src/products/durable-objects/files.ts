/**
 * The files that workerd keeps for a namespace: `<directory>/<namespace id>/<object id>.sqlite`, and `metadata.sqlite` with
 * the pending alarms; the same again for each jurisdiction (`jurisdictions.ts`). Only read here, and deleted when the namespace is gone; workerd alone writes them.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { partKeys } from "./jurisdictions.ts";

/** The earliest pending alarm of a namespace in milliseconds since the epoch. */
export async function earliestAlarm(directory: string, namespaceId: string): Promise<number | undefined> {
  const alarms = await Promise.all(partKeys(namespaceId).map((key) => earliestOf(join(directory, key, "metadata.sqlite"))));
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

/** Ids of the namespace's objects that have stored something, sorted. */
export async function objectIds(directory: string, namespaceId: string): Promise<string[]> {
  const lists = await Promise.all(partKeys(namespaceId).map((part) => objectIdsOf(directory, part)));
  return lists.flat().sort();
}

/** The same of one part. */
export async function objectIdsOf(directory: string, part: string): Promise<string[]> {
  const names = await readdir(join(directory, part)).catch(() => [] as string[]);
  return names.flatMap((name) => /^([0-9a-f]{64})\.sqlite$/.exec(name)?.[1] ?? []);
}

export async function deleteFiles(directory: string, namespaceId: string): Promise<void> {
  for (const key of partKeys(namespaceId)) await rm(join(directory, key), { recursive: true, force: true });
}
