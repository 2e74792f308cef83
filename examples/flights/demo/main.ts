/**
 * `npm run demo`: brings the platform up, has wrangler create everything, replays the flights through HTTP ingest and
 * through the Worker's binding, asks R2 SQL, and checks the answer against DuckDB on the original file.
 * `--exit` ends when done, `--events N` replays fewer, `--port P` and `--data DIR` choose where.
 */
import { randomBytes } from "node:crypto";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Agent, request } from "undici";
import { type DemoPlatform, projectRoot, startPlatform } from "../../demo/platform.ts";
import { bold, count, dim, green, progress, red, say, seconds, step } from "../../demo/terminal.ts";
import { type Delay, type Flights, openFlights } from "./flights.ts";

const { values: flags } = parseArgs({
  options: {
    exit: { type: "boolean", default: false },
    events: { type: "string", default: "3000000" },
    port: { type: "string", default: "8787" },
    data: { type: "string", default: ".freehold-demo" },
  },
});

const BUCKET = "flights-lake";
const NAMESPACE = "demo";
const TABLE = "flights";
/** Of every ten batches one goes through the Worker's binding. */
const BINDING_SHARE = 10;
const EVENTS_PER_BODY = 5000;
const REQUESTS_IN_FLIGHT = 8;
/** Airports with few flights say little. */
const MIN_FLIGHTS = Math.max(1, Math.round(Number(flags.events) / 3000));
const TOP = 10;
/** wrangler refuses shorter intervals for catalog sinks. */
const ROLL_SECONDS = 60;
const ARRIVAL_DEADLINE_MS = (ROLL_SECONDS + 60) * 1000;
const QUESTION = `SELECT origin, AVG(delay) AS mean_delay, COUNT(*) AS flights FROM ${NAMESPACE}.${TABLE} GROUP BY origin HAVING COUNT(*) >= ${MIN_FLIGHTS} ORDER BY mean_delay DESC LIMIT ${TOP}`;

const startedAt = performance.now();
// The names under *.localhost are this machine, whether or not its resolver knows.
const agent = new Agent({
  connect: { lookup: (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]) },
  pipelining: 1,
});

interface Setup {
  readonly workerUrl: string;
  readonly ingestUrl: string;
  readonly secret: string;
}

async function main(): Promise<void> {
  const dataDirectory = resolve(projectRoot, flags.data);
  say(`\n${bold("Freehold demo")}: ${count(Number(flags.events))} US flights, from HTTP events to a SQL answer\n`);
  const platform = await step(
    "Freehold is up",
    () => startPlatform(dataDirectory, Number(flags.port)),
    (p) => p.ready.gateway,
  );
  const stop = async (): Promise<void> => {
    await platform.stop();
    process.exit(0);
  };
  process.once("SIGINT", () => void stop());
  process.once("SIGTERM", () => void stop());
  try {
    const flights = await openFlights(Number(flags.events));
    const setup = await prepare(platform, join(dataDirectory, "project"));
    await loadAirports(setup, flights);
    await replay(platform, setup, flights);
    await arrival(platform, flights);
    const agrees = await answer(platform, setup, flights);
    flights.close();
    say(`\n  ${bold("Done")} in ${seconds(performance.now() - startedAt)}. The page: ${bold(setup.workerUrl)}\n`);
    if (flags.exit || !agrees) {
      await platform.stop();
      process.exit(agrees ? 0 : 1);
    }
    say(`  Go on, in another terminal:
    npm run freehold -- exec --data ${flags.data} -- wrangler r2 sql query ${platform.ready.account_id}_${BUCKET} "SELECT COUNT(*) FROM ${NAMESPACE}.${TABLE}"
    npm run freehold -- exec --data ${flags.data} -- wrangler tail flights
    npm run freehold -- status --data ${flags.data}
  ${dim("Ctrl-C ends the demo.")}\n`);
    await platform.ended;
    throw new Error("the platform has ended by itself");
  } catch (error) {
    await platform.stop();
    throw error;
  }
}

