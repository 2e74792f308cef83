/**
 * D1: SQLite databases for Workers by binding and for everyone by REST. What exists lies in meta; each database is a
 * Durable Object in the system workerd. `README.md` has the guarantees and deviations.
 */

import type { Product } from "../../kernel/product.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { d1Binding } from "./binding.ts";
import { openCalls } from "./calls.ts";
import { type DatabaseId, openDatabases } from "./databases.ts";
import { openEngine } from "./engine.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { openJobs } from "./jobs.ts";
import { migrations } from "./migrations.ts";
import { serveBinding } from "./protocol.ts";
import { databaseRoutes } from "./routes.ts";
import { NAMESPACE_KEY, openTimeTravel, openWrites } from "./time-travel.ts";
import { openTransfers } from "./transfers.ts";
import { openUsage } from "./usage.ts";

export const d1 = {
  name: "d1",
  status: "beta",
  migrations,
  permissions: [
    { id: "192192df92ee43ac90f2aeeffce67e35", name: "D1 Read", scopes: ["com.cloudflare.api.account"] },
    { id: "09b2857d1c31407795e75e3fed8617a1", name: "D1 Write", scopes: ["com.cloudflare.api.account"] },
  ],
  system: ({ data }) => ({
    entry: "d1:engine",
    services: [
      { name: "d1:storage", disk: { path: data, writable: true, allowDotfiles: true } },
      {
        name: "d1:engine",
        worker: {
          modules: workerModules(
            import.meta.url,
            "./engine.worker.ts",
            "./database.worker.ts",
            "./dump.worker.ts",
            "./statements.worker.ts",
          ),
          compatibilityDate: "2026-11-01",
          // Without it a query's duration is always 0.
          compatibilityFlags: ["precise_timers"],
          durableObjectNamespaces: [{ className: "D1Database", uniqueKey: NAMESPACE_KEY, enableSql: true }],
          durableObjectStorage: "d1:storage",
          bindings: [{ name: "DATABASE", durableObjectNamespace: { className: "D1Database" } }],
        },
      },
    ],
  }),
  async start(kernel) {
    const { meta, blobs, leases, clock, config, log, mint, system, urls } = kernel;
    const databases = openDatabases(meta, clock, config["d1.databases_max"]);
    const usage = openUsage(meta, clock, log);
    const sizeMax = config["d1.database_max_bytes"];
    const writes = openWrites(clock);
    const calls = openCalls({
      system,
      now: () => clock.now(),
      count(database, used, batch) {
        if (used.writeQueries > 0) writes.mark(database);
        usage.count(database, used, batch);
      },
      lost: writes.mark,
      sizeMax,
    });
    const engine = openEngine({ system, calls, sizeMax, wrote: writes.mark });
    const timeTravel = await openTimeTravel(kernel, databases, engine, writes);
    const transfers = openTransfers(meta, blobs, leases, clock, urls.gateway);
    const jobs = openJobs(databases, engine, transfers, clock, log);
    const housekeeping = startHousekeeping({ meta, engine, timeTravel, transfers, log });
    return {
      routes: [...databaseRoutes(databases, engine, housekeeping.wake), ...jobs.routes, ...transfers.routes, ...timeTravel.routes],
      bindings: { d1: d1Binding(databases, mint) },
      internal: (claims, request, response) => serveBinding(calls, claims, request, response),
      datasets: usage.datasets(async (database) => (await engine.stats(database as DatabaseId)).file_size),
      async stop() {
        await housekeeping.stop();
        await timeTravel.stop();
        await jobs.stop();
        await usage.stop();
      },
    };
  },
} satisfies Product;
