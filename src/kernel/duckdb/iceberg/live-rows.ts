/**
 * The live rows of data files of an Iceberg table, as SQL: columns found by field id, rows that delete files and deletion
 * vectors name left out. Files are local paths; which files and which deletes belong together is the caller's to plan.
 */
import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import type { ContentFile } from "../../../protocols/iceberg/manifests.ts";
import { partitionKey } from "../../../protocols/iceberg/partition-key.ts";
import type { NestedField } from "../../../protocols/iceberg/types.ts";
import { identifier, literal } from "../engine.ts";
import { schemaArgument } from "./columns.ts";

export interface FileOfTable {
  readonly file: ContentFile;
  /** Data sequence number: deletes apply to files that are older. */
  readonly sequenceNumber: number;
}

/** Where files of a table lie on this machine. */
export interface LocalPaths {
  local(location: string): string;
  /** A file with one bit for each row that the data file's deletion vector deletes; undefined without a vector. */
  mask(location: string): string | undefined;
}

export interface LiveRows {
  /** For messages. */
  readonly table: string;
  readonly fields: readonly NestedField[];
  /** All with field ids. */
  readonly data: readonly FileOfTable[];
  readonly positionDeletes: readonly FileOfTable[];
  readonly equalityDeletes: readonly FileOfTable[];
  readonly files: LocalPaths;
  /** Also gives each row its id and the sequence number of its last change (version 3), under the specification's names. */
  readonly lineage?: boolean;
}

// Ids that the specification reserves: the columns of position delete files, and those of row lineage.
const DELETE_FILE_PATH = 2147483546;
const DELETE_POSITION = 2147483545;

/** Columns that keep the lineage of rows in files that were rewritten. */
export const LINEAGE: readonly NestedField[] = [
  { id: 2147483540, name: "_row_id", required: false, type: "long" },
  { id: 2147483539, name: "_last_updated_sequence_number", required: false, type: "long" },
];

/** A scan of the files by field id; a column that a file lacks has its default. */
export function readParquet(
  fields: readonly NestedField[],
  planned: readonly FileOfTable[],
  files: LocalPaths,
  nameOf: (field: NestedField) => string = (field) => field.name,
): string {
  return `read_parquet(${pathList(planned, files)}, schema = ${schemaArgument(fields, nameOf)}, hive_partitioning = false)`;
}

export const pathList = (planned: readonly FileOfTable[], files: LocalPaths): string =>
  `[${planned.map(({ file }) => literal(files.local(file.path))).join(", ")}]`;

/** Names inside a scan with deletes, by field id: the engine's own `filename` and `file_row_number` must stay in sight. */
const inner = (field: NestedField): string => `c${field.id}`;

/**
 * A SELECT of the rows of the files without the deleted ones. A deletion vector is for one file; a position delete names a
 * file and a row in it; an equality delete holds for files that are older than itself, in its own partition or, without one,
 * everywhere (specification, "Scan planning"). Throws `unsupported` for equality deletes by columns that are not there.
 */
export function liveRows(scan: LiveRows): string {
  const { fields, data, files } = scan;
  const read = scan.lineage === true ? [...fields, ...LINEAGE] : fields;
  const masks = data.flatMap(({ file }) => files.mask(file.path) ?? []);
  // Nothing to ask of a row: no join with its file's line.
  if (scan.lineage !== true && masks.length + scan.positionDeletes.length + scan.equalityDeletes.length === 0)
    return `SELECT ${fields.map((field) => identifier(field.name)).join(", ")} FROM ${readParquet(fields, data, files)}`;
  const rows =
    `(SELECT ${read.map((field) => `r.${inner(field)}`).join(", ")}, r.file_row_number AS position, m.* EXCLUDE (path) ` +
    `FROM ${readParquet(read, data, files, inner)} r JOIN ${filesSql(data, masks, files)} m ON r.filename = m.path)`;
  const conditions: string[] = [];
  if (masks.length > 0) {
    // A mask ends with the last deleted row.
    const kept = "t.deleted IS NULL OR t.position >= bit_length(t.deleted)";
    conditions.push(`CASE WHEN ${kept} THEN true ELSE get_bit(t.deleted, t.position::INTEGER) = 0 END`);
  }
  if (scan.positionDeletes.length > 0) {
    const columns: NestedField[] = [
      { id: DELETE_FILE_PATH, name: "file_path", required: true, type: "string" },
      { id: DELETE_POSITION, name: "pos", required: true, type: "long" },
    ];
    const deletes = readParquet(columns, scan.positionDeletes, files);
    conditions.push(`NOT EXISTS (SELECT 1 FROM ${deletes} d WHERE d.file_path = t.location AND d.pos = t.position)`);
  }
  for (const [ids, deletes] of byEqualityIds(scan.equalityDeletes)) conditions.push(equalityCondition(scan, ids, deletes));
  const columns = fields.map((field) => `t.${inner(field)} AS ${identifier(field.name)}`);
  if (scan.lineage === true) columns.push(...lineageColumns());
  const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
  return `SELECT ${columns.join(", ")} FROM ${rows} t${where}`;
}

