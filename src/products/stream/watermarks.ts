/**
 * Watermark profiles: a picture with how it lies on a video. They never change; a video carries a copy of its profile, and
 * the picture is kept until every video that waits for it is encoded (docs: Applying watermarks).
 */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import type { Rendition } from "./ladder.ts";
import { newUid, WORKING } from "./videos.ts";

export const POSITIONS = ["upperRight", "upperLeft", "lowerLeft", "lowerRight", "center"] as const;

export interface Watermark {
  readonly uid: string;
  readonly created: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly width: number;
  readonly height: number;
  readonly downloadedFrom: string | null;
  readonly opacity: number;
  readonly padding: number;
  readonly scale: number;
  readonly position: (typeof POSITIONS)[number];
}

export interface Watermarks {
  create(
    bytes: Uint8Array,
    options: Partial<Pick<Watermark, "name" | "opacity" | "padding" | "scale" | "position" | "downloadedFrom">>,
  ): Promise<Watermark>;
  all(): Promise<Watermark[]>;
  /** Throws `stream.notFound`. */
  get(uid: string): Promise<Watermark>;
  remove(uid: string): Promise<void>;
  /** The picture of a profile, also of a deleted one that videos wait for. */
  picture(uid: string): Promise<BlobId>;
  /** Forgets the pictures of deleted profiles that nothing waits for. */
  sweep(): Promise<void>;
}

const PROFILES_MAX = 1000;

export function openWatermarks({ meta, leases, clock }: Pick<KernelSlice, "meta" | "leases" | "clock">): Watermarks {
  async function get(uid: string): Promise<Watermark> {
    const row = await meta.get<{ profile: string }>("SELECT profile FROM stream_watermarks WHERE uid = ? AND deleted = 0", uid);
    if (row === undefined) throw streamError("notFound", "Not Found: there is no such watermark profile");
    return JSON.parse(row.profile) as Watermark;
  }

  async function sweep(): Promise<void> {
    const gone = await meta.all<{ uid: string; blob: BlobId }>("SELECT uid, blob FROM stream_watermarks WHERE deleted = 1 LIMIT 100");
    if (gone.length === 0) return;
    const states = ["pendingupload", ...WORKING].map((state) => `'${state}'`).join(", ");
    for (const { uid, blob } of gone) {
      const waiting = await meta.get(
        `SELECT uid FROM stream_videos WHERE state IN (${states}) AND details LIKE ? LIMIT 1`,
        `%"watermark":{"uid":"${uid}"%`,
      );
      if (waiting !== undefined) continue;
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM stream_watermarks WHERE uid = ?", uid);
        await leases.revoke(tx, blob);
      });
      await leases.discard(blob);
    }
  }

  return {
    async create(bytes, { name = "", opacity = 1, padding = 0.05, scale = 0.15, position = "upperRight", downloadedFrom = null }) {
      const { default: sharp } = await import("sharp");
      const about = await sharp(bytes, { limitInputPixels: 50_000_000 })
        .metadata()
        .catch(() => undefined);
      if (about?.format !== "png") throw streamError("badRequest", "Bad Request: a watermark is a PNG image");
      const { n } = (await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM stream_watermarks WHERE deleted = 0")) ?? { n: 0 };
      if (n >= PROFILES_MAX)
        throw streamError("conflict", `Conflict: the account has ${PROFILES_MAX} watermark profiles, the most there can be`);
      const now = clock.now();
      const profile: Watermark = {
        ...{ uid: newUid(), size: bytes.byteLength, height: about.height, width: about.width, created: new Date(now).toISOString() },
        ...{ downloadedFrom, name, opacity, padding, scale, position },
      };
      const blob = await leases.put(bytes);
      await meta.transaction(async (tx) => {
        await tx.run(
          "INSERT INTO stream_watermarks (uid, created, deleted, blob, profile) VALUES (?, ?, 0, ?, ?)",
          ...[profile.uid, now, blob, JSON.stringify(profile)],
        );
        await leases.settle(tx, blob);
      });
      return profile;
    },
    async all() {
      const rows = await meta.all<{ profile: string }>(
        `SELECT profile FROM stream_watermarks WHERE deleted = 0 ORDER BY created DESC, uid LIMIT ${PROFILES_MAX}`,
      );
      return rows.map(({ profile }) => JSON.parse(profile) as Watermark);
    },
    get,
    async remove(uid) {
      await get(uid);
      await meta.run("UPDATE stream_watermarks SET deleted = 1 WHERE uid = ?", uid);
      await sweep();
    },
    async picture(uid) {
      const row = await meta.get<{ blob: BlobId }>("SELECT blob FROM stream_watermarks WHERE uid = ?", uid);
      if (row === undefined) throw new Error(`the picture of the watermark ${uid} is gone`);
      return row.blob;
    },
    sweep,
  };
}

/** ffmpeg's filters that lay the picture with the label `mark` over the video with the label `base`. */
export function overlay(
  { width, height, opacity, padding, scale, position }: Watermark,
  on: Rendition,
  mark: string,
  base: string,
): string {
  // Documented: the share of the video that it fills; 0 leaves it as it is.
  const factor = scale === 0 ? 1 : Math.min((on.width * scale) / width, (on.height * scale) / height);
  const fit = scale === 0 ? Math.min(1, on.width / width, on.height / height) : factor;
  const size = `scale=${Math.max(1, Math.round(width * fit))}:${Math.max(1, Math.round(height * fit))}`;
  const pad = Math.round(padding * Math.min(on.width, on.height));
  const x = position === "center" ? "(W-w)/2" : position.endsWith("Left") ? String(pad) : `W-w-${pad}`;
  const y = position === "center" ? "(H-h)/2" : position.startsWith("upper") ? String(pad) : `H-h-${pad}`;
  return `[${mark}]${size},format=rgba,colorchannelmixer=aa=${opacity}[${mark}s];[${base}][${mark}s]overlay=${x}:${y}:format=auto,format=yuv420p`;
}
