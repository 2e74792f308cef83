/**
 * How many minutes of video the account keeps, and may keep (`stream.storage_minutes`): a video counts its seconds, rounded
 * up, and an upload that is expected what was reserved for it, until it has come, failed or expired (docs: Pricing).
 */
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError, VideoError } from "./errors.ts";

export interface Usage {
  readonly videoCount: number;
  /** Minutes that are used or reserved. */
  readonly totalStorageMinutes: number;
  readonly totalStorageMinutesLimit: number;
}

export interface Storage {
  usage(creator?: string): Promise<Usage>;
  /** Throws `stream.quota` when a reservation of so many seconds does not fit. */
  reserve(seconds: number): Promise<void>;
  /** Throws a `VideoError` when a video of so many seconds does not fit; what is reserved for it is its own. */
  demand(seconds: number, uid: string): Promise<void>;
}

/** Cloudflare shows a number for accounts without a limit of their own. */
const UNLIMITED_MINUTES = 1_000_000;

export function openStorage({ meta, config }: Pick<KernelSlice, "meta" | "config">): Storage {
  const limit = config["stream.storage_minutes"];
  // An encoded video counts its own time, any other what is reserved for it.
  const seconds =
    "CASE WHEN reserved > 0 THEN reserved WHEN state IN ('error', 'pendingupload') OR duration < 0 THEN 0 ELSE CAST(duration + 0.999 AS INTEGER) END";

  async function used(where: string, ...values: string[]): Promise<{ seconds: number; count: number }> {
    const row = await meta.get<{ seconds: number | null; count: number }>(
      `SELECT SUM(${seconds}) AS seconds, COUNT(*) AS count FROM stream_videos ${where}`,
      ...values,
    );
    return { seconds: row?.seconds ?? 0, count: row?.count ?? 0 };
  }

  return {
    async usage(creator) {
      const all = creator === undefined ? await used("") : await used("WHERE creator = ?", creator);
      return {
        videoCount: all.count,
        totalStorageMinutes: Math.ceil(all.seconds / 60),
        totalStorageMinutesLimit: limit === 0 ? UNLIMITED_MINUTES : limit,
      };
    },
    async reserve(wanted) {
      if (limit > 0 && (await used("")).seconds + wanted > limit * 60) throw streamError("quota");
    },
    async demand(wanted, uid) {
      if (limit > 0 && (await used("WHERE uid <> ?", uid)).seconds + wanted > limit * 60)
        throw new VideoError("ERR_STORAGE_QUOTA_EXHAUSTED");
    },
  };
}
