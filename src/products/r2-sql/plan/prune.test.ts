/** Which files a WHERE clause leaves to read, and that the rows are those of a scan of everything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { UnboundPartitionSpec } from "../../../protocols/iceberg/metadata.ts";
import type { IcebergType } from "../../../protocols/iceberg/types.ts";
import type { Value } from "../../../protocols/iceberg/values.ts";
import { field, type Lake, openLake } from "../lake.test.ts";

const plan = async (lake: Lake, where: string, from = "ns.t"): Promise<{ files: number; manifests: number }> => {
  const { rows } = await lake.query(`EXPLAIN FORMAT JSON SELECT * FROM ${from} ${where}`);
  const [scan] = JSON.parse(rows[0].plan).scans;
  return { files: scan.files, manifests: scan.manifests_pruned };
};

/** One file for each list of values, in one column. */
async function oneColumn(t: Parameters<typeof openLake>[0], type: IcebergType, files: readonly (readonly string[])[]): Promise<Lake> {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "v", type), field(2, "other", "long")]);
  const sqlType = String(type === "timestamptz" ? "TIMESTAMPTZ" : type === "string" ? "VARCHAR" : type);
  for (const values of files)
    await lake.append(
      "ns.t",
      `SELECT CAST(column0 AS ${sqlType}) AS v, 1::BIGINT AS other FROM (VALUES ${values.map((v) => `(${v})`).join(", ")}) x(column0)`,
    );
  return lake;
}

/** Each condition with the number of files that it leaves; the rows must be those that a full scan filters. */
async function check(lake: Lake, cases: Readonly<Record<string, number>>): Promise<void> {
  for (const [condition, files] of Object.entries(cases)) {
    assert.equal((await plan(lake, `WHERE ${condition}`)).files, files, condition);
    const pruned = await lake.query(`SELECT v FROM ns.t WHERE ${condition} ORDER BY v`);
    // A condition that planning does not understand: the same rows without pruning.
    const full = await lake.query(`SELECT v FROM ns.t WHERE CASE WHEN random() >= 0 THEN (${condition}) END ORDER BY v`);
    assert.deepEqual(pruned.rows, full.rows, condition);
    assert.equal(pruned.metrics.filesScanned <= files, true, condition);
  }
}

test("numbers prune by the bounds of files", async (t) => {
  const lake = await oneColumn(t, "int", [
    ["1", "10"],
    ["11", "20"],
    ["21", "30", "NULL"],
    ["NULL", "NULL"],
  ]);
  await check(lake, {
    "v = 15": 1,
    "15 = v": 1,
    "v = 31": 0,
    "v < 11": 1,
    "v <= 11": 2,
    "v > 20": 1,
    "v >= 20": 2,
    "20 <= v": 2,
    "v <> 5": 3,
    "v BETWEEN 9 AND 12": 2,
    "v NOT BETWEEN 5 AND 25": 2,
    "v IN (5, 25)": 2,
    "v NOT IN (5, 25)": 3,
    "v IS NULL": 2,
    "v IS NOT NULL": 3,
    "NOT (v IS NOT NULL)": 2,
    "NOT (v > 10 OR v IS NULL)": 1,
    "v > 5 AND v < 15": 2,
    "v < 3 OR v > 28": 2,
    "v < 3 OR other = 1": 4,
    "v < 3 AND other = 1": 1,
    "v < 3 AND other = 2": 0,
    "v = -5": 0,
    "v > 10.5": 2,
    "v < 10.5": 1,
    "v = 10.5": 3,
    "v = '15'": 1,
    "v = 99999999999": 0,
    "v < 99999999999999999999": 3,
    "v + 1 = 16": 4,
    "v > other": 4,
    "v > 20 AND random() >= 0": 1,
    "CASE WHEN v > 20 THEN true END": 4,
  });
});

