/** Rows of tables whose files are not simply the table: evolved schemas, deletes, defaults, files from elsewhere. */
import assert from "node:assert/strict";
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { literal } from "../../../kernel/duckdb/engine.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import {
  type ContentFile,
  type ManifestFile,
  readManifestList,
  writeManifest,
  writeManifestList,
} from "../../../protocols/iceberg/manifests.ts";
import { currentSchema, defaultSpec, parseS3Location, snapshotByRef } from "../../../protocols/iceberg/metadata.ts";
import type { NestedField, Schema } from "../../../protocols/iceberg/types.ts";
import { BUCKET, field, type Lake, openLake } from "../lake.test.ts";

const notImplemented = (pattern: RegExp) => (error: unknown) => {
  assert(error instanceof PlatformError, String(error));
  assert.equal(error.code, "r2-sql.notImplemented", error.message);
  assert.match(error.message, pattern);
  return true;
};

/** Makes these fields the table's current schema. */
function evolve(lake: Lake, name: string, fields: readonly NestedField[]): void {
  const schema: Schema = { type: "struct", fields };
  lake.update(name, [
    { action: "add-schema", schema },
    { action: "set-current-schema", "schema-id": -1 },
  ] as never);
}

/** Commits delete files beside the table's data, as an engine that merges on read does. */
async function addDeletes(lake: Lake, name: string, files: readonly ContentFile[]): Promise<void> {
  const metadata = lake.metadata(name);
  const parent = snapshotByRef(metadata, "main");
  assert(parent?.["manifest-list"] !== undefined);
  const { readFile } = await import("node:fs/promises");
  const list = readManifestList(await readFile(lake.path(parseS3Location(parent["manifest-list"])?.key as string)));
  const snapshotId = parent["snapshot-id"] + 1n;
  const sequenceNumber = metadata["last-sequence-number"] + 1;
  const path = `s3://${BUCKET}/${name}/metadata/deletes-${sequenceNumber}.avro`;
  const header = { formatVersion: 2, content: "deletes", spec: defaultSpec(metadata), schema: currentSchema(metadata) } as const;
  const bytes = writeManifest(
    header,
    files.map((file) => ({ status: "added", snapshotId, file })),
  );
  await lake.put(parseS3Location(path)?.key as string, bytes);
  const manifest: ManifestFile = {
    path,
    length: bytes.length,
    partitionSpecId: metadata["default-spec-id"],
    content: "deletes",
    sequenceNumber,
    minSequenceNumber: sequenceNumber,
    addedSnapshotId: snapshotId,
    addedFilesCount: files.length,
    existingFilesCount: 0,
    deletedFilesCount: 0,
    addedRowsCount: 1,
    existingRowsCount: 0,
    deletedRowsCount: 0,
  };
  const listPath = `s3://${BUCKET}/${name}/metadata/snap-${snapshotId}.avro`;
  const listBytes = writeManifestList({ formatVersion: 2, snapshotId, parentSnapshotId: parent["snapshot-id"], sequenceNumber }, [
    ...list,
    manifest,
  ]);
  await lake.put(parseS3Location(listPath)?.key as string, listBytes);
  lake.update(name, [
    {
      action: "add-snapshot",
      snapshot: {
        "snapshot-id": snapshotId,
        "parent-snapshot-id": parent["snapshot-id"],
        "sequence-number": sequenceNumber,
        "timestamp-ms": 2,
        "manifest-list": listPath,
        summary: { operation: "overwrite" },
        "schema-id": metadata["current-schema-id"],
      },
    },
    { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": snapshotId },
  ] as never);
}

let files = 0;
/** Writes a Parquet file of the bucket with given field ids. */
async function write(
  lake: Lake,
  sql: string,
  ids: Readonly<Record<string, number>> | undefined,
): Promise<{ location: string; size: number }> {
  const key = `loose/${files++}.parquet`;
  const temporary = join(lake.dir, `loose-${files}.parquet`);
  const option =
    ids === undefined
      ? ""
      : `, FIELD_IDS {${Object.entries(ids)
          .map(([name, id]) => `"${name}": ${id}`)
          .join(", ")}}`;
  await lake.duckdb.run(`COPY (${sql}) TO ${literal(temporary)} (FORMAT parquet${option})`);
  await copyFile(temporary, lake.path(key));
  return { location: `s3://${BUCKET}/${key}`, size: (await stat(temporary)).size };
}

const locationOf = (name: string, n: number): string => `s3://${BUCKET}/${name}/data/${n}.parquet`;
const ids = async (lake: Lake, sql = "SELECT id FROM ns.t ORDER BY id"): Promise<number[]> =>
  (await lake.query(sql)).rows.map((row) => row.id);

test("renamed, added, dropped, moved and widened columns are found by field id", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [
    field(1, "id", "int"),
    field(2, "old", "string"),
    field(3, "gone", "string"),
    field(4, "price", "decimal(5, 2)"),
  ]);
  await lake.append("ns.t", "SELECT 1 AS id, 'one' AS old, 'x' AS gone, 1.5::DECIMAL(5, 2) AS price");
  evolve(lake, "ns.t", [
    field(5, "gone", "long"),
    field(2, "name", "string"),
    field(1, "id", "long"),
    field(4, "price", "decimal(10, 2)"),
    field(6, "old", "int"),
  ]);
  await lake.append("ns.t", "SELECT 9::BIGINT AS gone, 'two' AS name, 5000000000 AS id, 2.5::DECIMAL(10, 2) AS price, 7 AS old");
  assert.deepEqual((await lake.query("SELECT * FROM ns.t ORDER BY id")).rows, [
    { gone: null, name: "one", id: 1, price: 1.5, old: null },
    { gone: 9, name: "two", id: 5000000000, price: 2.5, old: 7 },
  ]);
  assert.deepEqual((await lake.query("SELECT name FROM ns.t WHERE gone IS NULL AND id < 5 AND price >= 1.5")).rows, [{ name: "one" }]);
  assert.deepEqual((await lake.query("SELECT count(*) AS n FROM ns.t WHERE old = 7 OR name = 'one'")).rows, [{ n: 2 }]);
});

