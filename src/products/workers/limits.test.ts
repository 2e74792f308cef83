/** Which CPU time an invocation gets. */
import assert from "node:assert/strict";
import test from "node:test";
import { resolveConfig } from "../../kernel/config.ts";
import { cpuMsOf, cronCpuMs, limitsSchema, subrequestsOf } from "./limits.ts";
import type { Version } from "./model.ts";

const version = (limits?: object): Version => ({ limits }) as unknown as Version;
const config = (cpuMs: number) => resolveConfig({ "workers.cpu_ms": cpuMs }, "test");

test("a Worker's own limit counts before the platform's, which may be none", () => {
  assert.equal(cpuMsOf(version(), resolveConfig({}, "test")), 30_000);
  assert.equal(cpuMsOf(version({ cpu_ms: 50 }), config(1_000)), 50);
  assert.equal(cpuMsOf(version({ subrequests: 7 }), config(1_000)), 1_000);
  assert.equal(cpuMsOf(version(), config(0)), Number.POSITIVE_INFINITY);
  assert.equal(subrequestsOf(version({ subrequests: 7 }), config(0)), 7);
  assert.equal(subrequestsOf(version(), config(0)), 10_000);
  assert.equal(subrequestsOf(version(), resolveConfig({ "workers.subrequests": 0 }, "test")), undefined);
});

test("a cron trigger that runs at most once an hour has 15 minutes, unless its Worker has a limit of its own", () => {
  assert.equal(cronCpuMs(version(), 3_600_000), 900_000);
  assert.equal(cronCpuMs(version(), 3_599_999), undefined);
  assert.equal(cronCpuMs(version({ cpu_ms: 50 }), 86_400_000), undefined);
});

test("limits are whole numbers within the documented bounds", () => {
  for (const good of [{ cpu_ms: 1 }, { cpu_ms: 300_000 }, { cpu_ms: null }, { cpu_ms: "9" }, { subrequests: 10_000_000 }, {}])
    assert.ok(limitsSchema.safeParse(good).success);
  for (const bad of [
    { cpu_ms: 0 },
    { cpu_ms: 300_001 },
    { cpu_ms: 1.5 },
    { cpu_ms: "9s" },
    { subrequests: 0 },
    { subrequests: 10_000_001 },
  ])
    assert.ok(!limitsSchema.safeParse(bad).success, JSON.stringify(bad));
});
