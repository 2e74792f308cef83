/** Static assets: routing, fall-backs, the binding, headers and redirects, and the upload itself. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { noCurl } from "../../harness/programs.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}/workers`;

async function get(
  url: string,
  init: Parameters<typeof platform.fetch>[1] = {},
): Promise<{ status: number; body: string; header(name: string): string | null }> {
  const response = await platform.fetch(url, init);
  const body = await response.text();
  return { status: response.status, body, header: (name) => response.headers.get(name) };
}

const site = {
  "public/index.html": "<h1>home</h1>",
  "public/logo.png": Buffer.from("89504e470d0a1a0a", "hex"),
  "public/docs/page.html": "<p>page</p>",
  "public/docs/404.html": "docs not found",
  "public/404.html": "not found here",
};
const marker = `export default { fetch: (request) => new Response("worker " + new URL(request.url).pathname) }`;

test("[workers-32] an asset is served without the Worker, which gets everything else", async () => {
  const project = await deployWorker(platform, {
    files: { ...site, "index.js": marker },
    config: { name: "site", assets: { directory: "public" } },
  });
  const logo = await get(`${project.url}/logo.png`);
  assert.deepEqual([logo.status, logo.header("content-type")], [200, "image/png"]);
  assert.match(logo.header("cache-control") ?? "", /public, max-age=0, must-revalidate/);
  const etag = logo.header("etag") as string;
  assert.equal((await get(`${project.url}/logo.png`, { headers: { "if-none-match": etag } })).status, 304);
  assert.equal((await get(project.url)).body, "<h1>home</h1>");
  assert.equal((await get(`${project.url}/docs/page`)).body, "<p>page</p>");
  const redirect = await get(`${project.url}/docs/page.html`);
  assert.deepEqual([redirect.status, redirect.header("location")], [307, "/docs/page"]);
  assert.equal((await get(`${project.url}/api/x`)).body, "worker /api/x");
  assert.equal((await get(`${project.url}/logo.png`, { method: "HEAD" })).header("content-length"), "8");
});

test("[workers-33] single-page fall-back and the nearest 404 page, with no Worker at all", async () => {
  const spa = await deployWorker(platform, {
    files: site,
    config: { name: "spa", main: undefined, assets: { directory: "public", not_found_handling: "single-page-application" } },
  });
  const deep = await get(`${spa.url}/deep/link`);
  assert.deepEqual([deep.status, deep.body], [200, "<h1>home</h1>"]);
  const pages = await deployWorker(platform, {
    files: site,
    config: { name: "pages-404", main: undefined, assets: { directory: "public", not_found_handling: "404-page" } },
  });
  const top = await get(`${pages.url}/nope`);
  assert.deepEqual([top.status, top.body], [404, "not found here"]);
  const nested = await get(`${pages.url}/docs/nope`);
  assert.deepEqual([nested.status, nested.body], [404, "docs not found"]);
});

test("[workers-34] run_worker_first, for all and by patterns", async () => {
  const all = await deployWorker(platform, {
    files: { ...site, "index.js": marker },
    config: { name: "first-all", assets: { directory: "public", binding: "ASSETS", run_worker_first: true } },
  });
  assert.equal((await get(`${all.url}/logo.png`)).body, "worker /logo.png");
  const some = await deployWorker(platform, {
    files: { ...site, "index.js": marker, "public/api/docs/a.html": "api docs", "public/api/file.html": "shadowed" },
    config: { name: "first-some", assets: { directory: "public", run_worker_first: ["/api/*", "!/api/docs/*"] } },
  });
  assert.equal((await get(`${some.url}/api/file`)).body, "worker /api/file");
  assert.equal((await get(`${some.url}/api/docs/a`)).body, "api docs");
  assert.equal((await get(some.url)).body, "<h1>home</h1>");
});

test("[workers-35] a navigation that misses gets the page, a fetch of the same URL the Worker", { skip: noCurl }, async () => {
  const project = await deployWorker(platform, {
    files: { ...site, "index.js": marker },
    config: { name: "app", assets: { directory: "public", not_found_handling: "single-page-application" } },
  });
  // By curl: fetch() sets this header itself.
  const as = async (mode: string) =>
    (await platform.exec("curl", ["-sS", "-w", " %{http_code}", "-H", `Sec-Fetch-Mode: ${mode}`, `${project.url}/deep/link`])).stdout;
  assert.equal(await as("navigate"), "<h1>home</h1> 200");
  assert.equal(await as("cors"), "worker /deep/link 200");
  assert.equal((await get(`${project.url}/deep/link`)).body, "worker /deep/link");
});

test("[workers-36] the assets binding, rewritten by HTMLRewriter", async () => {
  const project = await deployWorker(platform, {
    files: {
      "public/index.html": `<p id="user">nobody</p>`,
      "index.js": `export default { async fetch(request, env) {
        const page = await env.ASSETS.fetch(new URL("/", request.url));
        return new HTMLRewriter().on("#user", { element: (e) => void e.setInnerContent("Ada") }).transform(page);
      } }`,
    },
    config: { name: "rewriter", assets: { directory: "public", binding: "ASSETS", run_worker_first: true } },
  });
  assert.equal((await get(project.url)).body, `<p id="user">Ada</p>`);
});

test("[workers-37] a second deploy uploads only the file that changed", async () => {
  const files = { "public/a.txt": "a", "public/b.txt": "b", "public/c.txt": "c", "index.js": marker };
  const project = await workerProject(platform, { files, config: { name: "dedupe", assets: { directory: "public" } } });
  assert.match((await project.deploy()).stdout, /Uploaded 3 files/);
  await project.write({ "public/b.txt": "changed" });
  assert.match((await project.deploy()).stdout, /Uploaded 1 file \(2 already uploaded\)/);
  assert.equal((await get(`${project.url}/b.txt`)).body, "changed");
  assert.equal((await get(`${project.url}/a.txt`)).body, "a");
  assert.match((await project.deploy()).stdout, /No updated asset files to upload/);
});

test("[workers-38] _headers and _redirects apply and are not served", async () => {
  const project = await deployWorker(platform, {
    files: {
      "public/index.html": "home",
      "public/_headers": "/secure/*\n  X-Frame-Options: DENY\n",
      "public/secure/a.html": "a",
      "public/_redirects": "/old /new 301\n/blog/* https://blog.example.com/:splat\n",
    },
    config: { name: "ruled", main: undefined, assets: { directory: "public" } },
  });
  assert.equal((await get(`${project.url}/secure/a`)).header("x-frame-options"), "DENY");
  const moved = await get(`${project.url}/old`);
  assert.deepEqual([moved.status, moved.header("location")], [301, "/new"]);
  assert.equal((await get(`${project.url}/blog/1/2`)).header("location"), "https://blog.example.com/1/2");
  assert.equal((await get(`${project.url}/_headers`)).status, 404);
});

test("[workers-39] html_handling modes redirect as documented", async () => {
  const files = { "public/file.html": "file", "public/folder/index.html": "folder" };
  const expected: Record<string, Record<string, string | number>> = {
    "auto-trailing-slash": { "/file": 200, "/file.html": "/file", "/file/": "/file", "/folder": "/folder/", "/folder/": 200 },
    "force-trailing-slash": { "/file": "/file/", "/file.html": "/file/", "/file/": 200, "/folder": "/folder/", "/folder/": 200 },
    "drop-trailing-slash": { "/file": 200, "/file.html": "/file", "/file/": "/file", "/folder": 200, "/folder/": "/folder" },
    none: { "/file": 404, "/file.html": 200, "/folder": 404, "/folder/index.html": 200 },
  };
  for (const [mode, table] of Object.entries(expected)) {
    const project = await deployWorker(platform, {
      files,
      config: { name: `html-${mode}`, main: undefined, assets: { directory: "public", html_handling: mode } },
    });
    for (const [path, want] of Object.entries(table)) {
      const { status, header } = await get(project.url + path);
      assert.deepEqual(
        typeof want === "number" ? status : [status, header("location")],
        typeof want === "number" ? want : [307, want],
        `${mode} ${path}`,
      );
    }
  }
});

test("a request path cannot leave the assets' directory", async () => {
  const project = await deployWorker(platform, {
    files: { "public/index.html": "home" },
    config: { name: "contained", main: undefined, assets: { directory: "public" } },
  });
  for (const path of [
    "/..%2f..%2f..%2fmeta.sqlite",
    "/%2e%2e/%2e%2e/encryption.key",
    "/....//....//etc/passwd",
    "/..%5c..%5cetc",
    "//etc/passwd",
    "/%00",
  ]) {
    const { status, body } = await get(project.url + path);
    assert(status === 404 || status === 307 || status === 400, `${path}: ${status}`);
    assert.doesNotMatch(body, /SQLite|root:/);
  }
});

test("manifests with paths that leave the directory, and forged upload tokens, are refused", async () => {
  const session = `${account}/scripts/forger/assets-upload-session`;
  const hash = "0".repeat(32);
  for (const path of ["/../x", "/a/../../x", "x", "/a//b", "/a/./b", "/\0", "/a\\..\\b", `/${"a".repeat(300)}`]) {
    const { status, body } = await platform.rest("POST", session, { manifest: { [path]: { hash, size: 1 } } });
    assert.deepEqual([status, body.errors[0]?.code], [400, 10301], path);
  }
  const tooLarge = await platform.rest("POST", session, { manifest: { "/big": { hash, size: 26 * 1024 * 1024 } } });
  assert.equal(tooLarge.status, 413);
  const opened = await platform.rest("POST", session, { manifest: { "/a": { hash, size: 1 } } });
  const jwt = opened.body.result.jwt as string;
  assert.deepEqual(opened.body.result.buckets, [[hash]]);
  const upload = (token: string, file: string, content = "YQ==") => {
    const form = new FormData();
    form.append(file, new Blob([content], { type: "text/plain" }), file);
    return platform.fetch(`/client/v4${account}/assets/upload?base64=true`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: form,
    });
  };
  const [head, claims, mac] = jwt.split(".") as [string, string, string];
  const changed = Buffer.from(
    JSON.stringify({ ...JSON.parse(Buffer.from(claims, "base64url").toString()), script: "other", phase: "complete" }),
  ).toString("base64url");
  for (const token of ["", "x.y.z", `${head}.${changed}.${mac}`, platform.ready.api_token])
    assert.equal((await upload(token, hash)).status, 401);
  // A file that the manifest does not have, and one of another size.
  assert.equal((await upload(jwt, "1".repeat(32))).status, 400);
  assert.equal((await upload(jwt, hash, "YWI=")).status, 400);
  assert.equal((await upload(jwt, hash)).status, 201);
  // An upload token is no completion token, and neither is one of another Worker.
  const deploy = async (token: string, name: string) => {
    const form = new FormData();
    form.append("metadata", JSON.stringify({ assets: { jwt: token, config: {} }, compatibility_date: "2026-01-01" }));
    const response = await platform.fetch(`/client/v4${account}/scripts/${name}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${platform.ready.api_token}` },
      body: form,
    });
    return [response.status, ((await response.json()) as { errors: { code: number }[] }).errors[0]?.code];
  };
  assert.deepEqual(await deploy(jwt, "forger"), [400, 10304]);
  const complete = ((await (await upload(jwt, hash)).json()) as { result: { jwt: string } }).result.jwt;
  assert.deepEqual(await deploy(complete, "somebody-else"), [400, 10304]);
  assert.deepEqual(await deploy(complete, "forger"), [200, undefined]);
});
