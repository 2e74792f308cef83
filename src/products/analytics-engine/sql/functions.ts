/**
 * Functions of single values, as documented (SQL reference: conditional, mathematical, bit, encoding, string and type
 * conversion functions). Each is written out in SQL from its arguments: no name that a query has comes into a statement.
 */
import { QueryError } from "../errors.ts";
import { dateFunction, printed } from "./dates.ts";
import {
  boolean,
  cast,
  common,
  condition,
  double,
  integer,
  isInteger,
  isNumber,
  isTime,
  isUnsigned,
  type Type,
  textOf,
  time,
  type Unsigned,
  type Value,
} from "./values.ts";

type Make = (...args: Value[]) => Value;
interface Known {
  readonly least: number;
  readonly most: number;
  readonly make: Make;
}

const takes = (least: number, most: number, make: Make): Known => ({ least, most, make });
const string = (sql: string): Value => ({ sql, type: "String" });
const float = (sql: string): Value => ({ sql, type: "Float64" });
const whole = (sql: string, type: Type): Value => ({ sql: cast(sql, type), type });

/** A number that stands in the query: the digits of round(), the count of topK(). */
export function constant(value: Value, least: number, most: number): number {
  const { number } = value;
  if (number === undefined || !Number.isInteger(number) || number < least || number > most)
    throw new QueryError(`Input was invalid: expected a whole number from ${least} to ${most}`);
  return number;
}

function rounded(by: (sql: string) => string) {
  return takes(1, 2, (of, digits) => {
    if (digits === undefined) return isInteger(of.type) ? of : float(by(double(of)));
    const power = `1e${Math.abs(constant(digits, -300, 300))}`;
    return constant(digits, -300, 300) < 0
      ? float(`(${by(`${double(of)} / ${power}`)} * ${power})`)
      : float(`(${by(`${double(of)} * ${power}`)} / ${power})`);
  });
}

// --- bits: of unsigned numbers as wide as their type ---

const widths: Readonly<Record<string, number>> = { UInt8: 8, UInt16: 16, UInt32: 32, UInt64: 64, Int64: 64 };
const widthOf = ({ type }: Value): number => widths[type] ?? 64;
const unsignedOf = (width: number): Unsigned => `UInt${width}` as Unsigned;

/** A number's bits as one that has room for all results. */
function bits(value: Value): string {
  if (isUnsigned(value.type)) return `CAST(${value.sql} AS HUGEINT)`;
  return `(CAST(${integer(value)} AS HUGEINT) & ${mask(64)})`;
}
const mask = (width: number): string => `CAST('${2n ** BigInt(width) - 1n}' AS HUGEINT)`;

const bitwise = (operator: string) =>
  takes(2, 2, (left, right) => {
    const width = Math.max(widthOf(left), widthOf(right));
    const result = operator === "xor" ? `xor(${bits(left)}, ${bits(right)})` : `(${bits(left)} ${operator} ${bits(right)})`;
    return whole(result, unsignedOf(width));
  });

const shifted = (make: (value: string, count: string, width: number) => string) =>
  takes(2, 2, (value, count) => {
    const width = widthOf(value);
    const by = `(${integer(count)} % ${width})`;
    const within = make(bits(value), by, width);
    return whole(`(${within}) & ${mask(width)}`, unsignedOf(width));
  });
const left = (value: string, count: string): string => `(${value} * CAST(pow(2, ${count}) AS HUGEINT))`;
const right = (value: string, count: string): string => `(${value} // CAST(pow(2, ${count}) AS HUGEINT))`;
/** Shifted by the width and more nothing is left. */
const pastWidth = (count: Value, width: number, otherwise: string): string =>
  `CASE WHEN ${integer(count)} >= ${width} OR ${integer(count)} < 0 THEN CAST(0 AS HUGEINT) ELSE ${otherwise} END`;
const shift = (make: typeof left) =>
  takes(2, 2, (value, count) => {
    const width = widthOf(value);
    return whole(pastWidth(count, width, `${make(bits(value), `(${integer(count)} % ${width})`)} & ${mask(width)}`), unsignedOf(width));
  });

