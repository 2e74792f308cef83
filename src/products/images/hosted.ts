/**
 * Hosted images: rows, and their files as blobs. The file is written first, under a leased name; the row that names it is
 * what makes the image exist, so that a crash leaves neither a row without a file nor a file that nobody finds. A draft is
 * a row without a file, which one upload fills.
 */
import { randomUUID } from "node:crypto";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { SqlValue } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { ImageError, imagesError } from "./errors.ts";
import { type ImageType, infoOf } from "./formats.ts";
import { HOSTED_MAX_BYTES, ID_MAX_CHARACTERS, METADATA_MAX_BYTES } from "./limits.ts";
import type { MetadataFilter } from "./metadata-filter.ts";

/** A file to be kept. */
export interface Upload {
  readonly bytes: Buffer;
  readonly filename?: string | undefined;
}

/** What a caller says of an image. */
export interface Description {
  readonly id?: string | undefined;
  readonly metadata?: unknown;
  readonly requireSignedURLs?: boolean | undefined;
  readonly creator?: string | undefined;
}

export interface HostedImage {
  readonly id: string;
  readonly filename: string | null;
  readonly meta: Readonly<Record<string, unknown>>;
  readonly creator: string | null;
  readonly signed: boolean;
  readonly uploaded: number;
  /** Absent of a draft. */
  readonly file: { readonly blob: BlobId; readonly type: ImageType; readonly size: number } | undefined;
  readonly expires: number | null;
}

export interface ImageQuery {
  readonly limit: number;
  readonly ascending: boolean;
  /** The image after which the list goes on. */
  readonly after?: { readonly uploaded: number; readonly id: string } | undefined;
  /** "" finds images without one. */
  readonly creator?: string | undefined;
  readonly filters?: readonly MetadataFilter[] | undefined;
}

export interface HostedImages {
  create(upload: Upload, description: Description): Promise<HostedImage>;
  /** A draft, for one upload until that time. */
  draft(description: Description, expires: number): Promise<HostedImage>;
  /** The upload of a draft. Throws `images.uploadGone` when it is used, over, or was never asked for. */
  fill(id: string, upload: Upload): Promise<HostedImage>;
  /** Throws `images.notFound`. */
  get(id: string): Promise<HostedImage>;
  find(id: string): Promise<HostedImage | undefined>;
  /** Images without drafts, by the time of their upload. */
  list(query: ImageQuery): Promise<HostedImage[]>;
  /** A numbered page of them, newest first. */
  page(number: number, perPage: number, creator?: string): Promise<HostedImage[]>;
  change(id: string, change: Omit<Description, "id">): Promise<HostedImage>;
  remove(id: string): Promise<void>;
  /** Images without drafts. */
  count(): Promise<number>;
  /** With drafts. */
  readonly max: number;
}

interface Row extends Record<string, SqlValue> {
  id: string;
  filename: string | null;
  meta: string;
  creator: string | null;
  signed: number;
  blob: string | null;
  type: string | null;
  size: number | null;
  uploaded: number;
  expires: number | null;
}

const COLUMNS = "id, custom, filename, meta, creator, signed, blob, type, size, uploaded, expires";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DAY_MS = 24 * 3600_000;
/** Rows that a list reads at a time when it filters. */
const SCAN = 500;

