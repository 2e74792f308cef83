/** D1 by wrangler, against the platform as the remote. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after });
const base = `/accounts/${platform.ready.account_id}/d1/database`;

async function directory(): Promise<string> {
  const dir = await temporaryDirectory("freehold-wrangler-d1-");
  return dir;
}

const home = await directory();
const wrangler = (args: readonly string[], options: { cwd?: string; code?: number } = {}) =>
  platform.wrangler(args, { cwd: home, ...options });
const query = async (uuid: string, sql: string) => (await platform.rest("POST", `${base}/${uuid}/query`, { sql })).body.result;

/** A project with a database of its own. */
async function project(name: string, more: object = {}): Promise<{ uuid: string; dir: string }> {
  const { uuid } = (await platform.rest("POST", base, { name })).body.result;
  const dir = await directory();
  const d1_databases = [{ binding: "DB", database_name: name, database_id: uuid, ...more }];
  await writeFile(join(dir, "wrangler.json"), JSON.stringify({ name, compatibility_date: "2026-11-01", d1_databases }));
  return { uuid, dir };
}

test("[d1-16] create, list, info and delete", async () => {
  const created = await wrangler(["d1", "create", "wrangler-life"]);
  const uuid = /"database_id": "([0-9a-f-]{36})"/.exec(created.stdout)?.[1];
  assert(uuid !== undefined, created.stdout);
  assert.match(created.stdout, /Successfully created DB 'wrangler-life'/);
  const again = await wrangler(["d1", "create", "wrangler-life"], { code: 1 });
  assert.match(again.stdout + again.stderr, /A database with that name already exists/);
  const listed = JSON.parse((await wrangler(["d1", "list", "--json"])).stdout) as { uuid: string; name: string }[];
  assert.equal(listed.find((one) => one.uuid === uuid)?.name, "wrangler-life");
  await query(uuid, "CREATE TABLE a (v); CREATE TABLE b (v)");
  await query(uuid, "INSERT INTO a VALUES (1), (2), (3)");
  for (let i = 0; i < 4; i++) await query(uuid, "SELECT * FROM a");
  const info = JSON.parse((await wrangler(["d1", "info", "wrangler-life", "--json"])).stdout);
  assert.deepEqual([info.uuid, info.name, info.num_tables, info.read_replication], [uuid, "wrangler-life", 2, { mode: "disabled" }]);
  assert(info.database_size >= 8192, JSON.stringify(info));
  assert.deepEqual([info.read_queries_24h, info.write_queries_24h, info.rows_read_24h >= 12], [4, 3, true], JSON.stringify(info));
  assert(info.rows_written_24h >= 3);
  assert.match((await wrangler(["d1", "info", "wrangler-life"])).stdout, /num_tables\s*│\s*2/);
  await wrangler(["d1", "delete", "wrangler-life", "--skip-confirmation"]);
  assert.equal((await platform.rest("GET", `${base}/${uuid}`)).status, 404);
});

test("[d1-17] execute --remote --command prints a table, or JSON", async () => {
  const { dir } = await project("wrangler-command");
  const execute = (command: string, ...args: string[]) =>
    wrangler(["d1", "execute", "wrangler-command", "--remote", "--command", command, ...args], { cwd: dir });
  const made = await execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t (v) VALUES ('apple'), ('pear')");
  assert.match(made.stdout, /Executed 2 commands in \d+\.\d\dms/);
  // Without a terminal wrangler prints JSON whatever it is asked; `script` gives it one.
  const line = 'wrangler d1 execute wrangler-command --remote --command "SELECT * FROM t"';
  const table = await platform.exec("script", ["--quiet", "--return", "--command", line, "/dev/null"], { cwd: dir });
  assert.match(stripVTControlCharacters(table.stdout), /│ id │ v\s+│[\s\S]*│ 1\s+│ apple │[\s\S]*│ 2\s+│ pear\s+│/);
  const [json] = JSON.parse((await execute("SELECT v FROM t WHERE id = 2", "--json")).stdout);
  assert.deepEqual([json.results, json.success, json.meta.rows_read], [[{ v: "pear" }], true, 1]);
  const failed = await wrangler(["d1", "execute", "wrangler-command", "--remote", "--command", "SELECT * FROM nope"], {
    cwd: dir,
    code: 1,
  });
  assert.match(failed.stdout + failed.stderr, /no such table: nope: SQLITE_ERROR \[code: 7500\]/);
});

