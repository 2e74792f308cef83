/** One stream: how to send to it, its schema, and the settings of HTTP ingest, which alone can change. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Switch, TextField } from "../../components/form.tsx";
import { Badge, Card, Facts, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Stream, V1 } from "./api.ts";
import { sendCommand } from "./sample.ts";

export const streamRoute = createRoute({ getParentRoute: () => shellRoute, path: "/pipelines/streams/$stream", component: StreamPage });

const crumbs = [
  { label: "Pipelines", to: "/pipelines" },
  { label: "Streams", to: "/pipelines/streams" },
];

function StreamPage() {
  const { stream: id } = streamRoute.useParams();
  const stream = useRest<Stream>(`${V1}/streams/${id}`);
  return (
    <Page title={stream.data?.name ?? "Stream"} crumbs={crumbs}>
      {stream.isPending && <Loading />}
      <Failure error={stream.error} retry={() => void stream.refetch()} />
      {stream.data && (
        <>
          <Sending stream={stream.data} />
          <Ingest key={JSON.stringify(stream.data.http)} stream={stream.data} />
          <Schema stream={stream.data} />
          <Delete stream={stream.data} />
        </>
      )}
    </Page>
  );
}

function Sending({ stream }: { stream: Stream }) {
  return (
    <Card title="Send events">
      <Facts
        items={[
          ["Stream id", <Copy key="id" value={stream.id} label="the stream's id" />],
          [
            "Endpoint",
            stream.http.enabled ? (
              <Copy key="endpoint" value={stream.endpoint} label="the endpoint" />
            ) : (
              <Badge key="off">HTTP ingest is off</Badge>
            ),
          ],
          stream.http.enabled && ["With curl", <Copy key="curl" value={sendCommand(stream)} label="the command" />],
          [
            "From a Worker",
            <Copy key="binding" value={`"pipelines": [{ "binding": "STREAM", "stream": "${stream.id}" }]`} label="the binding" />,
          ],
          ["Created", dateTime(stream.created_at)],
        ]}
      />
    </Card>
  );
}

function Ingest({ stream }: { stream: Stream }) {
  const [enabled, setEnabled] = useState(stream.http.enabled);
  const [authentication, setAuthentication] = useState(stream.http.authentication);
  const [origins, setOrigins] = useState((stream.http.cors?.origins ?? []).join(", "));
  const save = useAction(
    async () =>
      onAccount(`${V1}/streams/${stream.id}`, {
        method: "PATCH",
        body: { http: { enabled, authentication, cors: { origins: originsOf(origins) } } },
      }),
    { stale: [V1], done: "HTTP ingest settings saved" },
  );
  return (
    <Card title="HTTP ingest" lead="Takes effect at once for the next request.">
      <form
        className="flex max-w-xl flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Switch label="Take events by HTTP" checked={enabled} onChange={setEnabled} />
        <Switch
          label="Require an API token with Workers Pipelines Send"
          checked={authentication}
          onChange={setAuthentication}
          disabled={!enabled}
        />
        <TextField
          label="Origins for CORS"
          hint="Web pages that may send, separated by commas; * for all. Empty for none."
          value={origins}
          onChange={setOrigins}
          disabled={!enabled}
        />
        <Failure error={save.error} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Card>
  );
}

export const originsOf = (text: string): string[] => text.split(/[\s,]+/).filter((origin) => origin !== "");

function Schema({ stream }: { stream: Stream }) {
  return (
    <Card title="Schema" lead="Fixed when the stream is made. Events that do not fit are dropped and counted as errors.">
      {stream.schema === undefined ? (
        <p className="text-sm text-soft">
          Unstructured: any JSON object, as one column <code>value</code>.
        </p>
      ) : (
        <Table
          label="Schema"
          rows={stream.schema.fields}
          id={(field) => field.name}
          columns={[
            { title: "Field", cell: ({ name }) => <span className="font-medium">{name}</span> },
            { title: "Type", cell: ({ type }) => <code>{type}</code> },
            { title: "Required", cell: ({ required }) => (required === true ? "yes" : "") },
          ]}
        />
      )}
    </Card>
  );
}

function Delete({ stream }: { stream: Stream }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(`${V1}/streams/${stream.id}`, { method: "DELETE" }), {
    stale: [V1],
    done: `Stream ${stream.name} deleted`,
    onDone: () => navigate({ to: "/pipelines/streams" }),
  });
  return (
    <Card
      title="Delete stream"
      lead="Buffered events are dropped, and the pipelines that read the stream are deleted with it."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete stream
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete stream"
          word={stream.name}
          submit="Delete stream"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Buffered events and dependent pipelines go with it. What sinks have written stays.
        </ConfirmDialog>
      )}
    </Card>
  );
}
