/** Workers by the official SDK: upload, settings, versions, deployments, secrets, schedules, subdomain, tails, errors. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import Cloudflare, { toFile } from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const client = platform.sdk();
const account = { account_id: platform.ready.account_id };
const { scripts } = client.workers;

const module = (body: string) =>
  toFile(Buffer.from(`export default { fetch: (request, env) => new Response(${body}), scheduled() {} };`), "index.js", {
    type: "application/javascript+module",
  });

async function upload(name: string, body: string, metadata: object = {}) {
  return scripts.update(name, {
    ...account,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01", ...metadata } as never,
    files: { "index.js": await module(body) } as never,
  });
}

const fetchText = async (name: string): Promise<string> =>
  (await platform.fetch(platform.host("workers", { worker: name, subdomain: "dev" }))).text();

async function code(work: Promise<unknown>): Promise<[number, number | undefined]> {
  try {
    await work;
  } catch (error) {
    assert(error instanceof Cloudflare.APIError, String(error));
    return [error.status as number, (error.errors as { code?: number }[])[0]?.code];
  }
  assert.fail("no error");
}

test("upload, settings, subdomain, list and delete", async () => {
  const uploaded = await upload("by-sdk", "env.A", { bindings: [{ type: "plain_text", name: "A", text: "one" }] });
  assert.equal(uploaded.id, "by-sdk");
  assert.deepEqual(uploaded.handlers, ["fetch", "scheduled"]);
  assert.equal((await platform.fetch(platform.host("workers", { worker: "by-sdk", subdomain: "dev" }))).status, 404);
  await scripts.subdomain.create("by-sdk", { ...account, enabled: true });
  assert.deepEqual(await scripts.subdomain.get("by-sdk", account), { enabled: true, previews_enabled: true });
  assert.equal(await fetchText("by-sdk"), "one");
  const settings = await scripts.scriptAndVersionSettings.get("by-sdk", account);
  assert.deepEqual(settings.bindings, [{ type: "plain_text", name: "A", text: "one" }] as never);
  const listed: string[] = [];
  for await (const script of scripts.list(account)) listed.push(script.id as string);
  assert(listed.includes("by-sdk"));
  await scripts.settings.edit("by-sdk", { ...account, logpush: true, tags: ["team:a"] });
  assert.deepEqual((await scripts.settings.get("by-sdk", account)).tags, ["team:a"]);
  // A change of what a version has keeps its code, and what it does not name.
  const bindings = [{ type: "plain_text" as const, name: "A", text: "two" }];
  const changed = await scripts.scriptAndVersionSettings.edit("by-sdk", { ...account, settings: { bindings } });
  assert.deepEqual([changed.bindings, changed.compatibility_date, changed.tags], [bindings, "2026-11-01", ["team:a"]]);
  assert.equal(await fetchText("by-sdk"), "two");
  await scripts.scriptAndVersionSettings.edit("by-sdk", { ...account, settings: { limits: { cpu_ms: 50 } } as never });
  const kept = await scripts.scriptAndVersionSettings.get("by-sdk", account);
  assert.deepEqual([kept.bindings, kept.limits, kept.logpush], [bindings, { cpu_ms: 50 }, true]);
  await scripts.delete("by-sdk", account);
  assert.deepEqual(await code(scripts.settings.get("by-sdk", account)), [404, 10007]);
});

test("secrets, schedules, versions and deployments", async () => {
  await upload("managed", "env.S ?? 'none'");
  await scripts.subdomain.create("managed", { ...account, enabled: true });
  await scripts.secrets.update("managed", { ...account, name: "S", text: "sealed", type: "secret_text" });
  assert.equal(await fetchText("managed"), "sealed");
  const names: string[] = [];
  for await (const secret of scripts.secrets.list("managed", account)) names.push(secret.name);
  assert.deepEqual(names, ["S"]);
  await scripts.secrets.delete("S", { ...account, script_name: "managed" });
  assert.equal(await fetchText("managed"), "none");
  await scripts.schedules.update("managed", { ...account, body: [{ cron: "0 0 1 1 *" }] });
  assert.deepEqual(
    (await scripts.schedules.get("managed", account)).schedules.map((s) => s.cron),
    ["0 0 1 1 *"],
  );
  const version = await scripts.versions.create("managed", {
    ...account,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01" } as never,
    files: { "index.js": await module("'version two'") } as never,
  });
  assert.equal(await fetchText("managed"), "none");
  await scripts.deployments.create("managed", {
    ...account,
    strategy: "percentage",
    versions: [{ percentage: 100, version_id: version.id as string }],
  });
  assert.equal(await fetchText("managed"), "version two");
  const fetched = await scripts.versions.get(version.id as string, { ...account, script_name: "managed" });
  assert.deepEqual(fetched.resources.script?.handlers, ["fetch", "scheduled"]);
  const tail = await scripts.tail.create("managed", account);
  assert.match(tail.url, /^ws:\/\/tail\./);
  await scripts.tail.delete(tail.id, { ...account, script_name: "managed" });
});

test("refusals carry the documented codes and change nothing", async () => {
  await upload("refusing", "'good'");
  await scripts.subdomain.create("refusing", { ...account, enabled: true });
  assert.deepEqual(await code(upload("Not A Name", "1")), [400, 10016]);
  assert.deepEqual(await code(upload("refusing", "1", { main_module: "missing.js" })), [400, 10021]);
  assert.deepEqual(await code(upload("refusing", "1", { compatibility_date: "2099-01-01" })), [400, 10021]);
  assert.deepEqual(await code(upload("refusing", "1", { bindings: [{ type: "plain_text", text: "x" }] })), [400, 10052]);
  assert.deepEqual(
    await code(upload("refusing", "1", { bindings: [{ type: "plain_text", name: "A", text: "x".repeat(5121) }] })),
    [400, 10054],
  );
  assert.deepEqual(
    await code(
      upload("refusing", "1", { bindings: Array.from({ length: 129 }, (_, i) => ({ type: "plain_text", name: `V${i}`, text: "x" })) }),
    ),
    [400, 10055],
  );
  assert.deepEqual(await code(upload("refusing", "1", { bindings: [{ type: "inherit", name: "GONE" }] })), [400, 10057]);
  assert.deepEqual(await code(upload("refusing", "1", { bindings: [{ type: "teleport", name: "T" }] })), [501, 10501]);
  const version = "00000000-0000-0000-0000-000000000000";
  const deploy = (versions: { percentage: number; version_id: string }[]) =>
    scripts.deployments.create("refusing", { ...account, strategy: "percentage", versions });
  assert.equal((await code(deploy([{ percentage: 100, version_id: version }])))[0], 404);
  assert.equal((await code(deploy([{ percentage: 50, version_id: version }])))[0], 400);
  const read = platform.sdk((await platform.token(["Workers Scripts Read"])).value);
  assert.equal((await code(read.workers.scripts.delete("refusing", account)))[0], 403);
  const none = platform.sdk((await platform.token(["Workers KV Storage Write"])).value);
  assert.equal((await code(none.workers.scripts.settings.get("refusing", account)))[0], 403);
  assert.equal(await fetchText("refusing"), "good");
});

test("an upload over the size limit is refused", async () => {
  const small = await startPlatform({ after }, { config: { "workers.script_max_bytes": 10_000 } });
  const name = "large";
  const form = { ...account, account_id: small.ready.account_id };
  const work = small.sdk().workers.scripts.update(name, {
    ...form,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01" } as never,
    files: { "index.js": await module(JSON.stringify("x".repeat(20_000))) } as never,
  });
  assert.deepEqual(await code(work), [413, 10027]);
});
