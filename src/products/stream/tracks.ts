/**
 * What a video is played from: a track for each rendition of its picture, for its sound, for sounds that were added, and for
 * files to download. A track that is made later is a row before (`queued`) with what it is made from.
 */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { SegmentIndex } from "./segments.ts";

export type TrackKind = "video" | "audio" | "extra" | "mp4" | "m4a";

export interface TrackInfo extends SegmentIndex {
  /** For HLS and DASH: "avc1.640028", "mp4a.40.2". */
  readonly codecs: string;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
}

export type TrackSource = { readonly kind: "file"; readonly blob: BlobId } | { readonly kind: "url"; readonly url: string };

export interface Track {
  readonly id: string;
  readonly video: string;
  readonly kind: TrackKind;
  readonly status: "queued" | "ready" | "error";
  readonly label: string;
  readonly isDefault: boolean;
  readonly created: number;
  readonly source: TrackSource | null;
  readonly blob: BlobId | null;
  readonly size: number;
  /** Null of files to download, and until the track is ready. */
  readonly info: TrackInfo | null;
}

export interface Tracks {
  /** The tracks of a video, in the order in which they came. */
  of(video: string): Promise<Track[]>;
  find(video: string, id: string): Promise<Track | undefined>;
  /** Writes a track, or writes over it. */
  put(tx: MetaTransaction, track: Track): Promise<void>;
  /** The oldest ones that are to be made. */
  waiting(limit: number): Promise<Track[]>;
  /** Deletes these tracks; resolves with what is to be called after the commit. */
  remove(tx: MetaTransaction, tracks: readonly Track[]): Promise<() => Promise<void>>;
}

interface Row {
  readonly id: string;
  readonly video: string;
  readonly kind: TrackKind;
  readonly status: Track["status"];
  readonly label: string;
  readonly is_default: number;
  readonly created: number;
  readonly source: string | null;
  readonly blob: BlobId | null;
  readonly size: number;
  readonly info: string;
}

const COLUMNS = "id, video, kind, status, label, is_default, created, source, blob, size, info";
/** More than any video has. */
const TRACKS_MAX = 200;

export function openTracks({ meta, leases }: Pick<KernelSlice, "meta" | "leases">): Tracks {
  return {
    async of(video) {
      const rows = await meta.all<Row>(
        `SELECT ${COLUMNS} FROM stream_tracks WHERE video = ? ORDER BY created, id LIMIT ${TRACKS_MAX}`,
        video,
      );
      return rows.map(trackOf);
    },
    async find(video, id) {
      const row = await meta.get<Row>(`SELECT ${COLUMNS} FROM stream_tracks WHERE id = ? AND video = ?`, id, video);
      return row === undefined ? undefined : trackOf(row);
    },
    async put(tx, track) {
      const { id, video, kind, status, label, isDefault, created, source, blob, size, info } = track;
      await tx.run(
        `INSERT INTO stream_tracks (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, label = excluded.label, is_default = excluded.is_default,
           source = excluded.source, blob = excluded.blob, size = excluded.size, info = excluded.info`,
        ...[id, video, kind, status, label, Number(isDefault), created, source === null ? null : JSON.stringify(source)],
        ...[blob, size, JSON.stringify(info)],
      );
    },
    async waiting(limit) {
      const rows = await meta.all<Row>(`SELECT ${COLUMNS} FROM stream_tracks WHERE status = 'queued' ORDER BY created, id LIMIT ${limit}`);
      return rows.map(trackOf);
    },
    async remove(tx, tracks) {
      const blobs = tracks.flatMap(({ blob, source }) => [
        ...(blob === null ? [] : [blob]),
        ...(source?.kind === "file" ? [source.blob] : []),
      ]);
      for (const { id } of tracks) await tx.run("DELETE FROM stream_tracks WHERE id = ?", id);
      for (const blob of blobs) await leases.revoke(tx, blob);
      return async () => {
        for (const blob of blobs) await leases.discard(blob);
      };
    },
  };
}

function trackOf({ is_default, source, info, ...row }: Row): Track {
  return {
    ...row,
    isDefault: is_default === 1,
    source: source === null ? null : (JSON.parse(source) as TrackSource),
    info: JSON.parse(info) as TrackInfo | null,
  };
}
