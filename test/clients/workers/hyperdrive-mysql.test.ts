/** Hyperdrive in a deployed Worker with MariaDB behind it, by the drivers mysql2 and mysql. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Mariadb, noMariadb, startMariadb } from "../../harness/mariadb.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { noOpenssl } from "../../harness/programs.ts";
import { rowsOf } from "../analytics.ts";
import { certificateMaker, deployDrivers } from "../hyperdrive-world.ts";

const noDatabase = noMariadb || noOpenssl || missingClient("sql-drivers");

let platform: TestPlatform;
let server: Mariadb;
let url: string;
let base: string;
const ids: Record<string, string> = {};

const originOf = (change: object = {}) => ({ ...server, scheme: "mysql", ...change });
const create = async (name: string, more: object = {}) => (await platform.rest("POST", base, { name, origin: originOf(), ...more })).body;

// biome-ignore lint/suspicious/noExplicitAny: each route answers with another shape; tests check them.
async function ask(path: string, body: object = {}, binding = "HYPERDRIVE"): Promise<any> {
  const response = await platform.fetch(`${url}${path}?binding=${binding}`, { method: "POST", body: JSON.stringify(body) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

const queries = (list: readonly (string | object)[], binding?: string) =>
  ask("/queries", { queries: list.map((query) => (typeof query === "string" ? { sql: query } : query)) }, binding);

async function world(): Promise<void> {
  const issue = await certificateMaker();
  server = await startMariadb({ after }, await issue("server", "subjectAltName=DNS:localhost"));
  const config = { "hyperdrive.private_origins": true, "hyperdrive.query_timeout_ms": 4_000, "hyperdrive.acquire_timeout_ms": 4_000 };
  platform = await startPlatform({ after }, { config });
  base = `/accounts/${platform.ready.account_id}/hyperdrive/configs`;
  for (const [binding, more] of [
    ["HYPERDRIVE", { origin_connection_limit: 5 }],
    ["UNCACHED", { caching: { disabled: true }, origin_connection_limit: 5 }],
  ] as const) {
    const { result, errors } = await create(binding, more);
    assert.deepEqual(errors, []);
    ids[binding] = result.id;
  }
  const hyperdrive = Object.entries(ids).map(([binding, id]) => ({ binding, id }));
  const source = new URL("../hyperdrive-mysql-worker.js", import.meta.url);
  ({ url } = await deployDrivers(platform, { after }, "mysql", source, { config: { hyperdrive } }));
  await queries([
    "CREATE TABLE goods (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL UNIQUE)",
    { sql: "INSERT INTO goods (name) VALUES (?), (?)", values: ["Tee", "Käse"] },
  ]);
}
if (!noDatabase) await world();

test("[hyperdrive-04] SHOW tables by mysql2 without eval, and by mysql", { skip: noDatabase }, async () => {
  const { results, fields } = await ask("/mysql2");
  assert.deepEqual([results, fields[0].name], [[{ Tables_in_shop: "goods" }], "Tables_in_shop"]);
  assert.deepEqual((await ask("/mysql")).rows, [{ Tables_in_shop: "goods" }]);
  const [rows, changed, error] = await queries([
    { sql: "SELECT id, name FROM goods WHERE name = ?", values: ["Käse"] },
    "UPDATE goods SET name = 'Kaffee' WHERE id = 1",
    "INSERT INTO goods (name) VALUES ('Kaffee')",
  ]);
  assert.deepEqual([rows, changed.affectedRows], [[{ id: 2, name: "Käse" }], 1]);
  assert.deepEqual([error.errno, error.code], [1062, "ER_DUP_ENTRY"]);
  assert.deepEqual(await ask("/large", { bytes: 1_000_000 }), { sent: 1_000_000, got: 1_000_000 });
});

test("MySQL: connections are pooled by transaction, and reset", { skip: noDatabase }, async () => {
  const id = "SELECT CONNECTION_ID() AS id";
  const seen = new Set<number>();
  const round = () =>
    Promise.all(
      Array.from({ length: 25 }, async () => {
        const [[row]] = await queries([id], "UNCACHED");
        seen.add(row.id);
      }),
    );
  for (let rounds = 0; rounds < 4; rounds++) await round();
  assert.ok(seen.size <= 5, `${seen.size} connections`);
  const results = await queries([
    "BEGIN",
    id,
    "SET @a = 1, SESSION sql_mode = 'ANSI'",
    "INSERT INTO goods (name) VALUES ('Kaffee')",
    id,
    "COMMIT",
    "SELECT @a AS a, @@sql_mode LIKE 'REAL_AS_FLOAT%' AS ansi",
  ]);
  assert.equal(results[3].errno, 1062);
  assert.equal(results[1][0].id, results[4][0].id);
  assert.deepEqual(results[6], [{ a: null, ansi: 0 }]);
  await queries(["BEGIN", "INSERT INTO goods (name) VALUES ('lost')"]);
  const [[{ n }]] = await queries(["SELECT COUNT(*) AS n FROM goods WHERE name = 'lost'"], "UNCACHED");
  assert.equal(n, 0);
  const answers = await ask("/transactions", { count: 6 }, "UNCACHED");
  const [refused] = answers.filter((answer: unknown) => answer !== "open");
  assert.equal(refused.message, "Failed to acquire a connection from the pool.");
  const [slept, next] = await queries(["SELECT SLEEP(70) FROM goods", "SELECT 1 AS one"]);
  assert.deepEqual([slept.errno, next], [1317, [{ one: 1 }]]);
});

test("MySQL: reads are cached, and what changes is not", { skip: noDatabase }, async () => {
  const reads = [
    "SELECT name FROM goods WHERE id = 2",
    "SELECT name, NOW() AS now FROM goods WHERE id = 2",
    "SELECT name FROM goods WHERE id = 2 FOR UPDATE",
  ];
  const names = async () => (await queries(reads)).map(([row]: { name: string }[]) => row?.name);
  assert.deepEqual(await names(), ["Käse", "Käse", "Käse"]);
  await queries(["UPDATE goods SET name = 'Quark' WHERE id = 2"], "UNCACHED");
  assert.deepEqual(await names(), ["Käse", "Quark", "Quark"]);
  assert.deepEqual(await queries(reads.slice(0, 1), "UNCACHED"), [[{ name: "Quark" }]]);
  const where = `, configId: "${ids.HYPERDRIVE}", cacheStatus: "hit"`;
  assert.equal((await rowsOf(platform, "hyperdriveQueriesAdaptiveGroups", where, "", "count"))[0]?.count, 1);
});

test("[hyperdrive-22] MySQL: the test connection's codes, and what is not supported", { skip: noDatabase }, async () => {
  const code = async (change: object, more: object = {}) =>
    (await create("refused", { origin: originOf(change), ...more })).errors[0]?.code;
  assert.deepEqual(
    [
      await code({ password: "wrong" }),
      await code({ database: "missing" }),
      await code({ port: 1 }),
      await code({ host: "missing.invalid" }),
    ],
    [2013, 2014, 2011, 2008],
  );
  const [prepared, used, several, next] = await queries([
    { sql: "SELECT ? AS x", values: [1], prepared: true },
    "USE mysql",
    "SELECT 1; SELECT 2",
    "SELECT 1 AS one",
  ]);
  assert.equal(prepared.message, "Hyperdrive does not currently support MySQL COM_STMT_PREPARE messages");
  assert.deepEqual(
    [used.message, several.message, next],
    ["Hyperdrive does not currently support USE", "Hyperdrive does not currently support multi-statement queries", [{ one: 1 }]],
  );
  const { changed, guessed } = await ask("/others");
  assert.equal(changed.message, "Hyperdrive does not currently support MySQL COM_CHANGE_USER messages");
  assert.equal(guessed.errno, 1045);
});
