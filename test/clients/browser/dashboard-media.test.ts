/** Stream's and Realtime's pages of the dashboard in Chromium, with a stored video and a broadcast that play in it. Needs FFmpeg. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { type Dashboard, openDashboard } from "../../harness/dashboard.ts";
import { testVideo } from "../../harness/ffmpeg.ts";
import { freePort } from "../../harness/port.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { startStream } from "../stream-world.ts";

const port = await freePort();
const [platform, directory] = await Promise.all([
  startStream({ after }, { "stream.rtmps_port": port, "stream.srt_port": await freePort() }),
  temporaryDirectory("dashboard-media-"),
]);
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());
const account = `/accounts/${platform.ready.account_id}`;

let opened: Promise<Dashboard> | undefined;
/** One window for the whole file. */
const dashboard = (): Promise<Dashboard> => {
  if (browser === undefined) throw new Error(String(noBrowser));
  opened ??= openDashboard(platform, browser);
  return opened;
};
/** Plays what a player on the page shows, until the picture has moved. */
async function plays(title: string): Promise<void> {
  const { page } = await dashboard();
  const handle = await page.locator(`iframe[title="Player: ${title}"]`).elementHandle();
  const frame = await handle?.contentFrame();
  assert.ok(frame != null);
  // Evaluated from outside: the page's policy lets it evaluate nothing.
  await frame.evaluate(`new Promise((resolve) => {
    const look = () => {
      const video = document.getElementById("video");
      if (video === null) return setTimeout(look, 50);
      video.muted = true;
      if (video.paused) video.play().catch(() => undefined);
      if (video.currentTime > 0.3 && video.videoWidth > 0) resolve();
      else setTimeout(look, 50);
    };
    look();
  })`);
}
async function picture(name: string): Promise<void> {
  const directory = process.env.FREEHOLD_PICTURES;
  const { page } = await dashboard();
  for (const colorScheme of directory === undefined ? [] : (["light", "dark"] as const)) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(directory as string, `${name}-${colorScheme}.png`), fullPage: true });
  }
}

test("a video is uploaded, played, protected and deleted in the dashboard", { skip: noBrowser, timeout: 120_000 }, async () => {
  const { page, open, problems } = await dashboard();
  const path = await testVideo(directory, "holiday.mp4", { seconds: 4, size: "640x360" });
  await open("/stream");
  await page.getByText("No video yet").waitFor();
  await picture("stream-empty");
  await page.getByLabel("Video to upload").setInputFiles(path);
  const row = page.getByRole("table", { name: "Videos" }).getByRole("row", { name: /holiday\.mp4/ });
  await row.getByText("ready", { exact: true }).waitFor();
  await picture("stream-videos");
  await row.getByRole("link").click();

  await plays("holiday.mp4");
  await page.getByText("640 × 360").waitFor();
  await page.getByRole("button", { name: "Enable download" }).click();
  const download = page.getByRole("link", { name: "Download" });
  const answer = await platform.fetch((await download.getAttribute("href")) as string);
  assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "video/mp4"]);
  await picture("stream-video");

  // What needs a signed URL is shown with one.
  await page.getByLabel("Name").fill("Holiday");
  await page.getByLabel("Require signed URLs").check();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Settings saved").waitFor();
  const frame = page.locator("iframe[title='Player: Holiday']");
  await page.locator("iframe[src*='eyJ']").waitFor();
  await plays("Holiday");
  const [video] = (await platform.rest("GET", `${account}/stream`)).body.result;
  assert.deepEqual([video.meta.name, video.requireSignedURLs], ["Holiday", true]);
  assert.equal((await frame.getAttribute("src"))?.includes(video.uid), false);

  await page.getByRole("button", { name: "Delete video" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox").fill("Holiday");
  await dialog.getByRole("button", { name: "Delete video" }).click();
  await page.getByText("No video yet").waitFor();
  assert.deepEqual(problems, []);
});

