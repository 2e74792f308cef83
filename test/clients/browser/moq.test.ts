/** Needs FFmpeg. MoQ relays with Chromium as publisher and player: CMAF over WebTransport and over WebSocket, both forms of headers. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { ffmpeg, noFFmpeg } from "../../harness/ffmpeg.ts";
import { onPage, openMoqPage } from "../../harness/moq-page.ts";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after }, { config: { "moq.quic": true, "moq.port": 0 } });
const options = { skip: noBrowser || noFFmpeg };
const CODEC = 'video/mp4; codecs="avc1.42C01E"';
const VERSION = [0xc0, 0, 0, 0, 0xff, 0, 0, 0x07];

let browser: Browser;
let token: string;
let webtransport: { readonly url: string; readonly certificate_sha256: string };

before(async () => {
  if (options.skip !== false) return;
  browser = await launchBrowser({}, ["--autoplay-policy=no-user-gesture-required"]);
  const { issuers } = await platform.sdk().moq.relays.create({ account_id: platform.ready.account_id, name: "browsers" });
  token = issuers[0]?.cloudflare_tokens.find(({ operations }) => operations.length === 2)?.secret as string;
  ({ webtransport } = (await (await platform.fetch(platform.host("moq"))).json()) as { webtransport: typeof webtransport });
});
after(() => browser?.close());

const open = (fallback = false): Promise<Page> => openMoqPage(browser, platform.host("moq"), fallback);
const connect = (page: Page, subscribeId: boolean): Promise<number[]> =>
  onPage(page, "connect", `${webtransport.url}/${token}?subscribe_id=${subscribeId ? 1 : 0}`, webtransport.certificate_sha256, subscribeId);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** A video as CMAF: its header, and a fragment for each of its groups of pictures, in base64. */
async function cmaf(): Promise<{ readonly init: string; readonly fragments: readonly string[] }> {
  const file = join(await temporaryDirectory("moq-"), "video.mp4");
  const picture = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=10:duration=4"];
  const coding = ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-level", "3.0", "-pix_fmt", "yuv420p", "-g", "5"];
  await ffmpeg(...picture, ...coding, "-movflags", "cmaf+frag_keyframe+empty_moov+default_base_moof", file);
  const bytes = await readFile(file);
  const boxes: { readonly type: string; readonly bytes: Buffer }[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at))
    boxes.push({ type: bytes.toString("latin1", at + 4, at + 8), bytes: bytes.subarray(at, at + bytes.readUInt32BE(at)) });
  const join64 = (...parts: readonly Buffer[]): string => Buffer.concat(parts).toString("base64");
  const fragments = boxes.flatMap(({ type, bytes: head }, place) =>
    type === "moof" ? [join64(head, boxes[place + 1]?.bytes as Buffer)] : [],
  );
  return { init: join64(...boxes.filter(({ type }) => type === "ftyp" || type === "moov").map((box) => box.bytes)), fragments };
}

/** Publishes the video from one page and plays it in another, as its groups come. */
async function broadcast(publisher: Page, player: Page, namespace: string): Promise<void> {
  const { init, fragments } = await cmaf();
  await onPage(publisher, "announce", namespace);
  const subscribed = Promise.all(["init", "video"].map((track) => onPage(player, "subscribe", namespace, track)));
  await onPage(publisher, "publish", "init", 0, 0, init, true);
  const playing = onPage(player, "play", CODEC, 20);
  await subscribed;
  for (const [group, fragment] of fragments.entries()) {
    await onPage(publisher, "publish", "video", group, 0, fragment, true);
    await onPage(player, "received", "video", group + 1);
  }
  const { width, height, time } = await playing;
  assert.deepEqual([width, height], [320, 180]);
  assert.ok(time > 0);
}

test("[moq-09] Chromium plays CMAF over WebTransport, trusting the certificate by its hash", options, async () => {
  const [publisher, player] = await Promise.all([open(), open()]);
  assert.deepEqual(await Promise.all([connect(publisher, true), connect(player, true)]), [VERSION, VERSION]);
  await broadcast(publisher, player, "live/browser");
  await Promise.all([publisher.close(), player.close()]);
});

test("[moq-10] a browser without WebTransport plays the same by WebSocket", options, async () => {
  const [publisher, player] = await Promise.all([open(), open(true)]);
  await connect(publisher, true);
  assert.deepEqual(await onPage(player, "connect", `${platform.host("moq")}/${token}?subscribe_id=1`, undefined, true), VERSION);
  assert.equal(await player.evaluate("WebTransport.name"), "WebTransportWs");
  await broadcast(publisher, player, "live/fallback");
  await Promise.all([publisher.close(), player.close()]);
});

test("[moq-06] sessions that ask for it have the draft's own headers, and meet those with a Subscribe ID", options, async () => {
  const [exact, exactViewer, quirky] = await Promise.all([open(), open(), open()]);
  await Promise.all([connect(exact, false), connect(exactViewer, false), connect(quirky, true)]);
  for (const [publisher, namespace] of [
    [exact, "from/exact"],
    [quirky, "from/quirky"],
  ] as const) {
    await onPage(publisher, "announce", namespace);
    const viewers = [exactViewer, publisher === exact ? quirky : exact];
    const track = namespace.replace("/", "-");
    const subscribed = Promise.all(viewers.map((viewer) => onPage(viewer, "subscribe", namespace, track)));
    await onPage(publisher, "publish", track, 7, 0, base64("first"));
    await onPage(publisher, "publish", track, 7, 1, base64("second"), true);
    await subscribed;
    for (const viewer of viewers) assert.deepEqual(await onPage(viewer, "received", track, 2), ["7.0 first", "7.1 second"]);
  }
  // Alias, group and subgroup; with the Subscribe ID before them.
  assert.deepEqual(await onPage(exactViewer, "headers"), [
    [0, 7, 0],
    [1, 7, 0],
  ]);
  assert.deepEqual(await onPage(quirky, "headers"), [[0, 0, 7, 0]]);
});
