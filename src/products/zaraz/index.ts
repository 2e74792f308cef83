/**
 * Zaraz: tools of others (analytics, pixels, HTML) that run for a zone's visitors from here instead of in their browsers,
 * when the zone's triggers fire and the visitor has agreed. This file puts the parts together; see README.md for the surface.
 */
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { publicAgent } from "../../kernel/public-network.ts";
import { openConfigs } from "./configs.ts";
import { openEvaluator } from "./evaluator.ts";
import { openEvents } from "./events.ts";
import { openFigures } from "./figures.ts";
import { injectionFor } from "./injection.ts";
import { migrations } from "./migrations.ts";
import { DEFAULT_PATHS } from "./model.ts";
import { zarazRoutes } from "./routes.ts";
import { zarazSite } from "./site.ts";
import { workerCalls } from "./worker-calls.ts";

export const zaraz = {
  name: "zaraz",
  status: "beta",
  needs: ["dispatch", "htmlPages", "zones"],
  migrations,
  permissions: [
    { id: "5bdbde7e76144204a244274eac3eb0eb", name: "Zaraz Read", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "89d5bf002389496e9994b8c30608b5d0", name: "Zaraz Edit", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "cdeb15b336e640a2965df8c65052f1e0", name: "Zaraz Admin", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const { meta, clock, log, config } = kernel;
  const zones = kernel.get("zones");
  const configs = await openConfigs(meta, clock, kernel.secrets);
  const figures = await openFigures(kernel);
  const evaluator = openEvaluator(log, config["zaraz.plan_timeout_ms"]);
  const workers = workerCalls(kernel.get("dispatch"));
  const allowed = config["runtime.outbound_allow"];
  const agent = publicAgent(allowed.includes("private") && allowed.includes("local"));
  const events = openEvents({ clock, log, evaluator, workers, figures, agent });
  const site = zarazSite({ zones, configs, events, log, hasRoom: figures.hasRoom });
  kernel.get("htmlPages").rewriteBy((page) => {
    const zone = zones.ofHost(page.host);
    const found = zone && site.configFor(zone, page.request);
    if (found === undefined || !found.config.settings.autoInjectScript) return undefined;
    const { initPath, injectIframes } = found.config.settings;
    return injectionFor(page, initPath ?? DEFAULT_PATHS.initPath, { iframes: injectIframes === true });
  });

  return {
    routes: zarazRoutes({ configs, zones }),
    hosts: [site.route],
    datasets: figures.datasets,
    async stop() {
      await evaluator.stop();
      await events.stop();
      await figures.stop();
      await agent.destroy();
    },
  };
}
