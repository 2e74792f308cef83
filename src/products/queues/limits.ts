/** Documented limits of Queues (docs/queues/platform/limits; KB is 1,000 bytes), and the checks that need nothing else. */
import { queuesError } from "./errors.ts";
import { type ContentType, contentTypes } from "./model.ts";

/** A message with the metadata that is counted on it. */
export const MESSAGE_MAX_BYTES = 128_000;
/** "Messages can include up to ~100 bytes of internal metadata that counts towards total message limits." */
export const METADATA_BYTES = 100;
export const SEND_BATCH_MAX = 100;
export const SEND_BATCH_MAX_BYTES = 256_000;
export const DELAY_MAX_S = 86_400;
export const RETENTION_MIN_S = 60;
export const RETENTION_MAX_S = 1_209_600;
export const RETENTION_DEFAULT_S = 345_600;
export const BATCH_MAX = 100;
export const BATCH_DEFAULT = 10;
export const BATCH_WAIT_MAX_MS = 60_000;
export const BATCH_WAIT_DEFAULT_MS = 5_000;
export const RETRIES_MAX = 100;
export const RETRIES_DEFAULT = 3;
export const CONCURRENCY_MAX = 250;
export const PULL_BATCH_DEFAULT = 5;
export const VISIBILITY_DEFAULT_MS = 30_000;
export const VISIBILITY_MAX_MS = 12 * 3_600_000;

/** Throws `queues.invalidName`. */
export function checkName(name: string): void {
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(name)) throw queuesError("invalidName");
}

const isDelay = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= DELAY_MAX_S;

/** Seconds, or undefined when none is given. Throws `queues.messageMetadataInvalid`. */
export function messageDelay(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isDelay(value)) throw queuesError("messageMetadataInvalid");
  return value;
}

/** Seconds, or undefined when none is given. Throws `queues.batchDelayInvalid`. */
export function batchDelay(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isDelay(value)) throw queuesError("batchDelayInvalid");
  return value;
}

/** Throws `queues.messageMetadataInvalid`. */
export function contentTypeOf(value: unknown, fallback: ContentType): ContentType {
  if (value === undefined || value === null) return fallback;
  const known = contentTypes.find((one) => one === value);
  if (known === undefined) throw queuesError("messageMetadataInvalid");
  return known;
}

/** Throws `queues.messageSize`. */
export function checkMessageSize(bytes: number): void {
  if (bytes + METADATA_BYTES > MESSAGE_MAX_BYTES) throw queuesError("messageSize");
}
