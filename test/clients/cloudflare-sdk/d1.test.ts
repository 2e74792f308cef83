/** D1 through its REST API: the official SDK where it can say it, plain requests for what it cannot. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";
import { rowsOf } from "../analytics.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const base = `/accounts/${account_id}/d1/database`;
const client = platform.sdk();

const database = async (name: string): Promise<string> => (await platform.rest("POST", base, { name })).body.result.uuid;
const query = (uuid: string, sql: string, params?: unknown[]) =>
  platform.rest("POST", `${base}/${uuid}/query`, { sql, ...(params && { params }) });
const rows = async (uuid: string, sql: string) =>
  (await platform.rest("POST", `${base}/${uuid}/raw`, { sql })).body.result.at(-1).results.rows;

function apiError(status: number, code: number, message: string | RegExp) {
  return (error: unknown): true => {
    assert(error instanceof Cloudflare.APIError);
    assert.deepEqual([error.status, error.errors[0]?.code], [status, code]);
    if (typeof message === "string") assert.equal(error.errors[0]?.message, message);
    else assert.match(error.errors[0]?.message ?? "", message);
    return true;
  };
}

test("[d1-30] databases are created, fetched by id and name, edited and deleted by the SDK", async () => {
  const created = await client.d1.database.create({ account_id, name: "sdk-life", primary_location_hint: "weur" });
  const uuid = created.uuid as string;
  assert.match(uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.deepEqual([created.name, created.version, created.num_tables], ["sdk-life", "production", 0]);
  assert(Math.abs(Date.parse(created.created_at as string) - Date.now()) < 60_000);
  await query(uuid, "CREATE TABLE a (x); CREATE TABLE b (x)");
  const got = await client.d1.database.get(uuid, { account_id });
  assert.deepEqual([got.num_tables, got.read_replication], [2, { mode: "disabled" }]);
  assert((got.file_size as number) >= 8192);
  const byName = await platform.rest("GET", `${base}/sdk-life?fields=uuid,name`);
  assert.deepEqual(byName.body.result, { uuid, name: "sdk-life" });
  assert.deepEqual((await client.d1.database.update(uuid, { account_id, read_replication: { mode: "auto" } })).read_replication, {
    mode: "auto",
  });
  assert.deepEqual((await client.d1.database.get(uuid, { account_id })).read_replication, { mode: "auto" });
  await client.d1.database.edit(uuid, { account_id, read_replication: { mode: "disabled" } });
  assert.deepEqual((await client.d1.database.get(uuid, { account_id })).read_replication, { mode: "disabled" });
  assert.deepEqual((await client.d1.database.edit(uuid, { account_id })).read_replication, { mode: "disabled" });
  await client.d1.database.delete(uuid, { account_id });
  await assert.rejects(client.d1.database.get(uuid, { account_id }), apiError(404, 7404, `The database ${uuid} could not be found`));
});

test("lists are paged and narrowed by name; names are unique", async () => {
  for (let i = 0; i < 5; i++) await database(`listed-${i}`);
  const names: (string | undefined)[] = [];
  for await (const one of client.d1.database.list({ account_id, name: "listed-", per_page: 2 })) names.push(one.name);
  assert.deepEqual(names, ["listed-0", "listed-1", "listed-2", "listed-3", "listed-4"]);
  const page = await platform.rest("GET", `${base}?name=listed-&per_page=2&page=3`);
  assert.deepEqual([page.body.result.length, page.body.result_info?.total_count], [1, 5]);
  await assert.rejects(
    client.d1.database.create({ account_id, name: "listed-0" }),
    apiError(400, 7502, "Database with name: 'listed-0' already exists"),
  );
  const odd = `it's "odd"; DROP TABLE d1_databases -- ../..`;
  const uuid = await database(odd);
  assert.equal((await platform.rest("GET", `${base}/${encodeURIComponent(odd)}`)).body.result.uuid, uuid);
});

test("[d1-26] query and raw, single and as a batch, by the SDK", async () => {
  const uuid = await database("sdk-query");
  const all = async (params: Parameters<typeof client.d1.database.query>[1]) => {
    const results = [];
    for await (const result of client.d1.database.query(uuid, params)) results.push(result);
    return results;
  };
  await all({ account_id, sql: "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)" });
  const [insert] = await all({ account_id, sql: "INSERT INTO t (v) VALUES (?), (?)", params: ["a", "b"] });
  assert.deepEqual([insert?.success, insert?.meta?.changes, insert?.meta?.last_row_id, insert?.meta?.rows_written], [true, 2, 2, 2]);
  assert.deepEqual((await all({ account_id, sql: "SELECT * FROM t WHERE v = ?", params: ["b"] }))[0]?.results, [{ id: 2, v: "b" }]);
  const batch = await all({
    account_id,
    batch: [
      { sql: "INSERT INTO t (v) VALUES (?)", params: ["c"] },
      { sql: "SELECT count(*) AS n FROM t", params: [] },
    ],
  });
  assert.deepEqual(
    batch.map((result) => result.results),
    [[], [{ n: 3 }]],
  );
  const raw = [];
  for await (const result of client.d1.database.raw(uuid, { account_id, sql: "SELECT v, id FROM t ORDER BY id LIMIT 2" }))
    raw.push(result.results);
  assert.deepEqual(raw, [
    {
      columns: ["v", "id"],
      rows: [
        ["a", 1],
        ["b", 2],
      ],
    },
  ]);
});

test("several statements of one text have one result each, and stand or fall together", async () => {
  const uuid = await database("statements");
  const text = `
    -- it's a comment; with a semicolon
    CREATE TABLE log (v TEXT);
    CREATE TABLE t (v TEXT); /* and; another */
    CREATE TRIGGER tr AFTER INSERT ON t BEGIN
      INSERT INTO log VALUES ('a;b' || new.v);
      INSERT INTO log SELECT CASE WHEN new.v = 'x' THEN 'is x' ELSE 'other' END;
    END;
    INSERT INTO t VALUES ('x');
    SELECT v FROM log;`;
  const { body } = await query(uuid, text);
  assert.deepEqual(
    body.result.map((one: { results: unknown }) => one.results),
    [[], [], [], [], [{ v: "a;bx" }, { v: "is x" }]],
  );
  const failed = await query(uuid, "INSERT INTO t VALUES ('y'); INSERT INTO nope VALUES (1)");
  assert.deepEqual([failed.status, failed.body.errors], [400, [{ code: 7500, message: "no such table: nope: SQLITE_ERROR" }]]);
  assert.deepEqual(await rows(uuid, "SELECT count(*) FROM t"), [[1]]);
  const bound = await query(uuid, "SELECT ?; SELECT ?", ["1"]);
  assert.equal(bound.status, 400);
});

test("values of every type go in and out", async () => {
  const uuid = await database("types");
  const { body } = await query(uuid, "SELECT ? AS text, ? AS number, ? AS missing, ? AS truth, ? AS bytes", [
    "é",
    1.5,
    null,
    true,
    [0, 255],
  ]);
  assert.deepEqual(body.result[0].results, [{ text: "é", number: 1.5, missing: null, truth: 1, bytes: [0, 255] }]);
});

test("[d1-27] wrong requests answer 4xx with the API's codes", async () => {
  const uuid = await database("wrong");
  const refused = async (answer: ReturnType<typeof query>, status: number, code: number, message: RegExp) => {
    const { status: actual, body } = await answer;
    assert.deepEqual([actual, body.errors[0]?.code], [status, code]);
    assert.match(body.errors[0]?.message ?? "", message);
  };
  await refused(query(uuid, "SELEC 1"), 400, 7500, /near "SELEC": syntax error at offset 0: SQLITE_ERROR/);
  await refused(query(uuid, "-- nothing"), 400, 7500, /No SQL statements detected\./);
  await refused(query("not-a-uuid", "SELECT 1"), 400, 7400, /Invalid property: databaseId => Invalid uuid/);
  await refused(query("550e8400-e29b-41d4-a716-446655440000", "SELECT 1"), 404, 7404, /The database 550e8400-\S+ could not be found/);
  await refused(platform.rest("POST", `${base}/${uuid}/query`, { params: [] }), 400, 7400, /Invalid property/);
  await refused(platform.rest("POST", base, { name: "" }), 400, 7400, /Invalid property: name/);
  await refused(platform.rest("POST", `${base}/${uuid}/time_travel/restore`), 400, 7400, /Invalid property: bookmark/);
});

test("[d1-13] SQLite's limits are D1's", async () => {
  const uuid = await database("limits");
  const list = (length: number, item: (i: number) => string) => Array.from({ length }, (_, i) => item(i)).join();
  const allowed: [string, unknown[]?][] = [
    [`CREATE TABLE c (${list(100, (i) => `c${i}`)})`],
    [`SELECT ${list(100, () => "?")}`, Array(100).fill(1)],
    [`SELECT '${"x".repeat(99_000)}'`],
    [`SELECT 'a' LIKE '${"%".repeat(50)}'`],
    ["CREATE TABLE v AS SELECT ? AS v", ["x".repeat(2_000_000)]],
  ];
  const refused: [string, RegExp, unknown[]?][] = [
    [`CREATE TABLE d (${list(101, (i) => `c${i}`)})`, /too many columns on d/],
    [`SELECT ${list(101, () => "?")}`, /too many SQL variables/, Array(101).fill(1)],
    [`SELECT '${"x".repeat(100_001)}'`, /statement too long: SQLITE_TOOBIG/],
    [`SELECT 'a' LIKE '${"%".repeat(51)}'`, /LIKE or GLOB pattern too complex/],
  ];
  for (const [sql, params] of allowed) assert.equal((await query(uuid, sql, params)).status, 200, sql.slice(0, 60));
  for (const [sql, message, params] of refused) {
    const { status, body } = await query(uuid, sql, params);
    assert.equal(status, 400);
    assert.match(body.errors[0]?.message ?? "", message);
  }
});

test("[d1-27] a token needs D1's permission on every route; Read does not write", async () => {
  const uuid = await database("guarded");
  await query(uuid, "CREATE TABLE t (v); INSERT INTO t VALUES (1)");
  const call = async (token: string, method: string, path: string, body?: unknown) =>
    (await platform.rest(method, path, body, token)).status;
  const stranger = (await platform.token(["Account Settings Write"])).value;
  const reader = (await platform.token(["D1 Read"])).value;
  const one = `${base}/${uuid}`;
  const reads: [string, string, unknown?][] = [
    ["GET", base],
    ["GET", one],
    ["POST", `${one}/query`, { sql: "SELECT * FROM t" }],
    ["POST", `${one}/raw`, { sql: "WITH a AS (SELECT 1) SELECT * FROM a; EXPLAIN SELECT 1; PRAGMA table_info(t)" }],
    ["POST", `${one}/export`, { output_format: "polling" }],
  ];
  const writes: [string, string, unknown?][] = [
    ["POST", base, { name: "by-stranger" }],
    ["PUT", one, { read_replication: { mode: "auto" } }],
    ["PATCH", one, {}],
    ["POST", `${one}/import`, { action: "init", etag: "0".repeat(32) }],
    ["DELETE", one],
    ...[
      "INSERT INTO t VALUES (2)",
      "WITH a AS (SELECT 3 AS n) INSERT INTO t SELECT n FROM a",
      "DROP TABLE t",
      "-- SELECT\nDELETE FROM t",
      "SELECT 1; DELETE FROM t",
      "REPLACE INTO t VALUES (1)",
    ].map((sql): [string, string, unknown] => ["POST", `${one}/query`, { sql }]),
    ["POST", `${one}/query`, { batch: [{ sql: "SELECT 1" }, { sql: "CREATE TABLE u (v)" }] }],
  ];
  for (const [method, path, body] of [...reads, ...writes])
    assert.equal(await call(stranger, method, path, body), 403, `${method} ${JSON.stringify(body)}`);
  for (const [method, path, body] of writes) assert.equal(await call(reader, method, path, body), 403, `${method} ${JSON.stringify(body)}`);
  for (const [method, path, body] of reads) assert.equal(await call(reader, method, path, body), 200, `${method} ${JSON.stringify(body)}`);
  assert.deepEqual(await rows(uuid, "SELECT v FROM t"), [[1]]);
  assert.deepEqual(await rows(uuid, "SELECT count(*) FROM sqlite_master WHERE name = 'u'"), [[0]]);
});

test("an import is uploaded to its own URL and changes all or nothing", async () => {
  const uuid = await database("import");
  const put = async (sql: string, etag = createHash("md5").update(sql).digest("hex")) => {
    const { upload_url, filename } = await client.d1.database.import(uuid, { account_id, action: "init", etag });
    const uploaded = await platform.fetch(upload_url as string, { method: "PUT", body: sql });
    await uploaded.arrayBuffer();
    return {
      status: uploaded.status,
      etag: uploaded.headers.get("etag"),
      filename: filename as string,
      md5: etag,
      url: upload_url as string,
    };
  };
  const job = async (body: object) => (await platform.rest("POST", `${base}/${uuid}/import`, body)).body.result;
  const ingest = async ({ filename, md5 }: Awaited<ReturnType<typeof put>>) => {
    let answer = await job({ action: "ingest", filename, etag: md5 });
    while (answer.status === "active") answer = await job({ action: "poll", current_bookmark: answer.at_bookmark });
    return answer;
  };
  const many = `CREATE TABLE big (id INTEGER PRIMARY KEY, v TEXT);\n${Array.from({ length: 20_000 }, (_, i) => `INSERT INTO big VALUES (${i}, 'it''s; ${i}');`).join("\n")}`;
  const upload = await put(many);
  assert.deepEqual([upload.status, upload.etag], [200, `"${upload.md5}"`]);
  const done = await ingest(upload);
  assert.deepEqual([done.success, done.status, done.result.num_queries], [true, "complete", 20_001]);
  assert.deepEqual([done.result.meta.changes, done.result.meta.rows_written >= 20_000], [20_000, true]);
  assert.deepEqual(await rows(uuid, "SELECT count(*), max(v) FROM big"), [[20_000, "it's; 9999"]]);
  const bad = await ingest(await put("INSERT INTO big VALUES (100000, 'new');\nINSERT INTO nope VALUES (1);"));
  assert.deepEqual([bad.success, bad.status, bad.errors], [true, "error", ["no such table: nope: SQLITE_ERROR"]]);
  assert.deepEqual(await rows(uuid, "SELECT count(*) FROM big"), [[20_000]]);
  assert.equal((await put("SELECT 1;", "0".repeat(32))).status, 400);
  assert.equal(
    (await platform.fetch(upload.url.replace(/d1-transfers\/.{5}/, "d1-transfers/AAAAA"), { method: "PUT", body: many })).status,
    404,
  );
  // An upload's URL is not one to read from.
  assert.equal((await platform.fetch((await put("SELECT 1;")).url)).status, 404);
  const nothing = await job({ action: "poll", current_bookmark: "x" });
  assert.deepEqual([nothing.success, nothing.error], [false, "Not currently importing anything."]);
});

test("[d1-20] an export makes the same database again: schema, rows, every type", async () => {
  const from = await database("export-from");
  const to = await database("export-to");
  await query(
    from,
    `CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, r REAL, b BLOB, any, g AS (id * 2) STORED);
     CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES "odd ""name" (id));
     CREATE INDEX child_parent ON child (parent);
     CREATE VIEW v AS SELECT id FROM child;
     CREATE TRIGGER v_insert INSTEAD OF INSERT ON v BEGIN INSERT INTO child (id) VALUES (new.id); END;`,
  );
  const insert = `INSERT INTO "odd ""name" (t, r, b, any) VALUES`;
  await query(
    from,
    `${insert} ('line
one; it''s', 0.1, X'00FF', 9007199254740993), ('a' || char(0) || 'b', 9e999, NULL, 5.0), (char(13) || char(10) || '\\n', -1e-300, X'', 'x');
     INSERT INTO child VALUES (1, 3), (2, NULL)`,
  );
  const dump = async (options: object) => {
    const { body } = await platform.rest("POST", `${base}/${from}/export`, { output_format: "polling", dump_options: options });
    assert.equal(body.result.status, "complete", JSON.stringify(body));
    return (await platform.fetch(body.result.result.signed_url)).text();
  };
  const full = await dump({});
  const etag = createHash("md5").update(full).digest("hex");
  const { upload_url, filename } = await client.d1.database.import(to, { account_id, action: "init", etag });
  await platform.fetch(upload_url as string, { method: "PUT", body: full });
  const done = await platform.rest("POST", `${base}/${to}/import`, { action: "ingest", filename, etag });
  assert.equal(done.body.result.status, "complete", JSON.stringify(done.body));
  const state = (uuid: string) =>
    rows(
      uuid,
      `SELECT quote(t), hex(t), quote(r), quote(b), quote(any), typeof(any), g FROM "odd ""name" UNION ALL SELECT id, parent, 0, 0, 0, 0, 0 FROM child
      UNION ALL SELECT name, sql, tbl_name, 0, 0, 0, 0 FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' UNION ALL SELECT name, seq, 0, 0, 0, 0, 0 FROM sqlite_sequence`,
    );
  const sorted = async (uuid: string) => (await state(uuid)).map((row: unknown) => JSON.stringify(row)).toSorted();
  assert.deepEqual(await sorted(to), await sorted(from));
  const schema = await dump({ no_data: true });
  assert.doesNotMatch(schema, /INSERT INTO "/);
  assert.match(schema, /CREATE VIEW v AS/);
  const data = await dump({ no_schema: true, tables: ["child"] });
  assert.deepEqual(data.trim().split("\n"), [
    "PRAGMA defer_foreign_keys=TRUE;",
    'INSERT INTO "child" ("id","parent") VALUES(1,3);',
    'INSERT INTO "child" ("id","parent") VALUES(2,NULL);',
  ]);
  await query(from, "CREATE VIRTUAL TABLE f USING fts5(x)");
  const refused = await platform.rest("POST", `${base}/${from}/export`, { output_format: "polling" });
  assert.deepEqual(
    [refused.body.result.status, refused.body.result.error],
    ["error", "D1 Export error: cannot export databases with Virtual Tables (fts5)"],
  );
});

