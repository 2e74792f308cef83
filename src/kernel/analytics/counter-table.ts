/**
 * Tables of sums: one row for each period and key, to which figures are added. The products own their tables; this is
 * how they are written, read and forgotten. Adding happens inside the caller's transaction, or gathered in memory by
 * `openCounter`.
 */
import type { MetaReader, MetaTransaction, SqlValue } from "../meta/meta.ts";
import type { DatasetWindow } from "../product.ts";
import { QueryError } from "./query-error.ts";

export interface CounterTable<K extends string, S extends string> {
  readonly name: string;
  /** Column with the period's start in milliseconds since the epoch, and its length. */
  readonly period: { readonly column: string; readonly ms: number };
  /** Columns that tell rows of one period apart, at least one; with the period they are the primary key. */
  readonly keys: readonly K[];
  /** INTEGER columns that grow. */
  readonly sums: readonly S[];
}

export type Key<K extends string> = Readonly<Record<K, string | number>>;
export type Sums<S extends string> = Readonly<Record<S, number>>;
/** A row, `time` being the start of its period. */
export type Counted<K extends string, S extends string> = Key<K> & Sums<S> & { readonly time: number };

/** As long as the real service's datasets reach back. */
export const KEEP_MS = 31 * 86_400_000;
/** Rows that one query may read. */
const ROWS_MAX = 200_000;

export const periodOf = ({ period }: CounterTable<string, string>, now: number): number => Math.floor(now / period.ms) * period.ms;

/** Adds to the row of the period that begins at `time`. */
export async function addTo<K extends string, S extends string>(
  tx: Pick<MetaTransaction, "run">,
  table: CounterTable<K, S>,
  time: number,
  key: Key<K>,
  sums: Sums<S>,
): Promise<void> {
  const { name, period, keys } = table;
  const columns = [period.column, ...keys, ...table.sums];
  await tx.run(
    `INSERT INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})
     ON CONFLICT (${[period.column, ...keys].join(", ")}) DO UPDATE SET
       ${table.sums.map((sum) => `${sum} = ${name}.${sum} + excluded.${sum}`).join(", ")}`,
    time,
    ...keys.map((column): SqlValue => key[column]),
    ...table.sums.map((column): SqlValue => sums[column]),
  );
}

/**
 * The rows whose period touches the window, summed up into periods of `unit` where that is longer than the table's own.
 * Throws a `QueryError` when there are too many.
 */
export async function countedIn<K extends string, S extends string>(
  meta: MetaReader,
  { name, period, keys, sums }: CounterTable<K, S>,
  { from, to, unit }: DatasetWindow,
): Promise<Counted<K, S>[]> {
  const { column } = period;
  const time = unit <= period.ms ? column : Number.isFinite(unit) ? `${column} - ${column} % ${unit}` : `MIN(${column})`;
  const group = Number.isFinite(unit) ? [time, ...keys] : keys;
  const rows = await meta.all<Counted<K, S>>(
    `SELECT ${time} AS time, ${[...keys, ...sums.map((sum) => `SUM(${sum}) AS ${sum}`)].join(", ")}
     FROM ${name} WHERE ${column} > ? AND ${column} < ? GROUP BY ${group.join(", ")} ORDER BY 1 LIMIT ?`,
    from - period.ms,
    to,
    ROWS_MAX + 1,
  );
  if (rows.length > ROWS_MAX) throw new QueryError("the query covers too many records: narrow its time range or its dimensions");
  // A period may begin before the window that it reaches into.
  return rows.map((row) => ({ ...row, time: Math.max(row.time, from) }));
}

/** Deletes what was counted before that time. */
export async function forget(
  tx: Pick<MetaTransaction, "run">,
  { name, period }: CounterTable<string, string>,
  before: number,
): Promise<void> {
  await tx.run(`DELETE FROM ${name} WHERE ${period.column} < ?`, before - period.ms);
}
