/** The capability `objects`: buckets of the account for other products, without credentials of their own. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { ObjectInfo, Objects } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Auth } from "../../kernel/product.ts";
import { findBucket, requireBucket } from "./buckets.ts";
import type { R2 } from "./context.ts";
import { principalGrant, temporaryKey } from "./credentials.ts";
import { r2Error } from "./errors.ts";
import { LIST_MAX } from "./limits.ts";
import { listObjects } from "./list.ts";
import { localFiles } from "./local-files.ts";
import type { StoredObject } from "./model.ts";
import { deleteObjects, getObject, headObject, putBlob, putObject, wholeObject } from "./objects.ts";

/** Lifetime of vended keys unless the caller says otherwise. */
const VENDED_TTL_S = 3600;

const info = (object: StoredObject): ObjectInfo => ({
  key: object.name,
  size: object.size,
  etag: object.etag,
  uploadedAt: object.uploaded,
  customMetadata: object.custom,
});

export function objectsCapability(r2: R2, auth: Auth): Objects {
  const read: Objects["read"] = async (bucket, key, range) => {
    const opened = await getObject(r2, await requireBucket(r2, bucket), key, (object) => range ?? wholeObject(object));
    return opened?.body;
  };
  return {
    bucketExists: async (bucket) => (await findBucket(r2, bucket)) !== undefined,

    async putFile(bucket, key, path, contentType) {
      const target = await requireBucket(r2, bucket);
      // Hashed before it is moved: from then on the file is the store's and nobody else's.
      const md5 = createHash("md5");
      for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) md5.update(chunk as Buffer);
      const adopted = await r2.blobs.adopt(path, await r2.leases.take());
      const empty = adopted.size === 0;
      if (empty) await r2.leases.discard(adopted.id);
      const whole = { blob: empty ? null : adopted.id, size: adopted.size, digests: { md5: md5.digest("hex") } };
      return info(await putBlob(r2, target, key, whole, { http: { contentType } }));
    },

    async put(bucket, key, bytes, contentType, options = {}) {
      const target = await requireBucket(r2, bucket);
      const condition = options.onlyIfAbsent ? { etagDoesNotMatch: [{ type: "wildcard" as const }] } : undefined;
      // Looked at first, so that a file that is there already is not written once more; the commit decides.
      if (condition && (await headObject(r2, target, key)) !== undefined) return null;
      try {
        const body = { chunks: Readable.from([bytes]), length: bytes.byteLength };
        return info(await putObject(r2, target, key, body, { http: { contentType }, custom: {}, condition }));
      } catch (error) {
        if (error instanceof PlatformError && error.code === "r2.preconditionFailed") return null;
        throw error;
      }
    },

    async head(bucket, key) {
      const object = await headObject(r2, await requireBucket(r2, bucket), key);
      return object === undefined ? null : info(object);
    },

    async bytes(bucket, key) {
      const stream = await read(bucket, key);
      if (stream === undefined) return undefined;
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    },

    read,

    localFiles: async (bucket, keys) => localFiles(r2, await requireBucket(r2, bucket), keys),

    async list(bucket, prefix, options = {}) {
      const target = await requireBucket(r2, bucket);
      const limit = options.limit ?? LIST_MAX;
      const found: ObjectInfo[] = [];
      let cursor: string | undefined;
      do {
        const page = await listObjects(r2, target, {
          prefix,
          startAfter: options.startAfter,
          cursor,
          limit: Math.min(LIST_MAX, limit - found.length),
        });
        found.push(...page.objects.map(info));
        cursor = page.cursor;
      } while (cursor !== undefined && found.length < limit);
      return found;
    },

    async delete(bucket, keys) {
      const target = await requireBucket(r2, bucket);
      for (let at = 0; at < keys.length; at += LIST_MAX) {
        const { locked } = await deleteObjects(r2, target, keys.slice(at, at + LIST_MAX));
        if (locked.length > 0) throw r2Error("objectLocked");
      }
    },

    guard: (managed) => void r2.guards.push(managed),

    async vend(principal, bucket, rights, options = {}) {
      const parent = await auth.accessKey(principal.tokenId);
      const allowed = principalGrant(principal, r2.accountId).objects(rights, "default", bucket, { prefix: options.prefix ?? "" });
      if (parent === undefined || !allowed) throw r2Error("accessDenied");
      const issued = Math.floor(r2.clock.now() / 1000);
      const expires = issued + (options.ttlSeconds ?? VENDED_TTL_S);
      const key = temporaryKey(
        {
          sub: r2.accountId,
          iss: principal.tokenId,
          bucket,
          scope: rights === "write" ? "object-read-write" : "object-read-only",
          ...(options.prefix !== undefined && { paths: { prefixPaths: [options.prefix] } }),
          iat: issued,
          exp: expires,
        },
        parent.secretAccessKey,
      );
      return { ...key, expiresAt: expires * 1000 };
    },
  };
}
