/**
 * The checks of `freehold doctor`: everything on this machine that the platform relies on, and what to do about what is
 * wrong. Works without a running platform, and changes nothing but one temporary file.
 */
import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, open, rm, statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { configKeys } from "../kernel/config.ts";
import { workerdBinary } from "../kernel/workerd/process.ts";
import { CliError } from "./command.ts";
import { runningPlatform } from "./data-directory.ts";
import { DEFAULT_HOST } from "./flags.ts";
import { portHolder } from "./port-holder.ts";

export type State = "ok" | "warning" | "failure";

interface Finding {
  readonly state: State;
  readonly detail: string;
  /** What to do; absent when all is well. */
  readonly remedy?: string;
}

export interface NamedFinding extends Finding {
  readonly name: string;
}

interface Check {
  readonly name: string;
  run(context: Context): Promise<Finding>;
}

interface Context {
  readonly dataDirectory: string;
  /** The data directory, or the nearest directory above it that exists. */
  readonly existing: string;
  readonly port: number;
}

const NODE_MAJOR_MIN = 24;
const DISK_MIN_BYTES = 1024 ** 3;
const DISK_WARN_BYTES = 10 * 1024 ** 3;
const SYNC_SLOW_MS = 20;
const SYNC_ROUNDS = 20;
const OPEN_FILES_MIN = 4096;
const COMMAND_TIMEOUT_MS = 10_000;

const run = promisify(execFile);
const ok = (detail: string): Finding => ({ state: "ok", detail });
const warning = (detail: string, remedy: string): Finding => ({ state: "warning", detail, remedy });
const failure = (detail: string, remedy: string): Finding => ({ state: "failure", detail, remedy });

const checks: readonly Check[] = [
  { name: "Node", run: checkNode },
  { name: "workerd", run: checkWorkerd },
  { name: "DuckDB", run: checkDuckDb },
  { name: "data directory", run: checkDataDirectory },
  { name: "disk space", run: checkDiskSpace },
  { name: "disk sync", run: checkSync },
  { name: "open files", run: checkOpenFiles },
  { name: "port", run: checkPort },
  { name: "clock", run: checkClock },
  { name: "host names", run: checkHostNames },
];

/** Runs every check; one that cannot run is a finding too. */
export async function runChecks(directory: string, port: number): Promise<NamedFinding[]> {
  const dataDirectory = resolve(directory);
  let existing = dataDirectory;
  while (!existsSync(existing)) existing = dirname(existing);
  const context: Context = { dataDirectory, existing, port };
  const findings: NamedFinding[] = [];
  for (const { name, run: check } of checks) {
    try {
      findings.push({ name, ...(await check(context)) });
    } catch (error) {
      findings.push({ name, ...failure((error as Error).message, "See the message; this check itself could not run.") });
    }
  }
  return findings;
}

async function checkNode(): Promise<Finding> {
  const text = `${process.version} (${process.execPath})`;
  return Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN
    ? ok(text)
    : failure(text, `Freehold needs Node ${NODE_MAJOR_MIN}; start it with bin/freehold.mjs, which finds the one it brought.`);
}

async function checkWorkerd(): Promise<Finding> {
  const binary = workerdBinary();
  try {
    const { stdout } = await run(binary, ["--version"], { timeout: COMMAND_TIMEOUT_MS });
    return ok(stdout.trim());
  } catch (error) {
    return failure(`${binary} does not run: ${(error as Error).message}`, "It needs Linux with glibc 2.35 or newer on x64 or arm64.");
  }
}

async function checkDuckDb(): Promise<Finding> {
  try {
    const { version } = await import("@duckdb/node-api");
    return ok(version());
  } catch (error) {
    return failure(`cannot be loaded: ${(error as Error).message}`, "Install freehold again without --omit=optional.");
  }
}

async function checkDataDirectory({ dataDirectory, existing }: Context): Promise<Finding> {
  try {
    await rm(await mkdtemp(join(existing, ".doctor-")), { recursive: true });
  } catch (error) {
    return failure(
      `cannot write in ${existing}: ${(error as Error).message}`,
      "Check its owner and rights, or choose another with --data DIR.",
    );
  }
  return ok(existing === dataDirectory ? dataDirectory : `${dataDirectory} (will be created)`);
}

