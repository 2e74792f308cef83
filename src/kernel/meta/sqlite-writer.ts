/**
 * The writing connection of the SQLite backend, on a thread of its own: a commit waits for the disk there, and the
 * main thread goes on serving. Speaks only with `sqlite.ts`; requests are answered in order.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { SqlValue } from "./meta.ts";

export interface Statement {
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

export type WriterRequest =
  /** Independent statements in one transaction: each may fail by itself, the rest commit (group commit). */
  | { readonly kind: "batch"; readonly statements: readonly Statement[] }
  | { readonly kind: "begin" | "commit" | "rollback" }
  | { readonly kind: "run" | "all"; readonly statement: Statement }
  | { readonly kind: "script"; readonly sql: string }
  | { readonly kind: "close" };

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly message: string; readonly errcode: number };

const STATEMENTS_MAX = 500;

const db = new DatabaseSync((workerData as { path: string }).path);
// FULL: a commit that was acknowledged survives power loss, not only a crash of the process.
db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;");
const statements = new Map<string, StatementSync>();

function prepare(sql: string): StatementSync {
  let statement = statements.get(sql);
  if (statement === undefined) {
    if (statements.size >= STATEMENTS_MAX) statements.clear();
    statement = db.prepare(sql);
    statements.set(sql, statement);
  }
  return statement;
}

const run = ({ sql, params }: Statement) => ({ changes: Number(prepare(sql).run(...params).changes) });

/** After some errors SQLite itself rolls back; what the transaction still runs would then commit by itself. */
function runInTransaction(statement: Statement): { changes: number } {
  if (!db.isTransaction) throw new Error("the transaction has been rolled back");
  return run(statement);
}

function outcome(work: () => unknown): Outcome {
  try {
    return { ok: true, value: work() };
  } catch (error) {
    const { message, errcode } = error as Error & { errcode?: number };
    return { ok: false, message, errcode: errcode ?? 0 };
  }
}

function batch(items: readonly Statement[]): Outcome[] {
  db.exec("BEGIN IMMEDIATE");
  const outcomes: Outcome[] = [];
  for (const item of items) {
    const result = outcome(() => run(item));
    // After some errors (a full disk) SQLite itself rolls back, and with it what the others have written.
    if (!db.isTransaction) return items.map(() => result);
    outcomes.push(result);
  }
  const committed = outcome(() => db.exec("COMMIT"));
  if (committed.ok) return outcomes;
  outcome(() => db.exec("ROLLBACK"));
  return items.map(() => committed);
}

function handle(request: WriterRequest): unknown {
  switch (request.kind) {
    case "batch":
      return batch(request.statements);
    case "begin":
      return db.exec("BEGIN IMMEDIATE");
    case "commit":
      return db.exec("COMMIT");
    case "rollback":
      return db.exec("ROLLBACK");
    case "run":
      return runInTransaction(request.statement);
    case "all":
      if (!db.isTransaction) throw new Error("the transaction has been rolled back");
      // Copied to plain objects: node:sqlite's rows have no prototype.
      return prepare(request.statement.sql)
        .all(...request.statement.params)
        .map((row) => ({ ...row }));
    case "script":
      return db.exec(request.sql);
    case "close":
      statements.clear();
      return db.close();
  }
}

parentPort?.on("message", (request: WriterRequest) => parentPort?.postMessage(outcome(() => handle(request))));
