/**
 * The system workerd: one process with the engines that products run as Durable Objects (KV, D1, …) behind one unix
 * socket whose path stays the same for the life of the platform. It is restarted whenever it dies.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Pool } from "undici";
import type { Log } from "../log.ts";
import type { Claims, Product, SystemRequest, SystemResponse } from "../product.ts";
import { CAPABILITY_HEADER, type CapabilityKey } from "./capability.ts";
import type { Service, WorkerdConfig } from "./config.ts";
import { workerModule } from "./module.ts";
import { startWorkerd, type WorkerdProcess } from "./process.ts";

export interface SystemWorkerd {
  readonly socket: string;
  request(product: string, claims: Claims, request: SystemRequest): Promise<SystemResponse>;
  readonly pid: () => number | undefined;
  stop(): Promise<void>;
}

interface SystemOptions {
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly products: readonly Product[];
  readonly key: CapabilityKey;
  readonly log: Log;
}

const START_TIMEOUT_MS = 20_000;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 5_000;
/** How long a request waits for the process to come back before it fails. */
const RESTART_WAIT_MS = 10_000;
const CONNECTIONS_MAX = 128;

export async function startSystemWorkerd(options: SystemOptions): Promise<SystemWorkerd> {
  const socket = join(options.runDirectory, "system.sock");
  const config = await systemConfig(options, socket);
  let process: WorkerdProcess | undefined;
  let ready: Promise<void>;
  let stopping = false;
  let wake: (() => void) | undefined;

  async function start(): Promise<void> {
    // A predecessor that was killed leaves its socket file behind, and workerd refuses to listen on it.
    await rm(socket, { force: true });
    process = await startWorkerd({
      directory: join(options.runDirectory, "system"),
      config,
      environment: {},
      startTimeoutMs: START_TIMEOUT_MS,
      output: (stream, line) => options.log.warn("system.output", { stream, line }),
    });
    void process.exited.then((why) => {
      process = undefined;
      if (stopping) return;
      options.log.warn("system.died", { why });
      ready = restart();
    });
  }

  async function restart(): Promise<void> {
    for (let delay = BACKOFF_FIRST_MS; !stopping; delay = Math.min(BACKOFF_MAX_MS, delay * 2)) {
      try {
        return await start();
      } catch (error) {
        options.log.error("system.start_failed", { error, retryInMs: delay });
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, delay);
        });
      }
    }
  }

  await start();
  ready = Promise.resolve();
  const pool = new Pool("http://system", { socketPath: socket, connections: CONNECTIONS_MAX, bodyTimeout: 0, headersTimeout: 300_000 });

  return {
    socket,
    pid: () => process?.pid,
    async request(product, claims, { method, path, headers, body }) {
      await withDeadline(ready, RESTART_WAIT_MS);
      const answer = await pool.request({
        method: method as "GET",
        path,
        headers: { ...headers, [CAPABILITY_HEADER]: options.key.mint(product, claims) },
        body: (body ?? null) as Buffer | string | null,
      });
      return {
        status: answer.statusCode,
        statusText: answer.statusText,
        headers: answer.headers,
        body: answer.body,
        bytes: async () => new Uint8Array(await answer.body.arrayBuffer()),
        text: () => answer.body.text(),
        json: <T>() => answer.body.json() as Promise<T>,
      };
    },
    async stop() {
      stopping = true;
      wake?.();
      await ready;
      await pool.close();
      await process?.stop();
    },
  };
}

async function systemConfig(options: SystemOptions, socket: string): Promise<WorkerdConfig> {
  const services: Service[] = [];
  const entries: { name: string; service: string }[] = [];
  for (const product of options.products) {
    if (product.system === undefined) continue;
    const data = join(options.stateDirectory, product.name);
    await mkdir(data, { recursive: true, mode: 0o700 });
    const parts = product.system({ data });
    services.push(...parts.services);
    entries.push({ name: `product:${product.name}`, service: parts.entry });
  }
  services.push({
    name: "door",
    worker: {
      modules: [{ name: "system.worker.js", esModule: workerModule(import.meta.url, "./system.worker.ts") }],
      compatibilityDate: "2026-01-01",
      bindings: [
        { name: "KEY", cryptoKeyHmacHex: options.key.hex },
        ...entries.map((entry) => ({ name: entry.name, service: entry.service })),
      ],
    },
  });
  return { services, sockets: [{ name: "door", address: `unix:${socket}`, http: {}, service: "door" }] };
}

async function withDeadline(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the system workerd did not come back within ${ms} ms`)), ms);
  });
  await Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}
