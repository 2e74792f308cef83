/**
 * Settings of table maintenance, of a catalog or of one table. Clients spell the same settings in three ways; all are read,
 * one is shown. What a table has no setting of its own for follows its catalog.
 */
import { z } from "zod";
import { catalogError } from "../errors.ts";

export interface MaintenanceConfig {
  readonly compaction: { readonly state: "enabled" | "disabled"; readonly target_size_mb: string };
  readonly snapshot_expiration: {
    readonly state: "enabled" | "disabled";
    /** Number and unit: "7d", "48h", "2880m", "30s". */
    readonly max_snapshot_age: string;
    readonly min_snapshots_to_keep: number;
  };
}

/** What holds while nothing was set (SDK, `maintenance-configs`). */
const DEFAULTS: MaintenanceConfig = {
  compaction: { state: "disabled", target_size_mb: "128" },
  snapshot_expiration: { state: "disabled", max_snapshot_age: "7d", min_snapshots_to_keep: 100 },
};

const state = z.enum(["enabled", "disabled"]).optional();
const size = z.union([z.number(), z.string()]).optional();

/** wrangler sends `targetSizeMb` for a catalog and `target_size_mb` for a table, the SDK `target_size_mb` as text; likewise below. */
export const maintenanceUpdate = z.object({
  compaction: z.object({ state, target_size_mb: size, targetSizeMb: size }).optional(),
  snapshot_expiration: z
    .object({
      state,
      max_snapshot_age: z.string().optional(),
      min_snapshots_to_keep: z.number().int().optional(),
      older_than_days: z.number().int().optional(),
      retain_last: z.number().int().optional(),
    })
    .optional(),
});

const SIZES = ["64", "128", "256", "512"];

/** Settings as they are stored: those that were set. */
export interface StoredMaintenance extends Partial<MaintenanceConfig> {
  /** Token that set those of a table: the jobs have its rights while the catalog has no credential. */
  readonly token_id?: string;
}

export const storedMaintenance = (stored: string | null): StoredMaintenance =>
  stored === null ? {} : (JSON.parse(stored) as StoredMaintenance);

/** The settings that hold, from those of the table (or null) and of the catalog. */
export function maintenanceOf(catalog: string | null, table: string | null = null): MaintenanceConfig {
  const [own, above] = [storedMaintenance(table), storedMaintenance(catalog)];
  return {
    compaction: own.compaction ?? above.compaction ?? DEFAULTS.compaction,
    snapshot_expiration: own.snapshot_expiration ?? above.snapshot_expiration ?? DEFAULTS.snapshot_expiration,
  };
}

export type MaintenanceUpdate = z.infer<typeof maintenanceUpdate>;

/** What to store after an update that led to `config`: the parts that it names, beside those set before. */
export function storedAfter(before: string | null, config: MaintenanceConfig, update: MaintenanceUpdate, tokenId?: string): string {
  const stored: StoredMaintenance = {
    ...storedMaintenance(before),
    ...(update.compaction && { compaction: config.compaction }),
    ...(update.snapshot_expiration && { snapshot_expiration: config.snapshot_expiration }),
    ...(tokenId !== undefined && { token_id: tokenId }),
  };
  return JSON.stringify(stored);
}

/**
 * A table's own settings after its catalog was changed: what is disabled for the catalog is disabled for all of its tables
 * (docs, "Disable compaction"), until it is enabled for one of them again. Undefined when nothing changes.
 */
export function disabledBelow(table: string, update: MaintenanceUpdate): string | undefined {
  const own = storedMaintenance(table);
  const stop = (part: "compaction" | "snapshot_expiration"): boolean =>
    update[part]?.state === "disabled" && own[part]?.state === "enabled";
  if (!stop("compaction") && !stop("snapshot_expiration")) return undefined;
  return JSON.stringify({
    ...own,
    ...(own.compaction && stop("compaction") && { compaction: { ...own.compaction, state: "disabled" } }),
    ...(own.snapshot_expiration &&
      stop("snapshot_expiration") && { snapshot_expiration: { ...own.snapshot_expiration, state: "disabled" } }),
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };

/** "7d" in milliseconds. */
export const ageMs = (age: string): number => Number(age.slice(0, -1)) * (UNIT_MS[age.slice(-1)] as number);

/** The settings after an update of some of their members; throws `catalog.invalidMaintenanceConfig`. */
export function updatedMaintenance(current: MaintenanceConfig, update: MaintenanceUpdate): MaintenanceConfig {
  const { compaction = {}, snapshot_expiration: expiration = {} } = update;
  const target = String(compaction.target_size_mb ?? compaction.targetSizeMb ?? current.compaction.target_size_mb);
  if (!SIZES.includes(target))
    throw catalogError("invalidMaintenanceConfig", `Invalid compaction target size ${target}: it must be one of ${SIZES.join(", ")}`);
  const days = expiration.older_than_days;
  const age = expiration.max_snapshot_age ?? (days === undefined ? current.snapshot_expiration.max_snapshot_age : `${days}d`);
  if (!/^[1-9]\d{0,8}[dhms]$/.test(age))
    throw catalogError("invalidMaintenanceConfig", `Invalid maximum snapshot age ${age}: it must be a number with the unit d, h, m or s`);
  const keep = expiration.min_snapshots_to_keep ?? expiration.retain_last ?? current.snapshot_expiration.min_snapshots_to_keep;
  if (keep < 1) throw catalogError("invalidMaintenanceConfig", `Invalid number of snapshots to keep: ${keep}`);
  return {
    compaction: { state: compaction.state ?? current.compaction.state, target_size_mb: target },
    snapshot_expiration: {
      state: expiration.state ?? current.snapshot_expiration.state,
      max_snapshot_age: age,
      min_snapshots_to_keep: keep,
    },
  };
}
