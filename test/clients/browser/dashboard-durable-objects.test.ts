/** Data Studio: an object's tables in Chromium and by REST, what the Worker sees of it, and who may not get in. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}`;

const shop = await deployWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      export class Shop extends DurableObject {
        constructor(ctx, env) { super(ctx, env); ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, title TEXT, price REAL, note TEXT)"); }
        add(title, price) { this.ctx.storage.sql.exec("INSERT INTO items (title, price) VALUES (?, ?)", title, price); }
        items() { return this.ctx.storage.sql.exec("SELECT * FROM items ORDER BY id").toArray(); }
      }
      export class Plain extends DurableObject {}
      export default { async fetch(request, env) {
        const [, name, title, price] = new URL(request.url).pathname.split("/");
        const stub = env.Shop.getByName(name);
        if (title) await stub.add(title, Number(price));
        return Response.json(await stub.items());
      } };`,
  },
  config: {
    name: "shop",
    durable_objects: { bindings: [{ name: "Shop", class_name: "Shop" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Shop"], new_classes: ["Plain"] }],
  },
});

interface Namespace {
  readonly id: string;
  readonly class: string;
}
const namespaces = (await platform.rest("GET", `${account}/workers/durable_objects/namespaces`)).body.result as Namespace[];
const idOf = (name: string): string => (namespaces.find((namespace) => namespace.class === name) as Namespace).id;
const items = async (name: string) => (await (await platform.fetch(`${shop.url}/${name}`)).json()) as Record<string, unknown>[];
const query = (body: unknown, namespace = idOf("Shop"), token?: string) =>
  platform.rest("POST", `${account}/workers/durable_objects/namespaces/${namespace}/query`, body, token);

interface Entry {
  readonly action: { readonly info: string };
  readonly resource: { readonly id: string };
  readonly newValueJson: { readonly query_id: string; readonly success?: boolean };
}
const entries = async () =>
  ((await platform.rest("GET", `${account}/audit_logs?per_page=1000`)).body.result as Entry[]).filter(({ action }) =>
    /^query/.test(action.info),
  );

async function pictures(page: Page, name: string): Promise<void> {
  const directory = process.env.FREEHOLD_PICTURES;
  if (directory === undefined) return;
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(directory, `${name}-${colorScheme}.png`), fullPage: true });
  }
}

test("[durable-objects-54] Data Studio: an object is opened by its name, a row edited, the Worker sees it, both audit entries appear", {
  skip: noBrowser,
  timeout: 120_000,
}, async (t) => {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  await platform.fetch(`${shop.url}/corner/tea/3.5`);
  await platform.fetch(`${shop.url}/corner/milk/1`);
  const { page, open, problems } = await openDashboard(platform, browser);
  await open("/durable-objects");
  await page.getByRole("link", { name: "Shop" }).click();
  await page.getByLabel("Name or id of the object").fill("corner");
  await page.getByRole("button", { name: "Open" }).click();
  const rows = page.getByRole("table", { name: "Rows of items" });
  const tea = rows.getByRole("row", { name: /tea/ });
  await tea.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("dialog").getByLabel("price").fill("4.25");
  await page.getByRole("dialog").getByLabel("title").fill("green tea");
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await rows.getByText("green tea").waitFor();
  assert.deepEqual(await items("corner"), [
    { id: 1, title: "green tea", price: 4.25, note: null },
    { id: 2, title: "milk", price: 1, note: null },
  ]);
  await page.getByRole("link", { name: "Query" }).click();
  await page.getByLabel("SQL").fill("SELECT title FROM items WHERE price > 2");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByRole("table", { name: "Result" }).getByText("green tea").waitFor();
  await page.setViewportSize({ width: 360, height: 800 });
  const wide = Number(await page.evaluate("document.documentElement.scrollWidth"));
  assert.ok(wide <= 360, `the page is ${wide} wide`);
  assert.deepEqual(problems, []);
  const byQuery = Map.groupBy(await entries(), ({ newValueJson }) => newValueJson.query_id);
  assert.ok(byQuery.size >= 4);
  for (const pair of byQuery.values()) {
    assert.deepEqual(pair.map(({ action }) => action.info).sort(), ["query completed", "query executed"]);
    assert.ok(pair.every(({ resource }) => resource.id === idOf("Shop")));
  }
});

test("[durable-objects-53] a namespace's page has charts of its metrics, and its logs by an object's id", {
  skip: noBrowser,
  timeout: 120_000,
}, async (t) => {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const talker = await deployWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Talker extends DurableObject { fetch() { console.log("I am", this.ctx.id.name); return new Response(this.ctx.id.toString()); } }
        export default { fetch(request, env) {
          console.log("the Worker itself");
          return env.Talker.getByName(new URL(request.url).pathname.slice(1)).fetch(request);
        } };`,
    },
    config: {
      name: "talker",
      observability: { enabled: true },
      durable_objects: { bindings: [{ name: "Talker", class_name: "Talker" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Talker"] }],
    },
  });
  const ids = [];
  for (const name of ["ann", "bob", "ann"]) ids.push(await (await platform.fetch(`${talker.url}/${name}`)).text());
  const { page, open, problems } = await openDashboard(platform, browser);
  await open("/durable-objects");
  await page.getByRole("link", { name: "Talker" }).click();
  await page.getByRole("link", { name: "Metrics" }).click();
  await page.getByText("fetch 3").waitFor();
  for (const title of ["Requests", "Active and CPU time", "Rows"])
    await page
      .locator("figure")
      .filter({ has: page.getByText(title, { exact: true }) })
      .locator("canvas")
      .waitFor();
  const requests = page.locator("figure").filter({ has: page.getByText("Requests", { exact: true }) });
  await requests.getByText("Show the numbers").click();
  const values = await requests.getByRole("table", { name: "Requests" }).locator("tbody td:nth-child(2)").allTextContents();
  assert.equal(
    values.reduce((sum, value) => sum + Number(value), 0),
    3,
  );
  await pictures(page, "durable-objects-metrics");
  await page.getByRole("link", { name: "Logs" }).click();
  const logs = page.getByRole("list", { name: "Logs" }).locator("summary");
  // They are stored a moment after the answers.
  await page.getByLabel("Live").check();
  await logs.filter({ hasText: "I am ann" }).nth(1).waitFor();
  await logs.filter({ hasText: "I am bob" }).waitFor();
  assert.equal(await logs.filter({ hasText: "the Worker itself" }).count(), 0);
  await page.getByLabel("Object id").fill(ids[1] as string);
  await logs.filter({ hasText: "I am ann" }).first().waitFor({ state: "detached" });
  await logs.filter({ hasText: "I am bob" }).waitFor();
  await pictures(page, "durable-objects-logs");
  assert.deepEqual(problems, []);
});

test("queries by REST: by id or name, all statements or none, failures in SQLite's words and in the audit log", async () => {
  await platform.fetch(`${shop.url}/rest/tea/3.5`);
  const insert = { sql: "INSERT INTO items (title, note) VALUES (?, ?)", params: ["bytes", [1, 2, 255]] };
  const named = await query({ durable_object_name: "rest", queries: [insert, { sql: "SELECT title, note FROM items ORDER BY id" }] });
  assert.deepEqual(named.body.result[1].columns, ["title", "note"]);
  assert.deepEqual(named.body.result[1].rows, [
    ["tea", null],
    ["bytes", [1, 2, 255]],
  ]);
  assert.ok(named.body.result[0].meta.rows_written > 0 && named.body.result[1].meta.rows_read > 0);
  const objects = (await platform.rest("GET", `${account}/workers/durable_objects/namespaces/${idOf("Shop")}/objects`)).body.result;
  const counts = [];
  for (const { id } of objects as { id: string }[]) {
    const { body } = await query({ durable_object_id: id, queries: [{ sql: "SELECT COUNT(*) FROM items" }] });
    counts.push(body.result[0].rows[0][0]);
  }
  assert.ok(counts.includes(2));
  const failed = await query({ durable_object_name: "rest", queries: [{ sql: "DELETE FROM items" }, { sql: "SELECT * FROM nowhere" }] });
  assert.deepEqual([failed.status, failed.body.errors[0]?.code], [400, 10001]);
  assert.match(failed.body.errors[0]?.message ?? "", /no such table: nowhere/);
  assert.equal((await items("rest")).length, 2);
  const [first, second] = (await entries()).slice(0, 2);
  assert.deepEqual([first?.newValueJson.success ?? second?.newValueJson.success], [false]);
  const flood = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n";
  assert.match(
    (await query({ durable_object_name: "rest", queries: [{ sql: flood }] })).body.errors[0]?.message ?? "",
    /more than 10000 rows/,
  );
});

test("nobody gets in by a query: other namespaces' ids, key-value classes, weak tokens, and bindings of other Workers", async () => {
  const one = [{ sql: "SELECT 1" }];
  for (const id of ["nonsense", "0".repeat(64), "../x"]) {
    const { status, body } = await query({ durable_object_id: id, queries: one });
    assert.deepEqual([status, body.errors[0]?.code], [400, 10001], id);
  }
  const objects = `${account}/workers/durable_objects/namespaces/${idOf("Shop")}/objects`;
  for (const id of ["nonsense", "0".repeat(64)]) assert.equal((await platform.rest("DELETE", `${objects}/${id}`)).status, 400, id);
  const reader = (await platform.token(["Workers Scripts Read"])).value;
  const [{ id: kept }] = (await platform.rest("GET", objects)).body.result as [{ id: string }];
  assert.equal((await platform.rest("DELETE", `${objects}/${kept}`, undefined, reader)).status, 403);
  assert.equal((await query({ durable_object_name: "x", queries: [] })).status, 400);
  assert.equal((await query({ durable_object_name: "x", queries: one }, idOf("Plain"))).status, 400);
  assert.equal((await query({ durable_object_name: "x", queries: one }, "0".repeat(32))).status, 404);
  const weak = await platform.token(["Workers Scripts Read"]);
  assert.equal((await query({ durable_object_name: "rest", queries: one }, undefined, weak.value)).status, 403);
  const borrower = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const stub = env.SHOP.getByName("corner");
        const tried = [];
        for (const attempt of [() => stub["@query"]([{ sql: "SELECT * FROM items" }]), () => stub["@reset"](), () => stub["@query"]]) {
          try { tried.push(await attempt()); } catch (error) { tried.push(error.message); }
        }
        return Response.json(tried);
      } };`,
    },
    config: { name: "borrower", durable_objects: { bindings: [{ name: "SHOP", class_name: "Shop", script_name: "shop" }] } },
  });
  const tried = (await (await platform.fetch(borrower.url)).json()) as string[];
  assert.equal(tried.length, 3);
  for (const answer of tried) assert.match(answer, /does not implement the method/);
});