test("[d1-37] the analytics API has rows, durations and sizes of each database by day", async () => {
  const uuid = await database("figures");
  const used = { rowsRead: 0, rowsWritten: 0 };
  const statements = ["CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t (v) VALUES ('a'), ('b'), ('c')"];
  for (const sql of [...statements, ...Array<string>(4).fill("SELECT * FROM t")]) {
    const { meta } = (await query(uuid, sql)).body.result[0];
    used.rowsRead += meta.rows_read;
    used.rowsWritten += meta.rows_written;
  }
  assert(used.rowsRead >= 12 && used.rowsWritten >= 3);
  const where = `databaseId: "${uuid}"`;
  const selection =
    "count sum { readQueries writeQueries rowsRead rowsWritten queryBatchResponseBytes } quantiles { queryBatchTimeMsP50 queryBatchTimeMsP90 } dimensions { date databaseId }";
  const [row] = await rowsOf(platform, "d1AnalyticsAdaptiveGroups", `, ${where}`, "", selection);
  assert(row !== undefined);
  const { queryBatchResponseBytes, ...sum } = row.sum as Record<string, number>;
  assert.deepEqual(sum, { readQueries: 4, writeQueries: 2, ...used });
  assert((queryBatchResponseBytes as number) > 1000);
  assert.deepEqual(row.dimensions, { date: new Date().toISOString().slice(0, 10), databaseId: uuid });
  const { queryBatchTimeMsP50: half, queryBatchTimeMsP90: most } = row.quantiles as Record<string, number>;
  assert((half as number) > 0 && (most as number) >= (half as number));
  const [stored] = await rowsOf(
    platform,
    "d1StorageAdaptiveGroups",
    `, ${where}`,
    "",
    "max { databaseSizeBytes } dimensions { databaseId }",
  );
  const { file_size } = await client.d1.database.get(uuid, { account_id });
  assert.deepEqual(stored, { max: { databaseSizeBytes: file_size }, dimensions: { databaseId: uuid } });
});
