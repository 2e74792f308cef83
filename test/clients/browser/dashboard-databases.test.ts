/** KV's and D1's pages of the dashboard in Chromium, each step checked through the API as another client sees it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { type Dashboard, openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";
import { eventually } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
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

test("[kv-28] pairs editor: add an entry, browse, change, delete", { skip: noBrowser, timeout: 120_000 }, async () => {
  const { page, open, problems } = await dashboard();
  await open("/kv");
  await page.getByRole("button", { name: "Create namespace" }).click();
  await page.getByLabel("Title").fill("SETTINGS");
  await page.getByRole("dialog").getByRole("button", { name: "Create namespace" }).click();
  await page.getByRole("heading", { name: "SETTINGS", level: 1 }).waitFor();
  const [{ id }] = (await platform.rest("GET", `${account}/storage/kv/namespaces`)).body.result;
  const kv = platform.sdk().kv.namespaces;
  const at = { account_id: platform.ready.account_id, namespace_id: id };
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Add entry" }).click();
  await dialog.getByLabel("Key").fill("user/1?");
  await dialog.getByLabel("Value").fill("first line\nsecond line");
  await dialog.getByLabel("Metadata as JSON").fill('{"plan":');
  assert.equal(await dialog.getByRole("button", { name: "Save" }).isDisabled(), true, "while the metadata is no JSON");
  await dialog.getByLabel("Metadata as JSON").fill('{"plan":"free"}');
  await dialog.getByLabel("Expires after seconds").fill("3600");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page
    .getByRole("row", { name: /user\/1\?/ })
    .getByText('{"plan":"free"}')
    .waitFor();
  const value = async (key: string) => (await kv.values.get(key, at)).text();
  assert.equal(await value("user/1?"), "first line\nsecond line", "byte for byte, also the ends of lines");

  // Browsing: more keys than a page has, and a prefix.
  const pairs = Array.from({ length: 120 }, (_, i) => ({ key: `item/${String(i).padStart(3, "0")}`, value: String(i) }));
  await platform.rest("PUT", `${account}/storage/kv/namespaces/${id}/bulk`, pairs);
  await page.getByLabel("Prefix").fill("item/");
  await page.getByRole("button", { name: "Go" }).click();
  await page.getByRole("button", { name: "item/099" }).waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByRole("button", { name: "item/119" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "user/1?" }).count(), 0);

  // Changing a value keeps its expiration and metadata.
  await page.getByLabel("Prefix").fill("user/");
  await page.getByRole("button", { name: "Go" }).click();
  await page.getByRole("button", { name: "user/1?" }).click();
  assert.equal(await dialog.getByLabel("Value").inputValue(), "first line\nsecond line");
  await dialog.getByLabel("Value").fill("changed");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await value("user/1?"), "changed");
  const [kept] = (await platform.rest("GET", `${account}/storage/kv/namespaces/${id}/keys?prefix=user/`)).body.result;
  assert.deepEqual(kept.metadata, { plan: "free" });
  assert.ok(kept.expiration > 0);

  await page
    .getByRole("row", { name: /user\/1\?/ })
    .getByRole("checkbox")
    .check();
  await page.getByRole("button", { name: "Delete 1" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByText("No entry under this prefix").waitFor();
  assert.deepEqual((await platform.rest("GET", `${account}/storage/kv/namespaces/${id}/keys?prefix=user/`)).body.result, []);
  assert.deepEqual(problems, []);
});

test("[d1-38] console and tables: run SQL, browse a table", { skip: noBrowser, timeout: 120_000 }, async () => {
  const { page, open, problems } = await dashboard();
  await open("/d1");
  await page.getByRole("button", { name: "Create database" }).click();
  await page.getByLabel("Name").fill("shop");
  await page.getByRole("dialog").getByRole("button", { name: "Create database" }).click();
  await page.getByText("No table yet").waitFor();
  await page.getByRole("link", { name: "Open the console" }).click();

  const run = async (sql: string) => {
    await page.getByLabel("SQL").fill(sql);
    await page.getByRole("button", { name: "Run" }).click();
  };
  await run(
    `CREATE TABLE "my orders" (id INTEGER PRIMARY KEY, customer TEXT, note TEXT);
     INSERT INTO "my orders" (customer) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120) SELECT 'customer ' || i FROM n`,
  );
  await page
    .getByRole("region", { name: "Result 2" })
    .getByText(/rows written/)
    .waitFor();
  await run(`SELECT customer, note, 1 + 1 AS two, 'x' AS two FROM "my orders" WHERE id <= 2 ORDER BY id DESC`);
  const result = page.getByRole("table", { name: "Result 1" });
  await result.getByText("customer 2").waitFor();
  assert.deepEqual(await result.getByRole("columnheader").allTextContents(), ["customer", "note", "two", "two"]);
  assert.deepEqual(await result.getByRole("row").nth(1).getByRole("cell").allTextContents(), ["customer 2", "NULL", "2", "x"]);
  assert.equal(await result.getByRole("row").count(), 3);
  await run("SELECT 1 FROM nowhere");
  await page
    .getByRole("alert")
    .getByText(/no such table: nowhere/)
    .waitFor();

  await page.getByRole("link", { name: "Tables" }).click();
  const rows = page.getByRole("table", { name: "Rows of my orders" });
  await rows.getByText("customer 50").waitFor();
  await page.getByText("1 to 50 of 120").waitFor();
  await page.getByRole("link", { name: "Next" }).click();
  await page.getByText("51 to 100 of 120").waitFor();
  await page.getByRole("link", { name: "Next" }).click();
  await rows.getByText("customer 120").waitFor();
  assert.equal(await page.getByRole("link", { name: "Next" }).count(), 0);
  // The refused statement is the one thing that the browser may complain about.
  assert.deepEqual(
    problems.splice(0).filter((problem) => !/status of 4\d\d/.test(problem)),
    [],
  );
});

test("[d1-37] metrics of a database and of a bucket show what was done, by the hour", { skip: noBrowser, timeout: 120_000 }, async () => {
  const { page, open, problems } = await dashboard();
  const { uuid } = (await platform.rest("POST", `${account}/d1/database`, { name: "counted" })).body.result;
  const sql = "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2), (3); SELECT * FROM t";
  const ran: { meta: Record<"rows_read" | "rows_written", number> }[] = (
    await platform.rest("POST", `${account}/d1/database/${uuid}/query`, { sql })
  ).body.result;
  const sum = (name: "rows_read" | "rows_written") => String(ran.reduce((all, { meta }) => all + meta[name], 0));
  const stat = async (label: string): Promise<string> =>
    (await page
      .locator("dl div", { has: page.locator("dt", { hasText: label }) })
      .locator("dd")
      .textContent()) ?? "";
  await platform.rest("POST", `${account}/r2/buckets`, { name: "counted" });
  for (const key of ["a", "b", "c"])
    await platform.fetch(`/client/v4${account}/r2/buckets/counted/objects/${key}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${platform.ready.api_token}` },
      body: "12345",
    });
  // Counts are written together after a moment.
  await eventually("the database's figures are in", async () => {
    await open(`/d1/${uuid}/metrics`);
    await page.getByText("Rows written").first().waitFor();
    assert.deepEqual([await stat("Rows read"), await stat("Rows written")], [sum("rows_read"), sum("rows_written")]);
  });
  await eventually("the bucket's figures are in", async () => {
    await open("/r2/default/counted/metrics");
    const row = page.getByRole("table", { name: "Requests by operation" }).getByRole("row", { name: /PutObject/ });
    await row.waitFor({ timeout: 3_000 });
    assert.match((await row.textContent()) ?? "", /success3/);
  });
  assert.equal(await stat("Objects"), "3");
  assert.equal(await stat("Size"), "15 B");
  assert.deepEqual(problems, []);
});

test("[kv-29] metrics of a namespace show its operations, their latency and what it holds", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  const namespaces = `${account}/storage/kv/namespaces`;
  const { id } = (await platform.rest("POST", namespaces, { title: "counted" })).body.result;
  const call = (method: string, path: string, body?: string) =>
    platform.fetch(`/client/v4${namespaces}/${id}/${path}`, {
      method,
      headers: { authorization: `Bearer ${platform.ready.api_token}` },
      ...(body !== undefined && { body }),
    });
  for (const key of ["a", "b", "c"]) await call("PUT", `values/${key}`, "12345");
  for (let i = 0; i < 5; i++) await call("GET", "values/a");
  await call("DELETE", "values/c");
  await call("GET", "keys");
  const stat = async (label: string): Promise<string> =>
    (await page
      .locator("dl div", { has: page.locator("dt", { hasText: label }) })
      .locator("dd")
      .first()
      .textContent()) ?? "";
  await open(`/kv/${id}`);
  await page.getByRole("link", { name: "Metrics" }).click();
  await page.getByText("Read latency, P99").waitFor();
  assert.deepEqual(
    [await stat("Reads"), await stat("Writes"), await stat("Deletes"), await stat("Lists")],
    ["5", "3", "1", "2"],
    "one of the lists is the page's own",
  );
  assert.match(await stat("Read latency, P99"), /^\d+(\.\d+)? ms$/);
  assert.deepEqual([await stat("Keys"), await stat("Stored")], ["2", "12 B"]);
  assert.deepEqual(problems, []);
  await platform.rest("DELETE", `${namespaces}/${id}`);
});

test("databases and namespaces are deleted by typing their names, and pages fit a screen of 360 pixels", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await dashboard();
  const [{ uuid }] = (await platform.rest("GET", `${account}/d1/database?name=shop`)).body.result;
  const [{ id }] = (await platform.rest("GET", `${account}/storage/kv/namespaces`)).body.result;
  await page.setViewportSize({ width: 360, height: 800 });
  for (const path of ["/kv", `/kv/${id}`, "/d1", `/d1/${uuid}`, `/d1/${uuid}/console`, `/d1/${uuid}/metrics`, `/d1/${uuid}/settings`]) {
    await open(path);
    await page.getByText("Loading").waitFor({ state: "detached" });
    const wide = Number(await page.evaluate("document.documentElement.scrollWidth"));
    assert.ok(wide <= 360, `${path} is ${wide} wide`);
  }
  await page.getByRole("button", { name: "Delete database" }).click();
  await page.getByLabel("Type shop to confirm").fill("shop");
  await page.getByRole("dialog").getByRole("button", { name: "Delete database" }).click();
  await page.getByRole("link", { name: "counted" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "shop" }).count(), 0);
  await open(`/kv/${id}`);
  await page.getByRole("button", { name: "Delete namespace" }).click();
  await page.getByLabel("Type SETTINGS to confirm").fill("SETTINGS");
  await page.getByRole("dialog").getByRole("button", { name: "Delete namespace" }).click();
  await page.getByText("No namespace yet").waitFor();
  assert.deepEqual((await platform.rest("GET", `${account}/storage/kv/namespaces`)).body.result, []);
  assert.deepEqual(problems, []);
});
