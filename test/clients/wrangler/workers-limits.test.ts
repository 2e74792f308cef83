/**
 * Limits of one invocation: CPU time and memory, and what a Worker that passes them costs itself and the others. CPU time
 * is what the kernel counts, so that nothing here depends on how busy the machine is.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, uploadedWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform(
  { after },
  {
    config: { "runtime.memory_outside_mb": 256, "runtime.outbound_allow": ["public", "local"], "workers.subrequests": 42 },
  },
);
const account = `/accounts/${platform.ready.account_id}`;

const SPIN = "for (;;) Math.sqrt(2);";

const neighbour = await uploadedWorker(platform, {
  files: { "index.js": `let count = 0; export default { fetch: () => new Response(String(++count)) }` },
  config: { name: "neighbour" },
});
const spinner = await deployWorker(platform, {
  files: {
    "index.js": `const started = [];
      let served = 0;
      export default { async fetch(request, env, ctx) {
        const { pathname } = new URL(request.url);
        if (pathname === "/spin") { ${SPIN} }
        if (pathname === "/turns") for (;;) { const until = performance.now(); for (let i = 0; i < 3e6; i++) Math.sqrt(i); await scheduler.wait(1); }
        if (pathname === "/later") { ctx.waitUntil((async () => { await scheduler.wait(10); ${SPIN} })()); return new Response("answered"); }
        if (pathname === "/work") { for (let i = 0; i < 2e6; i++) Math.sqrt(i); return new Response("worked"); }
        return new Response(String(++served));
      } }`,
  },
  config: { name: "spinner", limits: { cpu_ms: 1000 } },
});

async function get(url: string, init: Parameters<typeof platform.fetch>[1] = {}) {
  const response = await platform.fetch(url, init);
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** A live tail of a Worker; `next` is the trace of its next invocation that passes. */
async function tail(name: string): Promise<{ next(outcome: string): Promise<Record<string, unknown>>; close(): void }> {
  const { body } = await platform.rest("POST", `${account}/workers/scripts/${name}/tails`, { filters: [] });
  const socket = platform.webSocket(body.result.url as string, ["trace-v1"]);
  const traces: Record<string, unknown>[] = [];
  socket.on("message", (data) => traces.push(JSON.parse(String(data))));
  await once(socket, "open");
  return {
    async next(outcome) {
      for (const signal = AbortSignal.timeout(20_000); ; await once(socket, "message", { signal })) {
        const at = traces.findIndex((trace) => trace.outcome === outcome);
        if (at >= 0) return traces.splice(at, 1)[0] as Record<string, unknown>;
      }
    },
    close: () => socket.close(),
  };
}

const pidOf = (name: string): unknown =>
  platform.log.findLast((line) => line.msg === "worker.started" && line.worker === name && String(line.process).startsWith("w-"))?.pid;

/** CPU time of a process's main thread. */
const cpuMs = async (pid: number): Promise<number> => Number((await readFile(`/proc/${pid}/schedstat`, "utf8")).split(" ")[0]) / 1e6;

test("a busy loop past limits.cpu_ms is the page 1102 and the outcome exceededCpu, and ends its own process only", async () => {
  const traces = await tail("spinner");
  assert.equal((await get(neighbour.url)).body, "1");
  assert.equal((await get(spinner.url)).body, "1");
  const answer = await get(`${spinner.url}/spin`, { headers: { accept: "application/problem+json" } });
  assert.equal(answer.status, 503);
  assert.match(answer.headers.get("content-type") as string, /^application\/problem\+json/);
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  assert.deepEqual(
    [problem.type, problem.title, problem.status, problem.error_code, problem.error_name, problem.error_category, problem.cloudflare_error],
    [
      "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1102/",
      "Error 1102: Worker exceeded resource limits",
      503,
      1102,
      "worker_exceeded_resources",
      "worker",
      true,
    ],
  );
  const trace = await traces.next("exceededCpu");
  assert.equal(trace.scriptName, "spinner");
  assert.equal(new URL((trace.event as { request: { url: string } }).request.url).pathname, "/spin");
  assert.equal((trace.exceptions as { message: string }[])[0]?.message, "Worker exceeded CPU time limit.");
  traces.close();
  // A new process, with nothing of the old one's memory; the neighbour's has not been touched.
  assert.equal((await get(spinner.url)).body, "1");
  assert.equal((await get(neighbour.url)).body, "2");
  assert.match((await get(`${spinner.url}/spin`)).body, /<h1>Error 1102<\/h1>/);
});

