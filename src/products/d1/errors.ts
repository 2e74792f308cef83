/** Every documented error of D1's REST API. Codes as clients of the real API report them; wrangler branches on 7502 and 7406. */
import { defineErrors } from "../../kernel/errors.ts";

export const d1Error = defineErrors("d1", {
  invalidProperty: { status: 400, apiCode: 7400, message: "Invalid property" },
  databaseNotFound: { status: 404, apiCode: 7404, message: "The database could not be found" },
  tooManyDatabases: { status: 400, apiCode: 7406, message: "You have reached the maximum number of D1 databases for your account." },
  /** The message is SQLite's. Invalid SQL is the caller's mistake (docs/d1/platform/release-notes, 2024-04-15). */
  query: { status: 400, apiCode: 7500, message: "Query failed" },
  overloaded: { status: 429, apiCode: 7500, message: "D1 DB is overloaded.", retryable: true },
  connectionLost: { status: 500, apiCode: 7500, message: "Network connection lost.", retryable: true },
  tooManyRestores: { status: 429, apiCode: 7500, message: "Too many Time Travel restores of this database; try again later." },
  nameTaken: { status: 400, apiCode: 7502, message: "Database already exists" },
  /** A token with D1 Read alone. */
  readOnly: { status: 403, apiCode: 10000, message: "Authentication error" },
  /** A presigned URL that does not exist, or no longer. */
  transferNotFound: { status: 404, apiCode: 7404, message: "This URL is not valid, or no longer" },
  transferDigest: { status: 400, apiCode: 7400, message: "The uploaded file does not match its etag" },
});
