/**
 * The system workerd: one process with the engines that products run as Durable Objects (D1, …), each product behind a
 * unix socket of its own whose path stays the same for the life of the platform. It is restarted whenever it dies.
 *
 * A socket leads straight to the product's Worker, which verifies capabilities itself (`capability.worker.ts`): a Worker
 * before it that did so for all products cost 70 microseconds a request, as much as a third of a small D1 query.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client, Pool } from "undici";
import { platformError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Claims, Product, SystemRequest, SystemResponse } from "../product.ts";
import { CAPABILITY_HEADER, CAPABILITY_KEY_BINDING, type CapabilityKey } from "./capability.ts";
import type { Service, Socket, WorkerdConfig } from "./config.ts";
import { workerModules } from "./module.ts";
import { startWorkerd, type WorkerdProcess } from "./process.ts";

export interface SystemWorkerd {
  /** Where the product's entry listens. */
  socket(product: string): string;
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
  /** A process that answers nothing for this long is ended and started anew. */
  readonly hangTimeoutMs: number;
}

const START_TIMEOUT_MS = 20_000;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 5_000;
/** How long a request waits for the process to come back before it fails. */
const RESTART_WAIT_MS = 10_000;
const CONNECTIONS_MAX = 128;
/** Pause between two looks at whether the process still answers. */
const LOOK_MS = 1_000;

export async function startSystemWorkerd(options: SystemOptions): Promise<SystemWorkerd> {
  const socket = (product: string) => join(options.runDirectory, `${product}.sock`);
  const config = await systemConfig(options, socket);
  const pools = new Map<string, Pool>();
  let process: WorkerdProcess | undefined;
  let ready: Promise<void>;
  let stopping = false;
  let wake: (() => void) | undefined;

  async function start(): Promise<void> {
    // A predecessor that was killed leaves its socket files behind, and workerd refuses to listen on them.
    for (const { name } of config.sockets) await rm(socket(name), { force: true });
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
    void watch(process, config.sockets[0]?.name as string);
  }

  /**
   * Ends the process when it hangs. One thread serves every engine, workerd limits nothing, and a query that never ends
   * would otherwise take all databases with it.
   */
  async function watch(watched: WorkerdProcess, product: string): Promise<void> {
    const client = new Client("http://system", { socketPath: socket(product), headersTimeout: options.hangTimeoutMs });
    try {
      while (process === watched && !stopping) {
        // Without a capability the engine refuses at once, if it is able to.
        await client.request({ method: "GET", path: "/" }).then(({ body }) => body.dump());
        await delay(LOOK_MS, undefined, { ref: false });
      }
    } catch (cause) {
      // A process that is gone refuses the connection just before its end is known here.
      if (process !== watched || stopping || isGone(cause)) return;
      options.log.error("system.hung", { error: cause });
      await watched.stop(0);
    } finally {
      await client.destroy();
    }
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

  function pool(product: string): Pool {
    let found = pools.get(product);
    if (found === undefined) {
      found = new Pool("http://system", {
        socketPath: socket(product),
        connections: CONNECTIONS_MAX,
        bodyTimeout: 0,
        headersTimeout: 300_000,
      });
      pools.set(product, found);
    }
    return found;
  }

  if (config.sockets.length > 0) await start();
  ready = Promise.resolve();

  return {
    socket,
    pid: () => process?.pid,
    async request(product, claims, { method, path, headers, body }) {
      const answer = await orLost(
        withDeadline(ready, RESTART_WAIT_MS).then(() =>
          pool(product).request({
            method: method as "GET",
            path,
            headers: { ...headers, [CAPABILITY_HEADER]: options.key.mint(product, claims) },
            body: (body ?? null) as Buffer | string | null,
          }),
        ),
      );
      return {
        status: answer.statusCode,
        statusText: answer.statusText,
        headers: answer.headers,
        body: answer.body,
        bytes: async () => new Uint8Array(await orLost(answer.body.arrayBuffer())),
        text: () => orLost(answer.body.text()),
        json: <T>() => orLost(answer.body.json() as Promise<T>),
      };
    },
    async stop() {
      stopping = true;
      wake?.();
      await ready;
      await Promise.all([...pools.values()].map((one) => one.close()));
      await process?.stop();
    },
  };
}

/** What an exchange fails with when the process goes away before or during it. */
const GONE = new Set(["ECONNRESET", "ECONNREFUSED", "ENOENT", "EPIPE", "UND_ERR_SOCKET"]);

const isGone = (error: unknown): boolean => GONE.has((error as NodeJS.ErrnoException).code ?? "");

async function orLost<T>(exchange: Promise<T>): Promise<T> {
  try {
    return await exchange;
  } catch (cause) {
    if (isGone(cause)) throw platformError("engineLost", undefined, { cause });
    throw cause;
  }
}

async function systemConfig(options: SystemOptions, socketOf: (product: string) => string): Promise<WorkerdConfig> {
  const services: Service[] = [];
  const sockets: Socket[] = [];
  const capability = workerModules(import.meta.url, "./capability.worker.ts");
  for (const product of options.products) {
    if (product.system === undefined) continue;
    const data = join(options.stateDirectory, product.name);
    await mkdir(data, { recursive: true, mode: 0o700 });
    const parts = product.system({ data });
    const entry = parts.services.find((service) => service.name === parts.entry);
    if (entry === undefined || !("worker" in entry)) throw new Error(`Product "${product.name}" names no Worker of its own as its entry`);
    const { modules = [], bindings = [] } = entry.worker;
    const guarded: Service = {
      name: entry.name,
      worker: {
        ...entry.worker,
        modules: [...modules, ...capability],
        bindings: [...bindings, { name: CAPABILITY_KEY_BINDING, cryptoKeyHmacHex: options.key.hex }],
      },
    };
    services.push(...parts.services.map((service) => (service === entry ? guarded : service)));
    sockets.push({ name: product.name, address: `unix:${socketOf(product.name)}`, http: {}, service: parts.entry });
  }
  return { services, sockets };
}

async function withDeadline(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(platformError("engineLost", `the system workerd did not come back within ${ms} ms`)), ms);
  });
  await Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}