test("texts prune by bounds that were cut, prefixes and null counts", async (t) => {
  const long = "x".repeat(20);
  const lake = await oneColumn(t, "string", [
    ["'apple'", "'banana'"],
    ["'cherry'", "'date'"],
    [`'${long}a'`, `'${long}b'`],
    ["'ä'", "'😀'"],
  ]);
  await check(lake, {
    "v = 'avocado'": 1,
    "v = 'bz'": 0,
    "v LIKE 'ch%'": 1,
    "v LIKE 'b%'": 1,
    "v LIKE 'b%a_a'": 1,
    "v LIKE 'cz%'": 1,
    "v LIKE 'e%'": 0,
    "v LIKE '%erry'": 4,
    "v LIKE 'date'": 1,
    "v NOT LIKE 'a%'": 4,
    [`v = '${long}c'`]: 1,
    [`v LIKE '${long}%'`]: 1,
    [`v > '${long}'`]: 2,
    [`v < '${long}'`]: 3,
    "v >= 'b'": 4,
    "v > 'e'": 2,
    "v = '😀'": 1,
    "v > '�'": 1,
    "v ILIKE 'CH%'": 4,
    "lower(v) = 'apple'": 4,
    "v = 5::VARCHAR": 4,
  });
});

test("times prune by RFC 3339 texts, dates and typed literals", async (t) => {
  const lake = await oneColumn(t, "timestamptz", [
    ["'2025-09-20 00:00:00+00'", "'2025-09-20 23:59:59.999999+00'"],
    ["'2025-09-21 00:00:00+00'", "'2025-09-21 12:00:00+00'"],
    ["'2025-09-22 00:00:00+00'", "'2025-09-22 12:00:00+00'"],
  ]);
  await check(lake, {
    "v >= '2025-09-21T00:00:00Z'": 2,
    "v >= '2025-09-21'": 2,
    "v < '2025-09-21'": 1,
    "v >= TIMESTAMP '2025-09-21 00:00:00'": 2,
    "v BETWEEN '2025-09-20T23:59:59.999999Z' AND '2025-09-21T00:00:00Z'": 2,
    "v >= '2025-09-22T02:00:00+02:00'": 1,
    "v > '2025-09-22T12:00:00.000001Z'": 0,
    "v = DATE '2025-09-22'": 1,
    "date_trunc('day', v) = '2025-09-22'": 3,
  });
});

test("times without a zone take the offset of a text into account", async (t) => {
  const lake = await oneColumn(t, "timestamp", [["'2025-09-21 23:30:00'"], ["'2025-09-22 00:30:00'"], ["'2025-09-22 02:30:00'"]]);
  const expected: Readonly<Record<string, number>> = {
    "v < '2025-09-22T02:00:00+02:00'": 1,
    "v >= '2025-09-22T02:00:00+02:00'": 2,
    "'2025-09-22T02:00:00+02:00' <= v": 2,
    "v BETWEEN '2025-09-22T02:00:00+02:00' AND '2025-09-22T04:00:00+02:00'": 1,
    "v IN ('2025-09-22T02:30:00+02:00', '2025-09-22T00:30:00-02:00')": 2,
    "v > '2025-09-22T00:30:00Z'": 1,
    "x.v = '2025-09-22T02:30:00+02:00'": 1,
  };
  for (const [condition, rows] of Object.entries(expected)) {
    assert.equal((await lake.query(`SELECT v FROM ns.t x WHERE ${condition}`)).rows.length, rows, condition);
    assert.equal((await plan(lake, `WHERE ${condition}`, "ns.t x")).files, rows, condition);
  }
  assert.equal(
    (await lake.query("SELECT v FROM ns.t x WHERE (SELECT max(y.v) FROM ns.t y WHERE x.v < '2025-09-22T02:00:00+02:00') IS NOT NULL")).rows
      .length,
    1,
  );
});

test("floating-point numbers keep files that may have NaN, which is larger than every number", async (t) => {
  const lake = await oneColumn(t, "double", [
    ["1.0::DOUBLE", "2.0"],
    ["3.0::DOUBLE", "'nan'::DOUBLE"],
  ]);
  await check(lake, { "v > 100": 1, "v >= 2.0": 2, "v < 2.5": 1, "v = 3": 1, "v != 3.0": 2 });
});

test("decimals compare by their exact value", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "v", "decimal(10, 2)"), field(2, "p", "decimal(10, 2)")], {
    fields: [{ "source-id": 2, name: "p", transform: "identity" }],
  });
  for (const n of [1, 2, 3])
    await lake.append("ns.t", `SELECT ${n}.5::DECIMAL(10, 2) AS v, ${n}.5::DECIMAL(10, 2) AS p`, { p: BigInt(n * 100 + 50) });
  await check(lake, { "p = 2.5": 1, "p > 2.505": 1, "p < 2.500": 1, "p <= 2.5": 2, "p = 2.501": 3, "p >= 2": 2, "p = 2.5e0": 3 });
});

