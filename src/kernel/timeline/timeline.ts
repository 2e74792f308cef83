/**
 * Rows with a time, kept for a while and queried by SQL. A row goes to the journal and to a table in memory; when a period
 * is over, or the table is large, the table becomes Parquet files, one for each period, in the blob store. Order of writes of
 * such a roll: file, then one transaction with the files' rows and the journal's position, which makes them visible, then the
 * journal is trimmed. A crash before the transaction leaves an orphan that its lease deletes; after a start the journal fills
 * the table again.
 *
 * Invariant: a row whose `add` resolved with true is found once by every later query until it is past its retention.
 */
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BlobId } from "../blobs/blobs.ts";
import { type Connection, type DuckDb, literal, openDuckDb } from "../duckdb/engine.ts";
import { copyToParquet } from "../duckdb/parquet.ts";
import type { KernelSlice } from "../product.ts";
import { type Columns, RecentTable, storedType } from "./recent-table.ts";

const TEND_MS = 10_000;
const READ_BYTES = 4 * 1024 * 1024;

export interface TimelineOptions {
  /** Prefix of log events and of the tables `…_files` and `…_position`, which the product's migrations make. */
  readonly name: string;
  /** DuckDB types by name; `ts`, milliseconds since the epoch, is one of them. */
  readonly columns: Columns;
  /** ORDER BY of a file's rows. */
  readonly order: string;
  /** A file has rows of one period. */
  readonly periodMs: number;
  readonly retentionMs: number;
  /** Bytes of files past which the oldest go first. */
  readonly storedMaxBytes: number;
  /** Rows in memory of this size become files before their period is over. */
  readonly rollBytes: number;
  /** Bytes of rows that wait to become files; past it new ones are lost. */
  readonly pendingMaxBytes: number;
  readonly memoryMb: number;
}

/** Rows as JSON objects, with the times of the first and the last of them. */
export interface Batch {
  readonly rows: readonly string[];
  readonly from: number;
  readonly to: number;
}

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

export interface Timeline {
  /**
   * Adds rows, which the next query sees. Resolves with true once they survive a crash, and with false when they are lost, or
   * will be if the process ends before they are in a file; the log says how many. Never rejects.
   */
  add(batch: Batch): Promise<boolean>;
  /** Everything that may lie in the window. */
  sources(from: number, to: number): Promise<Sources>;
  /** Rows since a time, as far as whole files and tables tell. */
  rowsSince(from: number): number;
  /** Nothing before this time is shown. */
  horizon(): number;
  /** Aborted when the timeline stops: queries should end. */
  readonly stopping: AbortSignal;
  /** Does what the time asks for: files of periods that are over, deletes what is old. Also happens by itself. */
  tend(): Promise<void>;
  stop(): Promise<void>;
}

/** JSON.stringify escapes half of a surrogate pair, and nothing else of that range; DuckDB takes no such text. */
const wellFormed = (json: string): string =>
  json.includes("\\ud") ? json.replace(/\\\\|\\ud[89a-f][0-9a-f]{2}/g, (found) => (found === "\\\\" ? found : "\\ufffd")) : json;

/** The rows of a journal's entry, one a line; entries of the first version are one JSON array. */
const rowsIn = (text: string): string[] =>
  text.startsWith("[") ? (JSON.parse(text) as unknown[]).map((row) => wellFormed(JSON.stringify(row))) : text.split("\n");

export type TimelineParts = Pick<KernelSlice, "meta" | "blobs" | "leases" | "journals" | "clock" | "log" | "directory">;

