/** How numbers, sizes and times are written for people. */

const UNITS = ["B", "KB", "MB", "GB", "TB"] as const;

/** "1.2 MB": powers of 1000, as the platform's limits are. */
export function bytes(size: number): string {
  let unit = 0;
  let value = size;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toLocaleString(undefined, { maximumFractionDigits: unit === 0 || value >= 100 ? 0 : 1 })} ${UNITS[unit]}`;
}

export const count = (value: number): string => value.toLocaleString();

/** "3 objects", "1 object". */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Date and time in the reader's own zone. */
export const dateTime = (iso: string | number | undefined): string =>
  iso === undefined ? "" : new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** "30 days", "2 hours": a number of seconds in the largest unit that divides it. */
export function duration(seconds: number): string {
  for (const [unit, size] of [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ] as const) {
    if (seconds % size === 0 && seconds >= size) return counted(seconds / size, unit);
  }
  return counted(seconds, "second");
}
