/**
 * Trino: its server with the Iceberg connector, put together from Maven's parts, asked by its HTTP protocol. A catalog here is
 * a file of properties, as the documentation has it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fetch } from "undici";
import { classPath, javaOf, jvmOptions, noJava } from "../../harness/jvm.ts";
import { projectRoot, type TestPlatform } from "../../harness/platform.ts";
import { freePort } from "../../harness/port.ts";

const VERSION = "483";
const JAVA = javaOf(25);

/** Why Trino does not run here, or false: for `test(…, { skip: noTrino })`. 230 MB of it are fetched once. */
export const noTrino: string | false =
  (process.env.FREEHOLD_TRINO !== "1" && "Trino is fetched and started with FREEHOLD_TRINO=1, as by `npm run test:nightly`") ||
  noJava ||
  (JAVA === undefined && "a JDK of version 25 or newer is not installed");

export type Properties = Readonly<Record<string, string>>;

export interface Trino {
  /** Rows of a statement; rejects with Trino's error. */
  // biome-ignore lint/suspicious/noExplicitAny: rows have as many shapes as there are statements.
  sql(statement: string): Promise<any[]>;
  /** Ends the server. */
  stop(): Promise<void>;
}

const properties = (values: Properties): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");

/** Starts the server with these catalogs, each by its name. */
export async function startTrino(platform: TestPlatform, catalogs: Readonly<Record<string, Properties>>): Promise<Trino> {
  const directory = await mkdtemp(join(tmpdir(), "freehold-trino-"));
  const port = await freePort();
  const plugin = join(directory, "plugin", "iceberg");
  await mkdir(join(directory, "etc", "catalog"), { recursive: true });
  await mkdir(join(plugin, "services", "META-INF", "services"), { recursive: true });
  // The packed plugin names its class in such a file; the library alone does not.
  await writeFile(join(plugin, "services", "META-INF", "services", "io.trino.spi.Plugin"), "io.trino.plugin.iceberg.IcebergPlugin\n");
  for (const jar of (await classPath("trino-iceberg.pom.xml")).split(delimiter)) await symlink(jar, join(plugin, basename(jar)));
  const server = {
    coordinator: "true",
    "node-scheduler.include-coordinator": "true",
    "node.environment": "test",
    "node.internal-address": "127.0.0.1",
    "http-server.http.port": String(port),
    "discovery.uri": `http://127.0.0.1:${port}`,
    "plugin.dir": join(directory, "plugin"),
  };
  await writeFile(join(directory, "etc", "config.properties"), properties(server));
  for (const [name, values] of Object.entries(catalogs)) {
    await writeFile(join(directory, "etc", "catalog", `${name}.properties`), properties(values));
  }
  const options = [...(await jvmOptions(platform)), "--add-modules=jdk.incubator.vector", "-Dconfig=etc/config.properties"];
  const program = join(projectRoot, "test", "clients", "java", "TrinoServer.java");
  const child = spawn(JAVA as string, [...options, "-cp", await classPath("trino-server.pom.xml"), program, VERSION], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "" },
  });
  const ended = once(child, "close");
  let said = "";
  const started = new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        said = `${said}${line}\n`.slice(-20_000);
        if (line.includes("SERVER STARTED")) resolve();
      });
    }
    ended.then(() => reject(new Error(`Trino ended:\n${said}`)), reject);
  });
  await started;
  return {
    sql: (statement) => run(`http://127.0.0.1:${port}/v1/statement`, statement),
    async stop() {
      child.kill();
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface Page {
  readonly nextUri?: string;
  readonly columns?: readonly { name: string }[];
  readonly data?: readonly unknown[][];
  readonly error?: { message: string };
}

async function run(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const headers = { "x-trino-user": "test", "x-trino-time-zone": "UTC" };
  const rows: Record<string, unknown>[] = [];
  let page = (await (await fetch(url, { method: "POST", headers, body: statement })).json()) as Page;
  for (;;) {
    if (page.error !== undefined) throw new Error(`${page.error.message}\n  in: ${statement}`);
    const { columns = [] } = page;
    for (const values of page.data ?? []) rows.push(Object.fromEntries(columns.map(({ name }, i) => [name, values[i]])));
    if (page.nextUri === undefined) return rows;
    page = (await (await fetch(page.nextUri, { headers })).json()) as Page;
  }
}