test("[d1-18] execute --remote --file uploads, runs and reports the file; a bad one changes nothing", async () => {
  const { uuid, dir } = await project("wrangler-file");
  const lines = Array.from({ length: 2000 }, (_, i) => `INSERT INTO t (v) VALUES ('it''s; row ${i}');`);
  await writeFile(join(dir, "good.sql"), `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);\n${lines.join("\n")}\n`);
  const execute = (file: string, code = 0) => wrangler(["d1", "execute", "DB", "--remote", "--file", file, "--yes"], { cwd: dir, code });
  const good = await execute("good.sql");
  assert.match(good.stdout, /Executed 2001 queries in \d+\.\d\dms \(\d+ rows read, \d+ rows written\)/);
  assert.match(good.stdout, /Database is currently at bookmark [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}\./);
  assert.deepEqual((await query(uuid, "SELECT count(*) AS n FROM t"))[0].results, [{ n: 2000 }]);
  await writeFile(join(dir, "bad.sql"), "DELETE FROM t;\nINSERT INTO t (v) VALUES ('x');\nINSERTZ;\n");
  const bad = await execute("bad.sql", 1);
  assert.match(bad.stdout + bad.stderr, /near "INSERTZ": syntax error/);
  assert.deepEqual((await query(uuid, "SELECT count(*) AS n FROM t"))[0].results, [{ n: 2000 }]);
});

test("[d1-20] export --remote writes files that make the database again", async () => {
  const { uuid, dir } = await project("wrangler-export");
  await query(uuid, "CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE b (v REAL); CREATE INDEX a_v ON a (v)");
  await query(uuid, "INSERT INTO a (v) VALUES ('one'), ('two;'), (NULL); INSERT INTO b VALUES (1.5)");
  const dump = async (file: string, ...args: string[]) => {
    await wrangler(["d1", "export", "DB", "--remote", "--output", file, "--skip-confirmation", ...args], { cwd: dir });
    return readFile(join(dir, file), "utf8");
  };
  const full = await dump("full.sql");
  assert.match(
    await dump("schema.sql", "--no-data"),
    /^PRAGMA[^\n]*\nCREATE TABLE a [^\n]*\nCREATE TABLE b [^\n]*\nCREATE INDEX a_v [^\n]*\n$/,
  );
  assert.equal((await dump("data.sql", "--no-schema")).match(/^INSERT INTO/gm)?.length, 4);
  assert.doesNotMatch(await dump("table.sql", "--table", "b"), /"a"|TABLE a|a_v/);
  const copy = await project("wrangler-export-copy");
  await writeFile(join(copy.dir, "full.sql"), full);
  await wrangler(["d1", "execute", "DB", "--remote", "--file", "full.sql", "--yes"], { cwd: copy.dir });
  const state = async (id: string) =>
    [
      await query(id, "SELECT * FROM a"),
      await query(id, "SELECT * FROM b"),
      await query(id, "SELECT name, sql FROM sqlite_master ORDER BY name"),
    ].map(([result]) => result.results);
  assert.deepEqual(await state(copy.uuid), await state(uuid));
});

