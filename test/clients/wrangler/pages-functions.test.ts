/**
 * Functions of Pages, deployed by wrangler: one project whose Functions use every binding and rule, deployed once for
 * production and once for a branch, and one in advanced mode.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSign, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { FormData } from "undici";
import { startModelServer } from "../../harness/model-server.ts";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { projectRoot, startPlatform } from "../../harness/platform.ts";
import { noPostgres, startPostgres } from "../../harness/postgres.ts";
import { noOpenssl } from "../../harness/programs.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { COMPATIBILITY_DATE, deployWorker } from "../../harness/worker-project.ts";
import { certificateMaker, originOf } from "../hyperdrive-world.ts";
import { answering, functionsProject } from "../pages-project.ts";

const noPlugins = missingClient("pages-plugins");
const noDrivers = missingClient("sql-drivers");
const models = await startModelServer({ after });
// Functions ask the issuer of tokens here, which is on this machine.
const config = {
  "runtime.outbound_allow": ["public", "private", "local"],
  "hyperdrive.private_origins": true,
  "workers_ai.models": [`@cf/*=${models.url}`],
};
const platform = await startPlatform({ after }, { config });
const { account_id: account, domain } = platform.ready;
const sdk = platform.sdk();
const port = new URL(platform.ready.gateway).port;
const project = "full-stack";

const at = (label: string, path = "/"): string => `http://${label}.pages.${domain}:${port}${path}`;
const site = (path: string): string => at(project, path);
const preview = (path: string): string => at(`feature.${project}`, path);

interface Got {
  readonly status: number;
  readonly body: string;
  header(name: string): string | null;
}

async function get(url: string, init: Parameters<typeof platform.fetch>[1] = {}): Promise<Got> {
  const response = await platform.fetch(url, init);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
}

async function directory(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const dir = await temporaryDirectory("freehold-functions-");
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
  return dir;
}

const bindings = (text: string) => ({
  vars: { TEXT: text, JSON: { a: [1] } },
  kv_namespaces: [{ binding: "KV", id: "" }],
  d1_databases: [{ binding: "DB", database_name: "pages-db", database_id: "" }],
  r2_buckets: [{ binding: "BUCKET", bucket_name: "pages-bucket" }],
  durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter", script_name: "backend" }] },
  services: [{ binding: "BACKEND", service: "backend" }],
  queues: { producers: [{ binding: "QUEUE", queue: "pages-queue" }] },
  vectorize: [{ binding: "INDEX", index_name: "pages-index" }],
  analytics_engine_datasets: [{ binding: "EVENTS", dataset: "pages_events" }],
});

let dir: string;
const wrangler = (args: readonly string[], options: { code?: number; input?: string } = {}) =>
  platform.wrangler(["pages", ...args], { cwd: dir, ...options });

async function create(path: string, body: unknown): Promise<Record<string, string>> {
  const answer = await platform.rest("POST", `/accounts/${account}${path}`, body);
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
  return answer.body.result;
}

before(async () => {
  const ids = {
    kv: (await create("/storage/kv/namespaces", { title: "pages" })).id,
    db: (await create("/d1/database", { name: "pages-db" })).uuid,
  };
  await create("/r2/buckets", { name: "pages-bucket" });
  await create("/queues", { queue_name: "pages-queue" });
  await create("/vectorize/v2/indexes", { name: "pages-index", config: { dimensions: 3, metric: "cosine" } });
  await create("/pages/projects", { name: project, production_branch: "main" });
  await deployWorker(platform, {
    files: {
      "index.js": `import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
        export class Counter extends DurableObject {
          async fetch() { const n = ((await this.ctx.storage.get("n")) ?? 0) + 1; await this.ctx.storage.put("n", n); return new Response("count " + n); }
        }
        export default class extends WorkerEntrypoint { greet(who) { return "hello " + who; } fetch() { return new Response("backend"); } }`,
    },
    config: {
      name: "backend",
      durable_objects: { bindings: [{ name: "SELF", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    },
  });
  const filled = (value: string) => {
    const all = bindings(value);
    (all.kv_namespaces[0] as { id: string }).id = ids.kv as string;
    (all.d1_databases[0] as { database_id: string }).database_id = ids.db as string;
    return all;
  };
  const config = {
    name: project,
    pages_build_output_dir: "dist",
    compatibility_date: COMPATIBILITY_DATE,
    upload_source_maps: true,
    ...filled("in production"),
    env: { preview: filled("in preview") },
  };
  dir = await directory({
    ...functionsProject,
    "wrangler.json": JSON.stringify(config, null, 2),
  });
});

test("[pages-20] secrets are put, listed and deleted, and reach the next deployment", async () => {
  await wrangler(["secret", "put", "SECRET", "--project-name", project], { input: "s3cret" });
  await writeFile(join(dir, "secrets.json"), JSON.stringify({ BULK: "from a file", GONE: "x" }));
  await wrangler(["secret", "bulk", "secrets.json", "--project-name", project]);
  await wrangler(["secret", "delete", "GONE", "--project-name", project]);
  const { stdout } = await wrangler(["secret", "list", "--project-name", project]);
  assert.match(stdout, /SECRET: Value Encrypted/);
  assert.match(stdout, /BULK: Value Encrypted/);
  assert.doesNotMatch(stdout, /GONE|s3cret/);
  const shown = JSON.stringify(await sdk.pages.projects.get(project, { account_id: account }));
  assert.doesNotMatch(shown, /s3cret|from a file/);

  const deployed = await wrangler(["deploy", "--branch", "main", "--commit-dirty"]);
  assert.match(deployed.stdout, /Uploading Functions bundle[\s\S]*Deployment complete/);
  const { text: plain, ...rest } = JSON.parse((await get(site("/bind/vars"))).body);
  assert.deepEqual([plain, rest], ["in production", { json: { a: [1] }, secret: "s3cret", bulk: "from a file", gone: null }]);
});

test("[pages-12] files of functions are routes, by names, parameters, rests and verbs", async () => {
  const expected: [string, string][] = [
    ["/foo", "static foo"],
    ["/date", "date"],
    ["/date/", "date"],
    ["/users/daniel", "user daniel"],
    ["/users/nevi", "user nevi"],
    ["/users/special", "special"],
    ["/users/daniel/xyz/123", '["daniel","xyz","123"]'],
    ["/fruits", "fruits"],
    ["/fruits/", "fruits"],
    ["/verbs", "get"],
    ["/page", "a page"],
  ];
  for (const [path, body] of expected) assert.equal((await get(site(path))).body, body, path);
  assert.equal((await get(site("/verbs"), { method: "POST", body: "x" })).body, "post x");
  assert.equal((await get(site("/verbs"), { method: "DELETE" })).body, "any DELETE");
  for (const path of ["/profile/nevi", "/nevi"])
    assert.deepEqual([(await get(site(path))).status, (await get(site(path))).body], [404, "not here"]);
  // Neither file of rules concerns what a Function answers.
  assert.equal((await get(site("/date"))).header("x-page"), null);
  assert.equal((await get(site("/page"))).header("x-page"), "by _headers");
});

test("[pages-13] middleware runs from the root to the handler, refuses, adds, and catches", async () => {
  assert.equal((await get(site("/page"))).header("x-timing"), "1");
  const refused = await get(site("/guarded"));
  assert.deepEqual([refused.status, refused.body, refused.header("x-timing")], [403, "Unauthorized", "1"]);
  const admin = { headers: { "x-email": "admin@example.com" } };
  assert.equal((await get(site("/guarded"), admin)).body, "root,errorHandling,authentication");
  const caught = await get(site("/guarded/fails"), admin);
  assert.deepEqual([caught.status, caught.body], [500, "caught on purpose"]);
});

test("[pages-15] an excluded path does not invoke the Functions", async () => {
  const excluded = await get(site("/build/app.js"));
  assert.deepEqual([excluded.status, excluded.body, excluded.header("x-timing")], [200, "app()", null]);
  assert.equal((await get(site("/foo"))).header("x-timing"), "1");
});

test("[pages-16, vectorize-25, kv-16] one Function for each binding", async () => {
  const expected: [string, string][] = [
    ["kv", "from kv"],
    ["d1", '{"two":2}'],
    ["r2", "from r2"],
    ["do", "count 1"],
    ["service", "hello Pages, backend"],
    ["queue", "sent"],
    ["analytics", "written"],
  ];
  for (const [name, body] of expected) {
    const answer = await get(site(`/bind/${name}`));
    assert.deepEqual([answer.status, answer.body], [200, body], name);
  }
  assert.equal(JSON.parse((await get(site("/bind/vectorize"))).body).dimensions, 3);
  const [queue] = (await platform.rest("GET", `/accounts/${account}/queues?name=pages-queue`)).body.result as { queue_id: string }[];
  await create(`/queues/${queue?.queue_id}/consumers`, { type: "http_pull" });
  const { messages } = (await create(`/queues/${queue?.queue_id}/messages/pull`, {})) as unknown as { messages: { body: string }[] };
  assert.deepEqual(
    messages.map(({ body }) => JSON.parse(Buffer.from(body, "base64").toString())),
    [{ from: "pages" }],
  );
});

test("[pages-22] types compile, and modules of WebAssembly, text and bytes are there after the deployment", async () => {
  const answer = JSON.parse((await get(site("/typed"))).body);
  assert.deepEqual(answer, { text: "in production", sum: 21, page: "<p>from a module</p>", bytes: [1, 2, 255], seen: ["root"] });
  const types = join(projectRoot, "node_modules/@cloudflare/workers-types/index.d.ts");
  const tsconfig = {
    compilerOptions: {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: "es2024",
      module: "esnext",
      moduleResolution: "bundler",
      lib: ["es2024"],
      types: [],
    },
    files: [types, "lib/modules.d.ts", "functions/typed.ts", "functions/throws.ts"],
  };
  await writeFile(join(dir, "tsconfig.json"), JSON.stringify(tsconfig));
  const tsc = spawn(process.execPath, [join(projectRoot, "node_modules/typescript/bin/tsc"), "-p", dir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  tsc.stdout.on("data", (chunk) => (said += String(chunk)));
  const [code] = (await once(tsc, "close")) as [number];
  assert.deepEqual([code, said], [0, ""]);
});

test("ASSETS answers by the rules of files, and what a Function does wrong is said", async () => {
  assert.equal((await get(site("/assets"))).body, "200 by _headers a page");
  const [threw, open, nothing] = [await get(site("/throws")), await get(site("/open")), await get(site("/nothing"))];
  assert.match(threw.body, /Error 1101/);
  assert.deepEqual([threw.status, nothing.status], [500, 500]);
  // As passThroughOnException asks, the files answer instead.
  assert.deepEqual([open.status, open.body], [404, "not here"]);
});

test("[pages-18] a branch has the preview's configuration, production its own", async () => {
  await wrangler(["deploy", "--branch", "feature", "--commit-dirty"]);
  const seen = async (url: string) => {
    const { text, secret } = JSON.parse((await get(url)).body);
    return [text, secret];
  };
  assert.deepEqual(await seen(preview("/bind/vars")), ["in preview", undefined]);
  assert.deepEqual(await seen(site("/bind/vars")), ["in production", "s3cret"]);
});

/** Runs `wrangler pages deployment tail` until the test ends it; what it has printed, which throws once it has ended. */
function openTail(t: { after(fn: () => Promise<void>): void }, args: readonly string[]): () => string {
  const command = ["exec", "--data", platform.dir, "--", "wrangler", "pages", "deployment", "tail", ...args];
  const child = spawn(process.execPath, [join(projectRoot, "bin", "freehold.mjs"), ...command], {
    cwd: dir,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGINT");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    await gone;
    clearTimeout(timer);
  });
  return () => {
    assert.equal(child.exitCode, null, output);
    return output;
  };
}

