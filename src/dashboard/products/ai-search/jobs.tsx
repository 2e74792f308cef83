/** Jobs of an instance, and what each of them said. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Badge, Card, Empty, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useRest } from "../../platform/queries.ts";
import { type Job, type JobLine, jobsPath, timeOf } from "./api.ts";
import { instanceRoute, REFRESH_MS, useId } from "./instance.tsx";

export const jobsRoute = createRoute({ getParentRoute: () => instanceRoute, path: "jobs", component: Jobs });

const stateOf = (job: Job): string =>
  job.ended_at !== undefined ? (job.end_reason ?? "completed") : job.started_at === undefined ? "queued" : "running";

function Jobs() {
  const id = useId();
  const jobs = useRest<Job[]>(jobsPath(id), { refetchInterval: REFRESH_MS });
  const [shown, setShown] = useState<string>();
  return (
    <>
      {jobs.isPending && <Loading />}
      <Failure error={jobs.error} retry={() => void jobs.refetch()} />
      {jobs.data?.length === 0 && <Empty title="No job yet">Jobs look through the source; uploads are indexed without one.</Empty>}
      {jobs.data && jobs.data.length > 0 && (
        <Table
          label="Jobs"
          rows={jobs.data}
          id={(job) => job.id}
          columns={[
            { title: "Started", cell: ({ started_at }) => (started_at === undefined ? "" : dateTime(timeOf(started_at))) },
            { title: "By", cell: ({ source, description }) => (source === "user" ? "user" : (description ?? "schedule")) },
            {
              title: "State",
              cell: (job) => (
                <Badge tone={stateOf(job) === "completed" ? "good" : job.ended_at === undefined ? "warn" : "bad"}>{stateOf(job)}</Badge>
              ),
            },
            {
              title: "",
              cell: (job) => (
                <Button look="quiet" onClick={() => setShown(shown === job.id ? undefined : job.id)}>
                  {shown === job.id ? "Hide log" : "Show log"}
                </Button>
              ),
              align: "right",
            },
          ]}
        />
      )}
      {shown !== undefined && <Log path={`${jobsPath(id)}/${shown}/logs?per_page=1000`} />}
    </>
  );
}

function Log({ path }: { path: string }) {
  const lines = useRest<JobLine[]>(path, { refetchInterval: REFRESH_MS });
  return (
    <Card title="Log">
      <Failure error={lines.error} retry={() => void lines.refetch()} />
      <ol aria-label="Log" className="max-h-96 overflow-auto font-mono text-sm">
        {lines.data?.map((line) => (
          <li key={line.id} className={line.message_type === 1 ? "text-bad" : ""}>
            {line.message}
          </li>
        ))}
      </ol>
    </Card>
  );
}
