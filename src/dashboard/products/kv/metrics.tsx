/** A namespace's metrics: operations, how long reads took, and what it holds. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Page } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { bytes, count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { useRest } from "../../platform/queries.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Namespace, namespacePath } from "./api.ts";

export const metricsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/kv/$namespace/metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

interface Row {
  readonly sum: { readonly requests: number };
  readonly dimensions: Readonly<Record<string, string>>;
}

interface Answer {
  readonly operations: readonly Row[];
  readonly reads: readonly { readonly quantiles: { readonly latencyMsP50: number; readonly latencyMsP99: number } }[];
  readonly storage: readonly { readonly max: { readonly keyCount: number; readonly byteCount: number } }[];
}

const queryBy = (bucket: TimeBucket): string => `query NamespaceMetrics($account: String!, $namespace: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      operations: kvOperationsAdaptiveGroups(limit: 10000, filter: { namespaceId: $namespace, datetime_geq: $from, datetime_leq: $to }) {
        sum { requests }
        dimensions { actionType ${bucket} }
      }
      reads: kvOperationsAdaptiveGroups(limit: 1, filter: { namespaceId: $namespace, actionType: "read", datetime_geq: $from, datetime_leq: $to }) {
        quantiles { latencyMsP50 latencyMsP99 }
      }
      storage: kvStorageAdaptiveGroups(limit: 1, filter: { namespaceId: $namespace, datetime_geq: $from, datetime_leq: $to }) {
        max { keyCount byteCount }
      }
    }
  }
}`;

const ACTIONS = [
  ["read", "Reads"],
  ["write", "Writes"],
  ["delete", "Deletes"],
  ["list", "Lists"],
] as const;

function Metrics() {
  const { namespace } = metricsRoute.useParams();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const info = useRest<Namespace>(namespacePath(namespace));
  const metrics = useAnalytics<Answer>("namespace", queryBy(bucket), hours, { namespace });
  const title = info.data?.title ?? "Namespace";
  return (
    <Page
      title={`Metrics of ${title}`}
      crumbs={[
        { label: "KV", to: "/kv" },
        { label: title, to: `/kv/${namespace}` },
      ]}
    >
      <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
        {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
      </Figures>
    </Page>
  );
}

function Shown({ figures: { operations, reads, storage }, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const charts = useMemo(() => {
    const times = bucketsIn(window, bucket);
    const of = (action: string) =>
      byTime(
        operations.filter(({ dimensions }) => dimensions.actionType === action),
        bucket,
        times,
      );
    const series = ([action, label]: (typeof ACTIONS)[number]) => ({ label, values: of(action)(({ sum }) => sum.requests) });
    return { times, data: ACTIONS.slice(0, 2).map(series), keys: ACTIONS.slice(2).map(series) };
  }, [operations, window, bucket]);
  const total = (action: string): string =>
    count(operations.filter(({ dimensions }) => dimensions.actionType === action).reduce((all, { sum }) => all + sum.requests, 0));
  const milliseconds = (value: number | undefined): string => (value === undefined ? "–" : `${value.toFixed(value < 10 ? 2 : 0)} ms`);
  return (
    <>
      <Stats
        items={[
          ...ACTIONS.map(([action, label]) => ({ label, value: total(action) })),
          { label: "Read latency, P50", value: milliseconds(reads[0]?.quantiles.latencyMsP50) },
          { label: "Read latency, P99", value: milliseconds(reads[0]?.quantiles.latencyMsP99) },
          { label: "Keys", value: count(storage[0]?.max.keyCount ?? 0) },
          { label: "Stored", value: bytes(storage[0]?.max.byteCount ?? 0) },
        ]}
      />
      <Chart title="Reads and writes" times={charts.times} series={charts.data} format={count} timeLabel={dateTime} />
      <Chart title="Deletes and lists" times={charts.times} series={charts.keys} format={count} timeLabel={dateTime} />
    </>
  );
}
