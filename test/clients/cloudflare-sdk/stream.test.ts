/** Stream by its REST API: uploads of every kind, what becomes of them, and what is kept of them. Needs FFmpeg. */
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import sharp from "sharp";
import * as tus from "tus-js-client";
import { FormData } from "undici";
import { ffmpeg, testVideo } from "../../harness/ffmpeg.ts";
import { loopbackLookup } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { formWith, openWorld, probeUrl, settled, signedBy, startStream, upload, type Video } from "../stream-world.ts";

const files: Record<string, { body: Buffer; type: string }> = {};
const directory = await temporaryDirectory("stream-");
const [platform, small, world] = await Promise.all([
  startStream({ after }),
  testVideo(directory, "small.mp4", { seconds: 5 }),
  openWorld({ after }, files),
]);
const sdk = platform.sdk();
const { account_id } = platform.ready;
files["puppy.mp4"] = { body: await readFile(small), type: "video/mp4" };
// Several renditions: long enough under way to be seen there.
files["larger.mp4"] = {
  body: await readFile(await testVideo(directory, "larger.mp4", { seconds: 5, size: "1280x720" })),
  type: "video/mp4",
};

const rejects = (promise: Promise<unknown>, status: number, code?: number): Promise<void> =>
  assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof Cloudflare.APIError, String(error));
    assert.equal(error.status, status);
    if (code !== undefined) assert.equal(error.errors?.[0]?.code, code);
    return true;
  });

test("[stream-01, stream-07, stream-33] a video is fetched from a URL, goes through its states, plays, and the signed webhook tells of it", async () => {
  const hook = await sdk.stream.webhooks.update({ account_id, notificationUrl: `${world.url}/hook` });
  assert.match(String((hook as { secret?: string }).secret), /^[0-9a-f]{32}$/);
  const copied = (await sdk.stream.copy.create({ account_id, url: `${world.url}/larger.mp4`, meta: { name: "puppy one" } })) as Video;
  assert.equal(copied.status?.state, "downloading");
  assert.deepEqual([copied.readyToStream, copied.duration, copied.input], [false, -1, { width: -1, height: -1 }]);

  const states = new Set<string>(["downloading"]);
  const progress: number[] = [];
  const video = await settled(platform, copied.uid, ({ status }) => {
    states.add(String(status?.state));
    if (status?.pctComplete !== undefined) progress.push(Number(status.pctComplete));
  });
  assert.equal(video.status?.state, "ready", JSON.stringify(video.status));
  const order = ["downloading", "queued", "inprogress", "ready"];
  assert.deepEqual(
    [...states],
    order.filter((state) => states.has(state)),
  );
  assert.ok(states.has("inprogress"), "the encoding was seen");
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
  );
  assert.deepEqual([video.status?.pctComplete, video.readyToStream], ["100.000000", true]);
  assert.deepEqual(video.input, { width: 1280, height: 720 });
  assert.ok(Math.abs((video.duration as number) - 5) < 0.1);
  assert.equal((video.meta as Record<string, string>)["downloaded-from"], `${world.url}/larger.mp4`);

  const { streams, format } = await probeUrl(platform, video.playback?.hls as string);
  assert.deepEqual([...new Map(streams.map(({ codec_type, codec_name }) => [codec_type, codec_name]))].sort(), [
    ["audio", "aac"],
    ["video", "h264"],
  ]);
  assert.equal(format.format_name, "hls");

  const heard = await world.post(({ body }) => body.includes(copied.uid));
  assert.ok(signedBy((hook as { secret: string }).secret, heard));
  const told = JSON.parse(heard.body) as Video;
  assert.deepEqual([told.uid, told.status?.state, told.readyToStream], [copied.uid, "ready", true]);
  assert.equal(((await sdk.stream.webhooks.get({ account_id })) as { notificationUrl?: string }).notificationUrl, `${world.url}/hook`);

  // A URL without a file: the webhook tells of the failure too.
  const missing = (await sdk.stream.copy.create({ account_id, url: `${world.url}/missing.mp4` })) as Video;
  const failed = JSON.parse((await world.post(({ body }) => body.includes(missing.uid))).body) as Video;
  assert.deepEqual([failed.status?.state, failed.status?.errorReasonCode], ["error", "ERR_FETCH_ORIGIN_ERROR"]);
  assert.equal((await platform.fetch(failed.playback?.hls as string)).status, 424);
  await sdk.stream.webhooks.delete({ account_id });
  await rejects(sdk.stream.webhooks.get({ account_id }) as Promise<unknown>, 404);
});

