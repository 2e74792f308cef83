/** The configurations that a zone had, and going back to one. */
import { createRoute } from "@tanstack/react-router";
import { Button } from "../../components/button.tsx";
import { Empty, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { call } from "../../platform/rest.ts";
import { allOf, pathOf, useZaraz, type Version } from "./api.ts";
import { zoneRoute } from "./zone.tsx";

export const historyRoute = createRoute({ getParentRoute: () => zoneRoute, path: "history", component: History });

function History() {
  const { zone } = zoneRoute.useParams();
  const versions = useZaraz<readonly Version[]>(zone, "history?limit=100");
  const restore = useAction((id: number) => call(pathOf(zone, "history"), { method: "PUT", body: id }), {
    stale: [allOf(zone)],
    done: (_result, id) => `Version ${id} restored`,
  });
  if (versions.data === undefined)
    return versions.isPending ? <Loading /> : <Failure error={versions.error} retry={() => void versions.refetch()} />;
  if (versions.data.length === 0) return <Empty title="No version yet">Every configuration that is saved is kept here.</Empty>;
  return (
    <>
      <Failure error={restore.error} />
      <Table
        label="Versions"
        rows={versions.data}
        id={({ id }) => String(id)}
        columns={[
          { title: "Version", cell: ({ id }) => id },
          { title: "Description", cell: ({ description }) => description || "–" },
          { title: "Saved", cell: ({ createdAt }) => <span className="text-soft">{dateTime(createdAt)}</span>, wide: true },
          {
            title: "",
            cell: ({ id }) => (
              <Button busy={restore.isPending && restore.variables === id} onClick={() => restore.mutate(id)}>
                Restore
              </Button>
            ),
          },
        ]}
      />
    </>
  );
}