interface Partitioned {
  readonly type: IcebergType;
  readonly transform: string;
  /** SQL literals and the same in the form of the partition's source value, one file each. */
  readonly files: readonly (readonly [string, Value | null])[];
  readonly cases: Readonly<Record<string, number>>;
}

const micros = (text: string): bigint => BigInt(Date.parse(text)) * 1000n;
const PARTITIONED: Readonly<Record<string, Partitioned>> = {
  identity: {
    type: "string",
    transform: "identity",
    files: [
      ["'eu'", "eu"],
      ["'us'", "us"],
      ["NULL", null],
    ],
    cases: { "v = 'us'": 1, "v != 'us'": 1, "v IS NULL": 1, "v IS NOT NULL": 2, "v LIKE 'e%'": 1, "v IN ('eu', 'us')": 2, "v > 'a'": 2 },
  },
  day: {
    type: "timestamptz",
    transform: "day",
    files: ["2025-09-20T10:00:00Z", "2025-09-21T10:00:00Z", "2025-09-22T10:00:00Z"].map((at) => [`'${at}'`, micros(at)] as const),
    cases: {
      "v >= '2025-09-21' AND v < '2025-09-22'": 1,
      "v > '2025-09-21T09:00:00Z'": 2,
      "v = '2025-09-20T10:00:00Z'": 1,
      "v < '2025-09-20'": 0,
      "v IS NULL": 0,
    },
  },
  month: {
    type: "date",
    transform: "month",
    files: [
      ["'2025-01-31'", 20119],
      ["'2025-02-01'", 20120],
      ["'1969-12-31'", -1],
    ],
    cases: { "v = '2025-02-28'": 0, "v >= '2025-02-01'": 1, "v < '1970-01-01'": 1, "v > '2025-01-31'": 1 },
  },
  truncate: {
    type: "string",
    transform: "truncate[2]",
    files: [
      ["'apple'", "apple"],
      ["'apricot'", "apricot"],
      ["'banana'", "banana"],
    ],
    cases: { "v LIKE 'ap%'": 2, "v LIKE 'app%'": 1, "v = 'banana'": 1, "v < 'b'": 2, "v LIKE 'a%'": 2, "v LIKE 'bx%'": 0 },
  },
  "truncate of integers": {
    type: "long",
    transform: "truncate[10]",
    files: [
      ["5", 5n],
      ["15", 15n],
      ["-1", -1n],
    ],
    cases: { "v = 15": 1, "v < 0": 1, "v >= 10": 1, "v BETWEEN 0 AND 9": 1 },
  },
  bucket: {
    type: "long",
    transform: "bucket[16]",
    files: [
      ["1", 1n],
      ["2", 2n],
      ["3", 3n],
    ],
    cases: { "v = 2": 1, "v > 1": 2, "v IN (1, 3)": 2 },
  },
};

for (const [name, { type, transform, files, cases }] of Object.entries(PARTITIONED)) {
  test(`[r2-sql-27] partitions prune: ${name}`, async (t) => {
    const lake = await openLake(t);
    const spec: UnboundPartitionSpec = { fields: [{ "source-id": 1, name: "part", transform }] };
    await lake.create("ns.t", [field(1, "v", type), field(2, "other", "long")], spec);
    const sqlType = type === "timestamptz" ? "TIMESTAMPTZ" : type === "string" ? "VARCHAR" : type === "long" ? "BIGINT" : String(type);
    for (const [sql, value] of files) await lake.append("ns.t", `SELECT CAST(${sql} AS ${sqlType}) AS v, 1::BIGINT AS other`, { v: value });
    await check(lake, cases);
  });
}

test("manifests are left out by the summaries in the manifest list, and LIMIT ends the search", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "v", "long")], { fields: [{ "source-id": 1, name: "part", transform: "identity" }] });
  for (let i = 0; i < 5; i++) await lake.append("ns.t", `SELECT ${i}::BIGINT AS v FROM range(100)`, { v: BigInt(i) });
  assert.deepEqual(await plan(lake, "WHERE v = 3"), { files: 1, manifests: 4 });
  assert.deepEqual(await plan(lake, "WHERE v > 3 OR v = 0"), { files: 2, manifests: 3 });
  for (const [sql, files] of [
    ["SELECT * FROM ns.t LIMIT 100", 1],
    ["SELECT * FROM ns.t LIMIT 150", 2],
    ["SELECT * FROM ns.t", 5],
    ["SELECT count(*) FROM ns.t", 5],
    ["SELECT * FROM ns.t ORDER BY v LIMIT 1", 5],
    ["SELECT v FROM ns.t GROUP BY v LIMIT 1", 5],
    ["SELECT sum(v) OVER () FROM ns.t LIMIT 1", 5],
    ["SELECT * FROM ns.t WHERE v + 0 = 4 LIMIT 1", 5],
  ] as const)
    assert.equal(
      (await lake.query(`EXPLAIN FORMAT JSON ${sql}`).then(({ rows }) => JSON.parse(rows[0].plan).scans[0].files)) as number,
      files,
      sql,
    );
  assert.equal((await lake.query("SELECT v FROM ns.t WHERE v + 0 = 4 LIMIT 1")).rows.length, 1);
});