test("[stream-49] a live input is made, broadcasts, is seen live and measured in the dashboard", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  const dialog = page.getByRole("dialog");
  await open("/stream/live");
  await page.getByRole("button", { name: "Create live input" }).click();
  await dialog.getByLabel("Name").fill("stage");
  await dialog.getByLabel("Low latency (LL-HLS)").check();
  await dialog.getByRole("button", { name: "Create live input" }).click();
  await page.getByText("Nothing is broadcast now.").waitFor();
  await page.getByRole("button", { name: "Show the RTMPS key" }).click();
  const [input] = (await platform.rest("GET", `${account}/stream/live_inputs`)).body.result.liveInputs;
  const { result } = (await platform.rest("GET", `${account}/stream/live_inputs/${input.uid}`)).body;
  await page.getByText(result.rtmps.streamKey).waitFor();

  const source = ["-re", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=10:duration=60", "-f", "lavfi", "-i", "sine=duration=60"];
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "20", "-c:a", "aac"];
  const url = `rtmps://127.0.0.1:${port}/live/${result.rtmps.streamKey}`;
  const encoder = spawn("ffmpeg", ["-nostdin", "-loglevel", "error", ...source, ...codecs, "-f", "flv", url], { stdio: "ignore" });
  after(() => void encoder.kill("SIGKILL"));
  await plays("stage");
  await page.getByText("live", { exact: true }).first().waitFor();
  await picture("stream-live");

  await page.getByRole("button", { name: "Add output" }).click();
  await dialog.getByLabel("URL").fill("rtmp://a.example/live2");
  await dialog.getByLabel("Stream key").fill("abc");
  await dialog.getByRole("button", { name: "Add output" }).click();
  const output = page.getByRole("table", { name: "Outputs" }).getByRole("row", { name: /a\.example/ });
  await output.getByRole("switch").click();
  await output.getByRole("switch", { checked: false }).waitFor();
  const outputs = (await platform.rest("GET", `${account}/stream/live_inputs/${input.uid}/outputs`)).body.result;
  assert.deepEqual([outputs[0].url, outputs[0].enabled], ["rtmp://a.example/live2", false]);

  encoder.kill("SIGINT");
  await once(encoder, "close");
  await page.getByText("Nothing is broadcast now.").waitFor();
  await page.getByRole("table", { name: "Recordings" }).getByText("ready").waitFor();
  await page.getByRole("link", { name: "Metrics" }).click();
  const interval = page.getByRole("definition").filter({ hasText: "2 to 8 s are best" });
  assert.match((await interval.textContent()) as string, /^2\.0 s/);
  await page.getByRole("figure").filter({ hasText: "Upload-to-duration ratio" }).getByText("Show the numbers").click();
  await page
    .getByRole("table", { name: "Upload-to-duration ratio" })
    .getByText(/[1-9]\d* %/)
    .waitFor();
  await picture("stream-metrics");
  assert.deepEqual(problems, []);
});

test("apps and TURN keys are made, shown once with their secret, and deleted in the dashboard", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  const dialog = page.getByRole("dialog");
  await open("/realtime");
  await picture("realtime-empty");
  await page.getByRole("button", { name: "Create app" }).click();
  await dialog.getByLabel("Name").fill("calls");
  await dialog.getByRole("button", { name: "Create app" }).click();
  await page.getByText("it is not shown again").waitFor();
  const secret = (await dialog.locator("code").nth(1).textContent()) as string;
  await picture("realtime-secret");
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("link", { name: "calls" }).click();
  const url = (await page.getByText(/\/v1\/apps\//).textContent()) as string;
  const session = await platform.fetch(`${url}/sessions/new`, { method: "POST", headers: { authorization: `Bearer ${secret}` } });
  assert.equal(session.status, 201, "the URL and the secret are those of the app");
  await page.getByLabel("Name").fill("talks");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { name: "talks", level: 1 }).waitFor();
  await picture("realtime-app");
  await page.getByRole("button", { name: "Delete app" }).click();
  await dialog.getByRole("textbox").fill("talks");
  await dialog.getByRole("button", { name: "Delete app" }).click();
  await page.getByText("No app yet").waitFor();

  await page.getByRole("link", { name: "TURN keys" }).click();
  await page.getByRole("button", { name: "Create TURN key" }).click();
  await dialog.getByLabel("Name").fill("relay");
  await dialog.getByRole("button", { name: "Create TURN key" }).click();
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("link", { name: "relay" }).click();
  await page.getByRole("heading", { name: "relay", level: 1 }).waitFor();
  await page.getByRole("figure").filter({ hasText: "Relayed" }).waitFor();
  await picture("realtime-turn");
  assert.deepEqual(problems, []);
});