test("[d1-21, d1-22] migrations are created, listed and applied once; a failing one is rolled back", async () => {
  const { uuid, dir } = await project("wrangler-migrations", { migrations_dir: "changes", migrations_table: "my_migrations" });
  const migrations = (...args: string[]) => wrangler(["d1", "migrations", ...args], { cwd: dir });
  await mkdir(join(dir, "changes"));
  await migrations("create", "wrangler-migrations", "first");
  const [file] = await readdir(join(dir, "changes"));
  assert.equal(file, "0001_first.sql");
  await writeFile(
    join(dir, "changes", "0001_first.sql"),
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);\nCREATE TRIGGER tr AFTER INSERT ON t BEGIN\n  UPDATE t SET v = v || ';' WHERE id = new.id;\nEND;\n",
  );
  await writeFile(join(dir, "changes", "0002_second.sql"), "INSERT INTO t (v) VALUES ('two');\n");
  assert.match((await migrations("list", "wrangler-migrations", "--remote")).stdout, /0001_first\.sql[\s\S]*0002_second\.sql/);
  const applied = await migrations("apply", "wrangler-migrations", "--remote");
  assert.match(applied.stdout, /0001_first\.sql[\s\S]*0002_second\.sql/);
  assert.match((await migrations("apply", "wrangler-migrations", "--remote")).stdout, /No migrations to apply!/);
  assert.match((await migrations("list", "wrangler-migrations", "--remote")).stdout, /No migrations to apply!/);
  await writeFile(join(dir, "changes", "0003_bad.sql"), "INSERT INTO t (v) VALUES ('three');\nINSERT INTO nope VALUES (1);\n");
  const failed = await wrangler(["d1", "migrations", "apply", "wrangler-migrations", "--remote"], { cwd: dir, code: 1 });
  assert.match(failed.stdout + failed.stderr, /no such table: nope/);
  assert.deepEqual((await query(uuid, "SELECT v FROM t"))[0].results, [{ v: "two;" }]);
  assert.deepEqual((await query(uuid, "SELECT name FROM my_migrations ORDER BY id"))[0].results, [
    { name: "0001_first.sql" },
    { name: "0002_second.sql" },
  ]);
});

test("[d1-36] insights name the queries that took most, without what was bound", async () => {
  const { dir } = await project("wrangler-insights");
  const { uuid } = (await platform.rest("GET", `${base}/wrangler-insights`)).body.result;
  await query(uuid, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
  await query(
    uuid,
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO t (v) SELECT 'v' || i FROM n",
  );
  for (const secret of ["secret-one", "secret-two"])
    await platform.rest("POST", `${base}/${uuid}/query`, { sql: "SELECT * FROM t WHERE v = ?", params: [secret] });
  const insights = async (...args: string[]) => {
    const { stdout } = await wrangler(["d1", "insights", "wrangler-insights", "--json", ...args], { cwd: dir });
    assert(!stdout.includes("secret-"), stdout);
    return JSON.parse(stdout) as {
      query: string;
      totalRowsRead: number;
      totalRowsWritten: number;
      totalDurationMs: number;
      numberOfTimesRun: number;
      queryEfficiency: number;
    }[];
  };
  const byTime = await insights("--limit", "5");
  assert.match(byTime[0]?.query ?? "", /^WITH RECURSIVE/);
  assert(byTime.every((one, i) => i === 0 || one.totalDurationMs <= (byTime[i - 1]?.totalDurationMs ?? 0)));
  assert.equal(byTime[0]?.totalRowsWritten, 200_000);
  const scan = byTime.find((one) => one.query === "SELECT * FROM t WHERE v = ?");
  assert.deepEqual([scan?.numberOfTimesRun, scan?.totalRowsRead, scan?.queryEfficiency], [2, 400_000, 0]);
  const [mostRun] = await insights("--sort-by", "count", "--limit", "1");
  assert.equal(mostRun?.query, "SELECT * FROM t WHERE v = ?");
});

test("what is not there yet says so by name", async () => {
  const { uuid } = await project("wrangler-missing");
  const { status, body } = await platform.rest("POST", `${base}/${uuid}/export`, {
    output_format: "polling",
    dump_options: { compatibility: "sqlite3_cli_only" },
  });
  assert.equal(status, 501);
  assert.match(JSON.stringify(body), /sqlite3_cli_only.*not implemented/);
});
