/** A Worker's Traces tab: its traces, and the spans of the chosen one along its time. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { SelectField } from "../../components/form.tsx";
import { Badge, Card, Empty, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { ofWorker, type TelemetryEvent, type Trace, useTelemetry, windows } from "../../platform/telemetry.ts";
import { workerRoute } from "./worker.tsx";

export const tracesRoute = createRoute({ getParentRoute: () => workerRoute, path: "traces", component: Traces });

const LISTED = 50;
const SPANS_MAX = 500;

function Traces() {
  const { worker } = workerRoute.useParams();
  const [hours, setHours] = useState("1");
  const [chosen, setChosen] = useState<Trace>();
  const list = useTelemetry({ view: "traces", limit: LISTED, parameters: { filters: [ofWorker(worker)] } }, Number(hours));
  const traces = list.data?.traces ?? [];
  return (
    <>
      <div className="flex flex-wrap items-end gap-3">
        <SelectField label="Time" value={hours} onChange={setHours} options={windows} />
        <Button busy={list.isFetching} onClick={() => void list.refetch()}>
          Refresh
        </Button>
      </div>
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.isPending && <Loading />}
      {list.data && traces.length === 0 && (
        <Empty title="No traces">
          They are stored of Workers with <code className="font-mono">observability.traces.enabled</code>.
        </Empty>
      )}
      {chosen && <Waterfall trace={chosen} hours={Number(hours)} onClose={() => setChosen(undefined)} />}
      {traces.length > 0 && (
        <Table
          label="Traces"
          rows={traces}
          id={({ traceId }) => traceId}
          columns={[
            {
              title: "Trace",
              cell: (trace) => (
                <button
                  type="button"
                  className="font-medium text-accent underline-offset-4 hover:underline"
                  onClick={() => setChosen(trace)}
                >
                  {trace.rootTransactionName || trace.rootSpanName}
                </button>
              ),
            },
            { title: "Spans", cell: ({ spans }) => spans, align: "right" },
            { title: "Duration", cell: ({ traceDurationMs }) => `${traceDurationMs} ms`, align: "right" },
            { title: "Errors", cell: ({ errors }) => errors && <Badge tone="bad">{errors.length}</Badge>, wide: true },
            { title: "Began", cell: ({ traceStartMs }) => <span className="text-soft">{dateTime(traceStartMs)}</span>, wide: true },
          ]}
        />
      )}
    </>
  );
}

function Waterfall({ trace, hours, onClose }: { trace: Trace; hours: number; onClose(): void }) {
  const filters = [{ key: "$metadata.traceId", operation: "eq", type: "string", value: trace.traceId }];
  const list = useTelemetry({ view: "events", limit: SPANS_MAX, parameters: { datasets: ["otel"], filters } }, hours);
  return (
    <Card
      title={trace.rootTransactionName}
      lead={<span className="font-mono text-xs break-all">{trace.traceId}</span>}
      actions={
        <Button look="quiet" onClick={onClose}>
          Close
        </Button>
      }
    >
      <Failure error={list.error} />
      {list.isPending && <Loading />}
      {list.data?.events && (
        <ol aria-label="Spans" className="flex flex-col gap-1">
          {ordered(list.data.events.events).map(({ span, depth }) => (
            <Span key={span.$metadata.id} span={span} depth={depth} trace={trace} />
          ))}
        </ol>
      )}
    </Card>
  );
}

function Span({ span, depth, trace }: { span: TelemetryEvent; depth: number; trace: Trace }) {
  const { startTime, endTime, spanName, error } = span.$metadata;
  const whole = Math.max(1, trace.traceDurationMs);
  const left = (100 * (Number(startTime) - trace.traceStartMs)) / whole;
  const width = (100 * (Number(endTime) - Number(startTime))) / whole;
  return (
    <li>
      <details>
        <summary className="grid grid-cols-[minmax(8rem,14rem)_1fr_4rem] items-center gap-3 rounded px-1 text-xs hover:bg-raised/60">
          <span className="truncate font-mono" style={{ paddingLeft: `${depth * 0.75}rem` }}>
            {spanName}
          </span>
          <span className="relative h-3 rounded bg-raised">
            <span
              className={`absolute h-3 min-w-0.5 rounded ${error === undefined ? "bg-accent" : "bg-danger"}`}
              style={{ left: `${Math.min(99.5, left)}%`, width: `${Math.min(100 - left, width)}%` }}
            />
          </span>
          <span className="text-right text-soft tabular-nums">{Number(endTime) - Number(startTime)} ms</span>
        </summary>
        <pre className="mt-1 max-h-72 overflow-auto rounded bg-raised p-2 font-mono text-xs whitespace-pre-wrap break-words">
          {JSON.stringify(span.source, null, 2)}
        </pre>
      </details>
    </li>
  );
}

/** Each span below the one that it was opened in, in the order of time. */
function ordered(spans: readonly TelemetryEvent[]): { span: TelemetryEvent; depth: number }[] {
  const known = new Set(spans.map(({ $metadata }) => $metadata.spanId));
  const parentOf = ({ $metadata: { parentSpanId } }: TelemetryEvent) => (known.has(parentSpanId) ? parentSpanId : undefined);
  const byParent = Map.groupBy(
    spans.toSorted((a, b) => (a.$metadata.id < b.$metadata.id ? -1 : 1)),
    parentOf,
  );
  const below = (parent: string | number | undefined, depth: number): { span: TelemetryEvent; depth: number }[] =>
    (byParent.get(parent) ?? []).flatMap((span) => [{ span, depth }, ...below(span.$metadata.spanId ?? "", depth + 1)]);
  return below(undefined, 0);
}
