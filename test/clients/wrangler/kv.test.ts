/** KV by wrangler, against the platform as the remote. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after });
const dir = await temporaryDirectory("freehold-wrangler-kv-");

const wrangler = (args: readonly string[], code = 0) => platform.wrangler(args, { cwd: dir, code });
const base = `/accounts/${platform.ready.account_id}/storage/kv/namespaces`;

async function namespace(title: string): Promise<string> {
  return (await platform.rest("POST", base, { title })).body.result.id;
}

test("[kv-18] namespaces are created, listed, renamed and deleted", async () => {
  const created = await wrangler(["kv", "namespace", "create", "wrangler-life"]);
  const id = /"id": "([0-9a-f]{32})"/.exec(created.stdout)?.[1];
  assert(id !== undefined, created.stdout);
  const taken = await wrangler(["kv", "namespace", "create", "wrangler-life"], 1);
  assert.match(taken.stderr + taken.stdout, /A KV namespace with the title "wrangler-life" already exists\./);
  const list = async () => JSON.parse((await wrangler(["kv", "namespace", "list"])).stdout) as { id: string; title: string }[];
  assert.deepEqual(
    (await list()).find((one) => one.id === id),
    { id, title: "wrangler-life", supports_url_encoding: true },
  );
  await wrangler(["kv", "namespace", "rename", "--namespace-id", id, "--new-name", "wrangler-renamed"]);
  assert.equal((await list()).find((one) => one.id === id)?.title, "wrangler-renamed");
  await wrangler(["kv", "namespace", "delete", "--namespace-id", id, "--skip-confirmation"]);
  assert.equal(
    (await list()).find((one) => one.id === id),
    undefined,
  );
});

test("[kv-19] keys are put from text and binary files, read, listed by prefix and deleted", async () => {
  const id = await namespace("wrangler-keys");
  const on = ["--namespace-id", id, "--remote"];
  const image = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) % 256));
  const path = join(dir, "image.bin");
  await writeFile(path, image);
  await wrangler(["kv", "key", "put", "img/logo", ...on, "--path", path]);
  await wrangler(["kv", "key", "put", "ключ с пробелом", "значение", ...on, "--metadata", '{"lang":"ru"}', "--ttl", "3600"]);
  await wrangler(["kv", "key", "put", "img/other", "plain", ...on]);
  assert.equal((await wrangler(["kv", "key", "get", "ключ с пробелом", ...on, "--text"])).stdout.trim(), "значение");
  // Output is text to the harness, so the bytes are compared through a file that the shell writes.
  const copy = join(dir, "copy.bin");
  const script = `wrangler kv key get img/logo --namespace-id ${id} --remote > ${copy}`;
  await platform.exec("sh", ["-c", script], { cwd: dir });
  assert(image.equals(await readFile(copy)));
  const keys = async (...args: string[]) =>
    JSON.parse((await wrangler(["kv", "key", "list", ...on, ...args])).stdout) as { name: string }[];
  assert.deepEqual(await keys("--prefix", "img/"), [{ name: "img/logo" }, { name: "img/other" }]);
  const withExpiry = (await keys()).at(-1) as { name: string; expiration: number; metadata: unknown };
  assert.deepEqual([withExpiry.name, withExpiry.metadata], ["ключ с пробелом", { lang: "ru" }]);
  assert(Math.abs(withExpiry.expiration - Date.now() / 1000 - 3600) < 60);
  await wrangler(["kv", "key", "delete", "img/other", ...on]);
  assert.deepEqual(await keys("--prefix", "img/"), [{ name: "img/logo" }]);
  const absent = await wrangler(["kv", "key", "get", "img/other", ...on], 1);
  assert.match(absent.stderr + absent.stdout, /404/);
});

test("[kv-20] 25,000 pairs are put in three requests, read in bulk and deleted", async () => {
  const id = await namespace("wrangler-bulk");
  const on = ["--namespace-id", id, "--remote"];
  const pairs = Array.from({ length: 25_000 }, (_, i) => ({ key: `key-${String(i).padStart(5, "0")}`, value: `value ${i}` }));
  const file = join(dir, "pairs.json");
  await writeFile(file, JSON.stringify(pairs));
  const put = await wrangler(["kv", "bulk", "put", file, ...on]);
  assert.match(put.stdout, /Uploaded 40% \(10,000 out of 25,000\)[\s\S]*Uploaded 100% \(25,000 out of 25,000\)[\s\S]*Success!/);
  const listed: string[] = [];
  for await (const key of platform.sdk().kv.namespaces.keys.list(id, { account_id: platform.ready.account_id })) listed.push(key.name);
  assert.deepEqual(
    listed,
    pairs.map((pair) => pair.key),
  );
  const some = join(dir, "some.json");
  await writeFile(some, JSON.stringify(["key-00000", { name: "key-24999" }, "nothing"]));
  const got = JSON.parse((await wrangler(["kv", "bulk", "get", some, ...on])).stdout);
  assert.deepEqual(got, { "key-00000": "value 0", "key-24999": "value 24999", nothing: null });
  const names = join(dir, "names.json");
  await writeFile(names, JSON.stringify(listed));
  assert.match((await wrangler(["kv", "bulk", "delete", names, ...on, "--force"])).stdout, /Success!/);
  assert.deepEqual(JSON.parse((await wrangler(["kv", "key", "list", ...on])).stdout), []);
});
