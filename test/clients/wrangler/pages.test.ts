/** Pages without Functions: projects, deployments with their host names, and what is served of their files, with wrangler. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { Agent, FormData, fetch } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { freePort } from "../../harness/port.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { openTerminal } from "../../harness/terminal.ts";

const platform = await startPlatform({ after });
const { account_id: account, domain } = platform.ready;
const sdk = platform.sdk();
const port = new URL(platform.ready.gateway).port;

const site = "my-site";
const at = (label: string, path = "/"): string => `http://${label}.pages.${domain}:${port}${path}`;

interface Got {
  readonly status: number;
  readonly body: string;
  header(name: string): string | null;
}

async function get(url: string, init: Parameters<typeof platform.fetch>[1] = {}): Promise<Got> {
  const response = await platform.fetch(url, init);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
}

/** The raw answer of a client that decodes nothing. */
async function raw(url: string, encoding: string): Promise<{ bytes: Buffer; headers: Record<string, unknown> }> {
  const { default: http } = await import("node:http");
  const { pathname, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    http
      .get({ host: "127.0.0.1", port, path: pathname, headers: { host: hostname, "accept-encoding": encoding } }, async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        resolve({ bytes: Buffer.concat(chunks), headers: response.headers });
      })
      .once("error", reject);
  });
}

const dir = await temporaryDirectory("freehold-pages-");
async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
}

const wrangler = (args: readonly string[], code = 0) => platform.wrangler(["pages", ...args], { cwd: dir, code });

/** Deploys by wrangler; the URL that it prints, and the id of the deployment by the API. */
async function deploy(folder: string, ...args: string[]): Promise<{ url: string; id: string; output: string }> {
  const { stdout } = await wrangler(["deploy", folder, "--project-name", site, "--commit-dirty", ...args]);
  const url = /Take a peek over at (\S+)/.exec(stdout)?.[1];
  assert.ok(url, stdout);
  const { result } = await sdk.pages.projects.deployments.list(site, { account_id: account });
  const id = result.find((deployment) => deployment.url === url)?.id;
  assert.ok(id, url);
  return { url, id, output: stdout };
}

const headers = `# This is a comment
/secure/page
  X-Frame-Options: DENY
  X-Content-Type-Options: nosniff
  Referrer-Policy: no-referrer

/static/*
  Access-Control-Allow-Origin: *
  X-Robots-Tag: nosnippet

https://${site}.pages.dev/*
  X-Robots-Tag: noindex

/csp/*
  Content-Security-Policy: default-src 'self';
/csp/*.jpg
  ! Content-Security-Policy
/movies/:title
  x-movie-name: You are watching ":title"
/splat/*
  x-rest: :splat
/bare/*
  ! Access-Control-Allow-Origin
https://:version.:project.pages.dev/host
  x-host: :version of :project
http://insecure.example/*
  x-wrong: yes
https://${site}.pages.dev:8080/*
  x-wrong: yes
/two/*/stars/*
  x-wrong: yes
/no-headers
/:word.txt
  x-many: ${"x".repeat(100)}
  no colon
  x-long: ${"y".repeat(2000)}
`;

const redirects = `/home301 / 301
/home302 / 302
/querystrings /?query=string 301
/twitch https://twitch.tv
/trailing /trailing/ 301
/notrailing/ /nottrailing 301
/page/ /page2/#fragment 301
# a comment
/see-other /elsewhere 303
/temporary /elsewhere 307
/permanent /elsewhere 308
/shadow /elsewhere 302
/home302 /never 301
/bad-status / 404
/proxied /secure/page 200
/a /b 200
/b /contact 200
/outside https://example.com/ 200
/only-one-token
/blog/* https://blog.my.domain/:splat
/products/:code/:name /products?code=:code&name=:name
/movies/:title/watch /media/:title
/late / 301
`;

