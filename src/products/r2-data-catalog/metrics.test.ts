import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openLog } from "../../kernel/log.ts";
import { openSqliteMeta } from "../../kernel/meta/sqlite.ts";
import { migrate } from "../../kernel/migrations.ts";
import { type MaintenanceJob, openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";

const NOW = Date.parse("2026-03-10T12:30:45Z");

test("jobs of maintenance are facts at once, durations in classes that quantiles can be told from", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "catalog-metrics-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.db") });
  const clock = { now: () => NOW };
  await migrate(meta, [{ scope: "r2-data-catalog", migrations }], clock);
  const metrics = openMetrics(meta, clock, openLog({ json: true, level: "fatal" }));
  t.after(async () => {
    await metrics.stop();
    await meta.close();
    await rm(directory, { recursive: true });
  });
  const job: MaintenanceJob = {
    warehouse: "a_b",
    type: "compaction",
    namespace: ["x", "y"],
    table: "t",
    success: true,
    filesProcessed: 100,
    filesOutput: 2,
    inputBytes: 5000,
    outputBytes: 4000,
    durationMs: 1000.4,
  };
  await metrics.job(job);
  await metrics.job({ ...job, durationMs: 1010 });
  await metrics.job({ ...job, type: "snapshot-expiration", success: false, durationMs: 3 });
  const facts = await metrics.datasets.r2CatalogTableMaintenanceAdaptiveGroups?.facts({ from: NOW - 1000, to: NOW + 1, unit: 1 });
  const dimensions = { warehouseName: "a_b", namespaceName: "x.y", tableName: "t" };
  const sum = { filesProcessed: 100, filesOutput: 2, inputBytes: 5000, outputBytes: 4000 };
  const doubled = Object.fromEntries(Object.entries(sum).map(([name, value]) => [name, 2 * value]));
  assert.deepEqual(
    facts?.map((fact) => ({ ...fact, dimensions: { ...fact.dimensions } })),
    [
      {
        time: NOW - 1000,
        dimensions: { ...dimensions, jobType: "compaction", success: 1 },
        count: 2,
        sum: { ...doubled, jobDurationMs: 2010 },
      },
      {
        time: NOW - 1000,
        dimensions: { ...dimensions, jobType: "snapshot-expiration", success: 0 },
        count: 1,
        sum: { ...sum, jobDurationMs: 3 },
      },
    ],
  );
});
