/** Pipelines' pages of the dashboard in Chromium: the wizard, the settings of a stream, and the Metrics and Errors tabs. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { type Dashboard, openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());
const world = await pipelinesWorld(platform);

let opened: Promise<Dashboard> | undefined;
/** One window for the whole file. */
const dashboard = (): Promise<Dashboard> => {
  if (browser === undefined) throw new Error(String(noBrowser));
  opened ??= openDashboard(platform, browser);
  return opened;
};

const stat = async (page: Page, label: string): Promise<string> =>
  (await page
    .locator("dl div", { has: page.locator("dt", { hasText: label }) })
    .locator("dd")
    .textContent()) ?? "";
const total = async (page: Page, table: string, column: number): Promise<number> => {
  const cells = await page.getByRole("table", { name: table, exact: true }).locator(`tbody td:nth-child(${column})`).allTextContents();
  return cells.reduce((sum, text) => sum + Number(text.replaceAll(",", "")), 0);
};

test("[pipelines-41] the Metrics and Errors tabs show counts for the last 24 hours", { skip: noBrowser, timeout: 120_000 }, async () => {
  const { page, open, problems } = await dashboard();
  const stream = await world.stream("events", eventFields);
  await world.r2Sink("files", await world.bucket("files"));
  const { id } = await world.pipeline("to_files", "INSERT INTO files SELECT * FROM events WHERE event_type != 'purchase'");

  await open(`/pipelines/${id}/errors`);
  await page.getByText("No event was dropped in the last 24 hours").waitFor();

  const bad = [{ user_id: "u" }, { user_id: 7, event_type: "view" }, { user_id: null, event_type: "view" }, { user_id: "v" }];
  await world.ingest(stream.endpoint, [...sampleEvents, ...bad]);
  await eventually("the file is written", async () => assert.equal((await world.parquetRows("files", "user_id")).length, 2));

  const asked = page.waitForRequest((request) => request.url().endsWith("/graphql"));
  await open(`/pipelines/${id}/metrics`);
  const { variables } = (await asked).postDataJSON() as { variables: { from: string; to: string } };
  assert.equal(Date.parse(variables.to) - Date.parse(variables.from), 24 * 3_600_000);
  assert.equal(await page.getByLabel("Time").inputValue(), "24");
  await page.getByText("Records read").waitFor();
  // The file is there a moment before its figures: the page asks again by itself, but not within a test's patience.
  await eventually("the figures are in", async () => {
    await page.reload();
    await page.getByText("Records read").waitFor();
    assert.match(await stat(page, "Records read"), /^7\b/);
  });
  assert.match(await stat(page, "Records written"), /^2\b/);
  assert.equal(await stat(page, "Records dropped"), "4");
  assert.equal(await stat(page, "Files written"), "1");
  assert.equal(await page.locator("canvas").count(), 2);
  // Over time: read, written, dropped of every hour.
  await page.getByText("Show the numbers").first().click();
  assert.deepEqual([await total(page, "Records", 2), await total(page, "Records", 3), await total(page, "Records", 4)], [7, 2, 4]);
  assert.ok((await page.getByRole("table", { name: "Records" }).locator("tbody tr").count()) >= 24);

  await page.getByRole("link", { name: "Errors" }).click();
  const types = page.getByRole("table", { name: "Errors by type" });
  await types.waitFor();
  assert.equal(await stat(page, "Dropped in the last 24 hours"), "4");
  assert.match((await types.getByRole("row", { name: /missing_field/ }).textContent()) ?? "", /2$/);
  assert.match((await types.getByRole("row", { name: /type_mismatch/ }).textContent()) ?? "", /1$/);
  assert.match((await types.getByRole("row", { name: /null_value/ }).textContent()) ?? "", /1$/);
  const latest = page.getByRole("table", { name: "Latest errors" });
  assert.match((await latest.textContent()) ?? "", /event_type/);
  assert.deepEqual(problems, []);
});

