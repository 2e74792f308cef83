/** The fraud tutorial as a user runs it. Most of its time is the sink's interval. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot, runProcess } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

test("npm run demo:fraud: two tables from one stream, each answer that of what was sent", async () => {
  const directory = await temporaryDirectory("freehold-fraud-");
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
