/**
 * A plan as SQL: one table expression that gives exactly the table's columns and live rows. Files are local paths, held
 * for the time of the query.
 */
import { rm } from "node:fs/promises";
import type { Objects } from "../../../kernel/capabilities.ts";
import { identifier } from "../../../kernel/duckdb/engine.ts";
import { duckDbType } from "../../../kernel/duckdb/iceberg/columns.ts";
import { liveRows, pathList, readParquet } from "../../../kernel/duckdb/iceberg/live-rows.ts";
import type { DeletionVectorBlob } from "../../../protocols/iceberg/deletion-vector.ts";
import type { NestedField } from "../../../protocols/iceberg/types.ts";
import { r2SqlError, supported } from "../errors.ts";
import { type FileColumns, nameMapping } from "./file-columns.ts";
import { keyInBucket } from "./manifest-store.ts";
import { writeMask } from "./masks.ts";
import type { PlannedFile, ScanPlan, TableSnapshot } from "./planner.ts";

/** The files of one query on this machine. Each is opened once, whatever refers to it. */
export class HeldFiles {
  readonly #objects: Objects;
  readonly #bucket: string;
  /** Where files are made that the bucket does not have in this form. */
  readonly #scratch: string;
  /** Local paths by location. */
  readonly #local = new Map<string, string>();
  /** Keys of the bucket by local path. */
  readonly #keys = new Map<string, string>();
  #releases: (() => Promise<void>)[] = [];

  constructor(objects: Objects, bucket: string, scratch: string) {
    this.#objects = objects;
    this.#bucket = bucket;
    this.#scratch = scratch;
  }

