/** Workers AI: models by the names of the real catalogue, run by what the operator names. README.md has the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { openAnswers } from "./answers.ts";
import { aiBinding, type PathServer, serveAi } from "./binding.ts";
import { openCatalogue } from "./catalogue.ts";
import { modelRoutes } from "./routes.ts";
import { openModelRuns } from "./run.ts";
import { openRunners } from "./runners.ts";

export const workersAi = {
  name: "workers-ai",
  status: "beta",
  provides: ["models"],
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "a1a11070e12e0434f8d1a52f1b7c86a1", name: "Workers AI Read", scopes: ["com.cloudflare.api.account"] },
    { id: "a1a11070e12e0434f8d1a52f1b7c86a2", name: "Workers AI Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { config, log, mint } = kernel;
    const runners = openRunners(config["workers_ai.models"]);
    const catalogue = openCatalogue(runners.names);
    const runs = openModelRuns(catalogue, runners);
    const answers = openAnswers(runs, (model, inputs, _queued, signal) => runs.run(model, inputs, signal), log);
    const requestMaxBytes = config["workers_ai.request_max_bytes"];
    const others = new Map<string, PathServer>();
    const door = { answers, catalogue, others, requestMaxBytes, idleTimeoutMs: config["gateway.body_idle_timeout_ms"] };
    return {
      routes: modelRoutes({ catalogue, runs, answers, requestMaxBytes }),
      bindings: { ai: aiBinding(mint) },
      internal: (_claims, request, response) => serveAi(door, request, response),
      offers: {
        models: {
          answer: answers.answer,
          run: (model, inputs, signal) => runs.run(model, inputs, signal ?? new AbortController().signal),
          addBindingPaths: (first, serve) => void others.set(first, serve),
        },
      },
      check: async () => ({ ok: true, detail: `${config["workers_ai.models"].length} runners` }),
      stop: () => runners.stop(),
    };
  },
} satisfies Product;
