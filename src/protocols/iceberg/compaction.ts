/**
 * What to compact of a table, and what cannot be: small files of one partition go together until they are about as large
 * as wanted, and files with deletes are written anew without the deleted rows. A question of metadata alone.
 */
import { currentSchema, type TableMetadata } from "./metadata.ts";
import { DeleteIndex, type LiveFile, type LiveFiles, placeOf } from "./table-files.ts";
import { parsePrimitive, walkFields } from "./types.ts";

/** Files that become one (or a few, if much of them was compressed worse than it will be). */
export interface CompactionGroup {
  readonly specId: number;
  readonly files: readonly LiveFile[];
  /** Deletes that apply to some of the files. */
  readonly deletes: readonly LiveFile[];
  /** Of the data files. */
  readonly bytes: number;
}

export interface CompactionLimits {
  readonly targetBytes: number;
  /** Bytes of data files read in all groups together. */
  readonly budgetBytes: number;
}

/** Files from this share of the target on are large enough. */
const LARGE_ENOUGH = 0.75;
/** Groups up to here are always worth a rewrite. */
const SMALL_BYTES = 8 * 1024 * 1024;
/** So many files in one are worth it whatever their sizes. */
const MANY_FILES = 5;
/** Otherwise one file must not be the bulk: a growing file would be written again with every small one that comes. */
const BULK = 2 / 3;
/** Files in one group, for the memory of whoever reads them at once. */
const GROUP_FILES_MAX = 2000;

/** Types that a rewrite by DuckDB would lose or change. */
const UNKEPT = new Set(["fixed", "variant", "geometry", "geography", "timestamptz_ns", "unknown"]);

/** Why the table's files cannot be rewritten without loss; undefined when they can. */
export function uncompactable(metadata: TableMetadata): string | undefined {
  for (const field of walkFields(currentSchema(metadata))) {
    const primitive = typeof field.type === "string" ? parsePrimitive(field.type) : undefined;
    if (typeof field.type === "string" && (primitive === undefined || UNKEPT.has(primitive.kind)))
      return `The column ${field.path} has the type ${field.type}`;
    const fallback = field.field?.["initial-default"];
    if (fallback !== undefined && fallback !== null && (field.parent !== undefined || primitive === undefined))
      return `The column ${field.path} has a non-primitive initial default`;
  }
  return undefined;
}

/** The groups to rewrite, those that save most files first, within the limits. */
export function planCompaction(live: LiveFiles, { targetBytes, budgetBytes }: CompactionLimits): CompactionGroup[] {
  const index = new DeleteIndex(live.deletes);
  const deletesOf = new Map<LiveFile, LiveFile[]>();
  const candidates = live.data.filter((one) => {
    if (one.file.format !== "PARQUET" || one.file.keyMetadata !== undefined) return false;
    const deletes = index.appliesTo(one);
    deletesOf.set(one, deletes);
    if (deletes.some(({ file }) => file.format !== "PUFFIN" && file.format !== "PARQUET")) return false;
    return deletes.length > 0 || one.file.fileSize < targetBytes * LARGE_ENOUGH;
  });
  const groups: CompactionGroup[] = [];
  for (const files of Map.groupBy(candidates, placeOf).values())
    for (const packed of pack(files, targetBytes)) {
      const deletes = [...new Set(packed.flatMap((one) => deletesOf.get(one) ?? []))];
      const bytes = packed.reduce((sum, { file }) => sum + file.fileSize, 0);
      if (deletes.length > 0 || worthIt(packed, bytes))
        groups.push({ specId: (packed[0] as LiveFile).specId, files: packed, deletes, bytes });
    }
  groups.sort((a, b) => b.files.length + b.deletes.length - (a.files.length + a.deletes.length));
  let left = budgetBytes;
  return groups.filter(({ bytes }) => {
    if (bytes > left) return false;
    left -= bytes;
    return true;
  });
}

/** In the order of age, so that rows that came together stay together. */
function pack(files: readonly LiveFile[], targetBytes: number): LiveFile[][] {
  const byAge = [...files].sort((a, b) => a.sequenceNumber - b.sequenceNumber);
  const packed: LiveFile[][] = [];
  let bytes = 0;
  for (const one of byAge) {
    const last = packed.at(-1);
    if (last === undefined || bytes + one.file.fileSize > targetBytes || last.length >= GROUP_FILES_MAX) {
      packed.push([one]);
      bytes = one.file.fileSize;
    } else {
      last.push(one);
      bytes += one.file.fileSize;
    }
  }
  return packed;
}

function worthIt(files: readonly LiveFile[], bytes: number): boolean {
  if (files.length < 2) return false;
  const largest = files.reduce((max, { file }) => Math.max(max, file.fileSize), 0);
  return bytes <= SMALL_BYTES || files.length >= MANY_FILES || largest <= bytes * BULK;
}
