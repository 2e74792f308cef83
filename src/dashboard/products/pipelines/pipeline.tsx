/** One pipeline: its frame with tabs, and the overview. */
import { createRoute, Link, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Card, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Pipeline, type Stream, V1 } from "./api.ts";
import { StatusBadge } from "./lists.tsx";
import { sendCommand } from "./sample.ts";

export const pipelineRoute = createRoute({ getParentRoute: () => shellRoute, path: "/pipelines/$pipeline", component: PipelineFrame });
export const overviewRoute = createRoute({ getParentRoute: () => pipelineRoute, path: "/", component: Overview });

const STATUS_REFRESH_MS = 10_000;

const usePipeline = () => {
  const { pipeline } = pipelineRoute.useParams();
  return useRest<Pipeline>(`${V1}/pipelines/${pipeline}`, { refetchInterval: STATUS_REFRESH_MS });
};

function PipelineFrame() {
  const { pipeline: id } = pipelineRoute.useParams();
  const pipeline = usePipeline();
  const base = `/pipelines/${id}`;
  return (
    <Page title={pipeline.data?.name ?? "Pipeline"} crumbs={[{ label: "Pipelines", to: "/pipelines" }]}>
      <Failure error={pipeline.error} retry={() => void pipeline.refetch()} />
      <Tabs
        items={[
          { label: "Overview", to: base, exact: true },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Errors", to: `${base}/errors` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function Overview() {
  const pipeline = usePipeline();
  if (pipeline.data === undefined) return pipeline.isPending ? <Loading /> : null;
  const { id, status, failure_reason, created_at, sql, tables = [] } = pipeline.data;
  const streams = tables.filter(({ type }) => type === "stream");
  const sinks = tables.filter(({ type }) => type === "sink");
  return (
    <>
      <Card title="Flow">
        <Facts
          items={[
            ["Status", <StatusBadge key="status" status={status} />],
            failure_reason !== undefined && ["Reason", failure_reason],
            [
              "Reads",
              <span key="reads" className="flex flex-wrap gap-x-3">
                {streams.map((stream) => (
                  <Link
                    key={stream.id}
                    to="/pipelines/streams/$stream"
                    params={{ stream: stream.id }}
                    className="text-accent hover:underline"
                  >
                    {stream.name}
                  </Link>
                ))}
              </span>,
            ],
            [
              "Writes",
              <span key="writes" className="flex flex-wrap gap-x-3">
                {sinks.map((sink) => (
                  <Link key={sink.id} to="/pipelines/sinks" className="text-accent hover:underline">
                    {sink.name}
                  </Link>
                ))}
              </span>,
            ],
            ["Pipeline id", <Copy key="id" value={id} label="the pipeline's id" />],
            ["Created", dateTime(created_at)],
          ]}
        />
      </Card>
      <Card title="SQL" lead="Fixed when the pipeline is made; to change it, delete the pipeline and make another.">
        <pre className="overflow-x-auto rounded-lg bg-raised p-3 font-mono text-sm whitespace-pre-wrap">{sql}</pre>
      </Card>
      {streams.map((stream) => (
        <SendCard key={stream.id} id={stream.id} />
      ))}
      <DeletePipeline pipeline={pipeline.data} />
    </>
  );
}

/** How to get events in, since that is what one wants next. */
function SendCard({ id }: { id: string }) {
  const stream = useRest<Stream>(`${V1}/streams/${id}`);
  if (stream.data?.http.enabled !== true) return null;
  return (
    <Card title={`Send events to ${stream.data.name}`}>
      <Copy value={sendCommand(stream.data)} label="the command" />
    </Card>
  );
}

function DeletePipeline({ pipeline }: { pipeline: Pipeline }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(`${V1}/pipelines/${pipeline.id}`, { method: "DELETE" }), {
    stale: [V1],
    done: `Pipeline ${pipeline.name} deleted`,
    onDone: () => navigate({ to: "/pipelines" }),
  });
  return (
    <Card
      title="Delete pipeline"
      lead="The flow from stream to sink stops at once. The stream and the sink stay."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete pipeline
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete pipeline"
          word={pipeline.name}
          submit="Delete pipeline"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          What it has written stays.
        </ConfirmDialog>
      )}
    </Card>
  );
}
