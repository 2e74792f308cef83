/**
 * Where events lie. An event goes to the journal and to a table in memory; when an hour is over, or the table is large, the
 * table becomes Parquet files, one for each hour, in the blob store. Order of writes of such a roll: file, then one
 * transaction with the files' rows and the journal's position, which makes them visible, then the journal is trimmed. A
 * crash before the transaction leaves an orphan that its lease deletes; after a start the journal fills the table again.
 *
 * What an acknowledgement means: nothing is acknowledged. Events of a batch are on disk once its append has ended, a few
 * milliseconds after the invocation; what had not got there when the process was killed is lost, as with the real service.
 */
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import { type Connection, type DuckDb, literal, openDuckDb } from "../../kernel/duckdb/engine.ts";
import { copyToParquet } from "../../kernel/duckdb/parquet.ts";
import type { Journal } from "../../kernel/journal/journal.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { NO_EVENTS, RecentTable } from "./recent.ts";
import { type Row, rowsIn, textOf } from "./telemetry-event.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TEND_MS = 10_000;
const READ_BYTES = 4 * 1024 * 1024;
/** Past the account's daily limit one invocation in a hundred is kept (docs/workers/observability/logs/workers-logs). */
const OVER_LIMIT_RATE = 0.01;

interface StoredFile {
  readonly blob: BlobId;
  readonly from: number;
  readonly to: number;
  readonly events: number;
  readonly bytes: number;
}

/** What a query may read; `release` must be called. */
export interface Sources {
  readonly connection: Connection;
  /** Each a FROM item with the columns of a row. */
  readonly items: readonly string[];
  readonly rows: number;
  readonly bytes: number;
  release(): Promise<void>;
}

export interface EventStore {
  /** Events of one batch; they are seen by the next query. */
  add(rows: readonly Row[]): void;
  /** Everything that may lie in the window. */
  sources(from: number, to: number): Promise<Sources>;
  /** Nothing before this time is shown. */
  horizon(): number;
  /** Aborted when the store stops: queries should end. */
  readonly stopping: AbortSignal;
  /** Does what the time asks for: files of hours that are over, deletes what is old. Also happens by itself. */
  tend(): Promise<void>;
  stop(): Promise<void>;
}

type Parts = Pick<KernelSlice, "meta" | "blobs" | "leases" | "journals" | "clock" | "config" | "log" | "directory">;

