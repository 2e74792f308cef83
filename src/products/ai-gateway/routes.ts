/** REST of AI Gateway (`cloudflare` SDK 7.3.0): gateways, logs, custom providers, providers' keys; dynamic routes are in routes-dynamic.ts. */
import { numberedPage, page } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { columnsOf } from "./binding.ts";
import type { ResponseCache } from "./cache.ts";
import { type CustomProvider, type CustomProviders, customProviderView } from "./custom-providers.ts";
import type { DynamicRoutes } from "./dynamic-routes.ts";
import { type Gateways, gatewayView } from "./gateways.ts";
import type { Keys } from "./keys.ts";
import type { Logs } from "./logs.ts";
import { BASE, bodyOf, GATEWAY, GATEWAYS, param, READ, WRITE } from "./rest.ts";
import { dynamicRoutes } from "./routes-dynamic.ts";

const CUSTOM = `${BASE}/custom-providers`;

export interface GatewayApi {
  readonly gateways: Gateways;
  readonly custom: CustomProviders;
  readonly keys: Keys;
  readonly logs: Logs;
  readonly dynamic: DynamicRoutes;
  readonly cache: ResponseCache;
  readonly accountId: string;
  url(gateway: string, provider: string): string;
}

export const gatewayRoutes = (api: GatewayApi): Route[] => [
  ...settingRoutes(api),
  ...logRoutes(api),
  ...keyRoutes(api),
  ...customRoutes(api),
  ...dynamicRoutes(api),
];

function settingRoutes({ gateways, logs, dynamic, cache, url }: GatewayApi): Route[] {
  const resource = (id: string) => ({ type: "ai_gateway.gateway", id });
  return [
    {
      op: "aiGateway.gateways.list",
      method: "GET",
      path: GATEWAYS,
      permission: READ,
      async handle({ query }) {
        const search = (query.get("search") ?? "").toLowerCase();
        const found = gateways.list().filter(({ id }) => id.toLowerCase().includes(search));
        return numberedPage(found.map(gatewayView), query, 100, 20);
      },
    },
    {
      op: "aiGateway.gateways.create",
      method: "POST",
      path: GATEWAYS,
      permission: WRITE,
      async handle(context) {
        const view = gatewayView(await gateways.create(await bodyOf(context)));
        context.audit({ info: "gateway created", type: "create", resource: resource(view.id as string), newValue: view });
        return view;
      },
    },
    {
      op: "aiGateway.gateways.get",
      method: "GET",
      path: GATEWAY,
      permission: READ,
      handle: async (context) => gatewayView(gateways.require(param(context, "gateway"))),
    },
    {
      op: "aiGateway.gateways.update",
      method: "PUT",
      path: GATEWAY,
      permission: WRITE,
      async handle(context) {
        const oldValue = gatewayView(gateways.require(param(context, "gateway")));
        const gateway = await gateways.update(param(context, "gateway"), await bodyOf(context));
        if (gateway.settings.cache_invalidate_on_update) cache.forgetGateway(gateway.id);
        const newValue = gatewayView(gateway);
        context.audit({ info: "gateway updated", type: "update", resource: resource(gateway.id), oldValue, newValue });
        return newValue;
      },
    },
    {
      op: "aiGateway.gateways.delete",
      method: "DELETE",
      path: GATEWAY,
      permission: WRITE,
      async handle(context) {
        const view = gatewayView(await gateways.remove(param(context, "gateway")));
        cache.forgetGateway(view.id as string);
        context.audit({ info: "gateway deleted", type: "delete", resource: resource(view.id as string), oldValue: view });
        await dynamic.removeAll(view.id as string);
        await logs.removeAll(view.id as string);
        return view;
      },
    },
    {
      op: "aiGateway.urls.get",
      method: "GET",
      path: `${GATEWAY}/url/:provider`,
      permission: READ,
      handle: async (context) => url(gateways.require(param(context, "gateway")).id, param(context, "provider")),
    },
  ];
}

function logRoutes({ gateways, logs }: GatewayApi): Route[] {
  const gatewayOf = (context: RequestContext): string => gateways.require(param(context, "gateway")).id;
  const bodyRoute = (which: "request" | "response"): Route => ({
    op: `aiGateway.logs.${which}`,
    method: "GET",
    path: `${GATEWAY}/logs/:log/${which}`,
    permission: READ,
    async handle(context) {
      const { contentType, bytes } = await logs.body(gatewayOf(context), param(context, "log"), which);
      return new Response(new Uint8Array(bytes), { headers: { "content-type": contentType || "application/octet-stream" } });
    },
  });
  return [
    {
      op: "aiGateway.logs.list",
      method: "GET",
      path: `${GATEWAY}/logs`,
      permission: READ,
      async handle(context) {
        const { logs: found, page: number, perPage, total } = await logs.list(gatewayOf(context), context.query);
        return page(found, {
          page: number,
          per_page: perPage,
          count: found.length,
          total_count: total,
          total_pages: Math.ceil(total / perPage),
        });
      },
    },
    {
      op: "aiGateway.logs.deleteMany",
      method: "DELETE",
      path: `${GATEWAY}/logs`,
      permission: WRITE,
      async handle(context) {
        await logs.remove(gatewayOf(context), context.query);
        return null;
      },
    },
    {
      op: "aiGateway.logs.get",
      method: "GET",
      path: `${GATEWAY}/logs/:log`,
      permission: READ,
      handle: (context) => logs.get(gatewayOf(context), param(context, "log")),
    },
    {
      op: "aiGateway.logs.patch",
      method: "PATCH",
      path: `${GATEWAY}/logs/:log`,
      permission: WRITE,
      async handle(context) {
        await logs.patch(gatewayOf(context), param(context, "log"), columnsOf(await bodyOf(context)));
        return {};
      },
    },
    bodyRoute("request"),
    bodyRoute("response"),
  ];
}