interface TailEvent {
  readonly outcome: string;
  readonly event: { readonly request: { readonly url: string } };
  readonly logs: readonly { readonly level: string; readonly message: readonly unknown[] }[];
  readonly exceptions: readonly { readonly name: string; readonly message: string; readonly stack?: string }[];
}

test("[pages-40, pages-41] a live tail tells logs and exceptions as JSON, by the lines that were written", async (t) => {
  const { canonical_deployment: live } = await sdk.pages.projects.get(project, { account_id: account });
  const printed = openTail(t, [String(live?.id), "--project-name", project, "--format", "json"]);
  let events: TailEvent[] = [];
  const deadline = Date.now() + 60_000;
  // Nothing says when the client listens: it is visited until it has heard of a visit.
  while (events.length === 0) {
    assert.ok(Date.now() < deadline, `no event in time: ${printed()}`);
    await get(site("/throws"));
    events = [...printed().matchAll(/^\{[\s\S]*?^\}/gm)].map((match) => JSON.parse(match[0]) as TailEvent);
  }
  const [{ outcome, event, logs, exceptions }] = events as [TailEvent];
  assert.equal(outcome, "exception");
  assert.match(event.request.url, /\/throws$/);
  assert.deepEqual(
    logs.map(({ level, message }) => [level, message]),
    [["log", ["about to fail", "/throws"]]],
  );
  assert.deepEqual([exceptions[0]?.name, exceptions[0]?.message], ["TypeError", "no undefined"]);
  assert.match(exceptions[0]?.stack ?? "", /at onRequest \((\S*\/)?throws\.ts:6:9\)/);
});

