/** Deploying Workers with wrangler: code, modules, variables, secrets, environments, versions, and what a refused upload leaves. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}/workers`;
const text = async (url: string, init = {}): Promise<string> => (await platform.fetch(url, init)).text();

test("[workers-01, workers-08] wrangler deploys a module Worker, which answers on its own host name", async () => {
  const project = await workerProject(platform, {
    files: { "index.js": `export default { fetch: (request) => new Response("hello from " + new URL(request.url).pathname) }` },
    config: { name: "first" },
  });
  const { stdout } = await project.deploy();
  assert.match(stdout, /Uploaded first/);
  assert.match(stdout, /first\.dev\.workers\.freehold\.localhost/);
  assert.match(stdout, /Current Version ID: [0-9a-f-]{36}/);
  const answer = await platform.fetch(`${project.url}/here?x=1`);
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "hello from /here");
  assert.match(answer.headers.get("cf-ray") ?? "", /^[0-9a-f]{16}-[A-Z]{3}$/);
  // Another Worker has another name, and a name that no Worker has is a 404 page.
  const other = await deployWorker(platform, {
    files: { "index.js": `export default { fetch: () => new Response("the other") }` },
    config: { name: "second" },
  });
  assert.equal(await text(other.url), "the other");
  assert.equal(await text(project.url), "hello from /");
  const nobody = await platform.fetch(platform.host("workers", { worker: "nobody", subdomain: "dev" }));
  assert.equal(nobody.status, 404);
  assert.match(await nobody.text(), /There is nothing here yet/);
  const foreign = await platform.fetch(platform.host("workers", { worker: "first", subdomain: "elsewhere" }));
  assert.equal(foreign.status, 404);
  await foreign.body?.cancel();
});

test("[workers-02, workers-03] several modules, and imports of wasm, text, html, sql and bytes", async () => {
  // (module (func (export "exported_func") (param i32) (result i32) local.get 0))
  const wasm = Buffer.from(
    "0061736d0100000001060160017f017f03020100071101" + "0d6578706f727465645f66756e630000" + "0a0601040020000b",
    "hex",
  );
  const project = await deployWorker(platform, {
    files: {
      "index.js": `
        import wasm from "./module.wasm"; import note from "./note.txt"; import page from "./page.html"; import query from "./query.sql";
        import bytes from "./raw.bin"; import { helper } from "./lib/helper.js";
        export default { async fetch() {
          const instance = await WebAssembly.instantiate(wasm);
          return Response.json({ wasm: wasm.constructor.name, called: instance.exports.exported_func(42), note, page, query,
            bytes: [...new Uint8Array(bytes)], kind: bytes.constructor.name, helper: helper() });
        } }`,
      "lib/helper.js": `export const helper = () => "helped";`,
      "module.wasm": wasm,
      "note.txt": 'a note with "quotes" and ünïcode\n',
      "page.html": "<h1>page</h1>",
      "query.sql": "SELECT 1;",
      "raw.bin": Buffer.from([0, 1, 254, 255]),
    },
    config: { name: "modules", no_bundle: true, find_additional_modules: true, rules: [{ type: "ESModule", globs: ["**/*.js"] }] },
  });
  assert.deepEqual(JSON.parse(await text(project.url)), {
    wasm: "Module",
    called: 42,
    note: 'a note with "quotes" and ünïcode\n',
    page: "<h1>page</h1>",
    query: "SELECT 1;",
    bytes: [0, 1, 254, 255],
    kind: "ArrayBuffer",
    helper: "helped",
  });
});

