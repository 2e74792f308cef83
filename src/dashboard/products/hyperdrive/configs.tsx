/** All configurations of Hyperdrive. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link } from "@tanstack/react-router";
import { Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { allPages } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { addressOf, CONFIGS, type Config } from "./api.ts";

export const configsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/hyperdrive", component: Configs });

function Configs() {
  const list = useQuery({ queryKey: [CONFIGS], queryFn: () => allPages<Config>(CONFIGS) });
  return (
    <Page title="Hyperdrive" lead="Pooled connections and cached reads for databases that you have.">
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No configuration yet">
          Make one by <code>wrangler hyperdrive create NAME --connection-string=…</code>, and bind it to a Worker.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Configurations"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Name",
              cell: ({ id, name }) => (
                <Link
                  to="/hyperdrive/$config"
                  params={{ config: id }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {name}
                </Link>
              ),
            },
            { title: "Database", cell: (config) => <code className="text-xs">{addressOf(config)}</code> },
            { title: "Created", cell: ({ created_on }) => <span className="text-soft">{dateTime(created_on)}</span>, wide: true },
          ]}
        />
      )}
    </Page>
  );
}