async function checkDiskSpace({ existing }: Context): Promise<Finding> {
  const { bavail, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const text = `${(free / 1024 ** 3).toFixed(1)} GiB free`;
  if (free < DISK_MIN_BYTES) return failure(text, "Make room: writes stop with an error when the disk is full.");
  return free < DISK_WARN_BYTES ? warning(text, "Enough to begin with; objects and databases share this space.") : ok(text);
}

/** Each acknowledged write waits for the disk, so this time is the floor of every write's latency. */
async function checkSync({ existing }: Context): Promise<Finding> {
  const directory = await mkdtemp(join(existing, ".doctor-"));
  try {
    const file = await open(join(directory, "sync"), "w");
    const times: number[] = [];
    try {
      for (let i = 0; i < SYNC_ROUNDS; i++) {
        const start = performance.now();
        await file.write(Buffer.alloc(4096, i));
        await file.datasync();
        times.push(performance.now() - start);
      }
    } finally {
      await file.close();
    }
    const median = times.sort((a, b) => a - b)[SYNC_ROUNDS / 2] as number;
    const text = `${median.toFixed(2)} ms for a durable write of 4 KiB`;
    return median > SYNC_SLOW_MS ? warning(text, "Slow: put the data directory on an SSD that is attached to this machine.") : ok(text);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function checkOpenFiles(): Promise<Finding> {
  let limits: string;
  try {
    limits = readFileSync("/proc/self/limits", "utf8");
  } catch {
    return warning("not known on this system", `It should be at least ${OPEN_FILES_MIN}.`);
  }
  // Node raises its soft limit to the hard one when it starts.
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? "unknown";
  return hard === "unlimited" || Number(hard) >= OPEN_FILES_MIN
    ? ok(`limit ${hard}`)
    : failure(
        `limit ${hard}`,
        `Raise it to at least ${OPEN_FILES_MIN}: ulimit -Hn, LimitNOFILE= in a systemd unit, or --ulimit nofile= of a container.`,
      );
}

async function checkPort({ dataDirectory, port }: Context): Promise<Finding> {
  const server = createServer();
  const code = await new Promise<string | undefined>((done) => {
    server.once("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    server.listen(port, DEFAULT_HOST, () => done(undefined));
  });
  if (code === undefined) {
    await new Promise((done) => server.close(done));
    return ok(`${port} is free`);
  }
  if (code === "EACCES") return failure(`${port} needs more rights`, "Choose a port above 1023 with `freehold up --port PORT`.");
  try {
    const ready = runningPlatform(dataDirectory);
    if (new URL(ready.gateway).port === String(port))
      return ok(`${port} serves the platform on this data directory (process ${ready.pid})`);
  } catch (error) {
    if (!(error instanceof CliError)) throw error; // No platform runs here: somebody else holds the port.
  }
  const holder = await portHolder(port);
  return failure(
    `${port} is in use by ${holder ?? "another program"}`,
    `Stop that program, or choose another port with \`freehold up --port PORT\`.`,
  );
}

/** Signatures, certificates and token ends depend on the time of day. */
async function checkClock(): Promise<Finding> {
  const now = new Date();
  const { stdout } = await run(workerdBinary(), ["--version"], { timeout: COMMAND_TIMEOUT_MS });
  const built = /\d{4}-\d{2}-\d{2}/.exec(stdout)?.[0];
  const remedy = "Set the clock, best by NTP: signed requests and certificates fail when it is wrong.";
  if (built !== undefined && now < new Date(built))
    return failure(`${now.toISOString()} lies before this release's runtime was made (${built})`, remedy);
  return ok(now.toISOString());
}

async function checkHostNames(): Promise<Finding> {
  const name = `doctor.${configKeys.domain.default}`;
  try {
    const { address } = await lookup(name);
    return ok(`${name} is ${address}`);
  } catch {
    return warning(
      `this machine does not resolve ${name}`,
      "curl and browsers know such names by themselves, and `freehold exec` brings its own way. For other programs install libnss-myhostname, or set the configuration's `domain` to one that your DNS points here.",
    );
  }
}
