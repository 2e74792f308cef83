/**
 * What `freehold up` does: takes the data directory, brings the platform up, says where it is, and stays until it is
 * told to stop. The ready files are written last: whoever reads one can connect.
 */
import { existsSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Config, ConfigError, readConfigFile, resolveConfig } from "../kernel/config.ts";
import { type Log, openLog } from "../kernel/log.ts";
import { type Platform, startPlatform } from "../kernel/platform.ts";
import { products } from "../products.ts";
import { type Args, CliError, usageError } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY, holdDataDirectory, type ReadyFile, writeJson } from "./data-directory.ts";
import { DEFAULT_HOST, portNumber } from "./flags.ts";
import { version } from "./help.ts";
import { portHolder } from "./port-holder.ts";
import { paint, print } from "./terminal.ts";

/** A second signal after this long means that someone does not want to wait; before, it is the same one delivered twice. */
const IMPATIENT_AFTER_MS = 1_000;

/** Runs until the platform is told to stop; the exit code. */
export async function serve(args: Args): Promise<number> {
  const directory = args.text("data") ?? DEFAULT_DATA_DIRECTORY;
  const host = args.text("host") ?? DEFAULT_HOST;
  const port = portNumber(args.text("port"));
  const config = configuration(args.text("config"));
  const readyFile = readyFilePath(args.text("ready-file"));
  const log = openLog({ json: config["log.json"], level: config["log.level"] });
  const startedAt = performance.now();
  const held = await holdDataDirectory(directory);
  try {
    // What an earlier run left there is no longer true. Not before the directory is held: its holder may have written it.
    if (readyFile !== undefined) rmSync(readyFile, { force: true });
    const stopRequested = stopSignal(log);
    const proxyPort = held.lastProxyPort;
    const platform = await start({
      dataDirectory: held.path,
      host,
      port,
      config,
      products,
      log,
      ...(proxyPort !== undefined && { proxyPort }),
    });
    try {
      const ready = readyContent(platform, held.path);
      held.publish(ready);
      if (readyFile !== undefined) writeJson(readyFile, ready);
      print(greeting(ready, directory, performance.now() - startedAt));
      await stopRequested;
      if (readyFile !== undefined) rmSync(readyFile, { force: true });
    } finally {
      await platform.stop();
    }
  } finally {
    held.release();
  }
  return 0;
}

function configuration(file: string | undefined): Config {
  try {
    return file === undefined ? resolveConfig({}, "defaults") : readConfigFile(file);
  } catch (cause) {
    if (cause instanceof ConfigError) throw new CliError(`${cause.message}.`.replace(/([.?])\.$/, "$1"), { cause });
    throw cause;
  }
}

/** The file's path; refused when it could not be written in the end. */
function readyFilePath(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const path = resolve(file);
  if (!existsSync(dirname(path))) throw usageError(`--ready-file ${file}: the directory ${dirname(path)} does not exist; create it first.`);
  return path;
}

async function start(options: Parameters<typeof startPlatform>[0]): Promise<Platform> {
  const { host, port } = options;
  try {
    return await startPlatform(options);
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (syscall !== "listen") throw cause;
    const taken = (cause as { port?: number }).port ?? port;
    if (code === "EADDRINUSE") {
      const holder = await portHolder(taken);
      throw new CliError(
        `Port ${taken} on ${host} is in use${holder === undefined ? "" : ` by ${holder}`}; stop that program or choose another with --port PORT (0 picks a free one).`,
        { cause },
      );
    }
    if (code === "EACCES") throw new CliError(`Port ${taken} needs more rights; choose one above 1023 with --port PORT.`, { cause });
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
      throw new CliError(`This machine has no address ${host}; give --host one of its own, such as ${DEFAULT_HOST}.`, { cause });
    throw cause;
  }
}

/** Resolves when the process is told to stop, by a signal or because the launcher that started it is gone. */
function stopSignal(log: Log): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let first: number | undefined;
  const stop = (reason: string) => (): void => {
    const now = performance.now();
    if (first === undefined) {
      first = now;
      log.info("platform.stopping", { reason });
      resolve();
    } else if (now - first > IMPATIENT_AFTER_MS) {
      log.warn("platform.stopped_at_once", { reason });
      process.exit(1);
    }
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, stop(signal));
  process.on("disconnect", stop("the launcher is gone"));
  process.channel?.unref();
  // The terminal may go away before the platform does.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  process.on("uncaughtException", (error) => {
    log.error("platform.crashed", { error });
    process.exit(1);
  });
  return promise;
}

function readyContent({ address }: Platform, dataDirectory: string): ReadyFile {
  return {
    pid: process.pid,
    data_dir: dataDirectory,
    domain: address.domain,
    gateway: address.gateway,
    gateway_tls: address.gatewayTls,
    api: address.api,
    account_id: address.accountId,
    api_token: address.apiToken,
    proxy: address.proxy,
    ca_file: address.caFile,
    s3: {
      endpoint: address.s3.endpoint,
      access_key_id: address.s3.accessKeyId,
      secret_access_key: address.s3.secretAccessKey,
    },
    hosts: address.hosts,
    client_environment: address.clientEnvironment,
  };
}

function greeting(ready: ReadyFile, directory: string, tookMs: number): string {
  const data = directory === DEFAULT_DATA_DIRECTORY ? "" : ` --data ${directory}`;
  const lines: [string, string | undefined][] = [
    ["API", ready.api],
    ["Account", ready.account_id],
    ["Workers", ready.hosts.workers],
    ["S3", ready.s3.endpoint],
    ["Dashboard", ready.hosts.dash],
    ["Data", ready.data_dir],
  ];
  return [
    "",
    `${paint("green", "●")} ${paint("bold", version().replace(/ \(.*/, ""))} is up ${paint("dim", `(${(tookMs / 1000).toFixed(1)} s)`)}`,
    "",
    ...lines.filter(([, value]) => value !== undefined).map(([name, value]) => `  ${paint("dim", name.padEnd(10))} ${value}`),
    "",
    "  In another terminal:",
    `    ${paint("cyan", `freehold exec${data} -- wrangler deploy`)}`,
    `    ${paint("cyan", `eval "$(freehold env${data})"`)}`,
    `    ${paint("cyan", `freehold dash${data}`)}  ${paint("dim", "a link that signs you in to the dashboard")}`,
    "",
    paint("dim", "  Ctrl+C stops it."),
    "",
  ].join("\n");
}
