/** Classes by the declarative `exports` of wrangler's configuration: what each is to be, instead of steps. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { COMPATIBILITY_DATE, type WorkerProject, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

const worker = (...classes: string[]): string => `import { DurableObject } from "cloudflare:workers";
  ${classes
    .map(
      (name) => `export class ${name} extends DurableObject {
        async count() { const n = ((await this.ctx.storage.get("n")) ?? 0) + 1; await this.ctx.storage.put("n", n); return n; }
        sql() { try { return this.ctx.storage.sql.databaseSize > 0; } catch { return false; } }
      }`,
    )
    .join("\n")}
  export default { async fetch(request, env) {
    const stub = env[new URL(request.url).pathname.slice(1)].getByName("x");
    return Response.json([await stub.count(), await stub.sql()]);
  } };`;

const config = (name: string, classes: readonly string[], exports: Record<string, object>) => ({
  name,
  main: "index.js",
  compatibility_date: COMPATIBILITY_DATE,
  durable_objects: { bindings: classes.map((one) => ({ name: one, class_name: one })) },
  exports: Object.fromEntries(Object.entries(exports).map(([one, entry]) => [one, { type: "durable-object", ...entry }])),
});

const sqlite = { storage: "sqlite" };

interface Options {
  readonly name?: string;
  /** Bindings, when they are not to the classes of the code. */
  readonly bound?: readonly string[];
  readonly code?: number;
}

const projects = new Map<string, WorkerProject>();
async function deploy(classes: readonly string[], exports: Record<string, object>, options: Options = {}): Promise<string> {
  const { name = "declared", bound = classes, code = 0 } = options;
  const known = projects.get(name);
  const settings = config(name, bound, exports);
  const project = known ?? (await workerProject(platform, { files: { "index.js": worker() }, config: settings }));
  projects.set(name, project);
  await project.write({ "index.js": worker(...classes), "wrangler.json": JSON.stringify(settings) });
  const { stdout, stderr } = code === 0 ? await project.deploy() : await project.wrangler(["deploy"], { code });
  return stdout + stderr;
}
/** The same by REST: the answer's text. */
async function upload(classes: readonly string[], exports: Record<string, object>, options: Options = {}): Promise<string> {
  const { name = "declared", bound = classes, code = 0 } = options;
  const { main, exports: declared, compatibility_date, durable_objects } = config(name, bound, exports);
  const bindings = durable_objects.bindings.map((one) => ({ type: "durable_object_namespace", ...one }));
  const form = new FormData();
  form.append("metadata", JSON.stringify({ main_module: main, compatibility_date, bindings, exports: declared }));
  form.append(main, new Blob([worker(...classes)], { type: "application/javascript+module" }), main);
  const path = `/client/v4/accounts/${platform.ready.account_id}/workers/scripts/${name}`;
  const headers = { authorization: `Bearer ${platform.ready.api_token}` };
  const response = await platform.fetch(path, { method: "PUT", headers, body: form });
  const text = await response.text();
  assert.equal(response.status, code === 0 ? 200 : 400, text);
  if (code === 1) assert.equal(JSON.parse(text).errors[0].code, 100402);
  return text;
}
const ask = async (className: string, name = "declared") =>
  (await (await platform.fetch(`${projects.get(name)?.url}/${className}`)).json()) as [number, boolean];

