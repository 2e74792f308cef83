/** Queue consumers that take too long, by the clock and by CPU time; and both sides of a queue in `wrangler dev`. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { projectRoot, startPlatform } from "../../harness/platform.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "workers.event_timeout_ms": 2_000 } });

/** Asks again until the answer satisfies; fails with the last one. */
async function until<T>(ask: () => Promise<T>, is: (answer: T) => boolean, timeoutMs = 60_000): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ; await delay(100)) {
    const answer = await ask();
    if (is(answer)) return answer;
    assert(Date.now() < deadline, JSON.stringify(answer));
  }
}

test("[queues-35] a handler past its wall or CPU time is ended, and its batch is delivered again", async () => {
  for (const name of ["slow", "spinning"])
    await platform.rest("POST", `/accounts/${platform.ready.account_id}/queues`, { queue_name: name });
  const source = `
    import { DurableObject } from "cloudflare:workers";
    export class Notes extends DurableObject {
      note(text) { this.ctx.storage.kv.put("notes", [...(this.ctx.storage.kv.get("notes") ?? []), text]); }
      notes() { return this.ctx.storage.kv.get("notes") ?? []; }
    }
    export default {
      async fetch(request, env) {
        const name = new URL(request.url).pathname.slice(1);
        if (request.method === "POST") { await env[name].send("body"); return new Response("sent"); }
        return Response.json(await env.NOTES.getByName(name).notes());
      },
    };`;
  const owner = await deployWorker(platform, {
    files: { "index.js": source },
    config: {
      name: "limited-producer",
      durable_objects: { bindings: [{ name: "NOTES", class_name: "Notes" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Notes"] }],
      queues: { producers: ["slow", "spinning"].map((queue) => ({ queue, binding: queue })) },
    },
  });
  const consumer = `
    export default { async queue(batch, env) {
      const notes = env.NOTES.getByName(batch.queue);
      const { attempts } = batch.messages[0];
      await notes.note("attempt " + attempts);
      if (attempts > 1) return;
      if (batch.queue === "spinning") for (;;);
      for (let i = 0; i < 100; i++) { await scheduler.wait(200); await notes.note("still here"); }
    } };`;
  for (const queue of ["slow", "spinning"]) {
    await deployWorker(platform, {
      files: { "index.js": consumer },
      config: {
        name: `consumer-${queue}`,
        limits: { cpu_ms: 1_000 },
        durable_objects: { bindings: [{ name: "NOTES", class_name: "Notes", script_name: "limited-producer" }] },
        // On a busy machine a second of CPU time takes longer than several attempts.
        queues: { consumers: [{ queue, max_batch_timeout: 0, max_retries: 100 }] },
      },
    });
  }
  const notes = async (name: string) => (await (await platform.fetch(`${owner.url}/${name}`)).json()) as string[];
  for (const name of ["slow", "spinning"]) await platform.fetch(`${owner.url}/${name}`, { method: "POST" });
  const again = (all: string[]): boolean => all.some((note) => /^attempt [^1]/.test(note));
  const slow = await until(() => notes("slow"), again);
  assert(slow.length >= 3 && slow.length <= 14, JSON.stringify(slow));
  const spinning = await until(() => notes("spinning"), again);
  assert.equal(spinning[0], "attempt 1");
  await delay(1_000);
  assert.deepEqual((await notes("slow")).length, slow.length, "the first handler no longer runs");
});

test("[queues-49] a producer and a consumer run side by side in one `wrangler dev`", { timeout: 120_000 }, async (t) => {
  const project = await workerProject(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) { await env.JOBS.send({ path: new URL(request.url).pathname }); return new Response("sent"); } };`,
      "consumer/index.js": `export default { async queue(batch) { for (const { body } of batch.messages) console.log("consumed " + batch.queue + " " + body.path); } };`,
      "consumer/wrangler.json": JSON.stringify({
        name: "dev-consumer",
        main: "index.js",
        compatibility_date: "2026-11-01",
        queues: { consumers: [{ queue: "jobs", max_batch_timeout: 0 }] },
      }),
    },
    config: { name: "dev-producer", queues: { producers: [{ queue: "jobs", binding: "JOBS" }] } },
  });
  const args = ["bin/freehold.mjs", "exec", "--data", platform.dir, "--", "wrangler", "dev", "-c", join(project.dir, "wrangler.json")];
  const more = [
    "-c",
    join(project.dir, "consumer", "wrangler.json"),
    "--port",
    "0",
    "--inspector-port",
    "0",
    "--persist-to",
    join(project.dir, "state"),
  ];
  const child = spawn(process.execPath, [...args, ...more], {
    cwd: projectRoot,
    env: { ...process.env, CI: "1", NO_COLOR: "1" },
    detached: true,
  });
  const ended = once(child, "exit");
  t.after(async () => {
    process.kill(-(child.pid as number), "SIGKILL");
    await ended;
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  const url = await until(
    async () => /Ready on (http:\S+)/.exec(output)?.[1],
    (found) => found !== undefined,
    60_000,
  ).catch(() => assert.fail(output));
  assert.equal(await (await fetch(`${url}/first`)).text(), "sent");
  await until(
    async () => output,
    (text) => text.includes("consumed jobs /first"),
    30_000,
  );
});
