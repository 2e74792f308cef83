/** Loads, events, triggers, actions and server-side requests of a zone. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { zoneRoute } from "./zone.tsx";

export const monitoringRoute = createRoute({
  getParentRoute: () => zoneRoute,
  path: "monitoring",
  validateSearch: hoursSearch,
  component: Monitoring,
});

interface Row {
  readonly count: number;
  readonly dimensions: Readonly<Record<string, string>>;
}

interface Answer {
  readonly times: readonly Row[];
  readonly events: readonly Row[];
  readonly triggers: readonly Row[];
  readonly actions: readonly Row[];
  readonly requests: readonly Row[];
}

const FILTER = "zoneTag: $zone, datetime_geq: $from, datetime_leq: $to";
const queryBy = (bucket: TimeBucket): string => `query Zaraz($account: String!, $zone: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      times: zarazTrackAdaptiveGroups(limit: 10000, filter: { ${FILTER} }) { count dimensions { ${bucket} } }
      events: zarazTrackAdaptiveGroups(limit: 50, filter: { ${FILTER} }, orderBy: [count_DESC]) { count dimensions { name: trackName } }
      triggers: zarazTriggersAdaptiveGroups(limit: 50, filter: { ${FILTER} }, orderBy: [count_DESC]) { count dimensions { name: triggerName } }
      actions: zarazActionsAdaptiveGroups(limit: 50, filter: { ${FILTER} }, orderBy: [count_DESC]) { count dimensions { name: actionName } }
      requests: zarazFetchAdaptiveGroups(limit: 50, filter: { ${FILTER} }, orderBy: [count_DESC]) { count dimensions { name: url status } }
    }
  }
}`;

function Monitoring() {
  const { zone } = zoneRoute.useParams();
  const hours = hoursIn(monitoringRoute.useSearch());
  const navigate = monitoringRoute.useNavigate();
  const bucket = bucketOf(hours);
  const answer = useAnalytics<Answer>("zaraz", queryBy(bucket), hours, { zone });
  return (
    <Figures answer={answer} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

const sum = (rows: readonly Row[]): number => rows.reduce((all, row) => all + row.count, 0);

function Shown({ figures, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const { times, series } = useMemo(() => {
    const at = bucketsIn(window, bucket);
    return { times: at, series: [{ label: "Events", values: byTime(figures.times, bucket, at)((row) => row.count) }] };
  }, [figures, window, bucket]);
  const { events, triggers, actions, requests } = figures;
  return (
    <>
      <Stats
        items={[
          { label: "Loads", value: count(sum(triggers.filter(({ dimensions }) => dimensions.name === "Pageview"))) },
          { label: "Events", value: count(sum(figures.times)) },
          { label: "Actions", value: count(sum(actions)) },
          { label: "Server-side requests", value: count(sum(requests)) },
        ]}
      />
      <Chart title="Events" times={times} series={series} format={count} timeLabel={dateTime} />
      <Counted label="Events" rows={events} />
      <Counted label="Triggers" rows={triggers} />
      <Counted label="Actions" rows={actions} />
      <Counted label="Server-side requests" rows={requests} />
    </>
  );
}

function Counted({ label, rows }: { label: string; rows: readonly Row[] }) {
  if (rows.length === 0) return null;
  const statuses = rows.some(({ dimensions }) => dimensions.status !== undefined);
  return (
    <Table
      label={label}
      rows={rows}
      id={({ dimensions }) => JSON.stringify(dimensions)}
      columns={[
        { title: label, cell: ({ dimensions }) => dimensions.name || "(no name)" },
        ...(statuses
          ? [{ title: "Status", cell: ({ dimensions }: Row) => (Number(dimensions.status) === 0 ? "no answer" : dimensions.status) }]
          : []),
        { title: "Count", cell: (row) => count(row.count) },
      ]}
    />
  );
}
