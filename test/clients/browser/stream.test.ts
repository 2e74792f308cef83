/**
 * Stream as viewers see it: players in Chromium, the platform's own and those of others, signed tokens and origins, pictures,
 * captions, sounds, downloads. Needs FFmpeg.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { ffmpeg, testVideo } from "../../harness/ffmpeg.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { rowsOf } from "../analytics.ts";
import { formWith, openWorld, probeUrl, settled, startStream, upload } from "../stream-world.ts";

const require = createRequire(import.meta.url);
const directory = await temporaryDirectory("stream-view-");
const files: Parameters<typeof openWorld>[1] = {};
const [platform, world, large, small] = await Promise.all([
  startStream({ after }),
  openWorld({ after }, files),
  testVideo(directory, "large.mp4", { seconds: 5, size: "1920x1080" }),
  testVideo(directory, "small.mp4", { seconds: 4 }),
]);
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(async () => browser?.close());
const sdk = platform.sdk();
const { account_id, api, api_token } = platform.ready;
const [video, other] = await Promise.all(
  [large, small].map(async (path) => {
    const { status, body } = await upload(platform, path);
    assert.equal(status, 200, JSON.stringify(body));
    return settled(platform, body.result.uid);
  }),
).then((all) => all as [(typeof all)[0], (typeof all)[0]]);
assert.deepEqual([video.status?.state, other.status?.state], ["ready", "ready"]);

const of = (id: string, path: string): string => `${new URL(video.preview as string).origin}/${id}/${path}`;
const text = async (url: string, headers: Record<string, string> = {}) => {
  const response = await platform.fetch(url, { headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
};
const status = async (url: string, headers: Record<string, string> = {}) => (await text(url, headers)).status;
const hls = (id: string): string => of(id, "manifest/video.m3u8");
const asset = async (name: string, body: string | Buffer, type: string): Promise<string> => {
  (files as Record<string, unknown>)[name] = { body: Buffer.from(body), type };
  return `${world.url}/${name}`;
};
const script = async (name: string, path: string): Promise<string> => asset(name, await readFile(require.resolve(path)), "text/javascript");

/** A page with a video that a script plays; resolves when the picture has moved on. */
async function plays(page: Page, name: string, html: string): Promise<void> {
  await page.goto(await asset(`${name}.html`, `<!doctype html><video id="v" muted></video>${html}`, "text/html"));
  await page.waitForFunction("v.currentTime > 0.5 && v.videoWidth > 0");
}