/** Everything that wrangler creates, as a user would type it. */
async function prepare(platform: DemoPlatform, project: string): Promise<Setup> {
  say(`\n${bold("Set up")} ${dim("(unmodified wrangler)")}`);
  await rm(project, { recursive: true, force: true });
  // Inside the checkout, so that the bundler finds the packages that the example imports.
  const example = join(projectRoot, "examples/flights");
  await cp(example, project, { recursive: true, filter: (path) => path !== join(example, "demo") });
  const wrangler = (...args: string[]) => platform.wrangler(args, { cwd: project });
  const { ready } = platform;
  const bind = (name: string) => ["--binding", name, "--update-config"];
  await step("KV namespace", () => wrangler("kv", "namespace", "create", "flights-cache", ...bind("CACHE")));
  await step("R2 bucket", () => wrangler("r2", "bucket", "create", BUCKET, ...bind("REPORTS")));
  await step("Data catalog of the bucket", () => wrangler("r2", "bucket", "catalog", "enable", BUCKET));
  await step("D1 database", () => wrangler("d1", "create", "flights-db", ...bind("DB")));
  await step("D1 migration", () => wrangler("d1", "migrations", "apply", "flights-db", "--remote"));
  const stream = await step("Stream with a schema", async () =>
    idIn(await wrangler("pipelines", "streams", "create", "flights_stream", "--schema-file", "schema.json", "--http-auth", "true")),
  );
  await step("Sink: Iceberg table", () =>
    wrangler(
      ...[
        "pipelines",
        "sinks",
        "create",
        "flights_sink",
        "--type",
        "r2-data-catalog",
        "--bucket",
        BUCKET,
        "--namespace",
        NAMESPACE,
        "--table",
        TABLE,
      ],
      ...["--roll-interval", String(ROLL_SECONDS), "--catalog-token", ready.api_token],
    ),
  );
  await step("Pipeline with SQL", () => wrangler("pipelines", "create", "flights_pipeline", "--sql-file", "pipeline.sql"));
  await addStreamBinding(project, stream);
  await step("Deploy the Worker", () => wrangler("deploy"));
  const secret = randomBytes(18).toString("base64url");
  await step("Secret", () => platform.wrangler(["secret", "put", "ADMIN_SECRET"], { cwd: project, input: secret }));
  const workerUrl = await workerAddress(ready);
  return { workerUrl, ingestUrl: ready.hosts.ingest.replace("{stream}", stream), secret };
}

/** The id that wrangler printed: 32 hex digits. */
function idIn(output: string): string {
  const id = /\b[0-9a-f]{32}\b/.exec(output)?.[0];
  if (id === undefined) throw new Error(`wrangler printed no id:\n${output}`);
  return id;
}

