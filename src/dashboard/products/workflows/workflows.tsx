/** All workflows. They are made by deploys. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link } from "@tanstack/react-router";
import { Badge, Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { allPages } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { WORKFLOWS, type Workflow } from "./api.ts";

export const workflowsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/workflows", component: Workflows });

function Workflows() {
  const list = useQuery({ queryKey: [WORKFLOWS], queryFn: () => allPages<Workflow>(WORKFLOWS), refetchInterval: 5_000 });
  return (
    <Page title="Workflows" lead="Code that runs in durable steps, for as long as it takes.">
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No workflow yet">
          A Worker with a class that extends WorkflowEntrypoint, and <code>workflows</code> in its configuration, makes one when it is
          deployed.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Workflows"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Name",
              cell: ({ name }) => (
                <Link
                  to="/workflows/$workflow"
                  params={{ workflow: name }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {name}
                </Link>
              ),
            },
            {
              title: "Worker",
              cell: ({ script_name, class_name, script_deleted }) => (
                <>
                  {script_name} <span className="text-soft">{class_name}</span>{" "}
                  {script_deleted === true && <Badge tone="warn">deleted</Badge>}
                </>
              ),
            },
            { title: "Running", align: "right", cell: ({ instances }) => count(instances.running) },
            { title: "Waiting", align: "right", cell: ({ instances }) => count(instances.waiting + instances.queued) },
            { title: "Errored", align: "right", cell: ({ instances }) => count(instances.errored) },
            { title: "Complete", align: "right", cell: ({ instances }) => count(instances.complete) },
            {
              title: "Last triggered",
              wide: true,
              cell: ({ triggered_on }) => <span className="text-soft">{triggered_on === null ? "never" : dateTime(triggered_on)}</span>,
            },
          ]}
        />
      )}
    </Page>
  );
}
