/**
 * Goal: an acknowledged write is there after SIGKILL, and a transaction is there wholly or not at all. Method: a child
 * writes and prints acknowledgements; it is killed after a number of them that the seed decides; the rows are compared.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openSqliteMeta } from "../../src/kernel/meta/sqlite.ts";
import { temporaryDirectory } from "../harness/temporary-directory.ts";
import { randomFrom, runUntilKilled, seed } from "./child.ts";

test("acknowledged rows survive SIGKILL, transactions wholly or not at all", { timeout: 120_000 }, async (t) => {
  t.diagnostic(`FREEHOLD_SEED=${seed}`);
  const random = randomFrom(seed);
  const directory = await temporaryDirectory("meta-crash-");
  const path = join(directory, "meta.db");
  const created = await openSqliteMeta({ path });
  await created.script(
    "CREATE TABLE test_row (id INTEGER, half INTEGER, PRIMARY KEY (id, half)); CREATE TABLE test_counter (value INTEGER); INSERT INTO test_counter VALUES (0)",
  );
  await created.close();
  const acknowledged = new Map<number, string>();
  for (let round = 0; round < 4; round++) {
    const printed = await runUntilKilled("./meta-writer.ts", [path, String(round * 10_000_000)], 1 + Math.floor(random() * 500));
    for (const line of printed) {
      const match = /^(one|pair) (\d+)\.$/.exec(line);
      if (match !== null) acknowledged.set(Number(match[2]), match[1] as string);
    }
    const store = await openSqliteMeta({ path });
    const rows = await store.all<{ id: number; half: number }>("SELECT id, half FROM test_row");
    const there = new Set(rows.map((row) => `${row.id} ${row.half}`));
    for (const [id, kind] of acknowledged)
      for (const half of kind === "one" ? [0] : [1, 2]) assert.ok(there.has(`${id} ${half}`), `row ${id} ${half} is missing`);
    const first = rows.filter((row) => row.half === 1);
    for (const { id } of first) assert.ok(there.has(`${id} 2`), `transaction ${id} is there by half`);
    assert.equal(rows.filter((row) => row.half === 2).length, first.length);
    assert.equal((await store.get<{ value: number }>("SELECT value FROM test_counter"))?.value, first.length);
    await store.close();
  }
  t.diagnostic(`${acknowledged.size} writes acknowledged over 4 kills`);
});
