/**
 * How well encoders send (docs: Troubleshooting a live stream): for each group of pictures, the seconds between its key frame
 * and the next, and the time that its upload took compared to the time that it plays. Kept in rows for the charts.
 */
import { type EventLog, type EventTable, openEventLog } from "../../../kernel/analytics/event-log.ts";
import type { Dataset, KernelSlice } from "../../../kernel/product.ts";
import { type FlvTag, isConfig, isKeyFrame } from "./flv.ts";

export interface LiveMetrics {
  /** Measures one connection of an encoder. */
  meter(input: string): { take(tag: FlvTag): void };
  readonly datasets: Record<string, Dataset>;
  stop(): Promise<void>;
}

type Column = "input" | "keyframe_s" | "upload_s" | "media_s" | "bytes";
const TABLE: EventTable<Column> = {
  name: "stream_live_groups",
  columns: ["input", "keyframe_s", "upload_s", "media_s", "bytes"],
  keepMs: 30 * 24 * 3600_000,
};
const ROWS_MAX = 200_000;

export function openLiveMetrics({ meta, clock, log }: Pick<KernelSlice, "meta" | "clock" | "log">): LiveMetrics {
  const events: EventLog<Column> = openEventLog(meta, clock, log, TABLE);
  return {
    meter(input) {
      let key: { readonly time: number; readonly came: number; last: number; bytes: number } | undefined;
      return {
        take(tag) {
          if (isConfig(tag)) return;
          const came = performance.now();
          if (isKeyFrame(tag)) {
            if (key !== undefined && tag.time > key.time) {
              const seconds = (tag.time - key.time) / 1000;
              events.add({ input, keyframe_s: seconds, upload_s: (key.last - key.came) / 1000, media_s: seconds, bytes: key.bytes });
            }
            key = { time: tag.time, came, last: came, bytes: 0 };
          }
          if (key === undefined) return;
          key.last = came;
          key.bytes += tag.data.length;
        },
      };
    },
    datasets: {
      streamLiveInputMetricsAdaptiveGroups: {
        description:
          "Groups of pictures that live inputs received: seconds between key frames, and seconds of upload for seconds of video.",
        permission: ["Account Analytics Read", "Stream Read", "Stream Write"],
        dimensions: { liveInputUid: "string" },
        sum: ["keyframeIntervalSeconds", "uploadSeconds", "durationSeconds", "bytes"],
        fractions: ["keyframeIntervalSeconds", "uploadSeconds", "durationSeconds"],
        async facts({ from, to }) {
          await events.flush();
          const rows = await meta.all<Record<Exclude<Column, "input"> | "at", number> & { input: string }>(
            `SELECT at, ${TABLE.columns.join(", ")} FROM ${TABLE.name} WHERE at >= ? AND at < ? ORDER BY at LIMIT ${ROWS_MAX}`,
            ...[from, to],
          );
          return rows.map(({ at, input, keyframe_s, upload_s, media_s, bytes }) => ({
            time: at,
            dimensions: { liveInputUid: input },
            sum: { keyframeIntervalSeconds: keyframe_s, uploadSeconds: upload_s, durationSeconds: media_s, bytes },
          }));
        },
      },
    },
    stop: () => events.stop(),
  };
}
