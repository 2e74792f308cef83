/**
 * Settings of table maintenance, of a catalog or of one table: stored and shown. The jobs themselves do not exist yet
 * (README). Clients spell the same settings in three ways; all are read, one is shown.
 */
import { z } from "zod";
import { catalogError } from "./errors.ts";

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

export function maintenanceOf(stored: string | null): MaintenanceConfig {
  return stored === null ? DEFAULTS : (JSON.parse(stored) as MaintenanceConfig);
}

/** The settings after an update of some of their members; throws `catalog.invalidMaintenanceConfig`. */
export function updatedMaintenance(current: MaintenanceConfig, update: z.infer<typeof maintenanceUpdate>): MaintenanceConfig {
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
