/**
 * The history of SQLite databases that workerd keeps for Durable Objects: a bookmark is a copy, made by SQLite's backup
 * while the object goes on. `<directory>/<part>/<object id>/<bookmark>.sqlite` is a whole copy, normally the newest alone;
 * `<bookmark>.<base>.pages` is what an older one has differently from the copy `<base>`. A name in the directory is a
 * finished copy. Bounded by age and bytes, the oldest go first, and none needs an older one. See docs/adr/0008.
 */
import { copyFile, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { syncDirectory } from "../durable-files.ts";
import type { Log } from "../log.ts";
import { oneAtATime } from "../one-at-a-time.ts";
import { applyDifference, writeDifference } from "./difference.ts";

export interface ObjectRef {
  readonly part: string;
  /** 64 hex digits. */
  readonly id: string;
}

export interface HistoryOptions {
  /** Of the copies. */
  readonly directory: string;
  /** An object's database. */
  readonly fileOf: (object: ObjectRef) => string;
  readonly log: Log;
  readonly now: () => number;
  readonly ageMaxMs: number;
  readonly bytesMax: number;
  /**
   * When the database was last written, in milliseconds since the epoch, later for each write; undefined when its owner
   * does not know, and the times of its files have to tell. Writes that have begun are waited for.
   */
  readonly writtenAt?: (object: ObjectRef) => Promise<number | undefined>;
}

interface Copy extends ObjectRef {
  readonly bookmark: string;
  /** What it holds was the database's state from this time on, in milliseconds since the epoch, … */
  readonly at: number;
  /** … until the first write after this one. */
  readonly takenAt: number;
  /** The database was written while it was copied. */
  readonly disturbed: boolean;
  /** Name in the directory. */
  file: string;
  /** The copy of which this one is a difference. */
  base: string | undefined;
  size: number;
}

const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;
const FILE = /^([0-9a-f-]{59})(?:\.([0-9a-f-]{59}))?\.(?:sqlite|pages)$/;
/** All pages in one step: the copy is of one moment, and becomes visible at once. */
const ALL_PAGES = 2 ** 30;
const BUSY_MS = 5_000;
/** A file that was written this recently may be written again without its times telling. */
const SETTLED_MS = 1_000;

const hex = (value: number): string => Math.floor(value).toString(16).padStart(8, "0");
/** Milliseconds since the epoch that a bookmark names. */
const timeOf = (bookmark: string): number => Number.parseInt(bookmark.slice(0, 8), 16) * 1000 + Number.parseInt(bookmark.slice(9, 17), 16);
export const isBookmark = (text: string): boolean => BOOKMARK.test(text);
const nameOf = ({ part, id }: ObjectRef): string => `${part}/${id}`;
const byBookmark = (a: Copy, b: Copy): number => (a.bookmark < b.bookmark ? -1 : 1);
/** Between two looks for copies that are too old. */
const PRUNE_EVERY_MS = 60_000;
/** Of the bytes allowed, how many stay when they are too many: to make room for each copy anew would be slow. */
const KEPT_OF_FULL = 0.95;

export type History = Awaited<ReturnType<typeof openHistory>>;

export async function openHistory(options: HistoryOptions) {
  const { directory, fileOf, log, now } = options;
  /** By object, each list in the order of its bookmarks. */
  const known = new Map<string, Copy[]>();
  const inTurn = oneAtATime();
  /** What is done after a copy was taken, and nobody waits for. */
  const settling = new Set<Promise<void>>();
  /** Objects whose history was removed for good. */
  const removed = new Set<string>();
  let bytes = 0;
  let prunedAt = 0;

  const homeOf = (object: ObjectRef): string => join(directory, object.part, object.id);
  const pathOf = (copy: Copy): string => join(homeOf(copy), copy.file);
  const copiesOf = (object: ObjectRef): readonly Copy[] => known.get(nameOf(object)) ?? [];
  const find = (object: ObjectRef, bookmark: string): Copy | undefined => copiesOf(object).find((one) => one.bookmark === bookmark);
  /** One thing at a time for an object. */
  const alone = <T>(object: ObjectRef, work: () => Promise<T>): Promise<T> => inTurn(nameOf(object), work);

  function add(copy: Copy): void {
    const list = known.get(nameOf(copy)) ?? [];
    const inOrder = list.length === 0 || (list.at(-1) as Copy).bookmark < copy.bookmark;
    list.push(copy);
    if (!inOrder) list.sort(byBookmark);
    known.set(nameOf(copy), list);
    bytes += copy.size;
  }

  async function read(object: ObjectRef): Promise<void> {
    const home = homeOf(object);
    // A whole copy sorts after a difference of the same bookmark, which a crash left before the whole one was deleted.
    for (const file of (await readdir(home)).sort()) {
      const [, bookmark, base] = FILE.exec(file) ?? [];
      const path = join(home, file);
      // What a crash left unfinished has another name.
      if (bookmark === undefined || !isBookmark(bookmark)) await rm(path, { force: true });
      else {
        const { size, mtimeMs } = await stat(path);
        const before = copiesOf(object).at(-1);
        if (before?.bookmark === bookmark) await drop(before);
        add({ ...object, bookmark, at: timeOf(bookmark), takenAt: mtimeMs, disturbed: false, file, base, size });
      }
    }
  }

  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const part of await readdir(directory)) for (const id of await readdir(join(directory, part))) await read({ part, id });

  async function drop(copy: Copy): Promise<void> {
    const rest = copiesOf(copy).filter((one) => one !== copy);
    if (rest.length === 0) known.delete(nameOf(copy));
    else known.set(nameOf(copy), rest);
    bytes -= copy.size;
    await rm(pathOf(copy), { force: true });
  }

  /** Forgets what is too old, and, if there are too many bytes, the oldest; never `kept`. */
  async function prune(kept?: Copy): Promise<void> {
    prunedAt = now();
    const oldest = now() - options.ageMaxMs;
    for (const list of [...known.values()]) {
      // A copy holds until the next one begins to.
      const old = list.findLastIndex((copy) => copy.at < oldest);
      for (const copy of list.slice(0, Math.max(old, 0))) await alone(copy, () => drop(copy));
    }
    if (bytes <= options.bytesMax) return;
    for (const copy of [...known.values()].flat().sort(byBookmark)) {
      if (bytes <= options.bytesMax * KEPT_OF_FULL) return;
      if (copy !== kept) await alone(copy, () => drop(copy));
    }
  }

  /** When the files were last written, or undefined when there are none. */
  async function filesWrittenAt(object: ObjectRef): Promise<number | undefined> {
    const file = fileOf(object);
    const times = await Promise.all(
      [file, `${file}-wal`].map((path) =>
        stat(path).then(
          (found) => Math.floor(found.mtimeMs),
          () => undefined,
        ),
      ),
    );
    return times[0] === undefined ? undefined : Math.max(...times.filter((time) => time !== undefined));
  }

  const lastWrite = async (object: ObjectRef): Promise<number | undefined> =>
    (await options.writtenAt?.(object)) ?? (await filesWrittenAt(object));

  /** The newest copy, when the database still is what it holds. */
  async function unchanged(object: ObjectRef): Promise<Copy | undefined> {
    const last = copiesOf(object).at(-1);
    if (last === undefined) return undefined;
    const told = await options.writtenAt?.(object);
    if (told !== undefined) return told <= last.at && !last.disturbed ? last : undefined;
    const written = await filesWrittenAt(object);
    return written !== undefined && written < last.takenAt - SETTLED_MS ? last : undefined;
  }

  /** A bookmark of that time, which sorts after the object's others of the time. */
  function bookmarkOf(object: ObjectRef, at: number): string {
    const start = `${hex(at / 1000)}-${hex(at % 1000)}`;
    const last = copiesOf(object).findLast(({ bookmark }) => bookmark.startsWith(start));
    const sequence = last === undefined ? 0 : Number.parseInt(last.bookmark.slice(18, 26), 16) + 1;
    return `${start}-${hex(sequence)}-${object.id.slice(0, 32)}`;
  }

  /** `name` of the copy, if it was promised before; otherwise it is called after the last write in it. */
  async function take(object: ObjectRef, name?: string): Promise<string> {
    if (removed.has(nameOf(object))) throw new Error("the object was removed");
    const home = homeOf(object);
    await mkdir(home, { recursive: true, mode: 0o700 });
    const temporary = join(home, "unfinished");
    await rm(temporary, { force: true });
    const previous = copiesOf(object).at(-1);
    const before = await lastWrite(object);
    await backUp(fileOf(object), temporary, false);
    const takenAt = now();
    // What was written meanwhile may be in it or not: nothing later than now is.
    const disturbed = before === undefined || before !== (await lastWrite(object));
    const bookmark = name ?? bookmarkOf(object, Math.max(disturbed ? takenAt : before, previous?.at ?? 0));
    const handle = await open(temporary, "r");
    await handle.sync().finally(() => handle.close());
    const { size } = await stat(temporary);
    const file = `${bookmark}.sqlite`;
    // With this name the bookmark exists.
    await rename(temporary, join(home, file));
    await syncDirectory(home);
    const copy: Copy = { ...object, bookmark, at: timeOf(bookmark), takenAt, disturbed, file, base: undefined, size };
    add(copy);
    settle(copy, previous);
    return bookmark;
  }

  /** Makes the copy before this one small, and room for both. A failure costs space alone. */
  function settle(copy: Copy, previous: Copy | undefined): void {
    const work = async (): Promise<void> => {
      if (previous !== undefined && previous.bookmark < copy.bookmark) await alone(copy, () => thin(previous, copy));
      if (now() - prunedAt > PRUNE_EVERY_MS || bytes > options.bytesMax) await prune(copy);
    };
    const done = work()
      .catch((error: unknown) => log.error("history.settle_failed", { error }))
      .finally(() => settling.delete(done));
    settling.add(done);
  }

  /** Of a copy that has a newer one, only what is different stays. */
  async function thin(copy: Copy, base: Copy): Promise<void> {
    const gone = (one: Copy): boolean => find(one, one.bookmark) !== one;
    if (copy.base !== undefined || gone(copy) || gone(base)) return;
    const home = homeOf(copy);
    const temporary = join(home, "unfinished-difference");
    await writeDifference(pathOf(copy), pathOf(base), temporary);
    const { size } = await stat(temporary);
    const whole = pathOf(copy);
    const file = `${copy.bookmark}.${base.bookmark}.pages`;
    await rename(temporary, join(home, file));
    // The difference's name is on disk before the whole copy's is gone.
    await syncDirectory(home);
    bytes += size - copy.size;
    Object.assign(copy, { file, base: base.bookmark, size });
    await rm(whole, { force: true });
  }

  /** The copy as a file of its own; `dispose` of it. */
  async function whole(object: ObjectRef, bookmark: string): Promise<{ path: string; dispose(): Promise<void> }> {
    const differences: string[] = [];
    const list = copiesOf(object);
    let i = list.findIndex((one) => one.bookmark === bookmark);
    for (let base = list[i]?.base; base !== undefined; base = list[i]?.base) {
      differences.push(pathOf(list[i] as Copy));
      i = list.findIndex((one, at) => at > i && one.bookmark === base);
    }
    const start = list[i];
    if (start === undefined) throw new Error(`the copy of the bookmark ${bookmark} is not there`);
    if (differences.length === 0) return { path: pathOf(start), dispose: async () => undefined };
    const path = join(homeOf(object), "unfinished-whole");
    await copyFile(pathOf(start), path);
    for (const difference of differences.reverse()) await applyDifference(difference, path);
    return { path, dispose: () => rm(path, { force: true }) };
  }

  return {
    /** A bookmark of what the database holds now; an earlier one when it has not changed since. */
    current: (object: ObjectRef): Promise<string> => alone(object, async () => (await unchanged(object))?.bookmark ?? take(object)),
    /** The newest bookmark of that time or before, or undefined when none reaches so far back. */
    async at(object: ObjectRef, time: number): Promise<string | undefined> {
      const written = await lastWrite(object);
      if (written !== undefined && written <= time) return this.current(object);
      return copiesOf(object).findLast((copy) => copy.at <= time)?.bookmark;
    },
    has: (object: ObjectRef, bookmark: string): boolean => find(object, bookmark) !== undefined,
    /** A name for a copy that is to be taken later, by `take`. */
    promise: (object: ObjectRef): string => bookmarkOf(object, now()),
    /** Takes the copy that was promised, unless it is there. */
    take: (object: ObjectRef, bookmark: string): Promise<void> =>
      alone(object, async () => {
        if (find(object, bookmark) === undefined) await take(object, bookmark);
      }),
    /** Whether the database was written after its newest copy. */
    changed: async (object: ObjectRef): Promise<boolean> =>
      (await filesWrittenAt(object)) !== undefined && (await unchanged(object)) === undefined,
    /**
     * Makes the database what it was at the bookmark: one transaction of SQLite's, so that all or nothing is seen. Nothing
     * else writes meanwhile.
     */
    restore: (object: ObjectRef, bookmark: string): Promise<void> =>
      alone(object, async () => {
        const { path, dispose } = await whole(object, bookmark);
        try {
          await backUp(path, fileOf(object), true);
        } finally {
          await dispose();
        }
      }),
    /** Forgets everything of one object, which never comes again. */
    remove: (object: ObjectRef): Promise<void> =>
      alone(object, async () => {
        removed.add(nameOf(object));
        for (const copy of [...copiesOf(object)].reverse()) await drop(copy);
        await rm(homeOf(object), { recursive: true, force: true });
      }),
    /** Forgets everything of a part. */
    async removePart(part: string): Promise<void> {
      for (const copy of [...known.values()].flat().reverse()) if (copy.part === part) await drop(copy);
      await rm(join(directory, part), { recursive: true, force: true });
    },
    prune: () => prune(),
    /** Waits for what is still done after copies were taken. */
    async stop(): Promise<void> {
      while (settling.size > 0) await Promise.all(settling);
    },
  };
}

async function backUp(from: string, to: string, immutable: boolean): Promise<void> {
  const url = pathToFileURL(from);
  // A copy never changes: without a lock there is nothing to be written beside it.
  if (immutable) url.searchParams.set("immutable", "1");
  const source = new DatabaseSync(url, { readOnly: true, timeout: BUSY_MS });
  try {
    await backup(source, to, { rate: ALL_PAGES });
  } finally {
    source.close();
  }
}
