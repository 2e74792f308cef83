import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLocation } from "./locations.ts";
import { maintenanceOf, maintenanceUpdate, updatedMaintenance } from "./maintenance/settings.ts";
import { decodeSegment } from "./names.ts";
import { cutPage, pageRequest } from "./paging.ts";
import { gracePeriodSeconds } from "./properties.ts";
import { rateLimits } from "./rest/rate-limits.ts";

const warehouse = { id: "w", bucket: "b", name: "a_b", status: "active", hasCredential: false } as const;

test("the grace period is the table's, else the namespace's, else 6 days", () => {
  const key = "cloudflare-data-catalog.deletion.grace-period-seconds";
  assert.equal(gracePeriodSeconds({}, {}), 518_400);
  assert.equal(gracePeriodSeconds({}, { [key]: "5" }), 5);
  assert.equal(gracePeriodSeconds({ [key]: "0" }, { [key]: "5" }), 0);
  for (const value of ["-1", "1.5", "soon", "", "99999999999"])
    assert.throws(() => gracePeriodSeconds({ [key]: value }, {}), { code: "catalog.invalidGracePeriod" }, value);
});

test("settings of maintenance are read in every spelling and shown in one", () => {
  const update = (body: object) => updatedMaintenance(maintenanceOf(null), maintenanceUpdate.parse(body));
  for (const size of [{ targetSizeMb: 256 }, { target_size_mb: 256 }, { target_size_mb: "256" }])
    assert.deepEqual(update({ compaction: { state: "enabled", ...size } }).compaction, { state: "enabled", target_size_mb: "256" });
  const wanted = { state: "enabled", max_snapshot_age: "9d", min_snapshots_to_keep: 4 };
  for (const body of [
    { max_snapshot_age: "9d", min_snapshots_to_keep: 4 },
    { older_than_days: 9, retain_last: 4 },
  ])
    assert.deepEqual(update({ snapshot_expiration: { state: "enabled", ...body } }).snapshot_expiration, wanted);
});

test("locations are kept without a slash at the end and only inside the bucket", () => {
  assert.equal(checkLocation(warehouse, "s3a://b/x/y/"), "s3://b/x/y");
  for (const location of ["s3://b", "s3://b/", "s3://other/x", "x", "s3://b/x/../y", "s3://b//x", "file:///x"])
    assert.throws(() => checkLocation(warehouse, location), { code: "catalog.invalidLocation" }, location);
});

test("path segments are decoded as Java and Python write them", () => {
  assert.equal(decodeSegment("a+b%20c%2Bd%1Fe%2Ff"), "a b c+d\u001fe/f");
  assert.throws(() => decodeSegment("%E0%A4%A"), { code: "catalog.badRequest" });
});

test("pages end with a token that leads on, or with none", () => {
  const first = cutPage(["a", "b", "c"], 2, (name) => name);
  assert.deepEqual(first.rows, ["a", "b"]);
  assert.deepEqual(pageRequest("5", first.next), { after: "b", limit: 5 });
  assert.equal(cutPage(["a", "b"], 2, (name) => name).next, null);
  assert.equal(pageRequest("5000", null).limit, 1000);
  assert.equal(pageRequest(null, "").limit, 100);
});

test("a limit counts accepted writes of the last minute", () => {
  let now = 0;
  const limits = rateLimits({ now: () => now }, true);
  const create = { op: "catalog.tables.create", right: "write" } as const;
  const take = () => limits.take(warehouse, create, {});
  for (let i = 0; i < 10; i++) take();
  for (let i = 0; i < 200; i++) assert.throws(take, { code: "catalog.tooManyRequests" });
  now = 60_000;
  take();
});
