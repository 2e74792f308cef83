/** Time Travel of D1 by wrangler and the SDK: bookmarks, restores and their undo, times, what is cut off, refusals, kills. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import Cloudflare from "cloudflare";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "d1.history_interval_s": 1, "d1.restores_per_10_min_max": 5 } });
const account_id = platform.ready.account_id;
const base = `/accounts/${account_id}/d1/database`;
const client = new Cloudflare({ apiToken: platform.ready.api_token, baseURL: platform.ready.api });
const home = await temporaryDirectory("freehold-d1-time-travel-");
const rounds = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 3);

const timeTravel = (args: readonly string[], code = 0) => platform.wrangler(["d1", "time-travel", ...args], { cwd: home, code });
const BOOKMARK = /[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}/;

async function database(name: string) {
  const { uuid } = (await platform.rest("POST", base, { name })).body.result;
  const query = async (sql: string) => {
    const { body } = await platform.rest("POST", `${base}/${uuid}/query`, { sql });
    assert.equal(body.success, true, JSON.stringify(body));
    return body.result[0].results;
  };
  return {
    uuid: uuid as string,
    query,
    values: async () => (await query("SELECT v FROM t ORDER BY v")).map(({ v }: { v: string }) => v) as string[],
  };
}

test("[d1-23] deleted rows come back by the time before, and go again by the bookmark that the restore gave", async () => {
  const shop = await database("travel-shop");
  const other = await database("travel-other");
  for (const { query } of [shop, other]) await query("CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('apple'), ('pear')");
  // Its object has the schema in memory, and sees the restored one nevertheless.
  const worker = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const { results } = await env.DB.prepare("SELECT * FROM t ORDER BY v").all();
        return Response.json(results);
      } };`,
    },
    config: { name: "travel-reader", d1_databases: [{ binding: "DB", database_name: "travel-shop", database_id: shop.uuid }] },
  });
  const read = async () => (await platform.fetch(worker.url)).json();
  const rows = [{ v: "apple" }, { v: "pear" }];
  assert.deepEqual(await read(), rows);
  const before = new Date().toISOString();
  const current = (await timeTravel(["info", "travel-shop"])).stdout;
  assert.match(current, /The current bookmark is '[0-9a-f-]{59}'/);
  await shop.query("DELETE FROM t");
  await shop.query("ALTER TABLE t ADD COLUMN w; CREATE TABLE u (x)");
  await shop.query("INSERT INTO t VALUES ('plum', 1)");
  assert.deepEqual(await read(), [{ v: "plum", w: 1 }]);
  const restored = (await timeTravel(["restore", "travel-shop", "--timestamp", before])).stdout;
  const [, bookmark] = /restored back to bookmark ([0-9a-f-]{59})/.exec(restored) ?? [];
  const [, undo] = /you can restore to the previous bookmark: ([0-9a-f-]{59})/.exec(restored) ?? [];
  assert(bookmark !== undefined && undo !== undefined, restored);
  assert.equal(BOOKMARK.exec(current)?.[0], bookmark, "the bookmark of the time is the one that was current then");
  assert.deepEqual(await read(), rows);
  await shop.query("INSERT INTO t VALUES ('quince')");
  assert.deepEqual(await shop.values(), ["apple", "pear", "quince"]);
  const undone = JSON.parse((await timeTravel(["restore", "travel-shop", "--bookmark", undo, "--json"])).stdout);
  assert.equal(undone.bookmark, undo);
  assert.deepEqual(await read(), [{ v: "plum", w: 1 }]);
  assert.deepEqual(await shop.query("SELECT name FROM sqlite_master WHERE name = 'u'"), [{ name: "u" }]);
  // Neither restore took anything from the history, and neither touched another database.
  const { previous_bookmark } = await client.d1.database.timeTravel.restore(shop.uuid, { account_id, bookmark });
  assert.deepEqual(await shop.values(), ["apple", "pear"]);
  await client.d1.database.timeTravel.restore(shop.uuid, { account_id, bookmark: undone.previous_bookmark });
  assert.deepEqual(await shop.values(), ["apple", "pear", "quince"]);
  assert(previous_bookmark !== undefined && previous_bookmark >= undo);
  assert.deepEqual(await other.values(), ["apple", "pear"]);
  const { result } = (await platform.rest("GET", `/accounts/${account_id}/audit_logs?per_page=50`)).body;
  assert(JSON.stringify(result).includes("TimeTravel"));
});

test("[d1-24] a time has one bookmark for ever, and bookmarks sort as their times do", async () => {
  const log = await database("travel-log");
  await log.query("CREATE TABLE t (v TEXT)");
  const times: string[] = [];
  const bookmarks: string[] = [];
  const at = async (timestamp: string) =>
    (await client.d1.database.timeTravel.getBookmark(log.uuid, { account_id, timestamp })).bookmark as string;
  for (let i = 0; i < 6; i++) {
    await log.query(`INSERT INTO t VALUES ('${i}')`);
    times.push(new Date().toISOString());
    bookmarks.push(await at(times[i] as string));
    assert.match(bookmarks[i] as string, BOOKMARK);
    // The file system's clock is coarse.
    await delay(30);
  }
  assert.equal(new Set(bookmarks).size, 6);
  assert.deepEqual([...bookmarks].sort(), bookmarks);
  const again = async () => assert.deepEqual(await Promise.all(times.map(at)), bookmarks);
  await again();
  const { previous_bookmark } = await client.d1.database.timeTravel.restore(log.uuid, { account_id, bookmark: bookmarks[2] as string });
  assert(previous_bookmark !== undefined && previous_bookmark >= (bookmarks[5] as string));
  assert.deepEqual(await log.values(), ["0", "1", "2"]);
  await again();
  await platform.kill9();
  await platform.restart();
  await again();
  const unix = String(Math.floor(Date.now() / 1000));
  const [first, second] = [await at(unix), await at(unix)];
  assert.equal(first, second);
  // Each of them holds what was there then.
  for (const i of [4, 0, 5]) {
    await client.d1.database.timeTravel.restore(log.uuid, { account_id, bookmark: bookmarks[i] as string });
    assert.deepEqual((await log.values()).length, i + 1);
  }
});

test("a time that nobody asked about is found by the copies that are made from time to time", async () => {
  const steady = await database("travel-steady");
  await steady.query("CREATE TABLE t (v TEXT)");
  let found: string | undefined;
  let timestamp = "";
  for (let i = 100; found === undefined && i < 400; i++) {
    await steady.query(`INSERT INTO t VALUES ('${i}')`);
    timestamp = new Date(Date.now() - 200).toISOString();
    const answer = await platform.rest("GET", `${base}/${steady.uuid}/time_travel/bookmark?timestamp=${timestamp}`);
    if (answer.status === 200 && i > 110) found = answer.body.result.bookmark;
    else await delay(100);
  }
  assert(found !== undefined);
  const all = await steady.values();
  await client.d1.database.timeTravel.restore(steady.uuid, { account_id, timestamp });
  const restored = await steady.values();
  assert.deepEqual(restored, all.slice(0, restored.length));
  assert(restored.length < all.length);
});

test("a restore ends the queries under way with an error, and later ones see the restored state alone", async () => {
  const busy = await database("travel-busy");
  await busy.query("CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('kept')");
  const { bookmark } = await client.d1.database.timeTravel.getBookmark(busy.uuid, { account_id });
  const slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) FROM n";
  const ask = () => platform.rest("POST", `${base}/${busy.uuid}/query`, { sql: `INSERT INTO t VALUES ('more'); ${slow}` });
  const first = ask();
  // The first one is on its way by now; the others wait for it, and go together.
  await platform.rest("GET", base);
  const queries = Array.from({ length: 6 }, ask);
  assert.equal((await first).status, 200);
  const restored = await client.d1.database.timeTravel.restore(busy.uuid, { account_id, bookmark: bookmark as string });
  const answers = await Promise.all(queries);
  const refused = answers.filter(({ status }) => status !== 200);
  assert(refused.length > 0);
  for (const { body } of refused) assert.match(body.errors[0]?.message ?? "", /D1 DB reset because it is being restored/);
  const values = await busy.values();
  assert.equal(values[0], "kept");
  assert(values.length <= 1 + answers.length - refused.length, "of what was ended nothing is there");
  await client.d1.database.timeTravel.restore(busy.uuid, { account_id, bookmark: restored.previous_bookmark as string });
  assert((await busy.values()).includes("more"));
});

test("bookmarks of other databases, times out of reach, tokens that only read and too many restores are refused", async () => {
  const one = await database("travel-one");
  const two = await database("travel-two");
  await one.query("CREATE TABLE t (v TEXT)");
  await two.query("CREATE TABLE t (v TEXT)");
  const foreign = (await client.d1.database.timeTravel.getBookmark(two.uuid, { account_id })).bookmark as string;
  const restore = (query: string, token?: string) =>
    platform.rest("POST", `${base}/${one.uuid}/time_travel/restore?${query}`, undefined, token);
  for (const bookmark of [foreign, "", "../../x", foreign.replace(/.$/, "x")]) {
    const { status, body } = await restore(`bookmark=${encodeURIComponent(bookmark)}`);
    assert.deepEqual([status, body.errors[0]?.code], [400, 7400], JSON.stringify(body));
  }
  assert.equal((await restore("")).status, 400);
  const day = 86_400_000;
  for (const time of [Date.now() + day, Date.now() - 31 * day, Date.now() - 29 * day]) {
    const query = `timestamp=${new Date(time).toISOString()}`;
    assert.equal((await restore(query)).status, 400);
    assert.equal((await platform.rest("GET", `${base}/${one.uuid}/time_travel/bookmark?${query}`)).status, 400);
  }
  assert.equal((await platform.rest("GET", `${base}/${one.uuid}/time_travel/bookmark?timestamp=yesterday`)).status, 400);
  const nowhere = crypto.randomUUID();
  assert.equal((await platform.rest("GET", `${base}/${nowhere}/time_travel/bookmark`)).status, 404);
  const reader = await platform.token(["D1 Read"]);
  const own = (await client.d1.database.timeTravel.getBookmark(one.uuid, { account_id })).bookmark as string;
  assert.equal((await restore(`bookmark=${own}`, reader.value)).status, 403);
  for (let i = 0; i < 5; i++) assert.equal((await restore(`bookmark=${own}`)).status, 200);
  assert.equal((await restore(`bookmark=${own}`)).status, 429);
});

test("a kill at any moment of a restore leaves the state before it or the one after it", async () => {
  const ledger = await database("travel-ledger");
  await ledger.query("CREATE TABLE t (n INTEGER PRIMARY KEY, v TEXT, pad BLOB)");
  const fill = (v: string) =>
    ledger.query(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
       INSERT OR REPLACE INTO t SELECT i, '${v}', randomblob(1000) FROM n`,
    );
  const states: string[] = [];
  for (const v of ["old", "new"]) {
    await fill(v);
    states.push((await client.d1.database.timeTravel.getBookmark(ledger.uuid, { account_id })).bookmark as string);
  }
  for (let round = 0; round < rounds; round++) {
    const cut = client.d1.database.timeTravel.restore(
      ledger.uuid,
      { account_id, bookmark: states[round % 2] as string },
      { maxRetries: 0 },
    );
    await Promise.race([cut.catch(() => undefined), delay(Math.random() * 120)]);
    await platform.kill9();
    await cut.catch(() => undefined);
    await platform.restart();
    const found = await ledger.query("SELECT v, count(*) AS n, sum(length(pad)) AS bytes FROM t GROUP BY v");
    assert.equal(found.length, 1, JSON.stringify(found));
    assert.deepEqual([found[0].n, found[0].bytes], [3000, 3_000_000]);
    assert.deepEqual(await ledger.query("PRAGMA quick_check"), [{ quick_check: "ok" }]);
  }
});
