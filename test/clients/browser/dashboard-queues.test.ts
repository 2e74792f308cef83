/** Queues' pages of the dashboard in Chromium. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());

test("[queues-43] send, list and acknowledge messages; a message that was listed stays in the queue", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  const base = `/accounts/${platform.ready.account_id}/queues`;
  const dialog = page.getByRole("dialog");
  await open("/queues");
  await page.getByRole("button", { name: "Create queue" }).click();
  await dialog.getByLabel("Name").fill("orders");
  await dialog.getByRole("button", { name: "Create queue" }).click();
  await page.getByText("No message waits").waitFor();
  const [{ queue_id: id }] = (await platform.rest("GET", base)).body.result;

  const send = async (type: string, text: string) => {
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await dialog.getByLabel("Content type").selectOption(type);
    await dialog.getByLabel("Message").fill(text);
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
  };
  await send("json", '{"order": 1}');
  await send("text", "plain text");
  await send("text", "to be acknowledged");
  await page.getByRole("button", { name: "List" }).click();
  const rows = page.getByRole("table", { name: "Messages" }).getByRole("row");
  await rows.filter({ hasText: "to be acknowledged" }).waitFor();
  assert.equal(await rows.count(), 4, "the heading and three messages");
  await rows.filter({ hasText: "plain text" }).locator("summary").click();
  await rows.filter({ hasText: "plain text" }).locator("pre").waitFor();

  await rows.filter({ hasText: "to be acknowledged" }).getByRole("checkbox").check();
  await page.getByRole("button", { name: "Acknowledge messages" }).click();
  await dialog.getByRole("button", { name: "Acknowledge messages" }).click();
  await page.locator("output").getByText("1 message acknowledged").waitFor();
  await rows.filter({ hasText: "to be acknowledged" }).waitFor({ state: "detached" });

  // Settings, as the API has them then.
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("Retention in seconds").fill("3600");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator("output").getByText("Settings saved").waitFor();
  assert.equal((await platform.rest("GET", `${base}/${id}`)).body.result.settings.message_retention_period, 3600);

  // What was listed so often is still there for a consumer, at its first attempt.
  await platform.rest("POST", `${base}/${id}/consumers`, { type: "http_pull" });
  const pulled = (await platform.rest("POST", `${base}/${id}/messages/pull`, { batch_size: 10 })).body.result.messages;
  assert.deepEqual(
    pulled.map((one: { attempts: number; body: string; metadata: Record<string, string> }) => [
      one.attempts,
      one.metadata["CF-Content-Type"] === "text" ? one.body : JSON.parse(Buffer.from(one.body, "base64").toString()),
    ]),
    [
      [1, { order: 1 }],
      [1, "plain text"],
    ],
  );

  await page.setViewportSize({ width: 360, height: 800 });
  for (const path of ["/queues", `/queues/${id}`, `/queues/${id}/settings`]) {
    await open(path);
    await page.getByText("Loading").waitFor({ state: "detached" });
    assert.ok(Number(await page.evaluate("document.documentElement.scrollWidth")) <= 360, path);
  }
  await page.getByRole("button", { name: "Delete queue" }).click();
  await dialog.getByLabel("Type orders to confirm").fill("orders");
  await dialog.getByRole("button", { name: "Delete queue" }).click();
  await page.getByText("No queue yet").waitFor();
  assert.deepEqual((await platform.rest("GET", base)).body.result, []);
  assert.deepEqual(problems, []);
});
