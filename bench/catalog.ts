/**
 * The catalog by its REST API: tables are created, loaded, committed to (the append of one file, as an engine ends it) and
 * listed by 1 and by 16 clients, beside Iceberg's own REST catalog server over its JDBC catalog on SQLite, in the same run. The
 * peer keeps metadata in local files that it does not sync, checks no token and vends no keys. Without a JDK and Maven there is
 * no peer, and no ratios.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { Agent, fetch } from "undici";
import { classPath, noJava } from "../test/harness/jvm.ts";
import { loopbackLookup, startPlatform } from "../test/harness/platform.ts";
import { freePort } from "../test/harness/port.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";

const ROUNDS = 3;
/** How many clients, and how often each of them does each operation in a round. */
const LOADS = [
  { clients: 1, times: 100 },
  { clients: 16, times: 30 },
];
const LISTED = 100;
const OPERATIONS = ["create_table", "load_table", "commit", "list_tables"];
const SCHEMA = {
  type: "struct",
  fields: ["id", "at", "user", "kind", "amount"].map((name, i) => ({ id: i + 1, name, required: false, type: i < 2 ? "long" : "string" })),
};

interface Target {
  /** The Iceberg REST API with its prefix. */
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
}

const dispatcher = new Agent({ connect: { lookup: loopbackLookup as never } });

// biome-ignore lint/suspicious/noExplicitAny: answers have as many shapes as there are operations.
async function call({ base, headers }: Target, method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    dispatcher,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

const createTable = (target: Target, namespace: string, name: string) =>
  call(target, "POST", `/namespaces/${namespace}/tables`, { name, schema: SCHEMA });

/** The n-th append to a table: its snapshot, and the branch moved to it if nobody else did. */
function append(uuid: string, location: string, n: number): unknown {
  const snapshot = {
    "snapshot-id": n,
    ...(n > 1 && { "parent-snapshot-id": n - 1 }),
    "sequence-number": n,
    "timestamp-ms": Date.now(),
    "manifest-list": `${location}/metadata/snap-${n}-1-${uuid}.avro`,
    summary: { operation: "append", "added-data-files": "1", "added-records": "1000", "total-data-files": String(n) },
    "schema-id": 0,
  };
  return {
    requirements: [
      { type: "assert-table-uuid", uuid },
      { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": n > 1 ? n - 1 : null },
    ],
    updates: [
      { action: "add-snapshot", snapshot },
      { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": n },
    ],
  };
}

/** Operations per second of all clients together, by operation. */
async function round(target: Target, { clients, times }: (typeof LOADS)[number], label: string): Promise<Map<string, number>> {
  const rates = new Map<string, number>();
  const each = Array.from({ length: clients }, (_, client) => client);
  const time = async (operation: string, work: (client: number, n: number) => Promise<unknown>): Promise<void> => {
    const began = performance.now();
    await Promise.all(
      each.map(async (client) => {
        for (let n = 1; n <= times; n++) await work(client, n);
      }),
    );
    rates.set(operation, (clients * times) / ((performance.now() - began) / 1000));
  };
  const namespace = `n${label}`;
  await call(target, "POST", "/namespaces", { namespace: [namespace] });
  await time("create_table", (client, n) => createTable(target, namespace, `t${client}_${n}`));
  await time("load_table", (client, n) => call(target, "GET", `/namespaces/${namespace}/tables/t${client}_${n}`));
  const tables = await Promise.all(each.map((client) => createTable(target, namespace, `appended${client}`)));
  await time("commit", (client, n) => {
    const { "table-uuid": uuid, location } = tables[client].metadata;
    return call(target, "POST", `/namespaces/${namespace}/tables/appended${client}`, append(uuid, location, n));
  });
  await time("list_tables", () => call(target, "GET", "/namespaces/listed/tables"));
  return rates;
}

async function prepare(target: Target): Promise<void> {
  await call(target, "POST", "/namespaces", { namespace: ["listed"] });
  for (let n = 0; n < LISTED; n++) await createTable(target, "listed", `table_${n}`);
  for (let n = 0; n < 3; n++) await round(target, { clients: 4, times: 30 }, `warm${n}`);
}

async function ours(directory: string, cleanups: (() => Promise<void>)[]): Promise<Target> {
  const platform = await startPlatform({ after: (fn) => cleanups.push(fn) }, { dir: join(directory, "data") });
  const { account_id: account, api_token: token } = platform.ready;
  await platform.s3().send(new CreateBucketCommand({ Bucket: "bench" }));
  await platform.rest("POST", `/accounts/${account}/r2-catalog/bench/enable`);
  const base = `${platform.host("catalog", { bucket: "bench" })}/v1`;
  const headers = { authorization: `Bearer ${token}` };
  const { overrides } = await call({ base, headers }, "GET", `/config?warehouse=${account}_bench`);
  return { base: `${base}/${overrides.prefix}`, headers };
}

async function peer(directory: string, cleanups: (() => Promise<void>)[]): Promise<Target> {
  const port = await freePort();
  const child = spawn("java", ["-Xmx2g", "-cp", await classPath("rest-server.pom.xml"), "org.apache.iceberg.rest.RESTCatalogServer"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      PATH: process.env.PATH ?? "",
      CATALOG_REST_PORT: String(port),
      CATALOG_URI: `jdbc:sqlite:${join(directory, "catalog.sqlite")}`,
      CATALOG_WAREHOUSE: join(directory, "warehouse"),
    },
  });
  let said = "";
  child.stderr.on("data", (data: Buffer) => {
    said = (said + data.toString()).slice(-5000);
  });
  const ended = once(child, "close");
  cleanups.push(async () => {
    child.kill();
    await ended;
  });
  const target = { base: `http://127.0.0.1:${port}/v1`, headers: {} };
  for (let left = 300; ; left--) {
    const answered = await call(target, "GET", "/config").catch(() => undefined);
    if (answered !== undefined) return target;
    if (left === 0 || child.exitCode !== null) throw new Error(`Iceberg's REST server did not start:\n${said}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number;

export async function run(): Promise<BenchResult[]> {
  return inBenchDirectory(async (directory) => {
    const cleanups: (() => Promise<void>)[] = [];
    try {
      const targets = [await ours(directory, cleanups), ...(noJava === false ? [await peer(directory, cleanups)] : [])];
      for (const target of targets) await prepare(target);
      const results: BenchResult[] = [];
      for (const load of LOADS) {
        const rounds = targets.map((): Map<string, number>[] => []);
        // In turns, so that a slow moment of the machine is everybody's.
        for (let n = 0; n < ROUNDS; n++) {
          for (const [i, target] of targets.entries()) rounds[i]?.push(await round(target, load, `c${load.clients}_${n}`));
        }
        for (const operation of OPERATIONS) {
          const [here = Number.NaN, there] = rounds.map((found) => middle(found.map((rates) => rates.get(operation) as number)));
          const name = `catalog.${operation}_c${load.clients}`;
          results.push({ name, value: Math.round(here), unit: "1/s" });
          if (there === undefined) continue;
          const note = `Iceberg's REST server: ${Math.round(there)}/s`;
          results.push({ name: `${name}_to_peer`, value: Number((here / there).toFixed(2)), unit: "ratio", note });
        }
      }
      return results;
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}
