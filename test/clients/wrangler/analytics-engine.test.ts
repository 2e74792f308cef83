/** Workers Analytics Engine: data points of Workers that wrangler deployed, read by the SQL API as its documentation does. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const api = `${platform.ready.api}/accounts/${platform.ready.account_id}/analytics_engine/sql`;

const query = (sql: string, token = platform.ready.api_token): Promise<Response> =>
  fetch(api, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: sql });

async function rows(sql: string): Promise<Record<string, unknown>[]> {
  const response = await query(sql);
  const text = await response.text();
  assert.equal(response.status, 200, `${sql}: ${text}`);
  return JSON.parse(text).data;
}

/** Points travel behind the answer: asks until the rows are there. */
async function rowsOnce(sql: string, there: (rows: Record<string, unknown>[]) => boolean): Promise<Record<string, unknown>[]> {
  for (let last: unknown, end = Date.now() + 30_000; ; await pause(20)) {
    const response = await query(sql);
    const text = await response.text();
    if (response.status === 200) {
      const { data } = JSON.parse(text);
      if (there(data)) return data;
      last = data;
    } else last = text;
    if (Date.now() > end) assert.fail(`${sql} gave ${JSON.stringify(last)}`);
  }
}

const SOURCE = `
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  write() { this.env.WEATHER.writeDataPoint({ blobs: ["object"], indexes: ["do"] }); }
}
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/weather") {
      env.WEATHER.writeDataPoint({ 'blobs': ["Seattle", "USA", "pro_sensor_9000"], 'doubles': [25, 0.5], 'indexes': ["a3cd45"] });
      return new Response("OK!");
    }
    if (pathname === "/many") {
      const errors = [];
      for (let i = 0; i < 252; i++) {
        try { env.MANY.writeDataPoint({ doubles: [i] }); } catch (error) { errors.push(error.name + ": " + error.message); }
        if (i === 100) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return Response.json(errors);
    }
    if (pathname === "/object") {
      await env.COUNTER.get(env.COUNTER.idFromName("one")).write();
      return new Response("OK!");
    }
    const attempt = (event) => { try { return String(env.MANY.writeDataPoint(event)); } catch (error) { return error.name + ": " + error.message; } };
    return Response.json({
      results: [
        { indexes: ["a", "b"] }, { indexes: ["x".repeat(97)] }, { blobs: Array(21).fill("") }, { doubles: Array(21).fill(0) },
        { blobs: ["x".repeat(16 * 1024 + 1)] }, { blobs: "text" }, "text", { doubles: [1n] },
      ].map(attempt),
      values: [attempt(), attempt({ indexes: ["values"], blobs: [null, new Uint8Array([65, 66]), 7, "half \ud83d", "\u{1f600}"], doubles: ["5", NaN, -Infinity, 1e300] })],
      shape: [env.MANY.constructor.name, Object.keys(env.MANY), typeof env.MANY.points],
    });
  },
};`;

const project = await deployWorker(platform, {
  files: { "index.js": SOURCE },
  config: {
    name: "metrics",
    analytics_engine_datasets: [{ binding: "WEATHER", dataset: "weather" }, { binding: "MANY" }],
    durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
  },
});
const get = async (path: string): Promise<string> => (await platform.fetch(`${project.url}${path}`)).text();

test("the documentation's Worker writes a data point, and its queries find it", async () => {
  assert.equal(await get("/weather"), "OK!");
  await rowsOnce("SHOW TABLES", (tables) => tables.some(({ dataset }) => dataset === "weather"));
  const sql =
    "SELECT blob1 AS city, SUM(_sample_interval * double2) / SUM(_sample_interval) AS avg_humidity FROM weather WHERE double1 > 0 GROUP BY city ORDER BY avg_humidity DESC LIMIT 10";
  assert.deepEqual(await rowsOnce(sql, ({ length }) => length === 1), [{ city: "Seattle", avg_humidity: 0.5 }]);
  const response = await query(
    "SELECT index1, blob3, timestamp <= now() AS past, timestamp > NOW() - INTERVAL '1' DAY AS today FROM weather",
  );
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  assert.deepEqual(await response.json(), {
    meta: [
      { name: "index1", type: "String" },
      { name: "blob3", type: "String" },
      { name: "past", type: "Bool" },
      { name: "today", type: "Bool" },
    ],
    data: [{ index1: "a3cd45", blob3: "pro_sensor_9000", past: true, today: true }],
    rows: 1,
    rows_before_limit_at_least: 1,
  });
  assert.equal(await get("/object"), "OK!");
  await rowsOnce("SELECT count() AS n FROM weather WHERE index1 = 'do' AND blob1 = 'object'", ([row]) => row?.n === "1");
});

