/** wrangler's commands around a Worker as people type them, with the flags that change what is sent. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const scripts = `/accounts/${platform.ready.account_id}/workers/scripts`;

const project = await workerProject(platform, {
  files: {
    "index.js": `import { label } from "label";
      export default { fetch: (request, env) => Response.json({ label, mode: MODE, ...env }) };`,
    "real.js": `export const label = "aliased";`,
  },
  config: { name: "commands", vars: { GREETING: "hello" }, triggers: { crons: ["*/5 * * * *"] }, observability: { enabled: true } },
});
const build = ["--alias", "label:./real.js", "--define", 'MODE:"fast"'];
const answer = async (): Promise<unknown> => (await platform.fetch(project.url)).json();
const versionId = (stdout: string): string => /Version ID: ([0-9a-f-]{36})/.exec(stdout)?.[1] ?? assert.fail(stdout);

await project.deploy([...build, "--var", "LEVEL:from-flag", "--tag", "one", "--message", "the first", "--minify"]);

test("deploy --dry-run builds and sends nothing; --alias, --define, --var, --tag and --message do what they say", async () => {
  const count = async () => (await platform.rest("GET", `${scripts}/commands/versions`)).body.result.items.length;
  const before = await count();
  await project.wrangler(["deploy", ...build, "--dry-run", "--outdir", "out"]);
  assert.match(await readFile(join(project.dir, "out", "index.js"), "utf8"), /aliased/);
  assert.equal(await count(), before);
  assert.deepEqual(await answer(), { label: "aliased", mode: "fast", GREETING: "hello", LEVEL: "from-flag" });
  const { stdout } = await project.wrangler(["versions", "list", "--json"]);
  const [first] = JSON.parse(stdout);
  assert.deepEqual([first.annotations["workers/tag"], first.annotations["workers/message"]], ["one", "the first"]);
});

test("deploy --keep-vars keeps what the config does not have, --secrets-file adds secrets, --latest takes today's date", async () => {
  await project.write({ ".secrets": "FROM_FILE=kept secret\n" });
  await project.wrangler(["deploy", ...build, "--keep-vars", "--secrets-file", ".secrets", "--latest"]);
  assert.deepEqual(await answer(), {
    label: "aliased",
    mode: "fast",
    GREETING: "hello",
    LEVEL: "from-flag",
    FROM_FILE: "kept secret",
  });
  await project.wrangler(["deploy", ...build]);
  assert.deepEqual(Object.keys((await answer()) as object).sort(), ["FROM_FILE", "GREETING", "label", "mode"], "secrets stay, vars go");
});

