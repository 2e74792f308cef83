/**
 * Names for prepared statements that are equal for equal statements, whoever prepares them: so that a server connection
 * parses a statement once, and every connection of the pool can serve a client that prepared it on another.
 */
import { createHash } from "node:crypto";
import { textAt } from "./messages.ts";
import type { Statement } from "./origin.ts";

/** The statement of a Parse message, and the name that the client gave it. */
export function statementOf(parse: Buffer): { readonly given: string; readonly statement: Statement } {
  const [given, sqlAt] = textAt(parse, 5);
  const [sql, typesAt] = textAt(parse, sqlAt);
  // A copy: the message is part of a larger buffer, and statements stay.
  const types = Buffer.from(parse.subarray(typesAt));
  if (given === "") return { given, statement: { name: "", sql, types } };
  const hash = createHash("sha256").update(types).update(sql).digest("base64url").slice(0, 32);
  return { given, statement: { name: `freehold_${hash}`, sql, types } };
}
