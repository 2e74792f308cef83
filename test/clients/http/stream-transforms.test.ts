/** Media transformations: videos of elsewhere by `/cdn-cgi/media/` on a zone, looked at with ffprobe. Needs FFmpeg. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import sharp from "sharp";
import { ffmpeg, ffprobe, testVideo } from "../../harness/ffmpeg.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { atHost } from "../pictures.ts";
import { openWorld, settled, startStream } from "../stream-world.ts";

const HOST = "www.media.example";
const directory = await temporaryDirectory("stream-media-");
const files: Record<string, { body: Buffer; type: string; status?: number }> = {};
const [platform, world, path] = await Promise.all([
  startStream({ after }),
  openWorld({ after }, files),
  testVideo(directory, "clip.mp4", { seconds: 4 }),
]);
const long = join(directory, "long.mp4");
await ffmpeg("-f", "lavfi", "-i", "color=blue:size=16x16:rate=1:duration=602", "-c:v", "libx264", "-preset", "ultrafast", long);
files["clip.mp4"] = { body: await readFile(path), type: "video/mp4" };
files["long.mp4"] = { body: await readFile(long), type: "video/mp4" };
files["page.html"] = { body: Buffer.from("<!doctype html>"), type: "text/html" };
files["list.mp4"] = { body: Buffer.from(`#EXTM3U\n#EXTINF:5,\nfile://${path}\n`), type: "video/mp4" };
files["denied.mp4"] = { body: Buffer.from(""), type: "video/mp4", status: 403 };
files["broken.mp4"] = { body: Buffer.from(""), type: "video/mp4", status: 500 };

const sdk = platform.sdk();
const { id: zone_id } = await sdk.zones.create({ account: { id: platform.ready.account_id }, name: "media.example" });
const setting = (name: string, value: string) => sdk.zones.settings.edit(name, { zone_id, value } as never);
const ask = async (options: string, source = `${world.url}/clip.mp4`, headers: Record<string, string> = {}) => {
  const { status, headers: got, bytes } = await atHost(platform, HOST, `/cdn-cgi/media/${options}/${source}`, headers);
  return { status, headers: { get: (name: string) => got[name] }, bytes };
};
const probe = async (bytes: Buffer) => {
  const file = join(directory, "result");
  await writeFile(file, bytes);
  return ffprobe(file);
};

test("[stream-50, stream-51] a zone makes videos, frames, sounds and sheets of what its sources have, and says why not by number", async () => {
  assert.equal((await ask("mode=frame")).status, 404, "transformations are off");
  await setting("transformations", "on");
  const foreign = await ask("mode=frame");
  assert.deepEqual([foreign.status, foreign.headers.get("cf-resized")], [403, "err=9401"]);
  await setting("transformations_allowed_origins", new URL(world.url).host);

  const video = await ask("mode=video,time=1s,duration=2s,width=100,height=100,fit=cover,audio=false,filename=short.mp4");
  assert.deepEqual(
    [video.status, video.headers.get("content-type"), video.headers.get("content-disposition")],
    [200, "video/mp4", 'inline; filename="short.mp4"'],
    video.bytes.toString("latin1", 0, 200),
  );
  const { streams, format } = await probe(video.bytes);
  assert.deepEqual(
    streams.map(({ codec_name, width, height }) => [codec_name, width, height]),
    [["h264", 100, 100]],
  );
  assert.ok(Math.abs(Number(format.duration) - 2) < 0.2, format.duration);
  const part = await ask("mode=video,time=1s,duration=2s,width=100,height=100,fit=cover,audio=false,filename=short.mp4", undefined, {
    range: "bytes=4-7",
  });
  assert.deepEqual([part.status, part.bytes.toString()], [206, "ftyp"]);
  const whole = await probe((await ask("width=160")).bytes);
  assert.deepEqual(
    whole.streams.map(({ codec_name, width, height }) => [codec_name, width, height]),
    [
      ["h264", 160, 90],
      ["aac", undefined, undefined],
    ],
  );
  const larger = await probe((await ask("width=2000,fit=scale-down,duration=1s")).bytes);
  assert.equal(larger.streams[0]?.width, 320);

  const picture = async (options: string) => {
    const { status, headers, bytes } = await ask(options);
    assert.equal(status, 200, `${options}: ${bytes}`);
    const { format: kind, width, height } = await sharp(bytes).metadata();
    return [headers.get("content-type"), kind, width, height];
  };
  assert.deepEqual(await picture("mode=frame,time=2s,height=90"), ["image/jpeg", "jpeg", 160, 90]);
  assert.deepEqual(await picture("mode=frame,time=2s,width=80,format=png"), ["image/png", "png", 80, 46]);
  assert.deepEqual(await picture("mode=spritesheet,duration=4s,width=64,height=36,fit=cover"), ["image/jpeg", "jpeg", 256, 108]);
  const sound = await ask("mode=audio,time=1s,duration=1s");
  assert.equal(sound.headers.get("content-type"), "audio/mp4");
  const heard = await probe(sound.bytes);
  assert.deepEqual(
    heard.streams.map(({ codec_name }) => codec_name),
    ["aac"],
  );

  for (const [options, source, number, status] of [
    ["mode=dance", undefined, 9401, 400],
    ["mode=frame,time=11m", undefined, 9401, 400],
    ["duration=61s", undefined, 9401, 400],
    ["width=9", undefined, 9401, 400],
    ["mode=audio,audio=false", undefined, 9401, 400],
    ["mode=frame", "https://elsewhere.example/clip.mp4", 9401, 403],
    ["mode=frame", `${world.url}/long.mp4`, 9402, 413],
    ["mode=frame", `${world.url}/missing.mp4`, 9404, 404],
    ["mode=frame", "ftp://media.example/clip.mp4", 9406, 400],
    ["mode=frame", `${world.url}/denied.mp4`, 9408, 403],
    ["mode=frame", `${world.url}/page.html`, 9412, 415],
    ["mode=frame", `${world.url}/list.mp4`, 9412, 415],
    ["mode=frame", `${world.url}/broken.mp4`, 9509, 502],
  ] as const) {
    const answer = await ask(options, source);
    const said = [answer.status, answer.headers.get("cf-resized")];
    assert.deepEqual(said, [status, `err=${number}`], `${options} ${source}: ${answer.bytes}`);
    assert.match(answer.bytes.toString(), new RegExp(`^ERROR ${number}: .+`));
  }
  await setting("transformations", "open");
  assert.equal((await ask("mode=frame", "http://localhost:1/clip.mp4")).headers.get("cf-resized"), "err=9504");
});

test("[stream-54] a Worker uploads, manages and transforms videos by its bindings, without a token", async () => {
  const worker = await deployWorker(platform, {
    config: { name: "media", stream: { binding: "STREAM" }, media: { binding: "MEDIA" } },
    files: {
      "index.js": `
        const answer = async (work) => {
          try { return Response.json((await work()) ?? null); }
          catch (error) { return Response.json({ name: error.name, message: error.message }, { status: 500 }); }
        };
        const stream = (text) => new Response(text).body;
        export default { async fetch(request, { STREAM, MEDIA }) {
          const url = new URL(request.url);
          const [, name, id] = url.pathname.split("/");
          const params = JSON.parse(url.searchParams.get("params") ?? "{}");
          const video = id && STREAM.video(id);
          const calls = {
            upload: () => STREAM.upload(params.url ?? request.body, params.options),
            direct: () => STREAM.createDirectUpload(params),
            list: () => STREAM.videos.list(params),
            details: () => video.details(),
            update: () => video.update(params),
            delete: () => video.delete(),
            token: () => video.generateToken(),
            downloads: async () => [await video.downloads.generate(), await video.downloads.get(), await video.downloads.delete()],
            captions: async () => [await video.captions.upload("de", stream(params.text)), await video.captions.list(), await video.captions.delete("de"), await video.captions.list()],
            watermarks: async () => {
              const made = await STREAM.watermarks.generate(request.body, params);
              return [made, await STREAM.watermarks.list(), await STREAM.watermarks.get(made.id), await STREAM.watermarks.delete(made.id), await STREAM.watermarks.list()];
            },
            type: () => MEDIA.input(request.body).output({ mode: "audio" }).contentType(),
            wrong: () => MEDIA.input(request.body).output({ mode: "frame", time: "1h" }).response(),
          };
          if (name === "frame") return MEDIA.input(request.body).transform({ width: 100, height: 60, fit: "cover" }).output({ mode: "frame", time: "1s", format: "png" }).response();
          if (name === "video") return new Response(await MEDIA.input(request.body).output({ mode: "video", time: "1s", duration: "2s", audio: false }).media());
          return answer(calls[name]);
        } };`,
    },
  });
  const call = async (path: string, params: object = {}, body?: Buffer) => {
    const url = `${worker.url}/${path}?params=${encodeURIComponent(JSON.stringify(params))}`;
    return platform.fetch(url, body === undefined ? {} : { method: "POST", body: new Uint8Array(body) });
  };
  const json = async (path: string, params: object = {}, body?: Buffer) => {
    const answer = await call(path, params, body);
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text);
  };
  const bytes = files["clip.mp4"]?.body as Buffer;
  const made = await json("upload", { options: { meta: { name: "mine" }, creator: "worker" } }, bytes);
  assert.deepEqual([made.meta.name, made.creator, typeof made.hlsPlaybackUrl], ["mine", "worker", "string"]);
  assert.equal((await settled(platform, made.id)).status?.state, "ready");
  const copied = await json("upload", { url: `${world.url}/clip.mp4`, options: { meta: { name: "copied" } } });
  await settled(platform, copied.id);
  const ids = ((await json("list")) as { id: string }[]).map(({ id }) => id);
  assert.deepEqual(ids.toSorted(), [made.id, copied.id].toSorted());
  await json(`update/${made.id}`, { requireSignedURLs: true });
  const details = await json(`details/${made.id}`);
  assert.deepEqual([details.id, details.requireSignedURLs, details.watermark, details.liveInputId], [made.id, true, null, null]);
  const token = await json(`token/${made.id}`);
  const play = (id: string) => platform.fetch(details.hlsPlaybackUrl.replace(made.id, id));
  assert.deepEqual([(await play(made.id)).status, (await play(token)).status], [401, 200]);
  const [generated, got] = await json(`downloads/${copied.id}`);
  assert.deepEqual([Object.keys(generated), Object.keys(got)], [["default"], ["default"]]);
  const text = "WEBVTT\n\n00:00.000 --> 00:01.000\nHallo\n";
  const [caption, one, , none] = await json(`captions/${copied.id}`, { text });
  assert.deepEqual([caption.language, caption.label, one.length, none], ["de", "Deutsch", 1, []]);
  const png = await sharp({ create: { width: 20, height: 10, channels: 4, background: "red" } })
    .png()
    .toBuffer();
  const [mark, marks, again, , left] = await json("watermarks", { name: "logo", opacity: 0.5 }, png);
  assert.deepEqual([mark.name, mark.opacity, mark.width, marks.length, again.id, left], ["logo", 0.5, 20, 1, mark.id, []]);
  const direct = await json("direct", { maxDurationSeconds: 60 });
  assert.match(direct.uploadURL, new RegExp(`/${direct.id}$`));
  await json(`delete/${copied.id}`);
  const gone = await (await call(`details/${copied.id}`)).json();
  assert.match(JSON.stringify(gone), /Not Found/);

  const frame = await call("frame", {}, bytes);
  assert.equal(frame.headers.get("content-type"), "image/png");
  const { width, height } = await sharp(Buffer.from(await frame.arrayBuffer())).metadata();
  assert.deepEqual([width, height], [100, 60]);
  const cutOut = await probe(Buffer.from(await (await call("video", {}, bytes)).arrayBuffer()));
  assert.deepEqual(
    cutOut.streams.map(({ codec_name }) => codec_name),
    ["h264"],
  );
  assert.ok(Math.abs(Number(cutOut.format.duration) - 2) < 0.2, cutOut.format.duration);
  assert.equal(await json("type", {}, bytes), "audio/mp4");
  assert.match(JSON.stringify(await (await call("wrong", {}, bytes)).json()), /9401/);
});
