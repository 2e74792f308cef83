/**
 * JSON of the Iceberg specification without loss of precision. Snapshot ids are 63-bit integers, which a JavaScript
 * number cannot hold: they are `bigint` everywhere in this project, whatever their size, and every other integer is a
 * number. Not a validator: `metadata.ts` and `updates.ts` check shapes.
 */

interface ReviverContext {
  /** The number as it stood in the text; only for primitive values. */
  readonly source?: string;
}

const SNAPSHOT_ID_KEYS = new Set(["snapshot-id", "parent-snapshot-id", "current-snapshot-id"]);
const INTEGER = /^-?\d+$/;

// The parameter types of the standard library do not know the third argument or `rawJSON` yet (ES2026).
const parse = JSON.parse as (text: string, reviver: (key: string, value: unknown, context: ReviverContext) => unknown) => unknown;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** Parses Iceberg JSON; throws SyntaxError. Values under the keys of snapshot ids become `bigint`, as do integers beyond 2^53. */
export function parseIcebergJson(text: string): unknown {
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
