/**
 * Images of the account: layers and configurations by digest, manifests by repository and digest, tags. Bytes come first,
 * then the row that names them; a manifest is taken only when all that it names is there.
 */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import type { BlobId, BlobRange } from "../../kernel/blobs/blobs.ts";
import type { KernelSlice } from "../../kernel/product.ts";

export interface Manifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly content: string;
}

export interface Images {
  blobSize(digest: string): Promise<number | undefined>;
  readBlob(digest: string, range?: BlobRange): Promise<Readable | undefined>;
  /** An upload in pieces. At most one piece is written at a time. */
  upload(): Promise<Upload>;
  /** By tag or digest. */
  manifest(repository: string, reference: string): Promise<Manifest | undefined>;
  /** Stores a manifest, and lets the tag stand for it if one is given. Resolves with its digest, or with what is missing. */
  put(repository: string, tag: string | undefined, mediaType: string, content: string): Promise<{ digest: string } | { missing: string }>;
  /** Removes a tag, or with a digest the manifest and all its tags. False when there was none. */
  remove(repository: string, reference: string): Promise<boolean>;
  /** Names of repositories with their tags, after `last`, at most `limit`. */
  catalog(last: string, limit: number): Promise<readonly { readonly repository: string; readonly tags: readonly string[] }[]>;
  tags(repository: string): Promise<readonly string[]>;
  /** Deletes blobs that no manifest names and that no push of the last hour brought. */
  collect(): Promise<number>;
  /** Bytes of all blobs. */
  stored(): Promise<number>;
}

export interface Upload {
  readonly size: number;
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the blob visible; false when its bytes have another digest. */
  finish(digest: string): Promise<boolean>;
  abort(): Promise<void>;
}

/** What a push in progress has brought and its manifest will name. */
const UNNAMED_MS = 3_600_000;
const ROWS_MAX = 100_000;