test("inside structs fields may come and go, but a rename is refused", async (t) => {
  const lake = await openLake(t);
  const s = (...fields: NestedField[]): NestedField => field(2, "s", { type: "struct", fields });
  await lake.create("ns.t", [field(1, "id", "long"), s(field(3, "a", "int"), field(4, "b", "string"))]);
  await lake.append("ns.t", "SELECT 1::BIGINT AS id, {'a': 1, 'b': 'x'} AS s");
  evolve(lake, "ns.t", [field(1, "id", "long"), s(field(5, "c", "string"), field(3, "a", "long"))]);
  assert.deepEqual((await lake.query("SELECT s FROM ns.t")).rows, [{ s: { c: null, a: 1 } }]);
  evolve(lake, "ns.t", [field(1, "id", "long"), s(field(5, "c", "string"), field(3, "renamed", "long"))]);
  await assert.rejects(lake.query("SELECT s FROM ns.t"), notImplemented(/inside a column of ns\.t was renamed/));
  await lake.create("ns.again", [field(1, "id", "long"), s(field(3, "a", "int"))]);
  await lake.append("ns.again", "SELECT 1::BIGINT AS id, {'a': 1} AS s");
  evolve(lake, "ns.again", [field(1, "id", "long"), s(field(9, "a", "int"))]);
  await assert.rejects(lake.query("SELECT s FROM ns.again"), notImplemented(/inside a column of ns\.again was renamed/));
});