test("versions secret put, bulk and delete make versions that wait for their deployment", async () => {
  const serving = await answer();
  await project.wrangler(["versions", "secret", "put", "NEXT"], { input: "soon" });
  await project.write({ "bulk.json": JSON.stringify({ A: "1", B: "2", FROM_FILE: null }) });
  await project.wrangler(["versions", "secret", "bulk", "bulk.json", "--message", "in bulk"]);
  const { stdout } = await project.wrangler(["versions", "secret", "delete", "B"]);
  assert.deepEqual(await answer(), serving, "nothing of it serves");

  const latest = await project.wrangler(["versions", "secret", "list", "--latest-version"]);
  assert.match(latest.stdout, /\(0%\) secrets --\nSecret Name: NEXT\nSecret Name: A\n\n/);
  const deployed = await project.wrangler(["versions", "secret", "list"]);
  assert.match(deployed.stdout, /\(100%\) secrets --\nSecret Name: FROM_FILE\n\n/);
  const refused = await project.wrangler(["secret", "put", "TOKEN"], { input: "x", code: 1 });
  assert.match(refused.stderr, /the latest version of your Worker isn't currently deployed/);

  const made = /Created version ([0-9a-f-]{36})/.exec(stdout)?.[1] as string;
  await project.wrangler(["versions", "deploy", `${made}@100%`, "-y"]);
  assert.deepEqual(await answer(), { label: "aliased", mode: "fast", GREETING: "hello", NEXT: "soon", A: "1" });
});

test("a patch of the latest version changes secrets alone", async () => {
  const latest = `/accounts/${platform.ready.account_id}/workers/workers/commands/versions/latest`;
  const patch = async (body: unknown) => (await platform.rest("PATCH", latest, body)).body.errors[0]?.code;
  assert.equal(await patch({ env: { GREETING: { type: "secret_text", text: "taken" } } }), 10053);
  assert.equal(await patch({ env: { GREETING: null } }), 10053, "a variable is not deleted as a secret");
  assert.equal(await patch({ env: { BIG: { type: "secret_text", text: "x".repeat(5121) } } }), 10054);
  assert.equal((await platform.rest("PATCH", latest, { env: { X: { type: "plain_text", text: "x" } } })).status, 400);
  assert.equal((await platform.rest("PATCH", latest, { env: {}, main_module: "other.js" })).status, 400);
  const other = await platform.token(["Workers Scripts Read"]);
  assert.equal((await platform.rest("PATCH", latest, { env: {} }, other.value)).status, 403);
  assert.deepEqual(await answer(), { label: "aliased", mode: "fast", GREETING: "hello", NEXT: "soon", A: "1" });
});

test("init --from-dash writes a project of what is deployed, which deploys as the same", async () => {
  const before = await answer();
  // create-cloudflare, to which wrangler would hand over, calls it in this way.
  await project.wrangler(["init", "--from-dash", "commands", "-y", "--no-delegate-c3"]);
  const config = JSON.parse(await readFile(join(project.dir, "commands", "wrangler.jsonc"), "utf8"));
  assert.deepEqual(
    [config.main, config.vars, config.triggers, config.observability, config.workers_dev],
    ["src/index.js", { GREETING: "hello" }, { crons: ["*/5 * * * *"] }, { enabled: true }, true],
  );
  await project.wrangler(["deploy", "-c", "commands/wrangler.jsonc"]);
  assert.deepEqual(await answer(), before);
});

test("triggers deploy, rollback without a version, and the listings for people", async () => {
  const path = join(project.dir, "wrangler.json");
  const config = JSON.parse(await readFile(path, "utf8"));
  await project.write({ "wrangler.json": JSON.stringify({ ...config, triggers: { crons: ["7 * * * *"] } }) });
  const triggers = await project.wrangler(["triggers", "deploy"]);
  assert.match(triggers.stdout, /schedule: 7 \* \* \* \*/);
  const { schedules } = (await platform.rest("GET", `${scripts}/commands/schedules`)).body.result;
  assert.deepEqual(
    schedules.map(({ cron }: { cron: string }) => cron),
    ["7 * * * *"],
  );

  const { deployments } = (await platform.rest("GET", `${scripts}/commands/deployments`)).body.result;
  const undone = await project.wrangler(["rollback", "-y", "-m", "undo"]);
  const rolled = versionId(undone.stdout);
  assert.equal(rolled, deployments[1].versions[0].version_id);
  const status = await project.wrangler(["deployments", "status"]);
  assert.match(status.stdout, new RegExp(`Message: +undo[\\s\\S]*\\(100%\\) ${rolled}`));
  const view = await project.wrangler(["versions", "view", rolled]);
  assert.match(view.stdout, /Handlers: +fetch/);
  assert.match(view.stdout, /Secret Name: +NEXT/);
});

test("check startup and types need no account; delete --dry-run deletes nothing; whoami knows the token", async () => {
  await project.write({ "index.js": "export default { fetch: (request, env) => Response.json(env) };" });
  const check = await project.wrangler(["check", "startup"]);
  assert.match(check.stdout, /CPU Profile/i);
  await project.wrangler(["types", "--include-runtime=false"]);
  assert.match(await readFile(join(project.dir, "worker-configuration.d.ts"), "utf8"), /GREETING: "hello";/);
  await project.wrangler(["delete", "--dry-run"]);
  assert.equal((await platform.fetch(project.url)).status, 200);
  assert.match((await project.wrangler(["whoami"])).stdout, new RegExp(platform.ready.account_id));
});

test("commands name a Worker that is not there", async () => {
  for (const args of [
    ["tail", "absent"],
    ["delete", "absent", "--force"],
  ]) {
    const { stdout, stderr } = await project.wrangler(args, { code: 1 });
    assert.match(stdout + stderr, /does not exist|not found/i, args.join(" "));
  }
});

test("handlers count wherever they are: of a named object beside an empty default, and on a class's instance", async () => {
  const files = {
    "index.js": "class App { fetch() { return new Response('instance'); } } export default new App();",
  };
  const instance = await workerProject(platform, { files, config: { name: "instance" } });
  await instance.deploy();
  assert.equal(await (await platform.fetch(instance.url)).text(), "instance");
  await instance.write({ "index.js": "export const named = { fetch: () => new Response('named') }; export default {};" });
  await instance.deploy();
  await instance.write({ "index.js": "export const settings = { depth: 1 }; export default {};" });
  const refused = await instance.wrangler(["deploy"], { code: 1 });
  assert.match(refused.stderr, /No event handlers were registered.*\[code: 10068\]/s);
});

test("a service Worker has its older bindings: Wasm, text and data as globals", async () => {
  const config = { name: "older", wasm_modules: { ADD: "add.wasm" }, text_blobs: { TEXT: "text.txt" }, data_blobs: { DATA: "data.bin" } };
  // (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
  const wasm = Buffer.from("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b", "hex");
  const files = {
    "index.js": `const { add } = new WebAssembly.Instance(ADD).exports;
      addEventListener("fetch", (event) => event.respondWith(Response.json([add(2, 3), TEXT, DATA.byteLength])));`,
    "add.wasm": wasm,
    "text.txt": "plain",
    "data.bin": "1234",
  };
  const older = await workerProject(platform, { files, config });
  await older.deploy();
  assert.deepEqual(await (await platform.fetch(older.url)).json(), [5, "plain", 4]);
});
