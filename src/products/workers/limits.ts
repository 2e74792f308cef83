/**
 * What one invocation of a Worker may use, from `limits` of its configuration and the platform's settings. The watchdog of
 * its process enforces it (`kernel/workerd/watchdog.ts`). Source: docs, Workers, Platform, Limits.
 */
import { z } from "zod";
import type { Config } from "../../kernel/config.ts";
import type { Version } from "./model.ts";

/** Largest `limits.cpu_ms`. */
const CPU_MS_MAX = 300_000;
const SUBREQUESTS_MAX = 10_000_000;
/** CPU time of a cron trigger that runs at most once an hour. */
const RARE_CRON_CPU_MS = 15 * 60_000;
const HOUR_MS = 3_600_000;

/** A number, which is text where it comes as a form's field. */
const whole = (max: number) => z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]).pipe(z.number().int().min(1).max(max));

export const limitsSchema = z.object({ cpu_ms: whole(CPU_MS_MAX).nullish(), subrequests: whole(SUBREQUESTS_MAX).nullish() }).loose();

/** `limits.cpu_ms` of a version, if it has any. */
const ownCpuMs = ({ limits }: Version): number | undefined => (limits as z.infer<typeof limitsSchema> | undefined)?.cpu_ms ?? undefined;

/** CPU time of one invocation in milliseconds. */
export function cpuMsOf(version: Version, config: Config): number {
  const standard = config["workers.cpu_ms"];
  return ownCpuMs(version) ?? (standard === 0 ? Number.POSITIVE_INFINITY : standard);
}

/** Subrequests of one invocation; undefined: without limit. */
export function subrequestsOf({ limits }: Version, config: Config): number | undefined {
  const standard = config["workers.subrequests"];
  return (limits as z.infer<typeof limitsSchema> | undefined)?.subrequests ?? (standard === 0 ? undefined : standard);
}

/** CPU time of a cron trigger whose next run is this far away; undefined: as any other invocation. */
export const cronCpuMs = (version: Version, intervalMs: number): number | undefined =>
  ownCpuMs(version) === undefined && intervalMs >= HOUR_MS ? RARE_CRON_CPU_MS : undefined;