test("conditions prune only the table whose columns they are about", async (t) => {
  const lake = await openLake(t);
  for (const name of ["ns.a", "ns.b", "other.a"]) {
    await lake.create(name, [field(1, "id", "long"), field(2, name === "ns.b" ? "only_b" : "only_a", "long")]);
    for (const id of [1, 2, 3])
      await lake.append(name, `SELECT ${id}::BIGINT AS id, ${id * 10}::BIGINT AS ${name === "ns.b" ? "only_b" : "only_a"}`);
  }
  const scans = async (sql: string): Promise<number[]> => {
    const { rows } = await lake.query(`EXPLAIN FORMAT JSON ${sql}`);
    return JSON.parse(rows[0].plan).scans.map((scan: { files: number }) => scan.files);
  };
  const cases: readonly (readonly [string, readonly number[], number])[] = [
    ["SELECT * FROM ns.a x JOIN ns.b y ON x.id = y.id WHERE x.id = 1", [1, 3], 1],
    ["SELECT * FROM ns.a x JOIN ns.b y ON x.id = y.id WHERE y.only_b = 10 AND only_a = 10", [1, 1], 1],
    ["SELECT * FROM ns.a, ns.b WHERE only_a = 10", [1, 3], 3],
    ["SELECT * FROM ns.a, other.a WHERE ns.a.id = 1 AND other.a.id > 1", [1, 2], 2],
    // The side that is filled with nulls: a condition that no null fulfils prunes, IS NULL does not.
    ["SELECT * FROM ns.a x LEFT JOIN ns.b y ON x.id = y.id AND y.id > 1 WHERE y.id IS NULL", [3, 3], 1],
    ["SELECT * FROM ns.a x LEFT JOIN ns.b y ON x.id = y.id WHERE y.id = 2", [3, 1], 1],
    ["SELECT * FROM ns.a x LEFT JOIN ns.b y ON x.id = y.id WHERE x.id = 2", [1, 3], 1],
    ["SELECT * FROM ns.a x FULL JOIN ns.b y ON x.id = y.id + 1 WHERE x.id IS NULL", [3, 3], 1],
    ["SELECT id FROM ns.a x LEFT JOIN ns.b y USING (id) WHERE id = 2", [3, 3], 1],
    ["SELECT * FROM ns.a x WHERE x.id IN (SELECT id FROM ns.b WHERE only_b = 20)", [3, 1], 1],
    ["SELECT * FROM ns.a WHERE EXISTS (SELECT 1 FROM ns.b WHERE only_a = 20 AND ns.b.id = ns.a.id)", [3, 3], 1],
    ["SELECT id + 1 AS only_a FROM ns.a WHERE only_a = 20", [1], 1],
    ["SELECT * FROM ns.a AS x(only_a, id) WHERE only_a = 2", [3], 1],
    ["WITH a AS (SELECT id + 10 AS id FROM ns.a) SELECT * FROM a WHERE id = 12", [3], 1],
    ["SELECT x.id FROM ns.a x, ns.a y WHERE x.id = 1 AND y.id = 2", [1, 1], 1],
    ["SELECT id FROM ns.a WHERE id = 1 UNION ALL SELECT id FROM ns.a WHERE id > 1", [1, 2], 3],
    ["SELECT * FROM ns.a WHERE ns.a.id = 1", [1], 1],
    ["SELECT * FROM ns.a WHERE A.ID = 1", [1], 1],
  ];
  for (const [sql, files, rows] of cases) {
    assert.deepEqual(await scans(sql), files, sql);
    assert.equal((await lake.query(sql)).rows.length, rows, sql);
  }
});
