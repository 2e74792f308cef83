/** AI Search's pages of the dashboard in Chromium. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { searchWorld } from "../ai-search-world.ts";

const world = noBrowser === false ? await searchWorld({ after }) : undefined;
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());

test("an instance is made, watched, asked and counted in the dashboard", { skip: noBrowser, timeout: 120_000 }, async () => {
  const { platform, bucket } = world as NonNullable<typeof world>;
  await bucket("library", { "books/moby.md": "a whale in the sea", "books/odd.exe": "MZ" });
  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  const pictures = process.env.FREEHOLD_PICTURES;
  const picture = async (name: string): Promise<void> => {
    if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  };
  const dialog = page.getByRole("dialog");
  await open("/ai-search");
  await page.getByRole("button", { name: "Create instance" }).click();
  await dialog.getByLabel("Name").fill("library");
  await dialog.getByLabel("Bucket").selectOption("library");
  // A token of its own, made and registered on the way.
  await dialog.getByLabel("Service API token").selectOption("new");
  await dialog.getByRole("button", { name: "Create instance" }).click();

  const items = page.getByRole("table", { name: "Indexed items" }).getByRole("row");
  await items.filter({ hasText: "books/moby.md" }).getByText("completed").waitFor();
  await items.filter({ hasText: "books/odd.exe" }).getByText("Unsupported file type").waitFor();
  await picture("ai-search-overview");

  await page.getByRole("link", { name: "Jobs" }).click();
  await page.getByRole("table", { name: "Jobs" }).getByText("First sync").waitFor();
  await page.getByRole("button", { name: "Show log" }).click();
  await page.getByRole("list", { name: "Log" }).getByText("books/odd.exe: Unsupported file type").waitFor();
  await picture("ai-search-jobs");

  await page.getByRole("link", { name: "Playground" }).click();
  await page.getByLabel("Query").fill("whale in the sea");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByText("a whale in the sea").waitFor();
  await page.getByLabel("Mode").selectOption("answer");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.locator("output").filter({ hasText: "echo <document" }).waitFor();
  await picture("ai-search-playground");

  await page.getByRole("link", { name: "Metrics" }).click();
  const top = page.getByRole("table", { name: "Top retrievals" });
  await top.getByText("books/moby.md").waitFor();
  assert.match((await top.getByRole("row").nth(1).textContent()) ?? "", /books\/moby\.md2$/);
  await picture("ai-search-metrics");

  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("Most results").fill("7");
  await page.getByLabel("Pause indexing").check();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Settings saved").waitFor();
  const { result } = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/ai-search/instances/library`)).body;
  assert.deepEqual([result.max_num_results, result.paused, result.status], [7, true, "paused"]);
  await picture("ai-search-settings");
  await page.getByRole("button", { name: "Delete instance" }).click();
  await dialog.getByRole("textbox").fill("library");
  await dialog.getByRole("button", { name: "Delete instance" }).click();
  await page.getByText("No instance yet").waitFor();
  assert.deepEqual(problems, []);
});
