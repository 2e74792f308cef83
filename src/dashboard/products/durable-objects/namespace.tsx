/** One namespace: the way to an object by its name or id, and the objects that have stored something. */
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { TextField } from "../../components/form.tsx";
import { Card, Empty, Facts, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useRest } from "../../platform/queries.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Namespace, namespacePath, type StoredObject } from "./api.ts";

export const namespaceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/durable-objects/$namespace",
  component: NamespacePage,
});

/** Objects that the page lists; others are reached by name or id. */
const LISTED = 100;

function NamespacePage() {
  const { namespace } = namespaceRoute.useParams();
  const info = useRest<Namespace>(namespacePath(namespace));
  return (
    <Page title={info.data?.class ?? "Namespace"} crumbs={[{ label: "Durable Objects", to: "/durable-objects" }]}>
      <Failure error={info.error} retry={() => void info.refetch()} />
      {info.data && (
        <Card title="General">
          <Facts
            items={[
              ["Id", <Copy key="id" value={namespace} label="the namespace's id" />],
              ["Worker", info.data.script],
              ["Storage", info.data.use_sqlite ? "SQLite" : "Key-value"],
            ]}
          />
        </Card>
      )}
      {info.data?.use_sqlite && <OpenObject namespace={namespace} />}
      <Objects namespace={namespace} sqlite={info.data?.use_sqlite === true} />
    </Page>
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
  const list = useRest<StoredObject[]>(`${namespacePath(namespace)}/objects?limit=${LISTED}`);
  if (list.isPending) return <Loading />;
  if (list.error) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (list.data.length === 0) return <Empty title="No object yet">An object is listed once it has stored something.</Empty>;
  return (
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
      ]}
    />
  );
}
