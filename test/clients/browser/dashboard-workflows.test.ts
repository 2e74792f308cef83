/** Workflows' pages of the dashboard in Chromium. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployFlows } from "../workflow-worker.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());
const pictures = process.env.FREEHOLD_PICTURES;

test("[workflows-46] workflows are listed, triggered and stopped; an instance shows its steps along the time", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const flows = await deployFlows(platform, "shop", {
    Orders: `
      const price = await step.do("price", { retries: { limit: 2, delay: 1 } }, async ({ attempt }) => {
        if (attempt === 1) throw new Error("not yet");
        return { item: event.payload.item, price: 7 };
      });
      const paid = await step.waitForEvent("payment", { type: "paid", timeout: "1 hour" });
      return { ...price, paid: paid.payload };`,
  });
  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  const dialog = page.getByRole("dialog");
  async function picture(name: string): Promise<void> {
    if (pictures !== undefined) await page.screenshot({ path: join(pictures, `workflows-${name}.png`), fullPage: true });
  }
  const said = (text: string) => page.locator("output").getByText(text).waitFor();
  await open("/workflows");
  await page.getByRole("link", { name: "shop-orders" }).click();
  await page.getByText("No instance yet").waitFor();

  await page.getByRole("button", { name: "Trigger" }).click();
  await dialog.getByLabel("Parameters").fill('{"item": "book"}');
  await dialog.getByLabel("Id").fill("first");
  await dialog.getByRole("button", { name: "Trigger" }).click();
  await page.getByRole("heading", { name: "first" }).waitFor();
  const steps = page.getByRole("region", { name: "Steps" });
  const price = steps.getByRole("listitem").filter({ hasText: "price-1" });
  await price.getByText("done").waitFor();
  await price.locator("summary").click();
  await price.getByText("Error: not yet").waitFor();
  await price.getByText('{"item":"book","price":7}').waitFor();
  await steps.getByRole("listitem").filter({ hasText: "payment-1" }).getByText("waiting").waitFor();
  await picture("instance");

  await page.getByRole("button", { name: "Pause" }).click();
  await said("Paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await said("Resumed");
  await page.getByRole("button", { name: "Send event" }).click();
  await dialog.getByLabel("Type").fill("paid");
  await dialog.getByLabel("Payload").fill('{"euros": 7}');
  await dialog.getByRole("button", { name: "Send event" }).click();
  await page.getByRole("region", { name: "Instance" }).getByText("complete").waitFor();
  await page.getByText('"euros": 7').waitFor();
  assert.deepEqual((await flows.detail("Orders", "first")).output, { item: "book", price: 7, paid: { euros: 7 } });

  await page.getByRole("button", { name: "Restart" }).click();
  await said("Restarted");
  await page.getByRole("button", { name: "Terminate" }).click();
  await said("Terminated");
  await steps.getByText("by api").waitFor();
  await steps.getByRole("listitem").filter({ hasText: "payment-1" }).getByText("stopped").waitFor();

  await flows.call(
    "Orders",
    "createBatch",
    Array.from({ length: 30 }, (_, i) => ({ id: `many-${i}`, params: { item: String(i) } })),
  );
  await open("/workflows/shop-orders");
  const rows = page.getByRole("table", { name: "Instances" }).getByRole("row");
  await page.getByRole("button", { name: "Older" }).waitFor();
  await picture("instances");
  await page.getByRole("button", { name: "Older" }).click();
  await page.getByRole("button", { name: "Newer" }).waitFor();
  await rows.filter({ hasText: "first" }).waitFor();
  await page.getByLabel("Status").selectOption("terminated");
  await page.waitForFunction("document.querySelectorAll('table[aria-label=Instances] tbody tr').length === 1");
  await rows.filter({ hasText: "first" }).getByText("terminated").waitFor();

  await page.setViewportSize({ width: 360, height: 800 });
  for (const path of [
    "/workflows",
    "/workflows/shop-orders",
    "/workflows/shop-orders/settings",
    "/workflows/shop-orders/instances/first",
  ]) {
    await open(path);
    await page.getByText("Loading").waitFor({ state: "detached" });
    assert.ok(Number(await page.evaluate("document.documentElement.scrollWidth")) <= 360, path);
    await picture(`narrow${path.replaceAll("/", "-")}`);
  }
  await open("/workflows/shop-orders/settings");
  await page.getByRole("button", { name: "Delete workflow" }).click();
  await dialog.getByLabel("Type shop-orders to confirm").fill("shop-orders");
  await dialog.getByRole("button", { name: "Delete workflow" }).click();
  await page.getByText("No workflow yet").waitFor();
  assert.equal((await platform.rest("GET", flows.path("Orders"))).status, 404);
  assert.deepEqual(problems, []);
});