test("[stream-02] a form uploads a video; what is no video is refused with 400 and 10059, and opens no other file", async () => {
  const uploaded = await upload(platform, small);
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body));
  assert.ok(["queued", "inprogress"].includes(uploaded.body.result.status?.state as string));
  assert.equal((await settled(platform, uploaded.body.result.uid)).status?.state, "ready");

  const picture = join(directory, "a.png");
  await writeFile(
    picture,
    await sharp({ create: { width: 20, height: 20, channels: 3, background: "red" } })
      .png()
      .toBuffer(),
  );
  // Playlists and lists of files name other files: ffmpeg would read them.
  const playlist = join(directory, "list.mp4");
  await writeFile(playlist, "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n");
  const local = join(directory, "local.m3u8");
  await writeFile(local, `#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://${small}\n#EXT-X-ENDLIST\n`);
  const concat = join(directory, "concat.txt");
  await writeFile(concat, `ffconcat version 1.0\nfile '${small}'\n`);
  const count = async () => (await sdk.stream.list({ account_id })).result.length;
  const there = await count();
  for (const path of [picture, playlist, local, concat]) {
    const { status, body } = await upload(platform, path);
    assert.deepEqual([status, body.errors[0]?.code], [400, 10059], path);
  }
  assert.equal(await count(), there, "nothing is left of them");
});

/** tus-js-client in Node, which resolves no names of this machine. */
function tusUpload(
  endpoint: { endpoint: string } | { uploadUrl: string },
  path: string,
  options: Partial<tus.UploadOptions> & { uploadSize: number },
) {
  return new Promise<string>((resolve, reject) => {
    let id = "";
    const httpStack = new tus.DefaultHttpStack({ agent: new http.Agent({ lookup: loopbackLookup as never }) } as never);
    const upload = new tus.Upload(createReadStream(path), {
      ...endpoint,
      httpStack,
      retryDelays: null,
      chunkSize: 50 * 1024 * 1024,
      ...options,
      onAfterResponse(request, response) {
        id = response.getHeader("stream-media-id") ?? id;
        options.onAfterResponse?.(request, response);
      },
      onError: reject,
      onSuccess: () => resolve(id),
    });
    upload.start();
  });
}