const ones = (value: Value): Value =>
  value.type === "Float64"
    ? whole(`bit_count(CAST(${value.sql} AS BIT))`, "UInt8")
    : whole(`bit_count(CAST(CAST(${bits(value)} AS UBIGINT) AS BIT))`, "UInt8");

// --- text ---

function shownAs(value: Value): string {
  if (value.type === "DateTime") return printed(value);
  if (value.type.startsWith("Array") || value.type === "Interval") throw new QueryError(`Input was invalid: format() of a ${value.type}`);
  return `CAST(${value.sql} AS VARCHAR)`;
}

/** Each {} is the next value. */
function format(pattern: Value, ...values: Value[]): Value {
  if (pattern.text === undefined) throw new QueryError("Input was invalid: the first argument of format() must be a string in the query");
  const pieces = pattern.text.split("{}");
  if (pieces.some((piece) => /[{}]/.test(piece))) throw new QueryError("Input was invalid: format() has no literal { and }");
  if (pieces.length - 1 !== values.length) throw new QueryError("Input was invalid: format() needs a value for each {}");
  const texts = pieces.flatMap((piece, i) => [
    `'${piece.replaceAll("'", "''")}'`,
    ...(i < values.length ? [shownAs(values[i] as Value)] : []),
  ]);
  return string(`concat(${texts.join(", ")})`);
}

/** ASCII alone: other letters stay. */
const ascii = (of: Value, from: string, to: string): Value => string(`translate(${textOf(of)}, '${from}', '${to}')`);
const SMALL = "abcdefghijklmnopqrstuvwxyz";
const LARGE = SMALL.toUpperCase();
const lower = takes(1, 1, (of) => string(`lower(${textOf(of)})`));
const upper = takes(1, 1, (of) => string(`upper(${textOf(of)})`));

function encoded(of: Value, text: string, ofNumber: (sql: string) => string): Value {
  if (of.type === "String") return string(`${text}(encode(${of.sql}))`);
  if (!isNumber(of.type)) throw new QueryError(`Input was invalid: expected a number or a string, found a ${of.type}`);
  return string(ofNumber(isUnsigned(of.type) ? cast(of.sql, "UInt64") : cast(integer(of), "Int64")));
}
/** Whole bytes, as ClickHouse pads. */
const padded = (text: string, to: number): string => `lpad(${text}, CAST(ceil(length(${text}) / ${to}.0) * ${to} AS INTEGER), '0')`;

/** A number in the range of the type; a text is read as one, or is 0. */
const toUnsigned = (type: Unsigned) =>
  takes(1, 1, (of) => {
    const number = isTime(of.type)
      ? `epoch(${time(of)})`
      : of.type === "String"
        ? `coalesce(try_cast(${of.sql} AS DOUBLE), 0)`
        : double(of);
    const size = 2 ** widthOf({ sql: "", type });
    return whole(
      `coalesce(try_cast(trunc(${number}) AS HUGEINT), CAST(0 AS HUGEINT)) % ${size}::HUGEINT + CASE WHEN ${number} < 0 AND trunc(${number}) % ${size} <> 0 THEN ${size}::HUGEINT ELSE 0::HUGEINT END`,
      type,
    );
  });