test("[workers-04] variables and JSON variables are on env, also on the imported one", async () => {
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { env as imported } from "cloudflare:workers";
        const atStart = imported.GREETING;
        export default { fetch: (request, env) => Response.json({ greeting: env.GREETING, nested: env.NESTED, atStart, same: imported.NESTED }) }`,
    },
    config: { name: "variables", vars: { GREETING: 'héllo "you"\n', NESTED: { a: [1, { b: true }] } } },
  });
  assert.deepEqual(JSON.parse(await text(project.url)), {
    greeting: 'héllo "you"\n',
    nested: { a: [1, { b: true }] },
    atStart: 'héllo "you"\n',
    same: { a: [1, { b: true }] },
  });
});

test("[workers-05] secrets are put, bulk put, listed without values, kept by deploys and deleted", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": `export default { fetch: (request, env) => Response.json({ a: env.A, b: env.B, c: env.C }) }` },
    config: { name: "secretive", vars: { C: "plain" } },
  });
  const seen = async () => JSON.parse(await text(project.url));
  await project.wrangler(["secret", "put", "A"], { input: "value-of-a-4711\n" });
  assert.deepEqual(await seen(), { a: "value-of-a-4711", c: "plain" });
  await project.write({ "bulk.json": JSON.stringify({ A: "changed-a", B: "value-of-b-4711" }) });
  await project.wrangler(["secret", "bulk", "bulk.json"]);
  assert.deepEqual(await seen(), { a: "changed-a", b: "value-of-b-4711", c: "plain" });
  const listed = await project.wrangler(["secret", "list"]);
  assert.deepEqual(JSON.parse(listed.stdout), [
    { name: "A", type: "secret_text" },
    { name: "B", type: "secret_text" },
  ]);
  // A later deploy keeps secrets.
  await project.deploy();
  assert.deepEqual(await seen(), { a: "changed-a", b: "value-of-b-4711", c: "plain" });
  await project.wrangler(["secret", "delete", "A"]);
  assert.deepEqual(await seen(), { b: "value-of-b-4711", c: "plain" });
  // No answer of the API holds a value.
  for (const path of [
    "/scripts/secretive/settings",
    "/scripts/secretive/versions",
    "/scripts/secretive/secrets",
    "/services/secretive/environments/production/bindings",
  ]) {
    const { status, body } = await platform.rest("GET", account + path);
    assert.equal(status, 200);
    assert.doesNotMatch(JSON.stringify(body), /4711|changed-a|sealed/, path);
  }
  const missing = await platform.rest("DELETE", `${account}/scripts/secretive/secrets/NONE`);
  assert.deepEqual([missing.status, missing.body.errors[0]?.code], [404, 10056]);
});

test("a secret put for a Worker that does not exist creates it", async () => {
  const project = await workerProject(platform, {
    files: { "index.js": "export default { fetch: () => new Response() }" },
    config: { name: "drafted" },
  });
  await project.wrangler(["secret", "put", "TOKEN"], { input: "x" });
  assert.deepEqual(JSON.parse((await project.wrangler(["secret", "list"])).stdout), [{ name: "TOKEN", type: "secret_text" }]);
});

test("[workers-06] an environment is a Worker of its own with its own variables", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": `export default { fetch: (request, env) => new Response(env.WHERE ?? "nowhere") }` },
    config: { name: "environed", vars: { WHERE: "production" }, env: { staging: { vars: { WHERE: "staging" } }, bare: {} } },
  });
  await project.wrangler(["deploy", "--env", "staging"]);
  await project.wrangler(["deploy", "--env", "bare"]);
  const at = (worker: string): string => platform.host("workers", { worker, subdomain: "dev" });
  assert.equal(await text(project.url), "production");
  assert.equal(await text(at("environed-staging")), "staging");
  assert.equal(await text(at("environed-bare")), "nowhere");
});

test("[workers-28, workers-30] version metadata, list of versions and deployments, rollback", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": `export default { fetch: (request, env) => Response.json({ body: "one", version: env.META }) }` },
    config: { name: "versioned", version_metadata: { binding: "META" } },
  });
  const first = JSON.parse(await text(project.url)) as { body: string; version: { id: string; tag: string; timestamp: string } };
  assert.equal(first.body, "one");
  const status = await project.wrangler(["deployments", "status", "--json"]);
  assert.equal(JSON.parse(status.stdout).versions[0].version_id, first.version.id);
  assert(Date.now() - Date.parse(first.version.timestamp) < 60_000);
  await project.write({ "index.js": `export default { fetch: (request, env) => Response.json({ body: "two", version: env.META }) }` });
  await project.deploy(["--tag", "v2", "--message", "second"]);
  const second = JSON.parse(await text(project.url)) as typeof first;
  assert.deepEqual([second.body, second.version.tag], ["two", "v2"]);
  assert.notEqual(second.version.id, first.version.id);
  const listed = JSON.parse((await project.wrangler(["versions", "list", "--json"])).stdout) as {
    id: string;
    annotations: Record<string, string>;
  }[];
  assert.deepEqual(listed.map((v) => v.id).sort(), [first.version.id, second.version.id].sort());
  assert.equal(listed.find((v) => v.id === second.version.id)?.annotations["workers/message"], "second");
  await project.wrangler(["rollback", first.version.id, "--message", "back", "-y"]);
  assert.equal((JSON.parse(await text(project.url)) as typeof first).body, "one");
  const deployments = JSON.parse((await project.wrangler(["deployments", "list", "--json"])).stdout) as unknown[];
  assert.equal(deployments.length, 3);
  const viewed = await project.wrangler(["versions", "view", second.version.id]);
  assert.match(viewed.stdout, /v2/);
});

test("[workers-29] versions are uploaded without effect, then split by percentage, and a key pins one", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": `export default { fetch: () => new Response("old") }` },
    config: { name: "gradual" },
  });
  const oldId = JSON.parse((await project.wrangler(["deployments", "status", "--json"])).stdout).versions[0].version_id as string;
  await project.write({ "index.js": `export default { fetch: () => new Response("new") }` });
  const uploaded = await project.wrangler(["versions", "upload"]);
  const newId = /Worker Version ID: ([0-9a-f-]{36})/.exec(uploaded.stdout)?.[1] as string;
  assert.equal(await text(project.url), "old");
  await project.wrangler(["versions", "deploy", `${oldId}@50%`, `${newId}@50%`, "-y"]);
  const counts = new Map<string, number>();
  for (let i = 0; i < 200; i++) {
    const body = await text(project.url);
    counts.set(body, (counts.get(body) ?? 0) + 1);
  }
  // 200 fair tosses lie outside 60..140 less often than once in ten million runs.
  for (const body of ["old", "new"]) assert((counts.get(body) ?? 0) > 60, JSON.stringify([...counts]));
  const pinned = new Set<string>();
  for (let i = 0; i < 20; i++) pinned.add(await text(project.url, { headers: { "cloudflare-workers-version-key": "user-7" } }));
  assert.equal(pinned.size, 1);
  await project.wrangler(["versions", "deploy", `${newId}@100%`, "-y"]);
  for (let i = 0; i < 10; i++) assert.equal(await text(project.url), "new");
});

test("code that throws at its top level is refused with its own words, and the old version stays", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": `export default { fetch: () => new Response("still here") }` },
    config: { name: "steadfast" },
  });
  const refused = async (source: string): Promise<string> => {
    await project.write({ "index.js": source });
    const { stdout, stderr } = await project.wrangler(["deploy", "--no-bundle"], { code: 1 });
    assert.equal(await text(project.url), "still here");
    return stdout + stderr;
  };
  assert.match(
    await refused(`throw new TypeError("broken on purpose"); export default { fetch() {} }`),
    /Uncaught TypeError: broken on purpose[\s\S]*index\.js:1[\s\S]*code: 10021/,
  );
  assert.match(await refused(`import "./missing.js"; export default { fetch() {} }`), /No such module "missing\.js"[\s\S]*code: 10021/);
  assert.match(
    await refused(`await fetch("http://example.com"); export default { fetch() {} }`),
    /Disallowed operation called within global scope[\s\S]*code: 10021/,
  );
  assert.match(await refused(`export default {}`), /No event handlers were registered[\s\S]*code: 10068/);
});

test("service-worker syntax with variables as globals", async () => {
  const project = await deployWorker(platform, {
    files: { "index.js": `addEventListener("fetch", (event) => event.respondWith(new Response("classic " + FLAVOUR)));` },
    config: { name: "classic", vars: { FLAVOUR: "vanilla" } },
  });
  assert.equal(await text(project.url), "classic vanilla");
});

test("bindings of unknown types and to unknown targets are refused by name; nothing changes", async () => {
  const files = { "index.js": `export default { fetch: () => new Response("x") }` };
  const unknownTarget = await workerProject(platform, {
    files,
    config: { name: "dangling", services: [{ binding: "B", service: "no-such-worker" }] },
  });
  const first = await unknownTarget.wrangler(["deploy"], { code: 1 });
  assert.match(first.stdout + first.stderr, /Target script 'no-such-worker' not found/);
  const unknownType = await workerProject(platform, {
    files,
    config: { name: "futuristic", unsafe: { bindings: [{ name: "V", type: "time_machine" }] } },
  });
  const second = await unknownType.wrangler(["deploy"], { code: 1 });
  assert.match(second.stdout + second.stderr, /Bindings of type "time_machine" are not implemented/);
  for (const name of ["dangling", "futuristic"]) {
    const { status, body } = await platform.rest("GET", `${account}/services/${name}`);
    assert.deepEqual([status, body.errors[0]?.code], [404, 10090]);
  }
});

test("wrangler delete removes a Worker, and asks when another one binds it", async () => {
  const files = { "index.js": `export default { fetch: () => new Response("callee") }` };
  const callee = await deployWorker(platform, { files, config: { name: "doomed" } });
  await deployWorker(platform, { files, config: { name: "doomed-caller", services: [{ binding: "B", service: "doomed" }] } });
  const refused = await platform.rest("DELETE", `${account}/scripts/doomed`);
  assert.equal(refused.status, 400);
  assert.equal(await text(callee.url), "callee");
  await callee.wrangler(["delete", "--force"]);
  assert.equal((await platform.fetch(callee.url)).status, 404);
  const { body } = await platform.rest("GET", `${account}/scripts/doomed/settings`);
  assert.equal(body.errors[0]?.code, 10007);
});
