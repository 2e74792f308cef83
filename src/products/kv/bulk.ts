/** Reading many keys in one request: the binding's `get(keys)` and REST's `bulk/get` share limits and refusals. */
import type { Entries, Entry } from "./entries.ts";
import { kvError } from "./errors.ts";
import { BULK_GET_MAX_BYTES, BULK_GET_MAX_KEYS, keyBytes } from "./limits.ts";
import type { Namespaces } from "./namespaces.ts";

export interface BulkValue {
  readonly key: string;
  /** The value as JSON text: a JSON string for type "text". Null when the key is absent. */
  readonly value: string | null;
  /** As JSON text. */
  readonly metadata: string | null;
  /** Seconds since the epoch. */
  readonly expiration: number | null;
}

/** At most 100 keys with 25 MiB of values together (docs/kv/api/read-key-value-pairs). */
export async function readBulk(
  engine: { readonly entries: Entries; readonly namespaces: Namespaces },
  namespace: string,
  keys: readonly string[],
  type: unknown,
): Promise<BulkValue[]> {
  if (type !== "text" && type !== "json") throw kvError("invalidBody", `"${type}" is not a valid type. Use "json" or "text"`);
  if (keys.length > BULK_GET_MAX_KEYS) throw kvError("tooManyKeys");
  if (keys.length === 0) throw kvError("noKeys");
  const names = keys.map((key) => keyBytes(key));
  engine.namespaces.require(namespace);
  const found: { key: string; entry: (Entry & { bytes: Uint8Array }) | undefined }[] = [];
  let total = 0;
  for (const [i, name] of names.entries()) {
    const entry = await engine.entries.readWhole(namespace, name);
    total += entry?.size ?? 0;
    if (total > BULK_GET_MAX_BYTES) throw kvError("bulkTooLarge");
    found.push({ key: keys[i] as string, entry });
  }
  return found.map(({ key, entry }) => ({
    key,
    value: entry === undefined ? null : type === "text" ? JSON.stringify(decode(entry.bytes)) : jsonText(entry.bytes),
    metadata: entry?.metadata ?? null,
    expiration: entry?.expiration ?? null,
  }));
}

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function jsonText(bytes: Uint8Array): string {
  try {
    return JSON.stringify(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (cause) {
    throw kvError("nonTextValue", undefined, { cause });
  }
}
