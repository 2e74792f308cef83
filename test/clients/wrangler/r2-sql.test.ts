/** R2 SQL by wrangler, which calls the real service's host name: the platform's proxy leads it here. */
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { eventually, pipelinesWorld } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const account = platform.ready.account_id;
const world = await pipelinesWorld(platform);
const dir = await temporaryDirectory("freehold-wrangler-sql-");

const warehouse = `${account}_wrangler-sql`;
interface SqlOptions {
  /** Changes of the environment that `freehold exec` makes; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly code?: number;
  readonly command?: readonly string[];
  readonly warehouse?: string;
}

const sql = (query: string, options: SqlOptions = {}) => {
  const changes = Object.entries(options.env ?? {});
  const removed = changes.flatMap(([name, value]) => (value === undefined ? ["-u", name] : []));
  const set = changes.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const command = [...(options.command ?? ["r2", "sql", "query"]), options.warehouse ?? warehouse, query];
  return platform.exec("env", [...removed, ...set, "wrangler", ...command], { cwd: dir, code: options.code ?? 0 });
};

/** Cells of the table that wrangler prints, without its lines. */
const cells = (output: string): string[][] =>
  output
    .split("\n")
    .filter((line) => line.startsWith("│"))
    .map((line) =>
      line
        .split("│")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .filter((row) => row.length > 0);

await world.catalog("wrangler-sql");
const fields = [
  { name: "transaction_id", type: "string", required: true },
  { name: "amount", type: "float64", required: false },
  { name: "location", type: "string", required: false },
  { name: "is_fraud", type: "bool", required: false },
];
const stream = await world.stream("fraud_stream", fields);
await world.catalogSink("fraud_sink", "wrangler-sql", "default", "transactions");
await world.catalogSink("fraud_only_sink", "wrangler-sql", "fraud", "transactions");
await world.pipeline(
  "fraud_pipeline",
  "INSERT INTO fraud_sink SELECT * FROM fraud_stream; INSERT INTO fraud_only_sink SELECT * FROM fraud_stream WHERE is_fraud = true",
);
const cities = ["Lisbon", "Oslo", null, "Rome"];
const events = Array.from({ length: 1000 }, (_, i) => ({
  transaction_id: `tx-${String(i).padStart(4, "0")}`,
  amount: i / 4,
  ...(cities[i % 4] !== null && { location: cities[i % 4] }),
  is_fraud: i % 25 === 0,
}));
await world.ingest(stream.endpoint, events);
const counted = async (table: string): Promise<number> => {
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/wrangler-sql`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: `SELECT count(*) AS n FROM ${table}` }),
  });
  const { result, errors } = (await response.json()) as { result: { rows: { n: number }[] } | null; errors: unknown };
  assert(result !== null, JSON.stringify(errors));
  return result.rows[0]?.n as number;
};
await eventually("all events are in their tables", async () => {
  assert.equal(await counted("default.transactions"), 1000);
  assert.equal(await counted("fraud.transactions"), 40);
});

test("[r2-sql-02] a query prints its table and what was read, under the old and the new name of the command", async () => {
  for (const command of [
    ["r2", "sql", "query"],
    ["basin", "sql", "query"],
  ]) {
    const { stdout } = await sql(
      "SELECT transaction_id, amount, location, is_fraud FROM default.transactions ORDER BY transaction_id LIMIT 3",
      { command },
    );
    assert.deepEqual(cells(stdout), [
      ["transaction_id", "amount", "location", "is_fraud"],
      ["tx-0000", "0", "Lisbon", "true"],
      ["tx-0001", "0.25", "Oslo", "false"],
      ["tx-0002", "0.5", "", "false"],
    ]);
    assert.match(stdout, /Read [\d.]+ k?B across \d+ files from R2/);
    assert.match(stdout, /On average, [\d.]+ [kM]?B \/ s/);
  }
});

test("catalog statements print tables, mistakes their code and text, and nothing its sentence", async () => {
  assert.deepEqual(cells((await sql("SHOW DATABASES")).stdout), [["namespace"], ["default"], ["fraud"]]);
  assert.deepEqual(cells((await sql("SHOW TABLES IN default;")).stdout), [["table_name"], ["transactions"]]);
  const described = cells((await sql("DESCRIBE default.transactions")).stdout);
  assert.deepEqual(described[0]?.slice(0, 3), ["column_name", "type", "required"]);
  assert(
    described.some((row) => row[0] === "__ingest_ts" && row[1]?.startsWith("timestamp")),
    JSON.stringify(described),
  );
  const mistake = await sql("SELECT * FROM default.transactions LIMIT 50000");
  assert.match(
    mistake.stderr + mistake.stdout,
    /Query failed because of the following errors:[\s\S]*\* 40003: invalid SQL: maximum LIMIT is 10000/,
  );
  const column = await sql("SELECT nope FROM default.transactions");
  assert.match(column.stderr + column.stdout, /\* 40004: invalid query: .*nope/);
  const none = await sql("SELECT * FROM default.transactions WHERE amount > 1e9");
  assert.match(none.stdout, /Query executed successfully with no results/);
});

test("[r2-sql-08] rows of a table that a pipeline wrote have the time of their arrival", async () => {
  const head = cells((await sql("SELECT * FROM default.transactions LIMIT 2")).stdout)[0] ?? [];
  assert.deepEqual(
    head.filter((name) => name !== "__ingest_ts"),
    fields.map((field) => field.name),
  );
  assert.equal(head.length, fields.length + 1);
  const [, [at] = []] = cells((await sql("SELECT __ingest_ts FROM default.transactions LIMIT 1")).stdout);
  assert.match(at ?? "", /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/);
});

test("[r2-sql-38] the fraud tutorial: the filtered table has the fraud alone", async () => {
  const { stdout } = await sql(
    "SELECT transaction_id, is_fraud FROM fraud.transactions WHERE is_fraud = true ORDER BY transaction_id LIMIT 2",
  );
  assert.deepEqual(cells(stdout).slice(1), [
    ["tx-0000", "true"],
    ["tx-0025", "true"],
  ]);
  assert.match(
    (await sql("SELECT transaction_id FROM fraud.transactions WHERE is_fraud = false LIMIT 10")).stdout,
    /Query executed successfully with no results/,
  );
});

test("[r2-sql-03] the token comes from its variable, from .env, or with a warning from CLOUDFLARE_API_TOKEN", async () => {
  const warning = /Missing WRANGLER_BASIN_SQL_AUTH_TOKEN environment variable, falling back to CLOUDFLARE_API_TOKEN/;
  const { value } = await platform.token(["Workers R2 SQL Read", "Workers R2 Data Catalog Read", "Workers R2 Storage Read"]);
  const query = "SELECT count(*) FROM fraud.transactions";
  const fallback = await sql(query, { env: { WRANGLER_BASIN_SQL_AUTH_TOKEN: undefined, CLOUDFLARE_API_TOKEN: value } });
  assert.match(fallback.stderr + fallback.stdout, warning);
  assert.deepEqual(cells(fallback.stdout), [["count(*)"], ["40"]]);
  const named = await sql(query, { env: { WRANGLER_BASIN_SQL_AUTH_TOKEN: value } });
  assert.doesNotMatch(named.stderr + named.stdout, warning);
  assert.deepEqual(cells(named.stdout), [["count(*)"], ["40"]]);
  await writeFile(join(dir, ".env"), `WRANGLER_BASIN_SQL_AUTH_TOKEN=${value}\n`);
  const fromFile = await sql(query, { env: { WRANGLER_BASIN_SQL_AUTH_TOKEN: undefined, CLOUDFLARE_API_TOKEN: "no-such-token" } });
  await rm(join(dir, ".env"));
  assert.doesNotMatch(fromFile.stderr + fromFile.stdout, warning);
  assert.deepEqual(cells(fromFile.stdout), [["count(*)"], ["40"]]);
});

test("[r2-sql-04] a token without permission prints the hint", async () => {
  const { value } = await platform.token(["Workers R2 Data Catalog Read", "Workers R2 Storage Read"]);
  const refused = await sql("SHOW DATABASES", { env: { WRANGLER_BASIN_SQL_AUTH_TOKEN: value } });
  const output = refused.stderr + refused.stdout;
  assert.match(output, /Please check that token in WRANGLER_BASIN_SQL_AUTH_TOKEN or CLOUDFLARE_API_TOKEN has the correct permissions/);
  assert.match(output, /\* 10000: Authentication error/);
  const noWarehouse = await sql("SHOW DATABASES", { warehouse: "nounderscore", code: 1 });
  assert.match(noWarehouse.stderr + noWarehouse.stdout, /Invalid warehouse name format/);
});
