/**
 * What columns data files really have. A file that has exactly the table's columns, by id, name and type, can be read by
 * name, which lets the engine use what footers tell (bounds, counts); files that other writers added without field ids can
 * be read no other way. Footers are read once, by an engine, and remembered, for files never change.
 */
import { duckDbType } from "../../../kernel/duckdb/iceberg/columns.ts";
import { parseIcebergJson } from "../../../protocols/iceberg/json.ts";
import type { NestedField } from "../../../protocols/iceberg/types.ts";
import type { ColumnSet, FileColumn } from "../engine/protocol.ts";
import type { PlannedFile, TableSnapshot } from "./planner.ts";

interface MappedField {
  readonly "field-id"?: number;
  readonly names: readonly string[];
}

/** The table's name mapping, or undefined. Only its top level counts: the engine maps what is inside structs by name anyway. */
export function nameMapping(table: TableSnapshot): readonly MappedField[] | undefined {
  const text = table.metadata.properties["schema.name-mapping.default"];
  return text === undefined ? undefined : (parseIcebergJson(text) as MappedField[]);
}

/** Reads the columns of Parquet files: each different set, with the local paths of the files that have it. */
export type ReadColumns = (paths: readonly string[]) => Promise<readonly ColumnSet[]>;

/** Files remembered; the oldest go first. */
const FILES_MAX = 100_000;
/** Footers that one query reads for the sake of later ones. A file without ids is looked at in any case. */
const LEARNED_MAX = 2000;

export class FileColumns {
  /** By location ("s3://…"), unique for ever. Files with the same columns share one value. */
  readonly #known = new Map<string, readonly FileColumn[]>();
  readonly #sets = new Map<string, readonly FileColumn[]>();

  /** Looks at files of a table that were not seen before, as far as that is of use. */
  async learn(
    table: TableSnapshot,
    planned: readonly PlannedFile[],
    local: (location: string) => string,
    read: ReadColumns,
  ): Promise<void> {
    const unseen = planned.map(({ file }) => file.path).filter((location) => !this.#known.has(location));
    if (unseen.length === 0) return;
    if (nameMapping(table) === undefined && (unseen.length > LEARNED_MAX || table.schema.fields.some(isNested))) return;
    const found = new Map<string, readonly FileColumn[]>();
    for (const { columns, files } of await read(unseen.map(local))) {
      const shared = this.#shared(columns);
      for (const file of files) found.set(file, shared);
    }
    for (const location of unseen) this.#known.set(location, found.get(local(location)) ?? []);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= Math.max(FILES_MAX, unseen.length)) break;
      this.#known.delete(oldest);
    }
  }

  /** Names of the top-level columns of a file without field ids; undefined for every other. */
  withoutIds(location: string): readonly string[] | undefined {
    const columns = this.#known.get(location);
    if (columns === undefined || columns.length === 0 || columns.some(({ hasIds }) => hasIds)) return undefined;
    return columns.map(({ name }) => name);
  }

  /** Tells whether a file is known to have each of these columns under its id, name and type, or exactly these in order. */
  matching(fields: readonly NestedField[]): (location: string) => Match {
    const answers = new Map<readonly FileColumn[] | undefined, Match>([[undefined, "no"]]);
    return (location) => {
      const columns = this.#known.get(location);
      const answer = answers.get(columns) ?? matchOf(columns as readonly FileColumn[], fields);
      answers.set(columns, answer);
      return answer;
    };
  }

  #shared(columns: readonly FileColumn[]): readonly FileColumn[] {
    const key = JSON.stringify(columns);
    const shared = this.#sets.get(key) ?? columns;
    if (this.#sets.size >= FILES_MAX / 100) this.#sets.clear();
    this.#sets.set(key, shared);
    return shared;
  }
}

const isNested = (field: NestedField): boolean => typeof field.type !== "string";

export type Match = "exactly" | "all" | "no";

function matchOf(columns: readonly FileColumn[], fields: readonly NestedField[]): Match {
  if (!haveAll(columns, fields)) return "no";
  return columns.length === fields.length && fields.every(({ id }, i) => columns[i]?.id === id) ? "exactly" : "all";
}

/** False for columns with parts: what is inside them is not compared. */
function haveAll(columns: readonly FileColumn[], fields: readonly NestedField[]): boolean {
  // The engine's names know no case: with two of a kind it would give one of them another name.
  if (new Set(columns.map(({ name }) => name.toLowerCase())).size !== columns.length) return false;
  const byId = new Map(columns.map((column) => [column.id, column]));
  return fields.every((field) => {
    const column = byId.get(field.id);
    return column?.name === field.name && !isNested(field) && column.type === duckDbType(field.type, field.name).replaceAll(" ", "");
  });
}
