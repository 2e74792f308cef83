/**
 * The data directory as the command line sees it: who holds it, which format it has, and where a running platform
 * says how to reach it. What lies inside belongs to the kernel. One process at a time may hold a directory, and a
 * process that died holds nothing, however it died.
 */
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { CliError } from "./command.ts";

/** Format of the data directory that this version writes. Grows when an older version could not read it any more. */
export const DATA_FORMAT = 1;

export const DEFAULT_DATA_DIRECTORY = ".freehold";

/** What the ready file holds: how clients reach a running platform. */
export interface ReadyFile {
  readonly pid: number;
  readonly data_dir: string;
  readonly domain: string;
  /** "http://127.0.0.1:8787". */
  readonly gateway: string;
  /** The same over TLS, under our own CA. */
  readonly gateway_tls: string;
  /** "http://127.0.0.1:8787/client/v4". */
  readonly api: string;
  readonly account_id: string;
  readonly api_token: string;
  /** "http://127.0.0.1:41234": the proxy that routes the real services' host names here. */
  readonly proxy: string;
  readonly ca_file: string;
  readonly s3: { readonly endpoint: string; readonly access_key_id: string; readonly secret_access_key: string };
  /** URL templates: "http://{worker}.{subdomain}.workers.freehold.localhost:8787". */
  readonly hosts: Readonly<Record<string, string>>;
  /** Variables for the clients that `exec` runs, besides those that follow from the addresses. */
  readonly client_environment: Readonly<Record<string, string>>;
}

/** A process, told apart from a later one that got the same pid. */
interface ProcessMark {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/<pid>/stat; absent where there is no /proc. */
  readonly started?: string;
}

export interface HeldDirectory {
  readonly path: string;
  /** The proxy's port when the platform last ran here, or undefined. */
  readonly lastProxyPort: number | undefined;
  publish(ready: ReadyFile): void;
  /** Forgets the ready file and lets the next process in. Safe to call twice. */
  release(): void;
}

/**
 * Takes a data directory for this process, creating it when it is missing. Throws a `CliError` when another process
 * holds it (naming its pid), when a newer version wrote it, or when it cannot be written.
 */
export async function holdDataDirectory(directory: string): Promise<HeldDirectory> {
  const path = resolve(directory);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new CliError(`Cannot create the data directory ${path}: ${(cause as Error).message}. Choose another with --data DIR.`, { cause });
  }
  checkFormat(path);
  const lock = await takeLock(path);
  const readyPath = join(path, "ready.json");
  const portsPath = join(path, "ports.json");
  try {
    // Left behind by a process that was killed: its addresses are no longer true.
    rmSync(readyPath, { force: true });
    writeJson(join(path, "lock.json"), thisProcess());
    writeJson(join(path, "format.json"), { format: DATA_FORMAT });
  } catch (error) {
    lock.close();
    throw error;
  }
  let held = true;
  return {
    path,
    lastProxyPort: (readJson(portsPath) as { proxy?: number } | undefined)?.proxy,
    publish(ready) {
      writeJson(readyPath, ready);
      writeJson(portsPath, { proxy: Number(new URL(ready.proxy).port) });
    },
    release() {
      if (!held) return;
      held = false;
      rmSync(readyPath, { force: true });
      rmSync(join(path, "lock.json"), { force: true });
      lock.close();
    },
  };
}

/**
 * The lock is an exclusive SQLite transaction on a file of its own: the operating system drops it when the process
 * ends in whatever way, so there is no stale lock to judge and no race between two that take one over.
 */
async function takeLock(path: string): Promise<DatabaseSync> {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(join(path, "lock.sqlite"), { timeout: 0 });
  } catch (cause) {
    throw new CliError(`Cannot write in the data directory ${path}: ${(cause as Error).message}. Check its owner and the disk.`, { cause });
  }
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return database;
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== 5) throw cause;
    const holder = await lockHolder(path);
    throw new CliError(
      `The data directory ${path} is in use by ${holder === undefined ? "another process" : `process ${holder}`}; ` +
        `stop it first${holder === undefined ? "" : ` (kill ${holder})`} or choose another with --data DIR.`,
      { cause },
    );
  }
}

/** The pid in the lock file. Its holder writes it right after it took the lock, so it may be a moment late. */
async function lockHolder(path: string): Promise<number | undefined> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const mark = readJson(join(path, "lock.json")) as ProcessMark | undefined;
    if (mark !== undefined && isAlive(mark)) return mark.pid;
    await sleep(50);
  }
  return undefined;
}

function checkFormat(path: string): void {
  const file = join(path, "format.json");
  if (!existsSync(file)) return;
  const version = readJson(file) as { format?: unknown } | undefined;
  if (typeof version?.format !== "number") throw new CliError(`${file} is damaged; restore it from a backup.`);
  if (version.format > DATA_FORMAT) {
    throw new CliError(
      `The data directory ${path} was written by a newer version of Freehold (format ${version.format}, this one reads up to ${DATA_FORMAT}); ` +
        "run that version, or choose another directory with --data DIR.",
    );
  }
}

/** How to reach the platform that runs on `directory`. Throws a `CliError` when none does. */
export function runningPlatform(directory: string): ReadyFile {
  const path = resolve(directory);
  const notRunning = `No platform runs on ${path}; start one with \`freehold up --data ${directory}\`.`;
  const ready = readJson(join(path, "ready.json")) as ReadyFile | undefined;
  const mark = readJson(join(path, "lock.json")) as ProcessMark | undefined;
  if (ready === undefined || mark === undefined || mark.pid !== ready.pid || !isAlive(mark)) throw new CliError(notRunning);
  return ready;
}

function thisProcess(): ProcessMark {
  const started = startTime(process.pid);
  return { pid: process.pid, ...(started !== undefined && { started }) };
}

function isAlive(mark: ProcessMark): boolean {
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return mark.started === undefined || startTime(mark.pid) === mark.started;
}

function startTime(pid: number): string | undefined {
  try {
    // The command name, in parentheses, may hold spaces: fields are counted after its end.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined; // No /proc on this system, or the process is gone: its pid alone must do.
  }
}

/** Undefined when the file does not exist or does not hold JSON. */
function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Writes a JSON file so that a reader sees the old or the new content, never a part. Readable by the owner alone. */
export const writeJson = (file: string, value: unknown): void => replaceFile(file, `${JSON.stringify(value, null, 2)}\n`);

/** Puts a new file in the place of an old one. Readable by the owner alone. */
export function replaceFile(file: string, content: string): void {
  const temporary = join(dirname(file), `.${randomBytes(6).toString("hex")}.tmp`);
  const descriptor = openSync(temporary, "wx", 0o600);
  try {
    writeFileSync(descriptor, content);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, file);
}
