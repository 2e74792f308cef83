/** Secrets Store by wrangler and the SDK: secrets of the account that Workers bind and nobody reads back. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "secrets_store.secrets_max": 6 } });
const account_id = platform.ready.account_id;
const sdk = platform.sdk();
const idOf = (stdout: string): string => /ID: ([0-9a-f]{32})/.exec(stdout)?.[1] as string;

const reader = (names: readonly string[]): string =>
  `export default { async fetch(request, env) {
     const read = async (name) => { try { return await env[name].get(); } catch (error) { return error.name + ": " + error.message; } };
     return Response.json(await Promise.all(${JSON.stringify(names)}.map(read)));
   } };`;

const first = await platform.wrangler(["secrets-store", "store", "create", "main", "--remote"]);
const store = idOf(first.stdout);

async function create(name: string, value: string, scopes = "workers"): Promise<string> {
  const { stdout } = await platform.wrangler(
    ["secrets-store", "secret", "create", store, "--name", name, "--scopes", scopes, "--comment", "by wrangler", "--remote"],
    { input: value },
  );
  return idOf(stdout);
}

test("wrangler makes a store and a secret, and a Worker reads what it is now", async () => {
  const { stdout } = await platform.wrangler(["secrets-store", "store", "list", "--remote"]);
  assert.match(stdout, new RegExp(`main.*${store}`));
  const secret = await create("API_KEY", "first value ✓");
  const listed = await platform.wrangler(["secrets-store", "secret", "list", store, "--remote"]);
  assert.match(listed.stdout, /API_KEY/);
  assert.doesNotMatch(listed.stdout, /first value/);
  const project = await deployWorker(platform, {
    files: { "index.js": reader(["KEY"]) },
    config: { name: "keyed", secrets_store_secrets: [{ binding: "KEY", store_id: store, secret_name: "API_KEY" }] },
  });
  const read = async () => (await (await platform.fetch(project.url)).json()) as unknown;
  assert.deepEqual(await read(), ["first value ✓"]);
  // No deploy is needed for a new value, for a scope that is withdrawn, or for the end of a secret.
  await platform.wrangler(["secrets-store", "secret", "update", store, "--secret-id", secret, "--value", "second", "--remote"]);
  assert.deepEqual(await read(), ["second"]);
  const at = { account_id, store_id: store };
  await sdk.secretsStore.stores.secrets.edit(secret, { ...at, scopes: ["ai_gateway"] });
  assert.deepEqual(await read(), ['Error: Secret "API_KEY" not found']);
  await sdk.secretsStore.stores.secrets.edit(secret, { ...at, scopes: ["workers"] });
  assert.deepEqual(await read(), ["second"]);
  const copied = await platform.wrangler([
    "secrets-store",
    "secret",
    "duplicate",
    store,
    "--secret-id",
    secret,
    "--name",
    "COPY",
    "--scopes",
    "workers",
    "--remote",
  ]);
  await platform.wrangler(["secrets-store", "secret", "delete", store, "--secret-id", secret, "--remote"]);
  assert.deepEqual(await read(), ['Error: Secret "API_KEY" not found']);
  const copy = await deployWorker(platform, {
    files: { "index.js": reader(["KEY"]) },
    config: { name: "copied", secrets_store_secrets: [{ binding: "KEY", store_id: store, secret_name: "COPY" }] },
  });
  assert.deepEqual(await (await platform.fetch(copy.url)).json(), ["second"], copied.stdout);
  await platform.restart();
  assert.deepEqual(await (await platform.fetch(copy.url)).json(), ["second"]);
});

test("the SDK sees what there is, in the order that it asks for, and never a value", async () => {
  const { secrets } = sdk.secretsStore.stores;
  const body = ["b", "a"].map((name) => ({
    name,
    value: `value-of-${name}`,
    scopes: ["workers" as const],
    comment: name === "a" ? "about alpha" : "",
  }));
  const added = [];
  for await (const secret of secrets.create(store, { account_id, body })) added.push(secret);
  assert.deepEqual(
    added.map(({ name, status }) => [name, status]),
    [
      ["b", "active"],
      ["a", "active"],
    ],
  );
  const names = async (query: object): Promise<string[]> => {
    const found = [];
    for await (const { name } of secrets.list(store, { account_id, ...query })) found.push(name);
    return found;
  };
  assert.deepEqual(await names({ order: "name", direction: "desc", search: "a" }), ["a"]);
  assert.deepEqual((await names({ order: "name", per_page: 1 })).slice(-2), ["a", "b"]);
  const one = await secrets.get(added[1]?.id as string, { account_id, store_id: store });
  assert.doesNotMatch(JSON.stringify([one, added]), /value-of/);
  assert.deepEqual((await sdk.secretsStore.quota.get({ account_id })).secrets, { quota: 6, usage: (await names({})).length });
  for (const { id } of added) await secrets.delete(id, { account_id, store_id: store });
  await assert.rejects(secrets.get(added[0]?.id as string, { account_id, store_id: store }), /secret_not_found/);
});

test("values are sealed on disk, bindings are of secrets for Workers alone, and limits hold", async () => {
  await create("PLAIN", "needle-in-the-data-directory");
  for (const file of await readdir(platform.dir)) {
    if (/sqlite/.test(file)) assert.ok(!(await readFile(join(platform.dir, file))).includes("needle-in-the-data-directory"), file);
  }
  await create("GATEWAY", "x", "ai_gateway");
  for (const secret_name of ["GATEWAY", "NOBODY"]) {
    const project = await workerProject(platform, {
      files: { "index.js": reader(["KEY"]) },
      config: { name: "refused", secrets_store_secrets: [{ binding: "KEY", store_id: store, secret_name }] },
    });
    const { stderr } = await project.wrangler(["deploy"], { code: 1 });
    assert.match(stderr, new RegExp(`has no secret '${secret_name}' with the scope "workers"`));
  }
  const { secrets } = sdk.secretsStore.stores;
  const add = (values: readonly string[]) =>
    secrets.create(store, { account_id, body: values.map((value, i) => ({ name: `new-${i}`, value, scopes: ["workers"] })) });
  await assert.rejects(async () => add(["x".repeat(65_537)]), /must not exceed/);
  await assert.rejects(async () => add(["1", "2", "3", "4", "5"]), /maximum_secrets_exceeded/);
  await add(["x".repeat(65_536)]);
  await assert.rejects(async () => add(["again"]), /secret_name_already_exists/);
  await assert.rejects(sdk.secretsStore.stores.create({ account_id, name: "second" }), /maximum_stores_exceeded/);
  await assert.rejects(sdk.secretsStore.stores.delete(store, { account_id }), /store_not_empty/);
  const stranger = await platform.token(["Workers Scripts Write", "Secrets Store Read"]);
  await assert.rejects(platform.sdk(stranger.value).secretsStore.stores.delete(store, { account_id }), /403/);
  await sdk.secretsStore.stores.delete(store, { account_id, force: true });
  await assert.rejects(sdk.secretsStore.stores.get(store, { account_id }), /store_not_found/);
});
