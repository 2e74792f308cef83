import assert from "node:assert/strict";
import { test } from "node:test";
import { pythonExports } from "./python.ts";

test("classes of the SDK at a module's top level are its exports, with their methods", () => {
  const source = `from workers import DurableObject, Response, WorkerEntrypoint
import workers

class Helper:
    def fetch(self): pass

class Counter(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)

    async def increment(self):

        return 1

class Default(WorkerEntrypoint):
    """Says class Fake(WorkerEntrypoint): and means nothing by it."""
    async def fetch(self, request):
        class Inner(WorkerEntrypoint): pass
        return Response("hello")

    async def scheduled(self, controller, env, ctx): pass

class Other(workers.WorkerEntrypoint): pass
`;
  assert.deepEqual(pythonExports(source), [
    { name: "Counter", type: "durable-object", handlers: ["increment"] },
    { name: "default", type: "entrypoint", handlers: ["fetch", "scheduled"] },
    { name: "Other", type: "entrypoint", handlers: [] },
  ]);
});

test("the older form has its handlers as functions", () => {
  const source = "async def on_fetch(request, env):\n    return Response('x')\n\nasync def on_scheduled(controller, env, ctx):\n    pass\n";
  assert.deepEqual(pythonExports(source), [{ name: "default", type: "object", handlers: ["fetch", "scheduled"] }]);
  assert.deepEqual(pythonExports("x = 1\n"), []);
});

test("a module of a megabyte without a class takes no longer than its length", () => {
  assert.deepEqual(pythonExports(`${" ".repeat(500_000)}\nclass A(${"\n".repeat(500_000)}`), []);
});
