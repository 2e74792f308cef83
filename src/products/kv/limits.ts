/**
 * What KV accepts: sizes, times and their exact refusals (docs/kv/platform/limits, docs/kv/api/write-key-value-pairs).
 * Pure functions over strings and numbers; they read no state, so a refused request has changed nothing.
 */
import { kvError } from "./errors.ts";

export const KEY_MAX_BYTES = 512;
export const VALUE_MAX_BYTES = 25 * 1024 * 1024;
/** Of the metadata's JSON text. */
export const METADATA_MAX_BYTES = 1024;
export const LIST_MAX_KEYS = 1000;
export const BULK_GET_MAX_KEYS = 100;
export const BULK_GET_MAX_BYTES = 25 * 1024 * 1024;
export const BULK_MAX_PAIRS = 10_000;
export const BULK_MAX_BODY_BYTES = 100 * 1024 * 1024;
export const MIN_EXPIRATION_S = 60;
export const MIN_CACHE_TTL_S = 30;

const encoder = new TextEncoder();

/** The key's UTF-8 bytes, under which it is stored and ordered; throws the documented refusals. */
export function keyBytes(key: string): Uint8Array {
  if (key === "") throw kvError("invalidKey", "Key names must not be empty");
  if (key === "." || key === "..") throw kvError("invalidKey", `Illegal key name "${key}". Please use a different name.`);
  return boundedKey(key);
}

/** A prefix's UTF-8 bytes; it may be empty. */
export function prefixBytes(prefix: string): Uint8Array {
  return boundedKey(prefix);
}

function boundedKey(key: string): Uint8Array {
  const bytes = encoder.encode(key);
  if (bytes.byteLength > KEY_MAX_BYTES)
    throw kvError("keyTooLong", `UTF-8 encoded length of ${bytes.byteLength} exceeds key length limit of ${KEY_MAX_BYTES}.`);
  return bytes;
}

/** The metadata in one canonical JSON text, or null; `text` must be JSON. */
export function metadataText(text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw kvError("invalidMetadata", undefined, { cause });
  }
  // A stored null and no metadata are the same to every reader.
  if (value === null) return null;
  const canonical = JSON.stringify(value);
  const size = Buffer.byteLength(canonical);
  if (size > METADATA_MAX_BYTES) throw kvError("metadataTooLarge", `Metadata length of ${size} exceeds limit of ${METADATA_MAX_BYTES}.`);
  return canonical;
}

export function checkValueSize(size: number): void {
  if (size > VALUE_MAX_BYTES) throw kvError("valueTooLarge", `Value length of ${size} exceeds limit of ${VALUE_MAX_BYTES}.`);
}

/**
 * When a pair written now expires, in seconds since the epoch, or null for never. A TTL wins over an absolute time.
 * Takes texts as they come in a query, so that "abc" is refused by its own name.
 */
export function expirationSeconds(ttlText: string | null, atText: string | null, nowMs: number): number | null {
  const now = Math.floor(nowMs / 1000);
  if (ttlText !== null) {
    const ttl = Number.parseInt(ttlText, 10);
    const refused = `Invalid expiration_ttl of ${ttlText}.`;
    if (Number.isNaN(ttl) || ttl <= 0) throw kvError("invalidExpiration", `${refused} Please specify integer greater than 0.`);
    if (ttl < MIN_EXPIRATION_S) throw kvError("invalidExpiration", `${refused} Expiration TTL must be at least ${MIN_EXPIRATION_S}.`);
    return safe(now + ttl, refused);
  }
  if (atText === null) return null;
  const at = Number.parseInt(atText, 10);
  const refused = `Invalid expiration of ${atText}.`;
  if (Number.isNaN(at) || at <= now)
    throw kvError(
      "invalidExpiration",
      `${refused} Please specify integer greater than the current number of seconds since the UNIX epoch.`,
    );
  if (at < now + MIN_EXPIRATION_S)
    throw kvError("invalidExpiration", `${refused} Expiration times must be at least ${MIN_EXPIRATION_S} seconds in the future.`);
  return safe(at, refused);
}

function safe(seconds: number, refused: string): number {
  if (!Number.isSafeInteger(seconds)) throw kvError("invalidExpiration", `${refused} Please specify integer greater than 0.`);
  return seconds;
}

/** Checks a reader's `cacheTtl`. One node reads its own store, so a valid one changes nothing. */
export function checkCacheTtl(value: unknown): void {
  if (value === null || value === undefined) return;
  const ttl = Number(value);
  if (!Number.isInteger(ttl) || ttl < MIN_CACHE_TTL_S)
    throw kvError("invalidCacheTtl", `Invalid cache_ttl of ${value}. Cache TTL must be at least ${MIN_CACHE_TTL_S}.`);
}

/** Keys of one page, from a query's text. */
export function listLimit(text: string | null): number {
  if (text === null) return LIST_MAX_KEYS;
  const limit = Number.parseInt(text, 10);
  const refused = `Invalid key_count_limit of ${text}.`;
  if (Number.isNaN(limit) || limit < 1) throw kvError("invalidLimit", `${refused} Please specify an integer greater than 0.`);
  if (limit > LIST_MAX_KEYS) throw kvError("invalidLimit", `${refused} Please specify an integer less than ${LIST_MAX_KEYS}.`);
  return limit;
}

// The version byte lets a later release change what a cursor holds and still refuse, or read, an old one.
const CURSOR_VERSION = 1;

/** The cursor that continues after a key. Opaque to clients, stable under writes: it names a place, not a count. */
export function cursorAfter(key: Uint8Array): string {
  return Buffer.concat([Buffer.of(CURSOR_VERSION), key]).toString("base64url");
}

/** The key that a cursor continues after; an empty or missing cursor starts from the first. */
export function keyOfCursor(cursor: string | null): Uint8Array | null {
  if (cursor === null || cursor === "") return null;
  const bytes = Buffer.from(cursor, "base64url");
  if (bytes[0] !== CURSOR_VERSION || bytes.length > KEY_MAX_BYTES + 1 || bytes.toString("base64url") !== cursor)
    throw kvError("invalidCursor");
  return new Uint8Array(bytes.subarray(1));
}
