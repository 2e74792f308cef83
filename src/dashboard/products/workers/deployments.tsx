/** A Worker's Deployments tab: which versions served when, the newest first. */
import { createRoute } from "@tanstack/react-router";
import { Badge, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useRest } from "../../platform/queries.ts";
import { type Deployment, workerPath } from "./api.ts";
import { workerRoute } from "./worker.tsx";

export const deploymentsRoute = createRoute({ getParentRoute: () => workerRoute, path: "deployments", component: Deployments });

function Deployments() {
  const { worker } = workerRoute.useParams();
  const list = useRest<{ deployments: readonly Deployment[] }>(`${workerPath(worker)}/deployments`);
  const rows = list.data?.deployments ?? [];
  return (
    <>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data && (
        <Table
          label="Deployments"
          rows={rows}
          id={({ id }) => id}
          columns={[
            {
              title: "Versions",
              cell: ({ id, versions }) => (
                <span className="flex flex-wrap items-center gap-2 font-mono text-xs">
                  {versions.map(({ version_id, percentage }) => (
                    <span key={version_id}>
                      {version_id.slice(0, 8)}
                      {versions.length > 1 && ` ${percentage}%`}
                    </span>
                  ))}
                  {id === rows[0]?.id && <Badge tone="good">active</Badge>}
                </span>
              ),
            },
            { title: "Message", cell: ({ annotations }) => annotations?.["workers/message"] ?? "", wide: true },
            { title: "Source", cell: ({ source }) => source, wide: true },
            { title: "When", cell: ({ created_on }) => <span className="text-soft">{dateTime(created_on)}</span> },
          ]}
        />
      )}
    </>
  );
}
