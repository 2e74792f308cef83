/** One live input: how encoders and viewers connect, whether it is live, where its broadcast goes, and what it recorded. */
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog, FormDialog } from "../../components/dialog.tsx";
import { hoursSearch } from "../../components/figures.tsx";
import { Switch, TextField } from "../../components/form.tsx";
import { Badge, Card, Empty, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { clock, INPUTS, inputPath, type LiveInput, nameOf, type Output, outputsPath, type Video } from "./api.ts";
import { InputMetrics } from "./input-metrics.tsx";
import { Player } from "./player.tsx";
import { Secret } from "./secret.tsx";
import { VideoState } from "./videos.tsx";

export const liveInputRoute = createRoute({ getParentRoute: () => shellRoute, path: "/stream/live/$input", component: InputPage });
export const inputMetricsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/stream/live/$input/metrics",
  validateSearch: hoursSearch,
  component: MetricsPage,
});

const REFRESH_MS = 3_000;

function Frame({ uid, children }: { uid: string; children: (input: LiveInput) => React.ReactNode }) {
  const input = useRest<LiveInput>(inputPath(uid), { refetchInterval: REFRESH_MS });
  return (
    <Page
      title={input.data === undefined ? "Live input" : nameOf(input.data)}
      crumbs={[
        { label: "Stream", to: "/stream" },
        { label: "Live inputs", to: "/stream/live" },
      ]}
    >
      <Failure error={input.error} retry={() => void input.refetch()} />
      <Tabs
        items={[
          { label: "Broadcast", to: `/stream/live/${uid}`, exact: true },
          { label: "Metrics", to: `/stream/live/${uid}/metrics` },
        ]}
      />
      {input.isPending && <Loading />}
      {input.data && children(input.data)}
    </Page>
  );
}

function MetricsPage() {
  const { input } = inputMetricsRoute.useParams();
  const navigate = inputMetricsRoute.useNavigate();
  const search = inputMetricsRoute.useSearch();
  return <Frame uid={input}>{() => <InputMetrics input={input} search={search} onChange={(to) => void navigate({ search: to })} />}</Frame>;
}

function InputPage() {
  const { input } = liveInputRoute.useParams();
  return <Frame uid={input}>{(shown) => <Shown input={shown} />}</Frame>;
}

function Shown({ input }: { input: LiveInput }) {
  const { uid, status, recording, playback } = input;
  const live = status === "connected";
  return (
    <div className="grid items-start gap-5 lg:grid-cols-[3fr_2fr]">
      <div className="flex min-w-0 flex-col gap-5">
        {live && recording.mode === "automatic" ? (
          <Player uid={uid} title={nameOf(input)} hls={playback.hls} signed={recording.requireSignedURLs} />
        ) : (
          <p className="flex aspect-video items-center justify-center rounded-xl border border-dashed border-line px-6 text-center text-soft">
            {live ? "It is live; what is not recorded is not played here." : "Nothing is broadcast now."}
          </p>
        )}
        <Recordings input={uid} />
        <Outputs input={uid} />
      </div>
      <div className="flex min-w-0 flex-col gap-5">
        <Connections input={input} live={live} />
        <Settings input={input} />
        <Delete input={input} />
      </div>
    </div>
  );
}

function Connections({ input, live }: { input: LiveInput; live: boolean }) {
  const { uid, rtmps, srt, rtmpsPlayback, srtPlayback, playback, created } = input;
  return (
    <>
      <Card title="Broadcast with" lead="Whoever knows these can go live.">
        <Facts
          items={[
            [
              "Status",
              <Badge key="status" tone={live ? "warn" : "plain"}>
                {live ? "live" : input.enabled ? "waiting" : "disabled"}
              </Badge>,
            ],
            ["Id", <Copy key="id" value={uid} label="the live input's id" />],
            ["Created", dateTime(created)],
            rtmps !== undefined && ["RTMPS URL", <Copy key="rtmps" value={rtmps.url} label="the RTMPS URL" />],
            rtmps !== undefined && ["RTMPS key", <Secret key="key" value={rtmps.streamKey} label="the RTMPS key" />],
            srt !== undefined && ["SRT URL", <Copy key="srt" value={srt.url} label="the SRT URL" />],
            srt !== undefined && ["SRT stream id", <Copy key="streamid" value={srt.streamId} label="the SRT stream id" />],
            srt !== undefined && ["SRT passphrase", <Secret key="phrase" value={srt.passphrase} label="the SRT passphrase" />],
          ]}
        />
      </Card>
      <Card title="Watch by">
        <Facts
          items={[
            ["HLS manifest", <Copy key="hls" value={playback.hls} label="the HLS manifest's URL" />],
            rtmpsPlayback !== undefined && [
              "RTMPS key",
              <Secret key="rtmps" value={rtmpsPlayback.streamKey} label="the key of RTMPS playback" />,
            ],
            srtPlayback !== undefined && [
              "SRT stream id",
              <Copy key="srt" value={srtPlayback.streamId} label="the stream id of SRT playback" />,
            ],
            srtPlayback !== undefined && [
              "SRT passphrase",
              <Secret key="phrase" value={srtPlayback.passphrase} label="the passphrase of SRT playback" />,
            ],
          ]}
        />
      </Card>
    </>
  );
}

