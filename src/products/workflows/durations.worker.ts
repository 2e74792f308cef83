/** Lengths of time as Workflows take them: milliseconds, or "10 seconds". Both sides of workerd's border import it. */
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const DAY_MS = 24 * HOUR;

const UNITS: Readonly<Record<string, number>> = {
  millisecond: 1,
  second: SECOND,
  minute: MINUTE,
  hour: HOUR,
  day: DAY_MS,
  week: 7 * DAY_MS,
  month: 30 * DAY_MS,
  year: 365 * DAY_MS,
};

/** Milliseconds, or NaN for what is no length of time. */
export function milliseconds(duration: unknown): number {
  if (typeof duration === "number") return duration >= 0 ? duration : Number.NaN;
  const [, count, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*$/.exec(String(duration)) ?? [];
  return Number(count) * (UNITS[unit ?? ""] ?? Number.NaN);
}