export function openHostedImages({ meta, leases, clock, config }: KernelSlice): HostedImages {
  const max = config["images.hosted_max"];

  async function insert(row: Row & { custom: number }, tx: Pick<typeof meta, "run"> = meta): Promise<boolean> {
    const { changes } = await tx.run(
      `INSERT INTO images_images (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      ...[row.id, row.custom, row.filename, row.meta, row.creator, row.signed, row.blob, row.type, row.size, row.uploaded, row.expires],
    );
    return changes > 0;
  }

  /** Checked; nothing is written yet. */
  function described({ id, metadata, requireSignedURLs = false, creator }: Description): Row & { custom: number } {
    if (id !== undefined) checkId(id, requireSignedURLs);
    return {
      id: id ?? randomUUID(),
      custom: id === undefined ? 0 : 1,
      filename: null,
      meta: metadataText(metadata),
      creator: creator ?? null,
      signed: requireSignedURLs ? 1 : 0,
      ...{ blob: null, type: null, size: null, expires: null },
      uploaded: clock.now(),
    };
  }

  async function get(id: string): Promise<HostedImage> {
    const image = await find(id);
    if (image === undefined) throw imagesError("notFound");
    return image;
  }

  async function find(id: string): Promise<HostedImage | undefined> {
    const row = await meta.get<Row>(`SELECT ${COLUMNS} FROM images_images WHERE id = ?`, id);
    // A draft whose time is over will never be an image.
    return row === undefined || (row.blob === null && (row.expires as number) <= clock.now()) ? undefined : imageOf(row);
  }

  async function makeRoom(): Promise<void> {
    const all = await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM images_images");
    if ((all?.n ?? 0) >= max) throw imagesError("limit", `The account keeps ${max} images, the most it may`);
    await meta.run("DELETE FROM images_images WHERE blob IS NULL AND expires < ?", clock.now() - DAY_MS);
  }

  async function count(): Promise<number> {
    return (await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM images_images WHERE blob IS NOT NULL"))?.n ?? 0;
  }

  /** The file as a blob that `use` names in a row; without a row nothing is left of it. */
  async function withFile<T>({ bytes }: Upload, use: (blob: BlobId, type: string) => Promise<T>): Promise<T> {
    const type = await checkedType(bytes);
    const blob = await leases.put(bytes);
    try {
      return await use(blob, type);
    } catch (error) {
      await leases.discard(blob);
      throw error;
    }
  }

  return {
    max,
    count,
    get,
    find,
    async create(upload, description) {
      const row = described(description);
      await makeRoom();
      await withFile(upload, (blob, type) =>
        meta.transaction(async (tx) => {
          const filed = { ...row, filename: upload.filename ?? null, blob, type, size: upload.bytes.byteLength };
          if (!(await insert(filed, tx))) throw imagesError("exists");
          await leases.settle(tx, blob);
        }),
      );
      return get(row.id);
    },
    async draft(description, expires) {
      const row = { ...described(description), expires };
      await makeRoom();
      if (!(await insert(row))) throw imagesError("exists");
      return imageOf(row);
    },
    async fill(id, upload) {
      const image = await find(id);
      if (image === undefined || image.file !== undefined) throw imagesError("uploadGone");
      await withFile(upload, (blob, type) =>
        meta.transaction(async (tx) => {
          // Of two uploads of one draft the first to come here is the image.
          const { changes } = await tx.run(
            `UPDATE images_images SET blob = ?, type = ?, size = ?, filename = ?, uploaded = ?, expires = NULL
             WHERE id = ? AND blob IS NULL AND expires > ?`,
            ...[blob, type, upload.bytes.byteLength, upload.filename ?? null, clock.now(), id, clock.now()],
          );
          if (changes === 0) throw imagesError("uploadGone");
          await leases.settle(tx, blob);
        }),
      );
      return get(id);
    },
    async list({ limit, ascending, after, creator, filters = [] }) {
      const found: HostedImage[] = [];
      let from = after;
      const [order, compare] = ascending ? ["ASC", ">"] : ["DESC", "<"];
      for (;;) {
        const where = ["blob IS NOT NULL"];
        const params: SqlValue[] = [];
        if (from !== undefined) {
          where.push(`(uploaded ${compare} ? OR (uploaded = ? AND id ${compare} ?))`);
          params.push(from.uploaded, from.uploaded, from.id);
        }
        if (creator !== undefined) where.push(creator === "" ? "creator IS NULL" : "creator = ?");
        if (creator) params.push(creator);
        const wanted = filters.length === 0 ? limit - found.length : SCAN;
        const rows = await meta.all<Row>(
          `SELECT ${COLUMNS} FROM images_images WHERE ${where.join(" AND ")} ORDER BY uploaded ${order}, id ${order} LIMIT ${wanted}`,
          ...params,
        );
        for (const image of rows.map(imageOf)) {
          from = image;
          if (filters.every((filter) => filter(image.meta)) && found.push(image) === limit) return found;
        }
        if (rows.length < wanted) return found;
      }
    },
    async page(number, perPage, creator) {
      const rows = await meta.all<Row>(
        `SELECT ${COLUMNS} FROM images_images WHERE blob IS NOT NULL ${creator === undefined ? "" : creator === "" ? "AND creator IS NULL" : "AND creator = ?"}
         ORDER BY uploaded DESC, id DESC LIMIT ${perPage} OFFSET ${(number - 1) * perPage}`,
        ...(creator ? [creator] : []),
      );
      return rows.map(imageOf);
    },
    async change(id, { metadata, requireSignedURLs, creator }) {
      const image = await get(id);
      if (requireSignedURLs === true && !UUID.test(id)) throw imagesError("badRequest", PRIVATE_CUSTOM);
      await meta.run(
        "UPDATE images_images SET meta = ?, signed = ?, creator = ? WHERE id = ?",
        ...[metadata === undefined ? JSON.stringify(image.meta) : metadataText(metadata), (requireSignedURLs ?? image.signed) ? 1 : 0],
        ...[creator ?? image.creator, id],
      );
      return get(id);
    },
    async remove(id) {
      const { file } = await get(id);
      await meta.transaction(async (tx) => {
        const { changes } = await tx.run("DELETE FROM images_images WHERE id = ?", id);
        if (changes === 0) throw imagesError("notFound");
        if (file !== undefined) await leases.revoke(tx, file.blob);
      });
      if (file !== undefined) await leases.discard(file.blob);
    },
  };
}

const PRIVATE_CUSTOM = "Images with a custom id cannot require signed URLs";

function checkId(id: string, signed: boolean): void {
  const length = [...id].length;
  if (length === 0 || length > ID_MAX_CHARACTERS) throw imagesError("badRequest", `id: 1 to ${ID_MAX_CHARACTERS} characters`);
  if (id.startsWith("/") || id.endsWith("/")) throw imagesError("badRequest", "id: it cannot start or end with a slash");
  if (UUID.test(id)) throw imagesError("badRequest", "id: it cannot be a UUID");
  if (!id.isWellFormed() || /\p{Cc}/u.test(id)) throw imagesError("badRequest", "id: it has characters that cannot be in one");
  if (signed) throw imagesError("badRequest", PRIVATE_CUSTOM);
}

function metadataText(metadata: unknown = {}): string {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    throw imagesError("badRequest", "metadata: it must be a JSON object");
  const text = JSON.stringify(metadata);
  if (Buffer.byteLength(text) > METADATA_MAX_BYTES)
    throw imagesError("badRequest", `metadata: it is larger than ${METADATA_MAX_BYTES} bytes`);
  return text;
}

/** Type of a file that may be kept. */
async function checkedType(bytes: Buffer): Promise<ImageType> {
  if (bytes.byteLength > HOSTED_MAX_BYTES) throw imagesError("tooLarge");
  try {
    const { type, oversized } = await infoOf(bytes);
    if (oversized) throw imagesError("badRequest", "The animation has more than 50 megapixels");
    if (type === "image/avif") throw imagesError("format");
    return type;
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw error.number === 9412
      ? imagesError("format", undefined, { cause: error })
      : imagesError("badRequest", error.message, { cause: error });
  }
}

const imageOf = (row: Row): HostedImage => ({
  id: row.id,
  filename: row.filename,
  meta: JSON.parse(row.meta) as Record<string, unknown>,
  creator: row.creator,
  signed: row.signed === 1,
  uploaded: row.uploaded,
  file: row.blob === null ? undefined : { blob: row.blob as BlobId, type: row.type as ImageType, size: row.size as number },
  expires: row.expires,
});
