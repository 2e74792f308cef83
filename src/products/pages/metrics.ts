/**
 * Figures of Functions for the GraphQL Analytics API, as `pagesFunctionsInvocationsAdaptiveGroups`: requests and errors of each
 * project, by environment and outcome. https://developers.cloudflare.com/pages/functions/metrics/
 */
import type { OwnedWorkers } from "../../kernel/capabilities.ts";
import type { Dataset, Fact } from "../../kernel/product.ts";
import { OWNER, partsOf } from "./functions.ts";
import type { PagesStore } from "./store.ts";
import { scriptNameOf } from "./views.ts";

export function functionsDataset(store: PagesStore, workers: OwnedWorkers): Dataset {
  return {
    description: "Invocations of Functions: requests, errors, and how long they took",
    permission: ["Account Analytics Read", "Pages Read", "Pages Write"],
    dimensions: { scriptName: "string", projectName: "string", environment: "string", status: "string", usageModel: "string" },
    sum: ["requests", "errors", "wallTime", "cpuTimeUs"],
    async facts(window) {
      const environments = new Map<string, string>();
      const facts: Fact[] = [];
      for (const { time, dimensions, count, sum } of await workers.invocations(OWNER, window)) {
        const { project: name, deployment } = partsOf(String(dimensions.scriptName));
        const project = store.project(name);
        const environment = environments.get(deployment) ?? (await store.deployment(deployment))?.environment;
        // Both may be gone by now; who has the name today is not who had it then.
        if (project === undefined || environment === undefined) continue;
        environments.set(deployment, environment);
        const shown = { scriptName: scriptNameOf(project, environment), projectName: name, environment };
        const { status = "", usageModel = "" } = dimensions;
        facts.push({ time, dimensions: { ...shown, status, usageModel }, ...(count !== undefined && { count }), ...(sum && { sum }) });
      }
      return facts;
    },
  };
}
