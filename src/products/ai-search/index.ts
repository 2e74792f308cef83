/** AI Search (formerly AutoRAG): search and answers over the files of a bucket, a site or uploads. README.md has the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { openAnswers } from "./answers.ts";
import { searchBindings } from "./binding.ts";
import { openFetcher } from "./crawler/fetcher.ts";
import { siteOf, siteSource } from "./crawler/site.ts";
import { openDoor } from "./door.ts";
import { searchError } from "./errors.ts";
import { startIndexer } from "./indexer.ts";
import { type Instance, openInstances } from "./instances.ts";
import { openJobs } from "./jobs.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { searchModels } from "./models.ts";
import { openPreparation } from "./prepare.ts";
import { openSearcher } from "./query.ts";
import { searchRoutes } from "./routes.ts";
import { type Source, uploads } from "./source.ts";
import { bucketSource } from "./source-bucket.ts";
import { openEngine } from "./store/engine.ts";
import { enginePermission, openTokens } from "./tokens.ts";

export const aiSearch = {
  name: "ai-search",
  status: "beta",
  needs: ["objects", "models", "modelGateway", "zones", "pageRenderer"],
  migrations,
  permissions: [
    enginePermission,
    // Cloudflare's ids of these groups are not known.
    { id: "a15ea7c4d2e84c55a6f1900b7a1c0e01", name: "AI Search Read", scopes: ["com.cloudflare.api.account"] },
    { id: "a15ea7c4d2e84c55a6f1900b7a1c0e02", name: "AI Search Write", scopes: ["com.cloudflare.api.account"] },
    { id: "a15ea7c4d2e84c55a6f1900b7a1c0e03", name: "AI Search Run", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { meta, clock, config, log, secrets, auth, accountId } = kernel;
    const objects = kernel.get("objects");
    const gateway = kernel.get("modelGateway");
    const zones = kernel.get("zones");
    const fetcher = openFetcher(kernel);
    const tokens = openTokens(meta, clock, secrets, auth);
    const instances = await openInstances(meta, clock, secrets, config["ai_search.instances_max"]);
    const engine = await openEngine(
      {
        ...{ directory: kernel.directory, threads: config["ai_search.threads"], log, answersMax: config["ai_search.answers_max"] },
        memoryBytes: config["ai_search.memory_mb"] * 1024 * 1024,
      },
      (uid) => instances.byUid(uid) !== undefined,
    );
    const models = searchModels(gateway);
    const maxBytes = config["ai_search.file_max_bytes"];
    const maxText = `${maxBytes / 1_000_000} MB`;
    const preparation = openPreparation({ models: kernel.get("models"), search: models, maxBytes, maxText });
    const site = { zones, fetcher, renderer: kernel.get("pageRenderer"), clock, maxBytes, headers: instances.headers };
    const jobs = openJobs(meta, clock, instances, config["ai_search.sync_cooldown_s"] * 1000);
    const metrics = openMetrics(meta, clock, log);

    async function admit({ config: given }: Pick<Instance, "config">): Promise<void> {
      if (given.ai_gateway_id && !gateway.exists(given.ai_gateway_id))
        throw searchError("invalid", "ai_gateway_id: there is no such gateway");
      if (given.type === null) return;
      if (given.type === "web-crawler") siteOf(zones, given.source as string);
      await tokens.check(given.token_id ?? null, given.type === "r2" ? (given.source as string) : undefined, accountId);
    }

    function sourceOf(instance: Instance): Source {
      const atOnce = config["ai_search.files_at_once"];
      if (instance.config.type === "r2")
        return bucketSource(objects, instance, { maxBytes, maxText, supports: preparation.supports }, atOnce);
      if (instance.config.type === "web-crawler") return siteSource(site, instance);
      return uploads(engine, instance, atOnce);
    }

    const indexer = startIndexer({
      ...{ clock, log, instances, jobs, engine, sourceOf, authorize: admit, prepare: preparation.prepare },
      atOnce: config["ai_search.jobs_at_once"],
      syncSeconds: config["ai_search.sync_interval_s"],
      itemsMax: config["ai_search.items_max"],
    });
    const searcher = openSearcher(engine, models, admit);
    const answers = openAnswers({ engine, models, clock, log, authorize: admit });
    const door = openDoor(kernel);
    const binding = searchBindings(instances, kernel.mint);
    kernel.get("models").addBindingPaths("autorag", door.autorag);
    kernel.get("models").addBindingFront(binding.front);
    return {
      bindings: binding.compilers,
      internal: door.internal,
      routes: searchRoutes({
        ...{ kernel, instances, tokens, jobs, indexer, engine, searcher, answers, metrics, admit },
        isBucket: objects.bucketExists,
      }),
      check: async () => ({ ok: true, detail: `${instances.list().length} instances` }),
      async stop() {
        await indexer.stop();
        await fetcher.stop();
        await metrics.stop();
        await engine.stop();
      },
    };
  },
} satisfies Product;
