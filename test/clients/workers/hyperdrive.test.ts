/**
 * Hyperdrive in deployed Workers, with PostgreSQL behind it and the drivers that the documentation names. Queries of the
 * tests' own go to the database directly.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, test } from "node:test";
import pg from "pg";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { noPostgres, type Postgres, startPostgres } from "../../harness/postgres.ts";
import { noOpenssl } from "../../harness/programs.ts";
import { rowsOf } from "../analytics.ts";
import { certificateMaker, deployDrivers, generatePrisma, originOf } from "../hyperdrive-world.ts";

const noDatabase = noPostgres || noOpenssl || missingClient("sql-drivers");
const noPrisma = noDatabase || missingClient("prisma-7");
const APPLICATION = "Cloudflare Hyperdrive";

let platform: TestPlatform;
let server: Postgres;
let direct: pg.Client;
let url: string;
const ids: Record<string, string> = {};

async function create(name: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const { body } = await platform.rest("POST", `/accounts/${platform.ready.account_id}/hyperdrive/configs`, {
    name,
    origin: originOf(server),
    ...more,
  });
  assert.deepEqual(body.errors, []);
  return body.result.id;
}

// biome-ignore lint/suspicious/noExplicitAny: each route answers with another shape; tests check them.
async function ask(path: string, body: object = {}, binding = "HYPERDRIVE"): Promise<any> {
  const response = await platform.fetch(`${url}${path}?binding=${binding}`, { method: "POST", body: JSON.stringify(body) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

const queries = (list: readonly (string | object)[], binding?: string) => ask("/queries", { queries: list }, binding);
const connections = async (): Promise<number> => {
  const { rows } = await direct.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1", [APPLICATION]);
  return rows[0].n;
};

/** Asks again until the condition holds; the test's own deadline ends it. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function world(): Promise<void> {
  const issue = await certificateMaker();
  server = await startPostgres({ after }, { tls: await issue("server", "subjectAltName=DNS:localhost") });
  const config = { "hyperdrive.private_origins": true, "hyperdrive.query_timeout_ms": 8_000, "hyperdrive.acquire_timeout_ms": 4_000 };
  platform = await startPlatform({ after }, { config });
  direct = new pg.Client({ ...server, ssl: { rejectUnauthorized: false }, application_name: "test" });
  await direct.connect();
  await direct.query("CREATE TABLE people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)");
  await direct.query("INSERT INTO people (name) VALUES ('Ada'), ('Grace')");
  ids.HYPERDRIVE = await create("cached", { origin_connection_limit: 5 });
  ids.UNCACHED = await create("uncached", { caching: { disabled: true }, origin_connection_limit: 5 });
  ids.SHORT = await create("short", { caching: { max_age: 1, stale_while_revalidate: 0 } });
  ids.STALE = await create("stale", { caching: { max_age: 1, stale_while_revalidate: 3600 } });
  const hyperdrive = Object.entries(ids).map(([binding, id]) => ({ binding, id }));
  ({ url } = await deployDrivers(platform, { after }, "drivers", new URL("../hyperdrive-worker.js", import.meta.url), {
    config: { hyperdrive },
  }));
}
// Before the server is stopped.
after(() => direct?.end());
if (!noDatabase) await world();

test("[hyperdrive-01, hyperdrive-02] pg opens the binding's connection string and reads", { skip: noDatabase }, async () => {
  const { result, success } = await ask("/tables");
  assert.ok(success && result.some((table: { tablename: string }) => table.tablename === "people"));
  const bound = await ask("/binding");
  assert.match(bound.host, /^[0-9a-f-]+\.hyperdrive\.local$/);
  assert.equal(bound.connectionString, `postgresql://tester:${bound.password}@${bound.host}:5432/postgres?sslmode=disable`);
  assert.deepEqual([bound.port, bound.user, bound.database, bound.rows], [5432, "tester", "postgres", [{ name: "tester" }]]);
  assert.notEqual(bound.password, server.password);
  assert.deepEqual([bound.refused.code, bound.socket], ["28P01", "N"]);
  // The password is of no use at the database.
  const outside = new pg.Client({ ...server, password: bound.password, ssl: { rejectUnauthorized: false } });
  await assert.rejects(outside.connect(), /password authentication failed/);
});

test("[hyperdrive-03] postgres.js with prepared statements and five connections", { skip: noDatabase }, async () => {
  for (const prepare of [true, false]) {
    const { tables, byId, again, transaction } = await ask("/postgresjs", { id: 1, prepare });
    assert.ok(tables > 50);
    assert.deepEqual([byId, again], [{ id: 1, name: "Ada" }, [{ name: "Ada" }]]);
    assert.equal(transaction[0].pid, transaction[1].pid);
    assert.equal(transaction[1].text, "é");
  }
});

test("[hyperdrive-05] Drizzle and Kysely insert and select", { skip: noDatabase }, async () => {
  const { byDrizzle, byKysely, found, also } = await ask("/orm", { name: "Alan" });
  assert.deepEqual([byDrizzle.name, byKysely.name], ["Alan of Drizzle", "Alan of Kysely"]);
  const names = ["Ada", "Grace", "Alan of Drizzle", "Alan of Kysely"].map((name) => ({ name }));
  assert.deepEqual([found, also], [names, names]);
});

test("[hyperdrive-05] Prisma inserts, selects and changes in a transaction", { skip: noPrisma }, async () => {
  const project = await deployDrivers(platform, { after }, "prisma", new URL("../hyperdrive-prisma-worker.js", import.meta.url), {
    config: { hyperdrive: [{ binding: "HYPERDRIVE", id: ids.UNCACHED }] },
    client: "prisma-7",
    prepare: (dir) => generatePrisma(dir),
  });
  const response = await platform.fetch(project.url);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const renamed = { name: "Dijkstra of Prisma" };
  assert.deepEqual(JSON.parse(text), { made: "Edsger of Prisma", renamed, found: [renamed], taken: "P2002" });
});

test("[hyperdrive-09, hyperdrive-11] 1,000 requests share the pool's connections, and leave none behind", {
  skip: noDatabase,
}, async () => {
  const files = (): number => readdirSync(`/proc/${platform.pid}/fd`).length;
  const pids = new Set<number>();
  const names = new Set<string>();
  const one = async (): Promise<void> => {
    const [[row]] = await queries(["SELECT pg_backend_pid() AS pid, current_setting('application_name') AS name"], "UNCACHED");
    pids.add(row.pid);
    names.add(row.name);
  };
  const round = () => Promise.all(Array.from({ length: 50 }, one));
  await round();
  const before = files();
  for (let rounds = 1; rounds < 20; rounds++) await round();
  assert.ok(pids.size <= 5, `${pids.size} connections`);
  assert.deepEqual([...names], [APPLICATION]);
  // Five of this configuration, and those of the tests before.
  assert.ok((await connections()) <= 10);
  await until(async () => files() <= before + 10);
});

test("[hyperdrive-10] a transaction keeps its connection, and SET ends with it", { skip: noDatabase }, async () => {
  const pid = "SELECT pg_backend_pid() AS pid";
  const results = await queries([
    "BEGIN",
    pid,
    "SET LOCAL work_mem = '2MB'",
    "SET statement_timeout = 12345",
    "SHOW statement_timeout",
    pid,
    "COMMIT",
    "SHOW statement_timeout",
    "SET statement_timeout = 23456; SELECT current_setting('statement_timeout') AS now",
    "SHOW statement_timeout",
    "CREATE TEMPORARY TABLE mine (a int)",
    "SELECT * FROM mine",
    "SET ROLE pg_monitor",
    "SELECT current_user AS name",
  ]);
  assert.equal(results[1][0].pid, results[5][0].pid);
  assert.deepEqual(
    [results[4], results[7], results[9]],
    [[{ statement_timeout: "12345ms" }], [{ statement_timeout: "0" }], [{ statement_timeout: "0" }]],
  );
  assert.deepEqual([results[11].code, results[13]], ["42P01", [{ name: "tester" }]]);
  // A transaction whose Worker has gone is rolled back.
  await ask("/queries", { queries: ["BEGIN", "INSERT INTO people (name) VALUES ('Nobody')"] });
  await until(async () => {
    const { rows } = await direct.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'");
    return rows[0].n === 0;
  });
  assert.equal((await direct.query("SELECT 1 FROM people WHERE name = 'Nobody'")).rowCount, 0);
});

test("[hyperdrive-15] a named prepared statement works on whichever connection it comes to", { skip: noDatabase }, async () => {
  const [before, holds, after, other] = await ask("/prepared");
  assert.equal(before.pid, holds.pid);
  assert.notEqual(after.pid, before.pid);
  assert.deepEqual([before.x, after.x, other.x], [1, 2, "other"]);
});

test("[hyperdrive-16, hyperdrive-27] a read is answered from the cache, and afresh by a binding without one", {
  skip: noDatabase,
}, async () => {
  const read = { text: "SELECT name FROM people WHERE id = $1", values: [2] };
  const other = { ...read, values: [1] };
  assert.deepEqual(await queries([read]), [[{ name: "Grace" }]]);
  await direct.query("UPDATE people SET name = 'Hopper' WHERE id = 2");
  const simple = "SELECT name FROM people WHERE id = 2";
  assert.deepEqual(await queries([read, other, simple]), [[{ name: "Grace" }], [{ name: "Ada" }], [{ name: "Hopper" }]]);
  assert.deepEqual(await queries([read], "UNCACHED"), [[{ name: "Hopper" }]]);
  await direct.query("UPDATE people SET name = 'Grace' WHERE id = 2");
  assert.deepEqual(await queries([read, simple, { ...read, name: "prepared" }]), [
    [{ name: "Grace" }],
    [{ name: "Hopper" }],
    [{ name: "Grace" }],
  ]);
  // By postgres.js, which asks for the parameters' types first.
  assert.equal((await ask("/postgresjs", { id: 2 })).byId.name, "Grace");
  await direct.query("UPDATE people SET name = 'Hopper' WHERE id = 2");
  assert.equal((await ask("/postgresjs", { id: 2 })).byId.name, "Grace");
  assert.equal((await ask("/postgresjs", { id: 2, prepare: false })).byId.name, "Hopper");
  await direct.query("UPDATE people SET name = 'Grace' WHERE id = 2");
});

test("[hyperdrive-17] what changes or may change is not cached", { skip: noDatabase }, async () => {
  await direct.query("CREATE TABLE counted (n int); INSERT INTO counted VALUES (0)");
  const reads = [
    "SELECT n, NOW() FROM counted",
    "SELECT n FROM counted -- NOW() was here",
    "SELECT n FROM counted WHERE random() >= 0",
    "SELECT n FROM counted WHERE CURRENT_DATE IS NOT NULL",
    "SELECT n FROM counted FOR UPDATE",
    "SELECT n FROM counted; SELECT n FROM counted",
    { text: "SELECT n, LASTVAL() FROM counted WHERE n >= $1", values: [0] },
  ];
  const first = await queries(["SELECT nextval(pg_get_serial_sequence('people', 'id'))", ...reads]);
  assert.equal(first[1][0].n, 0);
  await direct.query("UPDATE counted SET n = 1");
  const second = await queries(reads);
  for (const at of [0, 1, 2, 3, 4]) assert.equal(second[at][0].n, 1, JSON.stringify(reads[at]));
  const inTransaction = ["BEGIN", "SELECT n FROM counted", "UPDATE counted SET n = n + 1 RETURNING n", "SELECT n FROM counted", "COMMIT"];
  const [, before, written, after] = await queries(inTransaction);
  assert.deepEqual([before[0].n, written[0].n, after[0].n], [1, 2, 2]);
});

test("[hyperdrive-18] max_age is a configuration's own, and caching may be disabled", { skip: noDatabase }, async () => {
  const name = (binding: string) => queries(["SELECT name AS aged FROM people WHERE id = 1"], binding);
  const all = ["HYPERDRIVE", "SHORT", "UNCACHED"];
  for (const binding of all) assert.deepEqual(await name(binding), [[{ aged: "Ada" }]]);
  await direct.query("UPDATE people SET name = 'Lovelace' WHERE id = 1");
  assert.deepEqual(await name("UNCACHED"), [[{ aged: "Lovelace" }]]);
  await until(async () => (await name("SHORT"))[0][0].aged === "Lovelace");
  assert.deepEqual(await name("HYPERDRIVE"), [[{ aged: "Ada" }]]);
  await direct.query("UPDATE people SET name = 'Ada' WHERE id = 1");
});

test("[hyperdrive-19] a stale result is served while one query fetches it anew", { skip: noDatabase }, async () => {
  const name = async () => (await queries(["SELECT name AS stale FROM people WHERE id = 1"], "STALE"))[0][0].stale;
  assert.equal(await name(), "Ada");
  await direct.query("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE");
  await direct.query("UPDATE people SET name = 'Lovelace' WHERE id = 1");
  // The table is locked: whoever answers does not read it. One query waits for the lock, and it is one.
  const waiting = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
  await until(async () => {
    assert.equal(await name(), "Ada");
    return (await direct.query(waiting, [APPLICATION])).rows[0].n === 1;
  });
  assert.equal(await name(), "Ada");
  assert.equal((await direct.query(waiting, [APPLICATION])).rows[0].n, 1);
  await direct.query("COMMIT");
  await until(async () => (await name()) === "Lovelace");
  await direct.query("UPDATE people SET name = 'Ada' WHERE id = 1");
});

test("[hyperdrive-21] errors of the database reach the driver as they are", { skip: noDatabase }, async () => {
  const [unique, text, missing] = await queries([
    { text: "INSERT INTO people (name) VALUES ($1)", values: ["Ada"] },
    "SELECT 'x'::int",
    { name: "gone", text: "SELECT * FROM nothing WHERE a = $1", values: [1] },
  ]);
  assert.deepEqual([unique.code, unique.message], ["23505", 'duplicate key value violates unique constraint "people_name_key"']);
  assert.deepEqual([text.code, missing.code], ["22P02", "42P01"]);
});

test("[hyperdrive-22] what Hyperdrive does not support is refused by name, and the connection goes on", { skip: noDatabase }, async () => {
  const results = await queries([
    "LISTEN news",
    "NOTIFY news",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    { text: "SELECT pg_advisory_lock($1)", values: [1] },
    "SELECT 1 AS one",
  ]);
  assert.ok(results.slice(0, 7).every((result: { code: string }) => result.code === "0A000"));
  assert.equal(results[0].message, "Hyperdrive does not currently support LISTEN");
  assert.deepEqual(results[7], [{ one: 1 }]);
});

test("[hyperdrive-13] a sixth transaction finds no connection of five", { skip: noDatabase }, async () => {
  const answers = await ask("/transactions", { count: 6 }, "UNCACHED");
  assert.equal(answers.filter((answer: unknown) => answer === "open").length, 5);
  const [refused] = answers.filter((answer: unknown) => answer !== "open");
  assert.deepEqual([refused.code, refused.message], ["58000", "Failed to acquire a connection from the pool."]);
  assert.deepEqual(await queries(["SELECT 1 AS one"], "UNCACHED"), [[{ one: 1 }]]);
});

test("[hyperdrive-14] a query that runs too long is terminated", { skip: noDatabase }, async () => {
  const [slept, next] = await queries(["SELECT pg_sleep(70)", "SELECT 1 AS one"]);
  assert.equal(slept.code, "57014");
  assert.deepEqual(next, [{ one: 1 }]);
});

test("[hyperdrive-20] a result of more than 50 MB is returned and not cached", { skip: noDatabase }, async () => {
  const query = "SELECT repeat('x', 1000000) AS text FROM generate_series(1, 51)";
  for (let round = 0; round < 2; round++) assert.deepEqual(await ask("/bytes", { query }), { bytes: 51_000_000 });
  const where = `, configId: "${ids.HYPERDRIVE}", cacheStatus: "oversizedresult"`;
  const [row] = await rowsOf(platform, "hyperdriveQueriesAdaptiveGroups", where, "", "count sum { resultBytes }");
  const { count, sum } = row as { count: number; sum: { resultBytes: number } };
  assert.equal(count, 2);
  assert.ok(sum.resultBytes > 102_000_000);
});