test("[stream-03, stream-04] tus-js-client uploads in chunks, goes on after a crash of both sides, and its metadata counts", async () => {
  // Noise does not get small: three chunks of the smallest size that is allowed.
  const path = join(directory, "large.mp4");
  await ffmpeg(
    "-f",
    "lavfi",
    "-i",
    "nullsrc=s=640x360:d=2:r=10,geq=random(1)*255:128:128",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-qp",
    "1",
    path,
  );
  const { size } = await stat(path);
  assert.ok(size > 5 * 1024 * 1024, `the file has ${size} bytes`);
  const endpoint = `${platform.ready.api}/accounts/${account_id}/stream`;
  const headers = { Authorization: `Bearer ${platform.ready.api_token}` };
  const expiry = new Date(Date.now() + 3600_000).toISOString();
  const metadata = {
    name: "tussed.mp4",
    filetype: "video/mp4",
    requiresignedurls: "",
    expiry,
    allowedorigins: "example.com,*.example.org",
  };
  let url = "";
  let id = "";
  // The client is killed after its first chunk.
  await new Promise<void>((resolve, reject) => {
    const upload = new tus.Upload(createReadStream(path), {
      ...{ endpoint, headers, metadata, uploadSize: size, chunkSize: 5 * 1024 * 1024, retryDelays: null },
      onAfterResponse: (_request, response) => {
        id = response.getHeader("stream-media-id") ?? id;
      },
      onError: reject,
      onChunkComplete: () => {
        url = upload.url as string;
        upload.abort().then(resolve, reject);
      },
    });
    upload.start();
  });
  assert.match(id, /^[0-9a-f]{32}$/);
  await platform.kill9();
  await platform.restart();
  const pending = (await sdk.stream.get(id, { account_id })) as Video;
  assert.equal(pending.status?.state, "pendingupload");
  assert.deepEqual(
    [pending.requireSignedURLs, pending.allowedOrigins, pending.uploadExpiry],
    [true, ["example.com", "*.example.org"], expiry],
  );
  assert.deepEqual(pending.meta, { name: "tussed.mp4", filetype: "video/mp4" });

  const offsets: number[] = [];
  const resumed = await tusUpload({ uploadUrl: url }, path, {
    headers,
    uploadSize: size,
    onAfterResponse: (request, response) => {
      if (request.getMethod() === "HEAD") offsets.push(Number(response.getHeader("upload-offset")));
    },
  });
  assert.deepEqual([resumed, offsets[0]], [id, 5 * 1024 * 1024], "the first chunk was kept");
  const video = await settled(platform, id);
  assert.deepEqual([video.status?.state, video.size], ["ready", size]);
  assert.equal((await platform.fetch(video.playback?.hls as string)).status, 401, "it needs signed URLs");

  // Chunks have rules, and an upload whose time is over takes nothing more.
  const begin = (more: Record<string, string>) =>
    platform.fetch(endpoint, { method: "POST", headers: { ...headers, "tus-resumable": "1.0.0", "upload-length": String(size), ...more } });
  const created = await begin({});
  const chunk = { "tus-resumable": "1.0.0", "upload-offset": "0", "content-type": "application/offset+octet-stream" };
  const place = created.headers.get("location") as string;
  const short = await platform.fetch(place, { method: "PATCH", headers: { ...headers, ...chunk }, body: Buffer.alloc(1000) });
  assert.equal(short.status, 400);
  const wrong = await platform.fetch(place, {
    method: "PATCH",
    headers: { ...headers, ...chunk, "upload-offset": "7" },
    body: Buffer.alloc(size - 7),
  });
  assert.equal(wrong.status, 409);
  const past = Buffer.from(new Date(Date.now() - 1000).toISOString()).toString("base64");
  assert.equal((await begin({ "upload-metadata": `expiry ${past}` })).status, 400);
});

test("[stream-05, stream-06, stream-53] creators upload without a token: once, within the time that is reserved for them", async () => {
  const minutes = async () =>
    ((await sdk.stream.videos.storageUsage({ account_id })) as { totalStorageMinutes?: number }).totalStorageMinutes as number;
  const beforehand = await minutes();
  const direct = await sdk.stream.directUpload.create({
    account_id,
    maxDurationSeconds: 600,
    creator: "creator-1",
    requireSignedURLs: false,
  });
  assert.equal(await minutes(), beforehand + 10, "its longest time is reserved");
  const send = async (url: string) => platform.fetch(url, { method: "POST", body: await formWith(small) });
  assert.equal((await send(direct.uploadURL as string)).status, 200);
  const again = await send(direct.uploadURL as string);
  assert.ok(again.status >= 400 && again.status < 500, String(again.status));
  const video = await settled(platform, direct.uid as string);
  assert.deepEqual([video.status?.state, video.creator, video.maxDurationSeconds], ["ready", "creator-1", 600]);
  assert.ok((await minutes()) <= beforehand + 1, "what was not needed is free again");

  const long = await sdk.stream.directUpload.create({ account_id, maxDurationSeconds: 2 });
  assert.equal((await send(long.uploadURL as string)).status, 200);
  const refused = await settled(platform, long.uid as string);
  assert.deepEqual([refused.status?.state, refused.status?.errorReasonCode], ["error", "ERR_DURATION_EXCEED_CONSTRAINT"]);

  const { api, api_token } = platform.ready;
  const { size } = await stat(small);
  const metadata = `maxDurationSeconds ${Buffer.from("60").toString("base64")},requiresignedurls`;
  const made = await platform.fetch(`${api}/accounts/${account_id}/stream?direct_user=true`, {
    method: "POST",
    headers: {
      authorization: `bearer ${api_token}`,
      "tus-resumable": "1.0.0",
      "upload-length": String(size),
      "upload-metadata": metadata,
      "upload-creator": "creator-2",
    },
  });
  assert.equal(made.status, 201);
  const uid = made.headers.get("stream-media-id") as string;
  assert.equal(await tusUpload({ uploadUrl: made.headers.get("location") as string }, small, { uploadSize: size }), uid);
  const tussed = await settled(platform, uid);
  assert.deepEqual(
    [tussed.status?.state, tussed.creator, tussed.maxDurationSeconds, tussed.requireSignedURLs],
    ["ready", "creator-2", 60, true],
  );

  const hour = new Date(Date.now() + 3_600_000).toISOString();
  const expiring = await sdk.stream.directUpload.create({ account_id, maxDurationSeconds: 1200, expiry: hour });
  assert.ok((await minutes()) >= beforehand + 20);
  assert.equal((await sdk.stream.get(expiring.uid as string, { account_id })).uploadExpiry, hour);
  // The upload that never comes goes when its time is over.
  await sdk.stream.edit(expiring.uid as string, { account_id, uploadExpiry: new Date().toISOString() });
  while ((await sdk.stream.list({ account_id, status: "pendingupload" })).result.some(({ uid }) => uid === expiring.uid))
    await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok((await minutes()) <= beforehand + 2);
});

