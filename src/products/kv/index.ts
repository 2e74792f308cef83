/**
 * KV: namespaces of keys with values up to 25 MiB, for Workers by binding and for everyone by REST. Rows and small
 * values lie in meta, large values in blobs; `README.md` has the guarantees and why the engine runs in Node.
 */

import type { Product } from "../../kernel/product.ts";
import { sealing } from "../../kernel/sealing.ts";
import { writeRate } from "../../kernel/write-rate.ts";
import { kvBinding } from "./binding.ts";
import type { KvEngine } from "./engine.ts";
import { openEntries } from "./entries.ts";
import { kvError } from "./errors.ts";
import { migrations } from "./migrations.ts";
import { namespaceEvents, openNamespaces } from "./namespaces.ts";
import { serveBinding } from "./protocol.ts";
import { kvRoutes } from "./routes.ts";
import { startSweeper } from "./sweeper.ts";
import { openUsage } from "./usage.ts";

export const kv = {
  name: "kv",
  status: "beta",
  migrations,
  needs: ["queueSender"],
  permissions: [
    { id: "8b47d2786a534c08a1f94ee8f9f599ef", name: "Workers KV Storage Read", scopes: ["com.cloudflare.api.account"] },
    { id: "f7f0eda5697f475c90846e879bab8666", name: "Workers KV Storage Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start({ meta, blobs, leases, secrets, clock, config, log, mint, get }) {
    const queues = get("queueSender");
    queues.addEventSource("kv", namespaceEvents);
    const usage = openUsage(meta, clock, log);
    const engine: KvEngine = {
      entries: usage.counted(openEntries({ meta, blobs, leases, sealing: sealing(secrets.derive("kv values")), clock })),
      namespaces: await openNamespaces(meta, clock, config["kv.namespaces_max"], queues.announce),
      blobs,
      clock,
      rate: writeRate(config["kv.write_per_key_per_s"], clock, () => kvError("tooManyRequests")),
    };
    const sweeper = startSweeper(meta, blobs, clock, log);
    return {
      routes: kvRoutes(engine, sweeper),
      bindings: { kv_namespace: kvBinding(engine.namespaces, mint) },
      internal: (claims, request, response) => serveBinding(engine, claims, request, response),
      datasets: usage.datasets,
      async stop() {
        await sweeper.stop();
        await usage.stop();
      },
    };
  },
} satisfies Product;
