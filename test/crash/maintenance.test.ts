/**
 * Compaction and expiration through SIGKILL. Goal: whatever moment the platform is killed at, the table reads as before, and
 * once a run gets through, the bucket holds no file that no snapshot names. Method: a table of small files is maintained and
 * the platform killed at a random moment of the run; then a run is let through. Again and again; at the end pyiceberg compares.
 *
 * FREEHOLD_CRASH_ROUNDS sets the number of kills (2, at most 11: requests a day are limited), FREEHOLD_SEED repeats a run's choices.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { maintain, tablePath } from "../clients/maintenance-runs.ts";
import { lake } from "../clients/pyiceberg/lake.ts";
import { startPlatform } from "../harness/platform.ts";
import { noPython } from "../harness/python.ts";
import { seeded } from "../harness/seed.ts";

const ROUNDS = Math.min(11, Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 2));
/** As long as a run of this table takes, about. */
const RUN_MS = 1200;

test("a table survives SIGKILL during its maintenance, and what is left behind is deleted by the next run", {
  skip: noPython,
}, async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  const platform = await startPlatform({ after });
  const { bucket, py } = await lake(platform, "crash-lake");
  await py(`
catalog.create_namespace("ns")
table = catalog.create_table("ns.t", pa.schema([("id", pa.int64()), ("text", pa.string())]))
for i in range(12): table.append(pa.table({"id": list(range(i * 1000, i * 1000 + 1000)), "text": [str(i) * 50] * 1000}))
`);
  const path = tablePath(platform, bucket, "ns.t");
  const complete = async (): Promise<void> => {
    const run = await maintain(platform, bucket, "ns.t");
    assert.equal(run.status, "succeeded", run.message);
  };
  for (let round = 0; round < ROUNDS; round++) {
    // Once compacted there is nothing to do: a few more files. No run is under way or due, so the writer meets nobody.
    await py(`
table = catalog.load_table("ns.t")
assert table.scan().to_arrow().num_rows == 12000 + 200 * ${round}
for i in range(2): table.append(pa.table({"id": [-1] * 100, "text": ["x"] * 100}))
`);
    await platform.rest("POST", `${path}/maintenance-configs`, {
      compaction: { state: "enabled" },
      snapshot_expiration: { state: "enabled", max_snapshot_age: "1s", min_snapshots_to_keep: 1 },
    });
    await platform.rest("POST", `${path}/maintenance-configs/compaction/queue`, {});
    await sleep(random.integer(0, RUN_MS));
    await platform.kill9();
    await platform.restart();
    await complete();
  }
  // What the last run committed is younger than a second; one more takes what was before it.
  await sleep(1100);
  await complete();
  const { stdout } = await py(`
import json
table = catalog.load_table("ns.t")
rows = table.scan().to_arrow()
assert rows.num_rows == 12000 + 200 * ${ROUNDS}, rows.num_rows
assert sorted(i for i in rows["id"].to_pylist() if i >= 0) == list(range(12000))
named = {s.manifest_list for s in table.metadata.snapshots}
for s in table.metadata.snapshots:
    for m in s.manifests(table.io):
        named.add(m.manifest_path)
        named.update(e.data_file.file_path for e in m.fetch_manifest_entry(table.io, discard_deleted=True))
print(json.dumps(sorted(named)))
`);
  const named = new Set(JSON.parse(stdout) as string[]);
  const { Contents = [] } = await platform.s3().send(new ListObjectsV2Command({ Bucket: bucket }));
  const stray = Contents.map(({ Key = "" }) => `s3://${bucket}/${Key}`).filter((key) => !key.endsWith(".metadata.json") && !named.has(key));
  assert.deepEqual(stray, [], "files that no snapshot names were left");
  assert.equal([...named].filter((key) => key.endsWith(".parquet")).length <= 2, true);
});
