/** What an instance was asked in the last days, and what it found most. */
import { createRoute } from "@tanstack/react-router";
import { Card, Empty, Failure, Loading } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { count } from "../../platform/format.ts";
import { useRest } from "../../platform/queries.ts";
import { instancePath, type Metrics } from "./api.ts";
import { instanceRoute, useId } from "./instance.tsx";

export const metricsRoute = createRoute({ getParentRoute: () => instanceRoute, path: "metrics", component: MetricsPage });

function MetricsPage() {
  const metrics = useRest<Metrics>(`${instancePath(useId())}/metrics?days=30`);
  if (metrics.data === undefined)
    return metrics.isPending ? <Loading /> : <Failure error={metrics.error} retry={() => void metrics.refetch()} />;
  const { queries, top_retrievals } = metrics.data;
  const total = (kind?: string): number =>
    queries.reduce((sum, row) => sum + (kind === undefined || row.kind === kind ? row.queries : 0), 0);
  if (total() === 0) return <Empty title="No query yet">Searches and answers of the last 30 days are counted here.</Empty>;
  return (
    <>
      <Stats
        items={[
          { label: "Searches", value: count(total("search")) },
          {
            label: "Answers",
            value: count(total("chat")),
            note: `${count(queries.reduce((sum, { cached }) => sum + cached, 0))} from the cache`,
          },
          { label: "Without results", value: count(queries.reduce((sum, { empty }) => sum + empty, 0)) },
        ]}
      />
      <Card title="Queries by day">
        <Table
          label="Queries by day"
          rows={queries.toReversed()}
          id={({ date, kind }) => `${date}/${kind}`}
          columns={[
            { title: "Day", cell: ({ date }) => date },
            { title: "Kind", cell: ({ kind }) => (kind === "chat" ? "answers" : "searches") },
            { title: "Queries", cell: (row) => count(row.queries), align: "right" },
            { title: "Mean time", cell: ({ average_ms }) => `${count(average_ms)} ms`, align: "right" },
          ]}
        />
      </Card>
      <Card title="Top retrievals">
        <Table
          label="Top retrievals"
          rows={top_retrievals}
          id={({ key }) => key}
          columns={[
            { title: "Item", cell: ({ key }) => <span className="break-all">{key}</span> },
            { title: "Retrievals", cell: (row) => count(row.count), align: "right" },
          ]}
        />
      </Card>
    </>
  );
}
