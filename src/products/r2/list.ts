/**
 * Listing a bucket in byte order, with groups by delimiter. Each query starts where the last one ended, and a
 * group that has been reported is skipped with one seek, so a page costs what it returns, not what it passes.
 * Always the newest state; a page is not a snapshot.
 */
import type { SqlValue } from "../../kernel/meta/meta.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { LIST_MAX } from "./limits.ts";
import type { Bucket, StoredObject } from "./model.ts";
import { keyBytes, keyText, OBJECT_COLUMNS, type ObjectRow, toObject } from "./rows.ts";

export interface ListOptions {
  readonly prefix?: string | undefined;
  readonly delimiter?: string | undefined;
  /** Keys up to and including this one are left out. */
  readonly startAfter?: string | undefined;
  readonly cursor?: string | undefined;
  /** At most 1,000 keys and groups together. */
  readonly limit?: number | undefined;
  /** Ends the page early, at least after one item: for answers that have a bound in bytes. */
  readonly full?: ((object: StoredObject) => boolean) | undefined;
}

export interface Listing {
  readonly objects: readonly StoredObject[];
  readonly prefixes: readonly string[];
  readonly truncated: boolean;
  /** Continues after the last item; undefined unless truncated. */
  readonly cursor: string | undefined;
  /** Key or group that the page ends with; for ListObjects' NextMarker. */
  readonly last: string | undefined;
}

/** Rows read at a time where groups are expected: most of a dense group would be thrown away. */
const GROUPED_BATCH = 100;
const CURSOR_VERSION = 1;

/** Where to go on: after a key, or after everything that begins with a prefix. */
interface Position {
  readonly bytes: Buffer;
  readonly whole: boolean;
}

export async function listObjects(r2: R2, bucket: Bucket, options: ListOptions): Promise<Listing> {
  const limit = options.limit ?? LIST_MAX;
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX) throw r2Error("invalidMaxKeys");
  // Stored keys are NFC, so what is compared with them is.
  const prefix = keyBytes((options.prefix ?? "").normalize("NFC"));
  const delimiter = keyBytes((options.delimiter ?? "").normalize("NFC"));
  const grouped = delimiter.length > 0;
  let position = startPosition(options, grouped ? delimiter : undefined, prefix);

  const objects: StoredObject[] = [];
  const prefixes: string[] = [];
  let last: Position | undefined;
  const done = (truncated: boolean): Listing => ({
    objects,
    prefixes,
    truncated,
    cursor: truncated && last !== undefined ? encodeCursor(last) : undefined,
    last: last && keyText(last.bytes),
  });

  for (;;) {
    const room = limit - objects.length - prefixes.length;
    const rows = await readRows(r2, bucket, prefix, position, grouped ? Math.min(room + 1, GROUPED_BATCH) : room + 1);
    if (rows.length === 0) return done(false);
    let group: Buffer | undefined;
    for (const row of rows) {
      const key = Buffer.from(row.key.buffer, row.key.byteOffset, row.key.byteLength);
      if (group !== undefined && key.subarray(0, group.length).equals(group)) continue;
      group = undefined;
      if (objects.length + prefixes.length === limit) return done(true);
      const end = grouped ? key.indexOf(delimiter, prefix.length) : -1;
      if (end === -1) {
        const object = toObject(row);
        if (options.full?.(object) && last !== undefined) return done(true);
        objects.push(object);
        last = { bytes: key, whole: false };
      } else {
        group = key.subarray(0, end + delimiter.length);
        prefixes.push(keyText(group));
        last = { bytes: group, whole: true };
      }
    }
    position = last;
  }
}

async function readRows(r2: R2, bucket: Bucket, prefix: Buffer, position: Position | undefined, count: number): Promise<ObjectRow[]> {
  const where = ["bucket_id = ?"];
  const values: SqlValue[] = [bucket.id];
  const low = position === undefined || Buffer.compare(prefix, position.bytes) > 0 ? { bytes: prefix, whole: undefined } : position;
  if (low.whole === undefined) {
    if (prefix.length > 0) where.push("key >= ?") && values.push(prefix);
  } else if (!low.whole) {
    where.push("key > ?") && values.push(low.bytes);
  } else {
    const next = successor(low.bytes);
    if (next === undefined) return [];
    where.push("key >= ?") && values.push(next);
  }
  const high = successor(prefix);
  if (high !== undefined) where.push("key < ?") && values.push(high);
  return r2.meta.all<ObjectRow>(
    `SELECT ${OBJECT_COLUMNS} FROM r2_objects WHERE ${where.join(" AND ")} ORDER BY key LIMIT ${count}`,
    ...values,
  );
}

/** The first key after all that begin with the bytes; undefined when there is none. */
export function successor(bytes: Buffer): Buffer | undefined {
  for (let length = bytes.length; length > 0; length--) {
    const byte = bytes[length - 1] as number;
    if (byte === 0xff) continue;
    const next = Buffer.from(bytes.subarray(0, length));
    next[length - 1] = byte + 1;
    return next;
  }
  return undefined;
}

function startPosition(options: ListOptions, delimiter: Buffer | undefined, prefix: Buffer): Position | undefined {
  const cursor = options.cursor === undefined || options.cursor === "" ? undefined : decodeCursor(options.cursor);
  if (options.startAfter === undefined || options.startAfter === "") return cursor;
  const bytes = keyBytes(options.startAfter.normalize("NFC"));
  // A client that pages with the group it saw last (NextMarker) means everything in it.
  const isGroup =
    delimiter !== undefined &&
    bytes.length > prefix.length &&
    bytes.subarray(0, prefix.length).equals(prefix) &&
    bytes.indexOf(delimiter, prefix.length) === bytes.length - delimiter.length;
  const after: Position = { bytes, whole: isGroup };
  return cursor === undefined || Buffer.compare(after.bytes, cursor.bytes) > 0 ? after : cursor;
}

/** Opaque to clients; the first byte is the version, so that a later form can be told apart. */
function encodeCursor(position: Position): string {
  return Buffer.concat([Buffer.from([CURSOR_VERSION, position.whole ? 1 : 0]), position.bytes]).toString("base64url");
}

function decodeCursor(cursor: string): Position {
  const bytes = Buffer.from(cursor, "base64url");
  if (bytes.length < 3 || bytes[0] !== CURSOR_VERSION || (bytes[1] as number) > 1 || bytes.toString("base64url") !== cursor) {
    throw r2Error("invalidArgument", "The continuation token provided is incorrect");
  }
  return { bytes: bytes.subarray(2), whole: bytes[1] === 1 };
}
