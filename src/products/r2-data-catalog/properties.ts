/**
 * Rules for properties of tables and namespaces (docs, Basin Catalog, "Table properties"): what the catalog decides by
 * itself and so refuses, what it reserves, what it reads.
 */
import type { TableUpdate } from "../../protocols/iceberg/updates.ts";
import { catalogError } from "./errors.ts";

export type Properties = Readonly<Record<string, string>>;

const GRACE_PERIOD = "cloudflare-data-catalog.deletion.grace-period-seconds";
const MAINTENANCE_INTERVAL = "cloudflare-data-catalog.maintenance.interval-seconds";
const DELETE_AFTER_COMMIT = "write.metadata.delete-after-commit.enabled";
const COMPRESSION_CODEC = "write.metadata.compression-codec";

/** 6 days. */
const DEFAULT_GRACE_PERIOD_S = 518_400;
const MAINTENANCE_INTERVAL_S = "3600";
const BLOCKED_PREFIXES = ["write.data.path", "write.metadata"];
const ALLOWED = new Set([COMPRESSION_CODEC, DELETE_AFTER_COMMIT, "write.metadata.previous-versions-max"]);

/** Throws when a client may not set these properties on a table. */
export function checkTableProperties(properties: Properties): void {
  checkKeys(Object.keys(properties));
  const interval = properties[MAINTENANCE_INTERVAL];
  if (interval !== undefined && interval !== MAINTENANCE_INTERVAL_S)
    throw catalogError("invalidMaintenanceInterval", `${MAINTENANCE_INTERVAL} must be ${MAINTENANCE_INTERVAL_S}, not ${interval}`);
  const codec = properties[COMPRESSION_CODEC];
  if (codec !== undefined && !["none", "gzip"].includes(codec.toLowerCase()))
    throw catalogError("propertyRefused", `${COMPRESSION_CODEC} must be none or gzip, not ${codec}`);
}

function checkKeys(keys: readonly string[]): void {
  for (const key of keys)
    if (!ALLOWED.has(key) && BLOCKED_PREFIXES.some((prefix) => key.startsWith(prefix)))
      throw catalogError("propertyRefused", `The property ${key} is decided by the catalog and cannot be set or removed`);
}

/** The same for the property updates of a commit. */
export function checkPropertyUpdates(updates: readonly TableUpdate[]): void {
  for (const update of updates) {
    if (update.action === "set-properties") checkTableProperties(update.updates);
    if (update.action === "remove-properties") checkKeys(update.removals);
  }
}

/** Old metadata files are deleted when they drop out of the log, unless the table says otherwise. */
export const deletesOldMetadata = (properties: Properties): boolean => properties[DELETE_AFTER_COMMIT]?.toLowerCase() !== "false";

export const compressesMetadata = (properties: Properties): boolean => properties[COMPRESSION_CODEC]?.toLowerCase() === "gzip";

/** Seconds between a purge and the deletion of its files: the table's, else the namespace's, else the default. */
export function gracePeriodSeconds(table: Properties, namespace: Properties): number {
  const value = table[GRACE_PERIOD] ?? namespace[GRACE_PERIOD];
  if (value === undefined) return DEFAULT_GRACE_PERIOD_S;
  if (!/^\d{1,10}$/.test(value)) throw catalogError("invalidGracePeriod", `${GRACE_PERIOD} must be a non-negative integer, not ${value}`);
  return Number(value);
}

/** Throws when a namespace may not have these property keys. */
export function checkNamespaceKeys(keys: readonly string[]): void {
  for (const key of keys)
    if (key !== key.toLowerCase()) throw catalogError("badRequest", `Namespace property keys must be lowercase: ${key}`);
}
