/** A pipeline's Errors tab: events that were dropped in the last 24 hours, by type, and the latest with what was wrong. */
import { createRoute } from "@tanstack/react-router";
import { Card, Empty, Failure, Loading } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { useAnalytics } from "../../platform/graphql.ts";
import { pipelineRoute } from "./pipeline.tsx";

export const errorsRoute = createRoute({ getParentRoute: () => pipelineRoute, path: "errors", component: Errors });

/** Descriptions are kept for this long. */
const HOURS = 24;
/** Dropped events whose descriptions are asked for; equal ones of one minute are shown as one row. */
const LATEST = 1000;

interface Dropped {
  readonly datetime: string;
  readonly errorFamily: string;
  readonly errorType: string;
  readonly errorMessage: string;
}

interface Figures {
  readonly types: readonly { readonly count: number; readonly dimensions: { readonly errorFamily: string; readonly errorType: string } }[];
  readonly latest: readonly Dropped[];
}

const QUERY = `query PipelineErrors($account: String!, $pipeline: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      types: pipelinesUserErrorsAdaptiveGroups(limit: 100, orderBy: [count_DESC], filter: { pipelineId: $pipeline, datetime_geq: $from, datetime_leq: $to }) {
        count
        dimensions { errorFamily errorType }
      }
      latest: pipelinesUserErrorsAdaptive(limit: ${LATEST}, orderBy: [datetime_DESC], filter: { pipelineId: $pipeline, datetime_geq: $from, datetime_leq: $to }) {
        datetime errorFamily errorType errorMessage
      }
    }
  }
}`;

function Errors() {
  const { pipeline } = pipelineRoute.useParams();
  const errors = useAnalytics<Figures>("pipeline errors", QUERY, HOURS, { pipeline });
  if (errors.isPending) return <Loading />;
  if (errors.error) return <Failure error={errors.error} retry={() => void errors.refetch()} />;
  const { types, latest } = errors.data.figures;
  if (types.length === 0) {
    return (
      <Empty title="No event was dropped in the last 24 hours">
        Events that do not fit the stream's schema, for want of a field or by a wrong type, are dropped and appear here.
      </Empty>
    );
  }
  return (
    <div className="flex flex-col gap-4">
      <Stats items={[{ label: "Dropped in the last 24 hours", value: count(types.reduce((sum, row) => sum + row.count, 0)) }]} />
      <Table
        label="Errors by type"
        rows={types}
        id={({ dimensions }) => `${dimensions.errorFamily} ${dimensions.errorType}`}
        columns={[
          { title: "Type", cell: ({ dimensions }) => <code>{dimensions.errorType}</code> },
          { title: "Family", cell: ({ dimensions }) => <span className="text-soft">{dimensions.errorFamily}</span>, wide: true },
          { title: "Events", cell: (row) => count(row.count), align: "right" },
        ]}
      />
      <Card title="Latest" lead="What was wrong with them, the newest first.">
        <Table
          label="Latest errors"
          rows={collapsed(latest)}
          id={({ id }) => id}
          columns={[
            { title: "Time", cell: ({ datetime }) => <span className="whitespace-nowrap text-soft">{dateTime(datetime)}</span> },
            { title: "Type", cell: ({ errorType }) => <code>{errorType}</code>, wide: true },
            { title: "Description", cell: ({ errorMessage }) => <span className="break-words">{errorMessage}</span> },
            { title: "Events", cell: (row) => count(row.events), align: "right" },
          ]}
        />
      </Card>
    </div>
  );
}

/** Equal errors of one moment as one row that counts them. */
function collapsed(latest: readonly Dropped[]): (Dropped & { id: string; events: number })[] {
  const rows = new Map<string, Dropped & { id: string; events: number }>();
  for (const dropped of latest) {
    const id = `${dropped.datetime} ${dropped.errorType} ${dropped.errorMessage}`;
    rows.set(id, { ...dropped, id, events: (rows.get(id)?.events ?? 0) + 1 });
  }
  return [...rows.values()];
}
