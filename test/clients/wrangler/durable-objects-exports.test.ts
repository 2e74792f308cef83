/** Classes by the declarative `exports` of wrangler's configuration: what each is to be, instead of steps. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { COMPATIBILITY_DATE, workerProject } from "../../harness/worker-project.ts";

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

const config = (classes: readonly string[], exports: Record<string, object>) => ({
  name: "declared",
  durable_objects: { bindings: classes.map((name) => ({ name, class_name: name })) },
  exports: Object.fromEntries(Object.entries(exports).map(([name, entry]) => [name, { type: "durable-object", ...entry }])),
});

const sqlite = { storage: "sqlite" };

const project = await workerProject(platform, { files: { "index.js": worker() }, config: config([], {}) });

async function deploy(classes: readonly string[], exports: Record<string, object>, code = 0): Promise<string> {
  const settings = { main: "index.js", compatibility_date: COMPATIBILITY_DATE, ...config(classes, exports) };
  await project.write({ "index.js": worker(...classes), "wrangler.json": JSON.stringify(settings) });
  const { stdout, stderr } = code === 0 ? await project.deploy() : await project.wrangler(["deploy"], { code });
  return stdout + stderr;
}
const ask = async (name: string) => (await (await platform.fetch(`${project.url}/${name}`)).json()) as [number, boolean];

test("classes are created, renamed with their objects and deleted as `exports` declare, and a declaration that is done is told", async () => {
  const first = { Counter: sqlite, Plain: { storage: "legacy-kv" } };
  assert.match(await deploy(["Counter", "Plain"], first), /Created: Counter, Plain/);
  assert.deepEqual(await ask("Counter"), [1, true]);
  assert.deepEqual(await ask("Plain"), [1, false]);
  // The same again changes nothing.
  assert.doesNotMatch(await deploy(["Counter", "Plain"], first), /reconciliation/);
  assert.deepEqual(await ask("Counter"), [2, true]);

  // What is refused changes nothing either.
  const other = { Counter: sqlite, Plain: sqlite };
  assert.match(await deploy(["Counter", "Plain"], other, 1), /exports\.Plain: the storage of an existing class cannot be changed/);
  await deploy(["Counter", "Plain"], { Counter: sqlite, Plain: { state: "deleted" } }, 1);
  const elsewhere = { Counter: sqlite, Plain: { state: "transferred", transferred_to: "elsewhere" } };
  assert.match(await deploy(["Counter"], elsewhere, 1), /use `migrations`/);
  assert.deepEqual(await ask("Plain"), [2, false]);

  const second = { Counter: { state: "renamed", renamed_to: "Tally" }, Tally: sqlite, Plain: { state: "deleted" } };
  const renamed = await deploy(["Tally"], second);
  assert.match(renamed, /Deleted: Plain/);
  assert.match(renamed, /Renamed: Counter → Tally/);
  assert.deepEqual(await ask("Tally"), [3, true]);
  assert.match(await deploy(["Tally"], second), /Safe to remove from `exports`: Counter, Plain/);
  assert.deepEqual(await ask("Tally"), [4, true]);
});