test("files without a column have its initial default", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long")]);
  await lake.append("ns.t", "SELECT 1::BIGINT AS id");
  const metadata = lake.metadata("ns.t");
  const fields = [
    field(1, "id", "long"),
    { ...field(2, "n", "long"), "initial-default": 42, "write-default": 43 },
    { ...field(3, "s", "string"), "initial-default": "it's" },
    { ...field(4, "at", "timestamptz"), "initial-default": "2025-09-20T22:30:11.872554+00:00" },
    { ...field(5, "ok", "boolean"), "initial-default": true },
    { ...field(6, "bin", "binary"), "initial-default": "00ff" },
    { ...field(7, "d", "decimal(10, 2)"), "initial-default": "1.25" },
  ];
  Object.assign(metadata, { "format-version": 3, schemas: [{ type: "struct", "schema-id": 0, fields }] });
  const { rows } = await lake.query("SELECT * FROM ns.t WHERE n = 42 AND s = 'it''s'");
  assert.deepEqual(rows, [{ id: 1, n: 42, s: "it's", at: "2025-09-20T22:30:11.872554Z", ok: true, bin: "AP8=", d: 1.25 }]);
});

test("[r2-sql-32] position deletes take rows away, by file and position", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "filename", "string"), field(3, "file_row_number", "int")]);
  await lake.append("ns.t", "SELECT i AS id, 'f' AS filename, 7 AS file_row_number FROM range(5) t(i)");
  await lake.append("ns.t", "SELECT i AS id, 'f' AS filename, 7 AS file_row_number FROM range(5, 10) t(i)");
  const file = await write(
    lake,
    `SELECT ${literal(locationOf("ns.t", 0))} AS file_path, 1::BIGINT AS pos UNION ALL SELECT ${literal(locationOf("ns.t", 1))}, 4 UNION ALL SELECT 's3://lake/elsewhere', 0`,
    { file_path: 2147483546, pos: 2147483545 },
  );
  const deletes = {
    content: "position-deletes",
    path: file.location,
    format: "PARQUET",
    partition: new Map(),
    recordCount: 3,
    fileSize: file.size,
  } as const;
  await addDeletes(lake, "ns.t", [deletes]);
  assert.deepEqual(await ids(lake), [0, 2, 3, 4, 5, 6, 7, 8]);
  const { rows, metrics } = await lake.query("SELECT count(*) AS n, min(filename) AS f FROM ns.t");
  assert.deepEqual([rows, metrics.filesScanned], [[{ n: 8, f: "f" }], 3]);
  assert.equal((await lake.query("SELECT id FROM ns.t LIMIT 4")).rows.length, 4, "a LIMIT counts live rows");
  assert.deepEqual(await ids(lake, "SELECT id FROM ns.t WHERE id IN (1, 2, 9)"), [2]);
  await lake.append("ns.t", "SELECT 100::BIGINT AS id, 'f' AS filename, 7 AS file_row_number");
  assert.deepEqual(await ids(lake), [0, 2, 3, 4, 5, 6, 7, 8, 100]);
});

test("[r2-sql-32] equality deletes take older rows of their partition away", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "region", "string"), field(3, "name", "string")], {
    fields: [{ "source-id": 2, name: "region", transform: "identity" }],
  });
  const [partitionField] = defaultSpec(lake.metadata("ns.t")).fields;
  const partition = (region: string) => new Map([[partitionField?.["field-id"] as number, region]]);
  for (const region of ["eu", "us"])
    await lake.append(
      "ns.t",
      `SELECT i AS id, '${region}' AS region, CASE WHEN i = 3 THEN NULL ELSE 'n' || i END AS name FROM range(${region === "eu" ? 0 : 10}, ${region === "eu" ? 5 : 15}) t(i)`,
      { region },
    );
  const remove = async (sql: string, equalityIds: number[], columns: Record<string, number>, region: string): Promise<void> => {
    const file = await write(lake, sql, columns);
    const common = { format: "PARQUET", recordCount: 1, fileSize: file.size, path: file.location } as const;
    await addDeletes(lake, "ns.t", [{ ...common, content: "equality-deletes", partition: partition(region), equalityIds }]);
  };
  await remove("SELECT 1::BIGINT AS id UNION ALL SELECT 11", [1], { id: 1 }, "eu");
  assert.deepEqual(await ids(lake), [0, 2, 3, 4, 10, 11, 12, 13, 14]);
  await remove("SELECT NULL::VARCHAR AS name UNION ALL SELECT 'n4'", [3], { name: 3 }, "eu");
  assert.deepEqual(await ids(lake), [0, 2, 10, 11, 12, 13, 14]);
  await lake.append("ns.t", "SELECT 1::BIGINT AS id, 'eu' AS region, 'n1' AS name", { region: "eu" });
  assert.deepEqual(await ids(lake), [0, 1, 2, 10, 11, 12, 13, 14], "a row that came later stays");
  await remove("SELECT 10::BIGINT AS id, 'n10' AS name UNION ALL SELECT 11, 'other'", [1, 3], { id: 1, name: 3 }, "us");
  assert.deepEqual(await ids(lake), [0, 1, 2, 11, 12, 13, 14]);
  assert.deepEqual(await ids(lake, "SELECT id FROM ns.t WHERE region = 'us' AND id < 13 ORDER BY id"), [11, 12]);
});

