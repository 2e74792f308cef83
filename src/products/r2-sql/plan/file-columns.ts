/**
 * Columns of files that were added to a table as they were, by other writers and without field ids. Only tables with a name
 * mapping have such files; their footers are read once, by an engine, and remembered, for files never change.
 */
import { parseIcebergJson } from "../../../protocols/iceberg/json.ts";
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

/** Reads the names of top-level columns of Parquet files, by local path; null for files with field ids. */
export type ReadColumns = (paths: readonly string[]) => Promise<Readonly<Record<string, readonly string[] | null>>>;

/** Files remembered; the oldest go first. */
const FILES_MAX = 100_000;

export class FileColumns {
  /** By location ("s3://…"), unique for ever. */
  readonly #known = new Map<string, readonly string[] | null>();

  /** Looks at those files of a table that may have no ids and were not seen before. */
  async learn(
    table: TableSnapshot,
    planned: readonly PlannedFile[],
    local: (location: string) => string,
    read: ReadColumns,
  ): Promise<void> {
    if (nameMapping(table) === undefined) return;
    const unseen = planned.map(({ file }) => file.path).filter((location) => !this.#known.has(location));
    if (unseen.length === 0) return;
    const found = await read(unseen.map(local));
    for (const location of unseen) this.#known.set(location, found[local(location)] ?? null);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= Math.max(FILES_MAX, unseen.length)) break;
      this.#known.delete(oldest);
    }
  }

  /** Column names of a file without field ids; undefined for every other. */
  withoutIds(location: string): readonly string[] | undefined {
    return this.#known.get(location) ?? undefined;
  }
}
