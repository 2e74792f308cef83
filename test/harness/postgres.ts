/** A PostgreSQL server of a test's own, from Debian's package: a fresh cluster in a temporary directory, on a free port. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { chmod, chown, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProcess } from "./platform.ts";
import { freePort } from "./port.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const ROOT = "/usr/lib/postgresql";

function programs(): string | undefined {
  if (!existsSync(ROOT)) return undefined;
  const versions = readdirSync(ROOT).sort((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(ROOT, version, "bin"))
    .find((bin) => existsSync(join(bin, "initdb")) && existsSync(join(bin, "postgres")));
}

/** Why no PostgreSQL can run here, or false: for `test(…, { skip: noPostgres })`. */
export const noPostgres: string | false = programs() === undefined && "the PostgreSQL server is not installed";

export interface Postgres {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface PostgresOptions {
  /** PEM. With an authority the server asks clients for certificates, and refuses those that are not its own. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly authority?: string };
  /** Lines of pg_hba.conf that come before those of the cluster. */
  readonly access?: readonly string[];
}

/** Starts a server that ends with the test. */
export async function startPostgres(
  t: { after(fn: () => Promise<void>): void },
  { tls, access = [] }: PostgresOptions = {},
): Promise<Postgres> {
  const bin = programs() as string;
  const directory = await temporaryDirectory("freehold-postgres-");
  const password = "test-password";
  await writeFile(join(directory, "password"), `${password}\n`);
  // The server refuses to run as root; the package brings a user for it.
  const asRoot = process.getuid?.() === 0;
  const [command, ...before] = asRoot ? ["runuser", "-u", "postgres", "--"] : ["env"];
  if (asRoot) {
    const [uid, gid] = ["-u", "-g"].map((flag) => Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout));
    await chmod(directory, 0o700);
    for (const path of [join(directory, "password"), directory]) await chown(path, uid as number, gid as number);
  }
  const data = join(directory, "data");
  const initdb = [
    join(bin, "initdb"),
    "-D",
    data,
    "-U",
    "tester",
    "-A",
    "scram-sha-256",
    "--pwfile",
    join(directory, "password"),
    "--no-sync",
  ];
  await runProcess(command as string, [...before, ...initdb], { cwd: directory, timeoutMs: 60_000 });
  const port = await freePort();
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: directory,
    fsync: "off",
  };
  if (tls !== undefined) {
    const files = { ssl_cert_file: tls.certificate, ssl_key_file: tls.key, ...(tls.authority && { ssl_ca_file: tls.authority }) };
    const owner = await stat(data);
    for (const [setting, content] of Object.entries(files)) {
      settings[setting] = join(data, `${setting}.pem`);
      await writeFile(settings[setting], content, { mode: 0o600 });
      await chown(settings[setting], owner.uid, owner.gid);
    }
    settings.ssl = "on";
  }
  const accessFile = join(data, "pg_hba.conf");
  await writeFile(accessFile, [...access, await readFile(accessFile, "utf8")].join("\n"));
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const server = spawn(command as string, [...before, join(bin, "postgres"), "-D", data, ...flags], {
    cwd: directory,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  server.stderr.on("data", (chunk) => {
    output += String(chunk);
  });
  t.after(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, "exit");
    // Not by a signal to `runuser`: where the tests run in the background it has inherited that SIGINT is ignored.
    const stop = [join(bin, "pg_ctl"), "-D", data, "-m", "fast", "stop"];
    await runProcess(command as string, [...before, ...stop], { cwd: directory, timeoutMs: 60_000 });
    await gone;
  });
  const deadline = Date.now() + 60_000;
  while (!/ready to accept connections/.test(output)) {
    if (server.exitCode !== null || Date.now() > deadline) throw new Error(`PostgreSQL did not start: ${output}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { host: "127.0.0.1", port, user: "tester", password, database: "postgres" };
}
