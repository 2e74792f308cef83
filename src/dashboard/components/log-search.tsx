/** Stored logs with a search, live when wished: those that the filters let through. */
import { type ReactNode, useState } from "react";
import { counted } from "../platform/format.ts";
import { type Filter, useTelemetry, windows } from "../platform/telemetry.ts";
import { Button } from "./button.tsx";
import { EventList } from "./event-list.tsx";
import { SelectField, Switch, TextField } from "./form.tsx";
import { Empty, Failure, Loading } from "./page.tsx";

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

/** `empty` says why there are none; `fields` stand before the search. */
export function LogSearch({ filters, empty, fields }: { filters: readonly Filter[]; empty: string; fields?: ReactNode }) {
  const [text, setText] = useState("");
  const [level, setLevel] = useState("");
  const [hours, setHours] = useState("1");
  const [live, setLive] = useState(false);
  const all = [...filters, ...(level === "" ? [] : [{ key: "$metadata.level", operation: "eq", type: "string", value: level }])];
  const needle = text.trim() === "" ? undefined : { value: text.trim() };
  const list = useTelemetry(
    { view: "events", limit: LISTED, parameters: { datasets: ["cloudflare-workers"], filters: all, ...(needle && { needle }) } },
    Number(hours),
    live ? { refreshMs: LIVE_MS } : {},
  );
  const events = list.data?.events;
  return (
    <>
      <div className="flex flex-wrap items-end gap-3">
        {fields}
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
      {events?.events.length === 0 && <Empty title="No logs">{empty}</Empty>}
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
