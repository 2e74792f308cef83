/** A Worker's Logs tab: its stored logs with a search, live when wished, and the switch that has them stored. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { SelectField, Switch, TextField } from "../../components/form.tsx";
import { Card, Empty, Failure, Loading } from "../../components/page.tsx";
import { counted } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { type Observability, SCRIPTS, workerPath } from "./api.ts";
import { EventList } from "./event-list.tsx";
import { ofWorker, useTelemetry, windows } from "./telemetry.ts";
import { useWorker, workerRoute } from "./worker.tsx";

export const logsRoute = createRoute({ getParentRoute: () => workerRoute, path: "logs", component: Logs });

const LISTED = 200;
const LIVE_MS = 2_000;

const levels = [
  ["", "All levels"],
  ["error", "Errors"],
  ["warn", "Warnings"],
  ["info", "Info"],
  ["log", "Log"],
  ["debug", "Debug"],
] as const;

function Logs() {
  const { worker, script } = useWorker();
  const [text, setText] = useState("");
  const [level, setLevel] = useState("");
  const [hours, setHours] = useState("1");
  const [live, setLive] = useState(false);
  const filters = [ofWorker(worker), ...(level === "" ? [] : [{ key: "$metadata.level", operation: "eq", type: "string", value: level }])];
  const needle = text.trim() === "" ? undefined : { value: text.trim() };
  const list = useTelemetry(
    { view: "events", limit: LISTED, parameters: { datasets: ["cloudflare-workers"], filters, ...(needle && { needle }) } },
    Number(hours),
    live ? { refreshMs: LIVE_MS } : {},
  );
  const events = list.data?.events;
  const stored = script?.observability?.enabled === true || script?.observability?.logs?.enabled === true;
  return (
    <>
      {script !== undefined && !stored && <TurnOn worker={worker} settings={script.observability} />}
      <div className="flex flex-wrap items-end gap-3">
        <div className="min-w-48 flex-1">
          <TextField label="Search" placeholder="Text anywhere in an event" value={text} onChange={setText} type="search" />
        </div>
        <SelectField label="Level" value={level} onChange={setLevel} options={levels} />
        <SelectField label="Time" value={hours} onChange={setHours} options={windows} />
        <div className="pb-1.5">
          <Switch label="Live" checked={live} onChange={setLive} />
        </div>
        <Button busy={list.isFetching && !live} onClick={() => void list.refetch()}>
          Refresh
        </Button>
      </div>
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.isPending && <Loading />}
      {events?.events.length === 0 && (
        <Empty title="No logs">{stored ? "Nothing matches in this time." : "Logs of this Worker are not stored."}</Empty>
      )}
      {events && events.events.length > 0 && (
        <>
          <p className="text-sm text-soft">
            {counted(events.count, "event")}
            {events.count > events.events.length && `, the newest ${events.events.length} shown`}
          </p>
          <EventList label="Logs" events={events.events} />
        </>
      )}
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