const advanced = "advanced";

test("[pages-14] one Worker, as a file or as a directory, stands in front of the files", async () => {
  const production = { compatibility_date: COMPATIBILITY_DATE, env_vars: { WHERE: { type: "plain_text", value: "dashboard" } } };
  await create("/pages/projects", { name: advanced, production_branch: "main", deployment_configs: { production, preview: production } });
  const worker = (name: string) => `export default { async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.startsWith("/api/")) return new Response("${name} " + env.WHERE);
    return env.ASSETS.fetch(request);
  } };`;
  const apps = await directory({
    "file/_worker.js": worker("file"),
    "file/index.html": "file home",
    "folder/_worker.js/index.js": `import { name } from "./name.js";\n${worker('" + name + "')}`,
    "folder/_worker.js/name.js": 'export const name = "directory";',
    "folder/index.html": "directory home",
    // Ignored in advanced mode.
    "functions/api/x.js": answering('"a Function"'),
  });
  for (const [folder, branch, at] of [
    ["file", "main", advanced],
    ["folder", "other", `other.${advanced}`],
  ] as const) {
    const args = ["pages", "deploy", folder, "--project-name", advanced, "--branch", branch, "--commit-dirty"];
    await platform.wrangler(args, { cwd: apps });
    const name = folder === "file" ? "file" : "directory";
    const host = `http://${at}.pages.${domain}:${port}`;
    assert.equal((await get(`${host}/api/x`)).body, `${name} dashboard`);
    assert.equal((await get(`${host}/`)).body, `${name} home`);
    assert.equal((await get(`${host}/_worker.js`)).body, `${name} home`);
  }
});

