/** Many objects with rows and alarms through a kill, and a copy of the data directory that is opened in another place. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { after, test } from "node:test";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
/** A number that BATCH divides. */
const OBJECTS = Number(process.env.FREEHOLD_OBJECTS ?? 600);
const BATCH = 200;

const many = await uploadedWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      export class Many extends DurableObject {
        async make(n, at) {
          const { sql } = this.ctx.storage;
          sql.exec("CREATE TABLE row (n INTEGER, fired INTEGER DEFAULT 0)");
          sql.exec("INSERT INTO row (n) VALUES (?)", n);
          await this.ctx.storage.setAlarm(at);
        }
        alarm() { this.ctx.storage.sql.exec("UPDATE row SET fired = fired + 1"); }
        state() { return [this.ctx.id.toString(), ...this.ctx.storage.sql.exec("SELECT n, fired FROM row").raw().toArray().flat()]; }
      }
      export default { async fetch(request, env) {
        const [, what, from, to, at] = new URL(request.url).pathname.split("/").map((part, i) => (i < 2 ? part : Number(part)));
        return Response.json(await Promise.all(Array.from({ length: to - from }, (_, i) => {
          const stub = env.Many.getByName("object " + (from + i));
          return what === "make" ? stub.make(from + i, at) : stub.state();
        })));
      } };`,
  },
  config: {
    name: "many",
    durable_objects: { bindings: [{ name: "Many", class_name: "Many" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Many"] }],
  },
});

type State = [id: string, n: number, fired: number];

async function pass(on: TestPlatform, what: string, at = 0): Promise<State[]> {
  const host = on.host("workers", { worker: "many", subdomain: "" }).replace(/^(https?:\/\/)[^:/]*/, `$1${new URL(many.url).hostname}`);
  const states: State[] = [];
  for (let from = 0; from < OBJECTS; from += BATCH) {
    const response = await on.fetch(`${new URL(host).origin}/${what}/${from}/${from + BATCH}/${at}`);
    assert.equal(response.status, 200);
    states.push(...((await response.json()) as State[]));
  }
  return states;
}

test(`${OBJECTS} objects with a row and an alarm: a kill loses none, every alarm fires, and a copied data directory has them all`, async (t) => {
  const due = Date.now() + 8_000;
  await pass(platform, "make", due);
  await platform.kill9();
  await platform.restart();
  const numbers = Array.from({ length: OBJECTS }, (_, n) => n);
  let states: State[] = [];
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(1_000, due + 1_000 - Date.now())));
    states = await pass(platform, "state");
    if (states.every(([, , fired]) => fired > 0)) break;
  }
  assert.deepEqual(
    states.map(([, n]) => n),
    numbers,
  );
  assert.deepEqual(
    states.filter(([, , fired]) => fired < 1),
    [],
  );
  await platform.stop();
  const dir = await temporaryDirectory("freehold-copy-");
  await cp(platform.dir, dir, { recursive: true });
  const copy = await startPlatform(t, { dir });
  // Ids and rows are the same: what wrote them knows nothing of the place.
  assert.deepEqual(await pass(copy, "state"), states);
});
