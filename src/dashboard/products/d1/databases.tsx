/** All D1 databases, and making one. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { DATABASES, type Database } from "./api.ts";

export const databasesRoute = createRoute({ getParentRoute: () => shellRoute, path: "/d1", component: Databases });

function Databases() {
  const [creating, setCreating] = useState(false);
  const list = useQuery({ queryKey: [DATABASES], queryFn: () => allPages<Database>(DATABASES) });
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create database
    </Button>
  );
  return (
    <Page title="D1 databases" lead="SQLite databases for Workers and for REST." actions={list.data && list.data.length > 0 && create}>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No database yet" action={create}>
          Make one here or with wrangler, and bind it to a Worker.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Databases"
          rows={list.data}
          id={({ uuid }) => uuid}
          columns={[
            {
              title: "Name",
              cell: ({ uuid, name }) => (
                <Link to="/d1/$database" params={{ database: uuid }} className="font-medium text-accent underline-offset-4 hover:underline">
                  {name}
                </Link>
              ),
            },
            { title: "Id", cell: ({ uuid }) => <code className="text-xs text-soft">{uuid}</code>, wide: true },
            { title: "Created", cell: ({ created_at }) => <span className="text-soft">{dateTime(created_at)}</span>, wide: true },
          ]}
        />
      )}
      {creating && <CreateDatabase onClose={() => setCreating(false)} />}
    </Page>
  );
}

function CreateDatabase({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const create = useAction(async () => (await onAccount<Database>(DATABASES, { method: "POST", body: { name } })).result, {
    stale: [DATABASES],
    done: `Database ${name} created`,
    onDone: ({ uuid }) => navigate({ to: "/d1/$database", params: { database: uuid } }),
  });
  return (
    <FormDialog
      title="Create a database"
      submit="Create database"
      busy={create.isPending}
      ready={name.trim() !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}
