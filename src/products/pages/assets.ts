/**
 * Files of projects: uploads by the steps that wrangler takes (token, which are missing, upload, touch), and what deployments
 * read. Files are shared between the deployments of one project, never between projects, since the client chooses the hash.
 * A file that no deployment names goes a day after it was last touched.
 */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { signedTokens } from "../../kernel/signed-token.ts";
import { pagesError } from "./errors.ts";
import type { StoredAsset } from "./model.ts";
import type { Manifest } from "./store.ts";

/** Documented largest file. */
export const FILE_MAX_BYTES = 25 * 1024 * 1024;
const TOKEN_TTL_S = 3600;
/** Between an upload and the deployment that names its files. */
const UNUSED_KEPT_MS = 24 * 3600 * 1000;
/** Placeholders of one statement. */
const CHUNK = 500;

export interface UploadedFile {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly contentType: string;
}

export interface Assets {
  token(projectId: string): string;
  /** The project that an upload token is for. Throws `pages.unauthorized`. */
  projectOf(token: string): string;
  missing(projectId: string, hashes: readonly string[]): Promise<string[]>;
  /** Durable when it resolves. */
  upload(projectId: string, files: readonly UploadedFile[]): Promise<void>;
  touch(projectId: string, hashes: readonly string[]): Promise<void>;
  find(projectId: string, hashes: Iterable<string>): Promise<Map<string, StoredAsset>>;
  /** Deletes files that are in none of the manifests and were not touched lately. */
  collect(projectId: string, used: AsyncIterable<Manifest>): Promise<void>;
  /** Deletes the project's files in this transaction; the function that it resolves with is called after the commit. */
  removeAll(tx: MetaTransaction, projectId: string): Promise<() => Promise<void>>;
}

export function openAssets({ meta, leases, clock, config, secrets, accountId }: KernelSlice): Assets {
  const tokens = signedTokens<{ project: string; account: string; max_file_count_allowed: number }>(
    secrets.derive("pages.assets"),
    clock,
    TOKEN_TTL_S,
  );

  async function* chunksOf(hashes: Iterable<string>): AsyncGenerator<string[]> {
    const all = [...new Set(hashes)];
    for (let i = 0; i < all.length; i += CHUNK) yield all.slice(i, i + CHUNK);
  }

  async function find(projectId: string, hashes: Iterable<string>): Promise<Map<string, StoredAsset>> {
    const found = new Map<string, StoredAsset>();
    for await (const chunk of chunksOf(hashes)) {
      const rows = await meta.all<{ hash: string; blob: BlobId; size: number; content_type: string }>(
        `SELECT hash, blob, size, content_type FROM pages_assets WHERE project_id = ? AND hash IN (${chunk.map(() => "?").join(", ")})`,
        projectId,
        ...chunk,
      );
      for (const { hash, blob, size, content_type } of rows) found.set(hash, { hash, blob, size, contentType: content_type });
    }
    return found;
  }

  async function store(projectId: string, { key, bytes, contentType }: UploadedFile): Promise<void> {
    const blob = await leases.put(bytes);
    const isNew = await meta.transaction(async (tx) => {
      const { changes } = await tx.run(
        `INSERT INTO pages_assets (project_id, hash, blob, size, content_type, touched_on) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING`,
        projectId,
        key,
        blob,
        bytes.byteLength,
        contentType,
        clock.now(),
      );
      if (changes > 0) await leases.settle(tx, blob);
      return changes > 0;
    });
    if (!isNew) await leases.discard(blob);
  }

  return {
    token: (project) => tokens.sign({ project, account: accountId, max_file_count_allowed: config["pages.files_max"] }),
    projectOf(token) {
      const claims = tokens.verify(token);
      if (claims === undefined) throw pagesError("unauthorized");
      return claims.project;
    },
    async missing(projectId, hashes) {
      const found = await find(projectId, hashes);
      return [...new Set(hashes)].filter((hash) => !found.has(hash));
    },
    async upload(projectId, files) {
      for (const { bytes } of files) if (bytes.byteLength > FILE_MAX_BYTES) throw pagesError("assetTooLarge");
      for (const file of files) await store(projectId, file);
    },
    async touch(projectId, hashes) {
      for await (const chunk of chunksOf(hashes)) {
        await meta.run(
          `UPDATE pages_assets SET touched_on = ? WHERE project_id = ? AND hash IN (${chunk.map(() => "?").join(", ")})`,
          clock.now(),
          projectId,
          ...chunk,
        );
      }
    },
    find,
    async collect(projectId, used) {
      const rows = await meta.all<{ hash: string; blob: BlobId }>(
        "SELECT hash, blob FROM pages_assets WHERE project_id = ? AND touched_on < ? LIMIT 1000000",
        projectId,
        clock.now() - UNUSED_KEPT_MS,
      );
      const unused = new Map(rows.map(({ hash, blob }) => [hash, blob]));
      for await (const manifest of used) for (const hash of Object.values(manifest)) unused.delete(hash);
      for (const [hash, blob] of unused) {
        await meta.transaction(async (tx) => {
          await tx.run("DELETE FROM pages_assets WHERE project_id = ? AND hash = ?", projectId, hash);
          await leases.revoke(tx, blob);
        });
        await leases.discard(blob);
      }
    },
    async removeAll(tx, projectId) {
      const rows = await tx.all<{ blob: BlobId }>("SELECT blob FROM pages_assets WHERE project_id = ? LIMIT 10000000", projectId);
      await tx.run("DELETE FROM pages_assets WHERE project_id = ?", projectId);
      for (const { blob } of rows) await leases.revoke(tx, blob);
      return async () => {
        for (const { blob } of rows) await leases.discard(blob);
      };
    },
  };
}
