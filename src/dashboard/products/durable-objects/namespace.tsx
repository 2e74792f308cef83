/** One namespace: the frame of its pages, and the way to its objects: by name or id, or from the list of those that have stored something. */
import { createRoute, Link, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Card, Empty, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Namespace, namespacePath, type StoredObject } from "./api.ts";

export const namespaceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/durable-objects/$namespace",
  component: NamespaceFrame,
});
export const objectsRoute = createRoute({ getParentRoute: () => namespaceRoute, path: "/", component: ObjectsPage });

/** Objects that the page lists; others are reached by name or id. */
const LISTED = 100;

export function useNamespace() {
  const { namespace } = namespaceRoute.useParams();
  return { ...useRest<Namespace>(namespacePath(namespace)), namespace };
}

function NamespaceFrame() {
  const { namespace, data, error, refetch } = useNamespace();
  const base = `/durable-objects/${namespace}`;
  return (
    <Page title={data?.class ?? "Namespace"} crumbs={[{ label: "Durable Objects", to: "/durable-objects" }]}>
      <Failure error={error} retry={() => void refetch()} />
      <Tabs
        items={[
          { label: "Objects", to: base, exact: true },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Logs", to: `${base}/logs` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function ObjectsPage() {
  const { namespace, data } = useNamespace();
  return (
    <>
      {data && (
        <Card title="General">
          <Facts
            items={[
              ["Id", <Copy key="id" value={namespace} label="the namespace's id" />],
              ["Worker", data.script],
              ["Storage", data.use_sqlite ? "SQLite" : "Key-value"],
            ]}
          />
        </Card>
      )}
      {data?.use_sqlite && <OpenObject namespace={namespace} />}
      <Objects namespace={namespace} sqlite={data?.use_sqlite === true} />
    </>
  );
}

function OpenObject({ namespace }: { namespace: string }) {
  const navigate = useNavigate();
  const [object, setObject] = useState("");
  return (
    <Card title="Data Studio" lead="Reads and edits the tables of one object. Its queries run in the object, as its own do.">
      <form
        className="flex flex-wrap items-end gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (object !== "") void navigate({ to: "/durable-objects/$namespace/objects/$object", params: { namespace, object } });
        }}
      >
        <div className="min-w-64 flex-1">
          <TextField label="Name or id of the object" value={object} onChange={setObject} />
        </div>
        <Button type="submit" look="primary" disabled={object === ""}>
          Open
        </Button>
      </form>
    </Card>
  );
}

function Objects({ namespace, sqlite }: { namespace: string; sqlite: boolean }) {
  const path = `${namespacePath(namespace)}/objects`;
  const list = useRest<StoredObject[]>(`${path}?limit=${LISTED}`);
  const [doomed, setDoomed] = useState<string>();
  const remove = useAction((id: string) => onAccount(`${path}/${id}`, { method: "DELETE" }), {
    stale: [path],
    done: "Object deleted",
    onDone: () => setDoomed(undefined),
  });
  if (list.isPending) return <Loading />;
  if (list.error) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (list.data.length === 0) return <Empty title="No object yet">An object is listed once it has stored something.</Empty>;
  return (
    <>
      <Table
        label="Objects"
        rows={list.data}
        id={({ id }) => id}
        columns={[
          {
            title: "Id",
            cell: ({ id }) =>
              sqlite ? (
                <Link
                  to="/durable-objects/$namespace/objects/$object"
                  params={{ namespace, object: id }}
                  className="text-accent underline-offset-4 hover:underline"
                >
                  <code className="text-xs">{id}</code>
                </Link>
              ) : (
                <code className="text-xs">{id}</code>
              ),
          },
          ...(sqlite ? [{ title: "", cell: ({ id }: StoredObject) => <Button onClick={() => setDoomed(id)}>Delete</Button> }] : []),
        ]}
      />
      {doomed !== undefined && (
        <FormDialog
          title="Delete object"
          submit="Delete"
          look="danger"
          busy={remove.isPending}
          error={remove.error}
          onSubmit={() => remove.mutate(doomed)}
          onClose={() => setDoomed(undefined)}
        >
          <p className="text-sm break-all text-soft">
            Everything that {doomed} has stored is deleted, its alarm with it, and its connections end. Under the same name another begins,
            with nothing. This cannot be undone.
          </p>
        </FormDialog>
      )}
    </>
  );
}
