/** Videos as the API shows them, and the URLs of what belongs to them. */
import { createHash } from "node:crypto";
import type { PlatformUrls } from "../../kernel/product.ts";
import type { Video, VideoDetails } from "./videos.ts";
import type { Watermark } from "./watermarks.ts";

/** Names under the platform's domain; the real service's are `customer-{code}.cloudflarestream.com` and `upload.videodelivery.net`. */
export const DELIVERY_DOMAIN = "cloudflarestream";
export const UPLOAD_HOST = "upload.videodelivery";
/** Where pages find the player's script. */
export const EMBED_LABEL = "embed";

/** The account's label of the delivery host: says nothing of the account's id. */
export const customerLabel = (accountId: string): string =>
  `customer-${BigInt(`0x${createHash("sha256").update(`stream account ${accountId}`).digest("hex").slice(0, 20)}`)
    .toString(36)
    .padStart(16, "0")
    .slice(-16)}`;

export interface VideoView {
  readonly uid: string;
  readonly [member: string]: unknown;
}

export interface Views {
  readonly customer: string;
  /** Base of everything delivered of a video or live input; a signed token may stand for its id. */
  base(id: string): string;
  video(video: Video): VideoView;
  uploadUrl(uid: string): string;
  iframe(id: string): string;
  watermark(watermark: Watermark | null): Watermark | null;
}

const iso = (time: number | null): string | null => (time === null ? null : new Date(time).toISOString());

export function streamViews(accountId: string, urls: PlatformUrls): Views {
  const customer = customerLabel(accountId);
  const base = (id: string): string => `${urls.host(`${customer}.${DELIVERY_DOMAIN}`)}/${id}`;
  return {
    customer,
    base,
    iframe: (id) => `${base(id)}/iframe`,
    uploadUrl: (uid) => `${urls.host(UPLOAD_HOST)}/${uid}`,
    watermark: (watermark) => watermark,
    video(video) {
      const { uid, details, state } = video;
      const root = base(uid);
      return {
        uid,
        creator: video.creator,
        thumbnail: `${root}/thumbnails/thumbnail.jpg`,
        thumbnailTimestampPct: details.thumbnailTimestampPct,
        readyToStream: video.readyAt !== null && state !== "error",
        readyToStreamAt: iso(video.readyAt),
        status: statusOf(video, details),
        meta: details.meta,
        created: iso(video.created),
        modified: iso(video.modified),
        scheduledDeletion: iso(video.deletion),
        size: video.size,
        preview: `${root}/watch`,
        allowedOrigins: details.allowedOrigins,
        requireSignedURLs: details.requireSignedURLs,
        uploaded: iso(video.uploaded),
        uploadExpiry: iso(video.expires),
        maxSizeBytes: null,
        maxDurationSeconds: details.maxDurationSeconds,
        duration: video.duration,
        input: { width: video.width, height: video.height },
        playback: { hls: `${root}/manifest/video.m3u8`, dash: `${root}/manifest/video.mpd` },
        watermark: details.watermark,
        clippedFrom: details.clippedFrom,
        publicDetails: details.publicDetails,
        ...(video.liveInput !== null && { liveInput: video.liveInput }),
      };
    },
  };
}

/** The error's members have two names: the documentation uses both. */
function statusOf({ state, pct }: Video, { error }: VideoDetails): object {
  const [code, text] = [error?.code ?? "", error?.text ?? ""];
  const errors = { errorReasonCode: code, errorReasonText: text, errReasonCode: code, errReasonText: text };
  return { state, ...(["inprogress", "ready", "error"].includes(state) && { pctComplete: pct.toFixed(6) }), ...errors };
}
