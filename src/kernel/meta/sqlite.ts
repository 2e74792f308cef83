/**
 * `MetaStore` on one SQLite file. Reads run on this thread against the last committed state (WAL); writes go through
 * one connection on a thread of its own, one job after another, and single statements that wait together share a
 * commit.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { platformError } from "../errors.ts";
import type { MetaStore, MetaTransaction, SqlValue } from "./meta.ts";
import type { Outcome, Statement, WriterRequest } from "./sqlite-writer.ts";

export interface SqliteMeta extends MetaStore {
  /** Runs statements that return nothing, all or none: for migrations. */
  script(sql: string): Promise<void>;
  /** Waits for the jobs under way, then closes the file. */
  close(): Promise<void>;
}

type Job =
  | {
      readonly kind: "single";
      readonly statement: Statement;
      readonly resolve: (value: { changes: number }) => void;
      readonly reject: (error: Error) => void;
    }
  | { readonly kind: "exclusive"; readonly work: () => Promise<void> };

/** Most single statements in one commit, so that a burst does not delay the first of them for long. */
const BATCH_MAX = 200;
const STATEMENTS_MAX = 500;
const SQLITE_FULL = 13;

/** Opens or creates the database file. */
export async function openSqliteMeta(options: { path: string }): Promise<SqliteMeta> {
  // One file serves both forms of the project: TypeScript in a checkout, JavaScript in the package.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const writer = openWriter(new Worker(new URL(`./sqlite-writer.${extension}`, import.meta.url), { workerData: { path: options.path } }));
  await writer.call({ kind: "script", sql: "SELECT 1" });
  const reader = new DatabaseSync(options.path, { readOnly: true });
  reader.exec("PRAGMA busy_timeout = 5000");
  const statements = new Map<string, StatementSync>();
  const jobs: Job[] = [];
  let working = false;
  let closed = false;

  function prepare(sql: string): StatementSync {
    let statement = statements.get(sql);
    if (statement === undefined) {
      if (statements.size >= STATEMENTS_MAX) statements.clear();
      statement = reader.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  }

  function enqueue(job: Job): void {
    jobs.push(job);
    if (working) return;
    working = true;
    void work();
  }

  /** Never rejects: each job settles its own promise. `working` falls in the same turn in which the queue is seen empty. */
  async function work(): Promise<void> {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      if (job.kind === "exclusive") {
        await job.work();
        continue;
      }
      const batch = [job];
      while (batch.length < BATCH_MAX && jobs[0]?.kind === "single") batch.push(jobs.shift() as typeof job);
      try {
        const outcomes = (await writer.call({ kind: "batch", statements: batch.map((b) => b.statement) })) as Outcome[];
        batch.forEach((b, i) => {
          const outcome = outcomes[i] as Outcome;
          if (outcome.ok) b.resolve(outcome.value as { changes: number });
          else b.reject(sqlError(outcome));
        });
      } catch (error) {
        for (const b of batch) b.reject(error as Error);
      }
    }
    working = false;
  }

  /** Runs `fn` when its turn comes, alone on the writing connection. */
  function exclusive<T>(fn: () => Promise<T>): Promise<T> {
    if (closed) return Promise.reject(new Error("meta: the store is closed"));
    return new Promise<T>((resolve, reject) => enqueue({ kind: "exclusive", work: () => fn().then(resolve, reject) }));
  }

  /** The handle of one transaction. It is refused once that has ended: its statements would become part of another. */
  function openHandle(): { tx: MetaTransaction; end(): void } {
    let ended = false;
    const call = async (kind: "run" | "all", sql: string, params: readonly SqlValue[]): Promise<unknown> => {
      if (ended) throw new Error("meta: the transaction has ended");
      checkValues(params);
      return writer.call({ kind, statement: { sql, params } });
    };
    const tx: MetaTransaction = {
      run: (sql, ...params) => call("run", sql, params) as Promise<{ changes: number }>,
      all: <T>(sql: string, ...params: SqlValue[]) => call("all", sql, params) as Promise<T[]>,
      get: async <T>(sql: string, ...params: SqlValue[]) => ((await call("all", sql, params)) as T[])[0],
    };
    return {
      tx,
      end: () => {
        ended = true;
      },
    };
  }

  return {
    async all<T>(sql: string, ...params: SqlValue[]) {
      checkValues(params);
      return prepare(sql).all(...params) as T[];
    },
    async get<T>(sql: string, ...params: SqlValue[]) {
      checkValues(params);
      return prepare(sql).get(...params) as T | undefined;
    },
    async run(sql, ...params) {
      if (closed) throw new Error("meta: the store is closed");
      checkValues(params);
      return new Promise((resolve, reject) => enqueue({ kind: "single", statement: { sql, params }, resolve, reject }));
    },
    transaction: (fn) =>
      exclusive(async () => {
        await writer.call({ kind: "begin" });
        const { tx, end } = openHandle();
        try {
          const value = await fn(tx);
          end();
          await writer.call({ kind: "commit" });
          return value;
        } catch (error) {
          end();
          // SQLite itself has rolled back after some errors (a full disk); then there is nothing left to undo.
          await writer.call({ kind: "rollback" }).catch(() => undefined);
          throw error;
        }
      }),
    script: (sql) =>
      exclusive(async () => {
        await writer.call({ kind: "begin" });
        try {
          await writer.call({ kind: "script", sql });
          await writer.call({ kind: "commit" });
        } catch (error) {
          await writer.call({ kind: "rollback" }).catch(() => undefined);
          throw error;
        }
      }),
    async close() {
      if (closed) return;
      const idle = exclusive(async () => undefined);
      closed = true;
      await idle;
      statements.clear();
      reader.close();
      await writer.call({ kind: "close" });
      await writer.end();
    },
  };
}

/** SQLite would take an object as named parameters, and bind nothing for those it does not find. */
function checkValues(params: readonly unknown[]): void {
  for (const value of params) {
    if (value === null || typeof value === "string" || typeof value === "number" || value instanceof Uint8Array) continue;
    throw new TypeError(`meta: a value is a string, a number, null or bytes, not ${typeof value}`);
  }
}

function openWriter(thread: Worker): { call(request: WriterRequest): Promise<unknown>; end(): Promise<void> } {
  const waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  let failure: Error | undefined;
  const fail = (error: Error) => {
    failure = error;
    for (const call of waiting.splice(0)) call.reject(error);
  };
  thread.on("message", (outcome: Outcome) => {
    const call = waiting.shift();
    if (outcome.ok) call?.resolve(outcome.value);
    else call?.reject(sqlError(outcome));
  });
  thread.on("error", (cause) => fail(new Error("meta: the writing thread failed", { cause })));
  thread.on("exit", () => fail(new Error("meta: the writing thread has ended")));
  return {
    call: (request) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure);
        // First the message: one that cannot be sent throws here, and must leave nobody waiting for an answer.
        thread.postMessage(request);
        waiting.push({ resolve, reject });
      }),
    end: async () => {
      await thread.terminate();
    },
  };
}

function sqlError(outcome: Outcome & { ok: false }): Error {
  const cause = Object.assign(new Error(outcome.message), { errcode: outcome.errcode });
  if ((outcome.errcode & 0xff) === SQLITE_FULL) return platformError("storageFull", undefined, { cause });
  return cause;
}
