/**
 * Files on their way into a database or out of one. Each lies in a blob and is reached by a URL that holds a secret and
 * ends after an hour, like the real service's presigned URLs. The row goes last: a file without one cannot be reached.
 */
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { BlobLeases } from "../../kernel/blobs/leases.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { DatabaseId } from "./databases.ts";
import { d1Error } from "./errors.ts";

/** docs/d1/best-practices/import-export-data: 5 GiB. */
const FILE_MAX_BYTES = 5 * 1024 ** 3;
export const TRANSFER_MS = 3_600_000;
const PATH = "/d1-transfers/:secret/:filename";

interface TransferRow {
  readonly secret_hash: string;
  readonly database: string;
  readonly filename: string;
  readonly etag: string | null;
  readonly blob: BlobId | null;
  /** Bytes of a file that is offered. */
  readonly size: number | null;
  readonly expires_at: number;
}

export interface Transfers {
  /** Where the client may PUT the file with this MD5. */
  openUpload(database: DatabaseId, etag: string): Promise<{ filename: string; url: string }>;
  /** The uploaded file, or undefined. */
  uploaded(database: DatabaseId, filename: string, etag: string): Promise<{ file: Readable; done(): Promise<void> } | undefined>;
  /** Stores a file for download. */
  offer(
    database: DatabaseId,
    chunks: AsyncIterable<Uint8Array>,
    onPart: (part: number) => void,
  ): Promise<{ filename: string; url: string }>;
  /** Deletes what has expired; called by the housekeeping. */
  expire(): Promise<void>;
  /** The URLs' own routes, without a bearer token. */
  readonly routes: readonly Route[];
}

const hash = (secret: string): string => createHash("sha256").update(secret).digest("hex");

export function openTransfers(meta: MetaStore, blobs: BlobStore, leases: BlobLeases, clock: Clock, gateway: () => string): Transfers {
  async function add(row: Omit<TransferRow, "secret_hash" | "expires_at">): Promise<string> {
    const secret = randomBytes(32).toString("base64url");
    await meta.transaction(async (tx) => {
      await tx.run(
        "INSERT INTO d1_transfers (secret_hash, database, filename, etag, blob, size, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        hash(secret),
        row.database,
        row.filename,
        row.etag,
        row.blob,
        row.size,
        clock.now() + TRANSFER_MS,
      );
      if (row.blob !== null) await leases.settle(tx, row.blob);
    });
    return `${gateway()}/client/v4${PATH.replace(":secret", secret).replace(":filename", encodeURIComponent(row.filename))}`;
  }

  async function remove(row: TransferRow): Promise<void> {
    if (row.blob !== null) await blobs.delete(row.blob);
    await meta.run("DELETE FROM d1_transfers WHERE secret_hash = ?", row.secret_hash);
  }

  async function ofSecret({ params }: RequestContext): Promise<TransferRow> {
    const row = await meta.get<TransferRow>(
      "SELECT * FROM d1_transfers WHERE secret_hash = ? AND expires_at > ?",
      hash(params.secret ?? ""),
      clock.now(),
    );
    if (row === undefined || row.filename !== params.filename) throw d1Error("transferNotFound");
    return row;
  }

  async function upload(context: RequestContext): Promise<Response> {
    const row = await ofSecret(context);
    if (row.etag === null) throw d1Error("transferNotFound");
    const { id, digest } = await store(context.chunks(FILE_MAX_BYTES), () => undefined);
    try {
      if (digest !== row.etag) throw d1Error("transferDigest");
      // A second upload replaces the first.
      const replaced = await meta.transaction(async (tx) => {
        const old = await tx.get<{ blob: BlobId | null }>("SELECT blob FROM d1_transfers WHERE secret_hash = ?", row.secret_hash);
        if (old === undefined) throw d1Error("transferNotFound");
        await tx.run("UPDATE d1_transfers SET blob = ? WHERE secret_hash = ?", id, row.secret_hash);
        await leases.settle(tx, id);
        if (old.blob !== null) await leases.revoke(tx, old.blob);
        return old.blob;
      });
      if (replaced !== null) await leases.discard(replaced);
    } catch (error) {
      await leases.discard(id);
      throw error;
    }
    return new Response(null, { headers: { etag: `"${digest}"` } });
  }

  async function store(
    chunks: AsyncIterable<Uint8Array>,
    onPart: (part: number) => void,
  ): Promise<{ id: BlobId; digest: string; size: number }> {
    const id = await leases.take();
    const writer = await blobs.create(id);
    const md5 = createHash("md5");
    let size = 0;
    try {
      for await (const chunk of chunks) {
        const part = Math.floor(size / PART_BYTES);
        size += chunk.byteLength;
        if (Math.floor(size / PART_BYTES) > part) onPart(part + 1);
        md5.update(chunk);
        await writer.write(chunk);
      }
      await writer.commit();
    } catch (error) {
      await writer.abort();
      await leases.discard(id);
      throw error;
    }
    return { id, digest: md5.digest("hex"), size };
  }

  return {
    async openUpload(database, etag) {
      const filename = `${database}.${etag}.sql`;
      return { filename, url: await add({ database, filename, etag, blob: null, size: null }) };
    },
    async uploaded(database, filename, etag) {
      const row = await meta.get<TransferRow>(
        "SELECT * FROM d1_transfers WHERE database = ? AND filename = ? AND etag = ? AND blob IS NOT NULL AND expires_at > ? LIMIT 1",
        database,
        filename,
        etag,
        clock.now(),
      );
      if (row === undefined || row.blob === null) return undefined;
      return { file: await blobs.read(row.blob), done: () => remove(row) };
    },
    async offer(database, chunks, onPart) {
      const { id, digest, size } = await store(chunks, onPart);
      const filename = `${database}-${digest}.sql`;
      return { filename, url: await add({ database, filename, etag: null, blob: id, size }) };
    },
    async expire() {
      for (;;) {
        const rows = await meta.all<TransferRow>("SELECT * FROM d1_transfers WHERE expires_at <= ? LIMIT 100", clock.now());
        if (rows.length === 0) return;
        for (const row of rows) await remove(row);
      }
    },
    routes: [
      { op: "d1.transfers.upload", method: "PUT", path: PATH, permission: "public", handle: upload },
      {
        op: "d1.transfers.download",
        method: "GET",
        path: PATH,
        permission: "public",
        async handle(context) {
          const row = await ofSecret(context);
          if (row.etag !== null || row.blob === null) throw d1Error("transferNotFound");
          const body = Readable.toWeb(await blobs.read(row.blob)) as ReadableStream<Uint8Array>;
          // R2's put() of a Worker takes bodies of a known length alone.
          const length = row.size === null ? {} : { "content-length": String(row.size) };
          return new Response(body, { headers: { "content-type": "application/sql", ...length } });
        },
      },
    ],
  };
}

const PART_BYTES = 16 * 1024 * 1024;
