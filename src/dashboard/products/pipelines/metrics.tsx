/** A pipeline's Metrics tab: what it read, dropped and wrote, as sums and over time. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { bytes, count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { pipelineRoute } from "./pipeline.tsx";

export const metricsRoute = createRoute({
  getParentRoute: () => pipelineRoute,
  path: "metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

interface Read {
  readonly sum: { readonly bytesIn: number; readonly recordsIn: number; readonly decodeErrors: number };
  readonly dimensions: Readonly<Record<string, string>>;
}
interface Written {
  readonly sum: { readonly bytesWritten: number; readonly recordsWritten: number; readonly filesWritten: number };
  readonly dimensions: Readonly<Record<string, string>>;
}
interface Answer {
  readonly read: readonly Read[];
  readonly written: readonly Written[];
}

const queryBy = (bucket: TimeBucket): string => `query PipelineMetrics($account: String!, $pipeline: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      read: pipelinesOperatorAdaptiveGroups(limit: 10000, filter: { pipelineId: $pipeline, datetime_geq: $from, datetime_leq: $to }) {
        sum { bytesIn recordsIn decodeErrors }
        dimensions { ${bucket} }
      }
      written: pipelinesSinkAdaptiveGroups(limit: 10000, filter: { pipelineId: $pipeline, datetime_geq: $from, datetime_leq: $to }) {
        sum { bytesWritten recordsWritten filesWritten }
        dimensions { ${bucket} }
      }
    }
  }
}`;

function Metrics() {
  const { pipeline } = pipelineRoute.useParams();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const metrics = useAnalytics<Answer>("pipeline", queryBy(bucket), hours, { pipeline });
  return (
    <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

const timeLabel = (time: number): string => dateTime(time);

function Shown({ figures: { read, written }, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const charts = useMemo(() => {
    const times = bucketsIn(window, bucket);
    const reads = byTime(read, bucket, times);
    const writes = byTime(written, bucket, times);
    return {
      times,
      records: [
        { label: "Read", values: reads((row) => row.sum.recordsIn) },
        { label: "Written", values: writes((row) => row.sum.recordsWritten) },
        { label: "Dropped", values: reads((row) => row.sum.decodeErrors) },
      ],
      bytes: [
        { label: "Read", values: reads((row) => row.sum.bytesIn) },
        { label: "Written", values: writes((row) => row.sum.bytesWritten) },
      ],
    };
  }, [read, written, window, bucket]);
  const total = <T,>(rows: readonly T[], of: (row: T) => number): number => rows.reduce((sum, row) => sum + of(row), 0);
  return (
    <>
      <Stats
        items={[
          {
            label: "Records read",
            value: count(total(read, (row) => row.sum.recordsIn)),
            note: bytes(total(read, (row) => row.sum.bytesIn)),
          },
          { label: "Records dropped", value: count(total(read, (row) => row.sum.decodeErrors)) },
          {
            label: "Records written",
            value: count(total(written, (row) => row.sum.recordsWritten)),
            note: bytes(total(written, (row) => row.sum.bytesWritten)),
          },
          { label: "Files written", value: count(total(written, (row) => row.sum.filesWritten)) },
        ]}
      />
      <Chart title="Records" times={charts.times} series={charts.records} format={count} timeLabel={timeLabel} />
      <Chart title="Bytes" times={charts.times} series={charts.bytes} format={bytes} timeLabel={timeLabel} />
    </>
  );
}
