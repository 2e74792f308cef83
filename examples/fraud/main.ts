/**
 * `npm run demo:fraud`: the fraud tutorial of R2 SQL's documentation. wrangler makes a stream, two Iceberg sinks and a
 * pipeline for each: every transaction, and the large fraudulent ones alone. R2 SQL answers the tutorial's questions, and
 * each answer is checked against the transactions that were sent.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Agent, request } from "undici";
import { type DemoPlatform, projectRoot, startPlatform } from "../demo/platform.ts";
import { bold, count, dim, green, progress, red, say, seconds, step } from "../demo/terminal.ts";
import { type Transaction, transactions } from "./transactions.ts";

const { values: flags } = parseArgs({
  options: {
    events: { type: "string", default: "1000" },
    port: { type: "string", default: "0" },
    data: { type: "string", default: ".freehold-fraud" },
  },
});

const BUCKET = "fraud-pipeline";
const RAW = "fraud_detection.transactions";
const FRAUD = "fraud_detection.fraud_transactions";
/** wrangler refuses shorter intervals for catalog sinks. */
const ROLL_SECONDS = 60;
const ARRIVAL_DEADLINE_MS = (ROLL_SECONDS + 60) * 1000;
const EVENTS_PER_BODY = 100;
const COLUMNS = "transaction_id, user_id, amount, location, merchant_category, is_fraud, transaction_timestamp";

const startedAt = performance.now();
// The names under *.localhost are this machine, whether or not its resolver knows.
const agent = new Agent({ connect: { lookup: (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]) } });

async function main(): Promise<void> {
  const sent = transactions(Number(flags.events), 2025, Date.now());
  const fraud = sent.filter(({ is_fraud, amount }) => is_fraud && amount > 1000);
  say(`\n${bold("Fraud tutorial")}: ${count(sent.length)} transactions, ${count(fraud.length)} of them fraud over 1,000\n`);
  const platform = await step("Freehold is up", () => startPlatform(resolve(projectRoot, flags.data), Number(flags.port)));
  try {
    const ingest = await prepare(platform);
    await send(ingest, sent);
    await arrival(platform, RAW, sent.length);
    await arrival(platform, FRAUD, fraud.length);
    await questions(platform, sent, fraud);
    say(`\n  ${bold("Done")} in ${seconds(performance.now() - startedAt)}: every answer is that of the transactions that were sent.\n`);
  } finally {
    await platform.stop();
  }
}

async function prepare({ ready, wrangler }: DemoPlatform): Promise<string> {
  const sink = (name: string, table: string): Promise<string> => {
    const [namespace, tableName] = table.split(".") as [string, string];
    const target = ["--type", "r2-data-catalog", "--bucket", BUCKET, "--namespace", namespace, "--table", tableName];
    return wrangler([
      "pipelines",
      "sinks",
      "create",
      name,
      ...target,
      "--roll-interval",
      String(ROLL_SECONDS),
      "--catalog-token",
      ready.api_token,
    ]);
  };
  await step("R2 bucket", () => wrangler(["r2", "bucket", "create", BUCKET]));
  await step("Data catalog of the bucket", () => wrangler(["r2", "bucket", "catalog", "enable", BUCKET]));
  const schema = join(import.meta.dirname, "schema.json");
  const created = await step("Stream with a schema", () =>
    wrangler([
      "pipelines",
      "streams",
      "create",
      "raw_events_stream",
      "--schema-file",
      schema,
      "--http-enabled",
      "true",
      "--http-auth",
      "false",
    ]),
  );
  await step(`Sink: ${RAW}`, () => sink("raw_events_sink", RAW));
  await step(`Sink: ${FRAUD}`, () => sink("fraud_filter_sink", FRAUD));
  await step("Pipeline of everything", () =>
    wrangler(["pipelines", "create", "raw_events_pipeline", "--sql", "INSERT INTO raw_events_sink SELECT * FROM raw_events_stream"]),
  );
  await step("Pipeline of large fraud", () =>
    wrangler([
      "pipelines",
      "create",
      "fraud_events_pipeline",
      "--sql",
      "INSERT INTO fraud_filter_sink SELECT * FROM raw_events_stream WHERE is_fraud=true and amount > 1000",
    ]),
  );
  const stream = /\b[0-9a-f]{32}\b/.exec(created)?.[0];
  if (stream === undefined) throw new Error(`wrangler printed no id:\n${created}`);
  return ready.hosts.ingest.replace("{stream}", stream);
}

