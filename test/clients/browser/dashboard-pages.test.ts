/** Pages' pages of the dashboard in Chromium: a project, deployments by a folder, an archive and a drop, rollback, metrics. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { strToU8, zipSync } from "fflate";
import type { Page } from "playwright-core";
import { FormData } from "undici";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { runProcess, startPlatform } from "../../harness/platform.ts";
import { noBubblewrap } from "../../harness/programs.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after }, { config: { "workers.cpu_ms": 500 } });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());
const port = new URL(platform.ready.gateway).port;
const host = `dropped.pages.${platform.ready.domain}`;

const pictures = process.env.FREEHOLD_PICTURES;

/** In light and dark, for those who want to see. */
async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(pictures, `${name}-${colorScheme}.png`), fullPage: true });
  }
}

async function body(path: string): Promise<string> {
  return (await platform.fetch(`http://${host}:${port}${path}`)).text();
}

test("[pages-28, pages-42] files are dropped, as a folder and as an archive, and what Functions did is charted", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  await open("/pages");
  await page.getByRole("button", { name: "Create project" }).click();
  await page.getByLabel("Name").fill("dropped");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("heading", { name: "dropped" }).waitFor();

  const deployments = page.getByRole("table", { name: "Deployments" }).locator("tbody tr");
  const dialog = page.getByRole("dialog", { name: "Deploy to dropped" });
  const begin = () => page.getByRole("button", { name: "Create deployment" }).click();
  const deploy = async (rows: number) => {
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    await deployments.nth(rows - 1).waitFor();
  };

  // A folder, whose own name is no part of the paths.
  const folder = join(await temporaryDirectory("freehold-dropped-"), "dist");
  await mkdir(join(folder, "docs"), { recursive: true });
  await writeFile(join(folder, "index.html"), "from a folder");
  await writeFile(join(folder, "docs/page.html"), "a page");
  await writeFile(join(folder, "_headers"), "/*\n  x-dropped: yes\n");
  await begin();
  await dialog.getByLabel("Folder to upload").setInputFiles(folder);
  await dialog.getByText("2 files and _headers").waitFor();
  await deploy(1);
  assert.deepEqual([await body("/"), await body("/docs/page")], ["from a folder", "a page"]);
  assert.equal((await platform.fetch(`http://${host}:${port}/`)).headers.get("x-dropped"), "yes");

  // An archive with a Worker.
  const worker = `export default { async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/fails") throw new Error("on purpose");
    if (pathname === "/spins") for (;;);
    if (pathname === "/waits") return new Response(new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode("first")) }));
    return pathname === "/api" ? new Response("from the Worker") : env.ASSETS.fetch(request);
  } };`;
  const archive = zipSync({ "site/index.html": strToU8("from an archive"), "site/_worker.js": strToU8(worker) });
  await begin();
  await dialog.getByLabel("Files to upload").setInputFiles({ name: "site.zip", mimeType: "application/zip", buffer: Buffer.from(archive) });
  await dialog.getByText("1 files and _worker.js").waitFor();
  await deploy(2);
  assert.deepEqual([await body("/"), await body("/api")], ["from an archive", "from the Worker"]);

  // More files than are documented.
  const many = zipSync(Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`${i}.txt`, strToU8(String(i))])));
  await begin();
  const choose = (name: string, buffer: Buffer) =>
    dialog.getByLabel("Files to upload").setInputFiles({ name, mimeType: "application/zip", buffer });
  await choose("many.zip", Buffer.from(many));
  await dialog.getByText("An upload has at most 1,000 files.").waitFor();
  await choose("broken.zip", Buffer.from("no archive"));
  await dialog.getByText("The archive cannot be read.").waitFor();

  // Dropped on the dialog.
  await writeFile(join(folder, "index.html"), "dropped by hand");
  const { x, y } = (await dialog.getByText("Drop a folder or a zip archive here.").boundingBox()) as { x: number; y: number };
  const devtools = await page.context().newCDPSession(page);
  for (const type of ["dragEnter", "dragOver", "drop"] as const)
    await devtools.send("Input.dispatchDragEvent", {
      type,
      x: x + 5,
      y: y + 5,
      data: { items: [], files: [folder], dragOperationsMask: 1 },
    });
  await dialog.getByText("2 files and _headers").waitFor();
  await dialog.getByLabel("Branch").fill("by-hand");
  await picture(page, "pages-upload");
  await deploy(3);
  await picture(page, "pages-deployments");
  assert.equal(await (await platform.fetch(`http://by-hand.${host}:${port}/`)).text(), "dropped by hand");
  assert.equal(await body("/"), "from an archive");

  // Each way in which an invocation ends.
  platform.expectErrors(/./);
  assert.match(await body("/fails"), /1101/);
  assert.match(await body("/spins"), /1102/);
  // A client that goes away in the middle of an answer.
  await new Promise<void>((resolve, reject) => {
    const request = http.get({ host: "127.0.0.1", port, path: "/waits", headers: { host } }, (response) => {
      response.once("data", () => request.destroy()).once("close", resolve);
      response.once("error", () => undefined);
    });
    request.once("error", reject);
  });
  const sections = page.getByRole("navigation", { name: "Sections" });
  const figure = (label: string) => page.locator("dl > div").filter({ hasText: label }).locator("dd");
  const deadline = Date.now() + 60_000;
  for (;;) {
    await open("/pages/dropped/metrics");
    await figure("Client disconnected").waitFor();
    if ((await figure("Client disconnected").textContent()) !== "0") break;
    assert.ok(Date.now() < deadline, "the client's going away is never counted");
  }
  for (const label of ["Exceptions (1101)", "Exceeded resources (1102)", "Client disconnected"])
    assert.equal(await figure(label).textContent(), "1", label);
  assert.ok(Number(await figure("Success").textContent()) >= 2);
  assert.ok((await page.locator("figure, canvas, svg[role=img]").count()) > 0);

  await picture(page, "pages-metrics");

  await sections.getByRole("link", { name: "Deployments" }).click();
  await deployments.nth(2).getByRole("button", { name: "Roll back to this" }).click();
  await page.getByText("is in production").waitFor();
  assert.equal(await body("/"), "from a folder");
  assert.deepEqual(problems, []);
});