  /** Local paths of all files. */
  get paths(): string[] {
    return [...this.#keys.keys()];
  }

  /** Makes the files of a plan local; throws `r2-sql.fileMissing` for one that the bucket no longer has. */
  async hold(plan: ScanPlan): Promise<void> {
    const files = [...plan.data, ...plan.positionDeletes, ...plan.equalityDeletes];
    const wanted = [...new Set(files.map(({ file }) => file.path))].filter((path) => !this.#local.has(path));
    if (wanted.length > 0) await this.#hold(wanted);
    // One after the other: a vector is in memory while it is read.
    for (const { file } of plan.data) {
      const vector = plan.vectors.get(file.path);
      if (vector !== undefined && !this.#local.has(maskOf(file.path))) await this.#holdMask(vector, file.recordCount);
    }
  }

  /** The local path of a held file. */
  local(location: string): string {
    const path = this.#local.get(location);
    if (path === undefined) throw new Error(`scan: ${location} is not held`);
    return path;
  }

  /** The local mask of a held data file's deleted rows; undefined for one without a deletion vector. */
  mask(location: string): string | undefined {
    return this.#local.get(maskOf(location));
  }

  /** An engine's message with keys of the bucket in place of local paths, which are nobody's business. */
  withoutPaths(message: string): string {
    let text = message;
    for (const [path, key] of this.#keys) if (text.includes(path)) text = text.replaceAll(path, key);
    return text;
  }

  async release(): Promise<void> {
    const releases = this.#releases;
    this.#releases = [];
    await Promise.all(releases.map((release) => release()));
  }

  async #hold(locations: readonly string[]): Promise<void> {
    const keys = locations.map((location) => keyInBucket(this.#bucket, location));
    const { files, release } = await this.#objects.localFiles(this.#bucket, keys);
    this.#releases.push(release);
    for (const [i, file] of files.entries()) {
      const [location, key] = [locations[i] as string, keys[i] as string];
      if (file === undefined) throw r2SqlError("fileMissing", `A data file of the table is missing from the bucket: ${key}`);
      this.#local.set(location, file.path);
      this.#keys.set(file.path, key);
    }
  }

  async #holdMask(vector: DeletionVectorBlob, rows: number): Promise<void> {
    const path = await writeMask(this.#objects, this.#bucket, this.#scratch, vector, rows);
    this.#releases.push(() => rm(path, { force: true }));
    this.#local.set(maskOf(vector.dataFile), path);
    this.#keys.set(path, keyInBucket(this.#bucket, vector.path));
  }
}

/** No location: all of them begin with a scheme. */
const maskOf = (location: string): string => `mask of ${location}`;

/**
 * The table expression for a plan whose files are held. `columns` are those of files that may have no field ids
 * (`file-columns.ts`). `bare` says that the query has no name of the engine's own columns (`namesEngineColumn`): files that
 * are just the table may then be read without a list of columns around them, in which the engine finds more to optimize
 * (the same join in a query and in its subquery, for one).
 */
export function scanSql(table: TableSnapshot, plan: ScanPlan, files: HeldFiles, columns: FileColumns, bare: boolean): string {
  return supported(() => scan(table, plan, files, columns, bare));
}

function scan(table: TableSnapshot, plan: ScanPlan, files: HeldFiles, columns: FileColumns, bare: boolean): string {
  const { fields } = table.schema;
  if (fields.length === 0) throw r2SqlError("notImplemented", `${table.name} has no columns`);
  if (plan.data.length === 0) return emptyScan(fields);
  const everyFile = plan.positionDeletes.length > 0 || plan.equalityDeletes.length > 0;
  const isTouched = ({ file }: PlannedFile): boolean => everyFile || plan.vectors.has(file.path);
  const hasIds = ({ file }: PlannedFile): boolean => columns.withoutIds(file.path) === undefined;
  const [touched, whole] = [plan.data.filter(isTouched), plan.data.filter((planned) => !isTouched(planned))];
  if (!touched.every(hasIds)) throw r2SqlError("notImplemented", `${table.name} has deletes and files without field ids`);
  const byId = whole.filter(hasIds);
  const byName = whole.filter((planned) => !hasIds(planned));
  const match = columns.matching(fields);
  const matches = byId.map(({ file }) => match(file.path));
  if (bare && byId.length === plan.data.length && matches.every((how) => how === "exactly")) return readByName(byId, files);
  // Read by name, the engine makes use of footers: of bounds in joins, and instead of values for MIN and MAX.
  const read = matches.every((how) => how !== "no") ? readByName(byId, files) : readParquet(fields, byId, files);
  const parts = [
    // The engine offers columns of its own beside a file's (its path, for one): the list keeps them out of sight.
    ...(byId.length > 0 ? [`SELECT ${fields.map((field) => identifier(field.name)).join(", ")} FROM ${read}`] : []),
    ...scansByName(table, byName, files, columns),
    ...(touched.length > 0
      ? [
          liveRows({
            table: table.name,
            fields,
            data: touched,
            positionDeletes: plan.positionDeletes,
            equalityDeletes: plan.equalityDeletes,
            files,
          }),
        ]
      : []),
  ];
  return `(${parts.join(" UNION ALL ")})`;
}

const readByName = (planned: readonly PlannedFile[], files: HeldFiles): string =>
  `read_parquet(${pathList(planned, files)}, hive_partitioning = false)`;

function emptyScan(fields: readonly NestedField[]): string {
  const columns = fields.map((field) => `CAST(NULL AS ${duckDbType(field.type, field.name)}) AS ${identifier(field.name)}`);
  return `(SELECT ${columns.join(", ")} WHERE false)`;
}

// --- files without field ids -------------------------------------------------------------------------------

/** One scan for each set of columns that files have. */
function scansByName(table: TableSnapshot, planned: readonly PlannedFile[], files: HeldFiles, columns: FileColumns): string[] {
  const mapping = nameMapping(table) ?? [];
  const groups = new Map<string, PlannedFile[]>();
  for (const one of planned) {
    const key = JSON.stringify(columns.withoutIds(one.file.path));
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups].map(([key, group]) => {
    const present = new Set(JSON.parse(key) as string[]);
    const list = table.schema.fields.map((field) => {
      const names = mapping.find((mapped) => mapped["field-id"] === field.id)?.names ?? [];
      const name = names.find((one) => present.has(one));
      const value = name === undefined ? "NULL" : `f.${identifier(name)}`;
      return `CAST(${value} AS ${duckDbType(field.type, field.name)}) AS ${identifier(field.name)}`;
    });
    return `SELECT ${list.join(", ")} FROM ${readByName(group, files)} f`;
  });
}