function Settings({ input }: { input: LiveInput }) {
  const change = useAction(async (body: object) => onAccount(inputPath(input.uid), { method: "PUT", body }), {
    stale: [INPUTS],
    done: "Settings saved",
  });
  return (
    <Card title="Settings">
      <div className="flex flex-col items-start gap-3">
        <Switch
          label="Accepts broadcasts"
          checked={input.enabled}
          disabled={change.isPending}
          onChange={(enabled) => change.mutate({ enabled })}
        />
        <Switch
          label="Live playback and recording"
          checked={input.recording.mode === "automatic"}
          disabled={change.isPending}
          onChange={(on) => change.mutate({ recording: { mode: on ? "automatic" : "off" } })}
        />
        <Switch
          label="Low latency (LL-HLS)"
          checked={input.preferLowLatency}
          disabled={change.isPending}
          onChange={(preferLowLatency) => change.mutate({ preferLowLatency })}
        />
        <Switch
          label="Require signed URLs"
          checked={input.recording.requireSignedURLs}
          disabled={change.isPending}
          onChange={(requireSignedURLs) => change.mutate({ recording: { requireSignedURLs } })}
        />
        <Failure error={change.error} />
      </div>
    </Card>
  );
}

function Outputs({ input }: { input: string }) {
  const [adding, setAdding] = useState(false);
  const path = outputsPath(input);
  const list = useRest<readonly Output[]>(path);
  const change = useAction(
    async ({ uid, enabled }: Pick<Output, "uid" | "enabled">) => onAccount(`${path}/${uid}`, { method: "PUT", body: { enabled } }),
    { stale: [path] },
  );
  const remove = useAction(async (uid: string) => onAccount(`${path}/${uid}`, { method: "DELETE" }), {
    stale: [path],
    done: "Output removed",
  });
  return (
    <Card
      title="Outputs"
      lead="Other servers that the broadcast is passed on to."
      actions={<Button onClick={() => setAdding(true)}>Add output</Button>}
    >
      <Failure error={list.error ?? change.error ?? remove.error} />
      {list.data && list.data.length > 0 && (
        <Table
          label="Outputs"
          rows={list.data}
          id={({ uid }) => uid}
          columns={[
            { title: "URL", cell: ({ url }) => <code className="text-xs break-all">{url}</code> },
            {
              title: "Enabled",
              cell: ({ uid, enabled }) => (
                <Switch label="" checked={enabled} disabled={change.isPending} onChange={(on) => change.mutate({ uid, enabled: on })} />
              ),
            },
          ]}
          actions={({ uid }) => (
            <Button look="quiet" onClick={() => remove.mutate(uid)}>
              Remove
            </Button>
          )}
        />
      )}
      {adding && <AddOutput path={path} onClose={() => setAdding(false)} />}
    </Card>
  );
}

function AddOutput({ path, onClose }: { path: string; onClose(): void }) {
  const [url, setUrl] = useState("");
  const [key, setKey] = useState("");
  const add = useAction(async () => onAccount(path, { method: "POST", body: { url, streamKey: key } }), {
    stale: [path],
    done: "Output added",
    onDone: onClose,
  });
  return (
    <FormDialog
      title="Add an output"
      submit="Add output"
      busy={add.isPending}
      ready={/^rtmps?:\/\/./.test(url) && key !== ""}
      error={add.error}
      onSubmit={() => add.mutate()}
      onClose={onClose}
    >
      <TextField label="URL" value={url} onChange={setUrl} placeholder="rtmps://" autoFocus />
      <TextField label="Stream key" value={key} onChange={setKey} />
    </FormDialog>
  );
}

function Recordings({ input }: { input: string }) {
  const list = useRest<readonly Video[]>(`${inputPath(input)}/videos`, { refetchInterval: REFRESH_MS });
  if (list.data === undefined) return null;
  if (list.data.length === 0) return <Empty title="No recording yet">Each broadcast becomes a video of its own.</Empty>;
  return (
    <Table
      label="Recordings"
      rows={list.data}
      id={({ uid }) => uid}
      columns={[
        {
          title: "Recording",
          cell: (video) => (
            <Link
              to="/stream/videos/$video"
              params={{ video: video.uid }}
              className="font-medium text-accent underline-offset-4 hover:underline"
            >
              {nameOf(video)}
            </Link>
          ),
        },
        { title: "Status", cell: (video) => <VideoState video={video} /> },
        { title: "Duration", cell: ({ duration }) => clock(duration), align: "right" },
      ]}
    />
  );
}

function Delete({ input }: { input: LiveInput }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(inputPath(input.uid), { method: "DELETE" }), {
    stale: [INPUTS],
    done: "Live input deleted",
    onDone: () => navigate({ to: "/stream/live" }),
  });
  return (
    <Card
      title="Delete live input"
      lead="Its recordings stay."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete live input
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete live input"
          word={nameOf(input)}
          submit="Delete live input"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Encoders that use its keys are sent away.
        </ConfirmDialog>
      )}
    </Card>
  );
}
