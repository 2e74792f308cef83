/**
 * Official starters, built and deployed as their guides say. What npm has of them is used as it is (create-vite, and the
 * templates inside create-cloudflare); React Router's and Astro's starters are downloads, so their projects are written here.
 */
import assert from "node:assert/strict";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import sharp from "sharp";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";

const noFrameworks = missingClient("frameworks");
const platform = await startPlatform({ after });
const COMPATIBILITY_DATE = "2026-10-01";

type Test = Parameters<typeof clientProject>[0];

/** A project from a template of create-cloudflare: the name and the date filled in. */
async function cloudflareTemplate(t: Test, template: string, name: string): Promise<string> {
  const cwd = await clientProject(t, "frameworks");
  await applyTemplate(cwd, template, name);
  return cwd;
}

async function applyTemplate(cwd: string, template: string, name: string): Promise<void> {
  await cp(join(cwd, "../node_modules/create-cloudflare/templates", template), cwd, { recursive: true });
  const config = join(cwd, "wrangler.jsonc");
  const text = await readFile(config, "utf8");
  await writeFile(config, text.replace("<WORKER_NAME>", name).replace("<COMPATIBILITY_DATE>", COMPATIBILITY_DATE));
}

/** Runs a program of the client's packages under `freehold exec`. */
const run = (cwd: string, program: string, args: readonly string[]) =>
  platform.exec(join(cwd, "../node_modules/.bin", program), args, { cwd, env: { ASTRO_TELEMETRY_DISABLED: "1" } });

const url = (worker: string, path = "/"): string => `${platform.host("workers", { worker, subdomain: "dev" })}${path}`;

async function text(worker: string, path?: string): Promise<string> {
  const response = await platform.fetch(url(worker, path));
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return body;
}

test("create-cloudflare's Workers with a Durable Object and with assets answer", { skip: noFrameworks }, async (t) => {
  const object = await cloudflareTemplate(t, "hello-world-durable-object/js", "starter-object");
  await run(object, "wrangler", ["deploy"]);
  assert.equal(await text("starter-object"), "Hello, world!");

  const assets = await cloudflareTemplate(t, "hello-world-with-assets/ts", "starter-assets");
  await run(assets, "wrangler", ["deploy"]);
  assert.match(await text("starter-assets"), /<html/);
  assert.equal(await text("starter-assets", "/message"), "Hello, World!");
});

test("Workers Sites still uploads its files to KV and serves them from there", { skip: noFrameworks }, async (t) => {
  const cwd = await clientProject(t, "frameworks");
  const config = { name: "sites", main: "index.js", compatibility_date: COMPATIBILITY_DATE, site: { bucket: "./public" } };
  const handler = `import { getAssetFromKV } from "@cloudflare/kv-asset-handler";
    import manifest from "__STATIC_CONTENT_MANIFEST";
    export default { fetch: (request, env, ctx) => getAssetFromKV(
      { request, waitUntil: (promise) => ctx.waitUntil(promise) },
      { ASSET_NAMESPACE: env.__STATIC_CONTENT, ASSET_MANIFEST: JSON.parse(manifest) },
    ) };`;
  await mkdir(join(cwd, "public"));
  await writeFile(join(cwd, "public", "index.html"), "<h1>From KV</h1>");
  await writeFile(join(cwd, "index.js"), handler);
  await writeFile(join(cwd, "wrangler.json"), JSON.stringify(config));
  await run(cwd, "wrangler", ["deploy"]);
  assert.equal(await text("sites"), "<h1>From KV</h1>");
});

test("Hono's starter answers beside its assets", { skip: noFrameworks }, async (t) => {
  const cwd = await cloudflareTemplate(t, "hono/workers/templates", "starter-hono");
  await run(cwd, "wrangler", ["deploy"]);
  assert.match(await text("starter-hono"), /<html/);
  assert.equal(await text("starter-hono", "/message"), "Hello Hono!");
});

