/** Calls that an object refuses because it has too many in hand, or got too many in a short time. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform(
  { after },
  { config: { "durable_objects.calls_max": 20, "durable_objects.calls_per_10_s_max": 300, "runtime.memory_outside_mb": 256 } },
);

const objects = (...names: string[]) => ({
  durable_objects: { bindings: names.map((name) => ({ name, class_name: name })) },
  migrations: [{ tag: "v1", new_sqlite_classes: names }],
});

interface Outcome {
  readonly answered: number;
  readonly refused: Readonly<Record<string, number>>;
  /** Every refusal bore the flag, and no other error did. */
  readonly flagged: boolean;
}

/** A Worker that floods the object of its binding SLOW by RPC or fetch, and tells what came of the calls. */
const flooding = `async function flood(env, name, calls, way) {
    const stub = env.Slow.getByName(name);
    const refused = {};
    let answered = 0, flagged = true;
    await Promise.all(Array.from({ length: calls }, async () => {
      try { way === "fetch" ? await (await stub.fetch("http://slow/")).text() : await stub[way](); answered++; }
      catch (error) {
        refused[error.message] = (refused[error.message] ?? 0) + 1;
        if (error.overloaded !== error.message.startsWith("Durable Object is overloaded.")) flagged = false;
      }
    }));
    return { answered, refused, flagged };
  }
  export default { async fetch(request, env) {
    const [, name, calls, way] = new URL(request.url).pathname.split("/");
    return Response.json(await flood(env, name, Number(calls), way));
  } };`;

const source = `import { DurableObject } from "cloudflare:workers";
  class Base extends DurableObject { async inherited() { await scheduler.wait(1_000); } }
  export class Slow extends Base {
    async work() { await scheduler.wait(1_000); }
    quick() {}
    async fetch() { await scheduler.wait(1_000); return new Response("done"); }
  }
  ${flooding}`;

const outcome = async (url: string): Promise<Outcome> => (await (await platform.fetch(url)).json()) as Outcome;
const QUEUED = "Durable Object is overloaded. Too many requests queued.";
const WINDOW = "Durable Object is overloaded. Too many requests for the same object within a 10 second window.";

test("[durable-objects-43] a flood of a slow object is refused with the documented errors, flagged as overloaded", async () => {
  // The first date with RPC: what the platform adds to classes must not need anything newer.
  const project = await uploadedWorker(platform, {
    files: { "index.js": source },
    config: { name: "slow", compatibility_date: "2024-04-03", ...objects("Slow") },
  });
  for (const way of ["work", "inherited", "fetch"]) {
    const flood = await outcome(`${project.url}/${way}/60/${way}`);
    assert.deepEqual(flood, { answered: 20, refused: { [QUEUED]: 40 }, flagged: true }, way);
    // Once its calls are answered the object takes others, and another object never refused any.
    assert.deepEqual(await outcome(`${project.url}/${way}/20/${way}`), { answered: 20, refused: {}, flagged: true });
  }
  assert.deepEqual(await outcome(`${project.url}/other/20/work`), { answered: 20, refused: {}, flagged: true });
  const burst = await outcome(`${project.url}/burst/400/quick`);
  assert.deepEqual(burst, { answered: 300, refused: { [WINDOW]: 100 }, flagged: true });

  const borrower = await uploadedWorker(platform, {
    files: { "index.js": flooding },
    config: { name: "borrowing", durable_objects: { bindings: [{ name: "Slow", class_name: "Slow", script_name: "slow" }] } },
  });
  assert.deepEqual(await outcome(`${borrower.url}/far/60/work`), { answered: 20, refused: { [QUEUED]: 40 }, flagged: true });
});

test("what stands before an object is not in it: its class's own functions, and no call of what is not a method", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Plain extends DurableObject {
          #secret = 7;
          field = () => "an instance's own";
          get secret() { return this.#secret; }
          method() { return this.#secret; }
          same() { return this.method === Plain.prototype.method && this instanceof Plain; }
        }
        export default { async fetch(request, env) {
          const stub = env.Plain.getByName("a");
          const refused = await stub.field().catch((error) => error.message);
          return Response.json([await stub.same(), await stub.method(), await stub.secret, refused]);
        } };`,
    },
    config: { name: "plain", ...objects("Plain") },
  });
  const refused = 'The RPC receiver does not implement the method "field".';
  assert.deepEqual(await (await platform.fetch(project.url)).json(), [true, 7, 7, refused]);
});

test("a process that idle objects fill is replaced by another, and no call fails", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        let process;
        export class Large extends DurableObject {
          ballast = new Uint8Array(8 * 2 ** 20).fill(1);
          async add() { const n = ((await this.ctx.storage.get("n")) ?? 0) + 1; await this.ctx.storage.put("n", n); return { n, process }; }
        }
        let first;
        export default { async fetch(request, env) {
          first ??= Date.now();
          process ??= crypto.randomUUID();
          const [, name] = new URL(request.url).pathname.split("/");
          return Response.json(name === "age" ? Date.now() - first : await env.Large.getByName(name).add());
        } };`,
    },
    config: { name: "large", ...objects("Large") },
  });
  async function ask<T>(name: string): Promise<T> {
    const response = await platform.fetch(`${project.url}/${name}`);
    const body = await response.text();
    assert.equal(response.status, 200, body);
    return JSON.parse(body) as T;
  }
  // What fills a process in its first seconds is at work.
  while ((await ask<number>("age")) < 3_500) await delay(50);
  const processes = new Map<string, number>();
  for (let i = 0; processes.size < 2; i++) {
    assert(i < 200, "1.6 GB of objects are in one process");
    const { n, process } = await ask<{ n: number; process: string }>(`object-${i}`);
    assert.equal(n, 1);
    processes.set(process, i);
  }
  // What the objects of the first process stored is there.
  assert.equal((await ask<{ n: number }>("object-0")).n, 2);
});