test("the wizard makes stream, sink with a token of its own, and pipeline; events then reach the table", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  await world.catalog("lake");
  await open("/pipelines");
  await page.getByRole("link", { name: "Create pipeline" }).click();
  await page.getByLabel("Stream name").fill("visits");
  await page.getByLabel("Schema as JSON").fill('{"fields": [');
  assert.equal(await page.getByRole("button", { name: "Next" }).isDisabled(), true, "while the schema is no JSON");
  await page.getByLabel("Schema as JSON").fill(JSON.stringify({ fields: eventFields }));
  assert.equal(await page.getByRole("switch", { name: /Require an API token/ }).isChecked(), false, "open by default, as documented");
  await page.getByRole("button", { name: "Next" }).click();

  await page.getByLabel("Sink name").fill("visits_table");
  await page.getByLabel("Bucket").selectOption("lake");
  await page.getByLabel("Namespace").fill("web");
  await page.getByLabel("Table").fill("visits");
  await page.getByLabel("New file after seconds").fill("1");
  await page.getByRole("button", { name: "Next" }).click();

  await page.getByLabel("Pipeline name").fill("visits_to_lake");
  assert.equal(await page.getByLabel("SQL").inputValue(), "INSERT INTO visits_table\nSELECT * FROM visits;");
  await page.getByLabel("SQL").fill("INSERT INTO visits_table SELECT nothing FROM visits");
  await page.getByRole("button", { name: "Create pipeline" }).click();
  await page
    .getByRole("alert")
    .getByText(/nothing/)
    .waitFor();
  // Stream and sink were made: the second attempt makes neither again.
  await page.getByLabel("SQL").fill("INSERT INTO visits_table SELECT user_id, amount FROM visits");
  await page.getByRole("button", { name: "Create pipeline" }).click();
  await page.getByRole("heading", { name: "visits_to_lake" }).waitFor();
  await page.getByText("curl http").waitFor();

  const streams = (await platform.rest("GET", `${world.base}/streams?name=visits`)).body.result;
  assert.equal(streams.length, 1);
  await world.ingest(streams[0].endpoint, sampleEvents);
  await eventually("the table has a file", async () => assert.ok((await world.keys("lake")).some((key) => key.endsWith(".parquet"))));
  assert.deepEqual(
    problems.splice(0).filter((problem) => !/status of 4\d\d/.test(problem)),
    [],
  );
});

test("HTTP ingest of a stream is switched and authenticated from its page, and lists delete what is no longer wanted", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  const stream = await world.stream("gate", eventFields);
  await world.r2Sink("gate_files", await world.bucket("gate-files"));
  await world.pipeline("gate_pipeline", "INSERT INTO gate_files SELECT * FROM gate");
  await open("/pipelines/streams");
  await page.getByRole("link", { name: "gate", exact: true }).click();
  const send = async () => (await world.send(stream.endpoint, sampleEvents)).status;
  const ingest = page.getByRole("region", { name: "HTTP ingest" });
  assert.equal(await send(), 200);
  await ingest.getByRole("switch", { name: /Require an API token/ }).check();
  await ingest.getByLabel("Origins for CORS").fill("https://app.example.com");
  await ingest.getByRole("button", { name: "Save" }).click();
  await page.locator("output").getByText("HTTP ingest settings saved").waitFor();
  assert.equal(await send(), 401);
  assert.deepEqual((await platform.rest("GET", `${world.base}/streams/${stream.id}`)).body.result.http, {
    enabled: true,
    authentication: true,
    cors: { origins: ["https://app.example.com"] },
  });

  await open("/pipelines/sinks");
  await page
    .getByRole("row", { name: /gate_files/ })
    .getByRole("button", { name: "Delete" })
    .click();
  await page.getByLabel("Type gate_files to confirm").fill("gate_files");
  await page.getByRole("dialog").getByRole("button", { name: "Delete sink" }).click();
  await page.locator("output").getByText("Sink gate_files deleted").waitFor();
  await open(`/pipelines/streams/${stream.id}`);
  await page.getByRole("button", { name: "Delete stream" }).click();
  await page.getByLabel("Type gate to confirm").fill("gate");
  await page.getByRole("dialog").getByRole("button", { name: "Delete stream" }).click();
  await page.locator("output").getByText("Stream gate deleted").waitFor();
  assert.equal((await platform.rest("GET", `${world.base}/streams/${stream.id}`)).status, 404);
  await page.getByRole("table", { name: "Streams" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "gate", exact: true }).count(), 0);
  assert.deepEqual(problems, []);
});

test("pages fit a screen of 360 pixels", { skip: noBrowser, timeout: 60_000 }, async () => {
  const { page, open } = await dashboard();
  await page.setViewportSize({ width: 360, height: 800 });
  const [pipeline] = (await platform.rest("GET", `${world.base}/pipelines`)).body.result;
  for (const path of ["", "/streams", "/sinks", "/new", `/${pipeline.id}`, `/${pipeline.id}/metrics`, `/${pipeline.id}/errors`]) {
    await open(`/pipelines${path}`);
    await page.getByText("Loading").waitFor({ state: "detached" });
    const wide = Number(await page.evaluate("document.documentElement.scrollWidth"));
    assert.ok(wide <= 360, `/pipelines${path} is ${wide} wide`);
  }
});
