/** One video: played, with what it is and may be, its captions and downloads. */
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button, ButtonLink } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Switch, TextField } from "../../components/form.tsx";
import { Badge, Card, Facts, Failure, Loading, Page } from "../../components/page.tsx";
import { bytes, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { clock, nameOf, STREAM, type Video, videoPath } from "./api.ts";
import { Player } from "./player.tsx";
import { settled, VideoState } from "./videos.tsx";

export const videoRoute = createRoute({ getParentRoute: () => shellRoute, path: "/stream/videos/$video", component: VideoPage });

const REFRESH_MS = 1_000;

interface Caption {
  readonly language: string;
  readonly label: string;
  readonly generated: boolean;
}

interface Downloads {
  readonly default?: Download;
  readonly audio?: Download;
}
interface Download {
  readonly status: string;
  readonly url: string;
}

function VideoPage() {
  const { video: uid } = videoRoute.useParams();
  const [working, setWorking] = useState(true);
  const video = useRest<Video>(videoPath(uid), working ? { refetchInterval: REFRESH_MS } : {});
  if (video.data !== undefined && settled(video.data) === working) setWorking(!working);
  const title = video.data === undefined ? "Video" : nameOf(video.data);
  return (
    <Page title={title} crumbs={[{ label: "Stream", to: "/stream" }]}>
      <Failure error={video.error} retry={() => void video.refetch()} />
      {video.isPending && <Loading />}
      {video.data && <Shown video={video.data} />}
    </Page>
  );
}

function Shown({ video }: { video: Video }) {
  const { uid, playback, status, readyToStream, requireSignedURLs } = video;
  const live = status.state === "live-inprogress";
  return (
    <div className="grid items-start gap-5 lg:grid-cols-[3fr_2fr]">
      <div className="flex min-w-0 flex-col gap-5">
        {(readyToStream || live) && video.allowedOrigins.length === 0 ? (
          <Player uid={uid} title={nameOf(video)} hls={playback.hls} signed={requireSignedURLs} />
        ) : (
          <p className="flex aspect-video items-center justify-center rounded-xl border border-dashed border-line px-6 text-center text-soft">
            {readyToStream
              ? "It plays on the pages of its allowed origins alone."
              : status.errorReasonText || "It plays here once it is ready."}
          </p>
        )}
        <Embed video={video} />
        <Extras video={video} />
      </div>
      <div className="flex min-w-0 flex-col gap-5">
        <General video={video} />
        <Settings key={uid} video={video} />
        <Delete video={video} />
      </div>
    </div>
  );
}

function General({ video }: { video: Video }) {
  const { uid, duration, size, input, created, creator, scheduledDeletion, liveInput } = video;
  return (
    <Card title="General">
      <Facts
        items={[
          ["Status", <VideoState key="state" video={video} />],
          ["Id", <Copy key="id" value={uid} label="the video's id" />],
          ["Duration", clock(duration)],
          input.width > 0 && ["Picture", `${input.width} × ${input.height}`],
          size > 0 && ["Size", bytes(size)],
          ["Created", dateTime(created)],
          creator !== null && ["Creator", creator],
          scheduledDeletion !== null && ["Deleted on", dateTime(scheduledDeletion)],
          liveInput !== undefined && [
            "Live input",
            <Link
              key="input"
              to="/stream/live/$input"
              params={{ input: liveInput }}
              className="text-accent underline-offset-4 hover:underline"
            >
              {liveInput}
            </Link>,
          ],
        ]}
      />
    </Card>
  );
}

function Embed({ video: { playback, preview } }: { video: Video }) {
  const frame = `<iframe src="${playback.hls.replace(/\/manifest\/.*$/, "/iframe")}" style="border: none" height="720" width="1280" allow="accelerometer; gyroscope; autoplay; encrypted-media; picture-in-picture;" allowfullscreen="true"></iframe>`;
  return (
    <Card title="Embed">
      <Facts
        items={[
          ["HLS manifest", <Copy key="hls" value={playback.hls} label="the HLS manifest's URL" />],
          ["DASH manifest", <Copy key="dash" value={playback.dash} label="the DASH manifest's URL" />],
          ["Page", <Copy key="page" value={preview} label="the page's URL" />],
          ["Code", <Copy key="code" value={frame} label="the code to embed" />],
        ]}
      />
    </Card>
  );
}

function Settings({ video }: { video: Video }) {
  const [name, setName] = useState(nameOf(video));
  const [origins, setOrigins] = useState(video.allowedOrigins.join(", "));
  const [signed, setSigned] = useState(video.requireSignedURLs);
  const save = useAction(
    async () =>
      onAccount(videoPath(video.uid), {
        method: "POST",
        body: { meta: { ...video.meta, name }, requireSignedURLs: signed, allowedOrigins: listed(origins) },
      }),
    { stale: [STREAM], done: "Settings saved" },
  );
  return (
    <Card title="Settings">
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <TextField label="Name" value={name} onChange={setName} />
        <TextField label="Allowed origins" value={origins} onChange={setOrigins} hint="example.com, *.example.org. Empty: every page." />
        <Switch label="Require signed URLs" checked={signed} onChange={setSigned} />
        <Failure error={save.error} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Card>
  );
}

const listed = (text: string): string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function Extras({ video }: { video: Video }) {
  const captionsPath = `${videoPath(video.uid)}/captions`;
  const downloadsPath = `${videoPath(video.uid)}/downloads`;
  const captions = useRest<readonly Caption[]>(captionsPath);
  const downloads = useRest<Downloads>(downloadsPath, { refetchInterval: 5_000 });
  const make = useAction(async () => onAccount(downloadsPath, { method: "POST", body: {} }), { stale: [downloadsPath] });
  const ready = Object.entries(downloads.data ?? {}) as [string, Download][];
  return (
    <Card
      title="Captions and downloads"
      actions={
        video.status.state === "ready" &&
        ready.length === 0 && (
          <Button busy={make.isPending} onClick={() => make.mutate()}>
            Enable download
          </Button>
        )
      }
    >
      <Failure error={make.error ?? captions.error ?? downloads.error} />
      <Facts
        items={[
          [
            "Captions",
            captions.data === undefined || captions.data.length === 0 ? (
              "none"
            ) : (
              <span key="captions" className="flex flex-wrap gap-1.5">
                {captions.data.map(({ language, label }) => (
                  <Badge key={language}>
                    {label} ({language})
                  </Badge>
                ))}
              </span>
            ),
          ],
          ...ready.map(
            ([kind, { status, url }]) =>
              [
                kind === "audio" ? "Sound (M4A)" : "Video (MP4)",
                status === "ready" ? (
                  <ButtonLink key={kind} href={url} target="_blank" rel="noopener">
                    Download
                  </ButtonLink>
                ) : (
                  <Badge key={kind}>{status}</Badge>
                ),
              ] as const,
          ),
        ]}
      />
    </Card>
  );
}

function Delete({ video }: { video: Video }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(videoPath(video.uid), { method: "DELETE" }), {
    stale: [STREAM],
    done: "Video deleted",
    onDone: () => navigate({ to: "/stream" }),
  });
  const word = nameOf(video);
  return (
    <Card
      title="Delete video"
      lead="It is gone for everybody who plays it."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete video
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete video"
          word={word}
          submit="Delete video"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Its renditions, captions and downloads go with it.
        </ConfirmDialog>
      )}
    </Card>
  );
}
