/** R2's pages of the dashboard in Chromium, each step checked through the API as another client sees it. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { type Dashboard, openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
const files = await mkdtemp(join(tmpdir(), "freehold-dashboard-"));
after(async () => {
  await browser?.close();
  await rm(files, { recursive: true, force: true });
});

const r2 = `/accounts/${platform.ready.account_id}/r2/buckets`;
const keys = async (bucket: string): Promise<string[]> =>
  (await platform.rest("GET", `${r2}/${bucket}/objects?per_page=1000`)).body.result.map((object: { key: string }) => object.key);

let opened: Promise<Dashboard> | undefined;
/** One window for the whole file. */
const dashboard = (): Promise<Dashboard> => {
  if (browser === undefined) throw new Error(String(noBrowser));
  opened ??= openDashboard(platform, browser, { acceptDownloads: true });
  return opened;
};

const toast = (page: Page, text: string | RegExp) => page.locator("output").getByText(text).waitFor();
const row = (page: Page, name: string) =>
  page.getByRole("row").filter({ has: page.getByRole("checkbox", { name: `Select ${name}`, exact: true }) });

test("[r2-54] object browser: upload, view as folders, multi-delete; a locked object stays", {
  skip: noBrowser,
  timeout: 180_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  await open("/r2");
  await page.getByText("No bucket yet").waitFor();
  await page.getByRole("button", { name: "Create bucket" }).click();
  await page.getByLabel("Name").fill("photos");
  await page.getByRole("dialog").getByRole("button", { name: "Create bucket" }).click();
  await page.getByRole("heading", { name: "photos", level: 1 }).waitFor();
  await page.getByText("This bucket is empty").waitFor();

  // Upload: files, one of them larger than any buffer on the way, and a folder.
  const large = Buffer.alloc(24 * 1024 * 1024, "0123456789abcdef");
  await writeFile(join(files, "large.bin"), large);
  await writeFile(join(files, "a note #1?.txt"), "with a name that must be escaped");
  await mkdir(join(files, "album", "2026"), { recursive: true });
  await writeFile(join(files, "album", "2026", "one.txt"), "one");
  await writeFile(join(files, "album", "two.txt"), "two");
  await page.getByLabel("Files to upload").setInputFiles([join(files, "large.bin"), join(files, "a note #1?.txt")]);
  await page.getByRole("status").getByText("2 files uploaded").waitFor();
  await page.getByLabel("Folder to upload").setInputFiles(join(files, "album"));
  await page.getByRole("status").getByText("4 files uploaded").waitFor();
  assert.deepEqual(await keys("photos"), ["a note #1?.txt", "album/2026/one.txt", "album/two.txt", "large.bin"]);
  const stored = await platform.fetch(`/client/v4${r2}/photos/objects/large.bin`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.ok(large.equals(Buffer.from(await stored.arrayBuffer())), "the bytes arrived");

  // Prefixes as folders, down and up again, and as a flat list.
  await row(page, "album/").getByRole("link", { name: "album/" }).click();
  await row(page, "album/two.txt").waitFor();
  await row(page, "album/2026/").getByRole("link").click();
  await row(page, "album/2026/one.txt").waitFor();
  assert.equal(new URL(page.url()).searchParams.get("prefix"), "album/2026/");
  assert.equal(await page.getByRole("row").count(), 2, "the heading and one object");
  await page.getByRole("navigation", { name: "Folders" }).getByRole("link", { name: "photos" }).click();
  await row(page, "large.bin").waitFor();
  await page.getByRole("switch", { name: "View prefixes as directories" }).uncheck();
  await row(page, "album/2026/one.txt").waitFor();
  await page.getByRole("switch", { name: "View prefixes as directories" }).check();
  await row(page, "album/").waitFor();

  // Details and download: the file as it was, never shown on the dashboard's own origin.
  await page.getByRole("button", { name: "a note #1?.txt" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
  assert.equal(download.suggestedFilename(), "a note #1_.txt", "the browser itself takes the question mark for unsafe");
  assert.equal(await readFile(await download.path(), "utf8"), "with a name that must be escaped");
  await page.getByRole("button", { name: "Close" }).click();

  // A rule that locks what lies under album/2026/.
  await page.getByRole("link", { name: "Settings" }).click();
  const locks = page.getByRole("region", { name: "Bucket lock rules" });
  await locks.getByRole("button", { name: "Add rule" }).click();
  const rule = page.getByRole("dialog", { name: "Add lock rule" });
  await rule.getByLabel("Name").fill("keep 2026");
  await rule.getByLabel("Prefix").fill("album/2026/");
  await rule.getByLabel("Days").fill("30");
  await rule.getByRole("button", { name: "Add rule" }).click();
  await locks.getByText("for 30 days after the upload").waitFor();

  // Many at once: an object and a folder, of which one object is locked.
  await page.getByRole("link", { name: "Objects", exact: true }).click();
  await row(page, "album/").getByRole("checkbox").check();
  await row(page, "large.bin").getByRole("checkbox").check();
  await page.getByRole("button", { name: "Delete 2" }).click();
  const dialog = page.getByRole("dialog");
  assert.equal(await dialog.getByRole("button", { name: "Delete" }).isDisabled(), true, "before the word is typed");
  await dialog.getByLabel("Type delete to confirm").fill("delete");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog", { name: "1 object stayed" }).getByText("album/2026/one.txt: ").waitFor();
  await page
    .getByRole("dialog")
    .getByText(/\(code 10069\)/)
    .waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
  assert.deepEqual(await keys("photos"), ["a note #1?.txt", "album/2026/one.txt"]);

  // The locked object says so, and cannot be deleted from its own page either.
  await open("/r2/default/photos?prefix=album%2F2026%2F");
  await row(page, "album/2026/one.txt").getByText("Locked").waitFor();
  await page.getByRole("button", { name: "one.txt" }).click();
  await page.getByText("by rule “keep 2026”").waitFor();
  const [locked] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
  assert.equal(locked.suggestedFilename(), "one.txt");
  assert.equal(await page.getByRole("dialog").getByRole("button", { name: "Delete" }).isDisabled(), true);
  // The refusal of the locked object is the one thing that the browser may complain about.
  assert.deepEqual(
    problems.splice(0).filter((problem) => !/status of 4\d\d/.test(problem)),
    [],
  );
});

test("[r2-data-catalog-03] the catalog is enabled from the bucket's settings, which show URI and warehouse that work", {
  skip: noBrowser,
}, async () => {
  const { page, open } = await dashboard();
  await platform.rest("POST", r2, { name: "lake" });
  await open("/r2/default/lake/settings");
  const card = page.getByRole("region", { name: "R2 Data Catalog" });
  await card.getByRole("button", { name: "Enable" }).click();
  await card.getByText("enabled", { exact: true }).waitFor();
  const uri = (await card.getByText(/^http.*\/lake$/).textContent()) ?? "";
  const warehouse = (await card.getByText(/_lake$/).textContent()) ?? "";
  const config = await platform.fetch(`${uri}/v1/config?warehouse=${warehouse}`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.equal(config.status, 200, await config.text());

  await card.getByRole("button", { name: "Disable" }).click();
  await page.getByLabel("Type lake to confirm").fill("lake");
  await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await card.getByText("disabled", { exact: true }).waitFor();
  const catalog = await platform.rest("GET", `/accounts/${platform.ready.account_id}/r2-catalog/lake`);
  assert.equal(catalog.body.result.status, "inactive");
});

test("a bucket's settings: public URL by typed word, custom domain, CORS as JSON, lifecycle rule, and deleting the bucket", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  const setting = async (path: string) => (await platform.rest("GET", `${r2}/site/${path}`)).body.result;
  const region = (name: string) => page.getByRole("region", { name });
  const dialog = page.getByRole("dialog");
  await platform.rest("POST", r2, { name: "site" });
  const zone = (await platform.rest("POST", "/zones", { name: "example.com", account: { id: platform.ready.account_id } })).body.result;
  await open("/r2/default/site/settings");

  await region("Public development URL").getByRole("button", { name: "Allow access" }).click();
  await dialog.getByLabel("Type allow to confirm").fill("allow");
  await dialog.getByRole("button", { name: "Allow" }).click();
  await toast(page, "Public URL allowed");
  assert.equal((await setting("domains/managed")).enabled, true);
  const url = (await region("Public development URL").getByText(/^http/).textContent()) ?? "";
  assert.equal((await platform.fetch(`${url}/nothing`)).status, 404);

  await region("Custom domains").getByRole("button", { name: "Connect domain" }).click();
  await dialog.getByLabel("Domain").fill("files.example.com");
  await dialog.getByRole("button", { name: "Connect" }).click();
  await region("Custom domains").getByText("Active").waitFor();
  const [connected] = (await setting("domains/custom")).domains;
  assert.deepEqual([connected.domain, connected.zoneId], ["files.example.com", zone.id]);

  await region("CORS policy").getByRole("button", { name: "Add" }).click();
  await dialog.getByLabel("Policy as JSON").fill('[{"AllowedOrigins":["https://example.com"],"Methods":["GET"]}]');
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText('Rule 1 has "Methods"').waitFor();
  await dialog
    .getByLabel("Policy as JSON")
    .fill('[{"AllowedOrigins":["https://example.com"],"AllowedMethods":["GET"],"MaxAgeSeconds":60}]');
  await dialog.getByRole("button", { name: "Save" }).click();
  await toast(page, "CORS policy saved");
  assert.deepEqual((await setting("cors")).rules, [{ allowed: { origins: ["https://example.com"], methods: ["GET"] }, maxAgeSeconds: 60 }]);

  const lifecycle = region("Object lifecycle rules");
  await lifecycle.getByRole("button", { name: "Add rule" }).click();
  await dialog.getByLabel("Name").fill("short-lived");
  await dialog.getByLabel("Delete objects after days").fill("7");
  await dialog.getByRole("button", { name: "Add rule" }).click();
  await lifecycle.getByText("Delete objects after 7 days").waitFor();
  assert.equal((await setting("lifecycle")).rules.length, 2, "beside the default rule");

  await page.getByRole("button", { name: "Delete bucket" }).click();
  await dialog.getByLabel("Type site to confirm").fill("site");
  await dialog.getByRole("button", { name: "Delete bucket" }).click();
  await toast(page, "Bucket site deleted");
  await page.getByRole("heading", { name: "R2 object storage" }).waitFor();
  assert.equal((await platform.rest("GET", `${r2}/site`)).status, 404);
  assert.deepEqual(
    problems.splice(0).filter((problem) => !/status of 4\d\d/.test(problem)),
    [],
  );
});

test("pages fit a screen of 360 pixels, in light and dark", { skip: noBrowser, timeout: 60_000 }, async () => {
  const { page, open } = await dashboard();
  const pictures = process.env.FREEHOLD_PICTURES;
  for (const [width, scheme] of [
    [360, "light"],
    [1400, "dark"],
    [1400, "light"],
  ] as const) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme: scheme });
    for (const path of ["/", "/r2", "/r2/default/photos", "/r2/default/photos/settings"]) {
      await open(path);
      await page.getByRole("table").first().waitFor();
      const wide = await page.evaluate("document.documentElement.scrollWidth");
      assert.ok(Number(wide) <= width, `${path} is ${wide} wide on a screen of ${width}`);
      if (pictures !== undefined)
        await page.screenshot({ path: join(pictures, `dashboard${path.replaceAll("/", "-")}-${scheme}-${width}.png`) });
    }
  }
});
