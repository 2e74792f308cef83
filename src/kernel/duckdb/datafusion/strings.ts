/** DataFusion's functions on text. Lengths and positions count characters, from 1. */

import { join } from "./lists.ts";
import {
  type Argument,
  asInteger,
  bounded,
  constantRule,
  type FunctionRule,
  type FunctionTable,
  GROWN_BYTES_MAX,
  MANY,
  rule,
  same,
  TEXT_BYTES_MAX,
  withValue,
} from "./rule.ts";

const text = (sql: string): string => `CAST(${sql} AS VARCHAR)`;
const integerOf = (name: string, arity: number): FunctionRule => rule(arity, arity, (...args) => asInteger(`${name}(${args.join(", ")})`));

/** `left`, `right` of a text: negative counts leave that many characters off. */
const side = (name: "left" | "right"): FunctionRule => rule(2, 2, (value, count) => `${name}(${value}, ${count})`);

function pad(name: "lpad" | "rpad"): FunctionRule {
  return constantRule(2, 3, ([value, size, fill]) => {
    const length = asInteger(bounded(`greatest(${size?.sql}, 0)`, `greatest(${size?.sql}, 0)`, TEXT_BYTES_MAX));
    const padding = fill?.sql ?? "' '";
    const padded = (by: string): string => `${name}(${value?.sql}, ${length}, ${by})`;
    if (typeof fill?.constant === "string" && fill.constant !== "") return padded(padding);
    // DuckDB fails where there is nothing to pad with; DataFusion only cuts.
    return fill === undefined
      ? padded(padding)
      : `CASE WHEN ${padding} = '' THEN left(${value?.sql}, ${length}) ELSE ${padded(`coalesce(nullif(${padding}, ''), ' ')`)} END`;
  });
}

/** Positions before the first character use up length; a negative length gives NULL. */
const substr = constantRule(2, 3, ([value, start, length]: readonly Argument[]) => {
  const from = `greatest(${start?.sql}, 1)`;
  if (length === undefined) return `substr(${value?.sql}, ${from})`;
  const size = `greatest(${length.sql} + least(${start?.sql}, 1) - 1, 0)`;
  return `CASE WHEN ${length.sql} >= 0 THEN substr(${value?.sql}, ${from}, ${size}) END`;
});

const parts = (value: string, delimiter: string): string => `string_split(${value}, ${delimiter})`;

export const strings: FunctionTable = {
  ascii: same("ascii", 1),
  bit_length: rule(1, 1, (x) => asInteger(`8 * strlen(${x})`)),
  btrim: same("trim", 1, 2),
  chr: rule(1, 1, (x) => `CASE WHEN ${x} > 0 THEN chr(${asInteger(x as string)}) END`),
  concat: rule(1, MANY, (...args) => `concat(${args.map(text).join(", ")})`),
  concat_ws: rule(2, MANY, (...args) => `concat_ws(${args.map(text).join(", ")})`),
  contains: same("contains", 2),
  ends_with: same("ends_with", 2),
  find_in_set: rule(
    2,
    2,
    (x, list) =>
      `CASE WHEN ${x} IS NOT NULL THEN ${asInteger(`coalesce(list_position(${parts(list as string, "','")}, ${x}), CASE WHEN ${list} IS NOT NULL THEN 0 END)`)} END`,
  ),
  initcap: rule(1, 1, (x) => {
    // Each match is a word and what follows it up to the next.
    const words = `regexp_extract_all(lower(${x}), '[\\p{L}\\p{N}]*[^\\p{L}\\p{N}]*')`;
    return `array_to_string(list_transform(${words}, lambda __word: upper(left(__word, 1)) || substr(__word, 2)), '')`;
  }),
  left: side("left"),
  length: integerOf("length", 1),
  // Quadratic: NULL for texts with which one call would take seconds.
  levenshtein: rule(2, 2, (a, b) => asInteger(`levenshtein(${bounded(a as string, `strlen(${a}) * strlen(${b})`, 1e8)}, ${b})`)),
  lower: same("lower", 1),
  lpad: pad("lpad"),
  ltrim: same("ltrim", 1, 2),
  octet_length: integerOf("strlen", 1),
  overlay: rule(
    3,
    4,
    (x, by, from, count) =>
      `(substr(${x}, 1, greatest(${from}, 1) - 1) || ${by} || substr(${x}, greatest(${from}, 1) + ${count ?? `length(${by})`}))`,
  ),
  repeat: rule(2, 2, (x, n) => `repeat(${x}, ${bounded(n as string, `strlen(${x}) * ${n}`, TEXT_BYTES_MAX)})`),
  replace: rule(3, 3, (x, from, to) => `replace(${x}, ${from}, ${bounded(to as string, `strlen(${x}) * strlen(${to})`, GROWN_BYTES_MAX)})`),
  reverse: same("reverse", 1),
  right: side("right"),
  rpad: pad("rpad"),
  rtrim: same("rtrim", 1, 2),
  split_part: rule(3, 3, (x, delimiter, n) => `split_part(${x}, ${delimiter}, nullif(${n}, 0))`),
  starts_with: same("starts_with", 2),
  strpos: integerOf("strpos", 2),
  substr,
  substr_index: constantRule(3, 3, ([value, delimiter, times]) => {
    const count = times?.sql;
    const kept = `CASE WHEN ${count} > 0 THEN list_slice(__parts, 1, ${count}) WHEN ${count} < 0 THEN list_slice(__parts, greatest(${count}, -len(__parts)), -1) ELSE [] END`;
    const joined = withValue(parts(value?.sql as string, delimiter?.sql as string), "__parts", join(kept, delimiter as Argument));
    return `CASE WHEN ${delimiter?.sql} = '' THEN '' ELSE ${joined} END`;
  }),
  to_hex: rule(1, 1, (x) => `lower(to_hex(CAST(${x} AS BIGINT)))`),
  translate: same("translate", 3),
  upper: same("upper", 1),
  uuid: rule(0, 0, () => "CAST(uuid() AS VARCHAR)"),
};
