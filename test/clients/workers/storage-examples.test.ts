/** Worker examples of the storage products' documentation that use an npm package or a browser. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { CreateBucketCommand, GetObjectCommand, PutBucketCorsCommand } from "@aws-sdk/client-s3";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { projectRoot, startPlatform } from "../../harness/platform.ts";
import { workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

test("[kv-27] a Worker serves an image, a page and a script that wrangler put into a namespace", async () => {
  const base = `/accounts/${platform.ready.account_id}/storage/kv/namespaces`;
  const { id } = (await platform.rest("POST", base, { title: "assets" })).body.result;
  const source = `
    const types = { png: "image/png", html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8" };
    export default {
      async fetch(request, env) {
        if (request.method !== "GET") return new Response("Method Not Allowed", { status: 405 });
        const key = new URL(request.url).pathname.replace(/^\\/+/, "");
        const value = await env.assets.get(key, "arrayBuffer");
        if (!value) return new Response("Not found", { status: 404 });
        return new Response(value, { headers: { "content-type": types[key.split(".").pop()] } });
      },
    };`;
  const config = { name: "kv-assets", kv_namespaces: [{ binding: "assets", id }] };
  const project = await workerProject(platform, { files: { "index.js": source }, config });
  await project.deploy();
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64");
  const files = { "logo.png": png, "index.html": Buffer.from("<h1>Grüße</h1>"), "app.js": Buffer.from("console.log(1)") };
  for (const [name, bytes] of Object.entries(files)) {
    await writeFile(join(project.dir, name), bytes);
    await project.wrangler(["kv", "key", "put", name, "--path", name, "--namespace-id", id, "--remote"]);
    const answer = await platform.fetch(`${project.url}/${name}`);
    assert.equal(answer.status, 200);
    assert(Buffer.from(await answer.arrayBuffer()).equals(bytes), name);
  }
  assert.equal((await platform.fetch(`${project.url}/logo.png`)).headers.get("content-type"), "image/png");
  assert.equal((await platform.fetch(`${project.url}/nothing.png`)).status, 404);
  assert.equal((await platform.fetch(`${project.url}/logo.png`, { method: "POST" })).status, 405);
});

test("[r2-18] a page uploads to a URL that a Worker signed with aws4fetch, and to no other", { skip: noBrowser }, async (t) => {
  const s3 = platform.s3();
  await s3.send(new CreateBucketCommand({ Bucket: "signed" }));
  const CORSRules = [{ AllowedMethods: ["PUT", "GET"], AllowedOrigins: ["*"], AllowedHeaders: ["*"] }];
  await s3.send(new PutBucketCorsCommand({ Bucket: "signed", CORSConfiguration: { CORSRules } }));
  const source = `
    import { AwsClient } from "aws4fetch";
    export default {
      async fetch(request, env) {
        const { pathname, searchParams } = new URL(request.url);
        if (pathname === "/") return new Response("<title>upload</title>", { headers: { "content-type": "text/html" } });
        // What aws4fetch knows by itself of the real service's host name alone.
        const scope = { service: "s3", region: "auto" };
        const r2 = new AwsClient({ accessKeyId: env.R2_ACCESS_KEY_ID, secretAccessKey: env.R2_SECRET_ACCESS_KEY, ...scope });
        const url = new URL(env.ENDPOINT + "/signed/image.png");
        url.searchParams.set("X-Amz-Expires", searchParams.get("expires") ?? "3600");
        const signed = await r2.sign(new Request(url, { method: searchParams.get("method") }), { aws: { signQuery: true } });
        return Response.json({ url: signed.url });
      },
    };`;
  const { endpoint, access_key_id, secret_access_key } = platform.ready.s3;
  const vars = { ENDPOINT: endpoint, R2_ACCESS_KEY_ID: access_key_id, R2_SECRET_ACCESS_KEY: secret_access_key };
  const project = await workerProject(platform, { files: { "index.js": source }, config: { name: "signer", vars } });
  // Where wrangler's bundler looks for packages.
  await writeFile(
    join(project.dir, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { paths: { aws4fetch: [join(projectRoot, "node_modules/aws4fetch/dist/aws4fetch.esm.mjs")] } } }),
  );
  await project.deploy();
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(project.url);
  const inPage = (method: string, alter: (url: URL) => void = () => {}, query = "") =>
    platform
      .fetch(`${project.url}/sign?method=${method}${query}`)
      .then((answer) => answer.json() as Promise<{ url: string }>)
      .then(({ url }) => {
        const altered = new URL(url);
        alter(altered);
        return page.evaluate(
          async ([target, verb]) => {
            const answer = await fetch(target as string, { method: verb as string, ...(verb === "PUT" && { body: "bytes of an image" }) });
            return { status: answer.status, text: await answer.text() };
          },
          [altered.href, method],
        );
      });
  assert.equal((await inPage("PUT")).status, 200);
  const stored = await s3.send(new GetObjectCommand({ Bucket: "signed", Key: "image.png" }));
  assert.equal(await stored.Body?.transformToString(), "bytes of an image");
  assert.deepEqual(await inPage("GET"), { status: 200, text: "bytes of an image" });
  const other = await inPage("GET", (url) => {
    url.pathname = "/signed/other.png";
  });
  assert.deepEqual([other.status, /SignatureDoesNotMatch/.test(other.text)], [403, true]);
  const asPut = await inPage("PUT", (url) => url.searchParams.set("X-Amz-Expires", "604800"));
  assert.equal(asPut.status, 403);
});
