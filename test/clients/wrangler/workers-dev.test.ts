/** `wrangler dev` against the platform: code that runs here (`--remote`), and bindings that lead here (`remote: true`). */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { fetch } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { openTerminal, type Terminal } from "../../harness/terminal.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}`;

/** Where `wrangler dev` listens, once it does. */
async function ready(terminal: Terminal): Promise<string> {
  const [, port] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
  return `http://127.0.0.1:${port}`;
}

const versions = async (name: string): Promise<unknown[]> =>
  (await platform.rest("GET", `${account}/workers/scripts/${name}/versions`)).body.result.items;

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) assert.ok(Date.now() < deadline, "it does not come true");
}

const dev = ["wrangler", "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"];

test("[workers-55] wrangler dev --remote runs the code here and reloads it on save", async (t) => {
  const code = (text: string) =>
    `export default { async fetch(request, env) {
       console.log("asked for " + new URL(request.url).pathname);
       return Response.json({ text: "${text}", secret: env.SECRET, url: request.url, colo: request.cf.colo, token: request.headers.get("cf-workers-preview-token") });
     } };`;
  const project = await deployWorker(platform, { files: { "index.js": code("deployed") }, config: { name: "remote-dev" } });
  await project.wrangler(["secret", "put", "SECRET"], { input: "of the deployed Worker" });
  await project.write({ "index.js": code("first") });
  const terminal = openTerminal(t, platform, [...dev, "--remote"], { cwd: project.dir });
  const url = await ready(terminal);
  const ask = async () => (await (await fetch(`${url}/page`)).json()) as Record<string, string>;
  const first = await ask();
  assert.deepEqual(first, {
    text: "first",
    secret: "of the deployed Worker",
    url: "https://remote-dev.dev.workers.dev/page",
    colo: "FRE",
    token: null,
  });
  await terminal.expect("asked for /page");
  await project.write({ "index.js": code("saved") });
  await terminal.expect("Detected changes, restarted server.");
  await until(async () => (await ask()).text === "saved");
  // The deployed Worker is what it was, and the preview no version of it.
  const deployed = (await (await platform.fetch(`${project.url}/page`)).json()) as Record<string, string>;
  assert.equal(deployed.text, "deployed");
  assert.equal((await versions("remote-dev")).length, 2);
});

