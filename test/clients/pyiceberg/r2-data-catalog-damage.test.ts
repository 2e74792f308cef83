/**
 * Tables whose files are missing, damaged or somebody else's: what reads them fails by name, everything else goes on, and the
 * table is readable at its last good snapshot and whole again after a rollback.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { maintain, tablePath } from "../maintenance-runs.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const own = await lake(platform, "damaged-lake");
const s3 = platform.s3();
const { prefix } = (await own.request("GET", `/config?warehouse=${own.warehouse}`)).json.overrides as { prefix: string };
const call = (method: string, path: string, body?: unknown) => own.request(method, `/${prefix}${path}`, body);

const keyOf = (location: string): string => location.replace(`s3://${own.bucket}/`, "");
const put = (key: string, body: string | Uint8Array) => s3.send(new PutObjectCommand({ Bucket: own.bucket, Key: key, Body: body }));
const remove = (key: string) => s3.send(new DeleteObjectCommand({ Bucket: own.bucket, Key: key }));
const bytes = async (key: string): Promise<Uint8Array> =>
  (await s3.send(new GetObjectCommand({ Bucket: own.bucket, Key: key }))).Body?.transformToByteArray() as Promise<Uint8Array>;
/** The second half is gone. */
const cut = async (key: string): Promise<void> => {
  const whole = await bytes(key);
  await put(key, whole.subarray(0, whole.length >> 1));
};

async function r2Sql(sql: string): Promise<{ status: number; text: string }> {
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/${own.bucket}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: sql }),
  });
  return { status: response.status, text: await response.text() };
}

