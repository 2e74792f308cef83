/** Stream in the REST API. */
import { onAccount } from "../../platform/rest.ts";

export const STREAM = "/stream";
export const INPUTS = "/stream/live_inputs";

export interface Video {
  readonly uid: string;
  readonly status: { readonly state: string; readonly pctComplete?: string; readonly errorReasonText?: string };
  readonly meta: { readonly name?: unknown };
  readonly created: string;
  readonly duration: number;
  readonly size: number;
  readonly input: { readonly width: number; readonly height: number };
  readonly playback: { readonly hls: string; readonly dash: string };
  readonly preview: string;
  readonly readyToStream: boolean;
  readonly requireSignedURLs: boolean;
  readonly allowedOrigins: readonly string[];
  readonly creator: string | null;
  readonly scheduledDeletion: string | null;
  readonly liveInput?: string;
}

interface Door {
  readonly url: string;
}

export interface LiveInput {
  readonly uid: string;
  readonly created: string;
  readonly meta: { readonly name?: unknown };
  readonly enabled: boolean;
  readonly status: string | null;
  readonly preferLowLatency: boolean;
  readonly deleteRecordingAfterDays: number | null;
  readonly recording: {
    readonly mode: string;
    readonly timeoutSeconds: number;
    readonly requireSignedURLs: boolean;
    readonly allowedOrigins: readonly string[] | null;
  };
  readonly rtmps?: Door & { readonly streamKey: string };
  readonly rtmpsPlayback?: Door & { readonly streamKey: string };
  readonly srt?: Door & { readonly streamId: string; readonly passphrase: string };
  readonly srtPlayback?: Door & { readonly streamId: string; readonly passphrase: string };
  readonly playback: { readonly hls: string };
}

export interface Output {
  readonly uid: string;
  readonly url: string;
  readonly enabled: boolean;
}

export const videoPath = (uid: string): string => `${STREAM}/${uid}`;
export const inputPath = (uid: string): string => `${INPUTS}/${uid}`;
export const outputsPath = (input: string): string => `${inputPath(input)}/outputs`;

export const nameOf = ({ uid, meta }: { readonly uid: string; readonly meta: { readonly name?: unknown } }): string =>
  typeof meta.name === "string" && meta.name !== "" ? meta.name : uid;

/** "1:02:03" */
export function clock(seconds: number): string {
  if (seconds < 0) return "–";
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts
    .slice(parts[0] === 0 ? 1 : 0)
    .map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0")))
    .join(":");
}

/** The player's page of a video or live input: with a token where one is needed. */
export async function playerUrl(uid: string, hls: string, signed: boolean): Promise<string> {
  const base = hls.replace(/\/manifest\/.*$/, "/iframe");
  if (!signed) return base;
  const { token } = (await onAccount<{ token: string }>(`${videoPath(uid)}/token`, { method: "POST", body: {} })).result;
  return base.replace(uid, token);
}