test("[stream-08, stream-09, stream-31, stream-32] videos are found by name, creator and state, edited, scheduled and deleted", async () => {
  const make = async (name: string, creator: string) =>
    (await sdk.stream.copy.create({ account_id, url: `${world.url}/puppy.mp4`, meta: { name }, "Upload-Creator": creator })) as Video;
  const [first, second] = [await make("A Puppy runs", "ann"), await make("kittens", "bob")];
  for (const { uid } of [first, second]) await settled(platform, uid);
  const found = async (query: Omit<Cloudflare.Stream.StreamListParams, "account_id">) =>
    (await sdk.stream.list({ account_id, ...query })).result.map(({ uid }) => uid);
  assert.ok((await found({ search: "puppy" })).includes(first.uid));
  assert.deepEqual(await found({ search: "kitten" }), [second.uid]);
  assert.deepEqual(await found({ creator: "bob" }), [second.uid]);
  assert.deepEqual(await found({ creator: "ann", status: "error" }), []);
  assert.deepEqual(await found({ creator: "ann", status: "ready" }), [first.uid]);
  assert.deepEqual(await found({ after: first.created as string, search: "kitten" }), [second.uid]);
  assert.deepEqual(await found({ before: first.created as string, creator: "ann" }), []);
  const oldest = await found({ asc: true, limit: 1 });
  assert.equal(oldest.length, 1);
  assert.notEqual(oldest[0], second.uid);
  const counted = await platform.rest("GET", `/accounts/${account_id}/stream?include_counts=true&creator=ann`);
  assert.deepEqual(
    [(counted.body as unknown as Record<string, string>).total, (counted.body as unknown as Record<string, string>).range],
    ["1", "1"],
  );

  const edited = await sdk.stream.edit(first.uid, { account_id, meta: { name: "renamed" }, creator: "eve" });
  assert.deepEqual([edited.meta, edited.creator], [{ name: "renamed" }, "eve"]);
  assert.deepEqual(await found({ creator: "eve" }), [first.uid]);
  const day = 24 * 3600_000;
  const at = (days: number) => new Date(Date.parse(first.created as string) + days * day).toISOString();
  await rejects(sdk.stream.edit(first.uid, { account_id, scheduledDeletion: at(29) }), 400);
  await rejects(sdk.stream.edit(first.uid, { account_id, scheduledDeletion: at(1097) }), 400);
  assert.equal((await sdk.stream.edit(first.uid, { account_id, scheduledDeletion: at(30) })).scheduledDeletion, at(30));

  await sdk.stream.delete(first.uid, { account_id });
  await rejects(sdk.stream.get(first.uid, { account_id }), 404);
  assert.equal((await platform.fetch(first.playback?.hls as string)).status, 404);
  await rejects(sdk.stream.delete(first.uid, { account_id }), 404);
});