test("settings of a project land in a configuration file, which deploys what they said", async () => {
  const ids = JSON.parse(await readFile(join(dir, "wrangler.json"), "utf8")) as {
    kv_namespaces: { id: string }[];
    d1_databases: { database_id: string }[];
  };
  const { result: namespaces } = (await platform.rest("GET", `/accounts/${account}/workers/durable_objects/namespaces`)).body;
  const settings = {
    kv_namespaces: { KV: { namespace_id: ids.kv_namespaces[0]?.id } },
    d1_databases: { DB: { id: ids.d1_databases[0]?.database_id } },
    r2_buckets: { BUCKET: { name: "pages-bucket" } },
    durable_object_namespaces: { COUNTER: { namespace_id: namespaces[0].id } },
    services: { BACKEND: { service: "backend", environment: "production" } },
    queue_producers: { QUEUE: { name: "pages-queue" } },
    analytics_engine_datasets: { EVENTS: { dataset: "pages_events" } },
    env_vars: { PLAIN: { type: "plain_text", value: "text" }, HIDDEN: { type: "secret_text", value: "hidden" }, WHERE: null },
  };
  const patched = await platform.rest("PATCH", `/accounts/${account}/pages/projects/${advanced}`, {
    deployment_configs: { production: settings },
    build_config: { destination_dir: "dist" },
  });
  assert.equal(patched.status, 200, JSON.stringify(patched.body));
  const home = await directory({
    "dist/_worker.js": `export default { async fetch(request, env) {
      await env.KV.put("a", "1");
      return Response.json({ kv: await env.KV.get("a"), object: await (await env.COUNTER.get(env.COUNTER.idFromName("x")).fetch(request)).text(),
        plain: env.PLAIN, hidden: env.HIDDEN, where: env.WHERE ?? null, hello: await env.BACKEND.greet("you") });
    } };`,
  });
  await platform.wrangler(["pages", "download", "config", advanced], { cwd: home });
  const written = await readFile(join(home, "wrangler.toml"), "utf8");
  for (const line of [
    /^name = "advanced"$/m,
    /^pages_build_output_dir = "dist"$/m,
    new RegExp(`\\[\\[env\\.production\\.kv_namespaces\\]\\]\\s+id = "${ids.kv_namespaces[0]?.id}"\\s+binding = "KV"`),
    new RegExp(`database_id = "${ids.d1_databases[0]?.database_id}"\\s+binding = "DB"`),
    /bucket_name = "pages-bucket"\s+binding = "BUCKET"/,
    /name = "COUNTER"\s+class_name = "Counter"\s+script_name = "backend"/,
    /binding = "BACKEND"\s+service = "backend"/,
    /binding = "QUEUE"\s+queue = "pages-queue"/,
    /binding = "EVENTS"\s+dataset = "pages_events"/,
    /PLAIN = "text"/,
  ])
    assert.match(written, line);
  assert.doesNotMatch(written, /hidden/);

  // What was downloaded deploys, and is what the settings said.
  await platform.wrangler(["pages", "deploy", "--branch", "main", "--commit-dirty"], { cwd: home });
  const seen = JSON.parse((await get(at(advanced))).body);
  assert.deepEqual(seen, { kv: "1", object: "count 1", plain: "text", hidden: "hidden", where: null, hello: "hello you" });
});

