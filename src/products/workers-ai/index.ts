/** Workers AI: models by the names of the real catalogue, run by what the operator names. README.md has the guarantees. */
import type { BindingFront } from "../../kernel/capabilities.ts";
import type { Product } from "../../kernel/product.ts";
import { openAnswers } from "./answers.ts";
import { batchEvents, startBatches } from "./batches.ts";
import { aiBinding, type PathServer, refuseUpgrade, serveAi } from "./binding.ts";
import { openCatalogue } from "./catalogue.ts";
import { openFinetunes } from "./finetunes.ts";
import { openLimits } from "./limits.ts";
import { openConverter } from "./markdown/converter.ts";
import { supported } from "./markdown/formats.ts";
import { openMarkdown } from "./markdown/markdown.ts";
import { markdownRoutes } from "./markdown/routes.ts";
import { migrations } from "./migrations.ts";
import { modelRoutes } from "./routes.ts";
import { finetuneRoutes } from "./routes-finetunes.ts";
import { openModelRuns } from "./run.ts";
import { openRunners } from "./runners.ts";

const CONVERSIONS_WAITING_MAX = 100;
/** For those who wait until the end. */
const NEVER = new AbortController().signal;

export const workersAi = {
  name: "workers-ai",
  status: "beta",
  needs: ["queueSender"],
  provides: ["models"],
  migrations,
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "a1a11070e12e0434f8d1a52f1b7c86a1", name: "Workers AI Read", scopes: ["com.cloudflare.api.account"] },
    { id: "a1a11070e12e0434f8d1a52f1b7c86a2", name: "Workers AI Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { config, log, mint } = kernel;
    const runners = openRunners(config["workers_ai.models"]);
    const catalogue = openCatalogue(runners.names);
    const runs = openModelRuns(
      catalogue,
      runners,
      openLimits(kernel.clock, config["workers_ai.rate_limits"], config["workers_ai.daily_neurons"]),
    );
    const sender = kernel.get("queueSender");
    sender.addEventSource("workersAi.model", batchEvents);
    const batches = await startBatches({
      ...{ meta: kernel.meta, clock: kernel.clock, log, runs, announce: sender.announce },
      itemsAtOnce: config["workers_ai.batch_items_at_once"],
      waitingMax: config["workers_ai.batches_waiting_max"],
      retentionMs: config["workers_ai.batch_retention_days"] * 24 * 3600_000,
    });
    const answers = openAnswers(runs, batches, log);
    const requestMaxBytes = config["workers_ai.request_max_bytes"];
    const converter = openConverter({
      atOnce: config["workers_ai.conversions_at_once"],
      waitingMax: CONVERSIONS_WAITING_MAX,
      timeoutMs: config["workers_ai.conversion_timeout_ms"],
      memoryMb: config["workers_ai.conversion_memory_mb"],
    });
    const markdown = openMarkdown(converter, runs, config["workers_ai.document_max_bytes"]);
    const { meta, blobs, leases, clock } = kernel;
    const finetunes = openFinetunes({ meta, blobs, leases, clock, runs });
    let front: BindingFront | undefined;
    const others = new Map<string, PathServer>();
    const door = { answers, catalogue, markdown, others, requestMaxBytes, idleTimeoutMs: config["gateway.body_idle_timeout_ms"] };
    return {
      routes: [
        ...modelRoutes({ catalogue, runs, answers, requestMaxBytes }),
        ...markdownRoutes(markdown, requestMaxBytes),
        ...finetuneRoutes(finetunes),
      ],
      bindings: { ai: aiBinding(mint, () => front) },
      internal: (_claims, request, response) => serveAi(door, request, response),
      internalUpgrade: refuseUpgrade,
      offers: {
        models: {
          answer: answers.answer,
          run: (model, inputs, signal = NEVER) => runs.run(model, inputs, signal),
          toMarkdown: (files, options = {}, signal = NEVER) => markdown.convert(files, options, signal),
          markdownFormats: supported,
          addBindingPaths: (first, serve) => void others.set(first, serve),
          addBindingFront(given) {
            front = given;
          },
        },
      },
      check: async () => ({ ok: true, detail: `${config["workers_ai.models"].length} runners` }),
      async stop() {
        await batches.stop();
        await converter.stop();
        await runners.stop();
      },
    };
  },
} satisfies Product;
