/** WHIP and WHEP: Chromium publishes to a live input, and through the SFU, with the client `whip-whep`. Needs FFmpeg. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import type Cloudflare from "cloudflare";
import type { Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { MEDIA_FLAGS } from "../../harness/rtc-page.ts";
import { openWorld, startStream } from "../stream-world.ts";

const DEADLINE_MS = 60_000;
const require = createRequire(import.meta.url);
const script = async (name: string) => ({ body: await readFile(require.resolve(`whip-whep/${name}`)), type: "text/javascript" });
/** The picture of the sender is the clock: it is dark or bright, and when that changed is known. */
const SENDER = `<!doctype html><canvas id="canvas" width="160" height="90"></canvas><script type="module">
  import { WHIPClient } from "/whip.js";
  window.bright = false;
  const paint = canvas.getContext("2d");
  setInterval(() => { paint.fillStyle = bright ? "white" : "black"; paint.fillRect(0, 0, 160, 90); }, 40);
  const sound = new AudioContext();
  const tone = sound.createOscillator(), out = sound.createMediaStreamDestination();
  tone.connect(out); tone.start();
  window.publish = async (url) => {
    const stream = canvas.captureStream(25);
    window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of [...stream.getVideoTracks(), ...out.stream.getAudioTracks()]) pc.addTransceiver(track, { direction: "sendonly" });
    window.client = new WHIPClient();
    await client.publish(pc, url);
  };
  window.stop = () => client.stop();
  window.loaded = true;
</script>`;
const RECEIVER = `<!doctype html><video id="video" autoplay muted playsinline></video><canvas id="canvas" width="8" height="8"></canvas><script type="module">
  import { WHEPClient } from "/whep.js";
  window.play = async (url) => {
    window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
    const stream = new MediaStream();
    pc.ontrack = ({ track }) => { stream.addTrack(track); video.srcObject = stream; };
    window.client = new WHEPClient();
    await client.view(pc, url);
  };
  window.stop = () => client.stop();
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  window.isBright = () => { paint.drawImage(video, 0, 0, 8, 8); return paint.getImageData(4, 4, 1, 1).data[0] > 128; };
  window.received = async (kind) => [...(await pc.getStats()).values()].find((one) => one.type === "inbound-rtp" && one.kind === kind)?.packetsReceived ?? 0;
  window.loaded = true;
</script>`;

const page = (html: string) => ({ body: Buffer.from(html), type: "text/html" });
const [platform, world] = await Promise.all([
  startStream({ after }),
  openWorld(
    { after },
    { "whip.js": await script("whip.js"), "whep.js": await script("whep.js"), "send.html": page(SENDER), "receive.html": page(RECEIVER) },
  ),
]);
const browser = noBrowser === false ? await launchBrowser({}, MEDIA_FLAGS) : undefined;
after(() => browser?.close());
const sdk = platform.sdk();
const { account_id } = platform.ready;

type Input = Cloudflare.Stream.LiveInput & { uid: string; webRTC: { url: string }; webRTCPlayback: { url: string } };
const get = async (uid: string) => (await sdk.stream.liveInputs.get(uid, { account_id })) as Input;

async function until(what: string, there: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + DEADLINE_MS; !(await there()); await new Promise((resolve) => setTimeout(resolve, 50)))
    assert.ok(Date.now() < end, `in vain: ${what}`);
}

/** A page with its client, and what its PATCH requests were answered with. */
async function opened(name: string): Promise<{ page: Page; patches: number[] }> {
  const page = await (browser as NonNullable<typeof browser>).newPage();
  const patches: number[] = [];
  page.on("response", (response) => void (response.request().method() === "PATCH" && patches.push(response.status())));
  await page.goto(`${world.url}/${name}`);
  await page.waitForFunction("window.loaded");
  return { page, patches };
}
const post = async (url: string, body = "v=0\r\n", type = "application/sdp") =>
  (await platform.fetch(url, { method: "POST", headers: { "content-type": type }, body })).status;