test("requests that came while another one span are answered by the next process", async () => {
  await get(spinner.url);
  const pid = pidOf("spinner") as number;
  const before = await cpuMs(pid);
  let over = false;
  const guilty = get(`${spinner.url}/spin`).finally(() => {
    over = true;
  });
  while ((await cpuMs(pid)) - before < 50) await new Promise((resolve) => setTimeout(resolve, 10));
  for (let i = 0; i < 10; i++) assert.equal((await get(neighbour.url)).status, 200);
  assert.equal(over, false);
  while ((await cpuMs(pid)) - before < 900) await new Promise((resolve) => setTimeout(resolve, 10));
  const victims = await Promise.all(Array.from({ length: 5 }, () => get(spinner.url)));
  assert.equal((await guilty).status, 503);
  for (const { status, body } of victims) assert.deepEqual([status, Number(body) > 0], [200, true]);
});

test("CPU time counts over all turns of an invocation; work within the limit is let alone, however much of it", async () => {
  assert.equal((await get(`${spinner.url}/turns`)).status, 503);
  const before = pidOf("spinner");
  await get(spinner.url);
  const pid = pidOf("spinner");
  assert.notEqual(pid, before);
  // Together these use several times the limit.
  const answers = await Promise.all(Array.from({ length: 200 }, () => get(`${spinner.url}/work`)));
  assert.deepEqual(new Set(answers.map(({ body }) => body)), new Set(["worked"]));
  assert.equal(pidOf("spinner"), pid);
});

test("a loop after the response has ended is ended too", async () => {
  const pid = pidOf("spinner");
  assert.equal((await get(`${spinner.url}/later`)).body, "answered");
  for (const deadline = Date.now() + 30_000; pidOf("spinner") === pid; ) {
    assert(Date.now() < deadline, "the loop goes on");
    // One that came before the loop cannot be told from its cause.
    assert.match(String((await get(spinner.url)).status), /^(200|503)$/);
  }
});

test("memory outside the heap counts: the page 1102 and the outcome exceededMemory", async () => {
  const hog = await uploadedWorker(platform, {
    files: {
      "index.js": `const kept = []; export default { async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/buffers") for (;;) { kept.push(new Uint8Array(4 << 20).fill(1)); await scheduler.wait(5); }
        if (pathname === "/heap") for (;;) kept.push(new Array(1e5).fill({}));
        if (pathname === "/fits") return new Response(String(new Uint8Array(90 << 20).fill(1).length));
        return new Response("well");
      } }`,
    },
    config: { name: "hog" },
  });
  const traces = await tail("hog");
  assert.equal((await get(`${hog.url}/fits`)).body, String(90 << 20));
  for (const path of ["/buffers", "/heap"]) {
    const answer = await get(`${hog.url}${path}`, { headers: { accept: "application/json" } });
    assert.deepEqual([answer.status, JSON.parse(answer.body).error_code], [503, 1102]);
    const trace = await traces.next("exceededMemory");
    assert.equal((trace.exceptions as { message: string }[])[0]?.message, "Worker exceeded memory limit.");
    assert.equal((await get(hog.url)).body, "well");
  }
  traces.close();
});

test("[durable-objects-48] an object that spins is ended with an exception that its caller sees; its storage stays", async () => {
  const files = {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      export class Counter extends DurableObject {
        async add() { const n = ((await this.ctx.storage.get("n")) ?? 0) + 1; await this.ctx.storage.put("n", n); return n; }
        spin() { ${SPIN} }
      }
      export default { async fetch(request, env) {
        const stub = env.COUNTER.getByName("one");
        return new Response(String(await (new URL(request.url).pathname === "/spin" ? stub.spin() : stub.add())));
      } }`,
  };
  const objects = await uploadedWorker(platform, {
    files,
    config: {
      name: "objects",
      limits: { cpu_ms: 300 },
      durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    },
  });
  const caller = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const stub = env.COUNTER.getByName("one");
        try { return new Response(String(await (new URL(request.url).pathname === "/spin" ? stub.spin() : stub.add()))); }
        catch (error) { return new Response("caught " + error.name + ": " + error.message, { status: 210 }); }
      } }`,
    },
    config: { name: "objects-caller", durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter", script_name: "objects" }] } },
  });
  assert.equal((await get(caller.url)).body, "1");
  const caught = await get(`${caller.url}/spin`);
  assert.equal(caught.status, 210);
  assert.match(caught.body, /^caught Error: /);
  assert.equal((await get(caller.url)).body, "2");
  // The object's own Worker is in its process, and ends with it.
  assert.equal((await get(`${objects.url}/spin`)).status, 503);
  assert.equal((await get(objects.url)).body, "3");
});

