/** A namespace's Metrics tab: requests and errors, active time, and rows, over time. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { bytes, count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { namespaceRoute } from "./namespace.tsx";

export const metricsRoute = createRoute({
  getParentRoute: () => namespaceRoute,
  path: "metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

type Dimensions = Readonly<Record<string, string>>;
interface Invocations {
  readonly sum: { readonly requests: number; readonly errors: number; readonly responseBodySize: number };
  readonly dimensions: Dimensions;
}
interface Usage {
  readonly sum: {
    readonly activeTime: number;
    readonly cpuTime: number;
    readonly duration: number;
    readonly rowsRead: number;
    readonly rowsWritten: number;
    readonly storageReadUnits: number;
    readonly storageWriteUnits: number;
    readonly storageDeletes: number;
    readonly subrequests: number;
  };
  readonly dimensions: Dimensions;
}
interface Answer {
  readonly invocations: readonly Invocations[];
  readonly types: readonly Invocations[];
  readonly usage: readonly Usage[];
}

const FILTER = "limit: 10000, filter: { namespaceId: $namespace, datetime_geq: $from, datetime_leq: $to }";
const CALLS = "sum { requests errors responseBodySize }";

const queryBy = (bucket: TimeBucket): string => `query NamespaceMetrics($account: String!, $namespace: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      invocations: durableObjectsInvocationsAdaptiveGroups(${FILTER}) { ${CALLS} dimensions { ${bucket} } }
      types: durableObjectsInvocationsAdaptiveGroups(${FILTER}) { ${CALLS} dimensions { type } }
      usage: durableObjectsPeriodicGroups(${FILTER}) {
        sum { activeTime cpuTime duration rowsRead rowsWritten storageReadUnits storageWriteUnits storageDeletes subrequests }
        dimensions { ${bucket} }
      }
    }
  }
}`;

/** Microseconds. */
const duration = (us: number): string => (us >= 1_000_000 ? `${(us / 1e6).toFixed(2)} s` : `${(us / 1e3).toFixed(us < 10_000 ? 2 : 0)} ms`);

function Metrics() {
  const { namespace } = namespaceRoute.useParams();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const metrics = useAnalytics<Answer>("durable-objects", queryBy(bucket), hours, { namespace });
  return (
    <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ figures: { invocations, types, usage }, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const charts = useMemo(() => {
    const times = bucketsIn(window, bucket);
    const calls = byTime(invocations, bucket, times);
    const used = byTime(usage, bucket, times);
    return {
      times,
      requests: [
        { label: "Requests", values: calls(({ sum }) => sum.requests) },
        { label: "Errors", values: calls(({ sum }) => sum.errors) },
      ],
      time: [
        { label: "Active", values: used(({ sum }) => sum.activeTime) },
        { label: "CPU", values: used(({ sum }) => sum.cpuTime) },
      ],
      rows: [
        { label: "Read", values: used(({ sum }) => sum.rowsRead + sum.storageReadUnits) },
        { label: "Written", values: used(({ sum }) => sum.rowsWritten + sum.storageWriteUnits + sum.storageDeletes) },
      ],
    };
  }, [invocations, usage, window, bucket]);
  const called = (name: keyof Invocations["sum"]): number => types.reduce((all, { sum }) => all + sum[name], 0);
  const used = (name: keyof Usage["sum"]): number => usage.reduce((all, { sum }) => all + sum[name], 0);
  const read = used("rowsRead") + used("storageReadUnits");
  const written = used("rowsWritten") + used("storageWriteUnits") + used("storageDeletes");
  return (
    <>
      <Stats
        items={[
          {
            label: "Requests",
            value: count(called("requests")),
            note: types.map(({ dimensions, sum }) => `${dimensions.type} ${count(sum.requests)}`).join(", "),
          },
          { label: "Errors", value: count(called("errors")) },
          { label: "Active time", value: duration(used("activeTime")), note: `${used("duration").toFixed(3)} GB-s` },
          { label: "CPU time", value: duration(used("cpuTime")) },
          { label: "Rows or units read", value: count(read) },
          { label: "Rows or units written", value: count(written) },
          { label: "Subrequests", value: count(used("subrequests")) },
          { label: "Answered", value: bytes(called("responseBodySize")) },
        ]}
      />
      <Chart title="Requests" times={charts.times} series={charts.requests} format={count} timeLabel={dateTime} />
      <Chart title="Active and CPU time" times={charts.times} series={charts.time} format={duration} timeLabel={dateTime} />
      <Chart title="Rows" times={charts.times} series={charts.rows} format={count} timeLabel={dateTime} />
    </>
  );
}
