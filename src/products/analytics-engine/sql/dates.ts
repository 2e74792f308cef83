/** Functions of datetimes. What they cut or show is in the zone that the value has, or that is given. */
import { literal } from "../../../kernel/duckdb/engine.ts";
import { QueryError } from "../errors.ts";
import { type Unit, units } from "./tree.ts";
import { cast, double, isNumber, isTime, type Type, time, timestamp, type Value } from "./values.ts";

const UTC = "Etc/UTC";
const zones = new Set([...Intl.supportedValuesOf("timeZone"), "UTC", UTC, "GMT"]);

/** All zones that queries may name, in order. */
export const zoneNames = (): string[] => [...zones].sort();

function zoneOf(value: Value | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (value.text === undefined || !zones.has(value.text)) throw new QueryError("Input was invalid: the time zone is none");
  return /^(?:UTC|Etc\/UTC|GMT)$/.test(value.text) ? UTC : value.text;
}

/** A moment as the clocks of a zone show it, and back. */
const shown = (sql: string, zone: string | undefined): string =>
  zone === undefined || zone === UTC ? sql : `timezone(${literal(zone)}, timezone('UTC', ${sql}))`;
const meant = (sql: string, zone: string | undefined): string =>
  zone === undefined || zone === UTC ? sql : `timezone('UTC', timezone(${literal(zone)}, ${sql}))`;

/** The text of a datetime as results have it. */
export const printed = ({ sql, zone }: Value): string => `strftime(${shown(sql, zone)}, '%Y-%m-%d %H:%M:%S')`;

function local(value: Value, zone = value.zone): string {
  return shown(time(value), zone);
}

export function toDateTime(of: Value, zoneName: Value | undefined): Value {
  const zone = zoneOf(zoneName);
  if (of.type === "DateTime" || of.type === "Date") return { sql: time(of), type: "DateTime", zone: zone ?? of.zone };
  if (isNumber(of.type)) return { sql: `make_timestamp(CAST(floor(${double(of)}) AS BIGINT) * 1000000)`, type: "DateTime", zone };
  if (of.text !== undefined) return { sql: /^\d+$/.test(of.text) ? time(of) : meant(time(of), zone), type: "DateTime", zone };
  if (of.type !== "String") throw new QueryError(`Input was invalid: toDateTime() of a ${of.type}`);
  // A text of a row: seconds, or a date; what is neither is the beginning of time, as ClickHouse's `OrZero` has it.
  const seconds = `make_timestamp(try_cast(${of.sql} AS BIGINT) * 1000000)`;
  return {
    sql: `coalesce(${seconds}, ${meant(`date_trunc('second', try_cast(${of.sql} AS TIMESTAMP))`, zone)}, ${timestamp(0)})`,
    type: "DateTime",
    zone,
  };
}

const parts: Readonly<Record<string, string>> = {
  toyear: "year",
  tomonth: "month",
  todayofmonth: "day",
  todayofweek: "isodow",
  tohour: "hour",
  tominute: "minute",
  tosecond: "second",
};
const starts: Readonly<Record<string, readonly [number, Unit]>> = {
  tostartofyear: [1, "YEAR"],
  tostartofmonth: [1, "MONTH"],
  tostartofweek: [1, "WEEK"],
  tostartofday: [1, "DAY"],
  tostartofhour: [1, "HOUR"],
  tostartoffifteenminutes: [15, "MINUTE"],
  tostartoftenminutes: [10, "MINUTE"],
  tostartoffiveminutes: [5, "MINUTE"],
  tostartofminute: [1, "MINUTE"],
};
const SECONDS: Readonly<Partial<Record<Unit, number>>> = { WEEK: 604_800, DAY: 86_400, HOUR: 3_600, MINUTE: 60, SECOND: 1 };
/** The first Monday, in seconds: weeks begin there. */
const MONDAY = 4 * 86_400;

