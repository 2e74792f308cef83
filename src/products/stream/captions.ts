/** Captions of videos: one WebVTT file for each language, with a name of the language in its own words (docs: Adding captions). */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";

export interface Caption {
  readonly language: string;
  readonly label: string;
  readonly generated: boolean;
  readonly status: "ready";
}

export interface Captions {
  of(video: string): Promise<Caption[]>;
  /** Throws `stream.notFound`. */
  get(video: string, language: string): Promise<Caption>;
  text(video: string, language: string): Promise<Uint8Array>;
  /** Adds or replaces. Throws `stream.badRequest` for what is no WebVTT. */
  put(video: string, language: string, bytes: Uint8Array): Promise<Caption>;
  remove(video: string, language: string): Promise<void>;
}

const CAPTIONS_MAX = 200;

export function openCaptions({ meta, blobs, leases }: Pick<KernelSlice, "meta" | "blobs" | "leases">): Captions {
  async function blobOf(video: string, language: string): Promise<BlobId> {
    const row = await meta.get<{ blob: BlobId }>("SELECT blob FROM stream_captions WHERE video = ? AND language = ?", video, language);
    if (row === undefined) throw streamError("notFound", "Not Found: the video has no captions in this language");
    return row.blob;
  }

  return {
    async of(video) {
      const rows = await meta.all<{ language: string }>(
        `SELECT language FROM stream_captions WHERE video = ? ORDER BY language LIMIT ${CAPTIONS_MAX}`,
        video,
      );
      return rows.map(({ language }) => captionOf(language));
    },
    async get(video, language) {
      await blobOf(video, language);
      return captionOf(language);
    },
    text: async (video, language) => blobs.bytes(await blobOf(video, language)),
    async put(video, language, bytes) {
      const caption = captionOf(language);
      const text = Buffer.from(bytes).toString("utf8");
      if (!/^\ufeff?WEBVTT(?=[\s]|$)/.test(text)) throw streamError("badRequest", "Bad Request: captions must be a WebVTT file");
      const blob = await leases.put(bytes);
      const before = await meta.transaction(async (tx) => {
        const old = await tx.get<{ blob: BlobId }>("SELECT blob FROM stream_captions WHERE video = ? AND language = ?", video, language);
        await tx.run(
          "INSERT INTO stream_captions (video, language, blob) VALUES (?, ?, ?) ON CONFLICT (video, language) DO UPDATE SET blob = excluded.blob",
          ...[video, language, blob],
        );
        await leases.settle(tx, blob);
        if (old !== undefined) await leases.revoke(tx, old.blob);
        return old?.blob;
      });
      if (before !== undefined) await leases.discard(before);
      return caption;
    },
    async remove(video, language) {
      const blob = await blobOf(video, language);
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM stream_captions WHERE video = ? AND language = ?", video, language);
        await leases.revoke(tx, blob);
      });
      await leases.discard(blob);
    },
  };
}

/** Throws `stream.badRequest` for what is no BCP 47 tag. */
function captionOf(language: string): Caption {
  let label: string | undefined;
  try {
    label = new Intl.DisplayNames([language], { type: "language" }).of(language);
  } catch (cause) {
    throw streamError("badRequest", "Bad Request: the language must be a BCP 47 tag", { cause });
  }
  return { language, label: label ?? language, generated: false, status: "ready" };
}
