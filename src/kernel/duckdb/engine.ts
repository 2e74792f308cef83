/**
 * DuckDB behind a small interface: an in-memory instance that is locked down before the first statement of a caller
 * runs, connections with prepared parameters, results in chunks, errors by kind. Not a SQL dialect: what users may
 * write is decided by the product, before anything comes here.
 *
 * Invariant: SQL can reach the directories it was opened with and nothing else: no other file, no network, no
 * extension, no setting, whatever the statement says. Work runs on DuckDB's own threads, never on the event loop.
 * Nothing is closed under a statement that runs, which would crash the process: closing interrupts it and waits for it.
 */
import { availableParallelism } from "node:os";
import duckdb, {
  type DuckDBConnection,
  type DuckDBScalarFunction,
  type DuckDBType,
  type DuckDBValue,
  version as engineVersion,
} from "@duckdb/node-api";
import { DuckDbError, duckDbError } from "./errors.ts";
import { Rows } from "./rows.ts";

export { DuckDbError } from "./errors.ts";
export { Rows } from "./rows.ts";

export interface DuckDbOptions extends InstanceOptions {
  /** Directories, with everything below them, that statements may read and write. Absolute. */
  readonly directories: readonly string[];
}

export interface InstanceOptions {
  /** Directory to which large queries spill; made when it is needed. Also readable by statements. */
  readonly spill: string;
  /** Bound on the memory of all connections together; past it queries spill, then fail with kind "memory". */
  readonly memoryMb: number;
  /** Threads for all connections together; by default one per core. */
  readonly threads?: number;
  /** Functions in JavaScript, for what SQL cannot say. They run on this process's main thread. */
  readonly functions?: readonly DuckDBScalarFunction[];
  /** Statements that run once before the lock: macros, settings that differ from the default. Trusted text. */
  readonly setup?: readonly string[];
}

export interface RunOptions {
  /** Interrupts the statement; it then fails with kind "interrupted". */
  readonly signal?: AbortSignal;
}

/** Positional ($1, $2, …) or named ($name) parameters. */
export type Params = readonly DuckDBValue[] | Readonly<Record<string, DuckDBValue>>;

/** An open instance to which no caller has access yet. Opening takes about 15 ms: one can be kept ready for the next query. */
export interface PreparedDuckDb {
  /** Gives statements exactly these directories and single files, then freezes the configuration. Once. */
  lock(access: { readonly directories?: readonly string[]; readonly files?: readonly string[] }): Promise<DuckDb>;
}