test("classes are created, renamed with their objects and deleted as `exports` declare, and a declaration that is done is told", async () => {
  assert.match(await deploy(["Counter", "Spare"], { Counter: sqlite, Spare: sqlite }), /Created: Counter, Spare/);
  assert.deepEqual(await ask("Counter"), [1, true]);
  // The same again changes nothing.
  assert.match(await upload(["Counter", "Spare"], { Counter: sqlite, Spare: sqlite }), /"created":\[\],"updated":\[\]/);
  assert.deepEqual(await ask("Counter"), [2, true]);

  // What is refused is told by its names, all of it at once, and changes nothing.
  const wrong = { Counter: { storage: "legacy-kv" }, Plain: { storage: "legacy-kv" }, Absent: sqlite };
  const told = await deploy(["Counter", "Spare", "Plain"], wrong, { bound: ["Counter"], code: 1 });
  assert.match(told, /reconciliation failed[\s\S]*\[storage_type_mismatch\] class 'Counter'/);
  assert.match(told, /\[invalid_export\] class 'Plain'/);
  const missing = await upload(["Counter"], { Counter: sqlite, Absent: sqlite }, { code: 1 });
  assert.match(missing, /"Absent","scenario":"config_references_nonexistent_class".*"Spare","scenario":"orphaned_provisioned_namespace"/);
  const still = await upload(["Counter", "Spare"], { Spare: { state: "deleted" } }, { bound: [], code: 1 });
  assert.match(
    still,
    /"Spare","scenario":"tombstone_delete_class_still_in_code".*"Counter","scenario":"provisioned_class_missing_from_config"/,
  );

  const second = { Counter: { state: "renamed", renamed_to: "Tally" }, Tally: sqlite, Spare: { state: "deleted" } };
  const renamed = await deploy(["Tally"], second);
  assert.match(renamed, /Deleted: Spare/);
  assert.match(renamed, /Renamed: Counter → Tally/);
  assert.deepEqual(await ask("Tally"), [3, true]);
  assert.match(await deploy(["Tally"], second), /\[stale_tombstone\] Counter[\s\S]*Safe to remove from `exports`: Counter, Spare/);
  assert.deepEqual(await ask("Tally"), [4, true]);
});

test("a class goes to another Worker with its objects when that one expects it, and bindings to it go along", async () => {
  const expecting = { Widget: { state: "expecting-transfer", storage: "sqlite", transfer_from: "giver" } };
  const given = { Widget: { state: "transferred", transferred_to: "taker" } };
  const giver = { name: "giver" };
  const taker = { name: "taker", bound: [] };
  await deploy(["Widget"], { Widget: sqlite }, giver);
  assert.deepEqual(await ask("Widget", "giver"), [1, true]);
  const refused = (text: string, scenario: string): void => assert.match(text, new RegExp(`"Widget","scenario":"${scenario}"`));
  refused(await upload(["Widget"], given, { ...giver, code: 1 }), "transferred_target_missing");
  const nobody = { Widget: { ...expecting.Widget, transfer_from: "nobody" } };
  refused(await upload(["Widget"], nobody, { ...taker, code: 1 }), "phase_one_transfer_source_missing");

  assert.match(await deploy(["Widget"], expecting, taker), /Transfer pending: Widget ← giver/);
  assert.deepEqual(await ask("Widget", "giver"), [2, true]);
  // What is expected no more is not given.
  await upload(["Other"], { Other: sqlite }, taker);
  refused(await upload(["Widget"], given, { ...giver, code: 1 }), "transferred_pending_not_found");
  await upload(["Widget", "Other"], { ...expecting, Other: sqlite }, taker);

  const committed = await deploy(["Widget"], given, giver);
  assert.match(committed, /Transferred \(committed\): Widget → taker[\s\S]*\[tombstone_class_still_in_code\] Widget/);
  // The giver's own binding leads to the objects where they are now.
  assert.deepEqual(await ask("Widget", "giver"), [3, true]);
  await upload(["Widget", "Other"], { ...expecting, Other: sqlite }, { name: "taker", bound: ["Widget"] });
  assert.deepEqual(await ask("Widget", "taker"), [4, true]);
  assert.match(await upload([], given, { ...giver, bound: [] }), /"removable_entries":\["Widget"\]/);
  const elsewhere = { Widget: { ...expecting.Widget, transfer_from: "declared" }, Other: sqlite };
  refused(await upload(["Widget", "Other"], elsewhere, { ...taker, code: 1 }), "phase_one_transfer_after_commit_mismatch");
  assert.deepEqual(await ask("Widget", "taker"), [5, true]);
});
