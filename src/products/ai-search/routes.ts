/** REST of AI Search: service API tokens and namespaces here; instances, items, queries and AutoRAG's paths beside it. */
import { z } from "zod";
import { parseWith } from "../../kernel/api/body.ts";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { searchError } from "./errors.ts";
import { BASE, bodyOf, NAMESPACE, param, READ, type SearchApi, WRITE } from "./rest.ts";
import { instanceRoutes } from "./routes-instances.ts";
import { itemRoutes } from "./routes-items.ts";
import { jobRoutes } from "./routes-jobs.ts";
import { legacyRoutes } from "./routes-legacy.ts";
import { queryRoutes } from "./routes-query.ts";
import { namespaceView } from "./views.ts";

export const searchRoutes = (api: SearchApi): Route[] => [
  ...tokenRoutes(api),
  ...namespaceRoutes(api),
  ...instanceRoutes(api),
  ...jobRoutes(api),
  ...itemRoutes(api),
  ...queryRoutes(api),
  ...legacyRoutes(api),
];

function tokenRoutes({ tokens, instances }: SearchApi): Route[] {
  const path = `${BASE}/tokens`;
  const resource = (id: string) => ({ type: "ai_search.token", id });
  return [
    {
      op: "aiSearch.tokens.list",
      method: "GET",
      path,
      permission: READ,
      handle: async ({ query }) => numberedPage(await tokens.list(query.get("search") ?? ""), query, 100, 20),
    },
    {
      op: "aiSearch.tokens.create",
      method: "POST",
      path,
      permission: WRITE,
      async handle(context) {
        const token = await tokens.create(await bodyOf(context));
        context.audit({ info: "service token registered", type: "create", resource: resource(token.id), newValue: { name: token.name } });
        return token;
      },
    },
    {
      op: "aiSearch.tokens.get",
      method: "GET",
      path: `${path}/:token`,
      permission: READ,
      handle: (context) => tokens.get(param(context, "token")),
    },
    {
      op: "aiSearch.tokens.update",
      method: "PUT",
      path: `${path}/:token`,
      permission: WRITE,
      async handle(context) {
        const token = await tokens.replace(param(context, "token"), await bodyOf(context));
        context.audit({ info: "service token replaced", type: "update", resource: resource(token.id), newValue: { name: token.name } });
        return token;
      },
    },
    {
      op: "aiSearch.tokens.delete",
      method: "DELETE",
      path: `${path}/:token`,
      permission: WRITE,
      async handle(context) {
        const id = param(context, "token");
        if (instances.list().some(({ config }) => config.token_id === id)) throw searchError("tokenInUse");
        const token = await tokens.remove(id);
        context.audit({ info: "service token removed", type: "delete", resource: resource(id), oldValue: { name: token.name } });
        return token;
      },
    },
  ];
}

const description = z.string().max(256).nullish();
const endpoint = z
  .looseObject({ enabled: z.boolean().optional() })
  .nullish()
  .refine((given) => given?.enabled !== true, "public endpoints are not implemented by this version of Freehold");
const newNamespace = z.object({
  name: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[a-z0-9_]+(?:-[a-z0-9_]+)*$/, "must be lower-case letters, numbers, hyphens and underscores"),
  description,
  public_endpoint_params: endpoint,
});

function namespaceRoutes({ instances }: SearchApi): Route[] {
  const resource = (id: string) => ({ type: "ai_search.namespace", id });
  const nameOf = (context: RequestContext): string => param(context, "namespace");
  return [
    {
      op: "aiSearch.namespaces.list",
      method: "GET",
      path: `${BASE}/namespaces`,
      permission: READ,
      async handle({ query }) {
        const search = (query.get("search") ?? "").toLowerCase();
        const found = instances
          .namespaces()
          .filter(({ name, description: text }) => `${name}\n${text ?? ""}`.toLowerCase().includes(search));
        return numberedPage(found.map(namespaceView), query, 100, 20);
      },
    },
    {
      op: "aiSearch.namespaces.create",
      method: "POST",
      path: `${BASE}/namespaces`,
      permission: WRITE,
      async handle(context) {
        const given = parseWith(newNamespace, await bodyOf(context));
        const view = namespaceView(await instances.createNamespace(given.name, given.description ?? null));
        context.audit({ info: "namespace created", type: "create", resource: resource(given.name), newValue: view });
        return view;
      },
    },
    {
      op: "aiSearch.namespaces.get",
      method: "GET",
      path: NAMESPACE,
      permission: READ,
      handle: async (context) => namespaceView(instances.requireNamespace(nameOf(context))),
    },
    {
      op: "aiSearch.namespaces.update",
      method: "PUT",
      path: NAMESPACE,
      permission: WRITE,
      async handle(context) {
        const oldValue = namespaceView(instances.requireNamespace(nameOf(context)));
        const given = parseWith(newNamespace.omit({ name: true }), await bodyOf(context));
        const text = given.description === undefined ? (oldValue.description as string | null) : given.description;
        const newValue = namespaceView(await instances.describeNamespace(nameOf(context), text));
        context.audit({ info: "namespace updated", type: "update", resource: resource(nameOf(context)), oldValue, newValue });
        return newValue;
      },
    },
    {
      op: "aiSearch.namespaces.delete",
      method: "DELETE",
      path: NAMESPACE,
      permission: WRITE,
      async handle(context) {
        const oldValue = namespaceView(instances.requireNamespace(nameOf(context)));
        await instances.removeNamespace(nameOf(context));
        context.audit({ info: "namespace deleted", type: "delete", resource: resource(nameOf(context)), oldValue });
        return {};
      },
    },
  ];
}
