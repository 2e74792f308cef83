/** SQL as the products with databases answer and take it. */

/** Bytes are lists of numbers. */
export type Value = string | number | null | readonly number[];

/** A name inside SQL. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Tables of users; those of SQLite and of the engine itself begin with these. */
export const TABLES =
  "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY name";