test("[pages-39] a preview asks whoever comes to sign in, production is open, and search engines stay away", {
  skip: noBrowser,
}, async () => {
  const { account_id, api_token, domain } = platform.ready;
  const projects = `/accounts/${account_id}/pages/projects`;
  await platform.rest("POST", projects, { name: "guarded", production_branch: "main" });
  const { jwt } = (await platform.rest("GET", `${projects}/guarded/upload-token`)).body.result;
  const deploy = async (branch: string): Promise<{ short_id: string }> => {
    const form = new FormData();
    const key = (branch === "main" ? "a" : "b").repeat(32);
    const files = [{ key, value: `<h1>${branch}</h1>`, metadata: { contentType: "text/html" } }];
    const headers = { authorization: `Bearer ${jwt}`, "content-type": "application/json" };
    await platform.fetch("/client/v4/pages/assets/upload", { method: "POST", headers, body: JSON.stringify(files) });
    form.set("manifest", JSON.stringify({ "/index.html": key }));
    form.set("branch", branch);
    const answer = await platform.fetch(`/client/v4${projects}/guarded/deployments`, {
      ...{ method: "POST", headers: { authorization: `Bearer ${api_token}` }, body: form },
    });
    return ((await answer.json()) as { result: { short_id: string } }).result;
  };
  const main = await deploy("main");
  const fix = await deploy("fix");
  const at = (label: string, path = "/"): string => `http://${label}.pages.${domain}:${port}${path}`;
  const get = async (url: string, headers: Record<string, string> = {}) => {
    const answer = await platform.fetch(url, { headers });
    return { status: answer.status, body: await answer.text(), header: (name: string) => answer.headers.get(name) };
  };
  const hash = await get(at(`${fix.short_id}.guarded`));
  assert.deepEqual([hash.status, hash.body, hash.header("x-robots-tag")], [200, "<h1>fix</h1>", "noindex"]);
  assert.equal((await get(at("guarded"))).header("x-robots-tag"), null);

  assert.equal((await platform.rest("PATCH", `${projects}/guarded`, { preview_access: "members" })).body.result.preview_access, "members");
  for (const label of [`${fix.short_id}.guarded`, "fix.guarded", `${main.short_id}.guarded`])
    assert.equal((await get(at(label))).status, 403, label);
  assert.deepEqual([(await get(at("guarded"))).status, (await get(at("guarded"))).body], [200, "<h1>main</h1>"]);

  const context = await (browser as NonNullable<typeof browser>).newContext();
  const page = await context.newPage();
  await page.goto(at("fix.guarded", "/?x=1"));
  await page.getByRole("heading", { name: "Sign in to see this preview" }).waitFor();
  await picture(page, "sign-in");
  assert.equal(new URL(page.url()).hostname, `access.${domain}`);
  const weak = await platform.token(["Workers KV Storage Read"]);
  for (const wrong of ["guess", weak.value]) {
    await page.getByLabel("API token").fill(wrong);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
  }
  const viewer = await platform.token(["Pages Read"]);
  await page.getByLabel("API token").fill(viewer.value);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "fix" }).waitFor();
  assert.equal(page.url(), at("fix.guarded", "/?x=1"));

  // The cookie is one host's, is read by no script, and ends with the token.
  const [cookie] = (await context.cookies(at("fix.guarded"))).filter(({ name }) => name === "CF_Authorization");
  assert.ok(cookie?.httpOnly && cookie.domain === `fix.guarded.pages.${domain}`);
  const as = (value: string) => ({ cookie: `CF_Authorization=${value}` });
  assert.equal((await get(at("fix.guarded"), as(cookie.value))).status, 200);
  assert.equal((await get(at(`${main.short_id}.guarded`), as(cookie.value))).status, 403);
  assert.equal((await get(at("fix.guarded"), as(`${cookie.value.slice(0, -4)}AAAA`))).status, 403);
  assert.equal((await get(at("fix.guarded", `/cdn-cgi/access/authorized?ticket=${cookie.value}`))).status, 403);
  const login = (place: string) => get(`http://access.${domain}:${port}/cdn-cgi/access/login/${place}`);
  for (const place of ["evil.example", `guarded.pages.${domain}`, `x.other.pages.${domain}`, "%2f%2fevil.example"])
    assert.equal((await login(place)).status, 404, place);
  const sent = await platform.fetch(
    `http://access.${domain}:${port}/cdn-cgi/access/login/fix.guarded.pages.${domain}:${port}?redirect_url=//evil.example/`,
    {
      ...{ method: "POST", body: new URLSearchParams({ token: viewer.value }) },
    },
  );
  const entrance = await get(String(sent.headers.get("location")));
  assert.deepEqual([entrance.status, entrance.header("location")], [302, "/"]);
  await platform.rest("DELETE", `/accounts/${account_id}/tokens/${viewer.id}`);
  assert.equal((await get(at("fix.guarded"), as(cookie.value))).status, 403);
});

