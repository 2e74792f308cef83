/** A MariaDB server of a test's own, from Debian's package: a fresh data directory, on a free port, with TLS. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProcess } from "./platform.ts";
import { freePort } from "./port.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const SERVER = "/usr/sbin/mariadbd";
const INSTALL = "/usr/bin/mariadb-install-db";

/** Why no MariaDB can run here, or false: for `test(…, { skip: noMariadb })`. */
export const noMariadb: string | false = !(existsSync(SERVER) && existsSync(INSTALL)) && "the MariaDB server is not installed";

export interface Mariadb {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Starts a server that ends with the test; `tls` is a certificate and its key in PEM. */
export async function startMariadb(
  t: { after(fn: () => Promise<void>): void },
  tls: { readonly certificate: string; readonly key: string },
): Promise<Mariadb> {
  const directory = await temporaryDirectory("freehold-mariadb-");
  const data = join(directory, "data");
  const at = { certificate: join(directory, "certificate.pem"), key: join(directory, "key.pem"), init: join(directory, "init.sql") };
  const database: Mariadb = { host: "127.0.0.1", port: await freePort(), user: "tester", password: "test-password", database: "shop" };
  await mkdir(data);
  await writeFile(at.certificate, tls.certificate);
  await writeFile(at.key, tls.key, { mode: 0o600 });
  await writeFile(
    at.init,
    `CREATE DATABASE ${database.database};
CREATE USER '${database.user}'@'%' IDENTIFIED BY '${database.password}';
GRANT ALL ON *.* TO '${database.user}'@'%' WITH GRANT OPTION;
`,
  );
  const asRoot = process.getuid?.() === 0;
  if (asRoot) {
    const [uid, gid] = ["-u", "-g"].map((flag) => Number(spawnSync("id", [flag, "mysql"], { encoding: "utf8" }).stdout));
    for (const path of [directory, data, ...Object.values(at)]) await chown(path, uid as number, gid as number);
  }
  const common = ["--no-defaults", `--datadir=${data}`, ...(asRoot ? ["--user=mysql"] : [])];
  await runProcess(INSTALL, [...common, "--auth-root-authentication-method=normal", "--skip-test-db"], {
    cwd: directory,
    timeoutMs: 120_000,
  });
  const flags = [
    ...common,
    `--port=${database.port}`,
    "--bind-address=127.0.0.1",
    `--socket=${join(directory, "server.sock")}`,
    `--pid-file=${join(directory, "server.pid")}`,
    `--ssl-cert=${at.certificate}`,
    `--ssl-key=${at.key}`,
    `--init-file=${at.init}`,
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=16M",
    "--skip-name-resolve",
  ];
  const server = spawn(SERVER, flags, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  let output = "";
  server.stderr.on("data", (chunk) => {
    output += String(chunk);
  });
  t.after(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, "exit");
    server.kill("SIGTERM");
    await gone;
  });
  const deadline = Date.now() + 60_000;
  while (!/ready for connections/.test(output)) {
    if (server.exitCode !== null || Date.now() > deadline) throw new Error(`MariaDB did not start: ${output}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return database;
}
