/**
 * Starts the platform as its users do, `freehold up` in a process of its own, and drives it from outside: nothing here
 * or in the tests that use it imports from src/. Normal use is one platform for a test file:
 *
 *     const platform = await startPlatform({ after });
 *
 * A file fails when its platform logged an error that the test did not announce with `expectErrors`.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import type { S3Client } from "@aws-sdk/client-s3";
import type Cloudflare from "cloudflare";
import { Agent, fetch, type RequestInit, type Response } from "undici";
import { type ClientOptions, WebSocket } from "ws";

/** The ready file, as the operator's contract describes it. */
export interface Ready {
  readonly pid: number;
  readonly data_dir: string;
  readonly domain: string;
  readonly gateway: string;
  readonly gateway_tls: string;
  readonly api: string;
  readonly account_id: string;
  readonly api_token: string;
  readonly proxy: string;
  readonly ca_file: string;
  readonly s3: { readonly endpoint: string; readonly access_key_id: string; readonly secret_access_key: string };
  readonly hosts: Readonly<Record<string, string>>;
}

export interface StartOptions {
  /** Configuration by dotted keys; written to a file and given with --config. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  /** A data directory to open; it is left in place. Without one: a fresh directory, removed afterwards. */
  readonly dir?: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Sent to standard input, which is then closed. */
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The exit code that the test expects (0); another one rejects with all output. "any" takes each. */
  readonly code?: number | "any";
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Token {
  readonly id: string;
  readonly value: string;
  /** The S3 key pair that belongs to the token. */
  readonly s3: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly scope?: string;
  readonly [field: string]: unknown;
}

export interface TestPlatform {
  readonly ready: Ready;
  readonly dir: string;
  readonly pid: number;
  /** What the running process logged so far. */
  readonly log: readonly LogLine[];
  /** The last lines that the running process printed, whatever they are. */
  printed(): string;
  /**
   * `fetch` for every name of the platform: *.localhost leads to this machine, which Node's resolver does not know.
   * A path is taken on the gateway. Redirects are returned, not followed.
   */
  fetch(urlOrPath: string, init?: RequestInit): Promise<Response>;
  /** A call of the REST API with the root token, or with another one; the answer's status and envelope. */
  rest(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: Envelope }>;
  /** The ready file's URL template of a host, filled in: `host("workers", { worker: "w", subdomain: "s" })`. */
  host(name: string, params?: Readonly<Record<string, string>>): string;
  webSocket(url: string, protocols?: string[], options?: ClientOptions): WebSocket;
  /** A client under `freehold exec`. Rejects when it does not end with the expected code. */
  exec(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  wrangler(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  sdk(token?: string): Cloudflare;
  s3(token?: Token): S3Client;
  /** A token with these permission groups, by name, on the account or on the given resources. */
  token(permissions: readonly string[], resources?: Readonly<Record<string, string>>): Promise<Token>;
  /** Error lines whose event or text match are no failure of the test. */
  expectErrors(pattern: RegExp): void;
  kill9(): Promise<void>;
  /** Starts again on the same data directory and port, after `kill9` or by stopping first. */
  restart(): Promise<void>;
  /** SIGTERM; resolves when the process is gone with exit code 0. */
  stop(): Promise<void>;
}

export interface Envelope {
  readonly success: boolean;
  readonly errors: { code: number; message: string }[];
  readonly messages: unknown[];
  // biome-ignore lint/suspicious/noExplicitAny: results have as many shapes as there are operations; tests check them.
  readonly result: any;
  readonly result_info?: Record<string, unknown>;
}

// The SDKs take a third of a second of a core to load in each process, and most test files use one of them or none: they are loaded
// on first use. The file named is the one that `import` finds, so that classes of errors are the same for the tests.
const require = createRequire(import.meta.url);

export const projectRoot = fileURLToPath(new URL("../..", import.meta.url));
export const launcher = join(projectRoot, "bin", "freehold.mjs");
const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 30_000;
const RUN_DEADLINE_MS = 120_000;
const LOG_LINES_MAX = 100_000;

type Hooks = { after(fn: () => Promise<void>): void };

/** Every name on this machine: what `*.localhost` means (RFC 6761). For clients that take a `lookup` function. */
export function loopbackLookup(
  _host: string,
  options: { all?: boolean },
  done: (error: null, address: string | { address: string; family: number }[], family?: number) => void,
): void {
  if (options.all) done(null, [{ address: "127.0.0.1", family: 4 }]);
  else done(null, "127.0.0.1", 4);
}

/** Starts `freehold up`; `t` is a test's context, or `{ after }` of node:test for a whole file. */
export async function startPlatform(t: Hooks, options: StartOptions = {}): Promise<TestPlatform> {
  const root = await mkdtemp(join(tmpdir(), "freehold-test-"));
  const dir = options.dir ?? join(root, "data");
  const configFile = join(root, "config.json");
  if (options.config !== undefined) await writeFile(configFile, JSON.stringify(options.config));
  const dispatcher = new Agent({ connect: { lookup: loopbackLookup as never }, headersTimeout: 60_000, bodyTimeout: 60_000 });
  const expected: RegExp[] = [];
  const unexpected: string[] = [];
  let running: Running;
  let ended = false;

  const start = async (port: number): Promise<void> => {
    const readyFile = join(root, `ready-${Date.now()}-${Math.random()}.json`);
    const flags = ["--data", dir, "--port", String(port), "--ready-file", readyFile, ...(options.flags ?? [])];
    if (options.config !== undefined) flags.push("--config", configFile);
    running = await startProcess(flags, readyFile, root, options.env ?? {}, (line) => {
      if (line.level === "error" || line.level === "fatal") unexpected.push(JSON.stringify(line));
    });
  };
  const stop = async (): Promise<void> => {
    if (running.child.exitCode !== null || running.child.signalCode !== null) return;
    // "close" comes after "exit" and the last line of the log.
    const gone = once(running.child, "close", { signal: AbortSignal.timeout(STOP_DEADLINE_MS) });
    running.child.kill("SIGTERM");
    let code: unknown;
    try {
      [code] = await gone;
    } catch (cause) {
      running.child.kill("SIGKILL");
      throw new Error(`the platform did not stop within ${STOP_DEADLINE_MS} ms of SIGTERM:\n${running.output()}`, { cause });
    }
    assert.equal(code, 0, `the platform ended with ${code} after SIGTERM:\n${running.output()}`);
  };

  t.after(async () => {
    if (ended) return;
    ended = true;
    try {
      await stop();
    } finally {
      await dispatcher.destroy();
      await rm(root, { recursive: true, force: true, maxRetries: 5 });
    }
    const surprising = unexpected.filter((line) => !expected.some((pattern) => pattern.test(line)));
    assert.deepEqual(surprising, [], "the platform logged errors that the test did not expect");
  });
  try {
    await start(0);
  } catch (error) {
    ended = true;
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }

  const platform: TestPlatform = {
    get ready() {
      return running.ready;
    },
    dir,
    get pid() {
      return running.ready.pid;
    },
    get log() {
      return running.log;
    },
    printed: () => running.output(),
    fetch(urlOrPath, init = {}) {
      const url = urlOrPath.startsWith("/") ? `${running.ready.gateway}${urlOrPath}` : urlOrPath;
      return fetch(url, { redirect: "manual", dispatcher, ...init });
    },
    async rest(method, path, body, token = running.ready.api_token) {
      const response = await fetch(`${running.ready.api}${path}`, {
        method,
        dispatcher,
        headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Envelope };
    },
    host(name, params = {}) {
      const template = running.ready.hosts[name];
      assert.ok(template !== undefined, `the ready file names no host "${name}", only ${Object.keys(running.ready.hosts).join(", ")}`);
      return template.replace(/\{(\w+)\}/g, (whole, key: string) => params[key] ?? (key === "account" ? running.ready.account_id : whole));
    },
    webSocket: (url, protocols = [], wsOptions = {}) => new WebSocket(url, protocols, { lookup: loopbackLookup as never, ...wsOptions }),
    exec: (command, args, runOptions = {}) =>
      runProcess(process.execPath, [launcher, "exec", "--data", dir, "--", command, ...args], {
        ...runOptions,
        env: { ...clientEnv(root), ...runOptions.env },
      }),
    wrangler: (args, runOptions = {}) => platform.exec("wrangler", args, runOptions),
    sdk(token = running.ready.api_token) {
      const { Cloudflare } = require("cloudflare/index.mjs") as typeof import("cloudflare");
      return new Cloudflare({ apiToken: token, baseURL: running.ready.api, maxRetries: 0 });
    },
    s3(token) {
      const { S3Client } = require("@aws-sdk/client-s3") as typeof import("@aws-sdk/client-s3");
      const { s3 } = running.ready;
      return new S3Client({
        endpoint: s3.endpoint,
        region: "auto",
        credentials: token?.s3 ?? { accessKeyId: s3.access_key_id, secretAccessKey: s3.secret_access_key },
        requestHandler: { httpAgent: new http.Agent({ keepAlive: true, maxSockets: 50, lookup: loopbackLookup as never }) },
      });
    },
    async token(permissions, resources = { [`com.cloudflare.api.account.${running.ready.account_id}`]: "*" }) {
      const base = `/accounts/${running.ready.account_id}/tokens`;
      const groups = (await platform.rest("GET", `${base}/permission_groups`)).body.result as { id: string; name: string }[];
      const permission_groups = permissions.map((name) => {
        const group = groups.find((candidate) => candidate.name === name);
        assert.ok(group !== undefined, `the platform has no permission group "${name}"`);
        return { id: group.id };
      });
      const { status, body } = await platform.rest("POST", base, {
        name: "test",
        policies: [{ effect: "allow", permission_groups, resources }],
      });
      assert.equal(status, 200, JSON.stringify(body));
      const { id, value } = body.result as { id: string; value: string };
      const { createHash } = await import("node:crypto");
      return { id, value, s3: { accessKeyId: id, secretAccessKey: createHash("sha256").update(value).digest("hex") } };
    },
    expectErrors: (pattern) => void expected.push(pattern),
    async kill9() {
      const gone = once(running.child, "exit", { signal: AbortSignal.timeout(STOP_DEADLINE_MS) });
      running.child.kill("SIGKILL");
      await gone;
    },
    async restart() {
      await stop();
      await start(Number(new URL(running.ready.gateway).port));
    },
    stop,
  };
  return platform;
}

interface Running {
  readonly child: ChildProcess;
  readonly ready: Ready;
  readonly log: LogLine[];
  /** Everything it printed, for error messages. */
  output(): string;
}

async function startProcess(
  flags: readonly string[],
  readyFile: string,
  root: string,
  env: Readonly<Record<string, string>>,
  onLog: (line: LogLine) => void,
): Promise<Running> {
  const child = spawn(process.execPath, [launcher, "up", ...flags], { env: { ...plainEnv(), ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const printed: string[] = [];
  const log: LogLine[] = [];
  const output = (): string => printed.slice(-200).join("\n");
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on("line", (text) => {
      if (printed.push(text) > LOG_LINES_MAX) printed.shift();
      if (!text.startsWith("{")) return;
      let line: LogLine;
      try {
        line = JSON.parse(text) as LogLine;
      } catch {
        return; // Not a line of the log.
      }
      if (log.push(line) > LOG_LINES_MAX) log.shift();
      onLog(line);
    });
  try {
    const ready = await waitForReady(child, readyFile, root);
    return { child, ready, log, output };
  } catch (cause) {
    child.kill("SIGKILL");
    throw new Error(`${(cause as Error).message}; it printed:\n${output()}`, { cause });
  }
}

/** The ready file's content once it exists; rejects when the process ends first or the deadline passes. */
async function waitForReady(child: ChildProcess, readyFile: string, root: string): Promise<Ready> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = (): void => {
    if (existsSync(readyFile)) resolve();
  };
  const watcher = watch(root, look);
  const timer = setTimeout(() => reject(new Error(`the platform was not ready within ${START_DEADLINE_MS} ms`)), START_DEADLINE_MS);
  const onExit = (code: number | null, signal: string | null): void =>
    reject(new Error(`the platform ended (${signal ?? code}) before it was ready`));
  // "close" comes after "exit" and all output: the message can show it.
  child.once("close", onExit);
  child.once("error", reject);
  look();
  try {
    await promise;
  } finally {
    watcher.close();
    clearTimeout(timer);
    child.off("close", onExit);
  }
  return JSON.parse(await readFile(readyFile, "utf8")) as Ready;
}

/** The environment without what would change a platform or a client under test. */
function plainEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(DEBUG|NODE_OPTIONS|NODE_TEST_CONTEXT|NO_COLOR|FORCE_COLOR|(CLOUDFLARE|CF|WRANGLER|AWS)_.*)$/.test(name),
    ),
  );
}

/** For clients: their own files lie with the test's, so that neither an earlier login nor an earlier run is seen. */
function clientEnv(root: string): NodeJS.ProcessEnv {
  return { ...plainEnv(), XDG_CONFIG_HOME: join(root, "client"), WRANGLER_LOG_PATH: join(root, "client", "logs"), NO_COLOR: "1" };
}

/** Runs a program to its end. Rejects with all its output when it ends with another code than expected. */
export async function runProcess(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: (options.env ?? process.env) as NodeJS.ProcessEnv,
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const collect = async (stream: Duplex | null): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream as Duplex) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString("utf8");
  };
  child.stdin?.on("error", () => undefined); // A program may end without reading its input; its exit code tells.
  child.stdin?.end(options.input);
  const timeoutMs = options.timeoutMs ?? RUN_DEADLINE_MS;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const ended = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const [[code, signal], stdout, stderr] = await Promise.all([ended, collect(child.stdout as never), collect(child.stderr as never)]);
  clearTimeout(timer);
  const shown = `${[command, ...args].join(" ")}\n--- stdout ---\n${stdout}\n--- stderr ---\n${stderr}`;
  if (late) throw new Error(`not done after ${timeoutMs} ms: ${shown}`);
  const wanted = options.code ?? 0;
  if (wanted !== "any" && code !== wanted) throw new Error(`ended with ${code ?? signal} instead of ${wanted}: ${shown}`);
  return { code: code ?? -1, stdout, stderr };
}
