/**
 * Python Workers. They need a bundle of Pyodide that no package registry carries: with FREEHOLD_PYODIDE_DIRECTORY, which
 * names a directory that has it, they run; without, they are refused with words that help.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { type WorkerProject, workerProject } from "../../harness/worker-project.ts";

const bundles = process.env.FREEHOLD_PYODIDE_DIRECTORY;
const noPyodide = bundles === undefined && "FREEHOLD_PYODIDE_DIRECTORY names no directory with Pyodide bundles";

const HELLO = `from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("Hello from " + self.env.GREETING)
`;

const COUNTER = `from workers import DurableObject, Response, WorkerEntrypoint

class Counter(DurableObject):
    async def increment(self):
        count = (await self.ctx.storage.get("count") or 0) + 1
        await self.ctx.storage.put("count", count)
        return count

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(str(await self.env.COUNTER.getByName("one").increment()))
`;

const python = (platform: TestPlatform, source: string, config: object): Promise<WorkerProject> =>
  workerProject(platform, {
    files: { "entry.py": source },
    config: { name: "python", main: "entry.py", compatibility_flags: ["python_workers"], vars: { GREETING: "Python" }, ...config },
  });

test("a Python Worker without Pyodide is refused: for the missing key, then by the name of the missing bundle", async (t) => {
  const plain = await startPlatform(t);
  const first = await (await python(plain, HELLO, {})).wrangler(["deploy"], { code: 1 });
  assert.match(first.stderr, /runtime\.pyodide_directory names no directory/);

  const empty = await temporaryDirectory("freehold-pyodide-");
  const configured = await startPlatform(t, { config: { "runtime.pyodide_directory": empty } });
  // A machine that reaches the Internet would have the bundle now.
  const second = await (await python(configured, HELLO, {})).wrangler(["deploy"], { code: "any" });
  if (second.code !== 0) assert.match(second.stderr, /needs pyodide_[\w.-]+\.capnp\.bin in the directory.*\[code: 10021\]/s);
});

test("a Python Worker answers, and its Durable Object counts", { skip: noPyodide }, async () => {
  const platform = await startPlatform({ after }, { config: { "runtime.pyodide_directory": bundles as string } });
  const hello = await python(platform, HELLO, {});
  await hello.deploy();
  assert.equal(await (await platform.fetch(hello.url)).text(), "Hello from Python");
  const counter = await python(platform, COUNTER, {
    name: "python-counter",
    durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
  });
  await counter.deploy();
  for (const count of ["1", "2"]) assert.equal(await (await platform.fetch(counter.url)).text(), count);
});
