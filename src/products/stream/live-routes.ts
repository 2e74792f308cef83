/** REST of live inputs (docs: Start a live stream). */
import type { Route } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import type { Live } from "./live.ts";
import { inputSchema, type LiveInput, type LiveInputs } from "./live-inputs.ts";
import { changed, param, READ, ROOT, type RouteParts, WRITE } from "./routes.ts";

const INPUTS = `${ROOT}/live_inputs`;

export function liveRoutes(parts: RouteParts & { readonly inputs: LiveInputs; readonly live: Live }): Route[] {
  const { inputs, live, videos, views, ffmpeg } = parts;

  const short = ({ uid, created, modified, meta, enabled, deleteRecordingAfterDays }: LiveInput) => ({
    ...{ uid, created: new Date(created).toISOString(), modified: new Date(modified).toISOString(), meta, enabled },
    deleteRecordingAfterDays,
  });
  const whole = (input: LiveInput) => ({
    ...short(input),
    rtmps: { url: live.url, streamKey: input.streamKey },
    playback: { hls: `${views.base(input.uid)}/manifest/video.m3u8` },
    preferLowLatency: input.preferLowLatency,
    defaultCreator: input.defaultCreator,
    recording: input.recording,
    status: live.connected(input.uid) ? "connected" : null,
  });

  return [
    {
      op: "stream.liveInputs.create",
      method: "POST",
      path: INPUTS,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(inputSchema);
        ffmpeg.demand();
        if (live.url === undefined) throw streamError("unsupported", "Live inputs need a port for encoders: set stream.rtmps_port");
        const input = await inputs.create(given);
        changed(c, "CreateLiveInput", "create", "live_input", input.uid);
        return whole(input);
      },
    },
    {
      op: "stream.liveInputs.list",
      method: "GET",
      path: INPUTS,
      permission: READ,
      async handle(c) {
        const found = await inputs.list(c.query.get("search") ?? undefined);
        return { liveInputs: found.map(short), range: found.length, total: found.length };
      },
    },
    {
      op: "stream.liveInputs.get",
      method: "GET",
      path: `${INPUTS}/:input`,
      permission: READ,
      handle: async (c) => whole(await inputs.get(param(c, "input"))),
    },
    {
      op: "stream.liveInputs.update",
      method: "PUT",
      path: `${INPUTS}/:input`,
      permission: WRITE,
      async handle(c) {
        const input = await inputs.change(param(c, "input"), await c.json(inputSchema));
        if (!input.enabled) live.disconnect(input.uid);
        changed(c, "UpdateLiveInput", "update", "live_input", input.uid);
        return whole(input);
      },
    },
    {
      op: "stream.liveInputs.delete",
      method: "DELETE",
      path: `${INPUTS}/:input`,
      permission: WRITE,
      async handle(c) {
        const uid = param(c, "input");
        await inputs.remove(uid);
        live.disconnect(uid);
        changed(c, "DeleteLiveInput", "delete", "live_input", uid);
        return "";
      },
    },
    {
      op: "stream.liveInputs.videos",
      method: "GET",
      path: `${INPUTS}/:input/videos`,
      permission: READ,
      async handle(c) {
        const { uid } = await inputs.get(param(c, "input"));
        return (await videos.list({ liveInput: uid })).map(views.video);
      },
    },
  ];
}