const files = {
  "dist/index.html": `<h1>home</h1>${"<p>text that repeats</p>".repeat(50)}`,
  "dist/contact.html": "contact one",
  "dist/about/index.html": "about",
  "dist/shadow": "an asset that a redirect hides",
  "dist/404.html": "top 404",
  "dist/blog-posts/404.html": "blog 404",
  "dist/blog-posts/first.html": "first post",
  "dist/secure/page.html": "secure",
  "dist/static/styles.css": "body{}",
  "dist/static/image.jpg": "jpg",
  "dist/csp/a.html": "a",
  "dist/csp/b.jpg": "b",
  "dist/movies/jaws.html": "jaws",
  "dist/splat/x/y.txt": "y",
  "dist/bare/z.txt": "z",
  "dist/word.txt": "word",
  "dist/host": "host",
  "dist/_headers": headers,
  "dist/_redirects": redirects,
  "spa/index.html": "single page",
  "spa/app.js": "app()",
};

/** Deployments of the site by name, in the order in which they were made. */
const made: Record<"first" | "second" | "branch", { url: string; id: string; output: string }> = {} as never;

before(async () => {
  await write(files);
});

test("[pages-01] projects are created, listed and deleted", async () => {
  for (const name of [site, "short-lived"]) {
    const { stdout } = await wrangler(["project", "create", name, "--production-branch", "main", "--force"]);
    assert.match(stdout, new RegExp(`Successfully created the '${name}' project.*${name}\\.pages\\.`));
  }
  const { stderr, stdout } = await wrangler(["project", "create", site, "--production-branch", "main", "--force"], 1);
  assert.match(stdout + stderr, /A project with this name already exists\. Choose a different project name\. \[code: 8000002\]/);
  assert.match((await wrangler(["project", "list"])).stdout, /my-site[\s\S]*short-lived/);
  await wrangler(["project", "delete", "short-lived", "--yes"]);
  const names = [];
  for await (const project of sdk.pages.projects.list({ account_id: account })) names.push(project.name);
  assert.deepEqual(names, [site]);
  await assert.rejects(sdk.pages.projects.get("short-lived", { account_id: account }), /8000007/);
  await assert.rejects(sdk.pages.projects.create({ account_id: account, name: "Bad Name", production_branch: "main" }), /8000003/);
});

test("[pages-02, pages-03, pages-05] a folder is deployed at a URL that stays, and later only what has changed", async () => {
  made.first = await deploy("dist", "--branch", "main");
  assert.match(made.first.output, /Uploaded 17 files/);
  assert.match(made.first.url, new RegExp(`^http://[0-9a-f]{8}\\.${site}\\.pages\\.${domain}:${port}$`));
  assert.equal((await get(`${made.first.url}/contact`)).body, "contact one");
  assert.equal((await get(at(site, "/contact"))).body, "contact one");
  for (const file of ["_headers", "_redirects"]) assert.equal((await get(`${made.first.url}/${file}`)).body, "top 404");

  await write({ "dist/contact.html": "contact two" });
  made.second = await deploy("dist", "--branch", "main", "--commit-message", "second", "--commit-hash", "abc123");
  assert.match(made.second.output, /Uploaded 1 files \(16 already uploaded\)/);
  assert.equal((await get(`${made.second.url}/contact`)).body, "contact two");
  assert.equal((await get(at(site, "/contact"))).body, "contact two");
  assert.equal((await get(`${made.first.url}/contact`)).body, "contact one");
});

test("[pages-04] another branch is a preview at an alias, and production stays", async () => {
  made.branch = await deploy("spa", "--branch", "fix/api");
  assert.equal((await get(at(`fix-api.${site}`))).body, "single page");
  assert.equal((await get(made.branch.url)).body, "single page");
  assert.equal((await get(at(site, "/contact"))).body, "contact two");
  const shown = await sdk.pages.projects.deployments.get(made.branch.id, { account_id: account, project_name: site });
  assert.deepEqual([shown.environment, shown.aliases], ["preview", [`http://fix-api.${site}.pages.${domain}:${port}`]]);
  // Search engines are told to leave out what is not the site.
  assert.equal((await get(made.branch.url)).header("x-robots-tag"), "noindex");
  assert.equal((await get(at(site))).header("x-robots-tag"), null);
  assert.equal((await get(at(`nothing.${site}`))).status, 404);
  assert.equal((await get(at("nothing"))).status, 404);
});

