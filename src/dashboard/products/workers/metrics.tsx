/** A Worker's Metrics tab: requests and errors, wall and CPU time, over time. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { workerRoute } from "./worker.tsx";

export const metricsRoute = createRoute({
  getParentRoute: () => workerRoute,
  path: "metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

interface Row {
  readonly sum: { readonly requests: number; readonly errors: number };
  readonly quantiles: {
    readonly cpuTimeP50: number;
    readonly cpuTimeP99: number;
    readonly wallTimeP50: number;
    readonly wallTimeP99: number;
  };
  readonly dimensions: Readonly<Record<string, string>>;
}
interface Answer {
  readonly times: readonly Row[];
  readonly whole: readonly Row[];
  readonly statuses: readonly Row[];
}

const FILTER = "limit: 10000, filter: { scriptName: $worker, datetime_geq: $from, datetime_leq: $to }";
const FIGURES = "sum { requests errors } quantiles { cpuTimeP50 cpuTimeP99 wallTimeP50 wallTimeP99 }";

const queryBy = (bucket: TimeBucket): string => `query WorkerMetrics($account: String!, $worker: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      times: workersInvocationsAdaptive(${FILTER}) { ${FIGURES} dimensions { ${bucket} } }
      whole: workersInvocationsAdaptive(${FILTER}) { ${FIGURES} }
      statuses: workersInvocationsAdaptive(${FILTER}) { ${FIGURES} dimensions { status } }
    }
  }
}`;

/** Microseconds. */
const duration = (us: number): string => (us >= 1_000_000 ? `${(us / 1e6).toFixed(2)} s` : `${(us / 1e3).toFixed(us < 10_000 ? 2 : 0)} ms`);
const timeLabel = (time: number): string => dateTime(time);

function Metrics() {
  const { worker } = workerRoute.useParams();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const metrics = useAnalytics<Answer>("worker", queryBy(bucket), hours, { worker });
  return (
    <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ figures, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const charts = useMemo(() => {
    const times = bucketsIn(window, bucket);
    const values = byTime(figures.times, bucket, times);
    return {
      times,
      requests: [
        { label: "Requests", values: values(({ sum }) => sum.requests) },
        { label: "Errors", values: values(({ sum }) => sum.errors) },
      ],
      cpu: [
        { label: "Median", values: values(({ quantiles }) => quantiles.cpuTimeP50) },
        { label: "99%", values: values(({ quantiles }) => quantiles.cpuTimeP99) },
      ],
      wall: [
        { label: "Median", values: values(({ quantiles }) => quantiles.wallTimeP50) },
        { label: "99%", values: values(({ quantiles }) => quantiles.wallTimeP99) },
      ],
    };
  }, [figures, window, bucket]);
  const [whole] = figures.whole;
  const failures = figures.statuses.filter(({ dimensions }) => dimensions.status !== "success");
  return (
    <>
      <Stats
        items={[
          { label: "Requests", value: count(whole?.sum.requests ?? 0) },
          {
            label: "Errors",
            value: count(whole?.sum.errors ?? 0),
            note: failures.map(({ dimensions, sum }) => `${dimensions.status} ${count(sum.requests)}`).join(", "),
          },
          {
            label: "CPU time, median",
            value: duration(whole?.quantiles.cpuTimeP50 ?? 0),
            note: `99% ${duration(whole?.quantiles.cpuTimeP99 ?? 0)}`,
          },
          {
            label: "Wall time, median",
            value: duration(whole?.quantiles.wallTimeP50 ?? 0),
            note: `99% ${duration(whole?.quantiles.wallTimeP99 ?? 0)}`,
          },
        ]}
      />
      <Chart title="Requests" times={charts.times} series={charts.requests} format={count} timeLabel={timeLabel} />
      <Chart title="CPU time" times={charts.times} series={charts.cpu} format={duration} timeLabel={timeLabel} />
      <Chart title="Wall time" times={charts.times} series={charts.wall} format={duration} timeLabel={timeLabel} />
    </>
  );
}
