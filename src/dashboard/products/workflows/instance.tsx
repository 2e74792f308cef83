/** One instance: where it stands, its steps along the time, and what can be done with it. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { CodeField, TextField } from "../../components/form.tsx";
import { Badge, Card, Facts, Failure, Loading, Page } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { hasEnded, type InstanceDetail, instancePath, statusLabel, statusTone, took, WORKFLOWS, workflowPath } from "./api.ts";
import { Timeline } from "./timeline.tsx";

export const instanceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/workflows/$workflow/instances/$instance",
  component: InstancePage,
});

const REFRESH_MS = 1_000;

function InstancePage() {
  const { workflow, instance: id } = instanceRoute.useParams();
  const path = instancePath(workflow, id);
  const instance = useRest<InstanceDetail>(path, { refetchInterval: REFRESH_MS });
  const shown = instance.data;
  return (
    <Page
      title={id}
      crumbs={[
        { label: "Workflows", to: "/workflows" },
        { label: workflow, to: workflowPath(workflow) },
      ]}
      actions={shown && <Actions path={path} instance={shown} />}
    >
      {instance.isPending && <Loading />}
      <Failure error={instance.error} retry={() => void instance.refetch()} />
      {shown && (
        <>
          <Card title="Instance">
            <Facts
              items={[
                [
                  "Status",
                  <Badge key="status" tone={statusTone(shown.status)}>
                    {statusLabel(shown.status)}
                  </Badge>,
                ],
                ["Triggered by", shown.trigger.source],
                ["Queued", dateTime(shown.queued)],
                shown.start !== null && ["Started", dateTime(shown.start)],
                shown.start !== null && [shown.end === null ? "Running for" : "Took", took(shown.start, shown.end)],
                ["Version", <code key="version">{shown.versionId}</code>],
                shown.error !== null && [
                  "Error",
                  <span key="error" className="text-danger">{`${shown.error.name}: ${shown.error.message}`}</span>,
                ],
                ["Parameters", <Json key="params" value={shown.params} />],
                shown.status === "complete" && ["Output", <Json key="output" value={shown.output} />],
              ]}
            />
          </Card>
          <Card title="Steps" {...(shown.steps.length === 0 && { lead: "None was reached yet." })}>
            {shown.steps.length > 0 && <Timeline steps={shown.steps} ended={shown.end} />}
          </Card>
        </>
      )}
    </Page>
  );
}

function Json({ value }: { value: unknown }) {
  return <pre className="max-h-60 overflow-auto rounded-lg bg-raised px-3 py-2 text-xs">{JSON.stringify(value, null, 2)}</pre>;
}

function Actions({ path, instance: { status } }: { path: string; instance: InstanceDetail }) {
  const [sending, setSending] = useState(false);
  const change = useAction((to: string) => onAccount(`${path}/status`, { method: "PATCH", body: { status: to } }), {
    stale: [WORKFLOWS],
    done: (_result, to) => ({ pause: "Paused", resume: "Resumed", terminate: "Terminated", restart: "Restarted" })[to] ?? to,
  });
  const button = (label: string, to: string, look?: "danger") => (
    <Button key={to} {...(look && { look })} disabled={change.isPending} onClick={() => change.mutate(to)}>
      {label}
    </Button>
  );
  const stopped = status === "paused" || status === "waitingForPause";
  const ended = hasEnded(status);
  return (
    <>
      {!ended && <Button onClick={() => setSending(true)}>Send event</Button>}
      {!ended && status !== "rollingBack" && (stopped ? button("Resume", "resume") : button("Pause", "pause"))}
      {button("Restart", "restart")}
      {!ended && button("Terminate", "terminate", "danger")}
      <Failure error={change.error} />
      {sending && <SendEvent path={path} onClose={() => setSending(false)} />}
    </>
  );
}

function SendEvent({ path, onClose }: { path: string; onClose(): void }) {
  const [type, setType] = useState("");
  const [payload, setPayload] = useState("{}");
  const send = useAction(
    () => onAccount(`${path}/events/${encodeURIComponent(type)}`, { method: "POST", body: JSON.parse(payload) as unknown }),
    { stale: [WORKFLOWS], done: "Event sent", onDone: onClose },
  );
  return (
    <FormDialog
      title="Send an event"
      submit="Send event"
      busy={send.isPending}
      ready={type !== ""}
      error={send.error}
      onSubmit={() => send.mutate()}
      onClose={onClose}
    >
      <TextField label="Type" hint="What step.waitForEvent waits for." value={type} onChange={setType} autoFocus />
      <CodeField label="Payload" hint="JSON." value={payload} onChange={setPayload} rows={4} />
    </FormDialog>
  );
}
