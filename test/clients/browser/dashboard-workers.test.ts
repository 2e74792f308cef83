/** Workers' pages of the dashboard in Chromium: list, metrics, logs with search and live, traces, the query builder. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { toFile } from "cloudflare";
import type { Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());
const account_id = platform.ready.account_id;
const { scripts } = platform.sdk().workers;

const pictures = process.env.FREEHOLD_PICTURES;

/** In light and dark, for those who want to see. */
async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(pictures, `${name}-${colorScheme}.png`), fullPage: true });
  }
}

async function upload(name: string, code: string, observability?: object): Promise<string> {
  await scripts.update(name, {
    account_id,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01", ...(observability && { observability }) } as never,
    files: { "index.js": await toFile(Buffer.from(code), "index.js", { type: "application/javascript+module" }) } as never,
  });
  await scripts.subdomain.create(name, { account_id, enabled: true });
  return platform.host("workers", { worker: name, subdomain: "dev" });
}

test("a Worker's metrics, logs, traces and the query builder", { skip: noBrowser, timeout: 120_000 }, async () => {
  platform.expectErrors(/./);
  const code = `import { tracing } from "cloudflare:workers"; export default { async fetch(request) {
    const url = new URL(request.url);
    console.log({ message: "order placed", order: Number(url.searchParams.get("order")) });
    if (url.pathname === "/fail") throw new Error("out of stock");
    return tracing.enterSpan("reserve", async () => { await scheduler.wait(20); return new Response("ok"); });
  } };`;
  const shop = await upload("shop", code, { enabled: true, traces: { enabled: true } });
  const quiet = await upload("quiet", `export default { fetch() { console.log("now heard"); return new Response("ok"); } };`);
  for (const order of [1, 2, 3]) await (await platform.fetch(`${shop}/?order=${order}`)).text();
  await (await platform.fetch(`${shop}/fail?order=4`)).text();

  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  await open("/workers");
  await page.getByRole("table", { name: "Workers" }).getByRole("link", { name: "shop" }).click();
  await page.getByRole("heading", { name: "shop" }).waitFor();
  const sections = page.getByRole("navigation", { name: "Sections" });
  await sections.getByRole("link", { name: "Metrics" }).click();
  const figure = (label: string) => page.locator("dl > div").filter({ hasText: label }).locator("dd");
  await figure("Errors").filter({ hasText: "scriptThrewException 1" }).waitFor();
  assert.match(await figure("Requests").textContent().then(String), /^4/);
  await picture(page, "workers-metrics");

  // Logs: found by a search, opened to their fields, and new ones shown as they come.
  await sections.getByRole("link", { name: "Logs" }).click();
  const logs = page.getByRole("list", { name: "Logs" });
  await logs.getByText("order placed").first().waitFor();
  await picture(page, "workers-logs");
  await page.getByLabel("Level").selectOption("error");
  await logs.locator("summary").filter({ hasText: "order placed" }).first().waitFor({ state: "detached" });
  await logs.locator("summary").filter({ hasText: "Error: out of stock" }).click();
  await logs.locator("details[open] pre").filter({ hasText: '"trigger": "GET /fail"' }).waitFor();
  await page.getByLabel("Level").selectOption("");
  await page.getByLabel("Search").fill("order placed");
  await page.getByRole("switch", { name: "Live" }).click();
  await page.getByText("4 events").waitFor();
  await (await platform.fetch(`${shop}/?order=5`)).text();
  await page.getByText("5 events").waitFor();

  await sections.getByRole("link", { name: "Traces" }).click();
  await page.getByRole("table", { name: "Traces" }).getByRole("button", { name: "GET /", exact: true }).first().click();
  const spans = page.getByRole("list", { name: "Spans" });
  await spans.getByText("reserve").waitFor();
  assert.equal(await spans.getByRole("listitem").count(), 2);
  await picture(page, "workers-traces");

  // A Worker whose logs are not stored, until they are.
  await open("/workers/quiet/logs");
  await page.getByRole("button", { name: "Store logs" }).click();
  await page.locator("output").getByText("Logs are stored from now on").waitFor();
  await (await platform.fetch(quiet)).text();
  await page.getByRole("switch", { name: "Live" }).click();
  await page.getByRole("list", { name: "Logs" }).locator("summary").filter({ hasText: "now heard" }).waitFor();

  await page.getByRole("link", { name: "Observability" }).click();
  await page.getByRole("button", { name: "Add filter" }).click();
  await page.getByLabel("Field", { exact: true }).fill("order");
  await page.getByLabel("Operation").selectOption("gte");
  await page.getByLabel("Value").fill("3");
  await page.getByLabel("Grouped by").fill("$metadata.trigger");
  await page.getByRole("button", { name: "Run query" }).click();
  const rows = page.getByRole("table", { name: "Figures" }).getByRole("row");
  await rows.filter({ hasText: "GET /fail" }).waitFor();
  assert.deepEqual(await rows.allInnerTexts().then((texts) => texts.map((text) => text.split(/\s*\t\s*/))), [
    ["Group", "count"],
    ["GET /", "2"],
    ["GET /fail", "1"],
  ]);
  await picture(page, "workers-query");
  await page.getByLabel("Show").selectOption("patterns");
  await page.getByRole("button", { name: "Run query" }).click();
  await page.getByRole("table", { name: "Patterns" }).getByText("order placed").waitFor();

  await page.setViewportSize({ width: 360, height: 800 });
  for (const path of [
    "/workers",
    "/workers/shop",
    "/workers/shop/metrics",
    "/workers/shop/logs",
    "/workers/shop/traces",
    "/observability",
  ]) {
    await open(path);
    await page.getByText("Loading").waitFor({ state: "detached" });
    assert.ok(Number(await page.evaluate("document.documentElement.scrollWidth")) <= 360, path);
  }
  assert.deepEqual(problems, []);
});
