/** Pages by the SDK: custom domains, and Functions past the account's requests of the day. Files are uploaded as wrangler does. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { extname } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after }, { config: { "workers.daily_requests": 3 } });
const { account_id: account, api, api_token: root, domain } = platform.ready;
const sdk = platform.sdk();
const port = new URL(platform.ready.gateway).port;

interface Got {
  readonly status: number;
  readonly body: string;
}

async function get(url: string): Promise<Got> {
  const response = await platform.fetch(url);
  return { status: response.status, body: await response.text() };
}

/** What a host name answers on the gateway's port, whatever DNS says of it. */
const at = (host: string, path = "/"): Promise<Got> => get(`http://${host}:${port}${path}`);

/** The same by TLS, trusting the platform's authority alone. */
function byTls(host: string, path = "/"): Promise<string> {
  const { hostname, port: tlsPort } = new URL(platform.ready.gateway_tls);
  const options = { host: hostname, port: tlsPort, path, servername: host, headers: { host }, ca: readFileSync(platform.ready.ca_file) };
  return new Promise((resolve, reject) => {
    https.get(options, (response) => text(response).then(resolve, reject)).once("error", reject);
  });
}

interface DeployOptions {
  readonly branch?: string;
  /** `_worker.js`, `_routes.json`, … */
  readonly parts?: Readonly<Record<string, string>>;
}

async function deploy(project: string, files: Readonly<Record<string, string>>, { branch = "main", parts = {} }: DeployOptions = {}) {
  const { jwt } = (await sdk.pages.projects.getUploadToken(project, { account_id: account })) as { jwt: string };
  const uploads = Object.entries(files).map(([path, content]) => ({
    key: createHash("sha256")
      .update(content + extname(path))
      .digest("hex")
      .slice(0, 32),
    value: Buffer.from(content).toString("base64"),
    metadata: { contentType: path.endsWith(".html") ? "text/html" : "text/plain" },
    base64: true,
  }));
  const uploaded = await platform.fetch(`${api}/pages/assets/upload`, {
    method: "POST",
    headers: { authorization: `Bearer ${jwt}`, "content-type": "application/json" },
    body: JSON.stringify(uploads),
  });
  assert.equal(uploaded.status, 200, await uploaded.text());
  const form = new FormData();
  form.set("manifest", JSON.stringify(Object.fromEntries(Object.keys(files).map((path, i) => [path, uploads[i]?.key]))));
  form.set("branch", branch);
  for (const [name, content] of Object.entries(parts)) form.set(name, new Blob([content]), name);
  const answer = await platform.fetch(`${api}/accounts/${account}/pages/projects/${project}/deployments`, {
    method: "POST",
    headers: { authorization: `Bearer ${root}` },
    body: form,
  });
  const { result, errors } = (await answer.json()) as { result: { url: string; latest_stage: { status: string } }; errors: unknown };
  assert.equal(result?.latest_stage.status, "success", JSON.stringify(errors));
  return result;
}

test("[pages-37] a custom domain is pending until its record leads to the project, and then served with TLS", async () => {
  const project = "shop";
  const params = { account_id: account, project_name: project };
  await sdk.pages.projects.create({ account_id: account, name: project, production_branch: "main" });
  await deploy(project, { "/index.html": "the shop" });
  const zone = await sdk.zones.create({ account: { id: account }, name: "shop.example", type: "full" });

  const added = await sdk.pages.projects.domains.create(project, { account_id: account, name: "www.shop.example" });
  assert.deepEqual([added.name, added.status, added.zone_tag], ["www.shop.example", "pending", zone.id]);
  assert.equal((await at("www.shop.example")).status, 404);

  const target = `${project}.pages.dev`;
  await sdk.dns.records.create({ zone_id: zone.id, type: "CNAME", name: "www.shop.example", content: target, ttl: 1, proxied: true });
  const edited = await sdk.pages.projects.domains.edit("www.shop.example", params);
  assert.deepEqual([edited.status, edited.verification_data.status], ["active", "active"]);
  assert.deepEqual(await at("www.shop.example"), { status: 200, body: "the shop" });
  assert.equal(await byTls("www.shop.example"), "the shop");
  assert.deepEqual((await sdk.pages.projects.get(project, { account_id: account })).domains?.slice(1), ["www.shop.example"]);

  // A record alone does not do, nor one that leads to another project.
  await sdk.dns.records.create({ zone_id: zone.id, type: "CNAME", name: "bare.shop.example", content: target, ttl: 1, proxied: true });
  assert.notEqual((await at("bare.shop.example")).body, "the shop");
  await sdk.pages.projects.create({ account_id: account, name: "other-shop", production_branch: "main" });
  await deploy("other-shop", { "/index.html": "another shop" });
  const stolen = await sdk.pages.projects.domains.create("other-shop", { account_id: account, name: "bare.shop.example" });
  assert.equal(stolen.status, "pending");
  assert.notEqual((await at("bare.shop.example")).body, "another shop");

  const add = (name: string) => sdk.pages.projects.domains.create("other-shop", { account_id: account, name });
  await assert.rejects(add("www.shop.example"), /8000018/);
  for (const name of ["*.shop.example", "x.pages.dev", `x.${domain}`, "localhost", "no spaces.example"])
    await assert.rejects(add(name), /8000019/, name);
  await assert.rejects(add("apex-elsewhere.example"), /8000020/);
  // Outside the account's zones nobody here can look at the records.
  assert.equal((await add("www.elsewhere.example")).status, "active");
  assert.equal((await at("www.elsewhere.example")).body, "another shop");

  await sdk.pages.projects.domains.delete("www.shop.example", params);
  assert.notEqual((await at("www.shop.example")).body, "the shop");
  await assert.rejects(sdk.pages.projects.domains.get("www.shop.example", params), /8000021/);
  await sdk.pages.projects.delete("other-shop", { account_id: account });
  assert.equal((await at("www.elsewhere.example")).status, 404);
});

