/**
 * The files of one snapshot, from its manifest list and manifests, and which deletes apply to which data file
 * (specification, "Scan planning"). Reads nothing: the caller gives what it has read.
 */
import { type ContentFile, columnBounds, type Manifest, type ManifestFile } from "./manifests.ts";
import { partitionKey } from "./partition-key.ts";

/** A manifest of the list with its content. */
export interface OpenManifest {
  readonly file: ManifestFile;
  readonly content: Manifest;
}

export interface LiveFile {
  readonly file: ContentFile;
  readonly specId: number;
  readonly sequenceNumber: number;
  /** Of the snapshot that added the file, whatever is said of its data's age. */
  readonly fileSequenceNumber: number;
}

export interface LiveFiles {
  readonly data: readonly LiveFile[];
  readonly deletes: readonly LiveFile[];
}

export function liveFiles(manifests: readonly OpenManifest[]): LiveFiles {
  const files = (content: "data" | "deletes"): LiveFile[] =>
    manifests
      .filter((manifest) => manifest.file.content === content)
      .flatMap(({ file: { partitionSpecId: specId }, content: { entries } }) =>
        entries
          .filter((entry) => entry.status !== "deleted")
          .map(({ file, sequenceNumber, fileSequenceNumber }) => ({ file, specId, sequenceNumber, fileSequenceNumber })),
      );
  return { data: files("data"), deletes: files("deletes") };
}

/** Names one file: several deletion vectors share a Puffin file. */
export const fileId = ({ file }: { readonly file: ContentFile }): string =>
  file.format === "PUFFIN" ? `${file.path}#${file.referencedDataFile}` : file.path;

/** Files that can be in question together: of one spec and one partition. */
export const placeOf = ({ specId, file }: { readonly specId: number; readonly file: ContentFile }): string =>
  `${specId} ${partitionKey(file.partition)}`;

/** Which delete files may apply to a data file. A position delete without a named file counts for its whole partition. */
export class DeleteIndex {
  readonly #byFile: Map<string, LiveFile[]>;
  readonly #byPlace: Map<string, LiveFile[]>;
  readonly #everywhere: readonly LiveFile[];

  constructor(deletes: readonly LiveFile[]) {
    const named = deletes.filter((one) => one.file.content === "position-deletes" && dataFileOf(one.file) !== undefined);
    const isGlobal = ({ file }: LiveFile): boolean => file.content === "equality-deletes" && file.partition.size === 0;
    this.#byFile = Map.groupBy(named, (one) => dataFileOf(one.file) as string);
    this.#byPlace = Map.groupBy(
      deletes.filter((one) => !named.includes(one) && !isGlobal(one)),
      placeOf,
    );
    this.#everywhere = deletes.filter(isGlobal);
  }

  /** A deletion vector stands for every position delete of its file. */
  appliesTo(data: LiveFile): LiveFile[] {
    const candidates = [...(this.#byFile.get(data.file.path) ?? []), ...(this.#byPlace.get(placeOf(data)) ?? []), ...this.#everywhere];
    const applying = candidates.filter((one) => applies(one, data));
    const hasVector = applying.some(({ file }) => file.format === "PUFFIN");
    return hasVector ? applying.filter(({ file }) => file.format === "PUFFIN" || file.content === "equality-deletes") : applying;
  }
}

function applies(one: LiveFile, data: LiveFile): boolean {
  if (one.file.content === "equality-deletes") return data.sequenceNumber < one.sequenceNumber;
  // A file that came later cannot be named, whatever the age of its data.
  return data.sequenceNumber <= one.sequenceNumber && data.fileSequenceNumber <= one.sequenceNumber;
}

/** Id of the column of position delete files that names the data file (specification, reserved field ids). */
const FILE_PATH_COLUMN = 2147483546;

/** The one data file that a file of position deletes is for, if its manifest says so. */
export function dataFileOf(file: ContentFile): string | undefined {
  if (file.referencedDataFile !== undefined) return file.referencedDataFile;
  const { lower, upper } = columnBounds(file, FILE_PATH_COLUMN, "string");
  // Bounds may be cut: equal and whole ones end as data files do.
  return lower !== undefined && lower === upper && /\.parquet$/i.test(String(lower)) ? String(lower) : undefined;
}
