import assert from "node:assert/strict";
import { test } from "node:test";
import { exportCandidates } from "./exports.ts";

test("what a module may export are its classes and what it imports by name, but not its default", () => {
  const source = `from workers import DurableObject, Response as Answer
from counters import (
    Counter,  # counts
    Other as Renamed,
)
import workers

class Helper:
    def fetch(self): pass

class Room(DurableObject):
    class Inner(DurableObject): pass

class Default(workers.WorkerEntrypoint): pass
`;
  assert.deepEqual(exportCandidates(source), ["Helper", "Room", "DurableObject", "Answer", "Counter", "Renamed"]);
});

test("a module of a megabyte without a class takes no longer than its length", () => {
  assert.deepEqual(exportCandidates(`${" ".repeat(500_000)}\nfrom a import (${"\n".repeat(500_000)}`), []);
});
