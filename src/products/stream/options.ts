/** What callers say of a video when they make or change it: in JSON, and in tus's `Upload-Metadata`. */
import { z } from "zod";
import { streamError } from "./errors.ts";
import { DELETION, DURATION_MAX_S, EXPIRY_MS } from "./limits.ts";
import type { VideoDetails } from "./videos.ts";

const origins = z.array(z.string().max(253)).max(100);
const meta = z
  .record(z.string(), z.unknown())
  .refine((value) => JSON.stringify(value).length <= 10_000, "at most 10,000 characters of JSON");
const creator = z.string().max(64);
const pct = z.number().min(0).max(1);
const text = z.string().max(2048).nullish();
const publicDetails = z.object({ title: text, share_link: text, channel_link: text, logo: text });

export const common = z.object({
  meta: meta.optional(),
  creator: creator.nullish(),
  thumbnailTimestampPct: pct.optional(),
  allowedOrigins: origins.nullish(),
  requireSignedURLs: z.boolean().optional(),
  scheduledDeletion: z.string().nullish(),
  watermark: z.object({ uid: z.string() }).nullish(),
});
export const copySchema = common.extend({
  url: z.string().max(4096).optional(),
  input: z.string().max(4096).optional(),
  name: z.string().max(1024).optional(),
});
const maxDurationSeconds = z.number().int().min(1).max(DURATION_MAX_S);
export const directSchema = common.extend({ maxDurationSeconds, expiry: z.string().optional() });
export const clipSchema = common.extend({
  clippedFromVideoUID: z.string(),
  startTimeSeconds: z.number().min(0),
  endTimeSeconds: z.number().min(0),
});
export const editSchema = common.omit({ watermark: true }).extend({
  uid: z.string().optional(),
  publicDetails: publicDetails.nullish(),
  maxDurationSeconds: maxDurationSeconds.optional(),
  uploadExpiry: z.string().optional(),
});

/** Members of a video's details out of what was said. */
export function detailsOf(
  given: z.infer<typeof common>,
): Partial<Pick<VideoDetails, "meta" | "thumbnailTimestampPct" | "allowedOrigins" | "requireSignedURLs">> {
  const { meta, thumbnailTimestampPct, allowedOrigins, requireSignedURLs } = given;
  return {
    ...(meta !== undefined && { meta }),
    ...(thumbnailTimestampPct !== undefined && { thumbnailTimestampPct }),
    ...(allowedOrigins !== undefined && { allowedOrigins: allowedOrigins ?? [] }),
    ...(requireSignedURLs !== undefined && { requireSignedURLs }),
  };
}

/** When a video is to be deleted: 30 to 1,096 days after it came (docs: Resumable uploads). Null undoes it. */
export function deletionOf(given: string | null | undefined, created: number): number | null | undefined {
  if (given === undefined || given === null || given === "") return given === undefined ? undefined : null;
  const at = Date.parse(given);
  // A minute for clocks that differ.
  if (!(at >= created + DELETION.min - 60_000 && at <= created + DELETION.max + 60_000))
    throw streamError("badRequest", "Bad Request: scheduledDeletion must be 30 to 1,096 days after the video's creation");
  return at;
}

/** The end of an upload URL. */
export function expiryOf(given: string | undefined, now: number): number {
  if (given === undefined) return now + EXPIRY_MS.default;
  const at = Date.parse(given);
  if (!(at > now && at <= now + EXPIRY_MS.max + 60_000))
    throw streamError("badRequest", "Bad Request: expiry must be a time within the next six hours");
  return at;
}

/** The end that an upload URL is given later: it may be over at once. */
export function uploadEndOf(given: string, now: number): number {
  const at = Date.parse(given);
  if (!(at <= now + EXPIRY_MS.max + 60_000))
    throw streamError("badRequest", "Bad Request: uploadExpiry must be a time within the next six hours");
  return at;
}

/** `Upload-Metadata`: keys and base64 values, a key may have none. Throws `stream.badRequest`. */
export function uploadMetadata(header: string | null): Record<string, string> {
  const entries = (header ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part): [string, string] => {
      const [key = "", value = "", ...rest] = part.split(/ +/);
      if (rest.length > 0 || !/^[A-Za-z0-9+/=_-]*$/.test(value))
        throw streamError("badRequest", "Bad Request: Upload-Metadata has a part that is no key and value");
      return [key, Buffer.from(value, "base64").toString("utf8")];
    });
  return Object.fromEntries(entries);
}

const OPTIONS = new Set([
  "requiresignedurls",
  "scheduleddeletion",
  "allowedorigins",
  "thumbnailtimestamppct",
  "watermark",
  "maxdurationseconds",
  "expiry",
]);

/** The options of a resumable upload; what is no option is the video's metadata. Throws `stream.badRequest`. */
export function tusOptions(
  metadata: Readonly<Record<string, string>>,
): z.infer<typeof common> & { maxDurationSeconds?: number; expiry?: string } {
  const option = new Map(Object.entries(metadata).map(([key, value]) => [key.toLowerCase(), value]));
  const number = (key: string): number | undefined => (option.has(key) ? Number(option.get(key)) : undefined);
  const list = option.get("allowedorigins");
  const seconds = number("maxdurationseconds");
  const expiry = option.get("expiry");
  const parsed = common.extend({ maxDurationSeconds: maxDurationSeconds.optional(), expiry: z.string().optional() }).safeParse({
    meta: Object.fromEntries(Object.entries(metadata).filter(([key]) => !OPTIONS.has(key.toLowerCase()))),
    ...(option.has("requiresignedurls") && { requireSignedURLs: option.get("requiresignedurls") !== "false" }),
    ...(option.has("scheduleddeletion") && { scheduledDeletion: option.get("scheduleddeletion") }),
    ...(list !== undefined && {
      allowedOrigins: list
        .replace(/^\[|\]$|"/g, "")
        .split(",")
        .map((origin) => origin.trim())
        .filter((origin) => origin !== ""),
    }),
    ...(option.has("thumbnailtimestamppct") && { thumbnailTimestampPct: number("thumbnailtimestamppct") }),
    ...(option.has("watermark") && { watermark: { uid: option.get("watermark") } }),
    ...(seconds !== undefined && { maxDurationSeconds: seconds }),
    ...(expiry !== undefined && { expiry }),
  });
  if (!parsed.success)
    throw streamError(
      "badRequest",
      `Bad Request: Upload-Metadata: ${parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ")}`,
    );
  const { maxDurationSeconds: max, expiry: end, ...rest } = parsed.data;
  return { ...rest, ...(max !== undefined && { maxDurationSeconds: max }), ...(end !== undefined && { expiry: end }) };
}