export async function openEventStore(kernel: Parts): Promise<EventStore> {
  const { meta, blobs, leases, clock, config, log } = kernel;
  const journal = await kernel.journals.open("observability");
  let files = (
    await meta.all<{ blob: BlobId; from_ms: number; to_ms: number; events: number; bytes: number }>(
      "SELECT blob, from_ms, to_ms, events, bytes FROM observability_files ORDER BY from_ms LIMIT 1000000",
    )
  ).map(({ blob, from_ms, to_ms, events, bytes }): StoredFile => ({ blob, from: from_ms, to: to_ms, events, bytes }));

  // --- the engine, opened when it is first needed: a platform without logs pays nothing for it ---

  let opening: Promise<DuckDb> | undefined;
  let writing: Promise<Connection> | undefined;
  async function open(): Promise<DuckDb> {
    const spill = join(kernel.directory, "spill");
    await rm(spill, { recursive: true, force: true });
    await mkdir(kernel.directory, { recursive: true });
    // The directory of the blobs: statements are made here, with what users say as parameters.
    return openDuckDb({ directories: [dirname(blobs.scratch)], spill, memoryMb: config["observability.memory_mb"], threads: 2 });
  }
  const engine = (): Promise<DuckDb> => (opening ??= open());
  const writer = (): Promise<Connection> => (writing ??= engine().then((db) => db.connect()));

  // --- recent events ---

  interface Recent {
    readonly table: RecentTable;
    readonly opened: number;
    /** The appends of its events, one after the other, and the journal's offset after them. */
    appended: Promise<void>;
    end: number;
  }
  let tables = 0;
  let current: Recent | undefined;
  const sealed: Recent[] = [];
  let lost = 0;
  let today = { day: Math.floor(clock.now() / DAY_MS), events: 0 };
  for (const { to, events } of files) if (Math.floor(to / DAY_MS) === today.day) today.events += events;

  const tableOf = (): Recent =>
    (current ??= { table: new RecentTable(`recent_${++tables}`, writer()), opened: clock.now(), appended: Promise.resolve(), end: 0 });
  const held = (): number => [...sealed, ...(current ? [current] : [])].reduce((sum, { table }) => sum + table.bytes, 0);

  function within(rows: readonly Row[]): readonly Row[] {
    const day = Math.floor(clock.now() / DAY_MS);
    if (today.day !== day) today = { day, events: 0 };
    today.events += rows.length;
    if (today.events <= config["observability.daily_events_max"]) return rows;
    // All or none of an invocation, as head sampling would have it.
    const kept = new Map<string, boolean>();
    const keep = (request: string): boolean => {
      const known = kept.get(request) ?? Math.random() < OVER_LIMIT_RATE;
      kept.set(request, known);
      return known;
    };
    return rows.filter(({ request }) => keep(request)).map((row) => ({ ...row, si: row.si / OVER_LIMIT_RATE }));
  }

  function hold(rows: readonly Row[], payload: Buffer): Recent {
    const recent = tableOf();
    recent.table.add(rows, payload.length);
    if (recent.table.bytes >= config["observability.roll_bytes"]) seal();
    return recent;
  }

  function add(given: readonly Row[]): void {
    const rows = within(given);
    if (rows.length === 0) return;
    const payload = Buffer.from(`[${rows.map(textOf).join(",")}]`);
    if (held() + payload.length > config["observability.pending_max_bytes"]) {
      lost += rows.length;
      return;
    }
    const recent = hold(rows, payload);
    const append = journal.append(payload, rows.length).then(
      (offset) => {
        recent.end = Math.max(recent.end, offset + rows.length);
      },
      // They stay in memory, and will be in a file if the process lives until then.
      (error: unknown) => log.warn("observability.not_journaled", { events: rows.length, error }),
    );
    recent.appended = recent.appended.then(() => append);
  }

  /** Fills the tables with what the journal has and no file. */
  async function recover(from: Journal): Promise<void> {
    const row = await meta.get<{ journal_offset: number }>("SELECT journal_offset FROM observability_position WHERE id = 1");
    let offset = Math.max(row?.journal_offset ?? 0, from.start);
    while (offset < from.end) {
      const entries = await from.read(offset, READ_BYTES);
      for (const entry of entries) {
        const rows = rowsIn(Buffer.from(entry.payload).toString("utf8"));
        offset = entry.offset + entry.count;
        const recent = hold(rows, Buffer.from(entry.payload));
        recent.end = offset;
        today.events += rows.length;
      }
      if (entries.length === 0) break;
    }
  }

  // --- rolls ---

  let rolling = Promise.resolve();
  /** What the engine works on besides: it must not be closed under a statement. */
  const drops = new Set<Promise<void>>();
  const queries = new Set<Promise<void>>();
  const stopping = new AbortController();

  function seal(): void {
    if (current === undefined) return;
    sealed.push(current);
    current = undefined;
    rolling = rolling.then(rollSealed);
  }

  /** Oldest first; what fails stays, and is tried again by `tend`. */
  async function rollSealed(): Promise<void> {
    while (sealed[0] !== undefined && !stopping.signal.aborted) {
      try {
        await roll(sealed[0]);
      } catch (error) {
        if (!stopping.signal.aborted) log.warn("observability.roll_failed", { events: sealed[0].table.rows, error });
        return;
      }
    }
  }

  async function roll(recent: Recent): Promise<void> {
    const { table } = recent;
    await recent.appended;
    const name = await table.use();
    const written: StoredFile[] = [];
    try {
      const connection = await writer();
      const hours = await connection.all<{ hour: bigint }>(`SELECT DISTINCT ts // ${HOUR_MS} AS hour FROM ${name} ORDER BY hour`);
      for (const { hour } of hours) written.push(await writeHour(connection, name, Number(hour), table));
      // Visible from here on.
      await meta.transaction(async (tx) => {
        for (const { blob, from, to, events, bytes } of written) {
          await leases.settle(tx, blob);
          await tx.run(
            "INSERT INTO observability_files (blob, from_ms, to_ms, events, bytes, created_on) VALUES (?, ?, ?, ?, ?, ?)",
            blob,
            from,
            to,
            events,
            bytes,
            clock.now(),
          );
        }
        if (recent.end > 0) {
          await tx.run(
            "INSERT INTO observability_position (id, journal_offset) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET journal_offset = excluded.journal_offset",
            recent.end,
          );
        }
      });
    } catch (error) {
      for (const { blob } of written) await leases.discard(blob);
      throw error;
    } finally {
      table.release();
    }
    files = [...files, ...written];
    sealed.shift();
    const gone = table.drop();
    drops.add(gone);
    void gone.then(() => drops.delete(gone));
    await journal.trim(recent.end);
    log.debug("observability.rolled", { events: table.rows, files: written.length });
  }

  async function writeHour(connection: Connection, name: string, hour: number, table: RecentTable): Promise<StoredFile> {
    const blob = await leases.take();
    const path = join(blobs.scratch, `observability-${blob}.parquet`);
    try {
      const [from, to] = [hour * HOUR_MS, (hour + 1) * HOUR_MS];
      const file = await copyToParquet(
        connection,
        `SELECT * FROM ${name} WHERE ts >= ${from} AND ts < ${to} ORDER BY id`,
        path,
        { compression: "zstd", rowGroupBytes: 16 * 1024 * 1024, rowBytes: table.bytes / table.rows },
        stopping.signal,
      );
      if (file === undefined) throw new Error(`hour ${hour} of ${name} has no events`);
      await blobs.adopt(path, blob);
      const span = await connection.get<{ first: bigint; last: bigint }>(
        `SELECT min(ts) AS first, max(ts) AS last FROM ${name} WHERE ts >= ${from} AND ts < ${to}`,
      );
      return { blob, from: Number(span?.first), to: Number(span?.last), events: file.rows, bytes: file.bytes };
    } catch (error) {
      await rm(path, { force: true });
      await leases.discard(blob);
      throw error;
    }
  }

  // --- retention ---

  const horizon = (): number => clock.now() - config["observability.retention_days"] * DAY_MS;

  async function expire(): Promise<void> {
    const before = horizon();
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const gone: StoredFile[] = [];
    for (const file of files) {
      if (file.to >= before && bytes <= config["observability.stored_max_bytes"]) continue;
      gone.push(file);
      bytes -= file.bytes;
    }
    if (gone.length === 0) return;
    await meta.transaction(async (tx) => {
      for (const { blob } of gone) {
        await tx.run("DELETE FROM observability_files WHERE blob = ?", blob);
        await leases.revoke(tx, blob);
      }
    });
    const deleted = new Set(gone);
    files = files.filter((file) => !deleted.has(file));
    for (const { blob } of gone) await leases.discard(blob);
    log.info("observability.expired", { files: gone.length, events: gone.reduce((sum, { events }) => sum + events, 0) });
  }

  /** What time brings: hours end, files get old, failed rolls are tried again. */
  async function tend(): Promise<void> {
    const hour = (ms: number): number => Math.floor(ms / HOUR_MS);
    if (current !== undefined && hour(current.opened) !== hour(clock.now())) seal();
    else if (sealed.length > 0) rolling = rolling.then(rollSealed);
    await rolling;
    await expire();
    if (lost > 0) {
      log.warn("observability.events_lost", { events: lost, reason: "more events than the disk took" });
      lost = 0;
    }
  }

  await recover(journal);
  let tending: Promise<void> = Promise.resolve();
  const tended = (): Promise<void> => {
    tending = tending.then(tend).catch((error: unknown) => log.warn("observability.tend_failed", { error }));
    return tending;
  };
  const timer = setInterval(() => void tended(), TEND_MS).unref();

  return {
    add,
    horizon,
    stopping: stopping.signal,
    tend: tended,
    async sources(from, to) {
      const overlaps = (item: { readonly from: number; readonly to: number }): boolean => item.from < to && item.to >= from;
      // Taken together, before anything is awaited: a roll moves events from one to the other.
      const wanted = files.filter(overlaps);
      const recent = [...sealed, ...(current ? [current] : [])].map(({ table }) => table).filter(overlaps);
      const uses = await Promise.allSettled(recent.map((table) => table.use()));
      const local = await Promise.allSettled(wanted.map(({ blob }) => blobs.localFile(blob)));
      const connection = await (await engine()).connect();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      queries.add(ended);
      const release = async (): Promise<void> => {
        connection.close();
        queries.delete(ended);
        end();
        recent.forEach((table, i) => {
          if (uses[i]?.status === "fulfilled") table.release();
        });
        for (const file of local) if (file.status === "fulfilled") await file.value.release();
      };
      const failed = [...uses, ...local].find((one) => one.status === "rejected");
      if (failed !== undefined) {
        await release();
        throw failed.reason;
      }
      const paths = local.flatMap((file) => (file.status === "fulfilled" ? [literal(file.value.path)] : []));
      return {
        connection,
        items: [
          ...recent.map(({ name }) => name),
          ...(paths.length > 0 ? [`read_parquet([${paths.join(", ")}])`] : []),
          ...(recent.length + paths.length === 0 ? [NO_EVENTS] : []),
        ],
        rows: wanted.reduce((sum, { events }) => sum + events, 0) + recent.reduce((sum, { rows }) => sum + rows, 0),
        bytes: wanted.reduce((sum, { bytes }) => sum + bytes, 0) + recent.reduce((sum, { bytes }) => sum + bytes, 0),
        release,
      };
    },
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await tending;
      await rolling;
      await Promise.all(queries);
      await Promise.all([...drops, ...[...sealed, ...(current ? [current] : [])].map(({ table }) => table.settled())]);
      // The journal has what is in memory, once it has been written there.
      await Promise.all([...sealed, ...(current ? [current] : [])].map(({ appended }) => appended));
      if (opening !== undefined) (await opening).close();
    },
  };
}