test("[stream-46] a browser publishes by WHIP, another plays by WHEP within a second, and only with the URLs of the input", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const input = (await sdk.stream.liveInputs.create({ account_id, recording: { mode: "automatic" } })) as Input;
  const other = (await sdk.stream.liveInputs.create({ account_id })) as Input;
  assert.equal(await post(input.webRTCPlayback.url), 409, "nothing is broadcast");
  const [sender, receiver] = await Promise.all([opened("send.html"), opened("receive.html")]);
  await sender.page.evaluate((url) => (globalThis as never as { publish(url: string): Promise<void> }).publish(url), input.webRTC.url);
  await until("it is connected", async () => (await get(input.uid)).status === "connected");
  await receiver.page.evaluate((url) => (globalThis as never as { play(url: string): Promise<void> }).play(url), input.webRTCPlayback.url);
  await receiver.page.waitForFunction("video.videoWidth === 160 && video.currentTime > 0");
  await until("sound comes", async () => ((await receiver.page.evaluate("received('audio')")) as number) > 5);
  await until("candidates are trickled", async () => sender.patches.length > 0 && receiver.patches.length > 0);
  assert.ok([...sender.patches, ...receiver.patches].every((status) => status === 204));

  // On a busy machine one look may be late: the best of many tells what the way takes.
  let best = Number.POSITIVE_INFINITY;
  for (const end = Date.now() + DEADLINE_MS; best >= 1_000; ) {
    assert.ok(Date.now() < end, `${best} ms at best`);
    const bright = (await sender.page.evaluate("bright = !bright")) as boolean;
    const begun = performance.now();
    while ((await receiver.page.evaluate("isBright()")) !== bright && performance.now() - begun < 10_000);
    best = Math.min(best, performance.now() - begun);
  }
  if (process.env.FREEHOLD_FIGURES !== undefined) console.log(`WebRTC: ${Math.round(best)} ms`);

  // Nothing of it is recorded, as documented. Another key, or the playing address, publishes nothing.
  const { body } = await platform.rest("GET", `/accounts/${account_id}/stream/live_inputs/${input.uid}/videos`);
  assert.deepEqual(body.result, []);
  assert.equal(await post(input.webRTC.url), 409, "it has an encoder already");
  assert.equal(await post(input.webRTC.url.replace(/[0-9a-f]{32}k/, `${"0".repeat(32)}k`)), 404);
  assert.equal(await post(input.webRTC.url.replace(/[^/]+\/webRTC/, `${input.uid}/webRTC`)), 404);
  assert.equal(await post(other.webRTCPlayback.url), 409);
  assert.equal(await post(other.webRTC.url, "no description"), 406);
  assert.equal(await post(other.webRTC.url, "{}", "application/json"), 415);
  await sdk.stream.liveInputs.update(other.uid, { account_id, enabled: false });
  assert.equal(await post(other.webRTC.url), 403);
  // What a private input broadcasts is for those with a token.
  await sdk.stream.liveInputs.update(input.uid, { account_id, recording: { requireSignedURLs: true } });
  assert.equal(await post(input.webRTCPlayback.url), 401);

  await receiver.page.evaluate("stop()");
  await sender.page.evaluate("stop()");
  await until("it is over", async () => (await get(input.uid)).status === null);
});

test("an application's WHIP and WHEP server over the SFU's API: whoever plays makes the offer", {
  skip: noBrowser,
  timeout: 120_000,
}, async (t) => {
  const app = await sdk.calls.sfu.create({ account_id, name: "stage" });
  const call = async (path: string, body?: object) => {
    const headers = { authorization: `Bearer ${app.secret}` };
    const answer = await platform.fetch(`${platform.ready.hosts.rtc}/apps/${app.uid}/sessions/${path}`, {
      ...{ method: "POST", headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: answers of two operations.
    return (await answer.json()) as any;
  };
  let tracks: object[] = [];
  const any = ["origin", "headers", "methods"].map((what) => [`access-control-allow-${what}`, "*"]);
  const headers = { ...Object.fromEntries(any), "access-control-expose-headers": "*" };
  const server = http.createServer(async (request, response) => {
    const sdp = await text(request);
    if (request.method !== "POST") return void response.writeHead(204, headers).end();
    const { sessionId } = await call("new");
    const asked = request.url === "/ingest" ? { autoDiscover: true } : { tracks };
    const made = await call(`${sessionId}/tracks/new`, { sessionDescription: { type: "offer", sdp }, ...asked });
    if (request.url === "/ingest")
      tracks = made.tracks.map(({ trackName }: { trackName: string }) => ({ location: "remote", sessionId, trackName }));
    response.writeHead(201, { ...headers, "content-type": "application/sdp", location: `${request.url}/${sessionId}` });
    response.end(made.sessionDescription.sdp);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const [sender, receiver] = await Promise.all([opened("send.html"), opened("receive.html")]);
  await sender.page.evaluate(`publish("${base}/ingest")`);
  await receiver.page.evaluate(`play("${base}/play")`);
  await receiver.page.waitForFunction("video.videoWidth === 160 && video.currentTime > 0");
  await until("sound comes", async () => ((await receiver.page.evaluate("received('audio')")) as number) > 5);
  // Each track has one place: what is asked for twice has none, and what is not there is not found.
  const { sessionId } = await call("new");
  const sdp = (await receiver.page.evaluate("pc.localDescription.sdp")) as string;
  const twice = await call(`${sessionId}/tracks/new`, {
    sessionDescription: { type: "offer", sdp },
    tracks: [...tracks, tracks[0], { ...tracks[0], trackName: "none" }],
  });
  assert.deepEqual(
    twice.tracks.map(({ errorCode }: { errorCode?: string }) => errorCode),
    [undefined, undefined, "invalid_params", "not_found_track_error"],
  );
});
