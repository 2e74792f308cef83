/** A Worker's Logs tab: its stored logs, and the switch that has them stored. */
import { createRoute } from "@tanstack/react-router";
import { Button } from "../../components/button.tsx";
import { LogSearch } from "../../components/log-search.tsx";
import { Card, Failure } from "../../components/page.tsx";
import { useAction } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { ofWorker } from "../../platform/telemetry.ts";
import { type Observability, SCRIPTS, workerPath } from "./api.ts";
import { useWorker, workerRoute } from "./worker.tsx";

export const logsRoute = createRoute({ getParentRoute: () => workerRoute, path: "logs", component: Logs });

function Logs() {
  const { worker, script } = useWorker();
  const stored = script?.observability?.enabled === true || script?.observability?.logs?.enabled === true;
  return (
    <>
      {script !== undefined && !stored && <TurnOn worker={worker} settings={script.observability} />}
      <LogSearch filters={[ofWorker(worker)]} empty={stored ? "Nothing matches in this time." : "Logs of this Worker are not stored."} />
    </>
  );
}

function TurnOn({ worker, settings }: { worker: string; settings: Observability | null }) {
  const save = useAction(
    async () =>
      onAccount(`${workerPath(worker)}/script-settings`, { method: "PATCH", body: { observability: { ...settings, enabled: true } } }),
    { stale: [SCRIPTS], done: "Logs are stored from now on" },
  );
  return (
    <Card
      title="Logs of this Worker are not stored"
      lead="The next deploy goes by its own configuration: set observability.enabled there, too."
      actions={
        <Button look="primary" busy={save.isPending} onClick={() => save.mutate()}>
          Store logs
        </Button>
      }
    >
      <Failure error={save.error} />
    </Card>
  );
}
