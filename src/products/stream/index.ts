/**
 * Stream: videos that are uploaded, encoded into renditions, protected and played. This file puts the parts together; see
 * README.md for the surface.
 */

import { openEventLog } from "../../kernel/analytics/event-log.ts";
import type { HostRoute, KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { attachmentRoutes } from "./attachment-routes.ts";
import { bindingServer, streamBindings } from "./binding.ts";
import { openCaptions } from "./captions.ts";
import { openClips } from "./clips.ts";
import { videoDelivery } from "./delivery.ts";
import { encoder as openEncoder } from "./encode.ts";
import { openFfmpeg } from "./ffmpeg.ts";
import { openIntake } from "./intake.ts";
import { openSigningKeys } from "./keys.ts";
import { openLibrary } from "./library.ts";
import { type Live, openLive } from "./live/broadcasts.ts";
import { openDoors } from "./live/doors.ts";
import { openLiveInputs } from "./live/inputs.ts";
import { openLiveMetrics } from "./live/metrics.ts";
import { liveNotices } from "./live/notices.ts";
import { type Outputs, openOutputs } from "./live/outputs.ts";
import { liveRoutes } from "./live/routes.ts";
import { openWebRtc } from "./live/web-rtc.ts";
import { migrations } from "./migrations.ts";
import { openNotices } from "./notices.ts";
import { openPlayer } from "./player.ts";
import { openRemote } from "./remote.ts";
import { videoRoutes } from "./routes.ts";
import { settingRoutes } from "./setting-routes.ts";
import { openStorage } from "./storage.ts";
import { openTracks } from "./tracks.ts";
import { MEDIA_PREFIX, openTransforms } from "./transforms.ts";
import { openTurns } from "./turns.ts";
import { tusDoor, uploadDoor } from "./upload-door.ts";
import { openVideos } from "./videos.ts";
import { DELIVERY_DOMAIN, streamViews, UPLOAD_HOST } from "./views.ts";
import { VIEWS_TABLE, viewDatasets } from "./views-datasets.ts";
import { openWatermarks } from "./watermarks.ts";
import { openWork } from "./work.ts";

export const stream = {
  name: "stream",
  status: "beta",
  needs: ["contentCache", "imageTransforms", "mediaSessions", "notifier", "zones"],
  migrations,
  permissions: [
    { id: "de21485a24744b76a004aa153898f7fe", name: "Stream Read", scopes: ["com.cloudflare.api.account"] },
    { id: "714f9c13a5684c2885a793f5edb36f59", name: "Stream Write", scopes: ["com.cloudflare.api.account"] },
  ],
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const { config, accountId, urls, meta, clock, log } = kernel;
  const ffmpeg = openFfmpeg(config);
  const encoder = openEncoder(ffmpeg, { threads: config["stream.threads"], preset: config["stream.preset"] });
  const remote = openRemote(kernel, kernel.get("zones"));
  const views = streamViews(accountId, urls);
  const videos = openVideos(kernel);
  const tracks = openTracks(kernel);
  const captions = openCaptions(kernel);
  const watermarks = openWatermarks(kernel);
  const storage = openStorage(kernel);
  const keys = await openSigningKeys(kernel);
  const notices = openNotices(
    kernel,
    async (uid) => {
      const video = await videos.find(uid);
      return video === undefined ? undefined : views.video(video);
    },
    remote,
  );
  const work = await openWork({ kernel, videos, tracks, watermarks, ffmpeg, encoder, remote, notices, storage });
  const inputs = openLiveInputs(kernel);
  const liveNews = liveNotices(kernel.get("notifier"), clock, log);
  const metrics = openLiveMetrics(kernel);
  const outputs: Outputs = openOutputs(kernel, () => live);
  const live: Live = await openLive({ kernel, inputs, videos, work, notices: liveNews, metrics, begun: outputs.begun });
  const webRtc = openWebRtc({ sessions: kernel.get("mediaSessions").open("stream"), inputs, notices: liveNews, log });
  const doors = openDoors({ kernel, inputs, live, ffmpeg, notices: liveNews });
  const intake = await openIntake(kernel, videos, ffmpeg, work);
  const tus = tusDoor(kernel, videos, intake);
  const library = openLibrary({ kernel, videos, tracks, watermarks, storage, ffmpeg, intake, work });
  const viewed = openEventLog(meta, clock, log, VIEWS_TABLE);
  const turns = openTurns(config["stream.pictures_at_once"], 100);
  const clips = await openClips(kernel, tracks, ffmpeg);
  const cache = kernel.get("contentCache").open("stream");
  const parts = { kernel, videos, tracks, captions, watermarks, storage, keys, notices, work, intake, tus, library, views, ffmpeg, remote };
  const zones = kernel.get("zones");
  const sources = kernel.get("imageTransforms");
  const transforms = await openTransforms({ kernel, zones, sources, remote, ffmpeg, cache, turns });
  const delivery = videoDelivery({ ...parts, inputs, live, webRtc, cache, turns, player: openPlayer(), viewed, clips });
  const uploads = uploadDoor(kernel, videos, intake, tus, views);
  const routeParts = {
    ...parts,
    inputs,
    live,
    webRtc,
    doors,
    outputs,
    isLiveInput: async (id: string) => (await inputs.find(id)) !== undefined,
  };

  const hosts: HostRoute[] = [
    {
      name: "stream",
      patterns: [`{customer}.${DELIVERY_DOMAIN}`],
      publicHosts: ["{customer}.cloudflarestream.com"],
      wholeHost: true,
      handle: (params, request, response) => delivery.handle(params, request, response),
    },
    {
      name: "stream_upload",
      patterns: [UPLOAD_HOST],
      publicHosts: ["upload.videodelivery.net", "upload.cloudflarestream.com"],
      wholeHost: true,
      handle: (_params, request, response) => uploads.handle(request, response),
    },
    {
      name: "media_on_zones",
      patterns: [],
      paths: [MEDIA_PREFIX],
      resolve: (host) => (zones.ofHost(host) === undefined ? undefined : {}),
      handle: (_params, request, response) => transforms.handleUrl(request, response),
    },
  ];

  await doors.start();
  work.wake();
  notices.start();
  library.start();
  return {
    routes: [...settingRoutes(routeParts), ...liveRoutes(routeParts), ...attachmentRoutes(routeParts), ...videoRoutes(routeParts)],
    hosts,
    bindings: streamBindings(kernel.mint),
    internal: bindingServer(kernel, transforms, turns),
    datasets: { ...viewDatasets(meta, viewed), ...metrics.datasets },
    check: async () => {
      try {
        ffmpeg.demand();
      } catch (error) {
        return { ok: true, detail: (error as Error).message };
      }
      return { ok: true, detail: `${(await storage.usage()).videoCount} videos` };
    },
    async stop() {
      outputs.stop();
      await webRtc.stop();
      await doors.stop();
      await live.stop();
      await metrics.stop();
      await library.stop();
      await work.stop();
      await notices.stop();
      await viewed.stop();
      await remote.close();
    },
  };
}