test("a damaged snapshot fails by name, the one before it is read, and a rollback makes the table whole", { skip: noPython }, async () => {
  const CASES = ["no_list", "cut_list", "foreign_list", "no_manifest", "cut_manifest", "cut_data", "whole"];
  const { stdout } = await own.py(`
import json
catalog.create_namespace("ns")
paths = {}
for name in ${JSON.stringify(CASES)}:
    table = catalog.create_table(f"ns.{name}", schema=pa.schema([("id", pa.int64())]))
    table.append(pa.table({"id": [1, 2]}))
    table.append(pa.table({"id": [3]}))
    snapshot = table.current_snapshot()
    manifests = [m for m in snapshot.manifests(table.io) if m.added_snapshot_id == snapshot.snapshot_id]
    [entry] = manifests[0].fetch_manifest_entry(table.io)
    paths[name] = {"list": snapshot.manifest_list, "manifest": manifests[0].manifest_path, "data": entry.data_file.file_path, "uuid": str(table.metadata.table_uuid)}
print(json.dumps(paths))
`);
  type Paths = { list: string; manifest: string; data: string; uuid: string };
  const paths = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Record<string, Paths>;
  const path = (name: string, kind: keyof Paths): string => keyOf(paths[name]?.[kind] as string);
  /** A commit by hand whose snapshot names this manifest list; the catalog does not open what engines write. */
  const point = async (name: string, list: string): Promise<void> => {
    const requirements = [{ type: "assert-table-uuid", uuid: paths[name]?.uuid }];
    const snapshot = {
      "snapshot-id": 77,
      "sequence-number": 3,
      "timestamp-ms": Date.now() + 1000,
      "manifest-list": list,
      summary: { operation: "append" },
      "schema-id": 0,
    };
    const updates = [
      { action: "add-snapshot", snapshot },
      { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": 77 },
    ];
    const { status, text } = await call("POST", `/namespaces/ns/tables/${name}`, { requirements, updates });
    assert.equal(status, 200, text);
  };
  await point("no_list", `s3://${own.bucket}/nowhere/snap.avro`);
  await cut(path("cut_list", "list"));
  await point("foreign_list", "s3://another-bucket/snap.avro");
  await remove(path("no_manifest", "manifest"));
  await cut(path("cut_manifest", "manifest"));
  await cut(path("cut_data", "data"));

  const told: Readonly<Record<string, string>> = {
    no_list: "missing from the bucket: nowhere/snap.avro",
    cut_list: `cannot be read: ${path("cut_list", "list")}`,
    foreign_list: "another bucket: s3://another-bucket/snap.avro",
    no_manifest: `missing from the bucket: ${path("no_manifest", "manifest")}`,
    cut_manifest: `cannot be read: ${path("cut_manifest", "manifest")}`,
    cut_data: path("cut_data", "data"),
  };
  for (const [name, text] of Object.entries(told)) {
    const answer = await r2Sql(`SELECT id FROM ns.${name} ORDER BY id`);
    assert.equal(answer.status, 500, `${name}: ${answer.text}`);
    assert.ok(answer.text.includes(text), `${name}: ${answer.text} does not say ${text}`);
  }
  assert.match((await r2Sql("SELECT count(*) AS n FROM ns.whole")).text, /"n":3/);
  await own.py(`
for name in ${JSON.stringify(Object.keys(told))}:
    table = catalog.load_table(f"ns.{name}")
    try:
        table.scan().to_arrow()
        raise SystemExit(f"{name} was read")
    except Exception:
        pass
    # History reaches back to the first append in every case.
    good = table.metadata.snapshot_log[0].snapshot_id
    assert sorted(table.scan(snapshot_id=good).to_arrow()["id"].to_pylist()) == [1, 2], name
    table.manage_snapshots().set_current_snapshot(snapshot_id=good).commit()
    table = catalog.load_table(f"ns.{name}")
    table.append(pa.table({"id": [4]}))
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [1, 2, 4], name
`);
  for (const name of Object.keys(told)) assert.match((await r2Sql(`SELECT sum(id) AS s FROM ns.${name}`)).text, /"s":7/, name);
});

test("maintenance of a damaged table changes nothing, and a table that was rolled back sheds its damaged snapshots", {
  skip: noPython,
}, async () => {
  const TABLES = ["broken", "rolled_back"];
  const { stdout } = await own.py(`
import json, time
real = time.time
catalog.create_namespace("kept")
paths = {}
for name in ${JSON.stringify(TABLES)}:
    table = catalog.create_table(f"kept.{name}", schema=pa.schema([("id", pa.int64())]))
    time.time = lambda: real() - 40 * 86400
    for id in range(4):
        table.append(pa.table({"id": [id]}))
    time.time = real
    snapshot = table.current_snapshot()
    good = table.metadata.snapshots[2].snapshot_id
    if name == "rolled_back":
        table.manage_snapshots().set_current_snapshot(snapshot_id=good).commit()
        for id in [10, 11]:
            table.append(pa.table({"id": [id]}))
    paths[name] = snapshot.manifest_list
print(json.dumps(paths))
`);
  const lists = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Record<string, string>;
  for (const name of TABLES) {
    await cut(keyOf(lists[name] as string));
    const settings = { compaction: { state: "enabled" }, snapshot_expiration: { state: "enabled", older_than_days: 30, retain_last: 1 } };
    const set = await platform.rest("POST", `${tablePath(platform, own.bucket, `kept.${name}`)}/maintenance-configs`, settings);
    assert.equal(set.status, 200, JSON.stringify(set.body));
  }
  const before = (await call("GET", "/namespaces/kept/tables/broken")).json["metadata-location"];
  const failed = await maintain(platform, own.bucket, "kept.broken");
  assert.equal(failed.status, "failed", failed.message);
  assert.equal((await call("GET", "/namespaces/kept/tables/broken")).json["metadata-location"], before);
  const run = await maintain(platform, own.bucket, "kept.rolled_back");
  assert.equal(run.status, "succeeded", run.message);
  const { stdout: left } = await own.py(`
table = catalog.load_table("kept.rolled_back")
print(len(table.metadata.snapshots), sorted(table.scan().to_arrow()["id"].to_pylist()))
`);
  assert.match(left.trim(), /^[123] \[0, 1, 2, 10, 11\]$/);
  const { metadata } = (await call("GET", "/namespaces/kept/tables/rolled_back")).json;
  assert.ok(!metadata.snapshots.some((snapshot: { "manifest-list": string }) => snapshot["manifest-list"] === lists.rolled_back));
});

test("a metadata file that is missing or damaged is told as such, and the table is registered again from an older one", async () => {
  platform.expectErrors(/metadata/);
  await call("POST", "/namespaces", { namespace: ["meta"] });
  const schema = { type: "struct", fields: [{ id: 1, name: "id", required: false, type: "long" }] };
  const harms: Readonly<Record<string, (key: string) => Promise<unknown>>> = {
    gone: remove,
    cut,
    zipped: cut,
    nonsense: (key) => put(key, '{"format-version":2}'),
  };
  const at = (name: string): string => `/namespaces/meta/tables/${name}`;
  const change = (name: string, value: string) =>
    call("POST", at(name), { requirements: [], updates: [{ action: "set-properties", updates: { value } }] });
  const locations: Record<string, { first: string; current: string }> = {};
  for (const [name, harm] of Object.entries(harms)) {
    const properties = name === "zipped" ? { "write.metadata.compression-codec": "gzip" } : {};
    const first = (await call("POST", "/namespaces/meta/tables", { name, schema, properties })).json["metadata-location"] as string;
    const current = (await change(name, "1")).json["metadata-location"] as string;
    locations[name] = { first, current };
    await harm(keyOf(current));
  }
  // A running platform remembers what it read of files that never change.
  await platform.restart();
  for (const [name, { first, current }] of Object.entries(locations)) {
    for (const answer of [await call("GET", at(name)), await change(name, "2")]) {
      assert.deepEqual([answer.status, answer.json.error.type], [500, "InternalServerError"], answer.text);
      assert.ok(answer.json.error.message.includes(current), answer.text);
    }
    assert.equal((await call("HEAD", at(name))).status, 204);
    // Neither that file nor one of another place can be registered; the one before it can.
    const register = (location: string) =>
      call("POST", "/namespaces/meta/register", { name, "metadata-location": location, overwrite: true });
    assert.equal((await register(current)).status, 400);
    assert.equal((await register("s3://another-bucket/00000-x.metadata.json")).status, 400);
    assert.equal((await call("GET", at(name))).status, 500);
    assert.equal((await register(first)).status, 200);
    assert.equal((await change(name, "3")).json.metadata.properties.value, "3");
    assert.match((await r2Sql(`SELECT count(*) AS n FROM meta.${name}`)).text, /"n":0/);
  }
});

test("a purge deletes what it can read and nothing that is not the table's, and no other purge waits for it", {
  skip: noPython,
}, async () => {
  const TABLES = ["cut_list", "cut_manifest", "nonsense", "foreign", "kept", "whole"];
  const { stdout } = await own.py(`
import json
catalog.create_namespace("purged")
paths = {}
for name in ${JSON.stringify(TABLES)}:
    properties = {"cloudflare-data-catalog.deletion.grace-period-seconds": "2", "gc.enabled": "false" if name == "kept" else "true"}
    table = catalog.create_table(f"purged.{name}", pa.schema([("id", pa.int64())]), properties=properties, location=f"s3://{BUCKET}/purged/{name}")
    for id in range(2):
        table.append(pa.table({"id": [id]}))
    snapshot = table.current_snapshot()
    paths[name] = {"list": snapshot.manifest_list, "manifest": snapshot.manifests(table.io)[0].manifest_path, "metadata": table.metadata_location, "snapshot": str(snapshot.snapshot_id)}
print(json.dumps(paths))
`);
  const paths = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Record<string, Record<string, string>>;
  const path = (name: string, kind: string): string => keyOf(paths[name]?.[kind] as string);
  // Another bucket's files, a good manifest list among them, named by a commit.
  await s3.send(new CreateBucketCommand({ Bucket: "neighbour" }));
  await s3.send(new PutObjectCommand({ Bucket: "neighbour", Key: "snap.avro", Body: await bytes(path("foreign", "list")) }));
  const snapshot = `{"snapshot-id":77,"parent-snapshot-id":${paths.foreign?.snapshot},"sequence-number":3,"timestamp-ms":${Date.now() + 1000},
    "manifest-list":"s3://neighbour/snap.avro","summary":{"operation":"append"},"schema-id":0}`;
  const committed = await call(
    "POST",
    "/namespaces/purged/tables/foreign",
    `{"requirements":[],"updates":[{"action":"add-snapshot","snapshot":${snapshot}}]}`,
  );
  assert.equal(committed.status, 200, committed.text);

  const keys = async (name: string): Promise<string[]> => {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: own.bucket, Prefix: `purged/${name}/` }));
    return Contents.map((object) => object.Key as string);
  };
  const kept = await keys("kept");
  for (const name of TABLES) {
    const answer = await call("DELETE", `/namespaces/purged/tables/${name}?purgeRequested=true`);
    assert.equal(answer.status, 204, answer.text);
  }
  await cut(path("cut_list", "list"));
  await cut(path("cut_manifest", "manifest"));
  await put(path("nonsense", "metadata"), "{");
  const gone = async (name: string, left: number): Promise<void> => {
    const deadline = Date.now() + 20_000;
    // The deletion is in the background; the list of the bucket is the only way to see it.
    while ((await keys(name)).length > left) {
      assert.ok(Date.now() < deadline, `${name}: ${await keys(name)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await gone("whole", 0);
  await gone("foreign", 0);
  // What the damaged files named cannot be known: one manifest and its data file, and one data file.
  await gone("cut_list", 2);
  await gone("cut_manifest", 1);
  assert.deepEqual(await keys("kept"), kept, "gc.enabled=false keeps a table's files");
  await s3.send(new HeadObjectCommand({ Bucket: "neighbour", Key: "snap.avro" }));
});