test("[stream-28] a watermark lies where its profile says, and stays when the profile goes", async () => {
  const mark = await sharp({ create: { width: 64, height: 64, channels: 4, background: "#ff0000ff" } })
    .png()
    .toBuffer();
  const form = new FormData();
  form.set("file", new Blob([new Uint8Array(mark)], { type: "image/png" }), "mark.png");
  form.set("name", "corner");
  form.set("position", "upperLeft");
  form.set("scale", "0.3");
  const { api, api_token } = platform.ready;
  const made = await platform.fetch(`${api}/accounts/${account_id}/stream/watermarks`, {
    method: "POST",
    headers: { authorization: `Bearer ${api_token}` },
    body: form,
  });
  const profile = ((await made.json()) as { result: Cloudflare.Stream.Watermark }).result;
  assert.deepEqual(
    [profile.width, profile.height, profile.position, profile.opacity, profile.padding, profile.scale],
    [64, 64, "upperLeft", 1, 0.05, 0.3],
  );
  assert.deepEqual(
    (await sdk.stream.watermarks.list({ account_id })).result.map(({ uid }) => uid),
    [profile.uid],
  );
  files["blue.mp4"] = { body: await readFile(await testVideo(directory, "blue.mp4", { seconds: 1, colour: "blue" })), type: "video/mp4" };
  const copied = (await sdk.stream.copy.create({
    account_id,
    url: `${world.url}/blue.mp4`,
    watermark: { uid: profile.uid as string },
  })) as Video;
  await sdk.stream.watermarks.delete(profile.uid as string, { account_id });
  await rejects(sdk.stream.watermarks.get(profile.uid as string, { account_id }), 404);
  const video = await settled(platform, copied.uid);
  assert.deepEqual([video.status?.state, video.watermark?.uid], ["ready", profile.uid]);
  const { data, info } = await sharp(Buffer.from(await (await platform.fetch(`${video.thumbnail}?height=180`)).arrayBuffer()))
    .raw()
    .toBuffer({ resolveWithObject: true });
  const pixel = (x: number, y: number) =>
    [...data.subarray((y * info.width + x) * info.channels, (y * info.width + x) * info.channels + 3)].map((value) => value > 128);
  assert.deepEqual(
    [pixel(30, 30), pixel(300, 160), pixel(3, 3)],
    [
      [true, false, false],
      [false, false, true],
      [false, false, true],
    ],
  );
});

test("[stream-29, stream-30] a clip is a video of its own; public details are the player's", async () => {
  const whole = (await sdk.stream.list({ account_id, search: "kitten" })).result[0] as Video;
  const made = (await sdk.stream.clip.create({
    account_id,
    clippedFromVideoUID: whole.uid,
    startTimeSeconds: 1,
    endTimeSeconds: 3,
    meta: { name: "clip.mp4" },
  })) as Video;
  const clip = await settled(platform, made.uid);
  assert.deepEqual(
    [clip.status?.state, clip.clippedFrom, clip.duration, (clip.meta as { name: string }).name],
    ["ready", whole.uid, 2, "clip.mp4"],
  );
  const { format } = await probeUrl(platform, clip.playback?.hls as string);
  assert.ok(Math.abs(Number(format.duration) - 2) < 0.2, format.duration);
  const publicDetails = {
    title: "A title",
    share_link: "https://example.com/share",
    channel_link: "https://example.com/",
    logo: "https://example.com/logo.png",
  };
  await sdk.stream.edit(clip.uid, { account_id, publicDetails });
  await sdk.stream.edit(clip.uid, { account_id, publicDetails: { title: "Another" } });
  const shown = await platform.fetch((clip.preview as string).replace(/watch$/, "metadata/playerEnhancementInfo.json"));
  assert.deepEqual(await shown.json(), { ...publicDetails, title: "Another" });
  await rejects(sdk.stream.clip.create({ account_id, clippedFromVideoUID: whole.uid, startTimeSeconds: 3, endTimeSeconds: 99 }), 400);
});
