/**
 * Videos as rows. A video's row exists before its bytes do; what is made of it lies in tracks (`tracks.ts`). The states that
 * stand for work (`downloading`, `queued`, `inprogress`) are the queue of the work themselves, so that nothing is forgotten
 * when the platform dies.
 */
import { randomBytes } from "node:crypto";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { MetaReader, MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError, type VideoErrorCode } from "./errors.ts";
import { LIST_MAX, PENDING_MAX } from "./limits.ts";
import type { Watermark } from "./watermarks.ts";

export const STATES = ["pendingupload", "downloading", "queued", "inprogress", "ready", "error", "live-inprogress"] as const;
export type VideoState = (typeof STATES)[number];
export const WORKING: readonly VideoState[] = ["downloading", "queued", "inprogress"];

/** Where the bytes of a video come from that is not encoded yet. */
export type VideoSource =
  | { readonly kind: "upload" }
  | { readonly kind: "tus"; readonly length: number }
  | { readonly kind: "file"; readonly blob: BlobId }
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "clip"; readonly from: string; readonly start: number; readonly end: number };

/** What the player shows of a video. */
export interface PublicDetails {
  readonly title?: string | null | undefined;
  readonly share_link?: string | null | undefined;
  readonly channel_link?: string | null | undefined;
  readonly logo?: string | null | undefined;
}

export interface VideoDetails {
  readonly meta: Readonly<Record<string, unknown>>;
  readonly requireSignedURLs: boolean;
  readonly allowedOrigins: readonly string[];
  readonly thumbnailTimestampPct: number;
  readonly maxDurationSeconds: number | null;
  readonly publicDetails: PublicDetails | null;
  readonly watermark: Watermark | null;
  readonly clippedFrom: string | null;
  readonly error: { readonly code: VideoErrorCode; readonly text: string } | null;
}

export interface Video {
  readonly uid: string;
  readonly state: VideoState;
  readonly creator: string | null;
  readonly liveInput: string | null;
  readonly created: number;
  readonly modified: number;
  readonly uploaded: number | null;
  readonly readyAt: number | null;
  readonly expires: number | null;
  readonly deletion: number | null;
  readonly size: number;
  readonly duration: number;
  readonly width: number;
  readonly height: number;
  /** Percent of the encoding that is done. */
  readonly pct: number;
  readonly reserved: number;
  readonly source: VideoSource | null;
  readonly details: VideoDetails;
}

/** What may be said of a new video. */
export type NewVideo = Partial<Omit<VideoDetails, "error">> &
  Partial<Pick<Video, "creator" | "liveInput" | "expires" | "deletion" | "reserved" | "size" | "duration" | "width" | "height">> & {
    readonly uid?: string;
    readonly state: VideoState;
    readonly source: VideoSource | null;
  };

export type VideoChange = Partial<Omit<Video, "uid" | "created" | "modified" | "details">> & { readonly details?: Partial<VideoDetails> };

export interface VideoQuery {
  readonly search?: string | undefined;
  readonly name?: string | undefined;
  readonly creator?: string | undefined;
  readonly liveInput?: string | undefined;
  readonly states?: readonly VideoState[] | undefined;
  readonly after?: number | undefined;
  readonly before?: number | undefined;
  readonly ascending?: boolean | undefined;
  readonly limit?: number | undefined;
}

export interface Videos {
  create(video: NewVideo): Promise<Video>;
  find(uid: string): Promise<Video | undefined>;
  /** Throws `stream.notFound`. */
  get(uid: string): Promise<Video>;
  list(query: VideoQuery): Promise<Video[]>;
  count(query: VideoQuery): Promise<number>;
  /** Makes the change and says whether the video was still there, in one of these states if they are named. */
  change(uid: string, change: VideoChange, onlyIn?: readonly VideoState[], tx?: MetaTransaction): Promise<boolean>;
  /** The oldest videos that work is to be done for. */
  waiting(limit: number): Promise<Video[]>;
  /** Throws `stream.tooMany` when the account has no room for another video that is to be encoded. */
  demandRoom(): Promise<void>;
  /** Deletes the row; the tracks' are the caller's. */
  remove(tx: MetaTransaction, uid: string): Promise<void>;
}

export const newUid = (): string => randomBytes(16).toString("hex");
export const isUid = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

interface Row {
  readonly uid: string;
  readonly state: VideoState;
  readonly creator: string | null;
  readonly live_input: string | null;
  readonly created: number;
  readonly modified: number;
  readonly uploaded: number | null;
  readonly ready_at: number | null;
  readonly expires: number | null;
  readonly deletion: number | null;
  readonly size: number;
  readonly duration: number;
  readonly width: number;
  readonly height: number;
  readonly pct: number;
  readonly reserved: number;
  readonly source: string | null;
  readonly details: string;
}

const COLUMNS =
  "uid, state, creator, live_input, created, modified, uploaded, ready_at, expires, deletion, size, duration, width, height, pct, reserved, source, details";

const NO_DETAILS: VideoDetails = {
  meta: {},
  requireSignedURLs: false,
  allowedOrigins: [],
  thumbnailTimestampPct: 0,
  maxDurationSeconds: null,
  publicDetails: null,
  watermark: null,
  clippedFrom: null,
  error: null,
};

