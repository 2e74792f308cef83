/** Alarms whose handler never ends: their number of tries is bounded, and other alarms of the Worker come to their turn. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const noLongTests = process.env.FREEHOLD_LONG === undefined && "takes two minutes of nothing else; FREEHOLD_LONG=1 runs it";

test("an alarm that spins is ended by its limit, tried again six times, and given up", { skip: noLongTests }, async () => {
  const platform = await startPlatform({ after });
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Timed extends DurableObject {
          async set(spins, inMs) { await this.ctx.storage.put("spins", spins); await this.ctx.storage.setAlarm(Date.now() + inMs); }
          async alarm() {
            if (await this.ctx.storage.get("spins")) for (;;) Math.sqrt(2);
            await this.ctx.storage.put("fired", true);
          }
          async fired() { return (await this.ctx.storage.get("fired")) ?? false; }
        }
        export default { async fetch(request, env) {
          const [, name, method, ...args] = new URL(request.url).pathname.split("/");
          return Response.json((await env.Timed.getByName(name)[method](...args.map(JSON.parse))) ?? null);
        } };`,
    },
    config: {
      name: "timed",
      limits: { cpu_ms: 200 },
      durable_objects: { bindings: [{ name: "Timed", class_name: "Timed" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Timed"] }],
    },
  });
  const ask = async (path: string): Promise<unknown> => (await platform.fetch(`${project.url}/${path}`)).json();
  await ask("good/set/false/3000");
  await ask("bad/set/true/1000");
  const lines = (event: string): number => platform.log.filter(({ msg }) => msg === event).length;
  while (lines("alarm.given_up") === 0) await delay(500);
  // Once by itself, and as often as it was tried again.
  assert(lines("worker.died") >= 7 && lines("worker.died") <= 8, JSON.stringify(platform.log));
  while (!(await ask("good/fired"))) await delay(100);
  assert.equal(await ask("bad/fired"), false);
  await ask("bad/set/false/100");
  while (!(await ask("bad/fired"))) await delay(100);
});
