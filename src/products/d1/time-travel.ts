/**
 * Time Travel: bookmarks of databases, and restores in place (docs/d1/reference/time-travel). The copies are the kernel's
 * (`kernel/history`); here is which database they belong to, when it was last written, and that nothing touches it while
 * it is restored. A restore is one transaction of SQLite's: a crash leaves the state before it or the one after it.
 */
import { join } from "node:path";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { type History, type ObjectRef, openHistory } from "../../kernel/history/history.ts";
import { startRounds } from "../../kernel/history/rounds.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import type { DatabaseId, Databases } from "./databases.ts";
import type { Engine } from "./engine.ts";
import { d1Error } from "./errors.ts";
import { BASE, READ, WRITE } from "./rest.ts";

/** The namespace's unique key, which is also its directory: to change it is to lose the databases. */
export const NAMESPACE_KEY = "freehold-d1";
/** Documented. */
const HISTORY_MS = 30 * 86_400_000;
const RESTORES_WINDOW_MS = 600_000;
const INTERRUPTED = "D1 DB reset because it is being restored to an earlier state.";

export interface TimeTravel {
  readonly routes: readonly Route[];
  /** Forgets the history of a database that was deleted. */
  forget(uuid: DatabaseId): Promise<void>;
  stop(): Promise<void>;
}

/** When databases were last written, as far as this process has seen it. */
export interface Writes {
  mark(uuid: string): void;
  /** Milliseconds since the epoch, later for each mark; undefined: not since the start. */
  at(uuid: string): number | undefined;
  written(): readonly DatabaseId[];
  forget(uuid: string): void;
}

export function openWrites(clock: Clock): Writes {
  const times = new Map<string, number>();
  return {
    mark: (uuid) => void times.set(uuid, Math.max(clock.now(), (times.get(uuid) ?? 0) + 1)),
    at: (uuid) => times.get(uuid),
    written: () => [...times.keys()] as DatabaseId[],
    forget: (uuid) => void times.delete(uuid),
  };
}

