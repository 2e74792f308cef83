/** A database's Metrics tab: queries, and rows read and written. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { databaseRoute } from "./database.tsx";

export const metricsRoute = createRoute({
  getParentRoute: () => databaseRoute,
  path: "metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

interface Answer {
  readonly queries: readonly {
    readonly sum: { readonly readQueries: number; readonly writeQueries: number; readonly rowsRead: number; readonly rowsWritten: number };
    readonly dimensions: Readonly<Record<string, string>>;
  }[];
}

const queryBy = (bucket: TimeBucket): string => `query DatabaseMetrics($account: String!, $database: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      queries: d1AnalyticsAdaptiveGroups(limit: 10000, filter: { databaseId: $database, datetime_geq: $from, datetime_leq: $to }) {
        sum { readQueries writeQueries rowsRead rowsWritten }
        dimensions { ${bucket} }
      }
    }
  }
}`;

function Metrics() {
  const { database } = databaseRoute.useParams();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const metrics = useAnalytics<Answer>("database", queryBy(bucket), hours, { database });
  return (
    <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ figures: { queries }, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const charts = useMemo(() => {
    const times = bucketsIn(window, bucket);
    const figure = byTime(queries, bucket, times);
    return {
      times,
      rows: [
        { label: "Rows read", values: figure(({ sum }) => sum.rowsRead) },
        { label: "Rows written", values: figure(({ sum }) => sum.rowsWritten) },
      ],
      queries: [
        { label: "Reading", values: figure(({ sum }) => sum.readQueries) },
        { label: "Writing", values: figure(({ sum }) => sum.writeQueries) },
      ],
    };
  }, [queries, window, bucket]);
  const total = (of: (sum: Answer["queries"][number]["sum"]) => number): string =>
    count(queries.reduce((all, { sum }) => all + of(sum), 0));
  return (
    <>
      <Stats
        items={[
          { label: "Read queries", value: total((sum) => sum.readQueries) },
          { label: "Write queries", value: total((sum) => sum.writeQueries) },
          { label: "Rows read", value: total((sum) => sum.rowsRead) },
          { label: "Rows written", value: total((sum) => sum.rowsWritten) },
        ]}
      />
      <Chart title="Rows" times={charts.times} series={charts.rows} format={count} timeLabel={dateTime} />
      <Chart title="Queries" times={charts.times} series={charts.queries} format={count} timeLabel={dateTime} />
    </>
  );
}
