/** One workflow: its instances, triggering one, its settings. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog, FormDialog } from "../../components/dialog.tsx";
import { CodeField, SelectField, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Card, Empty, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { count, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Instance, instancesPath, STATUSES, statusLabel, statusTone, took, WORKFLOWS, type Workflow, workflowPath } from "./api.ts";

export const workflowRoute = createRoute({ getParentRoute: () => shellRoute, path: "/workflows/$workflow", component: Frame });
export const instancesRoute = createRoute({ getParentRoute: () => workflowRoute, path: "/", component: Instances });
export const settingsRoute = createRoute({ getParentRoute: () => workflowRoute, path: "settings", component: Settings });

const REFRESH_MS = 2_000;
const PER_PAGE = 25;

const useName = (): string => workflowRoute.useParams().workflow;
const useWorkflow = () => useRest<Workflow>(workflowPath(useName()), { refetchInterval: REFRESH_MS });

function Frame() {
  const name = useName();
  const workflow = useWorkflow();
  const [triggering, setTriggering] = useState(false);
  const trigger = (
    <Button look="primary" onClick={() => setTriggering(true)}>
      <Icon name="plus" />
      Trigger
    </Button>
  );
  return (
    <Page title={name} crumbs={[{ label: "Workflows", to: "/workflows" }]} actions={workflow.data && trigger}>
      <Failure error={workflow.error} retry={() => void workflow.refetch()} />
      <Tabs
        items={[
          { label: "Instances", to: workflowPath(name), exact: true },
          { label: "Settings", to: `${workflowPath(name)}/settings` },
        ]}
      />
      <Outlet />
      {triggering && <Trigger onClose={() => setTriggering(false)} />}
    </Page>
  );
}

function Trigger({ onClose }: { onClose(): void }) {
  const name = useName();
  const navigate = useNavigate();
  const [id, setId] = useState("");
  const [params, setParams] = useState("{}");
  const create = useAction(
    async () => {
      const body = { ...(id !== "" && { instance_id: id }), params: JSON.parse(params) as unknown };
      return (await onAccount<{ id: string }>(instancesPath(name), { method: "POST", body })).result;
    },
    {
      stale: [WORKFLOWS],
      done: "Instance queued",
      onDone: (made) => navigate({ to: "/workflows/$workflow/instances/$instance", params: { workflow: name, instance: made.id } }),
    },
  );
  return (
    <FormDialog
      title="Trigger an instance"
      submit="Trigger"
      busy={create.isPending}
      ready={isJson(params)}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <CodeField
        label="Parameters"
        hint="JSON; the code gets it as event.payload."
        error={isJson(params) ? undefined : "This is no JSON."}
        value={params}
        onChange={setParams}
        rows={5}
      />
      <TextField label="Id" hint="Optional. Letters, digits, dashes and underscores." value={id} onChange={setId} />
    </FormDialog>
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function Instances() {
  const name = useName();
  const workflow = useWorkflow();
  const [status, setStatus] = useState("");
  /** Cursors of the pages before this one and of this one. */
  const [cursors, setCursors] = useState<readonly string[]>([]);
  const cursor = cursors.at(-1);
  const query = new URLSearchParams({ per_page: String(PER_PAGE), ...(status && { status }), ...(cursor && { cursor }) });
  const path = `${instancesPath(name)}?${query}`;
  const list = useQuery({
    queryKey: [path],
    queryFn: () => onAccount<Instance[], { cursor?: string }>(path),
    refetchInterval: REFRESH_MS,
    placeholderData: (before) => before,
  });
  const rows = list.data?.result;
  const next = list.data?.info.cursor;
  const counts = workflow.data?.instances;
  return (
    <>
      {counts && (
        <Stats
          items={[
            { label: "Running", value: count(counts.running) },
            { label: "Waiting", value: count(counts.waiting), ...(counts.queued > 0 && { note: `${count(counts.queued)} queued` }) },
            { label: "Errored", value: count(counts.errored) },
            { label: "Complete", value: count(counts.complete) },
          ]}
        />
      )}
      <div className="max-w-48">
        <SelectField
          label="Status"
          value={status}
          onChange={(value) => {
            setStatus(value);
            setCursors([]);
          }}
          options={[["", "all"], ...STATUSES.map((one) => [one, statusLabel(one)] as const)]}
        />
      </div>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {rows?.length === 0 && (
        <Empty title={status === "" ? "No instance yet" : "No instance has this status"}>
          A Worker creates them by a binding, <code>wrangler workflows trigger</code> by command.
        </Empty>
      )}
      {rows && rows.length > 0 && (
        <Table
          label="Instances"
          rows={rows}
          id={({ id }) => id}
          columns={[
            {
              title: "Id",
              cell: ({ id }) => (
                <Link
                  to="/workflows/$workflow/instances/$instance"
                  params={{ workflow: name, instance: id }}
                  className="font-mono text-xs font-medium break-all text-accent underline-offset-4 hover:underline"
                >
                  {id}
                </Link>
              ),
            },
            { title: "Status", cell: (one) => <Badge tone={statusTone(one.status)}>{statusLabel(one.status)}</Badge> },
            { title: "Trigger", cell: ({ trigger_source }) => trigger_source, wide: true },
            { title: "Created", cell: ({ created_on }) => <span className="text-soft">{dateTime(created_on)}</span>, wide: true },
            {
              title: "Took",
              align: "right",
              cell: ({ started_on, ended_on }) => (started_on === null ? "" : took(started_on, ended_on)),
            },
          ]}
        />
      )}
      <div className="flex gap-2 empty:hidden">
        {cursors.length > 0 && <Button onClick={() => setCursors(cursors.slice(0, -1))}>Newer</Button>}
        {next !== undefined && <Button onClick={() => setCursors([...cursors, next])}>Older</Button>}
      </div>
    </>
  );
}

function Settings() {
  const workflow = useWorkflow();
  if (workflow.data === undefined) return workflow.isPending ? <Loading /> : null;
  const { id, script_name, class_name, created_on, schedules = [] } = workflow.data;
  return (
    <>
      <Card title="General" lead="A deploy of the Worker sets these.">
        <Facts
          items={[
            ["Id", <Copy key="id" value={id} label="the workflow's id" />],
            ["Worker", script_name],
            ["Class", class_name],
            ["Created", dateTime(created_on)],
            schedules.length > 0 && [
              "Schedules",
              schedules.map(({ cron, next_instance }) => (
                <p key={cron}>
                  <code>{cron}</code> <span className="text-soft">next {next_instance === null ? "never" : dateTime(next_instance)}</span>
                </p>
              )),
            ],
          ]}
        />
      </Card>
      <Delete name={workflow.data.name} />
    </>
  );
}

function Delete({ name }: { name: string }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(workflowPath(name), { method: "DELETE" }), {
    stale: [WORKFLOWS],
    done: `Workflow ${name} deleted`,
    onDone: () => navigate({ to: "/workflows" }),
  });
  return (
    <Card
      title="Delete workflow"
      lead="Its instances end, and everything that they have stored goes with them."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete workflow
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete workflow"
          word={name}
          submit="Delete workflow"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          The next deploy of its Worker makes it again, without instances.
        </ConfirmDialog>
      )}
    </Card>
  );
}
