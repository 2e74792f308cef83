/** Python Workers, deployed by wrangler as the documentation has them. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noPython, pythonInterpreter } from "../../harness/python.ts";
import { workerProject } from "../../harness/worker-project.ts";
import { eventually } from "../pipelines-world.ts";

const platform = await startPlatform({ after });

const ENTRY = `from counters import Counter
from urllib.parse import urlparse
from workers import Response, WorkerEntrypoint, WorkflowEntrypoint
from pyodide.ffi import to_js
import json
import random
import secrets

STARTED_WITH = random.random()

class PythonWorkflowStarter(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do('step1')
        async def step_1():
            print('executing step1')
            return {"n": event.payload.n + 1}

        @step.do('step2')
        async def step_2():
            print('executing step2')
            await self.env.LOG.put("step2", "ran")

        first = await step_1()
        await step_2()
        return {"total": first["n"], "steps": 2}

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlparse(request.url).path
        if path == "/count":
            stub = self.env.COUNTERS.getByName("one")
            return Response(str(await stub.increment()))
        if path == "/raw":
            return await self.env.COUNTERS.getByName("one").fetch(request)
        if path == "/tables":
            try:
                results = await self.env.DB.prepare("PRAGMA table_list").run()
                return Response.json(results)
            except Exception as error:
                return Response.json({"error": "Database query failed"}, status=500)
        if path == "/write":
            await self.env.DB.prepare("CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, name TEXT, age REAL)").run()
            done = await self.env.DB.prepare("INSERT INTO people (name, age) VALUES (?, ?)").bind("Ada", None).run()
            row = await self.env.DB.prepare("SELECT * FROM people").first()
            return Response.json({"changes": done["meta"]["changes"], "row": row})
        if path == "/send":
            await self.env.MY_QUEUE.send(to_js({"url": request.url, "method": request.method, "headers": dict(request.headers)}))
            await self.env.MY_QUEUE.sendBatch(to_js([{"body": "one"}, {"body": "two"}]))
            await self.env.MY_QUEUE.send("later", delaySeconds=1)
            return Response("Sent!")
        if path == "/log":
            listed = await self.env.LOG.list()
            return Response.json({key["name"]: await self.env.LOG.get(key["name"]) for key in listed["keys"]})
        if path == "/workflow":
            instance = await self.env.MY_WORKFLOW.create({"params": {"n": 41}})
            return Response(instance.id)
        if path == "/status":
            instance = await self.env.MY_WORKFLOW.get(request.url.split("?")[1])
            return Response.json(await instance.status())
        if path == "/random":
            return Response.json([secrets.token_hex(8), random.random(), STARTED_WITH])
        if path == "/fail":
            raise ValueError("no such thing")
        if path == "/echo":
            sent = await request.json()
            return Response(json.dumps(sent), status=201, headers={"x-method": request.method, "x-agent": request.headers["User-Agent"]})
        return Response("Hello from " + self.env.GREETING, headers={"content-type": "text/plain"})

    async def scheduled(self, controller, env, ctx):
        ctx.waitUntil(self.note("cron", controller.cron))

    async def note(self, key, value):
        await self.env.LOG.put(key, value)

    async def queue(self, batch):
        for message in batch.messages:
            body = message.body
            await self.env.LOG.put("message " + (body if isinstance(body, str) else body["method"]), str(message.attempts))
            message.ack()
`;

const COUNTERS = `from workers import DurableObject, Response

class Counter(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.sql = ctx.storage.sql
        self.sql.exec("CREATE TABLE IF NOT EXISTS calls(id INTEGER PRIMARY KEY)")

    async def increment(self):
        count = (await self.ctx.storage.get("count") or 0) + 1
        await self.ctx.storage.put("count", count)
        self.sql.exec("INSERT INTO calls DEFAULT VALUES")
        return count

    async def fetch(self, request):
        rows = self.sql.exec("SELECT count(*) AS n FROM calls").one()
        return Response.json({"calls": rows.n, "id": self.ctx.id.toString()})
`;

const queue = "python-queue";
await platform.wrangler(["queues", "create", queue]);
const project = await workerProject(platform, {
  files: { "entry.py": ENTRY, "counters.py": COUNTERS },
  config: {
    name: "python",
    main: "entry.py",
    compatibility_flags: ["python_workers", "python_workflows"],
    vars: { GREETING: "Python" },
    d1_databases: [{ binding: "DB" }],
    kv_namespaces: [{ binding: "LOG" }],
    durable_objects: { bindings: [{ name: "COUNTERS", class_name: "Counter" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    queues: { producers: [{ queue, binding: "MY_QUEUE" }], consumers: [{ queue, max_batch_timeout: 1 }] },
    workflows: [{ name: "python-workflow", binding: "MY_WORKFLOW", class_name: "PythonWorkflowStarter" }],
    triggers: { crons: ["* * * * *"] },
  },
});
await project.deploy();
const get = async (path: string): Promise<Response> => platform.fetch(`${project.url}${path}`);

test("[workers-52] class Default(WorkerEntrypoint) answers, with headers, JSON and status; an exception is an error page", async () => {
  const hello = await get("/");
  assert.equal(await hello.text(), "Hello from Python");
  assert.equal(hello.headers.get("content-type"), "text/plain");
  const echo = await platform.fetch(`${project.url}/echo`, { method: "POST", body: '{"a":[1,null]}', headers: { "user-agent": "tester" } });
  assert.equal(echo.status, 201);
  assert.deepEqual([echo.headers.get("x-method"), echo.headers.get("x-agent"), await echo.json()], ["POST", "tester", { a: [1, null] }]);
  assert.equal((await get("/fail")).status, 500);
  const [first, second] = [await (await get("/random")).json(), await (await get("/random")).json()] as [unknown[], unknown[]];
  assert.notEqual(first[0], second[0]);
  assert.notEqual(first[1], second[1]);
});

test("[durable-objects-57] a Python Durable Object counts, by RPC, by fetch() and in SQL", async () => {
  for (const count of ["1", "2"]) assert.equal(await (await get("/count")).text(), count);
  const { calls, id } = (await (await get("/raw")).json()) as { calls: number; id: string };
  assert.equal(calls, 2);
  assert.match(id, /^[0-9a-f]{64}$/);
});

test("[d1-35] self.env.DB.prepare(…).run() answers with rows as JSON", async () => {
  const { results } = (await (await get("/tables")).json()) as { results: { name: string }[] };
  assert.ok(results.some(({ name }) => name === "sqlite_schema"));
  assert.deepEqual(await (await get("/write")).json(), { changes: 1, row: { id: 1, name: "Ada", age: null } });
});

test("[queues-50] a Python Worker sends to a queue and consumes it", async () => {
  assert.equal(await (await get("/send")).text(), "Sent!");
  await eventually("all messages are consumed", async () => {
    const log = (await (await get("/log")).json()) as Record<string, string>;
    assert.deepEqual(
      Object.entries(log).filter(([key]) => key.startsWith("message ")),
      [
        ["message GET", "1"],
        ["message later", "1"],
        ["message one", "1"],
        ["message two", "1"],
      ],
    );
  });
});

test("[workflows-40] a Python workflow runs its steps and gives a result", async () => {
  const id = await (await get("/workflow")).text();
  await eventually("the workflow is complete", async () => {
    const status = (await (await get(`/status?${id}`)).json()) as { status: string; output?: unknown };
    assert.deepEqual([status.status, status.output], ["complete", { total: 42, steps: 2 }]);
  });
  assert.equal(((await (await get("/log")).json()) as Record<string, string>).step2, "ran");
});

test("a Python Worker whose top level raises is refused with Python's words, and the one before it goes on", async () => {
  await project.write({ "entry.py": "from workers import WorkerEntrypoint\nraise ValueError('not today')\n" });
  const { stderr } = await project.wrangler(["deploy"], { code: 1 });
  assert.match(stderr, /ValueError: not today.*\[code: 10021\]/s);
  assert.equal(await (await get("/")).text(), "Hello from Python");
});

test("a Worker brings packages in python_modules, the official SDK among them", { skip: noPython }, async () => {
  const entry = `from workers import DurableObject, Response, WorkerEntrypoint
import workers

class Counter(DurableObject):
    async def add(self, number):
        total = (await self.ctx.storage.get("total") or 0) + number
        await self.ctx.storage.put("total", total)
        return total

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        total = await self.env.COUNTERS.getByName("one").add(2)
        await self.env.LOG.put("key", "value")
        return Response.json({"total": total, "value": await self.env.LOG.get("key"), "sdk": workers.__file__})
`;
  const vendored = await workerProject(platform, {
    files: { "src/entry.py": entry },
    config: {
      name: "python-vendored",
      main: "src/entry.py",
      compatibility_flags: ["python_workers"],
      kv_namespaces: [{ binding: "LOG" }],
      durable_objects: { bindings: [{ name: "COUNTERS", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    },
  });
  const { stdout } = await platform.exec(await pythonInterpreter(), ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
  for (const name of ["workers", "_workers_sdk_package_patches.py", "_workers_sdk_patch_loader.py"])
    await cp(join(stdout.trim(), name), join(vendored.dir, "python_modules", name), { recursive: true });
  await vendored.deploy();
  const sdk = "/session/metadata/python_modules/workers/__init__.py";
  assert.deepEqual(await (await platform.fetch(vendored.url)).json(), { total: 2, value: "value", sdk });
});
