/** All videos, and uploading one. */
import { createRoute, Link } from "@tanstack/react-router";
import { type ChangeEvent, useRef, useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading, Page, Tabs, type Tone } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { clock, nameOf, STREAM, type Video } from "./api.ts";

export const videosRoute = createRoute({ getParentRoute: () => shellRoute, path: "/stream", component: Videos });

/** The API's limit of an upload in one request; larger files go by tus. */
const UPLOAD_MAX_BYTES = 200 * 1024 * 1024;
const REFRESH_MS = 2_000;
const SETTLED = ["ready", "error", "pendingupload"];

export const streamTabs = [
  { label: "Videos", to: "/stream", exact: true },
  { label: "Live inputs", to: "/stream/live" },
] as const;

const tones: Readonly<Record<string, Tone>> = { ready: "good", error: "bad", "live-inprogress": "warn" };

export function VideoState({ video: { status } }: { video: Video }) {
  const { state, pctComplete } = status;
  const words = state === "live-inprogress" ? "live" : state === "inprogress" ? `encoding ${Math.round(Number(pctComplete))} %` : state;
  return <Badge tone={tones[state] ?? "plain"}>{words}</Badge>;
}

function Videos() {
  const [copying, setCopying] = useState(false);
  const list = useRest<readonly Video[]>(STREAM, { refetchInterval: REFRESH_MS });
  const actions = (
    <>
      <Button onClick={() => setCopying(true)}>
        <Icon name="download" />
        From a URL
      </Button>
      <Upload />
    </>
  );
  return (
    <Page
      title="Stream"
      lead="Videos that are encoded, protected and played, and live broadcasts."
      actions={list.data && list.data.length > 0 && actions}
    >
      <Tabs items={streamTabs} />
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No video yet" action={<div className="flex flex-wrap justify-center gap-2">{actions}</div>}>
          Files up to 200 MB are uploaded here, larger ones by tus. What encoders broadcast to a live input is recorded.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Videos"
          rows={list.data}
          id={({ uid }) => uid}
          columns={[
            {
              title: "Name",
              cell: (video) => (
                <Link
                  to="/stream/videos/$video"
                  params={{ video: video.uid }}
                  className="font-medium break-all text-accent underline-offset-4 hover:underline"
                >
                  {nameOf(video)}
                </Link>
              ),
            },
            { title: "Status", cell: (video) => <VideoState video={video} /> },
            { title: "Duration", cell: ({ duration }) => clock(duration), align: "right" },
            { title: "Size", cell: ({ size }) => (size > 0 ? bytes(size) : "–"), align: "right", wide: true },
            { title: "Created", cell: ({ created }) => <span className="text-soft">{dateTime(created)}</span>, wide: true },
          ]}
        />
      )}
      {copying && <CopyDialog onClose={() => setCopying(false)} />}
    </Page>
  );
}

function Upload() {
  const input = useRef<HTMLInputElement>(null);
  const send = useAction(
    async (file: File) => {
      const form = new FormData();
      form.set("file", file);
      return (await onAccount<Video>(STREAM, { method: "POST", raw: form })).result;
    },
    { stale: [STREAM], done: (_, file) => `${file.name} uploaded` },
  );
  const chosen = ({ target }: ChangeEvent<HTMLInputElement>) => {
    const file = target.files?.[0];
    target.value = "";
    if (file !== undefined) send.mutate(file);
  };
  return (
    <>
      <input ref={input} type="file" accept="video/*" hidden aria-label="Video to upload" onChange={chosen} />
      <Button look="primary" busy={send.isPending} onClick={() => input.current?.click()}>
        <Icon name="upload" />
        Upload video
      </Button>
      {(send.variables?.size ?? 0) > UPLOAD_MAX_BYTES && send.isError && (
        <span className="text-sm text-danger">Larger than 200 MB: use tus.</span>
      )}
      {send.isError && (send.variables?.size ?? 0) <= UPLOAD_MAX_BYTES && <Failure error={send.error} />}
    </>
  );
}

function CopyDialog({ onClose }: { onClose(): void }) {
  const [url, setUrl] = useState("");
  const [name, setName] = useState("");
  const copy = useAction(
    async () =>
      (await onAccount<Video>(`${STREAM}/copy`, { method: "POST", body: { url, ...(name !== "" && { meta: { name } }) } })).result,
    { stale: [STREAM], done: "The video is being fetched", onDone: onClose },
  );
  return (
    <FormDialog
      title="Add a video from a URL"
      submit="Add video"
      busy={copy.isPending}
      ready={/^https?:\/\//.test(url)}
      error={copy.error}
      onSubmit={() => copy.mutate()}
      onClose={onClose}
    >
      <TextField label="URL" value={url} onChange={setUrl} placeholder="https://" autoFocus />
      <TextField label="Name" value={name} onChange={setName} hint="Without one, the file's." />
    </FormDialog>
  );
}

export const settled = ({ status }: Video): boolean => SETTLED.includes(status.state);
