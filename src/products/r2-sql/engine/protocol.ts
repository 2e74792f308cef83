/**
 * What the platform and an engine process say to each other: lines of JSON, requests on the engine's standard input,
 * answers on its file descriptor 3. One request at a time. Rows come as lines that begin with "[" so that the platform can
 * pass them on without reading them; every other line is an object.
 */
import type { DuckDbErrorKind } from "../../../kernel/duckdb/errors.ts";

export type EngineRequest =
  | { readonly op: "parse"; readonly sql: string }
  | {
      readonly op: "run";
      readonly sql: string;
      /** Queries of one scope may share an instance: whoever may run one may read every file of the scope. */
      readonly scope: string;
      /** Absolute paths that the SQL reads; it can open nothing else. */
      readonly files: readonly string[];
      /** Result rows from which on it may have left files unopened: they are then counted one by one. Undefined: it opens all. */
      readonly stopsEarlyAt?: number | undefined;
      /** True to bind the SQL and describe its columns without running it. */
      readonly explain?: boolean;
    }
  /** The columns of Parquet files. */
  | { readonly op: "columns"; readonly scope: string; readonly files: readonly string[] }
  /** Interrupts the request that runs; it answers with an error of kind "interrupted". */
  | { readonly op: "cancel" };

export type EngineMessage =
  /** DuckDB's serialized syntax tree, or its refusal. */
  | { readonly tree: string }
  | { readonly columns: readonly ResultColumn[] }
  | { readonly done: EngineMetrics }
  | { readonly plan: string }
  /** Each different set of columns, with the files that have it. */
  | { readonly columnSets: readonly ColumnSet[] }
  | { readonly error: { readonly kind: DuckDbErrorKind; readonly message: string } };

export interface ColumnSet {
  readonly columns: readonly FileColumn[];
  readonly files: readonly string[];
}

/** A top-level column of a Parquet file. */
export interface FileColumn {
  readonly name: string;
  /** Its field id, if the writer gave it one. */
  readonly id: number | null;
  /** DuckDB's type without blanks; null for a column that has parts. */
  readonly type: string | null;
  /** Whether it or anything in it has a field id. */
  readonly hasIds: boolean;
}

export interface ResultColumn {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** A column's type as the real service describes it. */
export interface Descriptor {
  readonly type: { readonly name: string; readonly [detail: string]: unknown };
  readonly nullable: boolean;
}

export interface EngineMetrics {
  readonly rows: number;
  /** Bytes read from data files: footers and column chunks, compressed. */
  readonly bytes: number;
  /** Data files opened; undefined when all were. */
  readonly files?: number;
}

/** How an engine process is set up: its only argument. */
export interface EngineSettings {
  readonly memoryMb: number;
  readonly threads: number;
  /** Directory of this process's own for what does not fit in memory. */
  readonly spill: string;
}

/** Bytes of rows that the engine collects before it writes a line. */
export const ROWS_LINE_BYTES = 64 * 1024;