/** One instance. Connections share its memory, threads, tables and macros. */
export interface DuckDb {
  connect(): Promise<Connection>;
  /** Runs `work` on a connection of its own and closes that afterwards. */
  use<T>(work: (connection: Connection) => Promise<T>): Promise<T>;
  /** Ends the instance, once statements that still run have been interrupted. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** One session: temporary tables and transactions are its own. Runs one statement at a time. */
export interface Connection {
  /** Runs a statement to its end; gives the number of rows that it changed or copied. */
  run(sql: string, params?: Params, options?: RunOptions): Promise<number>;
  /** Every row in memory, as objects with JavaScript values (`Rows.objects`). For small results. */
  all<T = Record<string, unknown>>(sql: string, params?: Params, options?: RunOptions): Promise<T[]>;
  /** The first row, or undefined. */
  get<T = Record<string, unknown>>(sql: string, params?: Params, options?: RunOptions): Promise<T | undefined>;
  /**
   * Rows in chunks, with column names and types. The engine holds the whole result, within its memory and on disk past
   * it: the driver's streaming results end without a word when a query fails after its first rows.
   */
  query(sql: string, params?: Params, options?: RunOptions): Promise<Rows>;
  /** Column names and DuckDB types of a query, found by binding it; nothing runs. */
  describe(sql: string): Promise<{ name: string; type: DuckDBType }[]>;
  /** Stops the running statement, which then fails with kind "interrupted". */
  interrupt(): void;
  /** Ends the session, once a statement that still runs has been interrupted. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** DuckDB's version: "v1.5.6". */
export const duckDbVersion = (): string => engineVersion();

/** A string as an SQL literal, for places where DuckDB takes no parameter (paths in COPY and table functions). */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A name as a quoted SQL identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export async function openDuckDb(options: DuckDbOptions): Promise<DuckDb> {
  return (await prepareDuckDb(options)).lock({ directories: options.directories });
}

/** The first half of `openDuckDb`; `lock` is the second. */
export async function prepareDuckDb(options: InstanceOptions): Promise<PreparedDuckDb> {
  const instance = await duckdb.DuckDBInstance.create(":memory:", {
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    allow_community_extensions: "false",
    allow_unsigned_extensions: "false",
    memory_limit: `${Math.floor(options.memoryMb)}MiB`,
    threads: String(options.threads ?? availableParallelism()),
    temp_directory: options.spill,
  });
  try {
    const connection = await instance.connect();
    // Results must not depend on where the machine stands.
    await connection.run("SET GLOBAL TimeZone = 'UTC'");
    for (const scalar of options.functions ?? []) connection.registerScalarFunction(scalar);
    for (const statement of options.setup ?? []) await connection.run(statement);
    return {
      async lock({ directories = [], files = [] }) {
        try {
          await connection.run(`SET GLOBAL allowed_directories = [${directories.map(literal).join(", ")}]`);
          await connection.run(`SET GLOBAL allowed_paths = [${files.map(literal).join(", ")}]`);
          // From here on no statement can undo the lock: the configuration itself is frozen.
          await connection.run("SET GLOBAL enable_external_access = false");
          await connection.run("SET GLOBAL lock_configuration = true");
          connection.closeSync();
        } catch (cause) {
          instance.closeSync();
          throw duckDbError(cause);
        }
        return database(instance);
      },
    };
  } catch (cause) {
    instance.closeSync();
    throw duckDbError(cause);
  }
}

/** How long closing waits for a statement that does not listen. It is then left as it is: a leak, where closing would crash. */
const CLOSE_GRACE_MS = 10_000;
/** An interruption that comes before its statement has begun is lost, so that it is said again. */
const INTERRUPT_AGAIN_MS = 20;

/** A session that knows whether it could be closed. */
interface Session extends Connection {
  readonly open: boolean;
}

const closedError = (): DuckDbError => new DuckDbError("closed", "the database is closed");

function database(instance: duckdb.DuckDBInstance): DuckDb {
  const open = new Set<Session>();
  const connecting = new Set<Promise<Connection>>();
  let closing: Promise<void> | undefined;
  const make = async (): Promise<Connection> => {
    const connection = session(await instance.connect(), () => open.delete(connection));
    open.add(connection);
    if (closing === undefined) return connection;
    await connection.close();
    throw closedError();
  };
  const connect = async (): Promise<Connection> => {
    if (closing !== undefined) throw closedError();
    const made = make();
    connecting.add(made);
    try {
      return await made;
    } finally {
      connecting.delete(made);
    }
  };
  const close = async (): Promise<void> => {
    // Those that are being made see that it closes.
    await Promise.allSettled(connecting);
    const sessions = [...open];
    await Promise.all(sessions.map((connection) => connection.close()));
    if (!sessions.some((connection) => connection.open)) instance.closeSync();
  };
  return {
    connect,
    async use(work) {
      const connection = await connect();
      try {
        return await work(connection);
      } finally {
        await connection.close();
      }
    },
    close: () => (closing ??= close()),
  };
}

function session(connection: DuckDBConnection, onClose: () => void): Session {
  const running = new Set<Promise<unknown>>();
  let closing: Promise<void> | undefined;
  let open = true;

  /** Interrupts what runs again and again; gives the end of that. */
  const interrupting = (): (() => void) => {
    connection.interrupt();
    const again = setInterval(() => connection.interrupt(), INTERRUPT_AGAIN_MS);
    return () => clearInterval(again);
  };
  /** Work that the connection must outlive. */
  const held = async <T>(work: () => Promise<T>): Promise<T> => {
    if (closing !== undefined) throw closedError();
    const run = work();
    running.add(run);
    try {
      return await run;
    } catch (cause) {
      throw duckDbError(cause);
    } finally {
      running.delete(run);
    }
  };
  const guarded = async <T>(options: RunOptions | undefined, work: () => Promise<T>): Promise<T> => {
    const signal = options?.signal;
    if (signal?.aborted) throw new DuckDbError("interrupted", "the statement was interrupted");
    let enough: (() => void) | undefined;
    const onAbort = (): void => {
      enough = interrupting();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await held(work);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      enough?.();
    }
  };
  // A statement with parameters is prepared, which plans it twice: 3 ms and more of a small query of many files.
  const values = (params: Params = []): DuckDBValue[] | Record<string, DuckDBValue> | undefined =>
    Object.keys(params).length === 0 ? undefined : (params as DuckDBValue[] | Record<string, DuckDBValue>);

  const query = async (sql: string, params?: Params, options?: RunOptions): Promise<Rows> =>
    guarded(options, async () => new Rows(await connection.run(sql, values(params)), held, options?.signal));

  const close = async (): Promise<void> => {
    if (running.size > 0) {
      const enough = interrupting();
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<"late">((resolve) => {
        timer = setTimeout(() => resolve("late"), CLOSE_GRACE_MS);
      });
      const ended = await Promise.race([Promise.allSettled(running), patience]);
      clearTimeout(timer);
      enough();
      if (ended === "late") return;
    }
    connection.closeSync();
    open = false;
    onClose();
  };

  return {
    get open() {
      return open;
    },
    run: (sql, params, options) => guarded(options, async () => (await connection.run(sql, values(params))).rowsChanged),
    query,
    async all<T>(sql: string, params?: Params, options?: RunOptions): Promise<T[]> {
      return (await query(sql, params, options)).objects() as Promise<T[]>;
    },
    async get<T>(sql: string, params?: Params, options?: RunOptions): Promise<T | undefined> {
      return (await (await query(sql, params, options)).objects())[0] as T | undefined;
    },
    describe: (sql) =>
      held(async () => {
        const statement = await connection.prepare(sql);
        try {
          return Array.from({ length: statement.columnCount }, (_, i) => ({
            name: statement.columnName(i),
            type: statement.columnType(i),
          }));
        } finally {
          statement.destroySync();
        }
      }),
    interrupt: () => {
      if (open) connection.interrupt();
    },
    close: () => (closing ??= close()),
  };
}
