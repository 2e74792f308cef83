/** One container application: its configuration, the instances that run now, and its rollouts. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Badge, Card, Empty, Facts, Failure, Loading, Page, type Tone } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Application, applicationPath, CONTAINERS, type Instance, instancesPath, type Rollout } from "./api.ts";

export const applicationRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/containers/$application",
  component: ApplicationPage,
});

const REFRESH_MS = 3_000;
const tones: Readonly<Record<string, Tone>> = {
  running: "good",
  starting: "warn",
  stopping: "warn",
  completed: "good",
  progressing: "warn",
};

function ApplicationPage() {
  const { application: id } = applicationRoute.useParams();
  const application = useRest<Application>(applicationPath(id));
  return (
    <Page title={application.data?.name ?? "Application"} crumbs={[{ label: "Containers", to: "/containers" }]}>
      <Failure error={application.error} retry={() => void application.refetch()} />
      {application.isPending && <Loading />}
      {application.data && (
        <>
          <General application={application.data} />
          <Instances id={id} />
          <Rollouts id={id} />
          <Delete application={application.data} />
        </>
      )}
    </Page>
  );
}

function General({ application }: { application: Application }) {
  const { id, version, configuration, max_instances, durable_objects, updated_at } = application;
  const { image, instance_type, vcpu, memory_mib, disk } = configuration;
  const size = disk?.size_mb === undefined ? "" : `, ${count(disk.size_mb)} MB of disk`;
  return (
    <Card title="General">
      <Facts
        items={[
          ["Id", <Copy key="id" value={id} label="the application's id" />],
          ["Image", <Copy key="image" value={image} label="the image" />],
          instance_type !== undefined && ["Instance type", instance_type],
          memory_mib !== undefined && ["Resources", `${vcpu ?? "–"} vCPU, ${count(memory_mib)} MiB${size}`],
          ["Most instances", count(max_instances)],
          ["Version", count(version)],
          ["Durable Objects", <Copy key="objects" value={durable_objects.namespace_id} label="the namespace's id" />],
          ["Updated", dateTime(updated_at)],
        ]}
      />
    </Card>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="flex flex-col gap-3">
      <h2 className="font-semibold">{title}</h2>
      {children}
    </section>
  );
}

const State = ({ state }: { state: string }) => <Badge tone={tones[state] ?? "plain"}>{state}</Badge>;

function Instances({ id }: { id: string }) {
  const list = useRest<{ readonly instances: readonly Instance[] }>(instancesPath(id), { refetchInterval: REFRESH_MS });
  const rows = list.data?.instances;
  return (
    <Section title="Instances">
      <Failure error={list.error} retry={() => void list.refetch()} />
      {rows?.length === 0 && <Empty title="No instance runs">One is started when its Durable Object asks for it.</Empty>}
      {rows && rows.length > 0 && (
        <Table
          label="Instances"
          rows={rows}
          id={(instance) => instance.id}
          columns={[
            { title: "Instance", cell: (instance) => <code className="text-xs">{instance.id}</code> },
            { title: "State", cell: ({ current_placement }) => <State state={stateOf(current_placement.status.container_status)} /> },
            { title: "Version", cell: ({ app_version }) => count(app_version), align: "right" },
            {
              title: "Durable Object",
              cell: ({ durable_object_id }) => <code className="text-xs break-all text-soft">{durable_object_id}</code>,
              wide: true,
            },
            { title: "Started", cell: ({ created_at }) => <span className="text-soft">{dateTime(created_at)}</span>, wide: true },
          ]}
        />
      )}
    </Section>
  );
}

/** In words of people: one that has its place but no address yet is starting. */
const stateOf = (status: string): string => (status === "placed" ? "starting" : status);

function Rollouts({ id }: { id: string }) {
  const list = useRest<readonly Rollout[]>(`${applicationPath(id)}/rollouts`, { refetchInterval: REFRESH_MS });
  if (list.data === undefined || list.data.length === 0) return null;
  return (
    <Section title="Rollouts">
      <Table
        label="Rollouts"
        rows={list.data}
        id={(rollout) => rollout.id}
        columns={[
          { title: "Versions", cell: ({ current_version, target_version }) => `${current_version} → ${target_version}` },
          { title: "Status", cell: ({ status }) => <State state={status} /> },
          { title: "Description", cell: ({ description }) => description, wide: true },
          { title: "Begun", cell: ({ created_at }) => <span className="text-soft">{dateTime(created_at)}</span>, wide: true },
        ]}
      />
    </Section>
  );
}

function Delete({ application }: { application: Application }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(applicationPath(application.id), { method: "DELETE" }), {
    stale: [CONTAINERS],
    done: `Application ${application.name} deleted`,
    onDone: () => navigate({ to: "/containers" }),
  });
  const button = (
    <Button look="danger" onClick={() => setAsking(true)}>
      Delete application
    </Button>
  );
  return (
    <Card title="Delete application" lead="Its instances are stopped; the Worker and its Durable Objects stay." actions={button}>
      {asking && (
        <ConfirmDialog
          title="Delete application"
          word={application.name}
          submit="Delete application"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Objects that start a container fail from then on.
        </ConfirmDialog>
      )}
    </Card>
  );
}