test("an invocation writes 250 points, however often it waits; what is wrong with a point is a TypeError", async () => {
  const limit = "Error: Analytics Engine write limit exceeded.";
  assert.deepEqual(JSON.parse(await get("/many")), [limit, limit]);
  assert.deepEqual(JSON.parse(await get("/many")), [limit, limit]);
  await rowsOnce("SELECT count() AS n, sum(double1) AS s FROM MANY", ([row]) => row?.n === "500" && row.s === 249 * 250);
  const { results, values, shape } = JSON.parse(await get("/wrong"));
  assert.deepEqual(results, [
    "TypeError: writeDataPoint(): Maximum of 1 indexes supported.",
    "TypeError: writeDataPoint(): Size of indexes[0] exceeds 96 bytes).",
    "TypeError: writeDataPoint(): Maximum of 20 blobs supported.",
    "TypeError: writeDataPoint(): Maximum of 20 doubles supported.",
    "TypeError: writeDataPoint(): Cumulative size of blobs exceeds 16384 bytes).",
    "TypeError: Incorrect type for the 'blobs' field on 'AnalyticsEngineEvent': the provided value is not of type 'Array'.",
    "TypeError: Failed to execute 'writeDataPoint' on 'AnalyticsEngine': parameter 1 is not of type 'AnalyticsEngineEvent'.",
    "TypeError: Cannot convert a BigInt value to a number",
  ]);
  assert.deepEqual(values, ["undefined", "undefined"]);
  assert.deepEqual(shape, ["AnalyticsEngine", [], "undefined"]);
  const [point] = await rowsOnce(
    "SELECT blob1, blob2, blob3, blob4, blob5, double1, double2, double3, double4 FROM MANY WHERE index1 = 'values'",
    ({ length }) => length === 1,
  );
  assert.deepEqual(Object.values(point as object), ["", "AB", "7", "half \ufffd", "\u{1f600}", 5, null, null, 1e300]);
});

test("what is on disk survives a kill, once", async () => {
  const before = Number((await rows("SELECT count() AS n FROM weather"))[0]?.n);
  assert.equal(await get("/weather"), "OK!");
  await rowsOnce("SELECT count() AS n FROM weather", ([row]) => Number(row?.n) === before + 1);
  const journal = join(platform.dir, "journal", "analytics-engine");
  const written = async (): Promise<number> => {
    const files = await Promise.all((await readdir(journal)).map((name) => readFile(join(journal, name), "utf8")));
    return files.join("").split('"dataset":"weather"').length - 1;
  };
  for (const end = Date.now() + 30_000; (await written()) < before + 1; await pause(10))
    assert(Date.now() < end, "the point is not in the journal");
  await platform.kill9();
  await platform.restart();
  assert.deepEqual(await rows("SELECT count() AS n FROM weather"), [{ n: String(before + 1) }]);
});

test("a query that is none is answered in text, a token without the right is refused, and Grafana's plug-in is understood", async () => {
  for (const [sql, status, text] of [
    ["SELECT nope FROM weather", 422, "unable to find type of column: nope\n"],
    ["SELECT 1 FROM nowhere", 422, "unknown table: nowhere\n"],
    ["SELECT read_csv('/etc/passwd')", 422, "unknown function call: read_csv\n"],
  ] as const) {
    const response = await query(sql);
    assert.deepEqual([response.status, await response.text()], [status, text]);
  }
  const reader = await platform.token(["Account Analytics Read"]);
  assert.equal((await query("SHOW TABLES", reader.value)).status, 200);
  const stranger = await platform.token(["Workers Scripts Write"]);
  const refused = await query("SHOW TABLES", stranger.value);
  assert.deepEqual([refused.status, ((await refused.json()) as { success: boolean }).success], [403, false]);
  const foreign = await fetch(api.replace(platform.ready.account_id, "f".repeat(32)), {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: "SHOW TABLES",
  });
  assert.equal(foreign.status, 403);
  // As the plug-in sends them: by GET, its macros expanded.
  const seconds = Math.floor(Date.now() / 1_000);
  const series = `SELECT (intDiv(toUInt32(timestamp), 60) * 60) * 1000 AS t, blob1 AS label, SUM(_sample_interval * double1) / SUM(_sample_interval) AS average_metric
    FROM weather WHERE timestamp >= toDateTime(${seconds - 3_600}) AND timestamp <= toDateTime(${seconds + 3_600}) AND label = 'Seattle' GROUP BY blob1, t ORDER BY t FORMAT JSON`;
  for (const [sql, check] of [
    ["SELECT 1 FORMAT JSON", { 1: 1 }],
    [series, undefined],
  ] as const) {
    const response = await fetch(`${api}/?query=${encodeURIComponent(sql)}`, { headers: { authorization: `Bearer ${reader.value}` } });
    const { data } = (await response.json()) as { data: Record<string, unknown>[] };
    if (check !== undefined) assert.deepEqual(data, [check]);
    else assert.deepEqual([data[0]?.label, data[0]?.average_metric, Number(data[0]?.t) % 60_000], ["Seattle", 25, 0]);
  }
});
