/** The frame of one database's pages, and its settings. */
import { createRoute, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Card, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { bytes, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { DATABASES, type Database, databasePath } from "./api.ts";

export const databaseRoute = createRoute({ getParentRoute: () => shellRoute, path: "/d1/$database", component: DatabaseFrame });
export const settingsRoute = createRoute({ getParentRoute: () => databaseRoute, path: "settings", component: Settings });

const useDatabase = () => useRest<Database>(databasePath(databaseRoute.useParams().database));

function DatabaseFrame() {
  const { database } = databaseRoute.useParams();
  const info = useDatabase();
  const base = `/d1/${database}`;
  return (
    <Page title={info.data?.name ?? "Database"} crumbs={[{ label: "D1 databases", to: "/d1" }]}>
      <Failure error={info.error} retry={() => void info.refetch()} />
      <Tabs
        items={[
          { label: "Tables", to: base, exact: true },
          { label: "Console", to: `${base}/console` },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Settings", to: `${base}/settings` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function Settings() {
  const navigate = useNavigate();
  const info = useDatabase();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async (uuid: string) => onAccount(databasePath(uuid), { method: "DELETE" }), {
    stale: [DATABASES],
    done: `Database ${info.data?.name} deleted`,
    onDone: () => navigate({ to: "/d1" }),
  });
  if (info.data === undefined) return <Loading />;
  const { uuid, name, created_at, file_size } = info.data;
  return (
    <>
      <Card title="General">
        <Facts
          items={[
            ["Id", <Copy key="id" value={uuid} label="the database's id" />],
            ["Created", dateTime(created_at)],
            file_size !== undefined && ["Size", bytes(file_size)],
          ]}
        />
      </Card>
      <Card
        title="Delete database"
        lead="All of its tables go with it."
        actions={
          <Button look="danger" onClick={() => setAsking(true)}>
            Delete database
          </Button>
        }
      >
        {asking && (
          <ConfirmDialog
            title="Delete database"
            word={name}
            submit="Delete database"
            busy={remove.isPending}
            error={remove.error}
            onConfirm={() => remove.mutate(uuid)}
            onClose={() => setAsking(false)}
          >
            Workers that are bound to it fail from then on.
          </ConfirmDialog>
        )}
      </Card>
    </>
  );
}
