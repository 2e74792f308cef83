/**
 * Formats of Rust's chrono (https://docs.rs/chrono/latest/chrono/format/strftime), which DataFusion reads and writes
 * times with, in DuckDB's terms. DuckDB's own directives differ in name and are fewer.
 */
import { literal } from "../engine.ts";
import { FunctionError } from "./rule.ts";

/** A literal text, or a directive: "Y", "-d", ".3f", ":z". */
type Item = { readonly text: string } | { readonly directive: string };

function itemsOf(format: string): Item[] {
  const items: Item[] = [];
  let text = "";
  const pattern = /%([-_0]?(?:\.[369]?f|[369]f|:{1,3}z|#z|[A-Za-z%+]))/y;
  for (let i = 0; i < format.length; ) {
    pattern.lastIndex = i;
    const match = format[i] === "%" ? pattern.exec(format) : null;
    if (format[i] === "%" && match === null) throw new FunctionError(`invalid format '${format}' at ${format.slice(i, i + 3)}`);
    if (match === null) {
      text += format[i++];
      continue;
    }
    i += match[0].length;
    const directive = match[1] as string;
    const plain = { "%": "%", n: "\n", t: "\t" }[directive];
    const expanded = composed[directive];
    if (plain !== undefined) text += plain;
    else {
      if (text !== "") items.push({ text });
      text = "";
      items.push(...(expanded === undefined ? [{ directive }] : itemsOf(expanded)));
    }
  }
  if (text !== "") items.push({ text });
  return items;
}

/** Directives that stand for several. */
const composed: Readonly<Record<string, string>> = {
  D: "%m/%d/%y",
  x: "%m/%d/%y",
  F: "%Y-%m-%d",
  v: "%e-%b-%Y",
  R: "%H:%M",
  T: "%H:%M:%S",
  X: "%H:%M:%S",
  r: "%I:%M:%S %p",
  c: "%a %b %e %H:%M:%S %Y",
  "+": "%Y-%m-%dT%H:%M:%S%.f%:z",
  h: "%b",
};

// --- writing -----------------------------------------------------------------------------------------------

/** Directives that DuckDB's strftime has with the same meaning. */
const written = new Set([..."YyCmdbBaAjUWuwGVHIMSp"].filter((letter) => letter !== "C"));
/** Numbers with leading zeros, and how many digits they have. */
const padded: Readonly<Record<string, number>> = {
  d: 2,
  e: 2,
  m: 2,
  H: 2,
  k: 2,
  I: 2,
  l: 2,
  M: 2,
  S: 2,
  j: 3,
  U: 2,
  W: 2,
  V: 2,
  y: 2,
  g: 2,
};
const zeroPadded: Readonly<Record<string, string>> = { e: "d", k: "H", l: "I" };

/** SQL of the text of a time. `time` is a TIMESTAMP, `nanos` the nanoseconds of its second, both SQL. */
export function formatSql(time: string, nanos: string, format: string): string {
  const parts = itemsOf(format).map((item) => ("text" in item ? literal(item.text) : writeDirective(time, nanos, item.directive)));
  return parts.length === 0 ? `CASE WHEN ${time} IS NOT NULL THEN '' END` : `(${parts.join(" || ")})`;
}

function writeDirective(time: string, nanos: string, directive: string): string {
  const [, modifier, name] = /^([-_0]?)(.+)$/s.exec(directive) as unknown as [string, string, string];
  const base = zeroPadded[name] ?? name;
  const digits = padded[name];
  if (digits !== undefined) {
    const number = base === "g" ? `right(strftime(${time}, '%G'), 2)` : `strftime(${time}, '%${base}')`;
    const style = modifier === "" ? (zeroPadded[name] === undefined ? "0" : "_") : modifier;
    if (style === "0") return number;
    const bare = `CAST(CAST(${number} AS INTEGER) AS VARCHAR)`;
    return style === "-" ? bare : `lpad(${bare}, ${digits}, ' ')`;
  }
  switch (name) {
    case "C":
      return `lpad(CAST(date_part('year', ${time}) // 100 AS VARCHAR), 2, '0')`;
    case "q":
      return `CAST(date_part('quarter', ${time}) AS VARCHAR)`;
    case "P":
      return `lower(strftime(${time}, '%p'))`;
    case "s":
      return `CAST(CAST(floor(epoch(${time})) AS BIGINT) AS VARCHAR)`;
    case "f":
    case "9f":
      return fraction(nanos, 9);
    case "3f":
      return fraction(nanos, 3);
    case "6f":
      return fraction(nanos, 6);
    case ".3f":
    case ".6f":
    case ".9f":
      return `('.' || ${fraction(nanos, Number(name[1]))})`;
    case ".f":
      return `CASE WHEN ${nanos} = 0 THEN '' WHEN ${nanos} % 1000000 = 0 THEN '.' || ${fraction(nanos, 3)} WHEN ${nanos} % 1000 = 0 THEN '.' || ${fraction(nanos, 6)} ELSE '.' || ${fraction(nanos, 9)} END`;
    // Everything is UTC here.
    case "z":
      return "'+0000'";
    case ":z":
      return "'+00:00'";
    case "::z":
      return "'+00:00:00'";
    case ":::z":
      return "'+00'";
    case "Z":
      return "'UTC'";
  }
  if (written.has(name)) return `strftime(${time}, '%${name}')`;
  throw new FunctionError(`the directive %${directive} is not supported in a format`);
}

const fraction = (nanos: string, digits: number): string => `left(lpad(CAST(${nanos} AS VARCHAR), 9, '0'), ${digits})`;

// --- reading -----------------------------------------------------------------------------------------------

/** Directives that DuckDB's strptime has with the same meaning. */
const readAs: Readonly<Record<string, string>> = {
  Y: "%Y",
  y: "%y",
  m: "%m",
  d: "%d",
  e: "%d",
  b: "%b",
  B: "%B",
  a: "%a",
  A: "%A",
  j: "%j",
  H: "%H",
  k: "%H",
  I: "%I",
  l: "%I",
  M: "%M",
  S: "%S",
  p: "%p",
  P: "%p",
  z: "%z",
  ":z": "%z",
  "#z": "%z",
  f: "%n",
  "3f": "%n",
  "6f": "%n",
  "9f": "%n",
  ".3f": ".%n",
  ".6f": ".%n",
  ".9f": ".%n",
};

/**
 * DuckDB's formats for one of chrono's, to be tried in order: a fraction that may be missing makes two. `zoned` formats
 * give an instant, others a time of the clock.
 */
export function parseFormats(format: string): { readonly formats: readonly string[]; readonly zoned: boolean } {
  let formats = [""];
  let zoned = false;
  for (const item of itemsOf(format)) {
    if ("text" in item) formats = formats.map((before) => before + item.text.replaceAll("%", "%%"));
    else {
      const name = item.directive.replace(/^[-_0](?=.)/, "");
      if (name === ".f") formats = [...formats.map((before) => `${before}.%n`), ...formats];
      else {
        const directive = readAs[name];
        if (directive === undefined) throw new FunctionError(`the directive %${item.directive} is not supported for reading a time`);
        if (directive === "%z") zoned = true;
        formats = formats.map((before) => before + directive);
      }
    }
  }
  return { formats, zoned };
}