test("[pages-19] the dashboard's settings are downloaded as a file, which then is what counts, and overrides all or nothing", async () => {
  const name = "settings";
  const { id } = await create("/storage/kv/namespaces", { title: "of settings" });
  const settings = (text: string) => ({
    ...{ compatibility_date: COMPATIBILITY_DATE, compatibility_flags: ["nodejs_compat"], kv_namespaces: { KV: { namespace_id: id } } },
    env_vars: { TEXT: { type: "plain_text", value: text }, SECRET: { type: "secret_text", value: `secret of ${text}` } },
  });
  const deployment_configs = { production: settings("production"), preview: settings("preview") };
  await create("/pages/projects", { name, production_branch: "main", deployment_configs, build_config: { destination_dir: "dist" } });
  const home = await directory({
    "dist/index.html": "home",
    "functions/vars.js": "export const onRequest = async ({ env }) => Response.json([env.TEXT, env.SECRET, await env.KV.get('x')]);",
  });
  await platform.wrangler(["pages", "download", "config", name], { cwd: home });
  const file = join(home, "wrangler.toml");
  const downloaded = await readFile(file, "utf8");
  assert.match(
    downloaded,
    /^name = "settings"\npages_build_output_dir = "dist"\ncompatibility_date = "2026-11-01"\ncompatibility_flags = \[ "nodejs_compat" \]$/m,
  );
  assert.match(downloaded, new RegExp(`^\\[vars\\]\nTEXT = "preview"\n\n\\[\\[kv_namespaces\\]\\]\nid = "${id}"\nbinding = "KV"$`, "m"));
  assert.match(downloaded, /^\[env\.production\.vars\]\nTEXT = "production"$/m);
  assert.doesNotMatch(downloaded, /SECRET|secret of/);

  // One of the environment's bindings without the others leaves the others out, of which wrangler warns.
  const deploy = () => platform.wrangler(["pages", "deploy", "--branch", "main", "--commit-dirty"], { cwd: home });
  await writeFile(file, downloaded.slice(0, downloaded.indexOf("[[env.production.kv_namespaces]]")));
  const partial = await deploy();
  assert.match(partial.stderr, /"kv_namespaces" exists at the top level, but not on "env\.production"/);
  const failed = await get(at(name, "/vars"));
  assert.deepEqual([failed.status, /Error 1101/.test(failed.body)], [500, true]);
  await writeFile(file, downloaded.replace('TEXT = "production"', 'TEXT = "by the file"'));
  await deploy();
  assert.deepEqual(JSON.parse((await get(at(name, "/vars"))).body), ["by the file", "secret of production", null]);
  const { deployment_configs: now } = await sdk.pages.projects.get(name, { account_id: account });
  assert.deepEqual(now.production.env_vars, {
    TEXT: { type: "plain_text", value: "by the file" },
    SECRET: { type: "secret_text", value: "" },
  });
  assert.notEqual(now.production.wrangler_config_hash, undefined);
});

