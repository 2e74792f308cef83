/**
 * Cron expressions as Workers know them: five fields in UTC, weekdays 1-7 or SUN-SAT with 1 = Sunday, `L`, `W` and `#` as
 * in Quartz (https://developers.cloudflare.com/workers/configuration/cron-triggers/). Croner, which finds the times,
 * counts weekdays from Sunday = 0.
 */
import { Cron } from "croner";

const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/** The next time after `after`, both in milliseconds since the epoch; undefined when there is none. */
export function nextRun(expression: string, after: number): number | undefined {
  return parse(expression).nextRun(new Date(after))?.getTime();
}

/** Throws an Error that says what is wrong. */
export function parse(expression: string): Cron {
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== 5) throw new Error(`"${expression}" must have five fields`);
  const pattern = [...fields.slice(0, 4), weekday(fields[4] as string)].join(" ");
  return new Cron(pattern, { timezone: "UTC", paused: true });
}

/** Weekday numbers from 1 = Sunday to Croner's 0 = Sunday; names stay. `2#1` is the first Monday, `6L` the last Friday. */
function weekday(field: string): string {
  return field
    .toUpperCase()
    .split(",")
    .map((part) => {
      const [range, step] = part.split("/");
      const shifted = (range as string).replace(/(^|-)(\d+)(?=$|-|#|L)/g, (_all, before: string, digits: string) => {
        const day = Number(digits);
        if (day < 1 || day > 7) throw new Error(`weekday ${day} is not in 1-7 (1 = Sunday)`);
        return before + DAYS[day - 1];
      });
      // A lone L is Saturday, the last day of the week.
      return (shifted === "L" ? "SAT" : shifted) + (step === undefined ? "" : `/${step}`);
    })
    .join(",");
}
