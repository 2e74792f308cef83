/** Vectorize: indexes of vectors, searched by nearness. README.md has the guarantees and how search works. */
import type { Product } from "../../kernel/product.ts";
import { vectorizeBinding } from "./binding.ts";
import { serveBinding } from "./binding-protocol.ts";
import { openEngine } from "./engine.ts";
import { indexEvents, openIndexes } from "./indexes.ts";
import { migrations } from "./migrations.ts";
import { startMutations } from "./mutations.ts";
import { openOperations } from "./operations.ts";
import { vectorizeRoutes } from "./routes.ts";

export const vectorize = {
  name: "vectorize",
  status: "beta",
  needs: ["queueSender"],
  migrations,
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "7ec70412e0434f7f8d1a52f1b7c86a01", name: "Vectorize Read", scopes: ["com.cloudflare.api.account"] },
    { id: "7ec70412e0434f7f8d1a52f1b7c86a02", name: "Vectorize Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { meta, clock, config, log, secrets } = kernel;
    const sender = kernel.get("queueSender");
    sender.addEventSource("vectorize", indexEvents);
    const indexes = await openIndexes(meta, clock, config["vectorize.indexes_max"], sender.announce);
    const engine = await openEngine(
      {
        directory: kernel.directory,
        threads: config["vectorize.threads"],
        memoryBytes: config["vectorize.memory_mb"] * 1024 * 1024,
        log,
      },
      (id) => indexes.byId(id) !== undefined,
    );
    const mutations = await startMutations({
      journal: await kernel.journals.open("vectorize"),
      meta,
      indexes,
      engine,
      clock,
      log,
      backlogMaxBytes: config["vectorize.backlog_max_bytes"],
      cursorTtlMs: config["vectorize.cursor_ttl_s"] * 1000,
    });
    const operations = openOperations({ engine, mutations, config, clock, secrets });
    return {
      routes: vectorizeRoutes({ indexes, operations, engine, dimensionsMax: config["vectorize.dimensions_max"] }),
      bindings: { vectorize: vectorizeBinding(indexes, kernel.mint) },
      internal: (claims, request, response) => serveBinding({ indexes, operations }, claims, request, response),
      check: async () => ({ ok: true, detail: `${indexes.list().length} indexes` }),
      async stop() {
        await mutations.stop();
        await engine.stop();
      },
    };
  },
} satisfies Product;
