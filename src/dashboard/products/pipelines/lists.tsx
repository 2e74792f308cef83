/** The three lists: pipelines, streams, sinks. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, Outlet } from "@tanstack/react-router";
import { useState } from "react";
import { Button, linkShape } from "../../components/button.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading, Page, Tabs, type Tone } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, dateTime, duration } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { destination, kindOf, type Pipeline, type Sink, type Stream, V1 } from "./api.ts";

export const useList = <T,>(what: "pipelines" | "streams" | "sinks") =>
  useQuery({ queryKey: [`${V1}/${what}`], queryFn: () => allPages<T>(`${V1}/${what}`) });

const listsRoute = createRoute({
  getParentRoute: () => shellRoute,
  id: "pipelines",
  component: () => (
    <Page
      title="Pipelines"
      lead="Events come into a stream, a pipeline's SQL reshapes them, and a sink writes them to R2 as files or as an Iceberg table."
      actions={<CreateLink />}
    >
      <Tabs
        items={[
          { label: "Pipelines", to: "/pipelines", exact: true },
          { label: "Streams", to: "/pipelines/streams" },
          { label: "Sinks", to: "/pipelines/sinks" },
        ]}
      />
      <Outlet />
    </Page>
  ),
});

const pipelinesRoute = createRoute({ getParentRoute: () => listsRoute, path: "/pipelines", component: Pipelines });
const streamsRoute = createRoute({ getParentRoute: () => listsRoute, path: "/pipelines/streams", component: Streams });
const sinksRoute = createRoute({ getParentRoute: () => listsRoute, path: "/pipelines/sinks", component: Sinks });

export const listRoutes = listsRoute.addChildren([pipelinesRoute, streamsRoute, sinksRoute]);

const CreateLink = () => (
  <Link to="/pipelines/new" className={linkShape("primary")}>
    <Icon name="plus" />
    Create pipeline
  </Link>
);

const link = "font-medium text-accent underline-offset-4 hover:underline";

const statusTone: Readonly<Record<string, Tone>> = { running: "good", active: "good", failed: "bad", error: "bad" };
export const StatusBadge = ({ status }: { status: string }) => <Badge tone={statusTone[status] ?? "plain"}>{status}</Badge>;

function Pipelines() {
  const list = useList<Pipeline>("pipelines");
  if (list.isPending) return <Loading />;
  if (list.error) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (list.data.length === 0) {
    return (
      <Empty title="No pipeline yet" action={<CreateLink />}>
        The wizard makes a stream with an HTTP endpoint, a sink, and the SQL between them.
      </Empty>
    );
  }
  return (
    <Table
      label="Pipelines"
      rows={list.data}
      id={(pipeline) => pipeline.id}
      columns={[
        {
          title: "Name",
          cell: ({ id, name }) => (
            <Link to="/pipelines/$pipeline" params={{ pipeline: id }} className={link}>
              {name}
            </Link>
          ),
        },
        { title: "Status", cell: ({ status }) => <StatusBadge status={status} /> },
        { title: "SQL", cell: ({ sql }) => <code className="line-clamp-1 font-mono text-xs break-all text-soft">{sql}</code>, wide: true },
        { title: "Created", cell: ({ created_at }) => <span className="text-soft">{dateTime(created_at)}</span>, wide: true },
      ]}
    />
  );
}

function Streams() {
  const list = useList<Stream>("streams");
  if (list.isPending) return <Loading />;
  if (list.error) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (list.data.length === 0) {
    return (
      <Empty title="No stream yet" action={<CreateLink />}>
        A stream takes events by HTTP or from a Worker and keeps them until every pipeline has read them.
      </Empty>
    );
  }
  return (
    <Table
      label="Streams"
      rows={list.data}
      id={(stream) => stream.id}
      columns={[
        {
          title: "Name",
          cell: ({ id, name }) => (
            <Link to="/pipelines/streams/$stream" params={{ stream: id }} className={link}>
              {name}
            </Link>
          ),
        },
        {
          title: "HTTP ingest",
          cell: ({ http }) =>
            http.enabled ? <Badge tone="good">{http.authentication ? "on, with a token" : "on, open"}</Badge> : <Badge>off</Badge>,
        },
        { title: "Schema", cell: ({ schema }) => (schema ? `${schema.fields.length} fields` : "unstructured"), wide: true },
        { title: "Created", cell: ({ created_at }) => <span className="text-soft">{dateTime(created_at)}</span>, wide: true },
      ]}
    />
  );
}

function Sinks() {
  const list = useList<Sink>("sinks");
  const [removing, setRemoving] = useState<Sink>();
  const remove = useAction(async (sink: Sink) => onAccount(`${V1}/sinks/${sink.id}`, { method: "DELETE" }), {
    stale: [V1],
    done: (_, { name }) => `Sink ${name} deleted`,
    onDone: () => setRemoving(undefined),
  });
  if (list.isPending) return <Loading />;
  if (list.error) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (list.data.length === 0) {
    return (
      <Empty title="No sink yet" action={<CreateLink />}>
        A sink says where rows go: files in a bucket, or an Iceberg table of its data catalog.
      </Empty>
    );
  }
  return (
    <>
      <Table
        label="Sinks"
        rows={list.data}
        id={(sink) => sink.id}
        columns={[
          { title: "Name", cell: ({ name }) => <span className="font-medium">{name}</span> },
          { title: "Kind", cell: kindOf, wide: true },
          { title: "Destination", cell: (sink) => <span className="break-all">{destination(sink)}</span> },
          {
            title: "Format",
            cell: ({ format }) => `${format.type}${format.compression ? `, ${format.compression}` : ""}`,
            wide: true,
          },
          { title: "A file at the latest", cell: rolling, wide: true },
        ]}
        actions={(sink) => (
          <Button look="quiet" onClick={() => setRemoving(sink)}>
            Delete
          </Button>
        )}
      />
      {removing && (
        <ConfirmDialog
          title="Delete sink"
          word={removing.name}
          submit="Delete sink"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate(removing)}
          onClose={() => setRemoving(undefined)}
        >
          Nothing more is written through it. What it has written stays.
        </ConfirmDialog>
      )}
    </>
  );
}

function rolling({ config }: Sink): string {
  const { interval_seconds, file_size_bytes } = config.rolling_policy ?? {};
  return [
    ...(interval_seconds ? [`after ${duration(interval_seconds)}`] : []),
    ...(file_size_bytes ? [`at ${bytes(file_size_bytes)}`] : []),
  ].join(" or ");
}