test("[workers-56] a React app of create-vite with the Cloudflare plugin: developed, built, previewed, deployed, used in a browser", {
  skip: noFrameworks || noBrowser,
}, async (t) => {
  const cwd = await clientProject(t, "frameworks");
  await run(cwd, "create-vite", [".", "--template", "react-ts", "--no-interactive", "--overwrite"]);
  await applyTemplate(cwd, "react/workers/ts", "starter-react");
  const viteConfig = `import { cloudflare } from "@cloudflare/vite-plugin";
    import react from "@vitejs/plugin-react";
    export default { plugins: [react(), cloudflare({ inspectorPort: false })] };`;
  await writeFile(join(cwd, "vite.config.ts"), viteConfig);
  await cp(join(import.meta.dirname, "fixtures/local/vite.mjs"), join(cwd, "vite.mjs"));
  await run(cwd, "vite", ["build"]);
  const { stdout } = await platform.exec(process.execPath, ["vite.mjs"], { cwd });
  const pages = { page: true, api: { name: "Cloudflare" } };
  assert.deepEqual(JSON.parse(stdout.trimEnd().split("\n").at(-1) as string), { developed: pages, built: pages });

  await run(cwd, "wrangler", ["deploy"]);
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(url("starter-react"));
  await page.getByRole("button", { name: "Count is 0" }).click();
  await page.getByRole("button", { name: "Count is 1" }).waitFor();
  await page.getByText("Name from API is: unknown").click();
  await page.getByText("Name from API is: Cloudflare").waitFor();
  await page.goto(url("starter-react", "/deep/link"));
  await page.getByRole("button", { name: "Count is 0" }).waitFor();
});

test("a React Router app renders on the platform and goes on in the browser", { skip: noFrameworks || noBrowser }, async (t) => {
  const cwd = await clientProject(t, "frameworks");
  await cp(join(import.meta.dirname, "fixtures/react-router"), cwd, { recursive: true });
  await run(cwd, "react-router", ["build"]);
  await run(cwd, "wrangler", ["deploy"]);
  assert.match(await text("react-router-app", "/cities/Rome"), /City of (<!-- -->)?Rome/);
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(url("react-router-app"));
  await page.getByRole("heading", { name: "Hello from the platform" }).waitFor();
  // A navigation inside the page: only the route's data is asked for.
  const data = page.waitForResponse((response) => response.url().includes("/cities/Paris.data"));
  await page.getByRole("link", { name: "Paris" }).click();
  await page.getByRole("heading", { name: "City of Paris" }).waitFor();
  assert.equal((await data).status(), 200);
});

test("an Astro site: a page rendered on request, one rendered before, an endpoint, an asset", { skip: noFrameworks }, async (t) => {
  const cwd = await clientProject(t, "frameworks");
  await cp(join(import.meta.dirname, "fixtures/astro"), cwd, { recursive: true });
  const flag = { width: 120, height: 60, channels: 3, background: "red" } as const;
  await sharp({ create: flag }).png().toFile(join(cwd, "src/flag.png"));
  await run(cwd, "astro", ["build"]);
  const { stdout } = await run(cwd, "wrangler", ["deploy"]);
  assert.match(stdout, /SESSION provisioned/, "the adapter's KV namespace is made by the deploy");
  const page = await text("astro-app");
  assert.match(page, /Hello from the platform/);
  // The adapter's default: images of pages that are rendered on request are transformed by the Images binding.
  const [, source] = /<img src="([^"]+)"/.exec(page) ?? [];
  const image = await platform.fetch(url("astro-app", String(source).replaceAll("&amp;", "&").replaceAll("&#38;", "&")));
  assert.equal(image.status, 200, `${source} ${await image.clone().text()}`);
  const { format, width, height } = await sharp(Buffer.from(await image.arrayBuffer())).metadata();
  assert.deepEqual([format, width, height], ["webp", 60, 30]);
  assert.match(await text("astro-app", "/about/"), /Rendered before/);
  assert.deepEqual(JSON.parse(await text("astro-app", "/api/city?name=Paris")), { city: "Paris", visits: 1 });
  assert.equal(await text("astro-app", "/robots.txt"), "User-agent: *\n");
  assert.equal((await platform.fetch(url("astro-app", "/missing"))).status, 404);
});