test("[pages-06] pages have clean URLs", async () => {
  const expected: [string, number, string][] = [
    ["/contact.html", 308, "/contact"],
    ["/about/index.html", 308, "/about/"],
    ["/about", 308, "/about/"],
    ["/about/index", 308, "/about/"],
    ["/contact/", 308, "/contact"],
    ["/index.html?q=1", 308, "/?q=1"],
    ["/contact.html?a=b", 308, "/contact?a=b"],
  ];
  for (const [path, status, location] of expected) {
    const { status: got, header } = await get(at(site, path));
    assert.deepEqual([got, header("location")], [status, location], path);
  }
  assert.equal((await get(at(site, "/about/"))).body, "about");
  assert.equal((await get(at(site, "/contact"))).body, "contact two");
  assert.equal((await get(at(site, "/contact"), { method: "POST", body: "x" })).status, 405);
});

test("[pages-07] the nearest 404 page is shown, and without any the single page", async () => {
  const expected: [string, number, string][] = [
    [at(site, "/blog-posts/missing"), 404, "blog 404"],
    [at(site, "/blog-posts/deeper/missing"), 404, "blog 404"],
    [at(site, "/missing"), 404, "top 404"],
    [at(site, "/missing/"), 404, "top 404"],
    [`${made.branch.url}/any/path`, 200, "single page"],
  ];
  for (const [url, status, body] of expected) {
    const answer = await get(url);
    assert.deepEqual([answer.status, answer.body], [status, body], url);
    if (status === 404) assert.equal(answer.header("cache-control"), "no-store");
  }
});

test("[pages-08] answers have the documented headers, and are encoded and validated", async () => {
  const home = await get(at(site));
  assert.equal(home.status, 200);
  for (const [name, value] of Object.entries({
    "access-control-allow-origin": "*",
    "referrer-policy": "strict-origin-when-cross-origin",
    "content-type": "text/html; charset=utf-8",
    "x-content-type-options": "nosniff",
  }))
    assert.equal(home.header(name), value);
  assert.ok(home.header("cf-ray"));
  const tag = (await raw(at(site), "identity")).headers.etag as string;
  assert.match(tag, /^"[0-9a-f]{32}"$/);
  for (const sent of [tag, `W/${tag}`]) {
    const unchanged = await get(at(site), { headers: { "if-none-match": sent } });
    assert.deepEqual([unchanged.status, unchanged.body], [304, ""]);
  }
  assert.equal((await get(at(site), { headers: { "if-none-match": '"other"' } })).status, 200);

  for (const [encoding, decode] of [
    ["br", brotliDecompressSync],
    ["gzip", gunzipSync],
  ] as const) {
    const { bytes, headers: got } = await raw(at(site), encoding);
    assert.equal(got["content-encoding"], encoding);
    assert.match(String(got["cache-control"]), /no-transform/);
    assert.ok(bytes.length < 300);
    assert.equal(decode(bytes).toString(), files["dist/index.html"]);
  }
  assert.equal((await raw(at(site), "gzip, br;q=0")).headers["content-encoding"], "gzip");
  const plain = await raw(at(site), "identity");
  assert.deepEqual([plain.headers["content-encoding"], plain.headers["cache-control"]], [undefined, "public, max-age=0, must-revalidate"]);

  // As documented, a range is answered with all; such an answer and a private one are not to be cached.
  for (const headers of [{ range: "bytes=0-3" }, { authorization: "Basic x" }]) {
    const whole = await get(at(site, "/static/styles.css"), { headers });
    assert.deepEqual([whole.status, whole.body, whole.header("cache-control")], [200, "body{}", null]);
  }
  const head = await get(at(site, "/static/styles.css"), { method: "HEAD" });
  assert.deepEqual([head.status, head.body, head.header("content-length")], [200, "", "6"]);
});

