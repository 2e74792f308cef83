/** A project's Metrics tab: invocations of its Functions by how they ended. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { projectRoute } from "./project.tsx";

export const metricsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

interface Row {
  readonly sum: { readonly requests: number };
  readonly dimensions: Readonly<Record<string, string>>;
}
interface Answer {
  readonly times: readonly Row[];
  readonly whole: readonly Row[];
}

/** https://developers.cloudflare.com/pages/functions/metrics/#invocation-statuses */
const STATUSES = [
  ["success", "Success"],
  ["scriptThrewException", "Exceptions (1101)"],
  ["exceededResources", "Exceeded resources (1102)"],
  ["clientDisconnected", "Client disconnected"],
] as const;

const FILTER = "limit: 10000, filter: { projectName: $project, datetime_geq: $from, datetime_leq: $to }";

const queryBy = (bucket: TimeBucket): string => `query PagesMetrics($account: String!, $project: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      times: pagesFunctionsInvocationsAdaptiveGroups(${FILTER}) { sum { requests } dimensions { status ${bucket} } }
      whole: pagesFunctionsInvocationsAdaptiveGroups(${FILTER}) { sum { requests } dimensions { status } }
    }
  }
}`;

function Metrics() {
  const { project } = projectRoute.useParams();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const metrics = useAnalytics<Answer>("pages", queryBy(bucket), hours, { project });
  return (
    <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ figures, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const { times, series } = useMemo(() => {
    const times = bucketsIn(window, bucket);
    const series = STATUSES.map(([status, label]) => {
      const rows = figures.times.filter(({ dimensions }) => dimensions.status === status);
      return { label, values: byTime(rows, bucket, times)(({ sum }) => sum.requests) };
    });
    return { times, series };
  }, [figures, window, bucket]);
  const of = (status: string): number => figures.whole.find(({ dimensions }) => dimensions.status === status)?.sum.requests ?? 0;
  return (
    <>
      <Stats items={STATUSES.map(([status, label]) => ({ label, value: count(of(status)) }))} />
      <Chart title="Invocations of Functions" times={times} series={series} format={count} timeLabel={dateTime} />
    </>
  );
}
