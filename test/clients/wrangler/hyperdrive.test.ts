/** Configurations of Hyperdrive by wrangler, the SDK and REST; how its databases are connected to, and when no longer. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import pg from "pg";
import { fetch as plainFetch } from "undici";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { noPostgres, type Postgres, startPostgres } from "../../harness/postgres.ts";
import { noOpenssl } from "../../harness/programs.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { COMPATIBILITY_DATE } from "../../harness/worker-project.ts";
import { rowsOf } from "../analytics.ts";
import { type Certificate, certificateMaker, type DriversProject, deployDrivers, originOf } from "../hyperdrive-world.ts";

const noDatabase = noPostgres || noOpenssl || missingClient("sql-drivers");
const CONNECT_TIMEOUT_MS = 3_000;

let platform: TestPlatform;
let server: Postgres;
let direct: pg.Client;
let worker: DriversProject;
let base: string;
let authority: Certificate;
const ids: Record<string, string> = {};

const post = async (body: object) => (await platform.rest("POST", base, body)).body;
const uri = ({ host, port, user, password, database }: Postgres): string => `postgres://${user}:${password}@${host}:${port}/${database}`;

// biome-ignore lint/suspicious/noExplicitAny: each route answers with another shape; tests check them.
async function ask(path: string, init: { method?: string; body?: string } = {}): Promise<any> {
  const response = await platform.fetch(`${worker.url}${path}`, init);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text.startsWith("[") || text.startsWith("{") || /^\d/.test(text) ? JSON.parse(text) : text;
}

const query = (sql: string, binding = "HYPERDRIVE") => ask(`/query?binding=${binding}&sql=${encodeURIComponent(sql)}`);

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function create(name: string, origin: object = {}, more: object = {}): Promise<string> {
  const { result, errors } = await post({ name, origin: { ...originOf(server), ...origin }, ...more });
  assert.deepEqual(errors, []);
  ids[name] = result.id;
  return result.id;
}

async function refusal(origin: object, more: object = {}): Promise<{ code: number; message: string }> {
  const { errors } = await post({ name: "refused", origin: { ...originOf(server), ...origin }, ...more });
  return errors[0] ?? { code: 0, message: "it was created" };
}

async function upload(body: { name: string; certificates: string; private_key?: string; ca: boolean }): Promise<string> {
  return (await platform.sdk().mtlsCertificates.create({ account_id: platform.ready.account_id, ...body })).id as string;
}

/** Users who sign in each in another way, and the configurations that are theirs. */
async function world(): Promise<void> {
  const issue = await certificateMaker();
  authority = await issue("authority", "basicConstraints=critical,CA:TRUE");
  const visitor = await issue("visitor", "extendedKeyUsage=clientAuth", authority);
  const own = await issue("server", "subjectAltName=DNS:localhost", authority);
  const access = [
    "by_md5 127.0.0.1/32 md5",
    "by_text 127.0.0.1/32 password",
    "by_certificate 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
  ];
  server = await startPostgres(
    { after },
    { tls: { ...own, authority: authority.certificate }, access: access.map((line) => `hostssl all ${line}`) },
  );
  platform = await startPlatform(
    { after },
    {
      config: {
        "hyperdrive.private_origins": true,
        "hyperdrive.connect_timeout_ms": CONNECT_TIMEOUT_MS,
        "hyperdrive.acquire_timeout_ms": 4_000,
        "hyperdrive.idle_timeout_ms": 1_000,
        "hyperdrive.configs_max": 12,
      },
    },
  );
  base = `/accounts/${platform.ready.account_id}/hyperdrive/configs`;
  direct = new pg.Client({ ...server, ssl: { rejectUnauthorized: false } });
  await direct.connect();
  await direct.query(`
    CREATE ROLE by_scram LOGIN PASSWORD 'pass-scram'; CREATE ROLE by_text LOGIN PASSWORD 'pass-text';
    CREATE ROLE by_certificate LOGIN PASSWORD 'pass-certificate';
    SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'pass-md5'; RESET password_encryption;
    CREATE TABLE notes (text text NOT NULL);
    CREATE TABLE readings (ts timestamptz DEFAULT now() NOT NULL, sensor UUID NOT NULL, metadata jsonb, value numeric NOT NULL)`);
  await create("HYPERDRIVE");
  for (const mode of ["md5", "text", "scram"]) await create(mode.toUpperCase(), { user: `by_${mode}`, password: `pass-${mode}` });
  const client = await upload({ name: "visitor", certificates: visitor.certificate, private_key: visitor.key, ca: false });
  await create("CERTIFICATE", { user: "by_certificate", password: "pass-certificate" }, { mtls: { mtls_certificate_id: client } });
  const queue = await platform.rest("POST", `/accounts/${platform.ready.account_id}/queues`, { queue_name: "notes" });
  assert.deepEqual(queue.body.errors, []);
  worker = await deployDrivers(platform, { after }, "handlers", new URL("../hyperdrive-handlers-worker.js", import.meta.url), {
    config: {
      hyperdrive: Object.entries(ids).map(([binding, id]) => ({ binding, id })),
      durable_objects: { bindings: [{ name: "ROOM", class_name: "Room" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Room"] }],
      queues: { producers: [{ binding: "QUEUE", queue: "notes" }], consumers: [{ queue: "notes", max_batch_timeout: 0 }] },
      workflows: [{ binding: "FLOW", name: "flow", class_name: "Flow" }],
    },
  });
}

// Before the server is stopped.
after(() => direct?.end());
if (!noDatabase) await world();

test("[hyperdrive-06, hyperdrive-08, hyperdrive-35] wrangler, the SDK and REST make, show, change and delete configurations", {
  skip: noDatabase,
}, async () => {
  const made = await platform.wrangler(["hyperdrive", "create", "by-wrangler", "--connection-string", uri(server), "--max-age", "30"]);
  const id = /config: ([0-9a-f]{32})/.exec(made.stdout)?.[1] as string;
  const shown = await platform.wrangler(["hyperdrive", "get", id]);
  const seen = JSON.parse(shown.stdout.slice(shown.stdout.indexOf("{"))) as { origin: object; caching: object };
  const { password, ...origin } = { ...originOf(server), scheme: "postgres" };
  assert.deepEqual([seen.origin, seen.caching], [origin, { disabled: false, max_age: 30, stale_while_revalidate: 15 }]);
  assert.match((await platform.wrangler(["hyperdrive", "list"])).stdout, new RegExp(`${id}.*by-wrangler`));
  const limited = await platform.wrangler(["hyperdrive", "update", id, "--origin-connection-limit", "10"]);
  assert.match(limited.stdout, /"origin_connection_limit": 10/);

  const { configs } = platform.sdk().hyperdrive;
  const account = { account_id: platform.ready.account_id };
  const other = await configs.create({ ...account, name: "by-sdk", origin: originOf(server), caching: { disabled: true } });
  assert.deepEqual(other.caching, { disabled: true });
  const replaced = await configs.update(other.id, { ...account, name: "by-sdk-2", origin: originOf(server) });
  assert.deepEqual([replaced.name, replaced.caching.disabled], ["by-sdk-2", false]);
  const edited = await configs.edit(other.id, { ...account, origin_connection_limit: 7 });
  assert.deepEqual([edited.name, edited.origin_connection_limit], ["by-sdk-2", 7]);
  assert.notEqual((await configs.restart(other.id, account)).restarted_on, undefined);
  const texts = [made.stdout, shown.stdout, limited.stdout, JSON.stringify([other, replaced, edited])];
  for await (const listed of configs.list(account)) texts.push(JSON.stringify(listed));
  texts.push(JSON.stringify(await configs.get(id, account)));
  assert.ok(texts.every((text) => !text.includes(password)));
  await platform.wrangler(["hyperdrive", "delete", id]);
  await configs.delete(other.id, account);
  await assert.rejects(configs.get(id, account), /2001/);
  const entries = await platform.rest("GET", `/accounts/${account.account_id}/audit_logs?per_page=100`);
  const actions = entries.body.result
    .filter((entry: { resource: { id: string } }) => entry.resource.id === other.id)
    .map((entry: { action: { info: string } }) => entry.action.info);
  assert.deepEqual(actions.reverse(), ["CreateConfig", "UpdateConfig", "UpdateConfig", "RestartConfig", "DeleteConfig"]);
  assert.ok(!JSON.stringify(entries.body).includes(password));
});

test("[hyperdrive-08] a limit of connections applies from then on", { skip: noDatabase }, async () => {
  assert.equal((await platform.rest("PATCH", `${base}/${ids.HYPERDRIVE}`, { origin_connection_limit: 10 })).status, 200);
  assert.equal(await ask("/transactions?count=12"), 10);
  assert.equal((await platform.rest("PATCH", `${base}/${ids.HYPERDRIVE}`, { origin_connection_limit: 4 })).status, 400);
  assert.equal((await platform.rest("PATCH", `${base}/${ids.HYPERDRIVE}`, { origin_connection_limit: 101 })).status, 400);
});

test("[hyperdrive-07] the test connection says what is wrong, and nothing is saved", { skip: noDatabase }, async () => {
  assert.equal((await refusal({ password: "wrong" })).code, 2013);
  assert.equal((await refusal({ user: "nobody" })).code, 2013);
  assert.equal((await refusal({ database: "missing" })).code, 2014);
  const closed = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => closed.once("listening", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const refused = await refusal({ port });
  assert.equal(refused.code, 2011);
  assert.match(refused.message, /^Failed to connect to the provided database: /);
  assert.equal((await refusal({ host: "missing.invalid" })).code, 2008);
  const failed = await platform.wrangler(
    ["hyperdrive", "create", "refused", "--connection-string", uri({ ...server, password: "wrong" })],
    {
      code: 1,
    },
  );
  assert.match(failed.stderr, /\[code: 2013\]/);
  const plain = await startPostgres({ after });
  assert.equal((await refusal({ port: plain.port })).code, 2012);
  const edit = await platform.rest("PATCH", `${base}/${ids.HYPERDRIVE}`, { origin: { password: "wrong" } });
  assert.equal(edit.body.errors[0]?.code, 2013);
  // Whoever may change the host does not get the password sent there.
  const moved = await platform.rest("PATCH", `${base}/${ids.HYPERDRIVE}`, { origin: { host: "localhost" } });
  assert.match(moved.body.errors[0]?.message ?? "", /password: must be given/);
  assert.ok(!JSON.stringify((await platform.rest("GET", base)).body).includes("refused"));
});

test("[hyperdrive-12] a database that does not answer is given up, and unused connections are closed", { skip: noDatabase }, async () => {
  const silent = createServer((socket) => socket.on("error", () => socket.destroy())).listen(0, "127.0.0.1");
  after(() => void silent.close());
  await new Promise((resolve) => silent.once("listening", resolve));
  const begun = performance.now();
  assert.match((await refusal({ port: (silent.address() as AddressInfo).port })).message, /timed out/);
  assert.ok(performance.now() - begun >= CONNECT_TIMEOUT_MS - 100);
  await query("SELECT 1");
  const count = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'Cloudflare Hyperdrive'";
  await until(async () => (await direct.query(count)).rows[0].n === 0);
  assert.deepEqual(await query("SELECT 2 AS two"), [{ two: 2 }]);
});

test("[hyperdrive-23] users sign in by MD5, a clear-text password and SCRAM", { skip: noDatabase }, async () => {
  for (const mode of ["md5", "text", "scram"])
    assert.deepEqual(await query("SELECT current_user AS name", mode.toUpperCase()), [{ name: `by_${mode}` }]);
});

test("[hyperdrive-24] verify-ca and verify-full look at the server's certificate", { skip: noDatabase }, async () => {
  const issue = await certificateMaker();
  const other = await issue("other", "basicConstraints=critical,CA:TRUE");
  const [ours, theirs] = await Promise.all(
    [authority, other].map(({ name, certificate }) => upload({ name, certificates: certificate, ca: true })),
  );
  const failed = /TLS handshake failed: cert validation failed/;
  for (const sslmode of ["verify-ca", "verify-full"]) {
    const { code, message } = await refusal({ host: "localhost" }, { mtls: { sslmode, ca_certificate_id: theirs } });
    assert.equal(code, 2015);
    assert.match(message, failed);
  }
  // The certificate names localhost, and not the address.
  assert.match((await refusal({}, { mtls: { sslmode: "verify-full", ca_certificate_id: ours } })).message, failed);
  const directory = await temporaryDirectory("freehold-authority-");
  await writeFile(join(directory, "ca.pem"), (await issue("third", "basicConstraints=critical,CA:TRUE")).certificate);
  const uploaded = await platform.wrangler([
    "cert",
    "upload",
    "certificate-authority",
    "--ca-cert",
    join(directory, "ca.pem"),
    "--name",
    "third",
  ]);
  const third = /ID: (\S+)/.exec(uploaded.stdout)?.[1] as string;
  const by = (mode: string, id: string) => ["--ca-certificate-id", id, "--sslmode", mode];
  const create = (name: string, url: string) => ["hyperdrive", "create", name, "--connection-string", url];
  const wrong = await platform.wrangler([...create("full", uri(server)), ...by("verify-ca", third)], { code: 1 });
  assert.match(wrong.stderr.replaceAll(/\s+/g, " "), failed);
  const full = uri({ ...server, host: "localhost" });
  assert.match((await platform.wrangler([...create("full", full), ...by("verify-full", ours as string)])).stdout, /Created new Hyperdrive/);
  assert.deepEqual(
    (await post({ name: "ca", origin: originOf(server), mtls: { sslmode: "verify-ca", ca_certificate_id: ours } })).errors,
    [],
  );
});

test("[hyperdrive-25] a database that wants a client certificate gets it", { skip: noDatabase }, async () => {
  const { code, message } = await refusal({ user: "by_certificate", password: "pass-certificate" });
  assert.deepEqual([code, message], [2015, "Failed to connect to the provided database: Server returned error and closed connection"]);
  assert.deepEqual(await query("SELECT current_user AS name", "CERTIFICATE"), [{ name: "by_certificate" }]);
});

test("[hyperdrive-28] a new password is used by new connections", { skip: noDatabase }, async () => {
  assert.deepEqual(await query("SELECT current_user AS name", "SCRAM"), [{ name: "by_scram" }]);
  await direct.query("ALTER ROLE by_scram PASSWORD 'pass-new'");
  await direct.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'by_scram'");
  await until(
    async () =>
      (await query("SELECT random()::int, 1 AS one", "SCRAM")).message === "Server connection attempt failed: invalid_credentials",
  );
  const { host, port, database } = server;
  await platform.wrangler(
    ["hyperdrive", "update", ids.SCRAM as string].concat(
      ["--origin-host", host, "--origin-port", String(port), "--database", database],
      ["--origin-user", "by_scram", "--origin-password", "pass-new"],
    ),
  );
  assert.deepEqual(await query("SELECT random()::int IS NOT NULL AS one", "SCRAM"), [{ one: true }]);
});

test("[hyperdrive-31] clients in Durable Objects, queue consumers and workflows", { skip: noDatabase }, async () => {
  await ask("/handlers");
  const texts = async () => (await direct.query("SELECT text FROM notes ORDER BY text")).rows.map(({ text }) => text);
  await until(async () => (await texts()).length === 4);
  assert.deepEqual(await texts(), ["object, first call", "object, second call", "queue", "workflow"]);
});

test("[hyperdrive-38] the tutorial's readings go in and come out", { skip: noDatabase }, async () => {
  const readings = [
    { sensor: "6f3e43a4-d1c1-4cb6-b928-0ac0efaf84a5", value: 0.3 },
    { sensor: "d538f9fa-f6de-46e5-9fa2-d7ee9a0f0a68", value: 10.8, ts: "2024-01-01T00:00:00Z", metadata: { a: 1 } },
  ];
  assert.equal(await ask("/readings", { method: "POST", body: JSON.stringify(readings) }), 2);
  const found = await ask("/readings?limit=10");
  assert.deepEqual(
    found.map(({ sensor, value, metadata }: Record<string, unknown>) => [sensor, value, metadata]),
    [
      [readings[0]?.sensor, "0.3", null],
      [readings[1]?.sensor, "10.8", { a: 1 }],
    ],
  );
  assert.equal((await ask("/readings?limit=1")).length, 1);
});

test("[hyperdrive-34] metrics count queries by how the cache served them, in the API and the dashboard", {
  skip: noDatabase || noBrowser,
}, async () => {
  const of = (more: string, selection: string) =>
    rowsOf(platform, "hyperdriveQueriesAdaptiveGroups", `, configId: "${ids.TEXT}"`, more, selection);
  const counts = async (): Promise<Record<string, number>> => {
    const rows = await of("", "count dimensions { cacheStatus eventStatus } sum { queryBytes resultBytes }");
    return Object.fromEntries(
      rows.map(({ count, dimensions }) => [Object.values(dimensions as Record<string, string>).join(" "), count as number]),
    );
  };
  const before = await counts();
  for (let round = 0; round < 3; round++) await query("SELECT 'metered' AS text", "TEXT");
  await query("SELECT now(), 'metered'", "TEXT");
  await query("INSERT INTO nothing VALUES (1)", "TEXT");
  const after = await counts();
  const grown = ["hit complete", "miss complete", "volatile complete", "uncacheable error"].map(
    (key) => (after[key] ?? 0) - (before[key] ?? 0),
  );
  assert.deepEqual(grown, [2, 1, 1, 1]);
  const [total] = (await of("", "avg { queryLatency connectionLatency }")) as { avg: Record<string, number> }[];
  assert.ok((total?.avg.queryLatency as number) > 0 && (total?.avg.connectionLatency as number) > 0);
  const browser = await launchBrowser();
  try {
    const { page, problems, open } = await openDashboard(platform, browser);
    await open("/hyperdrive");
    await page.getByRole("link", { name: "TEXT", exact: true }).click();
    const stat = async (label: string): Promise<string> =>
      (await page
        .locator("dt", { hasText: new RegExp(`^${label}$`) })
        .locator("xpath=following-sibling::dd")
        .first()
        .textContent()) ?? "";
    await page.getByText("Cache: hit").waitFor();
    assert.deepEqual([await stat("Cache: hit"), await stat("Cache: miss")], [after["hit complete"], after["miss complete"]].map(String));
    assert.match(await stat("Query latency"), /^\d+\.\d ms$/);
    assert.match(await stat("Connection latency"), /^\d+\.\d ms$/);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
});

test("[hyperdrive-29, hyperdrive-30] wrangler dev goes straight to a local database, and with --remote through Hyperdrive", {
  skip: noDatabase,
}, async (t) => {
  const source = `import { Client } from "pg";
    export default { async fetch(request, env) {
      const client = new Client({ connectionString: env.HYPERDRIVE.connectionString });
      await client.connect();
      const { rows } = await client.query("SELECT current_setting('application_name') AS name, current_user AS user, pg_backend_pid() AS pid");
      return Response.json(rows[0]);
    } };`;
  await writeFile(join(worker.dir, "dev.js"), source);
  const hyperdrive = [{ binding: "HYPERDRIVE", id: ids.MD5, localConnectionString: "postgres://nobody:x@127.0.0.1:1/none" }];
  const config = { name: "dev", main: "dev.js", compatibility_date: COMPATIBILITY_DATE, hyperdrive };
  await writeFile(join(worker.dir, "dev.json"), JSON.stringify(config));
  const dev = "wrangler dev --config dev.json --ip 127.0.0.1 --port 0 --inspector-port 0 --show-interactive-dev-session=false".split(" ");
  const asked = async (flags: readonly string[]): Promise<Record<string, unknown>> => {
    // The variable beats the file.
    const env = { CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE: `${uri(server)}?sslmode=require` };
    const terminal = openTerminal(t, platform, [...dev, ...flags], { cwd: worker.dir, env });
    const [, port] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
    const response = await plainFetch(`http://127.0.0.1:${port}/`);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as Record<string, unknown>;
  };
  const [local, remote] = [await asked([]), await asked(["--remote"])];
  assert.deepEqual([local.name, local.user], ["", "tester"]);
  assert.deepEqual([remote.name, remote.user], ["Cloudflare Hyperdrive", "by_md5"]);
});
