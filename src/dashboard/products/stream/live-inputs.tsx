/** All live inputs, and making one. */
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { Switch, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { INPUTS, type LiveInput, nameOf } from "./api.ts";
import { streamTabs } from "./videos.tsx";

export const liveInputsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/stream/live", component: LiveInputs });

type Listed = Pick<LiveInput, "uid" | "created" | "meta" | "enabled">;

function LiveInputs() {
  const [creating, setCreating] = useState(false);
  const list = useRest<{ readonly liveInputs: readonly Listed[] }>(INPUTS);
  const rows = list.data?.liveInputs;
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create live input
    </Button>
  );
  return (
    <Page
      title="Stream"
      lead="Videos that are encoded, protected and played, and live broadcasts."
      actions={rows && rows.length > 0 && create}
    >
      <Tabs items={streamTabs} />
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {rows?.length === 0 && (
        <Empty title="No live input yet" action={create}>
          Encoders such as OBS and ffmpeg broadcast to a live input by RTMPS or SRT.
        </Empty>
      )}
      {rows && rows.length > 0 && (
        <Table
          label="Live inputs"
          rows={rows}
          id={({ uid }) => uid}
          columns={[
            {
              title: "Name",
              cell: (input) => (
                <Link
                  to="/stream/live/$input"
                  params={{ input: input.uid }}
                  className="font-medium break-all text-accent underline-offset-4 hover:underline"
                >
                  {nameOf(input)}
                </Link>
              ),
            },
            {
              title: "Accepts broadcasts",
              cell: ({ enabled }) => <Badge tone={enabled ? "good" : "plain"}>{enabled ? "enabled" : "disabled"}</Badge>,
            },
            { title: "Created", cell: ({ created }) => <span className="text-soft">{dateTime(created)}</span>, wide: true },
          ]}
        />
      )}
      {creating && <CreateInput onClose={() => setCreating(false)} />}
    </Page>
  );
}

function CreateInput({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [record, setRecord] = useState(true);
  const [low, setLow] = useState(false);
  const create = useAction(
    async () => {
      const body = { meta: { name }, preferLowLatency: low, recording: { mode: record ? "automatic" : "off" } };
      return (await onAccount<LiveInput>(INPUTS, { method: "POST", body })).result;
    },
    {
      stale: [INPUTS],
      done: `Live input ${name} created`,
      onDone: ({ uid }) => navigate({ to: "/stream/live/$input", params: { input: uid } }),
    },
  );
  return (
    <FormDialog
      title="Create a live input"
      submit="Create live input"
      busy={create.isPending}
      ready={name !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
      <Switch label="Live playback and recording" checked={record} onChange={setRecord} />
      <Switch label="Low latency (LL-HLS)" checked={low} onChange={setLow} />
    </FormDialog>
  );
}