test("[pages-38] a custom domain whose record names a branch follows the branch", async () => {
  const project = "shop";
  const zone = (await sdk.zones.list({ name: "shop.example" })).result[0]?.id as string;
  await deploy(project, { "/index.html": "staging one" }, { branch: "staging" });
  await sdk.pages.projects.domains.create(project, { account_id: account, name: "staging.shop.example" });
  const content = `staging.${project}.pages.dev`;
  await sdk.dns.records.create({ zone_id: zone, type: "CNAME", name: "staging.shop.example", content, ttl: 1, proxied: true });
  assert.equal((await at("staging.shop.example")).body, "staging one");
  await deploy(project, { "/index.html": "staging two" }, { branch: "staging" });
  await deploy(project, { "/index.html": "another branch" }, { branch: "elsewhere" });
  assert.equal((await at("staging.shop.example")).body, "staging two");
  assert.equal((await at(`${project}.pages.${domain}`)).body, "the shop");
});

/** A browser that opens a page: the `Link` headers of what comes ahead, and of the answer. */
function navigate(
  host: string,
  path: string,
  headers: Record<string, string> = { "sec-fetch-mode": "navigate" },
): Promise<{ early: unknown[]; link: unknown }> {
  const early: unknown[] = [];
  return new Promise((resolve, reject) => {
    http
      .get({ host: "127.0.0.1", port, path, headers: { host, ...headers } }, (response) => {
        text(response).then(() => resolve({ early, link: response.headers.link }), reject);
      })
      .on("information", (info) => early.push([info.statusCode, info.headers.link]))
      .once("error", reject);
  });
}

test("[pages-11] the second answer with a page tells its links in a header, and ahead of it in a 103", async () => {
  const project = "hints";
  await sdk.pages.projects.create({ account_id: account, name: project, production_branch: "main" });
  const page = `<!doctype html><html><head>
    <link rel="preload" as="style" href="/styles.css"><link rel="preconnect" href="https://cdn.example.com"><link rel="modulepreload" href="/app.js">
    <link rel="preload" as="font" href="/font.woff2" crossorigin><link rel="stylesheet" href="/other.css"><link rel="preload" href="/x>; rel=evil"><!-- <link rel="preload" href="/comment"> -->
    <script>const text = '<link rel="preload" href="/script">';</script></head><body></body></html>`;
  const based = '<base href="/docs/"><base href="/later/"><link rel="preload" as="image" href="a.png">';
  const files = { "/index.html": page, "/based.html": based, "/set.html": "set", "/none.html": page };
  const headers = "/set\n  Link: </set.css>; rel=preload; as=style\n/none\n  ! Link\n";
  await deploy(project, files, { parts: { _headers: headers } });
  const host = `${project}.pages.${domain}`;
  const link = '</styles.css>; rel="preload"; as=style, <https://cdn.example.com>; rel="preconnect", </app.js>; rel="modulepreload"';

  assert.deepEqual(await navigate(host, "/"), { early: [], link: undefined });
  // The page is read once its answer is out.
  const deadline = Date.now() + 30_000;
  let again = await navigate(host, "/");
  while (again.link === undefined) {
    assert.ok(Date.now() < deadline, "the links are never told");
    again = await navigate(host, "/");
  }
  assert.deepEqual(again, { early: [[103, link]], link });
  // Not to clients that may not know what it is.
  assert.deepEqual(await navigate(host, "/", {}), { early: [], link });
  let other = await navigate(host, "/based");
  while (other.link === undefined) {
    assert.ok(Date.now() < deadline, "the links are never told");
    other = await navigate(host, "/based");
  }
  assert.equal(other.link, `<http://${host}/docs/a.png>; rel="preload"; as=image`);
  // The file _headers adds links, and takes them away.
  assert.deepEqual(await navigate(host, "/set"), {
    early: [[103, "</set.css>; rel=preload; as=style"]],
    link: "</set.css>; rel=preload; as=style",
  });
  assert.deepEqual(await navigate(host, "/none"), { early: [], link: undefined });
});

