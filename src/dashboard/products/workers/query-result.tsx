/** What a query found: figures as a chart and a table, events, invocations, traces, patterns. */
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { EventList } from "../../components/event-list.tsx";
import { Card, Empty } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, count, counted, dateTime } from "../../platform/format.ts";
import type { Answer, Asked, Calculation } from "../../platform/telemetry.ts";

type Shown = Answer & { readonly timeframe: { readonly from: number; readonly to: number } };

/** As many lines as a chart tells apart. */
const LINES = 3;

export function QueryResult({ answer, asked }: { answer: Shown; asked: Asked }) {
  const { rows_read, bytes_read, elapsed } = answer.statistics;
  return (
    <>
      <p className="text-sm text-soft">
        {counted(rows_read, "row")}, {bytes(bytes_read)} read in {(elapsed * 1_000).toFixed(0)} ms
      </p>
      <Found answer={answer} asked={asked} />
    </>
  );
}

function Found({ answer, asked }: { answer: Shown; asked: Asked }) {
  const { calculations: [figure] = [], events, invocations, traces, patterns } = answer;
  if (figure !== undefined && figure.aggregates.length > 0) return <Figure figure={figure} answer={answer} asked={asked} />;
  if (events !== undefined && events.events.length > 0) return <EventList label="Events" events={events.events} service />;
  const groups = Object.entries(invocations ?? {});
  if (groups.length > 0) {
    return groups.map(([id, own]) => (
      <Card key={id} title={String(own[0]?.$metadata.trigger ?? id)} lead={<span className="font-mono text-xs">{id}</span>}>
        <EventList label={`Events of ${id}`} events={own} service />
      </Card>
    ));
  }
  if (traces !== undefined && traces.length > 0) {
    return (
      <Table
        label="Traces"
        rows={traces}
        id={({ traceId }) => traceId}
        columns={[
          { title: "Trace", cell: ({ rootTransactionName, rootSpanName }) => rootTransactionName || rootSpanName },
          {
            title: "Worker",
            cell: ({ service: [worker = ""] }) => (
              <Link to="/workers/$worker/traces" params={{ worker }} className="text-accent underline-offset-4 hover:underline">
                {worker}
              </Link>
            ),
          },
          { title: "Spans", cell: ({ spans }) => spans, align: "right" },
          { title: "Duration", cell: ({ traceDurationMs }) => `${traceDurationMs} ms`, align: "right" },
          { title: "Began", cell: ({ traceStartMs }) => <span className="text-soft">{dateTime(traceStartMs)}</span>, wide: true },
        ]}
      />
    );
  }
  if (patterns !== undefined && patterns.length > 0) {
    return (
      <Table
        label="Patterns"
        rows={patterns}
        id={({ pattern, service }) => `${service} ${pattern}`}
        columns={[
          { title: "Pattern", cell: ({ pattern }) => <span className="font-mono text-xs break-all">{pattern}</span> },
          { title: "Worker", cell: ({ service }) => service, wide: true },
          { title: "Events", cell: (row) => count(row.count), align: "right" },
        ]}
      />
    );
  }
  return <Empty title="Nothing found">Widen the time or take a filter away.</Empty>;
}

const nameOf = (groups: Calculation["aggregates"][number]["groups"]): string =>
  groups?.map(({ value }) => String(value)).join(", ") ?? "all";
const number = (value: number): string => value.toLocaleString(undefined, { maximumFractionDigits: 2 });
const timeLabel = (time: number): string => dateTime(time);

function Figure({ figure, answer, asked }: { figure: Calculation; answer: Shown; asked: Asked }) {
  const { times, series } = useMemo(() => {
    const { from, to } = answer.timeframe;
    const width = Math.max(1_000, Math.ceil((to - from) / (asked.granularity ?? 60)));
    const times: number[] = [];
    for (let time = Math.floor(from / width) * width; time < to; time += width) times.push(time);
    const points = new Map(figure.series.map(({ time, data }) => [Date.parse(time), data]));
    const series = figure.aggregates.slice(0, LINES).map(({ groups }) => {
      const label = nameOf(groups);
      return { label, values: times.map((time) => points.get(time)?.find((point) => nameOf(point.groups) === label)?.value ?? 0) };
    });
    return { times, series };
  }, [figure, answer.timeframe, asked]);
  return (
    <>
      <Chart title={figure.calculation} times={times} series={series} format={number} timeLabel={timeLabel} />
      <Table
        label="Figures"
        rows={figure.aggregates}
        id={({ groups }) => nameOf(groups)}
        columns={[
          { title: "Group", cell: ({ groups }) => nameOf(groups) },
          { title: figure.calculation, cell: ({ value }) => number(value), align: "right" },
        ]}
      />
    </>
  );
}