/** Who signs people in: the endpoints that the real service has at an organisation's domain, with an RSA key of its own. */
async function startIssuer(t: { after(fn: () => void): void }) {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "key", alg: "RS256", use: "sig" };
  const server = createServer((request, response) => {
    if (request.url === "/cdn-cgi/access/certs") return response.end(JSON.stringify({ keys: [jwk] }));
    const signedIn = /^CF_Authorization=\S+$/.test(request.headers.cookie ?? "") && request.url === "/cdn-cgi/access/get-identity";
    response.writeHead(signedIn ? 200 : 404).end(JSON.stringify({ email: "a@example.com", groups: ["admins"] }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => void server.close());
  const domain = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const sign = (claims: object, key = privateKey): string => {
    const text = `${encode({ alg: "RS256", kid: "key", typ: "JWT" })}.${encode({ iss: domain, aud: ["of-this-app"], email: "a@example.com", ...claims })}`;
    return `${text}.${createSign("RSA-SHA256").update(text).sign(key, "base64url")}`;
  };
  return { domain, sign };
}

test("[pages-23, pages-25] the plugins of the documentation run: static forms, GraphQL, pictures of pages, and Access", {
  skip: noPlugins,
}, async (t) => {
  const home = await clientProject(t, "pages-plugins");
  const issuer = await startIssuer(t);
  const files: Readonly<Record<string, string>> = {
    "functions/contact/_middleware.ts": `import staticFormsPlugin from "@cloudflare/pages-plugin-static-forms";
      export const onRequest = staticFormsPlugin({
        respondWith: ({ formData, name }) => new Response("Hello, " + formData.get("email") + "! Thank you for submitting the " + name + " form."),
      });`,
    "functions/graphql.ts": `import graphQLPlugin from "@cloudflare/pages-plugin-graphql";
      import { graphql, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
      const schema = new GraphQLSchema({
        query: new GraphQLObjectType({ name: "RootQueryType", fields: { hello: { type: GraphQLString, resolve: () => "Hello, world!" } } }),
      });
      export const onRequest = graphQLPlugin({ schema, graphql });`,
    "functions/blog/_middleware.jsx": `import React from "react";
      import vercelOGPagesPlugin from "@cloudflare/pages-plugin-vercel-og";
      export const onRequest = vercelOGPagesPlugin({
        imagePathSuffix: "/social-image.png",
        component: ({ ogTitle, pathname }) => <div style={{ display: "flex" }}>{ogTitle} {pathname}</div>,
        extractors: {
          on: { 'meta[property="og:title"]': (props) => ({ element(element) { props.ogTitle = element.getAttribute("content"); } }) },
        },
        autoInject: { openGraph: true },
      });`,
    "functions/private/_middleware.js": `import cloudflareAccessPlugin from "@cloudflare/pages-plugin-cloudflare-access";
      export const onRequest = cloudflareAccessPlugin({ domain: "${issuer.domain}", aud: "of-this-app" });`,
    "functions/private/who.js": `export const onRequest = async ({ data: { cloudflareAccess: { JWT } } }) =>
      Response.json({ payload: JWT.payload.email, identity: await JWT.getIdentity() });`,
    "dist/private/index.html": "for some alone",
    "dist/contact/index.html": `<form data-static-form-name="sales"><input name="email"><button>Send</button></form>`,
    "dist/blog/hello-world.html": `<html><head><meta property="og:title" content="Hello"></head><body>post</body></html>`,
    "dist/index.html": "home",
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), content);
  }
  const name = "plugins";
  await create("/pages/projects", { name, production_branch: "main" });
  await platform.wrangler(["pages", "deploy", "dist", "--project-name", name, "--branch", "main", "--commit-dirty"], { cwd: home });

  const form = await get(at(name, "/contact/"));
  assert.match(form.body, /<form data-static-form-name="sales" method="POST">.*<input type="hidden" name="static-form-name" value="sales"/);
  const body = new URLSearchParams({ email: "a@example.com", "static-form-name": "sales" });
  const sent = await get(at(name, "/contact/"), { method: "POST", body });
  assert.equal(sent.body, "Hello, a@example.com! Thank you for submitting the sales form.");

  const query = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ query: "{ hello }" }) };
  assert.deepEqual(JSON.parse((await get(at(name, "/graphql"), query)).body), { data: { hello: "Hello, world!" } });

  const post = await get(at(name, "/blog/hello-world"));
  assert.match(post.body, /<meta property="og:image" content="[^"]*\/blog\/hello-world\/social-image\.png"/);
  const picture = await platform.fetch(at(name, "/blog/hello-world/social-image.png"));
  const bytes = Buffer.from(await picture.arrayBuffer());
  assert.deepEqual([picture.status, picture.headers.get("content-type"), bytes.subarray(1, 4).toString()], [200, "image/png", "PNG"]);
  assert.ok(bytes.length > 1_000);

  // Whoever has no good token gets neither a Function nor a file. (Earlier releases of the plugin answered 403, and the
  // documentation still does; now it sends people to sign in.)
  const asked = (jwt: string | undefined, path = "/private/who") =>
    get(at(name, path), { headers: jwt === undefined ? {} : { "cf-access-jwt-assertion": jwt } });
  const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const past = Math.floor(Date.now() / 1000) - 60;
  const bad = [
    undefined,
    "a.b.c",
    issuer.sign({ aud: ["another"] }),
    issuer.sign({ exp: past }),
    issuer.sign({ iss: "http://other" }),
    issuer.sign({}, stranger),
  ];
  for (const jwt of bad)
    for (const path of ["/private/who", "/private/"]) {
      const refused = await asked(jwt, path);
      assert.deepEqual([refused.status, refused.body], [302, ""], String(jwt));
      assert.ok(refused.header("location")?.startsWith(`${issuer.domain}/cdn-cgi/access/login/`));
    }
  const who = await asked(issuer.sign({ exp: past + 3600 }));
  assert.deepEqual(JSON.parse(who.body), { payload: "a@example.com", identity: { email: "a@example.com", groups: ["admins"] } });
  assert.equal((await asked(issuer.sign({}), "/private/")).body, "for some alone");
});