test("[stream-10] the ladder has renditions from 360p to 1080p, and hls.js, dash.js and shaka play it", { skip: noBrowser }, async () => {
  const master = (await text(hls(video.uid))).text;
  const sizes = [...master.matchAll(/RESOLUTION=(\d+x\d+)/g)].map(([, size]) => size);
  assert.deepEqual(sizes, ["640x360", "854x480", "1280x720", "1920x1080"]);
  assert.match(master, /^#EXT-X-VERSION:6$/m);
  const playlist = await text(of(video.uid, `manifest/${/^([0-9a-f]{32})\.m3u8$/m.exec(master)?.[1]}.m3u8`));
  assert.deepEqual(
    [...playlist.text.matchAll(/#EXTINF:([\d.]+)/g)].map(([, seconds]) => Math.round(Number(seconds))),
    [4, 1],
  );
  const dash = await probeUrl(platform, video.playback?.hls as string);
  assert.deepEqual(
    dash.streams.filter(({ codec_type }) => codec_type === "video").map(({ height }) => height),
    [360, 480, 720, 1080],
  );

  const page = await (browser as NonNullable<typeof browser>).newPage();
  const [hlsJs, dashJs, shaka] = await Promise.all([
    script("hls.js", "hls.js/dist/hls.min.js"),
    script("dash.js", join(process.cwd(), "node_modules/dashjs/dist/modern/umd/dash.all.min.js")),
    script("shaka.js", join(process.cwd(), "node_modules/shaka-player/dist/shaka-player.compiled.js")),
  ]);
  const { hls: hlsUrl, dash: dashUrl } = video.playback as { hls: string; dash: string };
  await plays(
    page,
    "hls",
    `<script src="${hlsJs}"></script><script>const h = new Hls(); h.loadSource("${hlsUrl}"); h.attachMedia(v); v.play()</script>`,
  );
  await plays(
    page,
    "dash",
    `<script src="${dashJs}"></script><script>dashjs.MediaPlayer().create().initialize(v, "${dashUrl}", true)</script>`,
  );
  await plays(
    page,
    "shaka",
    `<script src="${shaka}"></script><script>const p = new shaka.Player(); p.attach(v).then(() => p.load("${dashUrl}")).then(() => v.play())</script>`,
  );
  await page.close();
});

test("[stream-11] a bandwidth hint leaves one rendition, an absurd one is ignored", async () => {
  const count = async (hint: string) =>
    [...(await text(`${hls(video.uid)}?clientBandwidthHint=${hint}`)).text.matchAll(/#EXT-X-STREAM-INF/g)].length;
  assert.deepEqual(await Promise.all(["1.8", "0", "-1", "fast", "1e999"].map(count)), [1, 4, 4, 4, 4]);
});

test("[stream-12, stream-13] the player in an iframe plays, takes options from its URL, and tells the page outside", {
  skip: noBrowser,
}, async () => {
  const cues = "WEBVTT\n\n00:00:00.000 --> 00:00:04.000\nGuten Tag\n";
  const form = await formWith(small);
  form.set("file", new Blob([cues], { type: "text/vtt" }), "de.vtt");
  const put = await platform.fetch(`${api}/accounts/${account_id}/stream/${other.uid}/captions/de`, {
    method: "PUT",
    headers: { authorization: `Bearer ${api_token}` },
    body: form,
  });
  assert.equal(put.status, 200);
  const embed = of("embed", "sdk.latest.js");
  const options = "muted=true&autoplay=true&letterboxColor=rgb(1%202%203)&startTime=2s&defaultTextTrack=de&preload=auto";
  const html = `<!doctype html><iframe id="f" width="640" height="360" allow="autoplay" src="${of(other.uid, "iframe")}?${options}"></iframe>
    <script src="${embed}"></script><script>
    window.events = []; window.player = Stream(document.getElementById("f"));
    for (const name of ["playing", "timeupdate", "pause", "ended"]) player.addEventListener(name, () => events.push(name));</script>`;
  const page = await (browser as NonNullable<typeof browser>).newPage();
  await page.goto(await asset("embed.html", html, "text/html"));
  await page.waitForFunction("player.currentTime > 2");
  const frame = page.frames().find((candidate) => candidate.url().includes("/iframe"));
  assert.ok(frame !== undefined);
  assert.equal(await frame.evaluate("getComputedStyle(video).backgroundColor"), "rgb(1, 2, 3)");
  await frame.waitForFunction(
    "[...video.textTracks].some(({ language, mode, cues }) => language === 'de' && mode === 'showing' && cues?.length > 0)",
  );
  await page.waitForFunction("events.includes('ended') && player.ended");
  assert.ok(await page.evaluate("events.includes('playing') && player.muted && player.duration > 3.9"));
  await page.evaluate("player.currentTime = 0; player.play()");
  await page.waitForFunction("!player.paused && player.currentTime < 3");
  await page.evaluate("player.pause()");
  await page.waitForFunction("player.paused");
  if (process.env.FREEHOLD_PICTURES !== undefined)
    await page.screenshot({ path: join(process.env.FREEHOLD_PICTURES, "stream-player.png") });
  await page.close();
  await sdk.stream.captions.language.delete("de", { account_id, identifier: other.uid });
});

test("[stream-16, stream-17, stream-18] thumbnails have the size, fit and time that are asked for, and move", async () => {
  const picture = async (query: string, name = "thumbnail.jpg") => {
    const response = await platform.fetch(of(video.uid, `thumbnails/${name}?${query}`));
    assert.equal(response.status, 200, query);
    const bytes = Buffer.from(await response.arrayBuffer());
    return { bytes, type: response.headers.get("content-type"), about: await sharp(bytes, { pages: -1 }).metadata() };
  };
  const one = await picture("time=1s&height=270");
  assert.deepEqual([one.type, one.about.format, one.about.width, one.about.height], ["image/jpeg", "jpeg", 480, 270]);
  const sizes: Record<string, string> = {};
  for (const fit of ["crop", "clip", "scale", "fill"]) {
    const { about } = await picture(`width=200&height=200&fit=${fit}`);
    sizes[fit] = `${about.width}x${about.height}`;
  }
  assert.deepEqual(sizes, { crop: "200x200", clip: "200x113", scale: "200x200", fill: "200x200" });
  const corner = async (fit: string) => [
    ...(await sharp((await picture(`width=200&height=200&fit=${fit}`)).bytes)
      .extract({ left: 90, top: 2, width: 1, height: 1 })
      .raw()
      .toBuffer()),
  ];
  assert.ok(
    (await corner("fill")).every((value) => value < 20),
    "what is left is black",
  );
  const gif = await picture("time=1s&height=90&duration=2s&fps=4", "thumbnail.gif");
  assert.deepEqual([gif.type, gif.about.format, gif.about.pages], ["image/gif", "gif", 8]);

  const first = (await picture("height=90")).bytes;
  await sdk.stream.edit(video.uid, { account_id, thumbnailTimestampPct: 0.5 });
  const middle = (await picture("height=90")).bytes;
  assert.notDeepEqual(middle, first);
  assert.deepEqual(middle, (await picture("height=90&time=2.5s")).bytes);
});

test("[stream-19] a video can be downloaded as MP4 and its sound as M4A, once that has been asked for", async () => {
  assert.equal(await status(of(other.uid, "downloads/default.mp4")), 404);
  const made = await sdk.stream.downloads.create(other.uid, { account_id, body: {} } as never);
  assert.ok(["inprogress", "ready"].includes((made as { default: { status: string } }).default.status));
  await platform.rest("POST", `/accounts/${account_id}/stream/${other.uid}/downloads/audio`);
  let all: Cloudflare.Stream.DownloadGetResponse;
  do all = (await sdk.stream.downloads.get(other.uid, { account_id })) as Cloudflare.Stream.DownloadGetResponse;
  while (all.default?.status !== "ready" || all.audio?.status !== "ready");
  const { streams } = await probeUrl(platform, all.default.url as string);
  assert.deepEqual(
    streams.map(({ codec_name, height }) => [codec_name, height]),
    [
      ["h264", 180],
      ["aac", undefined],
    ],
  );
  assert.deepEqual(
    (await probeUrl(platform, all.audio.url as string)).streams.map(({ codec_name }) => codec_name),
    ["aac"],
  );
  const named = await platform.fetch(`${all.default.url}?filename=MY_VIDEO.mp4`, { headers: { range: "bytes=0-9" } });
  assert.deepEqual([named.status, named.headers.get("content-disposition")], [206, 'attachment; filename="MY_VIDEO.mp4"']);
  assert.equal((await named.arrayBuffer()).byteLength, 10);
});

test("[stream-20, stream-21, stream-22] a private video plays by signed tokens alone: of the API, of a Worker with a key, as their rules allow", async () => {
  await sdk.stream.edit(other.uid, { account_id, requireSignedURLs: true });
  const refused = await Promise.all(
    ["manifest/video.m3u8", "manifest/video.mpd", "iframe", "thumbnails/thumbnail.jpg", "downloads/default.mp4"].map((path) =>
      status(of(other.uid, path)),
    ),
  );
  assert.deepEqual(refused, [401, 401, 401, 401, 401]);
  const tokenOf = async (more: Partial<Cloudflare.Stream.TokenCreateParams> = {}) =>
    ((await sdk.stream.token.create(other.uid, { account_id, ...more })) as { token: string }).token;
  const token = await tokenOf();
  const { streams } = await probeUrl(platform, hls(token));
  assert.deepEqual(streams.map(({ codec_type }) => codec_type).sort(), ["audio", "video"]);
  assert.deepEqual(
    [await status(of(token, "downloads/default.mp4")), await status(of(await tokenOf({ downloadable: true }), "downloads/default.mp4"))],
    [401, 200],
  );
  const now = Math.floor(Date.now() / 1000);
  assert.equal(await status(hls(await tokenOf({ exp: now - 1 }))), 401, "expired");
  assert.equal(await status(hls(await tokenOf({ nbf: now + 100 }))), 401, "not valid yet");
  const [head, , signature] = token.split(".");
  const forged = Buffer.from(JSON.stringify({ sub: other.uid, exp: now + 3600 })).toString("base64url");
  assert.equal(await status(hls(`${head}.${forged}.${signature}`)), 401);
  const unsigned = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
  assert.equal(await status(hls(`${unsigned}.${forged}.`)), 401);
  // A token for one video shows no other's tracks.
  const foreign = /^([0-9a-f]{32})\.m3u8$/m.exec((await text(hls(video.uid))).text)?.[1];
  assert.equal(await status(of(token, `manifest/${foreign}.m3u8`)), 404);

  const any = { type: "any", action: "block" } as const;
  const rules = async (ip: string[]) => status(hls(await tokenOf({ accessRules: [{ type: "ip.src", action: "allow", ip }, any] })));
  assert.deepEqual(await Promise.all([["127.0.0.0/8"], ["127.0.0.1"], ["10.0.0.0/8"], ["::/0"]].map(rules)), [200, 200, 403, 403]);
  assert.equal(
    await status(hls(await tokenOf({ accessRules: [{ type: "ip.src", action: "block", ip: ["10.0.0.0/8"] }] }))),
    200,
    "no rule matches",
  );

  const key = (await sdk.stream.keys.create({ account_id, body: {} } as never)) as { id: string; jwk: string; pem: string };
  assert.match(Buffer.from(key.pem, "base64").toString(), /BEGIN RSA PRIVATE KEY/);
  const worker = await deployWorker(platform, {
    config: { name: "signer", vars: { JWK: key.jwk, KEY: key.id } },
    files: {
      "index.js": `
        const text = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/=/g, "").replace(/\\+/g, "-").replace(/\\//g, "_");
        const json = (value) => text(new TextEncoder().encode(JSON.stringify(value)));
        export default { async fetch(request, { JWK, KEY }) {
          const exp = Math.floor(Date.now() / 1000) + 3600;
          const body = json({ alg: "RS256", kid: KEY }) + "." + json({ sub: new URL(request.url).pathname.slice(1), kid: KEY, exp });
          const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
          const key = await crypto.subtle.importKey("jwk", JSON.parse(atob(JWK)), algorithm, false, ["sign"]);
          return new Response(body + "." + text(await crypto.subtle.sign(algorithm, key, new TextEncoder().encode(body))));
        } };`,
    },
  });
  const made = (await text(`${worker.url}/${other.uid}`)).text;
  assert.equal(await status(hls(made)), 200);
  assert.deepEqual(
    ((await sdk.stream.keys.get({ account_id })).result as { id: string }[]).map(({ id }) => id),
    [key.id],
  );
  assert.equal(await sdk.stream.keys.delete(key.id, { account_id }), "Revoked");
  assert.equal(await status(hls(made)), 401, "its key is gone");
  await sdk.stream.edit(other.uid, { account_id, requireSignedURLs: false });
});

test("[stream-24] pages of other origins than the allowed ones get neither manifests nor segments", async () => {
  await sdk.stream.edit(other.uid, { account_id, allowedOrigins: ["example.com", "*.example.org", "localhost:3000"] });
  const list = /^([0-9a-f]{32})\.m3u8$/m.exec((await text(hls(other.uid))).text)?.[1];
  const segment = of(other.uid, `segments/${list}/0.m4s`);
  const ask = (origin: string) => Promise.all([hls(other.uid), segment, of(other.uid, "iframe")].map((url) => status(url, { origin })));
  for (const good of ["https://example.com", "https://a.b.example.org", "http://localhost:3000"])
    assert.deepEqual(await ask(good), [200, 200, 200], good);
  for (const bad of [
    "https://www.example.com",
    "https://example.org",
    "http://localhost:3001",
    "http://localhost",
    "https://evilexample.com",
    "null",
  ])
    assert.deepEqual(await ask(bad), [403, 403, 403], bad);
  assert.equal(await status(segment, { referer: "https://elsewhere.example/page" }), 403);
  const page = await text(of(other.uid, "iframe"));
  assert.match(String(page.headers.get("content-security-policy")), /frame-ancestors example\.com \*\.example\.org localhost:3000/);
  await sdk.stream.edit(other.uid, { account_id, allowedOrigins: [] });
  assert.equal(await status(segment, { origin: "https://www.example.com" }), 200);
});

test("[stream-25] captions are uploaded, listed, read, in the manifest, replaced and deleted", async () => {
  const put = async (language: string, cues: string) => {
    const form = await formWith(small);
    form.set("file", new Blob([cues], { type: "text/vtt" }), "captions.vtt");
    const response = await platform.fetch(`${api}/accounts/${account_id}/stream/${other.uid}/captions/${language}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${api_token}` },
      body: form,
    });
    return { status: response.status, result: ((await response.json()) as { result: unknown }).result };
  };
  const cues = "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.560\nHallo\n";
  const caption = { language: "de", label: "Deutsch", generated: false, status: "ready" };
  assert.deepEqual(await put("de", cues), { status: 200, result: caption });
  assert.deepEqual(await put("tr", cues), { status: 200, result: { ...caption, language: "tr", label: "Türkçe" } });
  assert.equal((await put("de", "1\n00:00:00,000 --> 00:00:01,560\nHallo\n")).status, 400);
  assert.equal((await put("not a language", cues)).status, 400);
  assert.deepEqual(
    (await sdk.stream.captions.get(other.uid, { account_id })).result.map(({ language }) => language),
    ["de", "tr"],
  );
  const vtt = `/client/v4/accounts/${account_id}/stream/${other.uid}/captions/de/vtt`;
  assert.equal((await text(vtt, { authorization: `Bearer ${api_token}` })).text, cues);
  assert.match((await text(hls(other.uid))).text, /TYPE=SUBTITLES,GROUP-ID="group_subs",NAME="Deutsch",LANGUAGE="de"/);
  assert.equal((await text(of(other.uid, "captions/de.vtt"))).text, cues);
  await sdk.stream.captions.language.delete("de", { account_id, identifier: other.uid });
  await sdk.stream.captions.language.delete("tr", { account_id, identifier: other.uid });
  assert.doesNotMatch((await text(hls(other.uid))).text, /SUBTITLES/);
});

test("[stream-27] audio tracks that are added are in the manifests, and one of them can be the default", async () => {
  const tone = join(directory, "tone.mp3");
  await ffmpeg("-f", "lavfi", "-i", "sine=frequency=880:duration=1", tone);
  await asset("tone.mp3", await readFile(tone), "audio/mpeg");
  const form = await formWith(tone, { label: "Uploaded" }, "audio/mpeg");
  const posted = await platform.fetch(`${api}/accounts/${account_id}/stream/${other.uid}/audio`, {
    method: "POST",
    headers: { authorization: `Bearer ${api_token}` },
    body: form,
  });
  const first = ((await posted.json()) as { result: Cloudflare.Stream.Audio }).result;
  assert.deepEqual([first.label, first.default, first.status], ["Uploaded", false, "queued"]);
  const second = await sdk.stream.audioTracks.copy(other.uid, { account_id, label: "Fetched", url: `${world.url}/tone.mp3` });
  const tracks = async () => ((await sdk.stream.audioTracks.get(other.uid, { account_id })) as { audio: Cloudflare.Stream.Audio[] }).audio;
  while ((await tracks()).some((track) => track.status === "queued"));
  assert.deepEqual(
    (await tracks()).map(({ status: state }) => state),
    ["ready", "ready"],
  );
  const media = async () =>
    [...(await text(hls(other.uid))).text.matchAll(/TYPE=AUDIO.*NAME="([^"]+)",DEFAULT=(YES|NO)/g)].map(
      ([, name, value]) => `${name} ${value}`,
    );
  assert.deepEqual(await media(), ["original YES", "Uploaded NO", "Fetched NO"]);
  await sdk.stream.audioTracks.edit(second.uid as string, { account_id, identifier: other.uid, default: true, label: "Main" });
  assert.deepEqual(await media(), ["original NO", "Uploaded NO", "Main YES"]);
  await sdk.stream.audioTracks.edit(first.uid as string, { account_id, identifier: other.uid, default: true });
  assert.deepEqual(
    (await tracks()).map((track) => track.default),
    [true, false],
  );
  const refused = (promise: Promise<unknown>, code: number) =>
    assert.rejects(promise, (error: unknown) => error instanceof Cloudflare.APIError && error.status === code);
  await refused(sdk.stream.audioTracks.delete(first.uid as string, { account_id, identifier: other.uid }), 400);
  await refused(sdk.stream.audioTracks.copy(other.uid, { account_id, label: "Main", url: `${world.url}/tone.mp3` }), 409);
  assert.equal(await sdk.stream.audioTracks.delete(second.uid as string, { account_id, identifier: other.uid }), "ok");
  // Shorter than the video: filled up with silence.
  const list = /NAME="Uploaded".*URI="([^"]+)"/.exec((await text(hls(other.uid))).text)?.[1];
  const { format } = await probeUrl(platform, of(other.uid, `manifest/${list}`));
  assert.ok(Math.abs(Number(format.duration) - 4) < 0.2, format.duration);
});