export async function openTimeTravel(kernel: KernelSlice, databases: Databases, engine: Engine, writes: Writes): Promise<TimeTravel> {
  const { clock, config, log } = kernel;
  const objects = new Map<DatabaseId, ObjectRef>();
  /** By the object's id. */
  const databaseOf = new Map<string, DatabaseId>();
  const inTurn = oneAtATime();
  /** Times of the restores of the last minutes, by database. */
  const restores = new Map<string, readonly number[]>();

  const history: History = await openHistory({
    directory: join(kernel.directory, "history"),
    fileOf: ({ part, id }) => join(kernel.systemDirectory, part, `${id}.sqlite`),
    log,
    now: () => clock.now(),
    ageMaxMs: HISTORY_MS,
    bytesMax: config["d1.history_max_bytes"],
    async writtenAt({ id }) {
      const uuid = databaseOf.get(id);
      if (uuid === undefined) return undefined;
      // What it has written counts once it is answered.
      await engine.settled(uuid);
      return writes.at(uuid);
    },
  });

  async function objectOf(uuid: DatabaseId): Promise<ObjectRef> {
    const object = objects.get(uuid) ?? { part: NAMESPACE_KEY, id: await engine.objectId(uuid) };
    objects.set(uuid, object);
    databaseOf.set(object.id, uuid);
    return object;
  }

  let first = true;
  const rounds = startRounds({
    history,
    log,
    intervalMs: config["d1.history_interval_s"] * 1000,
    async candidates() {
      // What was written before the start, only its files tell.
      const uuids = first ? (await databases.list(null)).map(({ uuid }) => uuid) : writes.written();
      first = false;
      const found: ObjectRef[] = [];
      for (const uuid of uuids) if (await databases.exists(uuid)) found.push(await objectOf(uuid));
      return found;
    },
  });

  /** Its bookmark of that time, or the current one. */
  async function bookmarkAt(object: ObjectRef, time: number | undefined): Promise<string> {
    const bookmark = time === undefined ? await history.current(object) : await history.at(object, time);
    if (bookmark === undefined) throw d1Error("invalidProperty", "The history of this database does not reach back to that time");
    return bookmark;
  }

  /** The database's file is there once it was used; to ask for its size uses it. */
  async function usedObject(uuid: DatabaseId): Promise<ObjectRef> {
    await engine.stats(uuid);
    return objectOf(uuid);
  }

  function countRestore(uuid: DatabaseId): void {
    const now = clock.now();
    const recent = (restores.get(uuid) ?? []).filter((at) => at > now - RESTORES_WINDOW_MS);
    if (recent.length >= config["d1.restores_per_10_min_max"]) throw d1Error("tooManyRestores");
    restores.set(uuid, [...recent, now]);
  }

  async function restore(uuid: DatabaseId, object: ObjectRef, bookmark: string): Promise<string> {
    countRestore(uuid);
    const done = Promise.withResolvers<void>();
    try {
      await engine.interrupt(uuid, INTERRUPTED, done.promise);
      const before = await history.current(object);
      try {
        // With this the database is what it was.
        await history.restore(object, bookmark);
      } finally {
        writes.mark(uuid);
      }
      return before;
    } finally {
      done.resolve();
    }
  }

  const one = `${BASE}/:database/time_travel`;
  return {
    routes: [
      {
        op: "d1.timeTravel.bookmark",
        method: "GET",
        path: `${one}/bookmark`,
        permission: READ,
        async handle({ params, query }) {
          const { uuid } = await databases.require(params.database ?? "");
          const time = timeOf(query.get("timestamp"), clock.now());
          return { bookmark: await bookmarkAt(await usedObject(uuid), time) };
        },
      },
      {
        op: "d1.timeTravel.restore",
        method: "POST",
        path: `${one}/restore`,
        permission: WRITE,
        async handle(context: RequestContext) {
          const { uuid, name } = await databases.require(context.params.database ?? "");
          const time = timeOf(context.query.get("timestamp"), clock.now());
          const given = context.query.get("bookmark");
          if (given === null && time === undefined)
            throw d1Error("invalidProperty", "Invalid property: bookmark => Either bookmark or timestamp is required");
          return inTurn(uuid, async () => {
            // With a bookmark at hand nothing waits for the database, which may be busy with what is to be ended.
            const object = given === null ? await usedObject(uuid) : await objectOf(uuid);
            const bookmark = given ?? (await bookmarkAt(object, time));
            if (!history.has(object, bookmark))
              throw d1Error("invalidProperty", "Invalid property: bookmark => Not a bookmark of this database's history");
            const previous = await restore(uuid, object, bookmark);
            context.audit({
              info: "TimeTravel",
              type: "update",
              resource: { type: "d1.database", id: uuid },
              oldValue: { bookmark: previous },
              newValue: { bookmark },
            });
            return { bookmark, previous_bookmark: previous, message: `Database ${name} was restored to bookmark ${bookmark}` };
          });
        },
      },
    ],
    async forget(uuid) {
      const object = await objectOf(uuid);
      await history.remove(object);
      objects.delete(uuid);
      databaseOf.delete(object.id);
      restores.delete(uuid);
      writes.forget(uuid);
    },
    async stop() {
      await rounds.stop();
      await history.stop();
    },
  };
}

const Timestamp = z.union([
  z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
  z
    .string()
    .regex(/^\d{9,10}$/)
    .transform((text) => Number(text) * 1000),
]);

/** Milliseconds since the epoch of an ISO 8601 time or of seconds since the epoch, within the last 30 days. */
function timeOf(text: string | null, now: number): number | undefined {
  if (text === null) return undefined;
  const { success, data } = Timestamp.safeParse(text);
  if (!success) throw d1Error("invalidProperty", "Invalid property: timestamp => Invalid ISO datetime");
  if (data > now || data < now - HISTORY_MS)
    throw d1Error("invalidProperty", "Invalid property: timestamp => Must be within the last 30 days");
  return data;
}