test("[pages-17] Vectorize, AI, Hyperdrive and Analytics Engine, one Function each", {
  skip: noPostgres || noOpenssl || noDrivers,
}, async (t) => {
  const issue = await certificateMaker();
  const database = await startPostgres(t, { tls: await issue("server", "subjectAltName=DNS:localhost") });
  const { id } = await create("/hyperdrive/configs", { name: "pages", origin: originOf(database) });
  const name = "more-bindings";
  const production = {
    compatibility_date: COMPATIBILITY_DATE,
    compatibility_flags: ["nodejs_compat"],
    hyperdrive_bindings: { HYPERDRIVE: { id } },
    ai_bindings: { AI: { project_id: "" } },
    vectorize_bindings: { INDEX: { index_name: "pages-index" } },
    analytics_engine_datasets: { EVENTS: { dataset: "more_events" } },
  };
  await create("/pages/projects", { name, production_branch: "main", deployment_configs: { production } });
  const home = await clientProject(t, "sql-drivers");
  const files: Readonly<Record<string, string>> = {
    "dist/index.html": "home",
    "functions/hyperdrive.js": `import { Client } from "pg";
      export const onRequest = async ({ env }) => {
        const client = new Client({ connectionString: env.HYPERDRIVE.connectionString });
        await client.connect();
        return Response.json((await client.query("SELECT 40 + $1::int AS sum", [2])).rows);
      };`,
    "functions/ai.js": `export const onRequest = async ({ env }) => Response.json(await env.AI.run("@cf/meta/llama-3.1-8b-instruct", { prompt: "from Pages" }));`,
    "functions/vectorize.js": `export const onRequest = async ({ env }) => {
        await env.INDEX.upsert([{ id: "v", values: [1, 0, 0] }]);
        return Response.json((await env.INDEX.query([1, 0, 0], { topK: 1 })).matches.map(({ id }) => id));
      };`,
    "functions/events.js": `export const onRequest = ({ env }) => { env.EVENTS.writeDataPoint({ blobs: ["from Pages"], doubles: [42] }); return new Response("written"); };`,
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), content);
  }
  await platform.wrangler(["pages", "deploy", "dist", "--project-name", name, "--branch", "main", "--commit-dirty"], { cwd: home });
  assert.deepEqual(JSON.parse((await get(at(name, "/hyperdrive"))).body), [{ sum: 42 }]);
  assert.match(JSON.parse((await get(at(name, "/ai"))).body).response, /from pages/i);
  assert.equal((await get(at(name, "/events"))).body, "written");
  const deadline = Date.now() + 30_000;
  // A change of an index takes effect a little after it was accepted, and so does an event.
  while ((await get(at(name, "/vectorize"))).body !== '["v"]') assert.ok(Date.now() < deadline, "the vector is never found");
  const sql = {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: "SELECT blob1, double1 FROM more_events",
  };
  const rows = async () => JSON.parse((await get(`${platform.ready.api}/accounts/${account}/analytics_engine/sql`, sql)).body).data;
  let found = await rows();
  while (found.length === 0) {
    assert.ok(Date.now() < deadline, "the event is never found");
    found = await rows();
  }
  assert.deepEqual(found, [{ blob1: "from Pages", double1: 42 }]);
});

