/** REST of what belongs to a video: captions, sounds that were added, files to download. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Captions } from "./captions.ts";
import { streamError } from "./errors.ts";
import { AUDIO_MAX_BYTES, CAPTION_MAX_BYTES } from "./limits.ts";
import { fetchable } from "./remote.ts";
import { BODILESS_MAX_BYTES, beforeBody, changed, param, READ, ROOT, type RouteParts, WRITE } from "./routes.ts";
import type { Track, Tracks } from "./tracks.ts";
import { newUid, type Video } from "./videos.ts";
import type { Work } from "./work.ts";

const VIDEO = `${ROOT}/:video`;
const label = z.string().min(1).max(128);
const audioCopy = z.object({ url: z.string().max(4096), label });
const audioEdit = z.object({ label: label.optional(), default: z.boolean().optional() });

export function attachmentRoutes(
  parts: RouteParts & { readonly tracks: Tracks; readonly captions: Captions; readonly work: Work },
): Route[] {
  const { kernel, videos, tracks, captions, intake, work, views, ffmpeg } = parts;
  const { meta, leases, blobs, clock } = kernel;
  const video = (c: RequestContext): Promise<Video> => videos.get(param(c, "video"));

  async function readyVideo(c: RequestContext): Promise<Video> {
    const found = await video(c);
    if (found.state !== "ready") throw streamError("notReady");
    return found;
  }

  const extras = async (uid: string): Promise<Track[]> => (await tracks.of(uid)).filter(({ kind }) => kind === "extra");
  const audioView = ({ id, label, isDefault, status }: Track) => ({ uid: id, label, default: isDefault, status });

  async function addAudio(c: RequestContext, uid: string, name: string, source: Track["source"], settle: boolean): Promise<object> {
    const there = await extras(uid);
    if (there.some((track) => track.label === name))
      throw streamError("conflict", "Conflict: another audio track of the video has this label");
    if (there.length >= 50) throw streamError("conflict", "Conflict: the video has 50 audio tracks, the most there can be");
    const track: Track = {
      ...{ id: newUid(), video: uid, kind: "extra", status: "queued", label: name, isDefault: false, created: clock.now(), source },
      ...{ blob: null, size: 0, info: null },
    };
    await meta.transaction(async (tx) => {
      if (settle && source?.kind === "file") await leases.settle(tx, source.blob);
      await tracks.put(tx, track);
    });
    changed(c, "AddAudioTrack", "create", "audio_track", track.id);
    work.wake();
    return audioView(track);
  }

  async function audioTrack(c: RequestContext): Promise<Track> {
    const track = await tracks.find(param(c, "video"), param(c, "audio"));
    if (track?.kind !== "extra") throw streamError("notFound", "Not Found: the video has no such audio track");
    return track;
  }

  const audio: Route[] = [
    {
      op: "stream.audio.list",
      method: "GET",
      path: `${VIDEO}/audio`,
      permission: READ,
      handle: async (c) => ({ audio: (await extras((await video(c)).uid)).map(audioView) }),
    },
    {
      op: "stream.audio.create",
      method: "POST",
      path: `${VIDEO}/audio`,
      permission: WRITE,
      async handle(c) {
        const { uid } = await beforeBody(c, async () => {
          ffmpeg.demand();
          return readyVideo(c);
        });
        return intake.withFile(c.request.body, c.headers.get("content-type"), AUDIO_MAX_BYTES, async (path, { fields, file }) => {
          const name = label.safeParse(fields.label);
          if (file === undefined || !name.success) throw streamError("badRequest", "Bad Request: the form must have a file and a label");
          const blob = await leases.take();
          await blobs.adopt(path, blob);
          return addAudio(c, uid, name.data, { kind: "file", blob }, true).catch(async (error: unknown) => {
            await leases.discard(blob);
            throw error;
          });
        });
      },
    },
    {
      op: "stream.audio.copy",
      method: "POST",
      path: `${VIDEO}/audio/copy`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(audioCopy);
        const { uid } = await readyVideo(c);
        ffmpeg.demand();
        const url = fetchable(given.url);
        if (url === undefined) throw streamError("badRequest", "Bad Request: url must be a URL of http or https");
        return addAudio(c, uid, given.label, { kind: "url", url: url.href }, false);
      },
    },
    {
      op: "stream.audio.edit",
      method: "PATCH",
      path: `${VIDEO}/audio/:audio`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(audioEdit);
        const track = await audioTrack(c);
        const others = (await tracks.of(track.video)).filter(({ id, kind }) => id !== track.id && (kind === "extra" || kind === "audio"));
        if (others.some((other) => other.kind === "extra" && other.label === given.label))
          throw streamError("conflict", "Conflict: another audio track of the video has this label");
        const after = { ...track, label: given.label ?? track.label, isDefault: given.default ?? track.isDefault };
        await meta.transaction(async (tx) => {
          await tracks.put(tx, after);
          if (given.default === true) for (const other of others) if (other.isDefault) await tracks.put(tx, { ...other, isDefault: false });
        });
        changed(c, "UpdateAudioTrack", "update", "audio_track", track.id);
        return audioView(after);
      },
    },
    {
      op: "stream.audio.delete",
      method: "DELETE",
      path: `${VIDEO}/audio/:audio`,
      permission: WRITE,
      async handle(c) {
        const track = await audioTrack(c);
        if (track.isDefault) throw streamError("badRequest", "Bad Request: the default audio track cannot be deleted");
        await (await meta.transaction((tx) => tracks.remove(tx, [track])))();
        changed(c, "DeleteAudioTrack", "delete", "audio_track", track.id);
        return "ok";
      },
    },
  ];

  const captionRoutes: Route[] = [
    {
      op: "stream.captions.list",
      method: "GET",
      path: `${VIDEO}/captions`,
      permission: READ,
      handle: async (c) => captions.of((await video(c)).uid),
    },
    {
      op: "stream.captions.get",
      method: "GET",
      path: `${VIDEO}/captions/:language`,
      permission: READ,
      handle: async (c) => captions.get((await video(c)).uid, param(c, "language")),
    },
    {
      op: "stream.captions.update",
      method: "PUT",
      path: `${VIDEO}/captions/:language`,
      permission: WRITE,
      async handle(c) {
        const { uid } = await beforeBody(c, () => video(c));
        const caption = await intake.withFile(c.request.body, c.headers.get("content-type"), CAPTION_MAX_BYTES, async (path, { file }) => {
          if (file === undefined) throw streamError("badRequest", "Bad Request: the form has no file");
          return captions.put(uid, param(c, "language"), await readFile(path));
        });
        changed(c, "UploadCaption", "update", "caption", `${uid}/${caption.language}`);
        return caption;
      },
    },
    {
      op: "stream.captions.generate",
      method: "POST",
      path: `${VIDEO}/captions/:language/generate`,
      permission: WRITE,
      async handle(c) {
        await c.bytes(BODILESS_MAX_BYTES);
        await readyVideo(c);
        throw streamError("unsupported", "Captions cannot be generated: this installation has no model for speech");
      },
    },
    {
      op: "stream.captions.vtt",
      method: "GET",
      path: `${VIDEO}/captions/:language/vtt`,
      permission: READ,
      async handle(c) {
        const bytes = await captions.text((await video(c)).uid, param(c, "language"));
        return new Response(new Uint8Array(bytes), {
          headers: { "content-type": "text/vtt; charset=utf-8", "x-content-type-options": "nosniff" },
        });
      },
    },
    {
      op: "stream.captions.delete",
      method: "DELETE",
      path: `${VIDEO}/captions/:language`,
      permission: WRITE,
      async handle(c) {
        await captions.remove((await video(c)).uid, param(c, "language"));
        changed(c, "DeleteCaption", "delete", "caption", `${param(c, "video")}/${param(c, "language")}`);
        return "";
      },
    },
  ];

  const files = { default: { kind: "mp4", path: "default.mp4" }, audio: { kind: "m4a", path: "audio.m4a" } } as const;

  async function downloads(uid: string): Promise<object> {
    const all = await tracks.of(uid);
    return Object.fromEntries(
      Object.entries(files).flatMap(([name, { kind, path }]) => {
        const track = all.find((candidate) => candidate.kind === kind);
        if (track === undefined) return [];
        const status = track.status === "queued" ? "inprogress" : track.status;
        return [[name, { status, url: `${views.base(uid)}/downloads/${path}`, percentComplete: track.status === "ready" ? 100 : 0 }]];
      }),
    );
  }

  async function demandDownload(c: RequestContext, name: keyof typeof files): Promise<object> {
    await c.bytes(BODILESS_MAX_BYTES);
    const { uid } = await readyVideo(c);
    ffmpeg.demand();
    const { kind } = files[name];
    const all = await tracks.of(uid);
    if (name === "audio" && !all.some((track) => track.kind === "audio"))
      throw streamError("badRequest", "Bad Request: the video has no sound");
    if (!all.some((track) => track.kind === kind && track.status !== "error")) {
      const track = { id: newUid(), video: uid, kind, status: "queued", label: name, isDefault: false, created: clock.now() } as const;
      const failed = all.filter((other) => other.kind === kind);
      await meta.transaction(async (tx) => {
        await tracks.remove(tx, failed);
        await tracks.put(tx, { ...track, source: null, blob: null, size: 0, info: null });
      });
      work.wake();
      changed(c, "CreateDownload", "create", "download", `${uid}/${name}`);
    }
    const { [name]: one } = (await downloads(uid)) as Record<string, object>;
    return { [name]: one };
  }

  async function removeDownloads(c: RequestContext, names: readonly (keyof typeof files)[]): Promise<string> {
    const { uid } = await video(c);
    const gone = (await tracks.of(uid)).filter(({ kind }) => names.some((name) => files[name].kind === kind));
    if (gone.length === 0) throw streamError("notFound", "Not Found: the video has no such download");
    await (await meta.transaction((tx) => tracks.remove(tx, gone)))();
    changed(c, "DeleteDownload", "delete", "download", uid);
    return "";
  }

  const post = (op: string, path: string, name: keyof typeof files): Route => ({
    op,
    method: "POST",
    path: `${VIDEO}/downloads${path}`,
    permission: WRITE,
    handle: (c) => demandDownload(c, name),
  });
  const remove = (op: string, path: string, names: readonly (keyof typeof files)[]): Route => ({
    op,
    method: "DELETE",
    path: `${VIDEO}/downloads${path}`,
    permission: WRITE,
    handle: (c) => removeDownloads(c, names),
  });
  const downloadRoutes: Route[] = [
    {
      op: "stream.downloads.get",
      method: "GET",
      path: `${VIDEO}/downloads`,
      permission: READ,
      handle: async (c) => downloads((await video(c)).uid),
    },
    post("stream.downloads.create", "", "default"),
    post("stream.downloads.createDefault", "/default", "default"),
    post("stream.downloads.createAudio", "/audio", "audio"),
    remove("stream.downloads.delete", "", ["default", "audio"]),
    remove("stream.downloads.deleteDefault", "/default", ["default"]),
    remove("stream.downloads.deleteAudio", "/audio", ["audio"]),
  ];
  return [...audio, ...captionRoutes, ...downloadRoutes];
}