test("deletion vectors, other formats and encrypted files are refused by name", async (t) => {
  const lake = await openLake(t);
  const common = { content: "position-deletes", format: "PUFFIN", partition: new Map(), recordCount: 1, fileSize: 10 } as const;
  for (const [name, file, pattern] of [
    ["ns.dv", { ...common, path: `s3://${BUCKET}/x.puffin` }, /ns\.dv has deletion vectors/],
    ["ns.avro", { ...common, format: "AVRO", path: `s3://${BUCKET}/x.avro` }, /files of the format AVRO/],
    ["ns.key", { ...common, format: "PARQUET", path: `s3://${BUCKET}/x.parquet`, keyMetadata: Buffer.from("k") }, /encrypted/],
  ] as const) {
    await lake.create(name, [field(1, "id", "long")]);
    await lake.append(name, "SELECT 1::BIGINT AS id");
    await addDeletes(lake, name, [file]);
    await assert.rejects(lake.query(`SELECT * FROM ${name}`), notImplemented(pattern), name);
  }
  await lake.create("ns.ns", [field(1, "id", "long")]);
  const fields = [field(1, "id", "long"), field(2, "at", "timestamptz_ns")];
  Object.assign(lake.metadata("ns.ns"), { "format-version": 3, schemas: [{ type: "struct", "schema-id": 0, fields }] });
  await assert.rejects(lake.query("SELECT id FROM ns.ns"), notImplemented(/column at has the type timestamptz_ns/));
});

test("[r2-sql-31] files without field ids are read by the table's name mapping", async (t) => {
  const lake = await openLake(t);
  const mapping = [
    { "field-id": 1, names: ["id", "ID"] },
    { "field-id": 2, names: ["name", "old_name"] },
    { "field-id": 3, names: ["extra"] },
  ];
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "name", "string"), { ...field(3, "extra", "int") }], undefined, {
    "schema.name-mapping.default": JSON.stringify(mapping),
  });
  await lake.append("ns.t", "SELECT 1::BIGINT AS id, 'with ids' AS name, 5 AS extra");
  const add = async (sql: string): Promise<void> => {
    const file = await write(lake, sql, undefined);
    await lake.add("ns.t", [{ path: file.location, format: "PARQUET", partition: new Map(), recordCount: 1, fileSize: file.size }]);
  };
  await add("SELECT 2::INTEGER AS ID, 'upper' AS old_name, 1 AS unknown");
  await add("SELECT 'three' AS name, 3::BIGINT AS id");
  const { rows } = await lake.query("SELECT * FROM ns.t ORDER BY id");
  assert.deepEqual(rows, [
    { id: 1, name: "with ids", extra: 5 },
    { id: 2, name: "upper", extra: null },
    { id: 3, name: "three", extra: null },
  ]);
  assert.deepEqual(await ids(lake, "SELECT id FROM ns.t WHERE name >= 'u' ORDER BY id"), [1, 2]);
  assert.equal((await lake.query("SELECT count(*) AS n FROM ns.t")).rows[0].n, 3);
});
