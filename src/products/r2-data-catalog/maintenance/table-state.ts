/** A table as a maintenance job sees it: its metadata at one moment, and the files of its main branch. */
import type { deletionVectorBlob } from "../../../protocols/iceberg/deletion-vector.ts";
import { type Manifest, type ManifestFile, readManifest, readManifestList } from "../../../protocols/iceberg/manifests.ts";
import { currentSchema, parseS3Location, snapshotByRef, type TableMetadata } from "../../../protocols/iceberg/metadata.ts";
import type { OpenManifest } from "../../../protocols/iceberg/table-files.ts";
import { asCatalogError, catalogError } from "../errors.ts";
import type { Catalog, NamespaceRow, TableRow, Warehouse } from "../model.ts";
import type { TableIdentifier } from "../names.ts";
import { fromPathKey } from "../names.ts";

/** The table that a job works on. */
export interface Subject {
  readonly catalog: Catalog;
  readonly warehouse: Warehouse;
  readonly row: TableRow;
  readonly identifier: TableIdentifier;
}

export interface TableState {
  readonly metadata: TableMetadata;
  readonly metadataLocation: string;
  readonly manifests: readonly OpenManifest[];
}

export function subjectOf(catalog: Catalog, warehouse: Warehouse, row: TableRow, namespace: NamespaceRow): Subject {
  return { catalog, warehouse, row, identifier: { namespace: fromPathKey(namespace.path), name: row.name } };
}

/** The table's row and metadata now; throws `catalog.tableNotFound` when it was dropped or replaced. */
export async function currentMetadata({
  catalog,
  warehouse,
  row,
}: Subject): Promise<{ metadata: TableMetadata; metadataLocation: string }> {
  for (let attempt = 0; ; attempt++) {
    const now = await catalog.kernel.meta.get<TableRow>("SELECT * FROM r2_data_catalog_tables WHERE id = ?", row.id);
    if (now === undefined) throw catalogError("tableNotFound");
    try {
      const { metadata } = await catalog.files.read(warehouse.bucket, now.metadata_location);
      return { metadata, metadataLocation: now.metadata_location };
    } catch (error) {
      // A commit in between may have deleted the file: then the row has moved on.
      if (attempt >= 2) throw error;
    }
  }
}

/** Manifests of an earlier look, by path: they never change. */
export type KnownManifests = Map<string, Manifest>;

/** The files of the main branch; none for a table without a snapshot. */
export async function openState(subject: Subject, known: KnownManifests): Promise<TableState> {
  const { metadata, metadataLocation } = await currentMetadata(subject);
  const list = snapshotByRef(metadata, "main")?.["manifest-list"];
  const manifests: OpenManifest[] = [];
  for (const file of list === undefined ? [] : await manifestList(subject, list)) {
    const content = known.get(file.path) ?? (await manifest(subject, file, metadata));
    known.set(file.path, content);
    manifests.push({ file, content });
  }
  return { metadata, metadataLocation, manifests };
}

export async function manifestList(subject: Subject, location: string): Promise<ManifestFile[]> {
  const bytes = await bytesAt(subject, location);
  return readable(() => readManifestList(bytes));
}

export async function manifest(subject: Subject, file: ManifestFile, metadata: TableMetadata): Promise<Manifest> {
  const bytes = await bytesAt(subject, file.path);
  return readable(() => readManifest(bytes, file, [currentSchema(metadata), ...metadata.schemas]));
}

async function bytesAt({ catalog, warehouse }: Subject, location: string): Promise<Uint8Array> {
  const bytes = await catalog.objects.bytes(warehouse.bucket, keyOf(warehouse, location));
  if (bytes === undefined) throw catalogError("metadataUnreadable", `The file ${location} is missing`);
  return bytes;
}

/** The key in the catalog's bucket; throws `catalog.invalidLocation` for a place elsewhere, which the job has no right to. */
export function keyOf(warehouse: Warehouse, location: string): string {
  const place = parseS3Location(location);
  if (place?.bucket !== warehouse.bucket)
    throw catalogError("invalidLocation", `${location} does not lie in the bucket ${warehouse.bucket}`);
  return place.key;
}

/** A deletion vector's blob, read from its Puffin file. */
export async function vectorBlob(
  { catalog, warehouse }: Subject,
  vector: NonNullable<ReturnType<typeof deletionVectorBlob>>,
): Promise<Buffer> {
  const { offset, length, path } = vector;
  const stream = await catalog.objects.read(warehouse.bucket, keyOf(warehouse, path), { offset, length });
  if (stream === undefined) throw catalogError("metadataUnreadable", `The file ${path} is missing`);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw asCatalogError(error);
  }
}