test("[pages-43] with a token of Web Analytics the beacon's script is in the body of each page", async () => {
  const project = "counted";
  const build_config = { web_analytics_tag: "tag", web_analytics_token: "0123456789abcdef" };
  await sdk.pages.projects.create({ account_id: account, name: project, production_branch: "main", build_config });
  const page = "<html><head></head><body><p>text</p><script>'</body>'</script></body></html>";
  await deploy(project, { "/index.html": page, "/bare.html": "no body", "/data.txt": page });
  const host = `${project}.pages.${domain}`;
  const tag = `<!-- Cloudflare Pages Analytics --><script defer src='https://static.cloudflareinsights.com/beacon.min.js' data-cf-beacon='{"token":"0123456789abcdef"}'></script><!-- Cloudflare Pages Analytics -->`;
  assert.equal((await at(host)).body, page.replace("</script></body>", `</script>${tag}</body>`));
  assert.equal((await at(host, "/bare")).body, "no body");
  assert.equal((await at(host, "/data.txt")).body, page);
});

test("what was deployed is there after a crash: files, Functions, aliases, domains and settings", async () => {
  const project = "lasting";
  const production = { env_vars: { KEPT: { type: "secret_text", value: "kept" } } };
  await sdk.pages.projects.create({
    account_id: account,
    name: project,
    production_branch: "main",
    deployment_configs: { production } as never,
  });
  await deploy(project, { "/index.html": "one" });
  await deploy(project, { "/index.html": "a branch" }, { branch: "side" });
  const parts = {
    "_worker.js": "export default { fetch: (_, env) => new Response(env.KEPT) };",
    "_routes.json": JSON.stringify({ version: 1, include: ["/secret"], exclude: [] }),
  };
  await deploy(project, { "/index.html": "two" }, { parts });
  await sdk.pages.projects.domains.create(project, { account_id: account, name: "www.lasting.example" });
  await platform.kill9();
  await platform.restart();
  const lasting = `${project}.pages.${domain}`;
  assert.deepEqual([(await at(lasting)).body, (await at(`side.${lasting}`)).body], ["two", "a branch"]);
  assert.equal((await at(lasting, "/secret")).body, "kept");
  assert.equal((await at("www.lasting.example")).body, "two");
});

test("[pages-44] past the account's requests of a day the files answer, or an error, as the project says", async () => {
  const parts = {
    "_worker.js": `export default { fetch: () => new Response("Function") };`,
    "_routes.json": JSON.stringify({ version: 1, include: ["/*"], exclude: ["/static.txt"] }),
  };
  const files = { "/index.html": "a file", "/static.txt": "static" };
  for (const [name, fail_open] of [
    ["open", true],
    ["closed", false],
  ] as const) {
    const configs = { production: { fail_open } };
    await sdk.pages.projects.create({ account_id: account, name, production_branch: "main", deployment_configs: configs as never });
    await deploy(name, files, { parts });
  }
  // One of the day's three requests was used after the crash. Those that invoke no Function do not count.
  for (let i = 0; i < 3; i++) assert.equal((await at(`open.pages.${domain}`, "/static.txt")).body, "static");
  assert.equal((await at(`open.pages.${domain}`)).body, "Function");
  assert.equal((await at(`closed.pages.${domain}`)).body, "Function");
  assert.deepEqual(await at(`open.pages.${domain}`), { status: 200, body: "a file" });
  const closed = await at(`closed.pages.${domain}`);
  assert.equal(closed.status, 429);
  assert.match(closed.body, /Error 1027/);
  assert.equal((await at(`closed.pages.${domain}`, "/static.txt")).body, "static");
});
