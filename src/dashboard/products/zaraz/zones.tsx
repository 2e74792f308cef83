/** The zones that may have Zaraz. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link } from "@tanstack/react-router";
import { Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { call } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { ZONES, type Zone } from "./api.ts";

export const zonesRoute = createRoute({ getParentRoute: () => shellRoute, path: "/zaraz", component: Zones });

function Zones() {
  const list = useQuery({ queryKey: [ZONES], queryFn: async () => (await call<readonly Zone[]>(`${ZONES}?per_page=50`)).result });
  return (
    <Page title="Zaraz" lead="Third-party tools for the pages of your domains, run from here instead of in visitors' browsers.">
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No domain yet">
          Zaraz works on the pages of a zone. Make one by <code>POST /zones</code> with its name.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Domains"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Domain",
              cell: ({ id, name }) => (
                <Link to="/zaraz/$zone" params={{ zone: id }} className="font-medium text-accent underline-offset-4 hover:underline">
                  {name}
                </Link>
              ),
            },
            { title: "Zone id", cell: ({ id }) => <code className="text-xs">{id}</code>, wide: true },
          ]}
        />
      )}
    </Page>
  );
}
