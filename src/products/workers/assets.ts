/**
 * Static assets: upload sessions, the files as content-addressed blobs, and the directory that workerd's `assets`
 * service reads. A session's token and its completion token are JWTs that only we sign; the completion token names a
 * manifest whose files are all stored. Files are shared between versions of one script, and between the user Workers of one
 * dispatch namespace (as documented: who wants them apart puts a salt into the hash); never further, since the client
 * chooses the hash.
 */
import { randomUUID } from "node:crypto";
import { copyFile, link, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { signedTokens } from "../../kernel/signed-token.ts";
import { workersError } from "./errors.ts";
import { assetScope } from "./owner.ts";

const FILES_MAX = 100_000;
const FILE_MAX_BYTES = 25 * 1024 * 1024;
const TOKEN_TTL_S = 3600;
/** Files of one upload request: wrangler holds a bucket in memory, so do we. */
const BUCKET_FILES_MAX = 200;
const BUCKET_MAX_BYTES = 40 * 1024 * 1024;

export const manifestSchema = z.object({
  manifest: z.record(z.string(), z.object({ hash: z.string(), size: z.number().int().min(0) })),
});

type Manifest = z.infer<typeof manifestSchema>["manifest"];

interface TokenClaims {
  readonly manifest: string;
  readonly script: string;
  readonly phase: "upload" | "complete";
}

export interface Assets {
  /** Opens a session: which files are missing, in buckets, and the token to upload them with. */
  open(script: string, manifest: Manifest): Promise<{ jwt: string; buckets: string[][] }>;
  /** Throws `workers.assetsUnauthorized` unless it is a session's token. */
  authorize(token: string): void;
  /** Stores files of a session. The completion token is empty until all files are there. */
  upload(token: string, files: Iterable<readonly [hash: string, bytes: Uint8Array]>): Promise<{ jwt: string; complete: boolean }>;
  /** The manifest id of a completion token; throws `workers.assetsSession`. */
  completed(token: string, script: string): Promise<string>;
  /** The directory with the manifest's files, made if it is not there yet. */
  directory(manifest: string): Promise<string>;
  /** Removes directories of manifests that are not in use. */
  prune(used: ReadonlySet<string>): Promise<void>;
}

export function openAssets(kernel: KernelSlice): Assets {
  const { meta, blobs, leases, clock } = kernel;
  const tokens = signedTokens<TokenClaims>(kernel.secrets.derive("workers.assets"), clock, TOKEN_TTL_S);
  const root = join(kernel.directory, "assets");
  const making = new Map<string, Promise<string>>();

  function verify(token: string, phase: TokenClaims["phase"]): TokenClaims | undefined {
    const claims = tokens.verify(token);
    return claims?.phase === phase ? claims : undefined;
  }

  async function files(manifest: string): Promise<Manifest> {
    const row = await meta.get<{ files: string }>("SELECT files FROM workers_asset_manifests WHERE id = ?", manifest);
    if (row === undefined) throw workersError("assetsSession");
    return JSON.parse(row.files) as Manifest;
  }

  async function missing(script: string, manifest: Manifest): Promise<Map<string, number>> {
    const rows = await meta.all<{ hash: string }>(
      "SELECT hash FROM workers_blobs WHERE script_name = ? AND hash LIKE 'asset:%'",
      assetScope(script),
    );
    const stored = new Set(rows.map((row) => row.hash));
    const wanted = Object.values(manifest).map((file) => [file.hash, file.size] as const);
    return new Map(wanted.filter(([hash]) => !stored.has(`asset:${hash}`)));
  }

  async function materialize(manifest: string): Promise<string> {
    const directory = join(root, manifest);
    if (await exists(directory)) return directory;
    const row = await meta.get<{ script_name: string }>("SELECT script_name FROM workers_asset_manifests WHERE id = ?", manifest);
    const rows = await meta.all<{ hash: string; blob: string }>(
      "SELECT hash, blob FROM workers_blobs WHERE script_name = ? AND hash LIKE 'asset:%'",
      assetScope(row?.script_name ?? ""),
    );
    const blobOf = new Map(rows.map((r) => [r.hash, r.blob as BlobId]));
    const temporary = `${directory}.${randomUUID()}`;
    const made = new Set<string>();
    await mkdir(temporary, { recursive: true });
    for (const [path, { hash }] of Object.entries(await files(manifest))) {
      const target = join(temporary, path);
      const parent = dirname(target);
      if (!made.has(parent)) await mkdir(parent, { recursive: true });
      made.add(parent);
      const local = await blobs.localFile(blobOf.get(`asset:${hash}`) as BlobId);
      await linkOrCopy(local.path, target).finally(() => local.release());
    }
    // The rename makes the directory visible with all its files, or not at all.
    await rename(temporary, directory);
    return directory;
  }

  return {
    async open(script, manifest) {
      checkManifest(manifest);
      const id = randomUUID();
      const expired = clock.now() - 2 * TOKEN_TTL_S * 1000;
      await meta.run("DELETE FROM workers_asset_manifests WHERE used = 0 AND created_on < ?", expired);
      await meta.run(
        "INSERT INTO workers_asset_manifests (id, script_name, created_on, files, used) VALUES (?, ?, ?, ?, 0)",
        id,
        script,
        clock.now(),
        JSON.stringify(manifest),
      );
      const absent = await missing(script, manifest);
      if (absent.size === 0) return { jwt: tokens.sign({ manifest: id, script, phase: "complete" }), buckets: [] };
      return { jwt: tokens.sign({ manifest: id, script, phase: "upload" }), buckets: buckets(absent) };
    },
    authorize(token) {
      if (verify(token, "upload") === undefined) throw workersError("assetsUnauthorized");
    },
    async upload(token, uploaded) {
      const claims = verify(token, "upload");
      if (claims === undefined) throw workersError("assetsUnauthorized");
      const manifest = await files(claims.manifest);
      const sizes = new Map(Object.values(manifest).map((file) => [file.hash, file.size]));
      const entries = [...uploaded];
      for (const [hash, bytes] of entries) {
        const size = sizes.get(hash);
        if (size === undefined) throw workersError("assetMismatch");
        if (size !== bytes.byteLength) {
          throw workersError("assetMismatch", `Asset ${hash} has ${bytes.byteLength} bytes, but the manifest says ${size}.`);
        }
      }
      for (const [hash, bytes] of entries) {
        const blob = await leases.put(bytes);
        const isNew = await meta.transaction(async (tx) => {
          const { changes } = await tx.run(
            "INSERT INTO workers_blobs (script_name, hash, blob, size) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            assetScope(claims.script),
            `asset:${hash}`,
            blob,
            bytes.byteLength,
          );
          if (changes > 0) await leases.settle(tx, blob);
          return changes > 0;
        });
        if (!isNew) await leases.discard(blob);
      }
      const complete = (await missing(claims.script, manifest)).size === 0;
      return { complete, jwt: complete ? tokens.sign({ ...claims, phase: "complete" }) : "" };
    },
    async completed(token, script) {
      const claims = verify(token, "complete");
      if (claims === undefined || claims.script !== script) throw workersError("assetsSession");
      if ((await missing(script, await files(claims.manifest))).size > 0) throw workersError("assetsSession");
      return claims.manifest;
    },
    directory(manifest) {
      let pending = making.get(manifest);
      if (pending === undefined) {
        pending = materialize(manifest).finally(() => making.delete(manifest));
        making.set(manifest, pending);
      }
      return pending;
    },
    async prune(used) {
      const names = await readdir(root).catch(() => [] as string[]);
      for (const name of names) {
        if (!used.has(name.split(".")[0] as string) && !making.has(name)) await rm(join(root, name), { recursive: true, force: true });
      }
    },
  };
}

/** Refuses paths that would leave the directory, and whatever the limits of the documentation refuse. */
function checkManifest(manifest: Manifest): void {
  const entries = Object.entries(manifest);
  if (entries.length > FILES_MAX) throw workersError("assetsManifest", `A Worker can have at most ${FILES_MAX} static assets.`);
  const sizes = new Map<string, number>();
  for (const [path, { hash, size }] of entries) {
    const steps = path.split("/");
    const bad = steps.slice(1).some((step) => step === "" || step === "." || step === ".." || Buffer.byteLength(step) > 255);
    if (steps[0] !== "" || steps.length < 2 || bad || /[\0\\]/.test(path) || Buffer.byteLength(path) > 3000) {
      throw workersError("assetsManifest", `The asset path ${JSON.stringify(path)} is invalid.`);
    }
    if (!/^[0-9a-f]{32}$/.test(hash))
      throw workersError("assetsManifest", `The hash of ${JSON.stringify(path)} must be 32 hexadecimal digits.`);
    if (size > FILE_MAX_BYTES) throw workersError("assetTooLarge");
    if ((sizes.get(hash) ?? size) !== size) throw workersError("assetsManifest", `Two files with the hash ${hash} differ in size.`);
    sizes.set(hash, size);
  }
}

function buckets(files: ReadonlyMap<string, number>): string[][] {
  const result: string[][] = [];
  let current: string[] = [];
  let bytes = 0;
  for (const [hash, size] of files) {
    if (current.length > 0 && (current.length >= BUCKET_FILES_MAX || bytes + size > BUCKET_MAX_BYTES)) {
      result.push(current);
      current = [];
      bytes = 0;
    }
    current.push(hash);
    bytes += size;
  }
  if (current.length > 0) result.push(current);
  return result;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** A hard link costs no space and keeps the modification time, which is part of the ETag that workerd answers. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EXDEV" && code !== "EMLINK" && code !== "EPERM") throw error;
    await copyFile(from, to);
    const { atime, mtime } = await stat(from);
    await utimes(to, atime, mtime);
  }
}