test("a top level that takes longer than the startup limit is refused with 10021, and the old deployment serves on", async () => {
  const project = await workerProject(platform, {
    files: { "index.js": `export default { fetch: () => new Response("old") }` },
    config: { name: "slow-starter" },
  });
  await project.deploy();
  await project.write({ "index.js": `${SPIN} export default { fetch: () => new Response("new") }` });
  const { stderr, stdout } = await project.wrangler(["deploy"], { code: 1 });
  assert.match(stderr + stdout, /Script startup exceeded CPU time limit\. \[code: 10021\]/);
  assert.equal((await get(project.url)).body, "old");
});

test("[workers-16] a caller cannot be deployed before what it binds; the 33rd invocation of a chain throws", async () => {
  const caller = await workerProject(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const url = new URL(request.url);
        const depth = Number(url.searchParams.get("depth") ?? 1);
        url.searchParams.set("depth", String(depth + 1));
        try { return await env.OTHER.fetch(url); } catch (error) { return Response.json({ depth, error: error.message }); }
      } }`,
    },
    config: { name: "ping", services: [{ binding: "OTHER", service: "pong" }] },
  });
  const refused = await caller.wrangler(["deploy"], { code: 1 });
  assert.match(
    refused.stderr + refused.stdout,
    /Could not resolve service binding 'OTHER'. Target script 'pong' not found. \[code: 10143\]/,
  );
  const target = await uploadedWorker(platform, {
    files: { "index.js": `export default { fetch: () => new Response("alone") }` },
    config: { name: "pong" },
  });
  await caller.deploy();
  assert.equal(await (await platform.fetch(caller.url)).text(), "alone");
  // Now each binds the other: a class here, an object there.
  await target.write({
    "index.js": `import { WorkerEntrypoint } from "cloudflare:workers";
      export default class extends WorkerEntrypoint {
        greet() { return "hello from " + this.constructor.name; }
        async fetch(request) {
          const url = new URL(request.url);
          if (url.pathname === "/greet") return new Response(this.greet());
          url.searchParams.set("depth", String(Number(url.searchParams.get("depth")) + 1));
          return this.env.OTHER.fetch(new Request(url));
        }
      }`,
    "wrangler.json": JSON.stringify({
      name: "pong",
      main: "index.js",
      compatibility_date: "2026-11-01",
      services: [{ binding: "OTHER", service: "ping" }],
    }),
  });
  await target.deploy();
  const { depth, error } = (await (await platform.fetch(caller.url)).json()) as { depth: number; error: string };
  // The 32nd invocation is the other's: the innermost that can catch its exception is the 31st.
  assert.equal(depth, 31);
  assert.doesNotMatch(error, /undefined/);
  assert.match(await (await platform.fetch(`${target.url}/greet`)).text(), /^hello from /);
  // Many chains at once are counted each for itself.
  const chains = await Promise.all(Array.from({ length: 8 }, async () => (await platform.fetch(caller.url)).json()));
  assert.deepEqual(new Set(chains.map((chain) => (chain as { depth: number }).depth)), new Set([31]));
});

test("limits.subrequests counts what one invocation calls, and the next begins anew; a loop by host name is 1019", async () => {
  const { id } = (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title: "counted" })).body.result as { id: string };
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const outcome = { via: request.headers.get("cf-ew-via"), calls: 0 };
        try { for (;;) { await (outcome.calls % 2 ? env.KV.get("x") : env.NEIGHBOUR.fetch("http://n/")); outcome.calls++; } }
        catch (error) { return Response.json({ ...outcome, error: error.message }); }
      } }`,
    },
    config: {
      name: "counted",
      limits: { subrequests: 7 },
      kv_namespaces: [{ binding: "KV", id }],
      services: [{ binding: "NEIGHBOUR", service: "neighbour" }],
    },
  });
  for (const via of [null, "4"]) {
    const seen = (await (await platform.fetch(project.url, { headers: { ...(via && { "cf-ew-via": via }) } })).json()) as Record<
      string,
      unknown
    >;
    assert.deepEqual([seen.via, seen.calls], [via, 7]);
    assert.match(seen.error as string, /^Too many subrequests by single Worker invocation\./);
  }
  const looped = await get(project.url, { headers: { "cf-ew-via": "-1", accept: "application/json" } });
  assert.deepEqual([looped.status, JSON.parse(looped.body).error_code], [508, 1019]);
  assert.equal(JSON.parse((await get(project.url, { headers: { "cf-ew-via": "99" } })).body).via, null);
  assert.equal((await get(`${project.url}/?${"x".repeat(16 * 1024)}`)).status, 414);
  assert.equal((await get(project.url, { headers: { "x-long": "x".repeat(130 * 1024) } })).status, 431);
});

