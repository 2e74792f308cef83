/** All queues, and making one. */
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
import { QUEUES, type Queue } from "./api.ts";

export const queuesRoute = createRoute({ getParentRoute: () => shellRoute, path: "/queues", component: Queues });

function Queues() {
  const [creating, setCreating] = useState(false);
  const list = useQuery({ queryKey: [QUEUES], queryFn: () => allPages<Queue>(QUEUES) });
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create queue
    </Button>
  );
  return (
    <Page title="Queues" lead="Messages that wait for a Worker, or to be pulled." actions={list.data && list.data.length > 0 && create}>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No queue yet" action={create}>
          Workers send by a binding; a consumer Worker or a client that pulls takes the messages.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Queues"
          rows={list.data}
          id={({ queue_id }) => queue_id}
          columns={[
            {
              title: "Name",
              cell: ({ queue_id, queue_name }) => (
                <Link
                  to="/queues/$queue"
                  params={{ queue: queue_id }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {queue_name}
                </Link>
              ),
            },
            { title: "Producers", cell: ({ producers }) => producers.length, align: "right" },
            {
              title: "Consumer",
              cell: ({ consumers: [one] }) => (one === undefined ? <span className="text-soft">none</span> : (one.script ?? "pull")),
            },
            { title: "Created", cell: ({ created_on }) => <span className="text-soft">{dateTime(created_on)}</span>, wide: true },
          ]}
        />
      )}
      {creating && <CreateQueue onClose={() => setCreating(false)} />}
    </Page>
  );
}

function CreateQueue({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const create = useAction(async () => (await onAccount<Queue>(QUEUES, { method: "POST", body: { queue_name: name } })).result, {
    stale: [QUEUES],
    done: `Queue ${name} created`,
    onDone: ({ queue_id }) => navigate({ to: "/queues/$queue", params: { queue: queue_id } }),
  });
  return (
    <FormDialog
      title="Create a queue"
      submit="Create queue"
      busy={create.isPending}
      ready={name !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Name" hint="Lower-case letters, digits and hyphens; at most 63." value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}
