/** SQL that would never end, or fill the disk, is given up; what comes after it is written as ever. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDuckDb } from "../../kernel/duckdb/engine.ts";
import { parseFields } from "./fields.ts";
import { fileWriter, RollLimitError, type RollLimits, type WriteJob } from "./file-writer.ts";
import { readPayload } from "./payload.ts";
import { recordCheck } from "./record-check.ts";
import { encodeBatch } from "./records.ts";
import { SOURCE } from "./source.ts";
import { engineFunctions, macros } from "./sql/functions.ts";

const ENDLESS = `SELECT unnest(range(10000)) + n AS n FROM (SELECT unnest(range(10000)) + m AS n FROM (SELECT unnest(range(10000)) AS m FROM ${SOURCE}))`;

/** Rows of one event are held together in memory: a file grows by those of many. */
const EVENTS = 10_000;

const fields = parseFields({ fields: [{ name: "id", type: "int64", required: true }] });

async function world(t: TestContext, limits: RollLimits) {
  const directory = await mkdtemp(join(tmpdir(), "pipelines-file-writer-"));
  const db = await openDuckDb({
    directories: [directory],
    spill: join(directory, "spill"),
    memoryMb: 256,
    functions: engineFunctions(),
    setup: macros,
  });
  t.after(async () => {
    await db.close();
    await rm(directory, { recursive: true, force: true });
  });
  const lines = join(directory, "lines.ndjson");
  const batch = encodeBatch(
    Buffer.from(JSON.stringify(Array.from({ length: EVENTS }, (_, id) => ({ id })))),
    recordCheck(fields),
    1_700_000_000_000,
  );
  assert.ok(batch !== undefined);
  await writeFile(lines, readPayload(batch.payload).lines);
  const writer = fileWriter(db, directory, 1e6, limits, () => undefined);
  const write = (select: string, format: "json" | "parquet" = "json") => {
    const job: WriteJob = {
      plan: { version: 1, select, guarded: `${select} LIMIT 1`, output: "n", columns: [] },
      fields,
      format: { type: format, compression: "uncompressed", rowGroupBytes: 1e6 },
      lines: [lines],
      linesBytes: 33 * EVENTS,
      records: EVENTS,
    };
    return writer.write(job, new AbortController().signal);
  };
  return { write, files: async () => (await readdir(directory)).filter((name) => name.startsWith("pipelines-")) };
}

for (const format of ["json", "parquet"] as const)
  test(`SQL that makes rows without end is given up after the time for a roll, its ${format} file with it`, async (t) => {
    const { write, files } = await world(t, { timeoutMs: 1000, fileBytes: 1e12 });
    await assert.rejects(write(ENDLESS, format), (error: unknown) => {
      assert.ok(error instanceof RollLimitError);
      assert.match(error.message, /longer than 1 s .*pipelines\.roll_timeout_s/);
      assert.ok(error.retryAfterMs > 3 * 1000, "it waits longer than it worked");
      return true;
    });
    assert.deepEqual(await files(), []);
    assert.equal((await write(`SELECT 1 AS n FROM ${SOURCE}`, format))?.rows, EVENTS);
  });

test("SQL that fills the disk is given up at the largest file of a roll", async (t) => {
  const { write, files } = await world(t, { timeoutMs: 60_000, fileBytes: 1e6 });
  await assert.rejects(write(`SELECT unnest(range(300)) AS n FROM ${SOURCE}`), (error: unknown) => {
    assert.ok(error instanceof RollLimitError);
    assert.match(error.message, /more than 1000000 bytes .*pipelines\.roll_file_max_bytes/);
    return true;
  });
  assert.deepEqual(await files(), []);
});
