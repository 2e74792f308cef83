/**
 * Results as the SQL API writes them (SQL reference, FORMAT clause), which is ClickHouse's way: integers of 64 bits as
 * strings in JSON, NaN and infinities as null, datetimes to the second.
 */
import type { DuckDBDataChunk, DuckDBValue } from "@duckdb/node-api";
import type { Rows } from "../../kernel/duckdb/rows.ts";
import { QueryError } from "./errors.ts";
import type { OutputColumn } from "./sql/compile.ts";
import type { Format } from "./sql/tree.ts";

export interface Limits {
  readonly rows: number;
  readonly bytes: number;
}

export interface Encoded {
  readonly body: string;
  readonly contentType: string;
}

const typeName = ({ type, zone }: OutputColumn): string => (type === "DateTime" && zone !== undefined ? `DateTime('${zone}')` : type);

/** The whole result; throws past its limits. */
export async function encode(rows: Rows, columns: readonly OutputColumn[], format: Format, limits: Limits): Promise<Encoded> {
  const lines: string[] = [];
  const write = format === "TabSeparated" ? tabbed : (values: readonly unknown[]) => JSON.stringify(objectOf(columns, values));
  let bytes = 0;
  for await (const chunk of rows.chunks()) {
    for (const values of valuesOf(chunk, columns)) {
      const line = write(values);
      bytes += line.length;
      if (lines.push(line) > limits.rows) throw new QueryError(`the result has more than ${limits.rows} rows: use LIMIT`);
      if (bytes > limits.bytes) throw new QueryError(`the result has more than ${limits.bytes} bytes: use LIMIT`);
    }
  }
  return encoded(lines, columns, format);
}

/** A result that stands already, one text a row. */
export const encodeTexts = (name: string, texts: readonly string[], format: Format): Encoded => {
  const columns = [{ name, type: "String" } as const];
  return encoded(
    texts.map((text) => (format === "TabSeparated" ? tabbed([text]) : JSON.stringify({ [name]: text }))),
    columns,
    format,
  );
};

function encoded(lines: readonly string[], columns: readonly OutputColumn[], format: Format): Encoded {
  const ended = lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  if (format === "TabSeparated") return { body: ended, contentType: "text/tab-separated-values; charset=UTF-8" };
  if (format === "JSONEachRow") return { body: ended, contentType: "application/x-ndjson; charset=UTF-8" };
  const meta = JSON.stringify(columns.map((column) => ({ name: column.name, type: typeName(column) })));
  const body = `{"meta":${meta},"data":[${lines.join(",")}],"rows":${lines.length},"rows_before_limit_at_least":${lines.length}}`;
  return { body, contentType: "application/json" };
}

function* valuesOf(chunk: DuckDBDataChunk, columns: readonly OutputColumn[]): Generator<unknown[]> {
  for (const row of chunk.getRows()) yield row.map((value, i) => plain(value, (columns[i] as OutputColumn).type));
}

const objectOf = (columns: readonly OutputColumn[], values: readonly unknown[]): Record<string, unknown> => {
  const object: Record<string, unknown> = Object.create(null);
  for (const [i, { name }] of columns.entries()) object[name] = values[i];
  return object;
};

function plain(value: DuckDBValue, type: string): unknown {
  if (value === null) return null;
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  const inner = /^Array\((.*)\)$/.exec(type)?.[1];
  if (inner !== undefined) return (value as { items: readonly DuckDBValue[] }).items.map((item) => plain(item, inner));
  return typeof value === "object" ? String(value) : value;
}

const tabbed = (values: readonly unknown[]): string => values.map(tabText).join("\t");

function tabText(value: unknown): string {
  if (value === null) return "\\N";
  if (typeof value === "string") return escaped(value);
  if (Array.isArray(value)) return `[${value.map((item) => (typeof item === "string" ? `'${escaped(item)}'` : tabText(item))).join(",")}]`;
  return String(value);
}

const escaped = (text: string): string =>
  text.replace(/[\\\t\n\r\0']/g, (sign) => `\\${({ "\t": "t", "\n": "n", "\r": "r", "\0": "0" } as Record<string, string>)[sign] ?? sign}`);