test("[workers-54, kv-26] wrangler dev with remote bindings reads and writes what is deployed", async (t) => {
  const name = "remote-bindings";
  const sdk = platform.sdk();
  const { id: kv } = await sdk.kv.namespaces.create({ account_id: platform.ready.account_id, title: name });
  const at = { account_id: platform.ready.account_id, namespace_id: kv };
  await platform.rest("POST", `${account}/r2/buckets`, { name });
  const { uuid } = (await platform.rest("POST", `${account}/d1/database`, { name })).body.result as { uuid: string };
  const stream = (await platform.rest("POST", `${account}/pipelines/v1/streams`, { name: "remote_events" })).body.result as { id: string };
  await sdk.kv.namespaces.values.update("deployed", { ...at, value: "by the SDK" });
  await deployWorker(platform, {
    files: {
      "index.js": `import { WorkerEntrypoint } from "cloudflare:workers";
        export default { fetch: (request) => new Response("fetched " + new URL(request.url).pathname) };
        export class Adder extends WorkerEntrypoint { add(a, b) { return a + b; } async each(values, callback) { for (const v of values) await callback(v); return values.length; } }`,
    },
    config: { name: "remote-callee" },
  });
  const project = await workerProject(platform, {
    files: {
      "index.js": `import { EmailMessage } from "cloudflare:email";
      const MIME = "From: <a@example.com>\\r\\nMessage-ID: <1@example.com>\\r\\nSubject: remote\\r\\n\\r\\nText";
      export default { async fetch(request, env) {
        await env.KV.put("local", "by wrangler dev", { metadata: { a: 1 } });
        await env.BUCKET.put("object", "x".repeat(100_000), { customMetadata: { by: "dev" } });
        await env.DB.prepare("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)").run();
        await env.DB.batch([1, 2].map((id) => env.DB.prepare("INSERT INTO t VALUES (?, ?)").bind(id, "row " + id)));
        const seen = [];
        const object = await env.BUCKET.get("object");
        return Response.json({
          read: await env.KV.get("deployed"),
          keys: (await env.KV.list()).keys.map((key) => key.name),
          size: object.size, body: (await object.text()).length,
          rows: (await env.DB.prepare("SELECT text FROM t ORDER BY id").all()).results,
          fetched: await (await env.CALLEE.fetch("http://callee/path")).text(),
          sum: await env.ADDER.add(2, 3), each: await env.ADDER.each([1, 2], (value) => void seen.push(value)), seen,
          sent: await env.EVENTS.send([{ from: "dev" }]), refusal: await env.EVENTS.send("no list").catch((error) => error.message),
          localOnly: await env.LOCAL.get("deployed"),
          mail: (await env.MAIL.send(new EmailMessage("a@example.com", null, MIME))).messageId,
        });
      } };`,
    },
    config: {
      name,
      kv_namespaces: [
        { binding: "KV", id: kv, remote: true },
        { binding: "LOCAL", id: kv },
      ],
      r2_buckets: [{ binding: "BUCKET", bucket_name: name, remote: true }],
      d1_databases: [{ binding: "DB", database_id: uuid, database_name: name, remote: true }],
      send_email: [{ name: "MAIL", destination_address: "b@example.com", remote: true }],
      pipelines: [{ binding: "EVENTS", stream: stream.id, remote: true }],
      services: [
        { binding: "CALLEE", service: "remote-callee", remote: true },
        { binding: "ADDER", service: "remote-callee", entrypoint: "Adder", remote: true },
      ],
    },
  });
  const terminal = openTerminal(t, platform, dev, { cwd: project.dir });
  const response = await fetch(await ready(terminal));
  const text = await response.text();
  assert.equal(response.status, 200, text + terminal.text());
  assert.deepEqual(JSON.parse(text), {
    read: "by the SDK",
    keys: ["deployed", "local"],
    size: 100_000,
    body: 100_000,
    rows: [{ text: "row 1" }, { text: "row 2" }],
    fetched: "fetched /path",
    sum: 5,
    each: 2,
    seen: [1, 2],
    refusal: "Pipeline.send: records must be an array of JSON-serializable objects",
    localOnly: null,
    mail: "<1@example.com>",
  });
  const value = await sdk.kv.namespaces.values.get("local", at);
  assert.equal(await value.text(), "by wrangler dev");
  const query = await platform.rest("POST", `${account}/d1/database/${uuid}/query`, { sql: "SELECT count(*) AS n FROM t" });
  assert.equal(query.body.result[0].results[0].n, 2);
  const { KeyCount } = await platform.s3().send(new ListObjectsV2Command({ Bucket: name }));
  assert.equal(KeyCount, 1);
  const mails = await platform.rest("GET", `${account}/email/routing/sent`);
  assert.deepEqual([mails.body.result[0].to, mails.body.result[0].subject], [["b@example.com"], "remote"]);
  // Nothing was deployed for it.
  assert.equal((await platform.rest("GET", `${account}/workers/scripts/${name}/settings`)).status, 404);
});

test("wrangler dev --remote on a route of a zone, with static assets and the deployed Worker's objects", async (t) => {
  await platform.rest("POST", "/zones", { name: "shop.example", account: { id: platform.ready.account_id } });
  const code = (text: string) => `import { DurableObject } from "cloudflare:workers";
    export class Counter extends DurableObject { async add() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n; } }
    export default { async fetch(request, env) { return Response.json({ text: "${text}", url: request.url, n: await env.COUNTER.getByName("a").add() }); } };`;
  const project = await deployWorker(platform, {
    files: { "index.js": code("deployed"), "page/index.html": "static" },
    config: {
      name: "zoned",
      workers_dev: true,
      assets: { directory: "page", run_worker_first: ["/app/*"] },
      durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
      routes: [{ pattern: "www.shop.example/*", zone_name: "shop.example" }],
    },
  });
  assert.equal(((await (await platform.fetch(`${project.url}/app/x`)).json()) as { n: number }).n, 1);
  await project.write({ "index.js": code("previewed") });
  const terminal = openTerminal(t, platform, [...dev, "--remote"], { cwd: project.dir });
  const url = await ready(terminal);
  const preview = await (await fetch(`${url}/app/x`)).json();
  // No request of wrangler's own has reached the deployed Worker meanwhile.
  assert.deepEqual(preview, { text: "previewed", url: "https://www.shop.example/app/x", n: 2 });
  assert.equal(await (await fetch(url)).text(), "static");
});