test("a project is connected to a repository, and its build's log grows before one's eyes", {
  skip: noBrowser || noBubblewrap,
}, async () => {
  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  await open("/pages");
  await page.getByRole("button", { name: "Create project" }).click();
  await page.getByLabel("Name").fill("built");
  await page.getByLabel("Build it from a Git repository").check();
  await page.getByLabel("Repository", { exact: false }).last().fill("acme/built");
  await page.getByLabel("Framework").selectOption("React (Vite)");
  assert.deepEqual(
    [await page.getByLabel("Build command").inputValue(), await page.getByLabel("Output directory").inputValue()],
    ["npm run build", "dist"],
  );
  await page.getByLabel("Build command").fill("sh build.sh");
  await picture(page, "pages-create");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("heading", { name: "built" }).waitFor();
  await page.getByRole("link", { name: "Settings" }).last().click();
  const remote = (await page.getByText(/^http:\/\/git\..*\/acme\/built\.git$/).textContent()) as string;
  await page.getByRole("region", { name: "Deploy hooks" }).getByRole("button", { name: "Add" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("cms");
  await page.getByRole("dialog").getByRole("button", { name: "Add" }).click();
  await page.getByRole("cell", { name: "cms" }).waitFor();
  await page.getByRole("region", { name: "Builds" }).getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Paths to leave out").fill("*.md, docs/*");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("*, except *.md, docs/*").waitFor();
  await picture(page, "pages-settings");

  // The build says something, and goes on when the file that it looks for is there: its page shows the one before the other.
  const work = await temporaryDirectory("freehold-built-");
  const env = {
    ...process.env,
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_AUTHOR_NAME: "A",
    GIT_AUTHOR_EMAIL: "a@b.c",
    GIT_COMMITTER_NAME: "A",
    GIT_COMMITTER_EMAIL: "a@b.c",
  };
  const git = (...args: string[]) => runProcess("git", args, { cwd: work, env });
  await writeFile(join(work, "build.sh"), "echo said first; sleep 600");
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("commit", "--quiet", "-m", "waits");
  const push = () => git("push", "--quiet", remote.replace("http://", `http://x:${platform.ready.api_token}@`), "main");
  await push();
  await page.getByRole("link", { name: "Deployments" }).click();
  const first = page.getByRole("table", { name: "Deployments" }).locator("tbody tr").first();
  await first.getByText("building").waitFor();
  await first.getByRole("link").first().click();
  await page.getByRole("log").getByText("said first", { exact: true }).waitFor();
  await page.getByRole("listitem").filter({ hasText: "Build" }).getByText("active").waitFor();
  await picture(page, "pages-build");
  await page.getByRole("button", { name: "Cancel build" }).click();
  await page.getByRole("log").getByText("Canceled: the build was ended on request.").waitFor();
  await writeFile(join(work, "build.sh"), "mkdir dist; echo made > dist/index.html; exit 0");
  await git("commit", "--quiet", "--all", "-m", "is quick");
  await push();
  await open("/pages/built");
  await page.getByText("live", { exact: true }).waitFor();
  await first.getByRole("link").first().click();
  await page.getByRole("log").getByText("Success: Your site was deployed!").waitFor();
  await page.getByRole("button", { name: "Retry build" }).waitFor();
  await picture(page, "pages-built");
  assert.deepEqual(problems, []);
});
