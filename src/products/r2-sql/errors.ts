/**
 * R2 SQL's errors. Codes and texts as the real service answers them: 40003 for what is wrong with the text of a query,
 * 40004 for what is wrong with its meaning (docs/r2-sql/troubleshooting, sql-reference/limitations), 80007, 80011 and
 * 80016 for tokens and accounts. Messages behind the prefixes are the documented ones where there are any.
 */
import { defineErrors, type PlatformError } from "../../kernel/errors.ts";
import { IcebergError } from "../../protocols/iceberg/errors.ts";

export const r2SqlError = defineErrors("r2-sql", {
  invalidSql: { status: 400, apiCode: 40003, message: "invalid SQL" },
  invalidQuery: { status: 400, apiCode: 40004, message: "invalid query" },
  invalidBody: { status: 400, apiCode: 40001, message: "Invalid request body" },
  unsupportedMediaType: { status: 415, apiCode: 40001, message: "Content-Type must be application/json" },
  bodyTooLarge: { status: 413, apiCode: 40001, message: "Request body is too large" },
  unauthenticated: { status: 401, apiCode: 80007, message: "Unauthenticated." },
  invalidToken: { status: 403, apiCode: 80011, message: "Invalid token." },
  forbidden: { status: 403, apiCode: 10000, message: "Authentication error" },
  invalidAccount: { status: 400, apiCode: 80016, message: "Invalid account id" },
  notFound: { status: 404, apiCode: 10007, message: "Not found" },
  methodNotAllowed: { status: 405, apiCode: 10405, message: "Method not allowed." },
  catalogNotEnabled: { status: 404, apiCode: 40401, message: "R2 Data Catalog is not enabled on this bucket" },
  fileMissing: { status: 500, apiCode: 80002, message: "A data file of the table is missing from the bucket" },
  fileCorrupt: { status: 500, apiCode: 80003, message: "A file of the table cannot be read" },
  tooManyQueries: { status: 429, apiCode: 80004, message: "Too many queries are waiting; try again later", retryable: true },
  timeout: { status: 408, apiCode: 80005, message: "The query took longer than its time limit" },
  outOfMemory: { status: 400, apiCode: 80006, message: "The query needs more memory than it may use" },
  engineFailed: { status: 500, apiCode: 80001, message: "The query engine stopped unexpectedly; try again", retryable: true },
  notImplemented: { status: 501, apiCode: 10501, message: "Not implemented by this version of Freehold" },
});

/** The text cannot be a query of this dialect; `detail` is the documented sentence. */
export const invalidSql = (detail: string, cause?: unknown): PlatformError => r2SqlError("invalidSql", `invalid SQL: ${detail}`, { cause });

/** The text is understood, but names, types or values do not fit. */
export const invalidQuery = (detail: string, cause?: unknown): PlatformError =>
  r2SqlError("invalidQuery", `invalid query: ${detail}`, { cause });

/** A feature of SQL that the dialect leaves out. */
export const unsupported = (feature: string): PlatformError => invalidSql(`unsupported feature: ${feature}`);

/** Runs `work`; what it finds unsupported in a table becomes `r2-sql.notImplemented`. */
export function supported<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof IcebergError) || cause.kind !== "unsupported") throw cause;
    throw r2SqlError("notImplemented", cause.message, { cause });
  }
}