export function openImages({ meta, blobs, leases, clock }: Pick<KernelSlice, "meta" | "blobs" | "leases" | "clock">): Images {
  const rowOf = (digest: string) =>
    meta.get<{ blob: BlobId; size: number }>("SELECT blob, size FROM containers_blobs WHERE digest = ?", digest);

  async function upload(): Promise<Upload> {
    const id = await leases.take();
    const writer = await blobs.create(id);
    const hash = createHash("sha256");
    let size = 0;
    return {
      get size() {
        return size;
      },
      async write(chunk) {
        hash.update(chunk);
        size += chunk.byteLength;
        await writer.write(chunk);
      },
      async finish(digest) {
        const isSame = `sha256:${hash.digest("hex")}` === digest;
        if (!isSame || (await rowOf(digest)) !== undefined) {
          await writer.abort();
          await leases.discard(id);
          return isSame;
        }
        await writer.commit();
        const isNew = await meta.transaction(async (tx) => {
          // The row makes the blob visible. Of two uploads of one digest the first has it.
          const { changes } = await tx.run(
            "INSERT INTO containers_blobs (digest, blob, size, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
            digest,
            id,
            size,
            clock.now(),
          );
          if (changes > 0) await leases.settle(tx, id);
          return changes > 0;
        });
        if (!isNew) await leases.discard(id);
        return true;
      },
      async abort() {
        await writer.abort();
        await leases.discard(id);
      },
    };
  }

  async function manifest(repository: string, reference: string): Promise<Manifest | undefined> {
    const digest = reference.startsWith("sha256:")
      ? reference
      : (await meta.get<{ digest: string }>("SELECT digest FROM containers_tags WHERE repository = ? AND tag = ?", repository, reference))
          ?.digest;
    if (digest === undefined) return undefined;
    return meta.get<Manifest & Record<string, never>>(
      'SELECT digest, media_type AS "mediaType", content FROM containers_manifests WHERE repository = ? AND digest = ?',
      repository,
      digest,
    );
  }

  /** What a manifest names and the registry does not have. */
  async function missingOf(repository: string, content: string): Promise<string | undefined> {
    const { blobs: named, manifests } = namedBy(content);
    for (const digest of named) if ((await rowOf(digest)) === undefined) return digest;
    for (const digest of manifests) if ((await manifest(repository, digest)) === undefined) return digest;
    return undefined;
  }

  return {
    blobSize: async (digest) => (await rowOf(digest))?.size,
    async readBlob(digest, range) {
      const row = await rowOf(digest);
      return row && blobs.read(row.blob, range);
    },
    upload,
    manifest,
    async put(repository, tag, mediaType, content) {
      const missing = await missingOf(repository, content);
      if (missing !== undefined) return { missing };
      const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
      await meta.transaction(async (tx) => {
        const now = clock.now();
        await tx.run(
          `INSERT INTO containers_manifests (repository, digest, media_type, content, created_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (repository, digest) DO NOTHING`,
          repository,
          digest,
          mediaType,
          content,
          now,
        );
        if (tag === undefined) return;
        await tx.run(
          `INSERT INTO containers_tags (repository, tag, digest, updated_at) VALUES (?1, ?2, ?3, ?4)
           ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at`,
          repository,
          tag,
          digest,
          now,
        );
      });
      return { digest };
    },
    async remove(repository, reference) {
      if (!reference.startsWith("sha256:"))
        return (await meta.run("DELETE FROM containers_tags WHERE repository = ? AND tag = ?", repository, reference)).changes > 0;
      return meta.transaction(async (tx) => {
        await tx.run("DELETE FROM containers_tags WHERE repository = ? AND digest = ?", repository, reference);
        return (await tx.run("DELETE FROM containers_manifests WHERE repository = ? AND digest = ?", repository, reference)).changes > 0;
      });
    },
    async catalog(last, limit) {
      const rows = await meta.all<{ repository: string }>(
        "SELECT DISTINCT repository FROM containers_tags WHERE repository > ? ORDER BY repository LIMIT ?",
        last,
        limit,
      );
      return Promise.all(rows.map(async ({ repository }) => ({ repository, tags: await this.tags(repository) })));
    },
    async tags(repository) {
      const rows = await meta.all<{ tag: string }>(
        `SELECT tag FROM containers_tags WHERE repository = ? ORDER BY tag LIMIT ${ROWS_MAX}`,
        repository,
      );
      return rows.map(({ tag }) => tag);
    },
    async collect() {
      const before = clock.now() - UNNAMED_MS;
      // A manifest that has lost its tag stays: applications name images by digest.
      const kept = await meta.all<{ content: string }>(`SELECT content FROM containers_manifests LIMIT ${ROWS_MAX}`);
      const named = new Set(kept.flatMap(({ content }) => namedBy(content).blobs));
      const old = await meta.all<{ digest: string; blob: BlobId }>(
        `SELECT digest, blob FROM containers_blobs WHERE created_at < ? LIMIT ${ROWS_MAX}`,
        before,
      );
      let deleted = 0;
      for (const { digest, blob } of old) {
        if (named.has(digest)) continue;
        await meta.transaction(async (tx) => {
          await tx.run("DELETE FROM containers_blobs WHERE digest = ?", digest);
          await leases.revoke(tx, blob);
        });
        await leases.discard(blob);
        deleted++;
      }
      return deleted;
    },
    stored: async () => (await meta.get<{ size: number }>("SELECT COALESCE(SUM(size), 0) AS size FROM containers_blobs"))?.size ?? 0,
  };
}

/** Digests that a manifest, or an index of manifests, names. */
function namedBy(content: string): { blobs: string[]; manifests: string[] } {
  const { config, layers, manifests } = JSON.parse(content) as {
    config?: { digest: string };
    layers?: { digest: string; urls?: unknown }[];
    manifests?: { digest: string }[];
  };
  // Layers with URLs lie elsewhere: nobody pushes them.
  const own = (layers ?? []).filter(({ urls }) => urls === undefined);
  return {
    blobs: [...(config === undefined ? [] : [config.digest]), ...own.map(({ digest }) => digest)],
    manifests: (manifests ?? []).map(({ digest }) => digest),
  };
}