test("a part of a video plays by itself, and can be downloaded", async () => {
  const preview = await text(`${hls(video.uid)}?duration=1s`);
  assert.deepEqual([preview.headers.get("stream-media-id"), preview.headers.get("preview-start-seconds")], [video.uid, "4.000"]);
  const clip = await text(of(video.uid, "manifest/clip.m3u8?time=1s&duration=2s"));
  assert.equal(clip.status, 200);
  const { format } = await probeUrl(platform, of(other.uid, "clip.mp4?time=1s&duration=2s&filename=part"));
  assert.ok(Math.abs(Number(format.duration) - 2) < 0.2);
  assert.deepEqual(
    await Promise.all(
      ["time=1s&duration=61s", "time=99s&duration=2s", "time=1s"].map((query) => status(of(video.uid, `clip.mp4?${query}`))),
    ),
    [400, 400, 400],
  );
});

test("[stream-52] what was watched is told by minutes, by video and creator", async () => {
  const uid = other.uid;
  await sdk.stream.edit(uid, { account_id, creator: "counted" });
  const minutes = async () => {
    const rows = await rowsOf(
      platform,
      "streamMinutesViewedAdaptiveGroups",
      `, uid: "${uid}", creator: "counted"`,
      "",
      "sum { minutesViewed } dimensions { uid creator clientCountryName }",
    );
    return (rows[0] as { sum: { minutesViewed: number } } | undefined)?.sum.minutesViewed ?? 0;
  };
  assert.equal(await minutes(), 0);
  const list = /^([0-9a-f]{32})\.m3u8$/m.exec((await text(hls(uid))).text)?.[1];
  // The segments of thirty seconds of watching.
  for (let seen = 0; seen < 30; seen += 4) assert.equal(await status(of(uid, `segments/${list}/0.m4s`)), 200);
  assert.ok(Math.abs((await minutes()) - 32 / 60) < 0.02, String(await minutes()));
  const events = await rowsOf(
    platform,
    "videoPlaybackEventsAdaptiveGroups",
    `, uid_gt: "0"`,
    ", orderBy: [uid_ASC]",
    "count sum { timeViewedMinutes } dimensions { uid }",
  );
  assert.deepEqual(
    events.map((row) => (row as { dimensions: { uid: string } }).dimensions.uid),
    events.map((row) => (row as { dimensions: { uid: string } }).dimensions.uid).toSorted(),
  );
});
