/** DataFusion's functions on dates and times. All times are UTC. */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { literal } from "../engine.ts";
import { formatSql, parseFormats } from "./chrono.ts";
import {
  asBigint,
  asDouble,
  asInteger,
  constantText,
  FunctionError,
  type FunctionRule,
  type FunctionTable,
  rule,
  type TypedArgument,
  typedRule,
} from "./rule.ts";
import { isText } from "./types.ts";

export type Unit = "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP" | "TIMESTAMP_NS";

/** DuckDB has no cast between every two of them. */
export const toUnit = (sql: string, unit: Unit): string =>
  unit === "TIMESTAMP_S" || unit === "TIMESTAMP_MS" ? `CAST(CAST(${sql} AS TIMESTAMP) AS ${unit})` : `CAST(${sql} AS ${unit})`;

const EPOCH = "TIMESTAMP '1970-01-01'";
const precisions = new Set(["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"]);
const parts = new Set([...precisions, "dow", "doy", "nanosecond", "epoch"]);

/**
 * A text as RFC 3339 writes times, as TIMESTAMP_NS; NULL when it is none. DuckDB's cast to it applies an offset, which its
 * cast to TIMESTAMP drops.
 */
export const readText = (text: string): string => `TRY_CAST(upper(${text}) AS TIMESTAMP_NS)`;

/** The argument as TIMESTAMP: what `date_trunc` and the like work on. */
const asTimestamp = ({ sql, type }: TypedArgument): string => `CAST(${isText(type) ? readText(sql) : sql} AS TIMESTAMP)`;

function part(args: readonly TypedArgument[], name: string, known: ReadonlySet<string>): string {
  const found = constantText(args[0], `the first argument of ${name}`).toLowerCase();
  if (!known.has(found)) throw new FunctionError(`${name} does not support '${found}': use ${[...known].join(", ")}`);
  return found;
}

const dateTrunc = typedRule(
  2,
  2,
  (args) => `date_trunc('${part(args, "date_trunc", precisions)}', ${asTimestamp(args[1] as TypedArgument)})`,
);

const datePart = typedRule(2, 2, (args) => {
  const value = args[1] as TypedArgument;
  const plain = isText(value.type) ? readText(value.sql) : value.sql;
  const found = part(args, "date_part", parts);
  if (found === "epoch") return `CAST(date_part('epoch', ${plain}) AS DOUBLE)`;
  if (found === "nanosecond") return `((epoch_ns(CAST(${plain} AS TIMESTAMP_NS)) % 60000000000 + 60000000000) % 60000000000)`;
  return asInteger(`date_part('${found}', ${plain})`);
});

const toChar = typedRule(2, 2, ([value, format]) => {
  const { sql, type } = value as TypedArgument;
  const text = constantText(format, "the format of to_char");
  if (type.typeId === DuckDBTypeId.TIMESTAMP_NS)
    return formatSql(`CAST(${sql} AS TIMESTAMP)`, `((epoch_ns(${sql}) % 1000000000 + 1000000000) % 1000000000)`, text);
  const time = type.typeId === DuckDBTypeId.TIME ? `(DATE '1970-01-01' + ${sql})` : asTimestamp(value as TypedArgument);
  return formatSql(time, `((epoch_us(${time}) % 1000000 + 1000000) % 1000000 * 1000)`, text);
});

/** Of a number: so many units since 1970. Of a text: by the formats, or RFC 3339. Of a time: itself. */
function toTimestamp(unit: Unit, fromNumber: (value: string, type: DuckDBType) => string): FunctionRule {
  return typedRule(1, 255, ([value, ...formats]) => {
    const { sql, type } = value as TypedArgument;
    if (formats.length > 0) return toUnit(parsed(sql, formats), unit);
    if (isText(type)) return toUnit(readText(sql), unit);
    if (timeTypes.has(type.typeId)) return toUnit(sql, unit);
    return fromNumber(sql, type);
  });
}

const timeTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.DATE,
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_S,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_NS,
  DuckDBTypeId.TIMESTAMP_TZ,
]);

/** The first format that fits decides. */
function parsed(text: string, formats: readonly TypedArgument[]): string {
  const tries = formats.flatMap((format) => {
    const { formats: own, zoned } = parseFormats(constantText(format, "a format of to_timestamp"));
    return own.map((one) => {
      const read = `try_strptime(${text}, ${literal(one)})`;
      // DuckDB reads offsets as numbers alone.
      const utc = zoned ? `coalesce(${read}, try_strptime(regexp_replace(${text}, '[Zz]$', '+00'), ${literal(one)}))` : read;
      return zoned ? `CAST(CAST(${utc} AS TIMESTAMP) AS TIMESTAMP_NS)` : `CAST(${utc} AS TIMESTAMP_NS)`;
    });
  });
  return tries.length === 1 ? (tries[0] as string) : `coalesce(${tries.join(", ")})`;
}

const seconds = (value: string, type: DuckDBType): string =>
  [DuckDBTypeId.DOUBLE, DuckDBTypeId.FLOAT, DuckDBTypeId.DECIMAL].includes(type.typeId)
    ? `make_timestamp_ns(CAST(floor(${asDouble(value)}) AS BIGINT) * 1000000000 + CAST(round((${asDouble(value)} - floor(${asDouble(value)})) * 1000000000) AS BIGINT))`
    : `make_timestamp_ns(${asBigint(value)} * 1000000000)`;

export const time: FunctionTable = {
  date_bin: typedRule(2, 3, ([step, value, origin]) => {
    const from = origin === undefined ? EPOCH : asTimestamp(origin);
    return `time_bucket(CAST(${step?.sql} AS INTERVAL), ${asTimestamp(value as TypedArgument)}, ${from})`;
  }),
  date_trunc: dateTrunc,
  date_part: datePart,
  // The documentation has nanoseconds here, newer DataFusion seconds.
  from_unixtime: rule(1, 1, (x) => `make_timestamp_ns(${asBigint(x as string)})`),
  make_date: rule(3, 3, (...args) => `make_date(${args.map(asBigint).join(", ")})`),
  to_char: toChar,
  to_timestamp: toTimestamp("TIMESTAMP_NS", seconds),
  to_timestamp_seconds: toTimestamp("TIMESTAMP_S", (x) => `CAST(make_timestamp(${asBigint(x)} * 1000000) AS TIMESTAMP_S)`),
  to_timestamp_millis: toTimestamp("TIMESTAMP_MS", (x) => `CAST(make_timestamp(${asBigint(x)} * 1000) AS TIMESTAMP_MS)`),
  to_timestamp_micros: toTimestamp("TIMESTAMP", (x) => `make_timestamp(${asBigint(x)})`),
  to_timestamp_nanos: toTimestamp("TIMESTAMP_NS", (x) => `make_timestamp_ns(${asBigint(x)})`),
};

/** What DuckDB's parser makes of INTERVAL 3 DAY. */
export const intervals: FunctionTable = Object.fromEntries(
  "to_years to_quarters to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds to_centuries to_decades"
    .split(" ")
    .map((name) => [name, rule(1, 1, (x) => `${name}(${x})`)]),
);
