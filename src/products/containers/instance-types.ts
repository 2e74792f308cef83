/**
 * What an instance may use: the named types and the bounds of custom ones.
 * https://developers.cloudflare.com/containers/platform-details/limits/
 */
import { containersError } from "./errors.ts";

export interface Resources {
  readonly vcpu: number;
  readonly memoryMib: number;
  readonly diskMb: number;
}

const TYPES: Readonly<Record<string, Resources>> = {
  lite: { vcpu: 1 / 16, memoryMib: 256, diskMb: 2000 },
  dev: { vcpu: 1 / 16, memoryMib: 256, diskMb: 2000 },
  basic: { vcpu: 1 / 4, memoryMib: 1024, diskMb: 4000 },
  standard: { vcpu: 1 / 2, memoryMib: 4096, diskMb: 8000 },
  "standard-1": { vcpu: 1 / 2, memoryMib: 4096, diskMb: 8000 },
  "standard-2": { vcpu: 1, memoryMib: 6144, diskMb: 12_000 },
  "standard-3": { vcpu: 2, memoryMib: 8192, diskMb: 16_000 },
  "standard-4": { vcpu: 4, memoryMib: 12_288, diskMb: 20_000 },
};

/** The largest instance. */
export const LARGEST = TYPES["standard-4"] as Resources;
const MIB_PER_VCPU_MIN = 3072;
const DISK_MB_PER_GIB_MAX = 2000;

export interface GivenResources {
  readonly instance_type?: string | undefined;
  readonly vcpu?: number | undefined;
  readonly memory_mib?: number | undefined;
  readonly disk?: { readonly size_mb?: number | undefined } | undefined;
}

/** Throws the error that names what is wrong. */
export function resourcesOf(given: GivenResources): Resources {
  if (given.instance_type !== undefined) {
    const named = TYPES[given.instance_type];
    if (named === undefined) throw invalid("instance_type", `"${given.instance_type}" is not one of ${Object.keys(TYPES).join(", ")}`);
    return named;
  }
  const lite = TYPES.lite as Resources;
  const custom = {
    vcpu: given.vcpu ?? lite.vcpu,
    memoryMib: given.memory_mib ?? lite.memoryMib,
    diskMb: given.disk?.size_mb ?? lite.diskMb,
  };
  // What a named type has is fine under any rule.
  if (Object.values(TYPES).some((type) => isSame(type, custom))) return custom;
  if (custom.vcpu < 1 || custom.vcpu > LARGEST.vcpu) throw invalid("vcpu", `must be from 1 to ${LARGEST.vcpu}`);
  if (custom.memoryMib > LARGEST.memoryMib) throw invalid("memory_mib", `must be at most ${LARGEST.memoryMib}`);
  if (custom.memoryMib < custom.vcpu * MIB_PER_VCPU_MIN)
    throw invalid("memory_mib", `must be at least ${MIB_PER_VCPU_MIN} for each vCPU, which is ${custom.vcpu * MIB_PER_VCPU_MIN}`);
  const diskMax = Math.min(LARGEST.diskMb, (custom.memoryMib / 1024) * DISK_MB_PER_GIB_MAX);
  if (custom.diskMb <= 0 || custom.diskMb > diskMax)
    throw invalid("disk.size_mb", `must be at most ${diskMax} with ${custom.memoryMib} MiB of memory`);
  return custom;
}

const isSame = (a: Resources, b: Resources): boolean => a.vcpu === b.vcpu && a.memoryMib === b.memoryMib && a.diskMb === b.diskMb;

/** The form that wrangler shows: an error with its details. */
const invalid = (field: string, reason: string) =>
  containersError("invalid", JSON.stringify({ error: "VALIDATE_INPUT", details: { [`configuration.${field}`]: reason } }));
