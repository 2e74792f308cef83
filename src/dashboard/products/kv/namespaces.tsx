/** All KV namespaces, and making one. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { NAMESPACES, type Namespace } from "./api.ts";

export const namespacesRoute = createRoute({ getParentRoute: () => shellRoute, path: "/kv", component: Namespaces });

function Namespaces() {
  const [creating, setCreating] = useState(false);
  const list = useQuery({ queryKey: [NAMESPACES], queryFn: () => allPages<Namespace>(NAMESPACES) });
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create namespace
    </Button>
  );
  return (
    <Page
      title="KV"
      lead="Namespaces of keys with small values, read often and written seldom."
      actions={list.data && list.data.length > 0 && create}
    >
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No namespace yet" action={create}>
          A Worker reaches a namespace by a binding, everybody else by REST and wrangler.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Namespaces"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Title",
              cell: ({ id, title }) => (
                <Link to="/kv/$namespace" params={{ namespace: id }} className="font-medium text-accent underline-offset-4 hover:underline">
                  {title}
                </Link>
              ),
            },
            { title: "Id", cell: ({ id }) => <code className="text-xs text-soft">{id}</code>, wide: true },
          ]}
        />
      )}
      {creating && <CreateNamespace onClose={() => setCreating(false)} />}
    </Page>
  );
}

function CreateNamespace({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [title, setTitle] = useState("");
  const create = useAction(async () => (await onAccount<Namespace>(NAMESPACES, { method: "POST", body: { title } })).result, {
    stale: [NAMESPACES],
    done: `Namespace ${title} created`,
    onDone: ({ id }) => navigate({ to: "/kv/$namespace", params: { namespace: id } }),
  });
  return (
    <FormDialog
      title="Create a namespace"
      submit="Create namespace"
      busy={create.isPending}
      ready={title !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Title" value={title} onChange={setTitle} autoFocus />
    </FormDialog>
  );
}
