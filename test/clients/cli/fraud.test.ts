/** The fraud tutorial as a user runs it. Most of its time is the sink's interval. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot, runProcess } from "../../harness/platform.ts";

test("npm run demo:fraud: two tables from one stream, each answer that of what was sent", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "freehold-fraud-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const args = ["examples/fraud/main.ts", "--events", "500", "--data", join(directory, "data")];
  const { stdout } = await runProcess(process.execPath, args, { cwd: projectRoot, timeoutMs: 240_000 });
  for (const line of [
    /Rows in fraud_detection\.transactions .*: 500/,
    /each of them was sent as fraud/,
    /that it should, and no other/,
    /every answer is that of the transactions/,
  ])
    assert.match(stdout, line);
});
