/** All Workers. They are made by a deploy: `wrangler deploy`, or an upload to the API. */
import { createRoute, Link } from "@tanstack/react-router";
import { linkShape } from "../../components/button.tsx";
import { Badge, Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useRest } from "../../platform/queries.ts";
import { shellRoute } from "../../shell/root.tsx";
import { SCRIPTS, type WorkerScript } from "./api.ts";

export const workersRoute = createRoute({ getParentRoute: () => shellRoute, path: "/workers", component: Workers });

function Workers() {
  const list = useRest<readonly WorkerScript[]>(SCRIPTS);
  return (
    <Page
      title="Workers"
      lead="Code that answers requests, schedules and messages."
      actions={
        <Link to="/playground" className={linkShape()}>
          Playground
        </Link>
      }
    >
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No Worker yet">
          Deploy one with <code className="font-mono">freehold exec -- wrangler deploy</code>, or write one in the playground.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Workers"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Name",
              cell: ({ id }) => (
                <Link to="/workers/$worker" params={{ worker: id }} className="font-medium text-accent underline-offset-4 hover:underline">
                  {id}
                </Link>
              ),
            },
            {
              title: "Handlers",
              cell: ({ handlers, has_assets }) => (
                <span className="flex flex-wrap gap-1">
                  {handlers.map((handler) => (
                    <Badge key={handler}>{handler}</Badge>
                  ))}
                  {has_assets && <Badge>assets</Badge>}
                </span>
              ),
              wide: true,
            },
            { title: "Logs", cell: ({ observability }) => (observability?.enabled ? "stored" : <span className="text-soft">off</span>) },
            { title: "Changed", cell: ({ modified_on }) => <span className="text-soft">{dateTime(modified_on)}</span>, wide: true },
          ]}
        />
      )}
    </Page>
  );
}