export async function openTimeline(kernel: TimelineParts, options: TimelineOptions): Promise<Timeline> {
  const { meta, blobs, leases, clock, log } = kernel;
  const { name, columns, periodMs } = options;
  const journal = await kernel.journals.open(name.replaceAll("_", "-"));
  let files = (
    await meta.all<{ blob: BlobId; from_ms: number; to_ms: number; events: number; bytes: number }>(
      `SELECT blob, from_ms, to_ms, events, bytes FROM ${name}_files ORDER BY from_ms LIMIT 1000000`,
    )
  ).map(({ blob, from_ms, to_ms, events, bytes }): StoredFile => ({ blob, from: from_ms, to: to_ms, events, bytes }));
  const noRows = `(SELECT ${Object.entries(columns)
    .map(([column, type]) => `NULL::${storedType(type)} AS ${column}`)
    .join(", ")} LIMIT 0)`;

  // --- the engine, opened when it is first needed: a platform without rows pays nothing for it ---

  let opening: Promise<DuckDb> | undefined;
  let writing: Promise<Connection> | undefined;
  async function open(): Promise<DuckDb> {
    const spill = join(kernel.directory, "spill");
    await rm(spill, { recursive: true, force: true });
    await mkdir(kernel.directory, { recursive: true });
    // The directory of the blobs: products make the statements, whose tables are the sources below and nothing else.
    return openDuckDb({ directories: [dirname(blobs.scratch)], spill, memoryMb: options.memoryMb, threads: 2 });
  }
  const engine = (): Promise<DuckDb> => (opening ??= open());
  const writer = (): Promise<Connection> => (writing ??= engine().then((db) => db.connect()));

  // --- recent rows ---

  interface Recent {
    readonly table: RecentTable;
    readonly opened: number;
    /** The appends of its rows, one after the other, and the journal's offset after them. */
    appended: Promise<void>;
    end: number;
  }
  let tables = 0;
  let current: Recent | undefined;
  const sealed: Recent[] = [];
  let lost = 0;

  const recents = (): Recent[] => [...sealed, ...(current ? [current] : [])];
  const held = (): number => recents().reduce((sum, { table }) => sum + table.bytes, 0);

  const tableOf = (): Recent =>
    (current ??= {
      table: new RecentTable(`recent_${++tables}`, columns, writer()),
      opened: clock.now(),
      appended: Promise.resolve(),
      end: 0,
    });

  function hold(lines: Uint8Array, rows: number, from: number, to: number): Recent {
    const recent = tableOf();
    recent.table.add(lines, rows, from, to);
    if (recent.table.bytes >= options.rollBytes) seal();
    return recent;
  }

  function add(batch: Batch): Promise<boolean> {
    if (batch.rows.length === 0) return Promise.resolve(true);
    const payload = Buffer.from(wellFormed(batch.rows.join("\n")));
    if (held() + payload.length > options.pendingMaxBytes) {
      lost += batch.rows.length;
      return Promise.resolve(false);
    }
    const recent = hold(payload, batch.rows.length, batch.from, batch.to);
    const append = journal.append(payload, batch.rows.length).then(
      (offset) => {
        recent.end = Math.max(recent.end, offset + batch.rows.length);
        return true;
      },
      // They stay in memory, and will be in a file if the process lives until then.
      (error: unknown) => {
        log.warn(`${name}.not_journaled`, { events: batch.rows.length, error });
        return false;
      },
    );
    recent.appended = recent.appended.then(() => append).then(() => undefined);
    return append;
  }

  /** Fills the tables with what the journal has and no file. */
  async function recover(): Promise<void> {
    const row = await meta.get<{ journal_offset: number }>(`SELECT journal_offset FROM ${name}_position WHERE id = 1`);
    let offset = Math.max(row?.journal_offset ?? 0, journal.start);
    while (offset < journal.end) {
      const entries = await journal.read(offset, READ_BYTES);
      for (const entry of entries) {
        const rows = rowsIn(Buffer.from(entry.payload).toString("utf8"));
        offset = entry.offset + entry.count;
        const times = rows.map((row) => (JSON.parse(row) as { ts: number }).ts);
        const [from, to] = times.reduce(
          ([a, b], ts) => [Math.min(a, ts), Math.max(b, ts)],
          [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
        );
        hold(Buffer.from(rows.join("\n")), rows.length, from as number, to as number).end = offset;
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
        if (!stopping.signal.aborted) log.warn(`${name}.roll_failed`, { events: sealed[0].table.rows, error });
        return;
      }
    }
  }

  async function roll(recent: Recent): Promise<void> {
    const { table } = recent;
    await recent.appended;
    await table.use();
    const written: StoredFile[] = [];
    try {
      const connection = await writer();
      const periods = await connection.all<{ period: bigint }>(
        `SELECT DISTINCT ts // ${periodMs} AS period FROM ${table.name} ORDER BY period`,
      );
      for (const { period } of periods) written.push(await writePeriod(connection, table, Number(period)));
      // Visible from here on.
      await meta.transaction(async (tx) => {
        for (const { blob, from, to, events, bytes } of written) {
          await leases.settle(tx, blob);
          await tx.run(
            `INSERT INTO ${name}_files (blob, from_ms, to_ms, events, bytes, created_on) VALUES (?, ?, ?, ?, ?, ?)`,
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
            `INSERT INTO ${name}_position (id, journal_offset) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET journal_offset = excluded.journal_offset`,
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
    log.debug(`${name}.rolled`, { events: table.rows, files: written.length });
  }

  async function writePeriod(connection: Connection, table: RecentTable, period: number): Promise<StoredFile> {
    const blob = await leases.take();
    const path = join(blobs.scratch, `${name}-${blob}.parquet`);
    try {
      const [from, to] = [period * periodMs, (period + 1) * periodMs];
      const file = await copyToParquet(
        connection,
        `SELECT * FROM ${table.name} WHERE ts >= ${from} AND ts < ${to} ORDER BY ${options.order}`,
        path,
        { compression: "zstd", rowGroupBytes: 16 * 1024 * 1024, rowBytes: table.bytes / table.rows },
        stopping.signal,
      );
      if (file === undefined) throw new Error(`period ${period} of ${table.name} has no rows`);
      await blobs.adopt(path, blob);
      const span = await connection.get<{ first: bigint; last: bigint }>(
        `SELECT min(ts) AS first, max(ts) AS last FROM ${table.name} WHERE ts >= ${from} AND ts < ${to}`,
      );
      return { blob, from: Number(span?.first), to: Number(span?.last), events: file.rows, bytes: file.bytes };
    } catch (error) {
      await rm(path, { force: true });
      await leases.discard(blob);
      throw error;
    }
  }

  // --- retention ---

  const horizon = (): number => clock.now() - options.retentionMs;

  async function expire(): Promise<void> {
    const before = horizon();
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const gone: StoredFile[] = [];
    for (const file of files) {
      if (file.to >= before && bytes <= options.storedMaxBytes) continue;
      gone.push(file);
      bytes -= file.bytes;
    }
    if (gone.length === 0) return;
    await meta.transaction(async (tx) => {
      for (const { blob } of gone) {
        await tx.run(`DELETE FROM ${name}_files WHERE blob = ?`, blob);
        await leases.revoke(tx, blob);
      }
    });
    const deleted = new Set(gone);
    files = files.filter((file) => !deleted.has(file));
    for (const { blob } of gone) await leases.discard(blob);
    log.info(`${name}.expired`, { files: gone.length, events: gone.reduce((sum, { events }) => sum + events, 0) });
  }

  /** What time brings: periods end, files get old, failed rolls are tried again. */
  async function tend(): Promise<void> {
    const period = (ms: number): number => Math.floor(ms / periodMs);
    if (current !== undefined && period(current.opened) !== period(clock.now())) seal();
    else if (sealed.length > 0) rolling = rolling.then(rollSealed);
    await rolling;
    await expire();
    if (lost > 0) {
      log.warn(`${name}.events_lost`, { events: lost, reason: "more rows than the disk took" });
      lost = 0;
    }
  }

  await recover();
  let tending: Promise<void> = Promise.resolve();
  const tended = (): Promise<void> => {
    tending = tending.then(tend).catch((error: unknown) => log.warn(`${name}.tend_failed`, { error }));
    return tending;
  };
  const timer = setInterval(() => void tended(), TEND_MS).unref();

  async function sources(from: number, to: number): Promise<Sources> {
    const overlaps = (item: { readonly from: number; readonly to: number }): boolean => item.from < to && item.to >= from;
    // Taken together, before anything is awaited: a roll moves rows from one to the other.
    const wanted = files.filter(overlaps);
    const recent = recents()
      .map(({ table }) => table)
      .filter(overlaps);
    const uses = await Promise.allSettled(recent.map((table) => table.use()));
    const local = await Promise.allSettled(wanted.map(({ blob }) => blobs.localFile(blob)));
    const connection = await (await engine()).connect();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    queries.add(ended);
    const release = async (): Promise<void> => {
      await connection.close();
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
        ...recent.map((table) => table.name),
        ...(paths.length > 0 ? [`read_parquet([${paths.join(", ")}])`] : []),
        ...(recent.length + paths.length === 0 ? [noRows] : []),
      ],
      rows: wanted.reduce((sum, { events }) => sum + events, 0) + recent.reduce((sum, { rows }) => sum + rows, 0),
      bytes: wanted.reduce((sum, { bytes }) => sum + bytes, 0) + recent.reduce((sum, { bytes }) => sum + bytes, 0),
      release,
    };
  }

  return {
    add,
    sources,
    horizon,
    stopping: stopping.signal,
    tend: tended,
    rowsSince: (from) =>
      files.reduce((sum, { to, events }) => sum + (to >= from ? events : 0), 0) +
      recents().reduce((sum, { table }) => sum + (table.to >= from ? table.rows : 0), 0),
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await tending;
      await rolling;
      await Promise.all(queries);
      await Promise.all([...drops, ...recents().map(({ table }) => table.settled())]);
      // The journal has what is in memory, once it has been written there.
      await Promise.all(recents().map(({ appended }) => appended));
      if (opening !== undefined) await (await opening).close();
    },
  };
}
