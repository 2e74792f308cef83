/** Shares of objects, and the moves of their files between the two directories. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { temporaryDirectory } from "../../../test/harness/temporary-directory.ts";
import { openArrangement } from "./arrangement.ts";
import { ownerOf } from "./split.worker.ts";

const ids = Array.from({ length: 200 }, (_, i) => createHash("sha256").update(String(i)).digest("hex"));
const split = (a: number, b: number) => ({
  shares: [
    { versionId: "b", percentage: b },
    { versionId: "a", percentage: a },
  ],
  home: "a",
});

test("a version has its share of objects, and keeps them when it grows", () => {
  const of = (percentage: number) => new Set(ids.filter((id) => ownerOf(split(100 - percentage, percentage), id) === "b"));
  assert.deepEqual([of(0).size, of(100).size], [0, ids.length]);
  const [few, more] = [of(20), of(50)];
  assert(few.size > 15 && few.size < 75 && more.size > 60 && more.size < 140, `${few.size} ${more.size}`);
  assert([...few].every((id) => more.has(id)));
});

test("files and alarms lie with their version, also when a move was broken off", async () => {
  const directory = await temporaryDirectory("freehold-arrangement-");
  const part = "0".repeat(32);
  const home = join(directory, part);
  const second = join(directory, "second", part);
  await mkdir(home);
  for (const id of ids) for (const end of ["sqlite", "sqlite-wal"]) await writeFile(join(home, `${id}.${end}`), id);
  const list = new DatabaseSync(join(home, "metadata.sqlite"));
  list.exec("CREATE TABLE _cf_ALARM (actor_id TEXT PRIMARY KEY, scheduled_time INTEGER, actor_name TEXT) WITHOUT ROWID");
  list.exec("BEGIN");
  for (const id of ids) list.prepare("INSERT INTO _cf_ALARM VALUES (?, ?, ?)").run(id, 1_800_000_000_000_000_001n, `name of ${id}`);
  list.exec("COMMIT");
  list.close();

  const filesIn = async (path: string): Promise<string[]> =>
    (await readdir(path).catch(() => [])).filter((name) => !name.startsWith("metadata")).sort();
  const alarmsIn = (path: string): unknown[] => {
    const database = new DatabaseSync(join(path, "metadata.sqlite"));
    const select = database.prepare("SELECT * FROM _cf_ALARM ORDER BY actor_id");
    select.setReadBigInts(true);
    const rows = select.all().map((row) => ({ ...row }));
    database.close();
    return rows;
  };
  const check = async (mine: readonly string[], path: string): Promise<void> => {
    assert.deepEqual(await filesIn(path), mine.flatMap((id) => [`${id}.sqlite`, `${id}.sqlite-wal`]).sort());
    const alarms = [...mine]
      .sort()
      .map((id) => ({ actor_id: id, scheduled_time: 1_800_000_000_000_000_001n, actor_name: `name of ${id}` }));
    assert.deepEqual(alarmsIn(path), alarms);
  };

  for (const [a, b] of [
    [80, 20],
    [30, 70],
    [60, 40],
  ] as const) {
    const wanted = split(a, b);
    // Opened anew, as after a stop: nothing is known, and a part of the files has been moved already.
    const arrangement = await openArrangement(directory);
    assert.deepEqual(arrangement.misplaced([part], wanted), [part]);
    await arrangement.arrange([part], wanted);
    assert.deepEqual(arrangement.misplaced([part], wanted), []);
    const [own, others] = ["a", "b"].map((version) => ids.filter((id) => ownerOf(wanted, id) === version)) as [string[], string[]];
    await check(own, home);
    await check(others, second);
    assert.equal(arrangement.fileOf({ part, id: others[0] as string }), join(second, `${others[0]}.sqlite`));
  }
  const arrangement = await openArrangement(directory);
  await arrangement.arrange([part], undefined);
  await check(ids, home);
  assert.deepEqual(await readdir(join(directory, "second")), []);
  // A file that is there twice is nobody's to choose from.
  await mkdir(second);
  await writeFile(join(second, `${ids[0]}.sqlite`), "another");
  await assert.rejects((await openArrangement(directory)).arrange([part], undefined), /its file twice/);
});
