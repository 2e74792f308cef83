/** Preview URLs of versions, by id and by alias, and the header that asks for a deployed version. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noCurl } from "../../harness/programs.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const code = (text: string) => `export default { fetch() { return new Response(${JSON.stringify(text)}); } };`;

const get = async (url: string, headers: Record<string, string> = {}): Promise<string> => {
  const response = await platform.fetch(url, { headers });
  const text = await response.text();
  return response.status === 200 ? text : String(response.status);
};

/** What wrangler printed, as a URL of the gateway, which the same name reaches without TLS. */
function previewOf(stdout: string, label = "Version Preview URL"): string {
  const host = new RegExp(`${label}: https://(\\S+)`).exec(stdout)?.[1];
  assert(host !== undefined, stdout);
  return `http://${host}:${new URL(platform.ready.gateway).port}`;
}

test("[workers-31] versions upload prints a URL that serves only that version", { skip: noCurl }, async () => {
  const project = await deployWorker(platform, { files: { "index.js": code("one") }, config: { name: "pre-viewed" } });
  await project.write({ "index.js": code("two") });
  const second = previewOf((await project.wrangler(["versions", "upload"])).stdout);
  await project.write({ "index.js": code("three") });
  const upload = await project.wrangler(["versions", "upload", "--preview-alias", "next-one"]);
  const third = previewOf(upload.stdout);
  const alias = previewOf(upload.stdout, "Version Preview Alias URL");
  assert.deepEqual([await get(project.url), await get(second), await get(third), await get(alias)], ["one", "two", "three", "three"]);
  await project.write({ "index.js": code("four") });
  await project.wrangler(["versions", "upload", "--preview-alias", "next-one"]);
  assert.deepEqual([await get(third), await get(alias), await get(project.url)], ["three", "four", "one"]);
  // The printed URL, as a client under `freehold exec` opens it.
  const printed = /Version Preview URL: (https:\S+)/.exec(upload.stdout)?.[1] as string;
  assert.equal((await platform.exec("curl", ["-sS", printed])).stdout, "three");
  for (const name of ["00000000", "other-alias"]) assert.equal(await get(project.url.replace("//", `//${name}-`)), "404");
  await project.write({
    "wrangler.json": JSON.stringify({
      name: "pre-viewed",
      main: "index.js",
      compatibility_date: "2026-11-01",
      preview_urls: false,
      workers_dev: true,
    }),
  });
  await project.deploy();
  assert.deepEqual([await get(third), await get(alias), await get(project.url)], ["404", "404", "four"]);
});

test("a Worker that implements Durable Objects has no preview URLs", async () => {
  const objects = `import { DurableObject } from "cloudflare:workers"; export class A extends DurableObject {} ${code("objects")}`;
  const project = await deployWorker(platform, {
    files: { "index.js": objects },
    config: {
      name: "unpreviewed",
      durable_objects: { bindings: [{ name: "A", class_name: "A" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["A"] }],
    },
  });
  const { stdout } = await project.wrangler(["versions", "upload"]);
  assert.doesNotMatch(stdout, /Preview URL/);
  const id = /Worker Version ID: ([0-9a-f]{8})/.exec(stdout)?.[1] as string;
  assert.equal(await get(project.url.replace("//", `//${id}-`)), "404");
});

test("Cloudflare-Workers-Version-Overrides chooses a version of the deployment, and none besides", async () => {
  const project = await workerProject(platform, { files: { "index.js": code("old") }, config: { name: "overridden" } });
  const first = /Current Version ID: (\S+)/.exec((await project.deploy()).stdout)?.[1] as string;
  await project.write({ "index.js": code("new") });
  const second = /Worker Version ID: (\S+)/.exec((await project.wrangler(["versions", "upload"])).stdout)?.[1] as string;
  const ask = (id: string) => get(project.url, { "Cloudflare-Workers-Version-Overrides": `other="x", overridden="${id}"` });
  assert.equal(await ask(second), "old");
  await project.wrangler(["versions", "deploy", `${first}@99%`, `${second}@1%`, "-y"]);
  for (let i = 0; i < 5; i++) assert.deepEqual([await ask(second), await ask(first)], ["new", "old"]);
});