export function openVideos({ meta, clock }: Pick<KernelSlice, "meta" | "clock">): Videos {
  const find = async (uid: string, reader: MetaReader = meta): Promise<Video | undefined> => {
    const row = await reader.get<Row>(`SELECT ${COLUMNS} FROM stream_videos WHERE uid = ?`, uid);
    return row === undefined ? undefined : videoOf(row);
  };

  const write = (tx: MetaTransaction, video: Video): Promise<unknown> =>
    tx.run(
      `INSERT INTO stream_videos (${COLUMNS}, name) VALUES (${"?, ".repeat(18)}?)
       ON CONFLICT (uid) DO UPDATE SET ${[...COLUMNS.split(", ").slice(1), "name"].map((name) => `${name} = excluded.${name}`).join(", ")}`,
      ...valuesOf(video),
    );

  async function change(
    uid: string,
    { details, ...rest }: VideoChange,
    onlyIn?: readonly VideoState[],
    tx?: MetaTransaction,
  ): Promise<boolean> {
    if (tx === undefined) return meta.transaction((own) => change(uid, { ...rest, ...(details && { details }) }, onlyIn, own));
    const video = await find(uid, tx);
    if (video === undefined || (onlyIn !== undefined && !onlyIn.includes(video.state))) return false;
    await write(tx, { ...video, ...rest, modified: clock.now(), details: { ...video.details, ...details } });
    return true;
  }

  const count = async (query: VideoQuery): Promise<number> => {
    const { where, values } = conditions(query);
    return (await meta.get<{ n: number }>(`SELECT COUNT(*) AS n FROM stream_videos${where}`, ...values))?.n ?? 0;
  };

  return {
    async create({
      uid = newUid(),
      state,
      source,
      creator,
      liveInput,
      expires,
      deletion,
      reserved,
      size,
      duration,
      width,
      height,
      ...details
    }) {
      const now = clock.now();
      const video: Video = {
        ...{
          uid,
          state,
          source,
          creator: creator ?? null,
          liveInput: liveInput ?? null,
          created: now,
          modified: now,
          uploaded: now,
          readyAt: null,
        },
        ...{
          expires: expires ?? null,
          deletion: deletion ?? null,
          size: size ?? 0,
          duration: duration ?? -1,
          width: width ?? -1,
          height: height ?? -1,
        },
        ...{ pct: 0, reserved: reserved ?? 0, details: { ...NO_DETAILS, ...defined(details) } },
      };
      await write(meta, video);
      return video;
    },
    find: (uid) => find(uid),
    async get(uid) {
      const video = await find(uid);
      if (video === undefined) throw streamError("notFound");
      return video;
    },
    async list(query) {
      const { where, values } = conditions(query);
      const order = query.ascending === true ? "ASC" : "DESC";
      const limit = Math.min(query.limit ?? LIST_MAX, LIST_MAX);
      const rows = await meta.all<Row>(
        `SELECT ${COLUMNS} FROM stream_videos${where} ORDER BY created ${order}, uid ${order} LIMIT ${limit}`,
        ...values,
      );
      return rows.map(videoOf);
    },
    count,
    change,
    async waiting(limit) {
      const marks = WORKING.map(() => "?").join(", ");
      const rows = await meta.all<Row>(
        `SELECT ${COLUMNS} FROM stream_videos WHERE state IN (${marks}) ORDER BY created, uid LIMIT ${limit}`,
        ...WORKING,
      );
      return rows.map(videoOf);
    },
    async demandRoom() {
      if ((await count({ states: WORKING })) >= PENDING_MAX) throw streamError("tooMany");
    },
    async remove(tx, uid) {
      await tx.run("DELETE FROM stream_videos WHERE uid = ?", uid);
    },
  };
}

function conditions({ search, name, creator, liveInput, states, after, before }: VideoQuery): { where: string; values: SqlValue[] } {
  const parts: [string, ...SqlValue[]][] = [];
  if (search !== undefined) parts.push(["(LOWER(name) LIKE ? ESCAPE '\\' OR uid = ?)", like(search), search]);
  if (name !== undefined) parts.push(["name = ?", name]);
  if (creator !== undefined) parts.push(creator === "" ? ["creator IS NULL"] : ["creator = ?", creator]);
  if (liveInput !== undefined) parts.push(["live_input = ?", liveInput]);
  if (states !== undefined) parts.push([`state IN (${states.map(() => "?").join(", ")})`, ...states]);
  if (after !== undefined) parts.push(["created > ?", after]);
  if (before !== undefined) parts.push(["created < ?", before]);
  const where = parts.length === 0 ? "" : ` WHERE ${parts.map(([text]) => text).join(" AND ")}`;
  return { where, values: parts.flatMap(([, ...values]) => values) };
}

const like = (text: string): string => `%${text.toLowerCase().replace(/[\\%_]/g, (character) => `\\${character}`)}%`;

/** What was left out takes the default's place only when it was given. */
function defined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<T>;
}

/** In the order of the table's columns. */
function valuesOf(video: Video): SqlValue[] {
  const { source, details } = video;
  const { name } = details.meta;
  return [
    ...[video.uid, video.state, video.creator, video.liveInput, video.created, video.modified, video.uploaded, video.readyAt],
    ...[video.expires, video.deletion, video.size, video.duration, video.width, video.height, video.pct, video.reserved],
    ...[source === null ? null : JSON.stringify(source), JSON.stringify(details), typeof name === "string" ? name : ""],
  ];
}

function videoOf({ live_input, ready_at, source, details, ...row }: Row): Video {
  return {
    ...row,
    liveInput: live_input,
    readyAt: ready_at,
    source: source === null ? null : (JSON.parse(source) as VideoSource),
    details: JSON.parse(details) as VideoDetails,
  };
}
