/** One configuration: what it is, and its metrics. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Copy } from "../../components/copy.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Card, Facts, Failure, Page } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { useRest } from "../../platform/queries.ts";
import { shellRoute } from "../../shell/root.tsx";
import { addressOf, type Config, configPath } from "./api.ts";

export const configRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/hyperdrive/$config",
  validateSearch: hoursSearch,
  component: ConfigPage,
});

interface Answer {
  readonly statuses: readonly { readonly count: number; readonly dimensions: { readonly cacheStatus: string } }[];
  readonly latencies: readonly { readonly avg: { readonly queryLatency: number; readonly connectionLatency: number } }[];
  readonly times: readonly { readonly count: number; readonly dimensions: Readonly<Record<string, string>> }[];
}

const FILTER = "configId: $config, datetime_geq: $from, datetime_leq: $to";
const queryBy = (bucket: TimeBucket): string => `query HyperdriveQueries($account: String!, $config: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      statuses: hyperdriveQueriesAdaptiveGroups(limit: 10000, filter: { ${FILTER} }) { count dimensions { cacheStatus } }
      latencies: hyperdriveQueriesAdaptiveGroups(limit: 1, filter: { ${FILTER}, cacheStatus_neq: "hit", eventStatus: "complete" }) {
        avg { queryLatency connectionLatency }
      }
      times: hyperdriveQueriesAdaptiveGroups(limit: 10000, filter: { ${FILTER} }) { count dimensions { ${bucket} } }
    }
  }
}`;

function ConfigPage() {
  const { config } = configRoute.useParams();
  const info = useRest<Config>(configPath(config));
  const hours = hoursIn(configRoute.useSearch());
  const navigate = configRoute.useNavigate();
  const bucket = bucketOf(hours);
  const metrics = useAnalytics<Answer>("hyperdrive", queryBy(bucket), hours, { config });
  return (
    <Page title={info.data?.name ?? "Configuration"} crumbs={[{ label: "Hyperdrive", to: "/hyperdrive" }]}>
      <Failure error={info.error} retry={() => void info.refetch()} />
      {info.data && <General config={info.data} />}
      <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
        {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
      </Figures>
    </Page>
  );
}

function General({ config }: { config: Config }) {
  const { id, origin, caching, origin_connection_limit, created_on } = config;
  return (
    <Card title="General">
      <Facts
        items={[
          ["Id", <Copy key="id" value={id} label="the configuration's id" />],
          ["Database", addressOf(config)],
          ["User", origin.user],
          ["Caching", caching.disabled ? "Disabled" : `${caching.max_age} s, and ${caching.stale_while_revalidate} s stale`],
          origin_connection_limit !== undefined && ["Origin connection limit", count(origin_connection_limit)],
          ["Created", dateTime(created_on)],
        ]}
      />
    </Card>
  );
}

const milliseconds = (value: number | undefined): string => (value === undefined ? "–" : `${value.toFixed(1)} ms`);

function Shown({ figures: { statuses, latencies, times: rows }, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const { times, series } = useMemo(() => {
    const at = bucketsIn(window, bucket);
    return { times: at, series: [{ label: "Queries", values: byTime(rows, bucket, at)((row) => row.count) }] };
  }, [rows, window, bucket]);
  const byStatus = [...statuses].sort((a, b) => b.count - a.count);
  return (
    <>
      <Stats
        items={[
          { label: "Queries", value: count(statuses.reduce((all, row) => all + row.count, 0)) },
          { label: "Query latency", value: milliseconds(latencies[0]?.avg.queryLatency) },
          { label: "Connection latency", value: milliseconds(latencies[0]?.avg.connectionLatency) },
        ]}
      />
      {byStatus.length > 0 && (
        <Stats items={byStatus.map((row) => ({ label: `Cache: ${row.dimensions.cacheStatus}`, value: count(row.count) }))} />
      )}
      <Chart title="Queries" times={times} series={series} format={count} timeLabel={dateTime} />
    </>
  );
}
