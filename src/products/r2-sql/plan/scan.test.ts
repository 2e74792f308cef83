/** Rows of tables whose files are not simply the table: evolved schemas, deletes, defaults, files from elsewhere. */
import assert from "node:assert/strict";
import { copyFile, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { literal } from "../../../kernel/duckdb/engine.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import {
  type ContentFile,
  type ManifestFile,
  readManifest,
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
  const list = readManifestList(await readFile(lake.path(parseS3Location(parent["manifest-list"])?.key as string)));
  const snapshotId = parent["snapshot-id"] + 1n;
  const sequenceNumber = metadata["last-sequence-number"] + 1;
  const path = `s3://${BUCKET}/${name}/metadata/deletes-${sequenceNumber}.avro`;
  const formatVersion = metadata["format-version"];
  const header = { formatVersion, content: "deletes", spec: defaultSpec(metadata), schema: currentSchema(metadata) } as const;
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
  const listBytes = writeManifestList({ formatVersion, snapshotId, parentSnapshotId: parent["snapshot-id"], sequenceNumber }, [
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
        ...(formatVersion === 3 && { "first-row-id": metadata["next-row-id"] as number, "added-rows": 0 }),
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

test("only files that are known to have the table's columns are read by name", async (t) => {
  const lake = await openLake(t);
  const fields = [field(1, "id", "long"), field(2, "price", "decimal(5, 2)"), field(3, "at", "timestamptz")];
  await lake.create("ns.t", fields);
  await lake.append("ns.t", "SELECT 1::BIGINT AS id, 1.5::DECIMAL(5, 2) AS price, now() AS at");
  const match = (...wanted: readonly NestedField[]): string => lake.dependencies.fileColumns.matching(wanted)(locationOf("ns.t", 0));
  assert.equal(match(...fields), "no", "not seen yet");
  await lake.query("SELECT * FROM ns.t");
  assert.equal(match(...fields), "exactly");
  assert.equal(match(field(1, "id", "long")), "all", "columns that the table dropped are in nobody's way");
  assert.equal(match(...fields.toReversed()), "all");
  assert.equal(match(field(1, "renamed", "long")), "no");
  assert.equal(match(field(1, "ID", "long")), "no");
  assert.equal(match(field(9, "id", "long")), "no", "dropped, and made again");
  assert.equal(match(field(2, "price", "decimal(10, 2)")), "no");
  assert.equal(match(...fields, field(4, "added", "int")), "no");
  evolve(lake, "ns.t", [fields[2] as NestedField, fields[0] as NestedField]);
  assert.deepEqual(Object.keys((await lake.query("SELECT * FROM ns.t")).rows[0]), ["at", "id"], "the table's columns in its order");
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

/** The bitmap 0, 1, 5, 70,000, 199,999 as a blob (another implementation's bytes, as in `deletion-vector.test.ts`). */
const BLOB = Buffer.from(
  "0000003ad1d339640100000000000000000000003a3000000300000000000200010000000300000020000000260000002800000000000100050070113f0de696286d",
  "hex",
);

test("[r2-sql-32] rows that a deletion vector deletes are not seen", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "half", "long")]);
  lake.update("ns.t", [{ action: "upgrade-format-version", "format-version": 3 }]);
  const rows = (from: number, to: number): string => `SELECT range AS id, range // 2 AS half FROM range(${from}, ${to})`;
  await lake.append("ns.t", rows(0, 200_000));
  await lake.append("ns.t", rows(200_000, 200_010));
  await lake.append("ns.t", rows(200_010, 200_020));
  const vector = (dataFile: string, changes: Partial<ContentFile> = {}): ContentFile => ({
    content: "position-deletes",
    path: `s3://${BUCKET}/dv.puffin`,
    format: "PUFFIN",
    partition: new Map(),
    recordCount: 5,
    fileSize: 500,
    referencedDataFile: dataFile,
    contentOffset: 100,
    contentSizeInBytes: BLOB.length,
    ...changes,
  });
  await lake.put("dv.puffin", Buffer.concat([Buffer.alloc(100, 1), BLOB, Buffer.alloc(20, 1)]));
  const dataFile = (n: number): string => locationOf("ns.t", n);
  await addDeletes(lake, "ns.t", [vector(dataFile(0))]);
  assert.deepEqual(await ids(lake, "SELECT id FROM ns.t WHERE id < 8 ORDER BY id"), [2, 3, 4, 6, 7]);
  assert.deepEqual(
    await ids(lake, "SELECT id FROM ns.t WHERE half = 35000 OR id > 199997 ORDER BY id LIMIT 4"),
    [70_001, 199_998, 200_000, 200_001],
  );
  const count = async () => (await lake.query("SELECT count(*) AS n FROM ns.t")).rows[0].n;
  assert.equal(await count(), 200_015);
  assert.equal((await lake.query("SELECT count(*) AS n FROM ns.t a JOIN ns.t b ON a.id = b.id")).rows[0].n, 200_015);
  assert.deepEqual(await readdir(join(lake.dir, "masks")), [], "masks go with their query");
  assert.equal(lake.held, 0);

  const fails = (pattern: RegExp, sql = "SELECT * FROM ns.t LIMIT 1") =>
    assert.rejects(lake.query(sql), (error) => error instanceof PlatformError && pattern.test(`${error.code} ${error.message}`));
  // A vector of another file's rows, out of its file's range, twice for one file, damaged, gone.
  await addDeletes(lake, "ns.t", [vector(dataFile(1))]);
  await fails(/fileCorrupt.*dv\.puffin.*the row 70000 out of order or range/);
  assert.deepEqual(await ids(lake, "SELECT id FROM ns.t WHERE id >= 200010 AND id < 200012 ORDER BY id"), [200_010, 200_011]);
  await addDeletes(lake, "ns.t", [vector(dataFile(0))]);
  await fails(/fileCorrupt.*two deletion vectors/);
  assert.deepEqual(await readdir(join(lake.dir, "masks")), []);
});

test("deletion vectors that are damaged, missing or in another bucket fail the query", async (t) => {
  const lake = await openLake(t);
  const table = async (name: string, changes: Partial<ContentFile>): Promise<void> => {
    await lake.create(name, [field(1, "id", "long")]);
    lake.update(name, [{ action: "upgrade-format-version", "format-version": 3 }]);
    const local = await lake.append(name, "SELECT range AS id FROM range(200_000)");
    const list = readManifestList(
      await readFile(lake.path(parseS3Location(snapshotByRef(lake.metadata(name), "main")?.["manifest-list"] as string)?.key as string)),
    );
    const [manifest] = list;
    assert(manifest !== undefined && local !== "");
    const { entries } = readManifest(
      await readFile(lake.path(parseS3Location(manifest.path)?.key as string)),
      manifest,
      lake.metadata(name).schemas,
    );
    const file = {
      content: "position-deletes",
      path: `s3://${BUCKET}/${name}.puffin`,
      format: "PUFFIN",
      partition: new Map(),
      recordCount: 5,
      fileSize: 500,
      contentOffset: 0,
      contentSizeInBytes: BLOB.length,
    } as const;
    await addDeletes(lake, name, [{ ...file, referencedDataFile: entries[0]?.file.path as string, ...changes }]);
  };
  const damaged = Buffer.from(BLOB);
  damaged[20] = 0xff;
  for (const [name, bytes, changes, pattern] of [
    ["ns.damaged", damaged, {}, /fileCorrupt.*wrong checksum/],
    ["ns.cut", BLOB.subarray(0, 30), {}, /fileCorrupt.*too short/],
    ["ns.count", BLOB, { recordCount: 4 }, /fileCorrupt.*deletes 5 rows, and not 4/],
    ["ns.gone", undefined, {}, /fileMissing.*ns\.gone\.puffin/],
    ["ns.elsewhere", BLOB, { path: "s3://another/dv.puffin" }, /fileCorrupt.*another bucket/],
    ["ns.nowhere", BLOB, { contentSizeInBytes: 2 ** 40 }, /fileCorrupt.*cannot have/],
  ] as const) {
    await table(name, changes);
    if (bytes !== undefined) await lake.put(`${name}.puffin`, bytes);
    await assert.rejects(
      lake.query(`SELECT * FROM ${name} LIMIT 1`),
      (error) => error instanceof PlatformError && pattern.test(`${error.code} ${error.message}`),
      name,
    );
  }
});

test("other formats and encrypted files are refused by name", async (t) => {
  const lake = await openLake(t);
  const common = { content: "position-deletes", partition: new Map(), recordCount: 1, fileSize: 10 } as const;
  for (const [name, file, pattern] of [
    ["ns.avro", { ...common, format: "AVRO", path: `s3://${BUCKET}/x.avro` }, /files of the format AVRO/],
    ["ns.key", { ...common, format: "PARQUET", path: `s3://${BUCKET}/x.parquet`, keyMetadata: Buffer.from("k") }, /encrypted/],
  ] as const) {
    await lake.create(name, [field(1, "id", "long")]);
    await lake.append(name, "SELECT 1::BIGINT AS id");
    await addDeletes(lake, name, [file]);
    await assert.rejects(lake.query(`SELECT * FROM ${name}`), notImplemented(pattern), name);
  }
  await lake.create("ns.v", [field(1, "id", "long")]);
  const fields = [field(1, "id", "long"), field(2, "what", "variant" as never)];
  Object.assign(lake.metadata("ns.v"), { "format-version": 3, schemas: [{ type: "struct", "schema-id": 0, fields }] });
  await assert.rejects(lake.query("SELECT id FROM ns.v"), notImplemented(/column what has the type variant/));
});

test("instants of nanoseconds are read to the microsecond", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "seen", "timestamptz")]);
  await lake.append("ns.t", "SELECT 1 AS id, TIMESTAMPTZ '2026-03-01 12:00:00.123456+00' AS seen");
  const fields = [field(1, "id", "long"), field(2, "seen", "timestamptz_ns")];
  Object.assign(lake.metadata("ns.t"), { "format-version": 3, schemas: [{ type: "struct", "schema-id": 0, fields }] });
  assert.deepEqual((await lake.query("SELECT * FROM ns.t WHERE seen > '2026-03-01T12:00:00Z'")).rows, [
    { id: 1, seen: "2026-03-01T12:00:00.123456Z" },
  ]);
});

test("a snapshot of the first format version may name its manifests without a list", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long")], { fields: [{ "source-id": 1, transform: "identity", name: "id" }] });
  for (const id of [1, 2]) await lake.append("ns.t", `SELECT ${id}::BIGINT AS id`, { id: BigInt(id) });
  const snapshot = snapshotByRef(lake.metadata("ns.t"), "main");
  const list = readManifestList(await readFile(lake.path(parseS3Location(snapshot?.["manifest-list"] as string)?.key as string)));
  Object.assign(snapshot as object, { "manifest-list": undefined, manifests: list.map(({ path }) => path) });
  assert.deepEqual(await ids(lake), [1, 2]);
  const { rows, metrics } = await lake.query("SELECT id FROM ns.t WHERE id = 2");
  assert.deepEqual([rows, metrics.filesScanned], [[{ id: 2 }], 1], "bounds exclude the other file");
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
