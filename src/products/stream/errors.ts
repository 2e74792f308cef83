/**
 * What can go wrong. `streamError`: the REST API; codes are the documented ones where there are such (10059), else in the
 * manner of the API. `VideoError`: why a video ended in the state `error` (docs: Use webhooks, Error codes).
 */
import { defineErrors } from "../../kernel/errors.ts";

export const streamError = defineErrors("stream", {
  badRequest: { status: 400, apiCode: 10005, message: "Bad Request" },
  notFound: { status: 404, apiCode: 10003, message: "Not Found: The requested resource was not found" },
  /** Documented. */
  notVideo: { status: 400, apiCode: 10059, message: "Bad Request: The file is not a video" },
  tooLarge: {
    status: 413,
    apiCode: 10006,
    message: "Request Entity Too Large: at most 200 MB in one request; larger files need the tus protocol",
  },
  tooMany: { status: 429, apiCode: 10008, message: "Too Many Requests: 120 videos are queued or being encoded already" },
  quota: { status: 413, apiCode: 10011, message: "Storage capacity exceeded: not enough minutes of storage are left for this video" },
  notReady: { status: 409, apiCode: 10012, message: "Conflict: The video is not ready to stream" },
  conflict: { status: 409, apiCode: 10009, message: "Conflict" },
  uploadGone: { status: 404, apiCode: 10003, message: "Not Found: The upload URL is not valid, has expired, or was used already" },
  unsupported: {
    status: 501,
    apiCode: 10501,
    message:
      "FFmpeg was not found on this machine. Install it (Debian, Ubuntu: apt-get install ffmpeg) or name it by stream.ffmpeg and stream.ffprobe",
  },
  busy: { status: 429, apiCode: 10008, message: "Too Many Requests: too much waits for its turn" },
});

const reasons = {
  ERR_NON_VIDEO: "The upload is not a video.",
  ERR_DURATION_EXCEED_CONSTRAINT: "The video duration exceeds the constraints defined in the direct creator upload.",
  ERR_FETCH_ORIGIN_ERROR: "The video failed to download from the URL.",
  ERR_MALFORMED_VIDEO: "The video was deemed to be corrupted or malformed.",
  ERR_DURATION_TOO_SHORT: "The video's duration is shorter than 0.1 seconds.",
  ERR_STORAGE_QUOTA_EXHAUSTED: "The account storage quota has been exceeded.",
  ERR_UNKNOWN: "The video could not be processed.",
} as const;
export type VideoErrorCode = keyof typeof reasons;

export class VideoError extends Error {
  readonly code: VideoErrorCode;

  constructor(code: VideoErrorCode, options: ErrorOptions = {}) {
    super(reasons[code], options);
    this.code = code;
  }
}
