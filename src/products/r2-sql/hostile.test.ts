/** Queries that ask for more time or memory than there is: each ends with an answer, alone, and the next one runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { field, openLake } from "./lake.test.ts";

/** A refusal, or the end that the limit of time or memory puts to it: never a wrong answer, never a platform that hangs. */
const ends = (error: unknown): boolean =>
  error instanceof PlatformError && /^r2-sql\.(invalidQuery|invalidSql|outOfMemory|engineFailed|timeout)$/.test(error.code);

test("patterns that make other engines backtrack for ever are matched in time that grows with the text", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "a", "string")]);
  await lake.append("ns.t", "SELECT repeat('a', 100000) || 'b' AS a");
  for (const [condition, expected] of [
    ["regexp_like(a, '^(a+)+$')", false],
    ["regexp_like(a, '^(a|a)*$')", false],
    ["regexp_like(a, '(.*)(.*)(.*)(.*)(.*)(.*)(.*)c$')", false],
    ["a SIMILAR TO '(a|aa)*b'", true],
    [`a LIKE '${"%a".repeat(30)}%c'`, false],
  ] as const)
    assert.deepEqual((await lake.query(`SELECT ${condition} AS x FROM ns.t`)).rows, [{ x: expected }], condition);
  for (const pattern of ["((a{100}){100}){100}", "(".repeat(5000), "a{1,1001}", "[", "(?P<n"])
    await assert.rejects(lake.query(`SELECT regexp_like(a, '${pattern}') FROM ns.t`), ends, pattern.slice(0, 20));
});

test("work without end and values without bound end by the limits, and the engine's place is filled again", async (t) => {
  const lake = await openLake(t, { memoryMb: 128, timeLimitMs: 3000 });
  await lake.create("ns.t", [field(1, "id", "long")]);
  await lake.append("ns.t", "SELECT i AS id FROM range(1000) t(i)");
  for (const expression of [
    "length(repeat(repeat('x', 1000000), 1000000))",
    "array_length(array_repeat(array_repeat('x', 1000000), 1000000))",
    "length(array_to_string(array_repeat(repeat('x', 1000000), 1000000), ','))",
  ])
    await assert.rejects(lake.query(`SELECT ${expression} AS x FROM ns.t`), ends, expression);
  const joins = Array.from({ length: 6 }, (_, i) => `ns.t t${i}`).join(", ");
  await assert.rejects(lake.query(`SELECT count(*), sum(t0.id * t5.id) FROM ${joins}`), ends);
  await assert.rejects(lake.query(`SELECT DISTINCT * FROM ${joins} ORDER BY 1, 2, 3, 4, 5, 6`), ends);
  assert.deepEqual((await lake.query("SELECT count(id) AS n FROM ns.t")).rows, [{ n: 1000 }]);
  assert.equal(lake.held, 0);
});
