/** What namespaces hold, summed up over more pairs than one step takes. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openLog } from "../../kernel/log.ts";
import { openSqliteMeta } from "../../kernel/meta/sqlite.ts";
import { migrations } from "./migrations.ts";
import { openUsage } from "./usage.ts";

test("every unexpired pair counts once, however many there are", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "kv-usage-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.sqlite") });
  for (const { sql } of migrations) await meta.script(sql);
  const usage = openUsage(meta, { now: () => 1_000_000 }, openLog({ json: true, level: "fatal" }));
  t.after(async () => {
    await usage.stop();
    await meta.close();
    await rm(directory, { recursive: true });
  });
  for (const id of ["empty", "many"])
    await meta.run("INSERT INTO kv_namespaces (id, title, jurisdiction, created_at) VALUES (?, ?, NULL, 0)", id, id);
  // 1,200 pairs in steps of 500; every third has expired.
  await meta.run(
    `INSERT INTO kv_entries (namespace, key, size, expiration)
     WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1199)
     SELECT 'many', CAST(printf('%04d', i) AS BLOB), 10, CASE WHEN i % 3 = 0 THEN 999 END FROM n`,
  );
  const facts = await usage.datasets.kvStorageAdaptiveGroups?.facts({ from: 0, to: 1_000_001, unit: Number.POSITIVE_INFINITY });
  assert.deepEqual(
    facts?.map(({ dimensions, max }) => [dimensions.namespaceId, max]),
    [
      ["empty", { keyCount: 0, byteCount: 0 }],
      ["many", { keyCount: 800, byteCount: 800 * 14 }],
    ],
  );
});
