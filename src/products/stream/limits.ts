/** Documented limits of Stream (docs: Stream, Upload videos; Secure your Stream; Adding captions; Applying watermarks). Sizes in bytes. */
const MIB = 1024 * 1024;

/** Of an upload in one request, whether with a token or by a creator. */
export const BASIC_MAX_BYTES = 200 * MIB;
/** Of any video. */
export const VIDEO_MAX_BYTES = 30 * 1024 * MIB;
/** Videos that wait for their encoding or are in it. */
export const PENDING_MAX = 120;
/** Chunks of a resumable upload. */
export const CHUNK = { min: 5 * MIB, max: 200 * MIB, multiple: 256 * 1024 } as const;

export const KEYS_MAX = 1000;
export const RULES_MAX = 5;
/** A signed token ends at most this long after now. */
export const TOKEN_MAX_S = 24 * 3600;
export const TOKEN_DEFAULT_S = 3600;

export const CAPTION_MAX_BYTES = 10 * MIB;
export const WATERMARK_MAX_BYTES = 2 * MIB;
export const AUDIO_MAX_BYTES = 200 * MIB;

const DAY_MS = 24 * 3600_000;
/** Between a video's creation and its deletion by schedule. */
export const DELETION = { min: 30 * DAY_MS, max: 1096 * DAY_MS, days: { min: 30, max: 1096 } } as const;

/** Life of the URL of a direct creator upload. Only the default is documented by the SDK. */
export const EXPIRY_MS = { default: 30 * 60_000, max: 6 * 3600_000 } as const;
/** Longest video that a creator may be allowed to upload, in seconds. */
export const DURATION_MAX_S = 36_000;
/** Shorter is an error. */
export const DURATION_MIN_S = 0.1;

/** Segments of what is encoded once, in seconds. */
export const SEGMENT_S = 4;
export const FPS_MAX = 70;
export const PREVIEW_MAX_S = 300;
export const CLIP_MAX_S = 60;
export const LIST_MAX = 1000;