test("[pages-09] _headers sets, joins and detaches headers, by paths, placeholders and hosts", async () => {
  const own = `http://${site}.pages.dev:${port}`;
  const expected: [string, Record<string, string | null>][] = [
    [
      `${made.second.url}/secure/page`,
      { "x-frame-options": "DENY", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff" },
    ],
    [at(site, "/static/image.jpg"), { "access-control-allow-origin": "*", "x-robots-tag": "nosnippet" }],
    [`${own}/`, { "x-robots-tag": "noindex", "x-frame-options": null }],
    [`${own}/secure/page`, { "x-frame-options": "DENY", "x-robots-tag": "noindex" }],
    [`${own}/static/styles.css`, { "access-control-allow-origin": "*", "x-robots-tag": "nosnippet, noindex" }],
    [at(site, "/csp/a"), { "content-security-policy": "default-src 'self';" }],
    [at(site, "/csp/b.jpg"), { "content-security-policy": null }],
    [at(site, "/movies/jaws"), { "x-movie-name": 'You are watching "jaws"' }],
    [at(site, "/splat/x/y.txt"), { "x-rest": "x/y.txt" }],
    [at(site, "/bare/z.txt"), { "access-control-allow-origin": null }],
    [
      `http://${new URL(made.second.url).hostname.split(".")[0]}.${site}.pages.dev:${port}/host`,
      { "x-host": `${new URL(made.second.url).hostname.split(".")[0]} of ${site}`, "x-wrong": null },
    ],
    [at(site, "/word.txt"), { "x-many": "x".repeat(100), "x-long": null }],
  ];
  for (const [url, wanted] of expected) {
    const answer = await get(url);
    assert.equal(answer.status, 200, url);
    for (const [name, value] of Object.entries(wanted)) assert.equal(answer.header(name), value, `${name} of ${url}`);
  }
});

test("[pages-10] _redirects leads where the documentation's examples say, before any asset", async () => {
  const expected: [string, number, string | null][] = [
    ["/home301", 301, "/"],
    ["/home302", 302, "/"],
    ["/home301?kept=1", 301, "/?kept=1"],
    ["/querystrings?not=kept", 301, "/?query=string"],
    ["/twitch", 302, "https://twitch.tv/"],
    ["/trailing", 301, "/trailing/"],
    ["/notrailing/", 301, "/nottrailing"],
    ["/page/", 301, "/page2/#fragment"],
    ["/see-other", 303, "/elsewhere"],
    ["/temporary", 307, "/elsewhere"],
    ["/permanent", 308, "/elsewhere"],
    ["/shadow", 302, "/elsewhere"],
    ["/blog/2024/post", 302, "https://blog.my.domain/2024/post"],
    ["/products/7/chair", 302, "/products?code=7&name=chair"],
    ["/movies/alien/watch", 302, "/media/alien"],
    ["/late", 301, "/"],
    ["/bad-status", 404, null],
    ["/outside", 404, null],
    ["/only-one-token", 404, null],
  ];
  for (const [path, status, location] of expected) {
    const answer = await get(at(site, path));
    assert.deepEqual([answer.status, answer.header("location")], [status, location], path);
  }
  assert.equal((await get(at(site, "/proxied"))).body, "secure");
  // A proxied path is not looked up again.
  const [a, b] = [await get(at(site, "/a")), await get(at(site, "/b"))];
  assert.deepEqual([a.status, b.status, b.body], [404, 200, "contact two"]);
});

test("[pages-26] a rollback changes production at once, back and forward", async () => {
  const { first, second, branch } = made;
  const rollback = (id: string) => sdk.pages.projects.deployments.rollback(id, { account_id: account, project_name: site });
  assert.equal((await rollback(first.id)).id, first.id);
  assert.equal((await get(at(site, "/contact"))).body, "contact one");
  assert.equal((await sdk.pages.projects.get(site, { account_id: account })).canonical_deployment?.id, first.id);
  await rollback(second.id);
  assert.equal((await get(at(site, "/contact"))).body, "contact two");
  await assert.rejects(rollback(branch.id), /8000039/);
});

test("[pages-27] deployments are listed and deleted; the live one never, one with an alias only by force", async () => {
  const { first, second, branch } = made;
  const params = { account_id: account, project_name: site };
  const ids = async (env?: "production" | "preview") =>
    (await sdk.pages.projects.deployments.list(site, { account_id: account, ...(env && { env }) })).result.map(({ id }) => id);
  assert.deepEqual(await ids(), [branch.id, second.id, first.id]);
  assert.deepEqual(await ids("preview"), [branch.id]);
  const shown = await sdk.pages.projects.deployments.get(second.id, params);
  assert.deepEqual(shown.deployment_trigger.metadata, {
    branch: "main",
    commit_dirty: true,
    commit_hash: "abc123",
    commit_message: "second",
  });
  assert.deepEqual([shown.latest_stage.name, shown.latest_stage.status], ["deploy", "success"]);
  assert.match((await wrangler(["deployment", "list", "--project-name", site])).stdout, new RegExp(`${second.id} .*Production.*main`));

  const remove = (id: string) => sdk.pages.projects.deployments.delete(id, params);
  await assert.rejects(remove(second.id), /8000034/);
  await assert.rejects(remove(branch.id), /You cannot delete an aliased deployment without a `\?force=true` parameter/);
  await wrangler(["deployment", "delete", branch.id, "--project-name", site, "--force"]);
  await remove(first.id);
  assert.deepEqual(await ids(), [second.id]);
  for (const url of [first.url, branch.url, at(`fix-api.${site}`)]) assert.equal((await get(url)).status, 404, url);
  assert.equal((await get(at(site, "/contact"))).body, "contact two");
  await assert.rejects(sdk.pages.projects.deployments.get(first.id, params), /8000009/);
});

test("an upload token is for one project, and a manifest only for what was uploaded to it", async () => {
  const { jwt } = (await sdk.pages.projects.getUploadToken(site, { account_id: account })) as { jwt: string };
  const [head, body, signature] = jwt.split(".") as [string, string, string];
  const stranger = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, "base64url").toString()), project: "other" }));
  const upload = (token: string) =>
    platform.fetch(`${platform.ready.api}/pages/assets/upload`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify([{ key: "0".repeat(32), value: "eA==", metadata: { contentType: "text/x\r\nset-cookie: a=b" }, base64: true }]),
    });
  for (const token of [`${head}.${stranger.toString("base64url")}.${signature}`, `${head}.${body}.`, platform.ready.api_token]) {
    const answer = await upload(token);
    const { errors } = (await answer.json()) as { errors: { code: number }[] };
    assert.deepEqual([answer.status, errors[0]?.code], [401, 8000013]);
  }
  assert.equal((await upload(jwt)).status, 200);

  await sdk.pages.projects.create({ account_id: account, name: "other", production_branch: "main" });
  const deployTo = async (project: string, manifest: unknown, extra: Record<string, string> = {}) => {
    const form = new FormData();
    form.set("manifest", JSON.stringify(manifest));
    for (const [name, value] of Object.entries(extra)) form.set(name, new Blob([value]), name);
    const answer = await platform.fetch(`${platform.ready.api}/accounts/${account}/pages/projects/${project}/deployments`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}` },
      body: form,
    });
    return { status: answer.status, body: (await answer.json()) as { errors: { code: number }[]; result: { url: string } } };
  };
  const file = { "/a.txt": "0".repeat(32) };
  assert.deepEqual((await deployTo("other", file)).body.errors[0]?.code, 8000098);
  for (const path of ["/../a", "a", "//a", "/a/./b", "/a\0"]) {
    assert.equal((await deployTo(site, { [path]: "0".repeat(32) })).body.errors[0]?.code, 8000097, path);
  }
  assert.equal((await deployTo(site, { "/a": "../../etc" })).body.errors[0]?.code, 8000097);
  assert.equal((await deployTo(site, file, { "_routes.json": "{}" })).body.errors[0]?.code, 8000097);

  // Patterns that would take for ever, and headers that would be two.
  const evil = `/${":a-:b-:c-:d-:e-:f-:g-:h-"}x /x\n/${"-*"}y /y\n`;
  const { status, body: made } = await deployTo(site, file, { _redirects: evil, _headers: "/*\n  x-a: b\r\n  x-\u0001: c\n" });
  assert.equal(status, 200, JSON.stringify(made));
  const answer = await get(`${made.result.url}/${"-".repeat(4_000)}`);
  assert.equal(answer.status, 404);
  const served = await get(`${made.result.url}/a.txt`);
  assert.deepEqual(
    [served.status, served.header("content-type"), served.header("set-cookie"), served.header("x-a")],
    [200, "application/octet-stream", null, "b"],
  );
});

test("[pages-21] wrangler pages dev runs the project here with every binding, and before another server", async (t) => {
  const app = await temporaryDirectory("freehold-pages-dev-");
  const own: Readonly<Record<string, string>> = {
    "site/index.html": "local home",
    "site/functions-are-elsewhere.txt": "x",
    "functions/api.js": `export const onRequest = async ({ env, request }) => {
      await env.KV.put("k", "kv"); await env.BUCKET.put("o", "r2");
      const db = await env.DB.prepare("SELECT 'd1' AS name").first("name");
      const object = await env.COUNTER.get(env.COUNTER.idFromName("x")).fetch(request);
      return Response.json([await env.KV.get("k"), await (await env.BUCKET.get("o")).text(), db, await object.text(),
        await (await env.BACKEND.fetch(request)).text(), env.TEXT, env.LOCAL, typeof env.AI, navigator.userAgent]);
    };`,
    ".dev.vars": "LOCAL=from .dev.vars",
    "wrangler.json": JSON.stringify({ name: "dev-site", pages_build_output_dir: "site", compatibility_date: "2026-11-01" }),
    "backend/index.js": `import { DurableObject } from "cloudflare:workers";
      export class Counter extends DurableObject { fetch() { return new Response("object"); } }
      export default { fetch: () => new Response("backend") };`,
    "backend/wrangler.json": JSON.stringify({
      name: "dev-backend",
      main: "index.js",
      compatibility_date: "2026-11-01",
      durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    }),
    "server.js": `require("node:http").createServer((request, response) => response.end("proxied " + request.url)).listen(Number(process.argv[2]), "127.0.0.1");`,
  };
  for (const [path, content] of Object.entries(own)) {
    await mkdir(dirname(join(app, path)), { recursive: true });
    await writeFile(join(app, path), content);
  }
  const common = ["wrangler", "pages", "dev", "--ip", "127.0.0.1", "--inspector-port", "0", "--show-interactive-dev-session=false"];
  const started = async (args: readonly string[], cwd: string) => {
    const terminal = openTerminal(t, platform, [...common, ...args], { cwd });
    const [, url] = await terminal.expect(/Ready on (https?:\/\/\S+:\d+)/);
    return String(url);
  };
  const flags = [
    "--kv",
    "KV",
    "--d1",
    "DB=local-db",
    "--r2",
    "BUCKET",
    "--do",
    "COUNTER=Counter@dev-backend",
    "--service",
    "BACKEND=dev-backend",
    "--binding",
    "TEXT=from a flag",
    "--ai",
    "AI",
    "--local-protocol=https",
    "--compatibility-date=2026-10-01",
    "--compatibility-flags=nodejs_compat",
    "--port",
    String(await freePort()),
  ];
  const url = await started([...flags, "-c", "wrangler.json", "-c", "backend/wrangler.json"], app);
  assert.match(url, /^https:/);
  const agent = new Agent({ connect: { rejectUnauthorized: false } });
  t.after(() => agent.close());
  const ask = async (to: string) => (await fetch(to, { dispatcher: agent })).text();
  assert.equal(await ask(`${url}/`), "local home");
  assert.deepEqual(JSON.parse(await ask(`${url}/api`)), [
    "kv",
    "r2",
    "d1",
    "object",
    "backend",
    "from a flag",
    "from .dev.vars",
    "object",
    "Cloudflare-Workers",
  ]);

  const [ownPort, serverPort] = [await freePort(), await freePort()];
  const bare = await temporaryDirectory("freehold-pages-proxy-");
  for (const path of ["functions/api.js", "server.js"]) {
    await mkdir(dirname(join(bare, path)), { recursive: true });
    await writeFile(
      join(bare, path),
      path === "server.js" ? String(own["server.js"]) : `export const onRequest = () => new Response("a Function");`,
    );
  }
  const proxied = await started(
    [
      "--port",
      String(ownPort),
      "--proxy",
      String(serverPort),
      "--compatibility-date=2026-10-01",
      "--",
      "node",
      "server.js",
      String(serverPort),
    ],
    bare,
  );
  // The server is another process, and may be there later than wrangler.
  const deadline = Date.now() + 30_000;
  while ((await ask(`${proxied}/some/page`)) !== "proxied /some/page") assert.ok(Date.now() < deadline, "the server is never reached");
  assert.equal(await ask(`${proxied}/api`), "a Function");
});
