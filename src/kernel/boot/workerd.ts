/** The second stage: everything about workerd. The door for its calls back, the process of the platform's engines, the supervisor. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import type { Server } from "node:http";
import { join } from "node:path";
import type { CapabilityMint, RunningProduct } from "../product.ts";
import { capabilityKey, capabilityMint } from "../workerd/capability.ts";
import { startInternalServer } from "../workerd/internal-server.ts";
import { openRunDirectory } from "../workerd/run-directory.ts";
import type { Runtime } from "../workerd/runtime.ts";
import { createSupervisor } from "../workerd/supervisor.ts";
import { type SystemWorkerd, startSystemWorkerd } from "../workerd/system.ts";
import { type Boot, dataDirectory, SYSTEM_STATE } from "./boot.ts";

export interface Workerd {
  readonly system: SystemWorkerd;
  readonly runtime: Runtime;
  mint(product: string): CapabilityMint;
}

/** `running`: whose `internal` handlers answer calls of workerd; filled later, by the products' start. */
export async function startWorkerdParts(boot: Boot, running: ReadonlyMap<string, RunningProduct>): Promise<Workerd> {
  const { options, clock, order, onStop } = boot;
  const { config, log } = options;
  const runDirectory = await openRunDirectory(join(options.dataDirectory, "run-directory"));
  onStop(() => rm(runDirectory, { recursive: true, force: true }));
  const key = capabilityKey(randomBytes(32));
  const node = join(runDirectory, "node.sock");
  const internal = await startInternalServer(node, key, (product) => running.get(product), log.scope("internal"));
  onStop(() => closeServer(internal));
  const system = await startSystemWorkerd({
    runDirectory,
    stateDirectory: await dataDirectory(boot, SYSTEM_STATE),
    products: order,
    key,
    log: log.scope("system"),
    hangTimeoutMs: config["runtime.system_hang_timeout_ms"],
  });
  onStop(() => system.stop());
  const runtime = createSupervisor({
    runDirectory,
    log: log.scope("runtime"),
    clock,
    idleTimeoutMs: config["runtime.idle_timeout_s"] * 1000,
    startTimeoutMs: config["runtime.start_timeout_ms"],
    drainTimeoutMs: config["runtime.drain_timeout_ms"],
    memoryMb: config["runtime.memory_mb"],
    memoryOutsideMb: config["runtime.memory_outside_mb"],
    processesMax: config["runtime.processes_max"],
  });
  onStop(() => runtime.stop());
  return { system, runtime, mint: (product) => capabilityMint(product, key, { node, system: system.socket(product) }) };
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
