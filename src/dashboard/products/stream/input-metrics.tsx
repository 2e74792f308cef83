/** How well an encoder sends: the keyframe interval, and how long uploads take compared to what they play. */
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, type HoursSearch, hoursIn } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { bytes, count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";

interface Row {
  readonly count: number;
  readonly sum: {
    readonly keyframeIntervalSeconds: number;
    readonly uploadSeconds: number;
    readonly durationSeconds: number;
    readonly bytes: number;
  };
  readonly dimensions: Readonly<Record<string, string>>;
}
interface Answer {
  readonly times: readonly Row[];
}

const queryBy = (bucket: TimeBucket): string => `query LiveInput($account: String!, $input: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      times: streamLiveInputMetricsAdaptiveGroups(limit: 10000, filter: { liveInputUid: $input, datetime_geq: $from, datetime_leq: $to }) {
        count sum { keyframeIntervalSeconds uploadSeconds durationSeconds bytes } dimensions { ${bucket} }
      }
    }
  }
}`;

const seconds = (value: number): string => `${value.toFixed(1)} s`;
const percent = (value: number): string => `${Math.round(value * 100)} %`;
const intervalOf = ({ count: groups, sum }: Row): number => (groups > 0 ? sum.keyframeIntervalSeconds / groups : 0);
const ratioOf = ({ sum }: Row): number => (sum.durationSeconds > 0 ? sum.uploadSeconds / sum.durationSeconds : 0);

export function InputMetrics({ input, search, onChange }: { input: string; search: HoursSearch; onChange(search: HoursSearch): void }) {
  const hours = hoursIn(search);
  const bucket = bucketOf(hours);
  const answer = useAnalytics<Answer>("stream input", queryBy(bucket), hours, { input });
  return (
    <Figures answer={answer} hours={hours} onChange={onChange}>
      {({ times }, window) => <Shown rows={times} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ rows, window, bucket }: { rows: readonly Row[]; window: Window; bucket: TimeBucket }) {
  const { times, intervals, ratios } = useMemo(() => {
    const at = bucketsIn(window, bucket);
    const values = byTime(rows, bucket, at);
    return {
      times: at,
      intervals: [{ label: "Keyframe interval", values: values(intervalOf) }],
      ratios: [{ label: "Upload-to-duration ratio", values: values(ratioOf) }],
    };
  }, [rows, window, bucket]);
  const total = rows.reduce<Row>(
    (all, row) => ({
      count: all.count + row.count,
      sum: {
        keyframeIntervalSeconds: all.sum.keyframeIntervalSeconds + row.sum.keyframeIntervalSeconds,
        uploadSeconds: all.sum.uploadSeconds + row.sum.uploadSeconds,
        durationSeconds: all.sum.durationSeconds + row.sum.durationSeconds,
        bytes: all.sum.bytes + row.sum.bytes,
      },
      dimensions: {},
    }),
    { count: 0, sum: { keyframeIntervalSeconds: 0, uploadSeconds: 0, durationSeconds: 0, bytes: 0 }, dimensions: {} },
  );
  return (
    <>
      <Stats
        items={[
          { label: "Keyframe interval", value: seconds(intervalOf(total)), note: "2 to 8 s are best" },
          { label: "Upload-to-duration ratio", value: percent(ratioOf(total)), note: "of 100 %" },
          { label: "Groups of pictures", value: count(total.count) },
          { label: "Received", value: bytes(total.sum.bytes) },
        ]}
      />
      <Chart title="Keyframe interval" times={times} series={intervals} format={seconds} timeLabel={dateTime} />
      <Chart title="Upload-to-duration ratio" times={times} series={ratios} format={percent} timeLabel={dateTime} />
    </>
  );
}
