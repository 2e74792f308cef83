/** Sessions that were, and why each ended: rows, kept for 30 days. A session that the platform did not see end has ended with it. */
import type { KernelSlice } from "../../../kernel/product.ts";

/** 1 and 2 are documented; the others are ours. https://developers.cloudflare.com/browser-rendering/puppeteer/ */
export const CLOSE_REASONS = {
  NormalClosure: 1,
  BrowserIdle: 2,
  BrowserCrashed: 3,
  ServiceRestarted: 4,
} as const;
export type CloseReason = keyof typeof CLOSE_REASONS;

export interface PastSession {
  readonly sessionId: string;
  readonly startTime: number;
  readonly endTime?: number;
  readonly closeReason?: number;
  readonly closeReasonText?: string;
}

export interface History {
  begin(id: string, startTime: number): Promise<void>;
  end(id: string, reason: CloseReason): Promise<void>;
  /** Newest first; those that run are among them. */
  recent(limit: number): Promise<PastSession[]>;
}

interface Row extends Record<string, string | number | null> {
  readonly id: string;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly close_reason: number | null;
  readonly close_reason_text: string | null;
}

const KEEP_MS = 30 * 24 * 3600 * 1000;

export async function openHistory({ meta, clock }: KernelSlice): Promise<History> {
  const close = (where: string, reason: CloseReason, ...values: string[]): Promise<unknown> =>
    meta.run(
      `UPDATE browser_rendering_sessions SET ended_at = ?, close_reason = ?, close_reason_text = ? WHERE ended_at IS NULL ${where}`,
      ...[clock.now(), CLOSE_REASONS[reason], reason, ...values],
    );
  await close("", "ServiceRestarted");
  return {
    async begin(id, startTime) {
      await meta.transaction(async (tx) => {
        await tx.run("INSERT INTO browser_rendering_sessions (id, started_at) VALUES (?, ?)", id, startTime);
        await tx.run("DELETE FROM browser_rendering_sessions WHERE ended_at < ?", clock.now() - KEEP_MS);
      });
    },
    end: async (id, reason) => void (await close("AND id = ?", reason, id)),
    async recent(limit) {
      const rows = await meta.all<Row>("SELECT * FROM browser_rendering_sessions ORDER BY started_at DESC, id LIMIT ?", limit);
      return rows.map((row) => ({
        sessionId: row.id,
        startTime: row.started_at,
        ...(row.ended_at !== null && {
          endTime: row.ended_at,
          closeReason: row.close_reason as number,
          closeReasonText: row.close_reason_text as string,
        }),
      }));
    },
  };
}
