/**
 * Where the files of objects lie: in the namespace's directory, and while a gradual deployment shares the objects between
 * two versions, those of one of them in a second directory, since each version's process keeps the alarms of all that it
 * has in one file. A new deployment moves the files of objects that change hands, while no process runs on them. A move
 * that a crash broke off is done to its end before the next process starts: where a file belongs follows from its name.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDeepStrictEqual } from "node:util";
import { syncDirectory } from "../../kernel/durable-files.ts";
import type { ObjectSplit } from "../../kernel/object-split.ts";
import { ALARMS_FILE } from "./files.ts";
import { partKeys } from "./jurisdictions.ts";
import { ownerOf } from "./split.worker.ts";

/** Directory of the second ones, beside the namespaces. */
const SECOND = "second";
/** Files that are renamed together. */
const TOGETHER = 64;

export type Arrangement = Awaited<ReturnType<typeof openArrangement>>;

export async function openArrangement(directory: string) {
  const second = join(directory, SECOND);
  await mkdir(second, { recursive: true, mode: 0o700 });
  /** By part, how its files lie; without an entry all are in the first directory. Undefined: it is not known. */
  const applied = new Map<string, ObjectSplit | undefined>();
  // From before the last stop; who knows the deployments says how they should lie before any process starts.
  for (const part of await readdir(second)) applied.set(part, undefined);

  const isArranged = (part: string, split: ObjectSplit | undefined): boolean =>
    applied.has(part) ? split !== undefined && isDeepStrictEqual(applied.get(part), split) : split === undefined;

  async function move(part: string, split: ObjectSplit | undefined): Promise<void> {
    const [home, other] = [join(directory, part), join(second, part)];
    // Until it is done, nothing may run on the files.
    applied.set(part, undefined);
    const isHome = (id: string): boolean => split === undefined || ownerOf(split, id) === split.home;
    await mkdir(other, { recursive: true, mode: 0o700 });
    await mkdir(home, { recursive: true, mode: 0o700 });
    await moveFiles(home, other, (id) => !isHome(id));
    await moveFiles(other, home, isHome);
    for (const path of [home, other, second, directory]) await syncDirectory(path);
    moveAlarms(home, other, (id) => !isHome(id));
    moveAlarms(other, home, isHome);
    if (split === undefined) {
      await rm(other, { recursive: true, force: true });
      applied.delete(part);
    } else applied.set(part, split);
  }

  return {
    /** The directories that processes keep objects in. */
    disks: [directory, second] as const,
    /** How the objects of a namespace are shared now; undefined when one version has them all. */
    splitOf: (namespaceId: string): ObjectSplit | undefined => applied.get(namespaceId),
    /** Those of the namespaces whose files do not lie as the split wants them. */
    misplaced: (namespaceIds: readonly string[], split: ObjectSplit | undefined): string[] =>
      namespaceIds.filter((id) => partKeys(id).some((part) => !isArranged(part, split))),
    /** Moves what lies elsewhere than the split says. No process may run on the namespaces' files. */
    async arrange(namespaceIds: readonly string[], split: ObjectSplit | undefined): Promise<void> {
      for (const part of namespaceIds.flatMap(partKeys)) if (!isArranged(part, split)) await move(part, split);
    },
    /** The directory that a version's process keeps its objects in, a directory for each part. */
    diskOf: (split: ObjectSplit | undefined, versionId: string | undefined): string =>
      split === undefined || split.home === versionId ? directory : second,
    /** Whether the files of a part are on their way. */
    isMoving: (part: string): boolean => applied.has(part) && applied.get(part) === undefined,
    /** The directories that have objects of a part. */
    directoriesOf: (part: string): string[] => (applied.has(part) ? [join(directory, part), join(second, part)] : [join(directory, part)]),
    /** The database of one object. */
    fileOf({ part, id }: { readonly part: string; readonly id: string }): string {
      const split = applied.get(part);
      return join(split === undefined || ownerOf(split, id) === split.home ? directory : second, part, `${id}.sqlite`);
    },
    /** Deletes everything of a namespace. */
    async remove(namespaceId: string): Promise<void> {
      for (const part of partKeys(namespaceId)) {
        for (const base of [directory, second]) await rm(join(base, part), { recursive: true, force: true });
        applied.delete(part);
      }
    },
  };
}

/** Moves all files of the objects that belong to the other directory. */
async function moveFiles(from: string, to: string, moves: (objectId: string) => boolean): Promise<void> {
  const names = (await readdir(from)).filter((name) => {
    const id = /^([0-9a-f]{64})\./.exec(name)?.[1];
    return id !== undefined && moves(id);
  });
  for (let at = 0; at < names.length; at += TOGETHER) {
    await Promise.all(
      names.slice(at, at + TOGETHER).map(async (name) => {
        if (existsSync(join(to, name))) throw new Error(`A Durable Object has its file twice: ${join(from, name)} and ${join(to, name)}`);
        await rename(join(from, name), join(to, name));
      }),
    );
  }
}

/** The same for the lists of pending alarms. First they are in both, and only then in the other alone. */
function moveAlarms(from: string, to: string, moves: (objectId: string) => boolean): void {
  if (!existsSync(join(from, ALARMS_FILE))) return;
  const source = new DatabaseSync(join(from, ALARMS_FILE));
  const target = new DatabaseSync(join(to, ALARMS_FILE));
  try {
    const table = source.prepare("SELECT sql FROM sqlite_master WHERE name = '_cf_ALARM'").get() as { sql: string } | undefined;
    if (table === undefined) return;
    const names = source.prepare("PRAGMA table_info(_cf_ALARM)").all() as { name: string }[];
    const columns = names.map(({ name }) => name).join(", ");
    const select = source.prepare(`SELECT ${columns} FROM _cf_ALARM`);
    // Times are in nanoseconds, which are no safe integers.
    select.setReadBigInts(true);
    const rows = (select.all() as Record<string, bigint | string | null>[]).filter((row) => moves(String(row.actor_id)));
    if (rows.length === 0) return;
    target.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    if (target.prepare("SELECT 1 FROM sqlite_master WHERE name = '_cf_ALARM'").get() === undefined) target.exec(table.sql);
    const places = names.map(() => "?").join(", ");
    const insert = target.prepare(`INSERT OR REPLACE INTO _cf_ALARM (${columns}) VALUES (${places})`);
    target.exec("BEGIN");
    for (const row of rows) insert.run(...names.map(({ name }) => row[name] as bigint | string | null));
    target.exec("COMMIT");
    const remove = source.prepare("DELETE FROM _cf_ALARM WHERE actor_id = ?");
    source.exec("PRAGMA synchronous = FULL; BEGIN");
    for (const row of rows) remove.run(String(row.actor_id));
    source.exec("COMMIT");
  } finally {
    source.close();
    target.close();
  }
}