/** A row that was never rewritten has the id that its place in its file gives it, and the age of that file. */
function lineageColumns(): string[] {
  const [id, sequence] = LINEAGE.map(inner);
  return [
    `coalesce(t.${id}, t.first_row_id + t.position) AS _row_id`,
    `coalesce(t.${sequence}, CASE WHEN t.first_row_id IS NOT NULL THEN t.sequence END) AS _last_updated_sequence_number`,
  ];
}

/** What conditions on rows need to know of their files: path, location, sequence, partition and, with masks, deleted. */
function filesSql(data: readonly FileOfTable[], masks: readonly string[], files: LocalPaths): string {
  const known = data.map(({ file, sequenceNumber }) => {
    const mask = files.mask(file.path);
    const texts = [files.local(file.path), file.path, partitionKey(file.partition)].map(literal);
    const first = file.firstRowId === undefined ? "NULL::BIGINT" : `${file.firstRowId}::BIGINT`;
    return `(${texts.join(", ")}, ${sequenceNumber}::BIGINT, ${first}, ${mask === undefined ? "NULL::VARCHAR" : literal(mask)})`;
  });
  const values = `(VALUES ${known.join(", ")}) v(path, location, partition, sequence, first_row_id, mask)`;
  if (masks.length === 0) return `(SELECT * EXCLUDE (mask) FROM ${values})`;
  const blobs = `read_blob([${masks.map(literal).join(", ")}])`;
  return `(SELECT v.* EXCLUDE (mask), b.content::BIT AS deleted FROM ${values} LEFT JOIN ${blobs} b ON b.filename = v.mask)`;
}

function byEqualityIds(deletes: readonly FileOfTable[]): Map<string, FileOfTable[]> {
  const groups = new Map<string, FileOfTable[]>();
  for (const planned of deletes) {
    const ids = [...(planned.file.equalityIds ?? [])].sort((a, b) => a - b).join(",");
    groups.set(ids, [...(groups.get(ids) ?? []), planned]);
  }
  return groups;
}

function equalityCondition({ table, fields: all, files }: LiveRows, ids: string, deletes: readonly FileOfTable[]): string {
  const fields = ids.split(",").map((id) => {
    const field = all.find((one) => one.id === Number(id));
    if (field === undefined)
      throw new IcebergError("unsupported", `${table} has equality deletes by a column that is nested or no longer exists`);
    return field;
  });
  const mapping = deletes.map(({ file, sequenceNumber }) => {
    // A delete file of an unpartitioned spec is for all partitions.
    const partition = file.partition.size === 0 ? "NULL::VARCHAR" : literal(partitionKey(file.partition));
    return `(${literal(files.local(file.path))}, ${sequenceNumber}, ${partition})`;
  });
  const equal = fields.map((field) => `d.${inner(field)} IS NOT DISTINCT FROM t.${inner(field)}`);
  return (
    `NOT EXISTS (SELECT 1 FROM ${readParquet(fields, deletes, files, inner)} d JOIN (VALUES ${mapping.join(", ")}) m(path, sequence, partition) ON d.filename = m.path ` +
    `WHERE ${equal.join(" AND ")} AND t.sequence < m.sequence AND (m.partition IS NULL OR m.partition = t.partition))`
  );
}
