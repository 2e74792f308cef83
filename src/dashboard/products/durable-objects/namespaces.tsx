/** All namespaces of Durable Objects. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link } from "@tanstack/react-router";
import { Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { allPages } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { NAMESPACES, type Namespace } from "./api.ts";

export const namespacesRoute = createRoute({ getParentRoute: () => shellRoute, path: "/durable-objects", component: Namespaces });

function Namespaces() {
  const list = useQuery({ queryKey: [NAMESPACES], queryFn: () => allPages<Namespace>(NAMESPACES) });
  return (
    <Page title="Durable Objects" lead="Classes of Workers whose objects each have a database of their own.">
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No namespace yet">
          A deploy with a migration for a class makes its namespace: see <code>migrations</code> of wrangler.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Namespaces"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Class",
              cell: ({ id, class: className }) => (
                <Link
                  to="/durable-objects/$namespace"
                  params={{ namespace: id }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {className}
                </Link>
              ),
            },
            { title: "Worker", cell: ({ script }) => script },
            { title: "Storage", cell: ({ use_sqlite }) => (use_sqlite ? "SQLite" : "Key-value") },
            { title: "Id", cell: ({ id }) => <code className="text-xs text-soft">{id}</code>, wide: true },
          ]}
        />
      )}
    </Page>
  );
}