async function send(ingest: string, sent: readonly Transaction[]): Promise<void> {
  const bar = progress("All transactions acknowledged", sent.length);
  for (let i = 0; i < sent.length; i += EVENTS_PER_BODY) {
    const batch = sent.slice(i, i + EVENTS_PER_BODY);
    const headers = { "content-type": "application/json" };
    const answer = await request(ingest, { method: "POST", dispatcher: agent, headers, body: JSON.stringify(batch) });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`the ingest endpoint answered ${answer.statusCode}: ${text}`);
    bar.add(batch.length);
  }
  bar.end();
}

/** Rows of a query; undefined while the table does not exist yet. */
async function ask(platform: DemoPlatform, query: string): Promise<Record<string, unknown>[] | undefined> {
  const { ready } = platform;
  const url = `${ready.gateway.replace("127.0.0.1", "sql.freehold.localhost")}/api/v1/accounts/${ready.account_id}/r2-sql/query/${BUCKET}`;
  const headers = { authorization: `Bearer ${ready.api_token}`, "content-type": "application/json" };
  const answer = await request(url, { method: "POST", dispatcher: agent, headers, body: JSON.stringify({ query }) });
  const body = (await answer.body.json()) as { success: boolean; result?: { rows: Record<string, unknown>[] } };
  return body.success ? body.result?.rows : undefined;
}

async function arrival(platform: DemoPlatform, table: string, expected: number): Promise<void> {
  await step(
    `Rows in ${table} ${dim(`(the sink rolls every ${ROLL_SECONDS} s)`)}`,
    async () => {
      for (const deadline = Date.now() + ARRIVAL_DEADLINE_MS; Date.now() < deadline; await sleep(500)) {
        const n = Number((await ask(platform, `SELECT COUNT(*) AS n FROM ${table}`))?.[0]?.n ?? 0);
        if (n > expected) throw new Error(`${table} holds ${n} rows, and ${expected} were sent`);
        if (n === expected) return n;
      }
      throw new Error(`not all ${expected} rows arrived within ${ARRIVAL_DEADLINE_MS / 1000} s`);
    },
    count,
  );
}

async function questions(platform: DemoPlatform, sent: readonly Transaction[], fraud: readonly Transaction[]): Promise<void> {
  const warehouse = `${platform.ready.account_id}_${BUCKET}`;
  const print = async (title: string, query: string): Promise<string> => {
    say(`\n${bold(title)}\n${dim(query)}`);
    const printed = await platform.wrangler(["r2", "sql", "query", warehouse, query]);
    say(printed.slice(Math.max(0, printed.search(/[┌╭]|Query executed/))).trimEnd());
    return printed;
  };
  const ids = (rows: readonly Record<string, unknown>[] | undefined): unknown[] => (rows ?? []).map((row) => row.transaction_id).sort();
  const check = (what: string): void => say(`  ${green("✓")} ${what}`);

  const recent = `SELECT ${COLUMNS} FROM ${RAW} WHERE __ingest_ts > '2025-09-24T01:00:00Z' AND is_fraud = true LIMIT 10`;
  await print("Recent fraud", recent);
  const marked = new Set(sent.filter(({ is_fraud }) => is_fraud).map(({ transaction_id }) => transaction_id));
  const found = ids(await ask(platform, recent));
  assert.equal(found.length, Math.min(10, marked.size));
  assert(found.every((id) => marked.has(id as string)));
  check("each of them was sent as fraud");

  const large = `SELECT ${COLUMNS} FROM ${FRAUD} LIMIT 10000`;
  await print("Large fraud, filtered by the pipeline", `${large.replace(/LIMIT.*/, "LIMIT 10")}`);
  assert.deepEqual(ids(await ask(platform, large)), fraud.map(({ transaction_id }) => transaction_id).sort());
  check(`the table holds the ${count(fraud.length)} transactions that it should, and no other`);

  const none = await print("What the filter left out", `SELECT ${COLUMNS} FROM ${FRAUD} WHERE is_fraud = false LIMIT 10`);
  assert.match(none, /Query executed successfully with no results/);
  check("nothing");
}

main().catch((error: unknown) => {
  say(`\n${red("The tutorial failed:")} ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
