/**
 * TURN from the platform's thread: starts the thread with the sockets when there is something to relay for, answers what it
 * asks of credentials, counts what it moves. A thread that dies takes its allocations with it and is started again on the
 * same ports.
 */
import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import type { Config } from "../../../kernel/config.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import type { Credentials } from "./credentials.ts";
import type { FromTurn, ToTurn, TurnPorts, TurnSettings } from "./turn-protocol.ts";
import type { Usage, UsageOwner } from "./usage.ts";

export interface Turn {
  /** Has the servers started, and tells their ports. Throws when a port cannot be had. */
  ports(): Promise<TurnPorts>;
  /** Name of this machine for clients. */
  readonly name: string;
  /** Ends what these credentials still do; they are not in the table any more. */
  revoke(usernames: readonly string[]): void;
  detail(): string;
  stop(): Promise<void>;
}

const RESTART_MS = 1_000;
const RESTART_MAX_MS = 60_000;
/** Credentials whose owner is remembered for what they still move after they are gone. */
const OWNERS_MAX = 200_000;

export function openTurn(kernel: KernelSlice, credentials: Credentials, usage: Usage): Turn {
  const { config, log } = kernel;
  const name = config["realtime.turn_name"] || `turn.${config.domain}`;
  const owners = new Map<string, UsageOwner>();
  let started: Promise<{ readonly worker: Worker; readonly ports: TurnPorts }> | undefined;
  let bound: TurnPorts | undefined;
  let restart: NodeJS.Timeout | undefined;
  let pause = RESTART_MS;
  let stopped = false;
  /** Answers leave in the order of questions and revocations: none can tell of a credential after its end. */
  let answers = Promise.resolve();

  const post = (worker: Worker, message: ToTurn): void => worker.postMessage(message);

  async function answer(worker: Worker, call: number, username: string): Promise<void> {
    const credential = await credentials.find(username).catch((error: unknown) => {
      log.error("turn.credential_failed", { error });
      return undefined;
    });
    if (credential !== undefined) {
      owners.delete(username);
      owners.set(username, credential);
      if (owners.size > OWNERS_MAX) owners.delete(owners.keys().next().value as string);
    }
    post(worker, { type: "credential", call, credential });
  }

  function take(worker: Worker, message: FromTurn): void {
    if (message.type === "credential") answers = answers.then(() => answer(worker, message.call, message.username));
    else if (message.type === "usage") {
      for (const one of message.usage) {
        const owner = owners.get(one.username);
        if (owner !== undefined) usage.add(owner, one);
      }
    }
  }

  async function start(): Promise<{ readonly worker: Worker; readonly ports: TurnPorts }> {
    const workerData = await settingsOf(kernel, name, bound);
    if (stopped) throw new Error("the platform stops");
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./turn-thread.${extension}`, import.meta.url), { workerData });
    const ports = await new Promise<TurnPorts>((resolve, reject) => {
      worker.on("message", (message: FromTurn) => {
        if (message.type === "listening") resolve(message.ports);
        else if (message.type === "failed") reject(new Error(`TURN cannot listen: ${message.message}`));
        else take(worker, message);
      });
      worker.on("error", (error) => {
        reject(error);
        if (!stopped && bound !== undefined) log.error("turn.thread_failed", { error });
      });
      worker.on("exit", () => {
        reject(new Error("the thread of TURN has ended"));
        started = undefined;
        if (!stopped && bound !== undefined) restartLater();
      });
    });
    bound = ports;
    pause = RESTART_MS;
    log.info("turn.listening", { host: config["realtime.turn_host"], ...ports });
    return { worker, ports };
  }

  function restartLater(): void {
    restart = setTimeout(() => {
      pause = Math.min(2 * pause, RESTART_MAX_MS);
      running().catch((error: unknown) => {
        log.error("turn.start_failed", { error });
        if (!stopped) restartLater();
      });
    }, pause);
  }

  function running(): Promise<{ readonly worker: Worker; readonly ports: TurnPorts }> {
    if (started === undefined) {
      const starting = start();
      started = starting;
      starting.catch(() => {
        if (started === starting) started = undefined;
      });
    }
    return started;
  }

  return {
    name,
    ports: async () => (await running()).ports,
    revoke(usernames) {
      if (usernames.length === 0) return;
      answers = answers.then(async () => {
        const thread = await started?.catch(() => undefined);
        if (thread !== undefined) post(thread.worker, { type: "revoke", usernames });
      });
    },
    detail: () =>
      bound === undefined
        ? "TURN is not started (there is no key)"
        : `TURN on ${config["realtime.turn_host"]}:${bound.udp[0] ?? bound.tcp[0]}`,
    async stop() {
      stopped = true;
      clearTimeout(restart);
      const thread = await started?.catch(() => undefined);
      if (thread === undefined) return;
      // What was moved last is told before the end.
      const ended = new Promise<void>((resolve) => thread.worker.once("exit", () => resolve()));
      post(thread.worker, { type: "stop" });
      await ended;
    },
  };
}

async function settingsOf(kernel: KernelSlice, name: string, bound: TurnPorts | undefined): Promise<TurnSettings> {
  const { config } = kernel;
  const [certificate, key] = [config["realtime.turn_tls_certificate"], config["realtime.turn_tls_key"]];
  const tls =
    certificate === ""
      ? await kernel.certificateFor(name)
      : { cert: await readFile(certificate, "utf8"), key: await readFile(key, "utf8") };
  const host = config["realtime.turn_host"];
  return {
    host,
    realm: config.domain,
    ports: bound ?? {
      udp: portsOf(config["realtime.turn_udp_ports"]),
      tcp: portsOf(config["realtime.turn_tcp_ports"]),
      tls: portsOf(config["realtime.turn_tls_ports"]),
    },
    tls: { cert: tls.cert, key: tls.key },
    relayHost: config["realtime.relay_host"] || host,
    relayPorts: rangeOf(config["realtime.relay_ports"]),
    peersAllowed: config["realtime.relay_private_peers"],
    limits: {
      newPeersPerS: config["realtime.relay_new_peers_per_s"],
      packetsPerS: config["realtime.relay_packets_per_s"],
      bitsPerS: config["realtime.relay_bits_per_s"],
      allocationsMax: config["realtime.relay_allocations_max"],
      connectionsMax: config["realtime.turn_connections_max"],
      relayAddress: config["realtime.relay_address"],
    },
  };
}

const portsOf = (ports: Config["realtime.turn_udp_ports"]): number[] => ports.map(Number);

/** "49152-65535"; empty: any port. */
export function rangeOf(text: string): [number, number] | undefined {
  const [first, last] = text.split("-").map(Number);
  return first === undefined || last === undefined ? undefined : [first, last];
}
