/** DataFusion's functions on Arrow's types. */
import { literal } from "../engine.ts";
import { constantText, type FunctionTable, type TypedArgument, typedRule } from "./rule.ts";
import { readText, toUnit, type Unit } from "./time.ts";
import { arrowName, isText, parseArrowType } from "./types.ts";

export const arrow: FunctionTable = {
  arrow_cast: typedRule(2, 2, ([value, name]) => {
    const { sql, type } = value as TypedArgument;
    const target = parseArrowType(constantText(name, "the type of arrow_cast"));
    if (target.sql === "BLOB" && isText(type)) return `encode(${sql})`;
    if (target.offset !== undefined && isText(type)) {
      // A text without an offset is a time of the clock in the zone.
      const hasOffset = `regexp_matches(${sql}, '(?i)(z|[+-]\\d\\d(:?\\d\\d)?)$') AND length(${sql}) > 10`;
      const instant = `CAST(${readText(sql)} AS TIMESTAMP)`;
      return `CAST(CASE WHEN ${hasOffset} THEN ${instant} ELSE ${instant} - to_minutes(${target.offset}) END AS TIMESTAMP WITH TIME ZONE)`;
    }
    if (target.sql.startsWith("TIMESTAMP") && isText(type)) return toUnit(readText(sql), target.sql as Unit);
    const fromNumber = { TIMESTAMP_S: " * 1000000", TIMESTAMP_MS: " * 1000", TIMESTAMP: "", TIMESTAMP_NS: "" }[target.sql];
    if (fromNumber !== undefined && /INT$|INTEGER$/.test(String(type))) {
      const make = target.sql === "TIMESTAMP_NS" ? "make_timestamp_ns" : "make_timestamp";
      return `CAST(${make}(CAST(${sql} AS BIGINT)${fromNumber}) AS ${target.sql})`;
    }
    return `TRY_CAST(${sql} AS ${target.sql})`;
  }),
  arrow_typeof: typedRule(1, 1, ([value]) => literal(arrowName((value as TypedArgument).type))),
};
