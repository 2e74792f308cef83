/** The playground and the quick editor in Chromium: code is edited, seen running, shared by a link, and deployed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { toFile } from "cloudflare";
import type { Browser, Page } from "playwright-core";
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

const editor = (page: Page, name: string) => page.getByRole("textbox", { name: `Code of ${name}` });

/** In the place of all that was there, as a person does it: typed over a selection, Chromium carries styles along. */
async function write(page: Page, name: string, text: string): Promise<void> {
  await editor(page, name).press("ControlOrMeta+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText(text);
}

const preview = (page: Page) => page.frameLocator('iframe[title="Preview"]');
const output = (page: Page) => page.getByRole("region", { name: "Console" });

test("[workers-57] code is edited, previewed, asked by hand, shared, and deployed under a name", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await openDashboard(platform, browser as Browser, {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await open("/workers");
  await page.getByRole("link", { name: "Playground" }).click();
  await page.getByText("Nothing runs yet").waitFor();
  await page.getByRole("button", { name: "Run" }).click();
  await preview(page).getByRole("heading", { name: "It runs" }).waitFor();
  await output(page).getByText("asked for /", { exact: true }).waitFor();
  await picture(page, "playground");

  // Once it runs, a change shows by itself.
  await page.getByRole("tab", { name: "page.html" }).click();
  await write(page, "page.html", "<h1>Changed by hand</h1>");
  await preview(page).getByRole("heading", { name: "Changed by hand" }).waitFor();
  await page.getByRole("button", { name: "Add a module" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("greeting.txt");
  await page.getByRole("dialog").getByRole("button", { name: "Add" }).click();
  await write(page, "greeting.txt", "good day");
  await page.getByRole("tab", { name: "index.js" }).click();
  await write(
    page,
    "index.js",
    `import page from "./page.html";
import greeting from "./greeting.txt";
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/fail") throw new Error("no such luck");
    if (request.method === "POST") {
      console.warn("a post", { tag: request.headers.get("x-tag") });
      return new Response(\`\${greeting}, \${await request.text()}\`, { status: 201, headers: { "x-answer": "yes", "set-cookie": "a=1" } });
    }
    return new Response(page + url.pathname, { headers: { "content-type": "text/html" } });
  },
};`,
  );
  await preview(page).getByText("Changed by hand/", { exact: true }).waitFor();
  await page.getByLabel("Path").fill("/deep/link");
  await page.getByRole("button", { name: "Load" }).click();
  await preview(page).getByText("Changed by hand/deep/link").waitFor();

  await page.getByRole("tab", { name: "HTTP" }).click();
  await page.getByLabel("Method").selectOption("POST");
  await page.getByLabel("Headers").fill("x-tag: seven\nHost: elsewhere");
  await page.getByLabel("Body").fill("you there");
  await page.getByRole("button", { name: "Send" }).click();
  const response = page.getByRole("region", { name: "Response" });
  await response.getByText("201 Created").waitFor();
  await response.getByText("good day, you there").waitFor();
  assert.match(String(await response.textContent()), /Set-Cookie: a=1\nx-answer: yes/);
  await output(page)
    .getByText(/a post[\s\S]*"tag": "seven"/)
    .waitFor();
  await picture(page, "playground-http");
  await page.getByLabel("Method").selectOption("GET");
  await page.getByLabel("Path and query").fill("/fail");
  await page.getByRole("button", { name: "Send" }).click();
  await response.getByText("500 Internal Server Error").waitFor();
  await output(page).getByText("Error: no such luck").waitFor();

  // The link has all of the code, and runs nothing by itself.
  await page.getByRole("button", { name: "Copy link" }).click();
  await page.locator("output").getByText("Link copied").waitFor();
  const link = String(await page.evaluate("navigator.clipboard.readText()"));
  assert.match(link, /\/playground#[\w$+-]+$/);
  const other = await openDashboard(platform, browser as Browser);
  const uploads: string[] = [];
  other.page.on("request", (request) => request.url().includes("edge-preview") && uploads.push(request.url()));
  await other.page.goto(link);
  await editor(other.page, "index.js").getByText("no such luck").waitFor();
  await other.page.getByText("Nothing runs yet").waitFor();
  assert.deepEqual(uploads, []);
  await other.page.getByRole("button", { name: "Run" }).click();
  await preview(other.page).getByRole("heading", { name: "Changed by hand" }).waitFor();
  await other.page.context().close();

  await page.getByRole("button", { name: "Deploy" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("from-browser");
  await dialog.getByRole("button", { name: "Deploy" }).click();
  await page.getByRole("heading", { name: "from-browser" }).waitFor();
  const answer = await platform.fetch(platform.host("workers", { worker: "from-browser", subdomain: "dev" }), {
    method: "POST",
    body: "world",
  });
  assert.equal(await answer.text(), "good day, world");

  await page.setViewportSize({ width: 360, height: 800 });
  await page.goto(link);
  await page.getByRole("button", { name: "Run" }).click();
  await preview(page).getByRole("heading", { name: "Changed by hand" }).waitFor();
  assert.ok(Number(await page.evaluate("document.documentElement.scrollWidth")) <= 360);
  await picture(page, "playground-narrow");
  // What the frame's own pages said of failures is the preview's.
  assert.deepEqual(
    problems.filter((text) => !/favicon|500 \(Internal/.test(text)),
    [],
  );
});

test("[workers-57] the quick editor tries a deployed Worker's code under its bindings, and deploys it", {
  skip: noBrowser,
  timeout: 60_000,
}, async () => {
  const code = (word: string) =>
    `export default { fetch(request, env) { return new Response(\`${word} \${env.PLACE} \${env.SECRET.length}\`); } };`;
  const bindings = [
    { type: "plain_text", name: "PLACE", text: "harbour" },
    { type: "secret_text", name: "SECRET", text: "hush" },
  ];
  await scripts.update("edited", {
    account_id,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01", bindings, observability: { enabled: true } } as never,
    files: { "index.js": await toFile(Buffer.from(code("first")), "index.js", { type: "application/javascript+module" }) } as never,
  });
  await scripts.subdomain.create("edited", { account_id, enabled: true });
  const url = platform.host("workers", { worker: "edited", subdomain: "dev" });
  const { page, open, problems } = await openDashboard(platform, browser as Browser);
  await open("/workers/edited");
  await page.getByRole("link", { name: "Edit code" }).click();
  await page.getByRole("button", { name: "Run" }).click();
  await preview(page).getByText("first harbour 4").waitFor();
  await write(page, "index.js", code("second"));
  await preview(page).getByText("second harbour 4").waitFor();
  assert.equal(await (await platform.fetch(url)).text(), "first harbour 4");
  await picture(page, "quick-editor");

  await write(page, "index.js", "export default {");
  await page
    .getByRole("alert")
    .getByText(/SyntaxError/)
    .waitFor();
  await page.getByRole("button", { name: "Save and deploy" }).click();
  await page
    .getByRole("alert")
    .nth(1)
    .getByText(/SyntaxError/)
    .waitFor();
  assert.equal(await (await platform.fetch(url)).text(), "first harbour 4");
  await write(page, "index.js", code("third"));
  await page.getByRole("button", { name: "Save and deploy" }).click();
  await page.locator("output").getByText("edited is deployed").waitFor();
  assert.equal(await (await platform.fetch(url)).text(), "third harbour 4");
  // Nothing but the code has changed.
  const kept = (await scripts.list({ account_id }).then(({ result }) => result.find(({ id }) => id === "edited"))) as unknown as {
    observability: { enabled: boolean };
    last_deployed_from: string;
  };
  assert.deepEqual([kept.observability.enabled, kept.last_deployed_from], [true, "dash"]);
  assert.deepEqual(
    problems.filter((text) => !/favicon|400 \(Bad/.test(text)),
    [],
  );
});

test("a preview's page reaches neither the dashboard's session nor its window; a link with no code says so", {
  skip: noBrowser,
  timeout: 60_000,
}, async () => {
  const { page, open } = await openDashboard(platform, browser as Browser);
  await open("/playground#not-a-link");
  await page.getByRole("alert").getByText("The link has no code that can be read").waitFor();
  await page.getByRole("tab", { name: "page.html" }).click();
  const { origin } = new URL(page.url());
  await write(
    page,
    "page.html",
    `<p id="found">…</p><script>
    const attempts = {
      cookie: () => document.cookie || Promise.reject("none"),
      window: () => parent.document.title,
      storage: () => parent.localStorage.length,
      api: async () => (await fetch("${origin}/client/v4/accounts", { credentials: "include", headers: { "x-freehold-dashboard": "1" } })).text(),
      plain: async () => (await fetch("${origin}/client/v4/accounts", { credentials: "include" })).text(),
      leave: () => { top.location = "about:blank"; },
    };
    Promise.all(Object.entries(attempts).map(async ([name, attempt]) => {
      try { await attempt(); return name; } catch { return ""; }
    })).then((got) => { document.getElementById("found").textContent = "reached: " + got.filter(Boolean).join(" ") + "."; });
  </script>`,
  );
  await page.getByRole("button", { name: "Run" }).click();
  await preview(page).getByText("reached: .").waitFor();
  assert.equal(new URL(page.url()).pathname, "/playground");

  // The host name is the preview's own: the deployed Worker's pages and a made-up name are not it.
  const frame = await page.locator('iframe[title="Preview"]').getAttribute("src");
  const host = new URL(frame as string).hostname;
  assert.match(host, /^[0-9a-f]{48}\.preview\./);
  const guess = `${host[0] === "0" ? "1" : "0"}${host.slice(1)}`;
  const { status } = await platform.fetch((frame as string).replace(host, guess));
  assert.equal(status, 400);
  for (const preview_url of ["http://169.254.169.254", platform.host("dash"), `http://x.preview.${platform.ready.domain}.example`]) {
    const asked = { preview_url, method: "GET", path: "/" };
    assert.equal((await platform.rest("POST", `/accounts/${account_id}/workers/previews/request`, asked)).status, 400, preview_url);
  }
});