test("without a limit of its own a Worker has the platform's; six connections at a time wait for answers, others for them", async () => {
  let [held, most] = [[] as (() => void)[], 0];
  const upstream = createServer((_request, response) => {
    held.push(() => response.end("answered"));
    most = Math.max(most, held.length);
    if (held.length < 6) return;
    const full = held;
    held = [];
    for (const answer of full) answer();
  }).listen(0, "127.0.0.1");
  after(() => upstream.close());
  await once(upstream, "listening");
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
      const declared = new WeakSet();
      export class Caller extends DurableObject {
        async calls() {
          let calls = 0;
          try { for (;; calls++) await this.env.NEIGHBOUR.fetch("http://n/"); } catch {}
          return [calls, declared.has(this.calls)];
        }
      }
      declared.add(Caller.prototype.calls);
      class Handlers {
        #stub = (env) => env.CALLER.get(env.CALLER.idFromName("one"));
        async fetch(request, env) {
          const { pathname, searchParams } = new URL(request.url);
          if (pathname === "/object") return Response.json(await this.#stub(env).calls());
          const answers = Array.from({ length: Number(searchParams.get("n")) }, () => fetch(searchParams.get("to")));
          const settled = await Promise.allSettled(answers.map(async (answer) => (await answer).text()));
          return Response.json(settled.map(({ value, reason }) => value ?? reason.message));
        }
      }
      export default new Handlers();`,
    },
    config: {
      name: "connecting",
      services: [{ binding: "NEIGHBOUR", service: "neighbour" }],
      durable_objects: { bindings: [{ name: "CALLER", class_name: "Caller" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Caller"] }],
    },
  });
  const to = `to=http://127.0.0.1:${(upstream.address() as AddressInfo).port}/`;
  assert.deepEqual(JSON.parse((await get(`${project.url}/?n=18&${to}`)).body), Array(18).fill("answered"));
  assert.equal(most, 6);
  const many = JSON.parse((await get(`${project.url}/?n=44&${to}`)).body) as string[];
  assert.deepEqual(many.slice(0, 42), Array(42).fill("answered"));
  for (const refused of many.slice(42)) assert.match(refused, /^Too many subrequests/);
  assert.deepEqual(JSON.parse((await get(`${project.url}/object`)).body), [42, true]);
});

test("a routed Worker that fetches another by its host name is told 1042, with the flag gets its answer; a loop of those ends", async () => {
  const code = `export default { async fetch(request) {
    const to = new URL(request.url).searchParams.get("to");
    const answer = await fetch(to, { headers: { accept: request.headers.get("accept") ?? "text/html" } });
    return new Response(answer.body, { status: answer.status, headers: { "content-type": answer.headers.get("content-type") ?? "" } });
  } }`;
  await platform.rest("POST", "/zones", { name: "asker.example", account: { id: platform.ready.account_id } });
  const routes = [{ pattern: "asker.example/*", zone_name: "asker.example" }];
  const asker = await deployWorker(platform, { files: { "index.js": code }, config: { name: "asker", workers_dev: true, routes } });
  const via = (url: string) => `${asker.url}/?to=${encodeURIComponent(url)}`;
  const page = await get(via(neighbour.url));
  assert.equal(page.status, 404);
  assert.match(page.body, /<h1>Error 1042<\/h1>[\s\S]*error code: 1042/);
  const json = await get(via("https://neighbour.dev.workers.dev/"), { headers: { accept: "application/json" } });
  assert.deepEqual([json.status, JSON.parse(json.body).error_code], [404, 1042]);
  // Itself: it has no origin behind it.
  assert.equal((await get(via(asker.url))).status, 500);

  const open = await uploadedWorker(platform, {
    files: { "index.js": code },
    config: { name: "open", compatibility_flags: ["global_fetch_strictly_public"] },
  });
  const answer = await get(`${open.url}/?to=${encodeURIComponent(neighbour.url)}`);
  assert.equal(answer.status, 200);
  assert.match(answer.body, /^\d+$/);
  const looping = await uploadedWorker(platform, {
    files: { "index.js": `export default { fetch: (request) => fetch(request) }` },
    config: { name: "looping", compatibility_flags: ["global_fetch_strictly_public"] },
  });
  const looped = await get(looping.url, { headers: { accept: "application/json" } });
  assert.deepEqual([looped.status, JSON.parse(looped.body).error_code], [508, 1019]);
});

test("past the day's requests Workers answer 1027, also after a restart", async (t) => {
  const limited = await startPlatform(t, { config: { "workers.daily_requests": 3 } });
  const { url } = await uploadedWorker(limited, {
    files: { "index.js": `export default { fetch: () => new Response("served") }` },
    config: { name: "few" },
  });
  for (let i = 0; i < 3; i++) assert.equal((await limited.fetch(url)).status, 200);
  const html = await limited.fetch(url, { headers: { accept: "text/html" } });
  assert.equal(html.status, 429);
  assert.match(await html.text(), /Error 1027/);
  await limited.restart();
  const json = await limited.fetch(limited.host("workers", { worker: "few", subdomain: "dev" }), {
    headers: { accept: "application/json" },
  });
  assert.deepEqual([json.status, ((await json.json()) as { error_code: number }).error_code], [429, 1027]);
});

test("Workers that never answer, answer twice, leak streams or recurse get 1101, and serve on in the same process", async () => {
  const hostile = await uploadedWorker(platform, {
    files: {
      "index.js": `let kept, sent; const leaked = [];
        const recurse = (n) => recurse(n + 1) + 1;
        export default { async fetch(request) {
          switch (new URL(request.url).pathname) {
            case "/never": return new Promise(() => {});
            case "/twice": return (kept ??= new Response("one answer"));
            case "/nothing": return undefined;
            case "/recurse": return new Response(String(recurse(0)));
            case "/broken": return new Response(new ReadableStream({ pull() { throw new Error("broken stream"); } }));
            case "/stream": return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(20); if (sent) throw new Error("broken stream"); c.enqueue(new Uint8Array(1024)); sent = true; } }));
            case "/leak": {
              // Neither read nor written nor closed, some with a reader for ever.
              for (let i = 0; i < 50; i++) { const { readable } = new TransformStream(); leaked.push(readable, readable.getReader()); }
              const { readable, writable } = new TransformStream();
              void writable.getWriter().write(new Uint8Array(10));
              return new Response(readable);
            }
            default: return new Response("well");
          }
        } }`,
    },
    config: { name: "hostile" },
  });
  assert.equal((await get(hostile.url)).body, "well");
  const pid = pidOf("hostile");
  const json = { headers: { accept: "application/json" } };
  assert.equal((await get(`${hostile.url}/twice`)).body, "one answer");
  for (const path of ["/never", "/twice", "/nothing", "/recurse", "/broken"]) {
    const { status, body } = await get(`${hostile.url}${path}`, json);
    assert.deepEqual([path, status, JSON.parse(body).error_code, JSON.parse(body).error_name], [path, 500, 1101, "worker_threw_exception"]);
  }
  // Its head is sent before it breaks: the connection is cut, so that nobody takes it for whole.
  await assert.rejects(get(`${hostile.url}/stream`));
  for (let i = 0; i < 20; i++) {
    const leaking = await platform.fetch(`${hostile.url}/leak`);
    assert.equal(leaking.status, 200);
    await leaking.body?.cancel();
  }
  assert.equal((await get(hostile.url)).body, "well");
  assert.equal(pidOf("hostile"), pid);
});
