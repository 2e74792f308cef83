/** AI Gateway: a proxy before model providers that keeps logs, caches, limits, retries and falls back. README.md has the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { serveAi } from "./binding.ts";
import { openCache } from "./cache.ts";
import { openCustomProviders } from "./custom-providers.ts";
import { openDoor } from "./door.ts";
import { openDynamicRoutes } from "./dynamic-routes.ts";
import { openExchange } from "./exchange.ts";
import { openGateways } from "./gateways.ts";
import { openGuard } from "./guardrails.ts";
import { openKeys } from "./keys.ts";
import { openLimiter } from "./limiter.ts";
import { openLogs } from "./logs.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { ownProvider } from "./own-models.ts";
import { modelGateway } from "./own-runs.ts";
import { openProviders } from "./providers.ts";
import { gatewayRoutes } from "./routes.ts";
import { openSpans } from "./spans.ts";
import { openUpstreams } from "./upstream.ts";

export const aiGateway = {
  name: "ai-gateway",
  status: "beta",
  needs: ["models"],
  provides: ["modelGateway"],
  migrations,
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "a19a7e0a12e0434f8d1a52f1b7c86a01", name: "AI Gateway Read", scopes: ["com.cloudflare.api.account"] },
    { id: "a19a7e0a12e0434f8d1a52f1b7c86a02", name: "AI Gateway Write", scopes: ["com.cloudflare.api.account"] },
    { id: "a19a7e0a12e0434f8d1a52f1b7c86a03", name: "AI Gateway Run", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { meta, clock, config, accountId, urls } = kernel;
    const cache = openCache(clock, config["ai_gateway.cache_max_bytes"]);
    const gateways = await openGateways(meta, clock, config["ai_gateway.gateways_max"], ["ai_gateway_keys"]);
    const custom = await openCustomProviders(meta, clock, config["ai_gateway.private_providers"], cache.forgetProvider);
    const providers = openProviders(config["ai_gateway.providers"], ownProvider(kernel.get("models"), accountId), custom.provider);
    const keys = openKeys(kernel);
    const logs = await openLogs(kernel, (id) => gateways.find(id) !== undefined);
    const upstreams = openUpstreams();
    const limiter = openLimiter(clock);
    const dynamic = await openDynamicRoutes(meta, clock, accountId);
    const metrics = openMetrics(meta, clock, kernel.log);
    const spans = openSpans(kernel.log, config["ai_gateway.private_providers"]);
    const exchange = openExchange({
      upstreams,
      cache,
      limiter,
      logs,
      metrics,
      spans,
      guard: openGuard(kernel.get("models"), kernel.log),
      clock,
    });
    const door = openDoor({ kernel, gateways, providers, keys, exchange, dynamic, limiter });
    const url = (gateway: string, provider: string): string =>
      `${urls.host("gateway.ai")}/v1/${accountId}/${gateway}/${provider === "universal" ? "" : provider}`;
    kernel.get("models").addBindingPaths("ai-gateway", (request, response) => serveAi({ door, gateways, logs, url }, request, response));
    return {
      routes: gatewayRoutes({ gateways, custom, keys, logs, dynamic, cache, accountId, url }),
      hosts: [
        {
          name: "ai_gateway",
          patterns: ["gateway.ai"],
          publicHosts: ["gateway.ai.cloudflare.com"],
          template: "/v1/{account}/{gateway}",
          wholeHost: true,
          handle: door.handle,
          upgrade: (_params, request, socket, head) => door.upgrade(request, socket, head),
        },
      ],
      offers: { modelGateway: modelGateway(door, gateways) },
      closing: door.closeSockets,
      datasets: metrics.datasets,
      check: async () => ({ ok: true, detail: `${gateways.list().length} gateways` }),
      async stop() {
        await upstreams.stop();
        await spans.stop();
        await metrics.stop();
        await logs.stop();
      },
    };
  },
} satisfies Product;