function startOf(value: Value, count: number, unit: Unit, zone = value.zone): Value {
  if (!Number.isSafeInteger(count) || count < 1 || count > 1_000_000_000)
    throw new QueryError("Input was invalid: an interval must be above 0");
  const of = local(value, zone);
  const seconds = SECONDS[unit];
  const length = (seconds ?? 1) * count;
  const offset = unit === "WEEK" ? MONDAY : 0;
  const months = `((year(${of}) - 1970) * 12 + month(${of}) - 1)`;
  const width = unit === "YEAR" ? count * 12 : count;
  const first =
    unit === "YEAR"
      ? `make_timestamp(CAST(floor(year(${of}) / ${count}) * ${count} AS BIGINT), 1, 1, 0, 0, 0)`
      : seconds === undefined
        ? `(TIMESTAMP '1970-01-01' + to_months(CAST(floor(${months} / ${width}) * ${width} AS INTEGER)))`
        : `make_timestamp(CAST(floor((epoch(${of}) - ${offset}) / ${length}) * ${length} + ${offset} AS BIGINT) * 1000000)`;
  return { sql: meant(first, zone), type: "DateTime", zone };
}

/** ClickHouse's letters that DuckDB has under another, or as several. */
const letters: Readonly<Record<string, string>> = {
  D: "%m/%d/%y",
  F: "%Y-%m-%d",
  T: "%H:%M:%S",
  R: "%H:%M",
  r: "%I:%M %p",
  i: "%M",
  M: "%B",
  W: "%A",
  h: "%I",
  s: "%S",
  e: "%d",
  f: "000000",
  n: "\n",
  t: "\t",
};
const SAME = new Set("YymdHISjabpuwVGC%".split(""));

function formatOf(value: Value): string {
  if (value.text === undefined) throw new QueryError("Input was invalid: the format of formatDateTime() must be a string in the query");
  return value.text.replace(/%([\s\S]?)/g, (_, letter: string) => {
    const known = letters[letter] ?? (SAME.has(letter) ? `%${letter}` : undefined);
    if (known === undefined) throw new QueryError(`Input was invalid: formatDateTime() has no %${letter}`);
    return known;
  });
}

const whole = (sql: string, type: Type): Value => ({ sql: cast(sql, type), type });

/** The function of that name in small letters, or undefined. `now` in milliseconds. */
export function dateFunction(name: string, args: readonly Value[], now: number): Value | undefined {
  const [first, second, third] = args as [Value, Value | undefined, Value | undefined];
  if (name === "now") return { sql: timestamp(now), type: "DateTime", zone: zoneOf(args[0]) };
  if (name === "today") return { sql: cast(timestamp(now), "Date"), type: "Date" };
  if (first === undefined) return undefined;
  const part = parts[name];
  if (part !== undefined) return whole(`${part}(${local(first, zoneOf(second) ?? first.zone)})`, name === "toyear" ? "UInt16" : "UInt8");
  const start = starts[name];
  if (start !== undefined) return startOf(first, ...start, zoneOf(second) ?? first.zone);
  switch (name) {
    case "todatetime":
      return toDateTime(first, second);
    case "tounixtimestamp":
      return whole(`epoch(${time(isTime(first.type) ? first : toDateTime(first, second))})`, "UInt32");
    case "toyyyymm":
      return whole(`year(${local(first)}) * 100 + month(${local(first)})`, "UInt32");
    case "tostartofinterval":
      if (second?.type !== "Interval" || second.text === undefined)
        throw new QueryError("Input was invalid: toStartOfInterval() takes an INTERVAL");
      return startOf(first, second.number as number, second.text as Unit, zoneOf(third) ?? first.zone);
    case "formatdatetime":
      if (second === undefined) throw new QueryError("Input was invalid: formatDateTime() takes a format");
      return {
        sql: `strftime(${local(first, third === undefined ? first.zone : zoneOf(third))}, ${literal(formatOf(second))})`,
        type: "String",
      };
    case "extract": {
      const unit = units.find((known) => known === first.text);
      if (unit === undefined || second === undefined) throw new QueryError("Input was invalid: extract() takes a unit of time");
      return whole(`${unit.toLowerCase()}(${local(second)})`, unit === "YEAR" ? "UInt16" : "UInt8");
    }
    default:
      return undefined;
  }
}
