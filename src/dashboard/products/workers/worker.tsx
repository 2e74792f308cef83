/** The frame of one Worker's pages: its name, where it answers, and its tabs. */
import { createRoute, Outlet } from "@tanstack/react-router";
import { Failure, Page, Tabs } from "../../components/page.tsx";
import { useRest, useSession } from "../../platform/queries.ts";
import { hostUrl } from "../../platform/session.ts";
import { shellRoute } from "../../shell/root.tsx";
import { SCRIPTS, type WorkerScript, workerPath } from "./api.ts";

export const workerRoute = createRoute({ getParentRoute: () => shellRoute, path: "/workers/$worker", component: WorkerFrame });

/** The Worker as the list has it; undefined when there is none of that name. */
export function useWorker() {
  const { worker } = workerRoute.useParams();
  const list = useRest<readonly WorkerScript[]>(SCRIPTS);
  return { ...list, worker, script: list.data?.find(({ id }) => id === worker) };
}

function WorkerFrame() {
  const { worker, script, error, isPending, refetch } = useWorker();
  const session = useSession();
  const subdomain = useRest<{ enabled: boolean }>(`${workerPath(worker)}/subdomain`);
  const account = useRest<{ subdomain: string }>("/workers/subdomain");
  const url = subdomain.data?.enabled && account.data && hostUrl(session, "workers", { worker, subdomain: account.data.subdomain });
  const base = `/workers/${worker}`;
  return (
    <Page
      title={worker}
      crumbs={[{ label: "Workers", to: "/workers" }]}
      lead={
        url && (
          <a href={url} target="_blank" rel="noreferrer" className="font-mono text-sm break-all text-accent hover:underline">
            {url}
          </a>
        )
      }
    >
      <Failure error={error} retry={() => void refetch()} />
      {!isPending && error === null && script === undefined && <Failure error={new Error(`There is no Worker ${worker}.`)} />}
      <Tabs
        items={[
          { label: "Overview", to: base, exact: true },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Deployments", to: `${base}/deployments` },
          { label: "Logs", to: `${base}/logs` },
          { label: "Traces", to: `${base}/traces` },
          { label: "Edit code", to: `${base}/edit` },
        ]}
      />
      <Outlet />
    </Page>
  );
}
