/**
 * Workers made with the Agents SDK, deployed by wrangler, and the SDK's own clients for them. The SDK and all beside it come
 * from a client of test/harness/npm-client.ts; a fixture is a folder here with a wrangler.json and the code of one Worker.
 */
import assert from "node:assert/strict";
import { cp, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { RequestInit, Response } from "undici";
import { WebSocket } from "ws";
import { type Client, clientProject } from "../../harness/npm-client.ts";
import { loopbackLookup, type RunOptions, type RunResult, type TestPlatform } from "../../harness/platform.ts";

// biome-ignore lint/suspicious/noExplicitAny: values of the SDK, and what agents answer.
export type Any = any;

/** The vanilla client of `agents/client`, as far as tests use it. */
export interface AgentClient {
  readonly name: string;
  readonly agent: string;
  readonly identified: boolean;
  readonly ready: Promise<void>;
  readonly readyState: number;
  call(method: string, args?: readonly unknown[], options?: Record<string, unknown>): Promise<Any>;
  setState(state: unknown): void;
  send(data: string | ArrayBuffer | Uint8Array): void;
  close(code?: number, reason?: string): void;
  reconnect(): void;
  addEventListener(type: "open" | "close" | "error" | "message", listener: (event: Any) => void): void;
}

export interface AgentsWorker {
  /** The project's directory, from which the client's packages are imported. */
  readonly dir: string;
  readonly url: string;
  wrangler(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  deploy(args?: readonly string[]): Promise<RunResult>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** The JSON that a path answers with status 200. */
  json(path: string, init?: RequestInit): Promise<Any>;
  /** A module of the client's packages. */
  load(specifier: string): Promise<Any>;
  /** An AgentClient with a connection of its own, closed when the test ends. */
  connect(t: Hooks, options: Readonly<Record<string, unknown>>): Promise<AgentClient>;
}

export type Hooks = { after(fn: () => void | Promise<void>): void };

/** The `WebSocket` that clients are given: Node's own cannot be told where *.localhost is. */
export class LocalWebSocket extends WebSocket {
  constructor(url: string, protocols?: string[]) {
    super(url, protocols, { lookup: loopbackLookup as never });
  }
}

/** Copies a folder with a Worker of the SDK into a project beside its packages, and deploys it with the variables. */
export async function deployAgents(
  t: Hooks,
  platform: TestPlatform,
  client: Client,
  source: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<AgentsWorker> {
  const dir = await clientProject(t as Parameters<typeof clientProject>[0], client);
  await cp(source, dir, { recursive: true });
  const config = await readFile(join(dir, "wrangler.jsonc"), "utf8");
  const name = /"name": "([^"]+)"/.exec(config)?.[1];
  assert.ok(name !== undefined, `${source} names no Worker`);
  const require = createRequire(join(dir, "index.js"));
  const url = platform.host("workers", { worker: name, subdomain: "dev" });
  const wrangler = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
    platform.wrangler(args, { cwd: dir, ...options });
  const load = (specifier: string): Promise<Any> => import(pathToFileURL(require.resolve(specifier)).href);
  const worker: AgentsWorker = {
    dir,
    url,
    wrangler,
    load,
    deploy: (args = []) =>
      wrangler(["deploy", ...args, ...Object.entries(variables).flatMap(([name, value]) => ["--var", `${name}:${value}`])]),
    fetch: (path, init) => platform.fetch(`${url}${path}`, init),
    async json(path, init) {
      const response = await worker.fetch(path, init);
      const text = await response.text();
      assert.equal(response.status, 200, text);
      return JSON.parse(text);
    },
    async connect(test, options) {
      const { AgentClient } = await load("agents/client");
      const { host } = new URL(url);
      const connection = new AgentClient({
        host,
        protocol: "ws",
        WebSocket: LocalWebSocket,
        minReconnectionDelay: 100,
        maxReconnectionDelay: 500,
        ...options,
      });
      test.after(() => connection.close());
      return connection;
    },
  };
  await worker.deploy();
  return worker;
}

/** What `read` answers once it is as wanted; the last answer after the deadline, for the assertion that follows. */
export async function eventually<T>(read: () => T | Promise<T>, wanted: (value: T) => boolean, deadlineMs = 30_000): Promise<T> {
  for (const deadline = Date.now() + deadlineMs; ; ) {
    const value = await read();
    if (wanted(value) || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Resolves when the condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  assert.ok(await eventually(condition, (holds) => holds), `it never came to be that ${condition}`);
}