function keyRoutes({ gateways, keys }: GatewayApi): Route[] {
  const path = `${GATEWAY}/provider_configs`;
  const gatewayOf = (context: RequestContext): string => gateways.require(param(context, "gateway")).id;
  return [
    {
      op: "aiGateway.providerConfigs.list",
      method: "GET",
      path,
      permission: READ,
      handle: async (context) => numberedPage(await keys.list(gatewayOf(context)), context.query, 100, 20),
    },
    {
      op: "aiGateway.providerConfigs.create",
      method: "POST",
      path,
      permission: WRITE,
      async handle(context) {
        const view = await keys.create(gatewayOf(context), await bodyOf(context));
        context.audit({
          info: "provider config created",
          type: "create",
          resource: { type: "ai_gateway.provider_config", id: view.id as string },
          newValue: view,
        });
        return view;
      },
    },
    {
      op: "aiGateway.providerConfigs.delete",
      method: "DELETE",
      path: `${path}/:config`,
      permission: WRITE,
      async handle(context) {
        const id = param(context, "config");
        await keys.remove(gatewayOf(context), id);
        context.audit({ info: "provider config deleted", type: "delete", resource: { type: "ai_gateway.provider_config", id } });
        return null;
      },
    },
  ];
}

function customRoutes({ custom, accountId }: GatewayApi): Route[] {
  const view = (provider: CustomProvider) => customProviderView(accountId, provider);
  const audit = (context: RequestContext, type: "create" | "update" | "delete", { id, slug }: CustomProvider): void =>
    context.audit({ info: `custom provider ${type}d`, type, resource: { type: "ai_gateway.custom_provider", id }, newValue: { slug } });
  return [
    {
      op: "aiGateway.customProviders.list",
      method: "GET",
      path: CUSTOM,
      permission: READ,
      handle: async ({ query }) => numberedPage(selected(custom.list(), query).map(view), query, 100, 20),
    },
    {
      op: "aiGateway.customProviders.create",
      method: "POST",
      path: CUSTOM,
      permission: WRITE,
      async handle(context) {
        const provider = await custom.create(await bodyOf(context));
        audit(context, "create", provider);
        return view(provider);
      },
    },
    {
      op: "aiGateway.customProviders.get",
      method: "GET",
      path: `${CUSTOM}/:provider`,
      permission: READ,
      handle: async (context) => view(custom.require(param(context, "provider"))),
    },
    {
      op: "aiGateway.customProviders.update",
      method: "PATCH",
      path: `${CUSTOM}/:provider`,
      permission: WRITE,
      async handle(context) {
        const provider = await custom.update(param(context, "provider"), await bodyOf(context));
        audit(context, "update", provider);
        return view(provider);
      },
    },
    {
      op: "aiGateway.customProviders.delete",
      method: "DELETE",
      path: `${CUSTOM}/:provider`,
      permission: WRITE,
      async handle(context) {
        const provider = await custom.remove(param(context, "provider"));
        audit(context, "delete", provider);
        return view(provider);
      },
    },
  ];
}

/** The list's documented filters and order. */
function selected(providers: readonly CustomProvider[], query: URLSearchParams): CustomProvider[] {
  const search = (query.get("search") ?? "").toLowerCase();
  const flag = (name: "enable" | "beta"): ((provider: CustomProvider) => boolean) => {
    const wanted = query.get(name);
    return (provider) => wanted === null || String(provider[name]) === wanted;
  };
  const [field = "name", direction = "ASC"] = (query.get("order_by") ?? "name ASC").split(" ");
  const sign = direction.toUpperCase() === "DESC" ? -1 : 1;
  const of = (provider: CustomProvider): string => String((provider as unknown as Record<string, unknown>)[field] ?? "");
  return providers
    .filter(({ id, name, slug }) => `${id}\n${name}\n${slug}`.toLowerCase().includes(search))
    .filter(flag("enable"))
    .filter(flag("beta"))
    .sort((a, b) => sign * (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0));
}
