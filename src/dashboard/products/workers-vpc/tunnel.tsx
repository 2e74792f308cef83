/** One tunnel: the command that connects a network, which connectors are there now, and its end. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Card, Facts, Failure, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { TUNNELS, type Tunnel } from "./api.ts";
import { TunnelState } from "./tunnels.tsx";

export const tunnelRoute = createRoute({ getParentRoute: () => shellRoute, path: "/vpc/tunnels/$tunnel", component: TunnelPage });

const REFETCH_MS = 2_000;

function TunnelPage() {
  const { tunnel } = tunnelRoute.useParams();
  const [deleting, setDeleting] = useState(false);
  const info = useRest<Tunnel>(`${TUNNELS}/${tunnel}`, { refetchInterval: REFETCH_MS });
  return (
    <Page
      title={info.data?.name ?? "Tunnel"}
      crumbs={[
        { label: "Workers VPC", to: "/vpc" },
        { label: "Tunnels", to: "/vpc/tunnels" },
      ]}
      actions={
        info.data && (
          <Button look="danger" onClick={() => setDeleting(true)}>
            Delete tunnel
          </Button>
        )
      }
    >
      <Failure error={info.error} retry={() => void info.refetch()} />
      {info.data && (
        <>
          <Card title="General">
            <Facts
              items={[
                ["Status", <TunnelState key="status" status={info.data.status} />],
                ["Tunnel id", <Copy key="id" value={info.data.id} label="the tunnel's id" />],
                ["Created", dateTime(info.data.created_at)],
              ]}
            />
          </Card>
          <Install tunnel={tunnel} />
          <Connectors tunnel={info.data} />
          {deleting && <DeleteTunnel tunnel={info.data} onClose={() => setDeleting(false)} />}
        </>
      )}
    </Page>
  );
}

function Install({ tunnel }: { tunnel: string }) {
  const token = useRest<string>(`${TUNNELS}/${tunnel}/token`);
  return (
    <Card
      title="Connect a network"
      lead="Run this on a machine of the network that reaches the services. It needs Node, and the platform's address; nothing has to reach it. A second one takes over when the first goes."
    >
      <Failure error={token.error} retry={() => void token.refetch()} />
      {token.data !== undefined && (
        <div className="flex flex-col gap-2 text-sm">
          <Copy value={`npx freehold tunnel run --token ${token.data}`} label="the command" />
          <p className="text-soft">
            From another machine add <code>--platform URL</code> with this platform's https address, and <code>--ca FILE</code> with its
            authority's certificate. Whoever has the token can stand in for the network.
          </p>
        </div>
      )}
    </Card>
  );
}

function Connectors({ tunnel: { connections } }: { tunnel: Tunnel }) {
  return (
    <Card title="Connectors">
      {connections.length === 0 ? (
        <p className="text-sm text-soft">None is connected.</p>
      ) : (
        <Table
          label="Connectors"
          rows={connections}
          id={({ id }) => id}
          columns={[
            { title: "Connection", cell: ({ id }) => <code className="text-xs">{id}</code> },
            { title: "From", cell: ({ origin_ip }) => origin_ip },
            { title: "Since", cell: ({ opened_at }) => dateTime(opened_at) },
          ]}
        />
      )}
    </Card>
  );
}

function DeleteTunnel({ tunnel: { id, name }, onClose }: { tunnel: Tunnel; onClose(): void }) {
  const navigate = useNavigate();
  const remove = useAction(() => onAccount(`${TUNNELS}/${id}?cascade=true`, { method: "DELETE" }), {
    stale: [TUNNELS],
    done: `Tunnel ${name} deleted`,
    onDone: () => navigate({ to: "/vpc/tunnels" }),
  });
  return (
    <ConfirmDialog
      title={`Delete ${name}`}
      word={name}
      submit="Delete tunnel"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Its connectors are cut off and do not come again; its services are not reached any more.
    </ConfirmDialog>
  );
}
