/** REST of live inputs (docs: Start a live stream). */
import type { Route } from "../../../kernel/product.ts";
import { changed, param, READ, ROOT, type RouteParts, WRITE } from "../routes.ts";
import type { Live } from "./broadcasts.ts";
import type { Doors } from "./doors.ts";
import { inputSchema, type LiveInput, type LiveInputs } from "./inputs.ts";
import { type Output, type Outputs, outputChangeSchema, outputSchema } from "./outputs.ts";
import type { WebRtc } from "./web-rtc.ts";

const INPUTS = `${ROOT}/live_inputs`;
const OUTPUTS = `${INPUTS}/:input/outputs`;

export interface LiveRouteParts extends RouteParts {
  readonly inputs: LiveInputs;
  readonly live: Live;
  readonly webRtc: WebRtc;
  readonly doors: Doors;
  readonly outputs: Outputs;
}

export function liveRoutes(parts: LiveRouteParts): Route[] {
  const { inputs, live, webRtc, doors, outputs, videos, views, ffmpeg } = parts;

  const short = ({ uid, created, modified, meta, enabled, deleteRecordingAfterDays }: LiveInput) => ({
    ...{ uid, created: new Date(created).toISOString(), modified: new Date(modified).toISOString(), meta, enabled },
    deleteRecordingAfterDays,
  });
  const whole = (input: LiveInput) => ({
    ...short(input),
    ...(doors.rtmps !== undefined && {
      rtmps: { url: doors.rtmps, streamKey: input.streamKey },
      rtmpsPlayback: { url: doors.rtmps, streamKey: input.keys.rtmpsPlayback },
    }),
    ...(doors.srt !== undefined && {
      srt: { url: doors.srt, streamId: input.uid, passphrase: input.keys.srt },
      srtPlayback: { url: doors.srt, streamId: `play${input.uid}`, passphrase: input.keys.srtPlayback },
    }),
    webRTC: { url: `${views.base(input.keys.webRtc)}/webRTC/publish` },
    webRTCPlayback: { url: `${views.base(input.uid)}/webRTC/play` },
    playback: { hls: `${views.base(input.uid)}/manifest/video.m3u8` },
    preferLowLatency: input.preferLowLatency,
    defaultCreator: input.defaultCreator,
    recording: input.recording,
    status: live.connected(input.uid) || webRtc.connected(input.uid) ? "connected" : null,
  });

  const end = (uid: string): void => {
    live.disconnect(uid);
    webRtc.disconnect(uid);
  };
  const output = ({ uid, url, streamKey, enabled }: Output) => ({ uid, url, streamKey, enabled });

  return [
    {
      op: "stream.liveInputs.create",
      method: "POST",
      path: INPUTS,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(inputSchema);
        ffmpeg.demand();
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
        if (!input.enabled) end(input.uid);
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
        end(uid);
        await outputs.removeAll(uid);
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
    {
      op: "stream.liveInputs.outputs.create",
      method: "POST",
      path: OUTPUTS,
      permission: WRITE,
      async handle(c) {
        const { uid } = await inputs.get(param(c, "input"));
        const made = await outputs.create(uid, await c.json(outputSchema));
        changed(c, "CreateLiveInputOutput", "create", "live_input_output", made.uid);
        return output(made);
      },
    },
    {
      op: "stream.liveInputs.outputs.list",
      method: "GET",
      path: OUTPUTS,
      permission: READ,
      handle: async (c) => (await outputs.list((await inputs.get(param(c, "input"))).uid)).map(output),
    },
    {
      op: "stream.liveInputs.outputs.update",
      method: "PUT",
      path: `${OUTPUTS}/:output`,
      permission: WRITE,
      async handle(c) {
        const { enabled } = await c.json(outputChangeSchema);
        const made = await outputs.change(param(c, "input"), param(c, "output"), enabled);
        changed(c, "UpdateLiveInputOutput", "update", "live_input_output", made.uid);
        return output(made);
      },
    },
    {
      op: "stream.liveInputs.outputs.delete",
      method: "DELETE",
      path: `${OUTPUTS}/:output`,
      permission: WRITE,
      async handle(c) {
        await outputs.remove(param(c, "input"), param(c, "output"));
        changed(c, "DeleteLiveInputOutput", "delete", "live_input_output", param(c, "output"));
        return "";
      },
    },
  ];
}
