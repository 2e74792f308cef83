/** All tunnels, and making one. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import { TUNNELS, type Tunnel } from "./api.ts";
import { sectionRoute } from "./section.tsx";

export const tunnelsRoute = createRoute({ getParentRoute: () => sectionRoute, path: "tunnels", component: Tunnels });

const REFETCH_MS = 3_000;

const states = {
  inactive: ["plain", "Never connected"],
  healthy: ["good", "Connected"],
  down: ["bad", "Disconnected"],
} as const;

export function TunnelState({ status }: Pick<Tunnel, "status">) {
  const [tone, text] = states[status];
  return <Badge tone={tone}>{text}</Badge>;
}

function Tunnels() {
  const [creating, setCreating] = useState(false);
  const list = useQuery({ queryKey: [TUNNELS], queryFn: () => allPages<Tunnel>(TUNNELS), refetchInterval: REFETCH_MS });
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create tunnel
    </Button>
  );
  return (
    <>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No tunnel yet" action={create}>
          A connector in the private network dials out to the platform; nothing has to be let in.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <>
          <div className="flex justify-end">{create}</div>
          <Table
            label="Tunnels"
            rows={list.data}
            id={({ id }) => id}
            columns={[
              {
                title: "Name",
                cell: ({ id, name }) => (
                  <Link
                    to="/vpc/tunnels/$tunnel"
                    params={{ tunnel: id }}
                    className="font-medium text-accent underline-offset-4 hover:underline"
                  >
                    {name}
                  </Link>
                ),
              },
              { title: "Status", cell: (tunnel) => <TunnelState status={tunnel.status} /> },
              { title: "Connectors", cell: ({ connections }) => connections.length, align: "right" },
              { title: "Created", cell: ({ created_at }) => <span className="text-soft">{dateTime(created_at)}</span>, wide: true },
            ]}
          />
        </>
      )}
      {creating && <CreateTunnel onClose={() => setCreating(false)} />}
    </>
  );
}

function CreateTunnel({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const body = { name, config_src: "cloudflare" };
  const create = useAction(async () => (await onAccount<Tunnel>(TUNNELS, { method: "POST", body })).result, {
    stale: [TUNNELS],
    done: `Tunnel ${name} created`,
    onDone: ({ id }) => navigate({ to: "/vpc/tunnels/$tunnel", params: { tunnel: id } }),
  });
  return (
    <FormDialog
      title="Create a tunnel"
      submit="Save tunnel"
      busy={create.isPending}
      ready={name !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Tunnel name" hint="After the network that it leads into." value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}
