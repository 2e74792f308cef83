/**
 * Runs the demo as a user would, with fewer events, and looks at its page in Chromium while it goes on serving. Proves
 * that the whole path holds together: wrangler, ingest, pipeline, table, SQL, Worker, page.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { projectRoot } from "../../harness/platform.ts";

const EVENTS = 60_000;
const DEADLINE_MS = 240_000;
// Inside the checkout, so that wrangler's bundler finds the packages that the example imports.
const data = join(".freehold-demo", `test-${process.pid}`);

let demo: ChildProcess;
let output = "";
let page = "";

before(
  async () => {
    demo = spawn(process.execPath, ["examples/flights/demo/main.ts", "--events", String(EVENTS), "--port", "0", "--data", data], {
      cwd: projectRoot,
      stdio: ["ignore", "pipe", "inherit"],
    });
    demo.stdout?.setEncoding("utf8");
    for await (const text of demo.stdout ?? []) {
      output += text;
      page = /The page: (\S+)/.exec(output)?.[1] ?? "";
      if (output.includes("Ctrl-C ends the demo")) break;
    }
    assert.notEqual(page, "", `the demo ended early:\n${output}`);
  },
  { timeout: DEADLINE_MS },
);

after(async () => {
  if (demo.exitCode === null) demo.kill("SIGKILL");
  await rm(join(projectRoot, data), { recursive: true, force: true });
});

test("the demo says what it checked: every event once, and the same answer as DuckDB on the original file", () => {
  assert.match(output, new RegExp(`${EVENTS.toLocaleString("en")}, each exactly once`));
  assert.match(output, /DuckDB on the original Parquet file gives the same 10 rows/);
});

test("the page shows the answer as a chart, a live counter over a WebSocket, and the cron's last run", {
  skip: noBrowser,
  timeout: 120_000,
}, async (t) => {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const pictures = process.env.FREEHOLD_PICTURES;
  for (const colorScheme of ["light", "dark"] as const) {
    const tab = await browser.newPage({ colorScheme, viewport: { width: 1000, height: 820 } });
    const problems: string[] = [];
    tab.on("pageerror", (error) => problems.push(error.message));
    tab.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await tab.goto(page);
    await tab.locator("#light.on").waitFor();
    await tab.locator("#total", { hasText: EVENTS.toLocaleString("en") }).waitFor();
    // The chart's answer comes by a request of its own.
    await tab.locator("#chart rect").nth(9).waitFor({ state: "attached" });
    assert.equal(await tab.locator("#chart rect").count(), 10);
    assert.match(await tab.locator("#chart").innerHTML(), /\(BGR\)|\(SBP\)|\(JFK\)|\([A-Z]{3}\)/);
    // Crons run by the minute: the first one comes within that.
    await tab.locator("#cron", { hasText: /\d/ }).waitFor({ timeout: 75_000 });
    assert.deepEqual(problems, []);
    if (pictures !== undefined) {
      await mkdir(pictures, { recursive: true });
      await tab.screenshot({ path: join(pictures, `demo-${colorScheme}.png`) });
    }
    await tab.close();
  }
});

test("Ctrl-C ends the demo and the platform under it", { timeout: 60_000 }, async () => {
  demo.kill("SIGINT");
  const [code] = await once(demo, "exit");
  assert.equal(code, 0);
  await assert.rejects(fetch(page.replace(/\/\/[^:/]+/, "//127.0.0.1"), { headers: { host: new URL(page).host } }));
});