test("nobody but Pages reaches the Worker of a deployment, or has its files as a binding", async () => {
  const { canonical_deployment: live } = await sdk.pages.projects.get(project, { account_id: account });
  const name = encodeURIComponent(`pages:${project}:${live?.id}`);
  const scripts = `/accounts/${account}/workers/scripts`;
  assert.doesNotMatch(JSON.stringify((await platform.rest("GET", scripts)).body.result), /pages:/);
  for (const [method, path] of [
    ["GET", ""],
    ["GET", "/settings"],
    ["GET", "/versions"],
    ["DELETE", ""],
    ["DELETE", "?force=true"],
    ["GET", "/secrets"],
  ] as const) {
    const answer = await platform.rest(method, `${scripts}/${name}${path}`);
    assert.equal(answer.status, 404, `${method} ${path}`);
  }
  const upload = async (script: string, binding: object) => {
    const form = new FormData();
    form.set("metadata", JSON.stringify({ main_module: "index.js", compatibility_date: COMPATIBILITY_DATE, bindings: [binding] }));
    form.set(
      "index.js",
      new File(["export default { fetch: () => new Response() }"], "index.js", { type: "application/javascript+module" }),
    );
    const answer = await platform.fetch(`${platform.ready.api}${scripts}/${script}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${platform.ready.api_token}` },
      body: form,
    });
    await answer.text();
    return answer.status;
  };
  const plain = { type: "plain_text", name: "A", text: "a" };
  assert.equal(await upload("honest", plain), 200);
  assert.equal(await upload(name, plain), 400);
  assert.equal(await upload("thief", { type: "pages_assets", name: "ASSETS" }), 400);
  assert.equal(await upload("thief", { type: "service", name: "S", service: `pages:${project}:${live?.id}` }), 400);
  assert.equal((await get(site("/date"))).body, "date");
});
