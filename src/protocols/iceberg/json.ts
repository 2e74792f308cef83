/**
 * JSON of the Iceberg specification without loss of precision. Snapshot ids are 63-bit integers, which a JavaScript
 * number cannot hold: they are `bigint` everywhere in this project, whatever their size, and every other integer is a
 * number. Not a validator: `metadata.ts` and `updates.ts` check shapes.
 */

import { randomUUID } from "node:crypto";

interface ReviverContext {
  /** The number as it stood in the text; only for primitive values. */
  readonly source?: string;
}

const SNAPSHOT_ID_KEYS = new Set(["snapshot-id", "parent-snapshot-id", "current-snapshot-id"]);
const INTEGER = /^-?\d+$/;

// The parameter types of the standard library do not know the third argument or `rawJSON` yet (ES2026).
const parse = JSON.parse as (text: string, reviver: (key: string, value: unknown, context: ReviverContext) => unknown) => unknown;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/**
 * Snapshot ids as they stand in the text: a key right before an integer. The quote before the key must not be escaped
 * (then it would be part of a longer key), and only keys are followed by a colon, so no string value is ever matched.
 */
const SNAPSHOT_ID_MEMBER = /(?<!\\)("(?:parent-|current-)?snapshot-id"\s*:\s*)(-?(?:0|[1-9]\d*))(?=[\s,}])/g;
/** Something that may be an integer beyond 2^53 elsewhere; matches inside strings too, which only costs time. */
const LARGE_INTEGER = /[:[,]\s*-?\d{16}/;
/** Begins the strings that stand for snapshot ids for a moment. Random, so that no text of a client begins so. */
const MARK = `\u0001${randomUUID()}:`;

/** Parses Iceberg JSON; throws SyntaxError. Values under the keys of snapshot ids become `bigint`, as do integers beyond 2^53. */
export function parseIcebergJson(text: string): unknown {
  // A reviver makes parsing forty times slower, which tables with thousands of snapshots would feel.
  const marked = text.replace(SNAPSHOT_ID_MEMBER, `$1${JSON.stringify(MARK).slice(0, -1)}$2"`);
  if (LARGE_INTEGER.test(marked)) return parseSlowly(text);
  return unmark(JSON.parse(marked), "");
}

/** Puts `bigint`s where marks are, in place. */
function unmark(value: unknown, key: string): unknown {
  if (typeof value === "string") return value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
  if (Array.isArray(value)) {
    const ids = key === "snapshot-ids";
    for (let i = 0; i < value.length; i++)
      value[i] = ids && Number.isSafeInteger(value[i]) ? BigInt(value[i] as number) : unmark(value[i], "");
  } else if (typeof value === "object" && value !== null) {
    const object = value as Record<string, unknown>;
    for (const member of Object.keys(object)) {
      const before = object[member];
      const after = unmark(before, member);
      // "__proto__" as a member of JSON is an own property that assignment would not reach; it never holds an id.
      if (after !== before) object[member] = after;
    }
  }
  return value;
}

function parseSlowly(text: string): unknown {
  return parse(text, (key, value, context) => {
    if (typeof value === "number") {
      if (SNAPSHOT_ID_KEYS.has(key)) return INTEGER.test(context.source ?? "") ? BigInt(context.source as string) : value;
      if (!Number.isSafeInteger(value) && INTEGER.test(context.source ?? "")) return BigInt(context.source as string);
      return value;
    }
    if (key === "snapshot-ids" && Array.isArray(value))
      return value.map((id: unknown) => (Number.isSafeInteger(id) ? BigInt(id as number) : id));
    return value;
  });
}

/** Writes Iceberg JSON; `bigint` becomes an integer of full precision. */
export function stringifyIcebergJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, (_key, v: unknown) => (typeof v === "bigint" ? rawJson(v.toString()) : v), indent);
}
