/**
 * Snapshots of objects' databases: `<directory>/<part>/<object id>/<bookmark>.sqlite`, a whole copy each, made by SQLite's
 * backup while the object goes on. A name in the directory is a finished copy. Bounded by age and bytes, the oldest go
 * first; what is known of them in memory is read from the directory at the start. See docs/adr/0008.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { syncDirectory } from "../../kernel/durable-files.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";

/** An object: the part of a namespace (`partKey`) and the id, which are names of directories. */
export interface ObjectRef {
  readonly part: string;
  readonly id: string;
}

export interface SnapshotsOptions {
  /** Of the snapshots, and of the objects' files. */
  readonly directory: string;
  readonly objects: string;
  readonly now: () => number;
  readonly ageMaxMs: number;
  readonly bytesMax: number;
}

interface Snapshot extends ObjectRef {
  readonly bookmark: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly size: number;
}

const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;
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

export type Snapshots = Awaited<ReturnType<typeof openSnapshots>>;

export async function openSnapshots(options: SnapshotsOptions) {
  const { directory, objects, now } = options;
  /** By object, each list in order. */
  const known = new Map<string, Snapshot[]>();
  const inTurn = oneAtATime();
  let bytes = 0;
  let sequence = 0;
  let prunedAt = 0;

  const fileOf = (object: ObjectRef): string => join(objects, object.part, `${object.id}.sqlite`);
  const pathOf = (object: ObjectRef, bookmark: string): string => join(directory, object.part, object.id, `${bookmark}.sqlite`);

  function add(snapshot: Snapshot): void {
    const list = known.get(nameOf(snapshot)) ?? [];
    list.push(snapshot);
    known.set(nameOf(snapshot), list);
    bytes += snapshot.size;
  }

  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const part of await readdir(directory)) {
    for (const id of await readdir(join(directory, part))) {
      for (const name of (await readdir(join(directory, part, id))).sort()) {
        const bookmark = name.replace(/\.sqlite$/, "");
        const path = join(directory, part, id, name);
        // A copy that a crash left unfinished has another name.
        if (!isBookmark(bookmark)) await rm(path, { force: true });
        else add({ part, id, bookmark, at: timeOf(bookmark), size: (await stat(path)).size });
      }
    }
  }

  /** One thing at a time for an object. */
  const alone = <T>(object: ObjectRef, work: () => Promise<T>): Promise<T> => inTurn(nameOf(object), work);

  async function drop(snapshot: Snapshot): Promise<void> {
    const list = known.get(nameOf(snapshot)) ?? [];
    const rest = list.filter((one) => one !== snapshot);
    if (rest.length === 0) known.delete(nameOf(snapshot));
    else known.set(nameOf(snapshot), rest);
    bytes -= snapshot.size;
    await rm(pathOf(snapshot, snapshot.bookmark), { force: true });
  }

  /** Makes room for so many more bytes, and forgets what is too old. */
  async function prune(more: number): Promise<void> {
    const oldest = now() - options.ageMaxMs;
    const all = [...known.values()].flat().sort((a, b) => a.at - b.at);
    for (const snapshot of all) {
      if (snapshot.at >= oldest && bytes + more <= options.bytesMax) return;
      await drop(snapshot);
    }
  }

  /** When the object's database was last written, or undefined when there is none. */
  async function writtenAt(object: ObjectRef): Promise<number | undefined> {
    const file = fileOf(object);
    const times = await Promise.all(
      [file, `${file}-wal`].map((path) =>
        stat(path).then(
          (found) => found.mtimeMs,
          () => undefined,
        ),
      ),
    );
    return times[0] === undefined ? undefined : Math.max(...times.filter((time) => time !== undefined));
  }

  function newBookmark(): string {
    const at = now();
    return `${hex(at / 1000)}-${hex(at % 1000)}-${hex(sequence++ % 2 ** 32)}-${randomBytes(16).toString("hex")}`;
  }

  const newest = (object: ObjectRef): Snapshot | undefined => known.get(nameOf(object))?.at(-1);

  async function copy(from: string, to: string, immutable: boolean): Promise<void> {
    const url = pathToFileURL(from);
    // A snapshot never changes: without a lock there is nothing to be written beside it.
    if (immutable) url.searchParams.set("immutable", "1");
    const source = new DatabaseSync(url, { readOnly: true, timeout: BUSY_MS });
    try {
      await backup(source, to, { rate: ALL_PAGES });
    } finally {
      source.close();
    }
  }

  async function take(object: ObjectRef, bookmark: string): Promise<string> {
    const parent = join(directory, object.part, object.id);
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const temporary = join(parent, "unfinished");
    await rm(temporary, { force: true });
    await copy(fileOf(object), temporary, false);
    const handle = await open(temporary, "r");
    await handle.sync().finally(() => handle.close());
    const { size } = await stat(temporary);
    if (now() - prunedAt > SETTLED_MS || bytes + size > options.bytesMax) {
      prunedAt = now();
      await prune(size);
    }
    // With this name the bookmark exists.
    await rename(temporary, pathOf(object, bookmark));
    await syncDirectory(parent);
    add({ ...object, bookmark, at: timeOf(bookmark), size });
    return bookmark;
  }

  return {
    /** A bookmark of what the database holds now; an earlier one when it has not changed since. */
    current: (object: ObjectRef): Promise<string> =>
      alone(object, async () => {
        const last = newest(object);
        const written = await writtenAt(object);
        if (last !== undefined && written !== undefined && written < last.at - SETTLED_MS) return last.bookmark;
        return take(object, newBookmark());
      }),
    /** The newest bookmark of that time or before, or undefined when none reaches so far back. */
    async at(object: ObjectRef, time: number): Promise<string | undefined> {
      const written = await writtenAt(object);
      if (written !== undefined && written <= time) return this.current(object);
      return known.get(nameOf(object))?.findLast((snapshot) => snapshot.at <= time)?.bookmark;
    },
    has: (object: ObjectRef, bookmark: string): boolean => known.get(nameOf(object))?.some((one) => one.bookmark === bookmark) === true,
    newBookmark,
    /** Whether the database was written after its newest snapshot. */
    async changed(object: ObjectRef): Promise<boolean> {
      const written = await writtenAt(object);
      return written !== undefined && written >= (newest(object)?.at ?? 0) - SETTLED_MS;
    },
    /**
     * Makes the database what it was at the bookmark; `undo` becomes the bookmark of what it was before. The object has
     * the database open and is idle. Each step is atomic, and the whole may be repeated after a crash.
     */
    restore: (object: ObjectRef, bookmark: string, undo: string): Promise<void> =>
      alone(object, async () => {
        const taken = known.get(nameOf(object))?.some((one) => one.bookmark === undo) === true;
        if (!taken) await take(object, undo);
        await copy(pathOf(object, bookmark), fileOf(object), true);
      }),
    /** Forgets everything of a part of a namespace. */
    async removePart(part: string): Promise<void> {
      for (const list of [...known.values()]) for (const snapshot of list) if (snapshot.part === part) await drop(snapshot);
      await rm(join(directory, part), { recursive: true, force: true });
    },
    prune: () => prune(0),
  };
}
