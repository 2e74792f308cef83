/** All container applications; a sandbox's is one like any other. */
import { createRoute, Link } from "@tanstack/react-router";
import { Badge, Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { useRest } from "../../platform/queries.ts";
import { shellRoute } from "../../shell/root.tsx";
import { APPLICATIONS, type ApplicationSummary, type Health } from "./api.ts";

export const applicationsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/containers", component: Applications });

const REFRESH_MS = 5_000;

function Applications() {
  const list = useRest<readonly ApplicationSummary[]>(APPLICATIONS, { refetchInterval: REFRESH_MS });
  return (
    <Page title="Containers" lead="Images that run beside Durable Objects, each instance for one object. Sandboxes are among them.">
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No application yet">
          Deploy a Worker with <code>containers</code> in its configuration; sandboxes come by the package <code>@cloudflare/sandbox</code>.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Applications"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Name",
              cell: ({ id, name }) => (
                <Link
                  to="/containers/$application"
                  params={{ application: id }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {name}
                </Link>
              ),
            },
            { title: "Instances", cell: ({ health }) => <Instances health={health.instances} /> },
            { title: "Version", cell: ({ version }) => count(version), align: "right" },
            { title: "Image", cell: ({ image }) => <code className="text-xs break-all text-soft">{image}</code>, wide: true },
            { title: "Updated", cell: ({ updated_at }) => <span className="text-soft">{dateTime(updated_at)}</span>, wide: true },
          ]}
        />
      )}
    </Page>
  );
}

function Instances({ health: { active, starting } }: { health: Health }) {
  return (
    <span className="flex flex-wrap gap-1.5">
      <Badge tone={active > 0 ? "good" : "plain"}>{count(active)} running</Badge>
      {starting > 0 && <Badge tone="warn">{count(starting)} starting</Badge>}
    </span>
  );
}
