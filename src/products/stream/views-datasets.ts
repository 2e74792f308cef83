/** What was watched, for the GraphQL Analytics API: by the seconds of the segments that were delivered (docs: GraphQL Analytics API). */
import type { EventLog } from "../../kernel/analytics/event-log.ts";
import type { MetaReader } from "../../kernel/meta/meta.ts";
import type { Dataset, DatasetWindow, Fact } from "../../kernel/product.ts";

type Column = "uid" | "creator" | "country" | "seconds";
/** Documented retention. */
export const VIEWS_TABLE = { name: "stream_views", columns: ["uid", "creator", "country", "seconds"] as const, keepMs: 90 * 24 * 3600_000 };
const PERMISSION = ["Account Analytics Read", "Stream Read", "Stream Write"];
const ROWS_MAX = 1_000_000;

interface Row {
  readonly at: number;
  readonly uid: string;
  readonly creator: string;
  readonly country: string;
  readonly seconds: number;
}

export function viewDatasets(meta: MetaReader, log: EventLog<Column>): Record<string, Dataset> {
  async function facts({ from, to }: DatasetWindow, sum: (minutes: number) => Record<string, number>): Promise<Fact[]> {
    await log.flush();
    const rows = await meta.all<Row>(
      `SELECT at, uid, creator, country, seconds FROM stream_views WHERE at >= ? AND at < ? ORDER BY at LIMIT ${ROWS_MAX}`,
      ...[from, to],
    );
    return rows.map(({ at, uid, creator, country, seconds }) => ({
      time: at,
      dimensions: { uid, creator, clientCountryName: country },
      sum: sum(seconds / 60),
    }));
  }
  const dimensions = { uid: "string", creator: "string", clientCountryName: "string" } as const;
  return {
    streamMinutesViewedAdaptiveGroups: {
      description: "Minutes of video that were delivered.",
      permission: PERMISSION,
      dimensions,
      sum: ["minutesViewed"],
      fractions: ["minutesViewed"],
      facts: (window) => facts(window, (minutes) => ({ minutesViewed: minutes })),
    },
    videoPlaybackEventsAdaptiveGroups: {
      description: "Segments of video that were delivered, with the minutes that they last.",
      permission: PERMISSION,
      dimensions,
      sum: ["timeViewedMinutes"],
      fractions: ["timeViewedMinutes"],
      facts: (window) => facts(window, (minutes) => ({ timeViewedMinutes: minutes })),
    },
  };
}