const known: Readonly<Record<string, Known>> = {
  if: takes(3, 3, (when, yes, no) => {
    const both = common(yes, no, "if()");
    return { sql: `CASE WHEN ${condition(when)} THEN ${both.left} ELSE ${both.right} END`, type: both.type, zone: both.zone };
  }),
  intdiv: takes(2, 2, (a, b) => {
    const type = isUnsigned(a.type) && isUnsigned(b.type) ? a.type : "Int64";
    if (isInteger(a.type) && isInteger(b.type) && type !== "Int64") return whole(`${integer(a)} // ${integer(b)}`, type);
    return whole(`floor(${double(a)} / ${double(b)})`, "Int64");
  }),
  log: takes(1, 1, (of) =>
    float(
      `CASE WHEN ${double(of)} > 0 THEN ln(${double(of)}) WHEN ${double(of)} = 0 THEN CAST('-inf' AS DOUBLE) ELSE CAST('nan' AS DOUBLE) END`,
    ),
  ),
  pow: takes(2, 2, (a, b) => float(`pow(${double(a)}, ${double(b)})`)),
  // Halves go to the even number, as ClickHouse rounds doubles.
  round: rounded((sql) => `round_even(${sql}, 0)`),
  floor: rounded((sql) => `floor(${sql})`),
  ceil: rounded((sql) => `ceil(${sql})`),
  bitand: bitwise("&"),
  bitor: bitwise("|"),
  bitxor: bitwise("xor"),
  bitnot: takes(1, 1, (of) => whole(`xor(${bits(of)}, ${mask(widthOf(of))})`, unsignedOf(widthOf(of)))),
  bitcount: takes(1, 1, ones),
  bithammingdistance: takes(2, 2, (a, b) => ones({ sql: cast(`xor(${bits(a)}, ${bits(b)})`, "UInt64"), type: "UInt64" })),
  bitshiftleft: shift(left),
  bitshiftright: shift(right),
  bitrotateleft: shifted(
    (value, count, width) => `(${left(value, count)} & ${mask(width)}) | ${right(value, `((${width} - ${count}) % ${width + 1})`)}`,
  ),
  bitrotateright: shifted(
    (value, count, width) =>
      `${right(value, count)} | (${left(`(${value} & (CAST(pow(2, ${count}) AS HUGEINT) - 1))`, `(${width} - ${count})`)})`,
  ),
  bittest: takes(2, 2, (of, n) => whole(pastWidth(n, widthOf(of), `${right(bits(of), `(${integer(n)} % ${widthOf(of)})`)} % 2`), "UInt8")),
  bin: takes(1, 1, (of) => encoded(of, "to_binary", (sql) => padded(`to_binary(${sql})`, 8))),
  hex: takes(1, 1, (of) => encoded(of, "hex", (sql) => padded(`hex(${sql})`, 2))),
  length: takes(1, 1, (of) => whole(`length(${textOf(of)})`, "UInt64")),
  empty: takes(1, 1, (of) => boolean(`(${textOf(of)} = '')`)),
  lower: takes(1, 1, (of) => ascii(of, LARGE, SMALL)),
  upper: takes(1, 1, (of) => ascii(of, SMALL, LARGE)),
  lowerutf8: lower,
  tolower: lower,
  upperutf8: upper,
  toupper: upper,
  startswith: takes(2, 2, (of, text) => boolean(`starts_with(${textOf(of)}, ${textOf(text)})`)),
  endswith: takes(2, 2, (of, text) => boolean(`ends_with(${textOf(of)}, ${textOf(text)})`)),
  position: takes(2, 2, (needle, hay) => whole(`strpos(${textOf(hay)}, ${textOf(needle)})`, "UInt64")),
  substring: takes(2, 3, (of, from, length) =>
    string(`substring(${textOf(of)}, ${integer(from)}${length === undefined ? "" : `, greatest(${integer(length)}, 0)`})`),
  ),
  format: takes(1, 100, format),
  touint8: toUnsigned("UInt8"),
  touint32: toUnsigned("UInt32"),
};
const aliases: Readonly<Record<string, string>> = { ln: "log", power: "pow", ceiling: "ceil" };

/** The value of a call. Throws `QueryError` for a name that is none and for arguments that do not fit. */
export function callFunction(name: string, args: readonly Value[], now: number): Value {
  const lowerName = name.toLowerCase();
  const found = known[aliases[lowerName] ?? lowerName];
  if (found === undefined) {
    const value = dateFunction(lowerName, args, now);
    if (value === undefined) throw new QueryError(`unknown function call: ${name}`);
    return value;
  }
  if (args.length < found.least || args.length > found.most)
    throw new QueryError(
      `Input was invalid: ${name}() takes ${found.least === found.most ? found.least : `${found.least} to ${found.most}`} arguments`,
    );
  return found.make(...args);
}