/** Streams have no `--update-config`: their binding goes in as a user would paste it. */
async function addStreamBinding(project: string, stream: string): Promise<void> {
  const file = join(project, "wrangler.jsonc");
  const config = await readFile(file, "utf8");
  await writeFile(file, config.replace(/^\{/, `{\n  "pipelines": [{ "binding": "STREAM", "stream": "${stream}" }],`));
}

async function workerAddress({ gateway, account_id, api_token, hosts }: DemoPlatform["ready"]): Promise<string> {
  const answer = await fetch(`${gateway}/client/v4/accounts/${account_id}/workers/subdomain`, {
    headers: { authorization: `Bearer ${api_token}` },
  });
  const { result } = (await answer.json()) as { result: { subdomain: string } };
  return hosts.workers.replace("{worker}", "flights").replace("{subdomain}", result.subdomain);
}

async function loadAirports(setup: Setup, flights: Flights): Promise<void> {
  const airports = await flights.airports();
  await step(
    "Airports into D1",
    () => send(`${setup.workerUrl}/api/admin/airports`, setup.secret, JSON.stringify(airports)),
    () => count(airports.length),
  );
}

/** Both ways in, at the same time, each with a bounded number of requests under way. */
async function replay({ ready }: DemoPlatform, setup: Setup, flights: Flights): Promise<void> {
  say(`\n${bold("Replay")} ${dim("(nine tenths to the HTTP endpoint, one tenth through the Worker's binding)")}`);
  const bar = progress("All events acknowledged", flights.total);
  const bodies = flights.bodies(EVENTS_PER_BODY);
  let batch = 0;
  let uncounted = 0;
  const sender = async (): Promise<void> => {
    for (let next = await bodies.next(); !next.done; next = await bodies.next()) {
      const { body, events } = next.value;
      if (batch++ % BINDING_SHARE === 0) {
        await send(`${setup.workerUrl}/api/admin/events`, setup.secret, body);
      } else {
        await send(setup.ingestUrl, ready.api_token, body);
        uncounted += events;
        if (batch % BINDING_SHARE === 1) {
          // The live counter on the page learns of the events that went past the Worker.
          const counted = uncounted;
          uncounted = 0;
          await send(`${setup.workerUrl}/api/admin/count`, setup.secret, JSON.stringify({ events: counted }));
        }
      }
      bar.add(events);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, sender));
  if (uncounted > 0) await send(`${setup.workerUrl}/api/admin/count`, setup.secret, JSON.stringify({ events: uncounted }));
  bar.end();
}

async function send(url: string, token: string, body: string, method: "POST" | "PUT" = "POST"): Promise<string> {
  const answer = await request(url, {
    method,
    dispatcher: agent,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body,
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${method} ${url} answered ${answer.statusCode}: ${text.slice(0, 500)}`);
  return text;
}

/** Waits until every acknowledged event is in the table; each exactly once. */
async function arrival(platform: DemoPlatform, flights: Flights): Promise<void> {
  const expected = flights.total;
  await step(
    `Rows in the Iceberg table ${dim(`(the sink rolls every ${ROLL_SECONDS} s)`)}`,
    async () => {
      for (const deadline = Date.now() + ARRIVAL_DEADLINE_MS; Date.now() < deadline; await sleep(500)) {
        const rows = await ask<{ n: number }>(platform, `SELECT COUNT(*) AS n FROM ${NAMESPACE}.${TABLE}`);
        const n = Number(rows?.[0]?.n ?? 0);
        if (n < expected) continue;
        const repeated = await ask<{ id: number }>(
          platform,
          `SELECT id FROM ${NAMESPACE}.${TABLE} GROUP BY id HAVING COUNT(*) > 1 LIMIT 1`,
        );
        if (n > expected || repeated?.length !== 0) throw new Error(`the table holds ${n} rows, some of them twice; ${expected} were sent`);
        return n;
      }
      throw new Error(`not all ${expected} rows arrived within ${ARRIVAL_DEADLINE_MS / 1000} s`);
    },
    (n) => `${count(n)}, each exactly once`,
  );
}

/** R2 SQL over HTTP; undefined while the table does not exist yet. */
async function ask<T>({ ready }: DemoPlatform, query: string): Promise<T[] | undefined> {
  const url = `${ready.gateway.replace("127.0.0.1", "sql.freehold.localhost")}/api/v1/accounts/${ready.account_id}/r2-sql/query/${BUCKET}`;
  const answer = await request(url, {
    method: "POST",
    dispatcher: agent,
    headers: { authorization: `Bearer ${ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const body = (await answer.body.json()) as { success: boolean; result?: { rows: T[] } };
  return body.success ? body.result?.rows : undefined;
}

async function answer(platform: DemoPlatform, setup: Setup, flights: Flights): Promise<boolean> {
  say(`\n${bold("Ask")} ${dim("wrangler r2 sql query")}`);
  const printed = await platform.wrangler(["r2", "sql", "query", `${platform.ready.account_id}_${BUCKET}`, QUESTION]);
  say(printed.slice(Math.max(0, printed.search(/[┌╭]/))).trimEnd());
  const rows = ((await ask<Delay>(platform, QUESTION)) ?? []).map((row) => ({
    ...row,
    mean_delay: Number(row.mean_delay),
    flights: Number(row.flights),
  }));
  await send(`${setup.workerUrl}/api/admin/answer`, setup.secret, JSON.stringify(rows), "PUT");
  const expected = await flights.worstDelays(MIN_FLIGHTS, TOP);
  const agrees = rows.length === expected.length && expected.every((row, i) => same(row, rows[i] as Delay));
  say(
    agrees
      ? `\n  ${green("✓")} DuckDB on the original Parquet file gives the same ${expected.length} rows`
      : `\n  ${red("✗")} DuckDB on the original file differs:\n${JSON.stringify({ expected, rows }, null, 2)}`,
  );
  return agrees;
}

// Means are sums of floats in another order: equal to nine digits.
const same = (a: Delay, b: Delay): boolean =>
  a.origin === b.origin && a.flights === b.flights && Math.abs(a.mean_delay - b.mean_delay) < 1e-9 * Math.abs(a.mean_delay);

main().catch((error: unknown) => {
  say(`\n${red("The demo failed:")} ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
