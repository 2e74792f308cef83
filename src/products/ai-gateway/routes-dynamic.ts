/**
 * REST of dynamic routes (`cloudflare` SDK 7.3.0). Lists answer under `data`, a change of a route under `route`: the SDK reads
 * these beside the envelope's `result`.
 */
import { success } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { DynamicRoutes } from "./dynamic-routes.ts";
import type { Gateways } from "./gateways.ts";
import { bodyOf, GATEWAY, param, READ, WRITE } from "./rest.ts";

export function dynamicRoutes({ gateways, dynamic }: { readonly gateways: Gateways; readonly dynamic: DynamicRoutes }): Route[] {
  const path = `${GATEWAY}/routes`;
  const gatewayOf = (context: RequestContext): string => gateways.require(param(context, "gateway")).id;
  const idOf = (context: RequestContext): string => param(context, "route");
  const changed = (context: RequestContext, info: string, type: "create" | "update" | "delete", view: Record<string, unknown>) => {
    context.audit({ info, type, resource: { type: "ai_gateway.route", id: view.id as string }, newValue: { name: view.name } });
    return view;
  };
  return [
    {
      op: "aiGateway.routes.list",
      method: "GET",
      path,
      permission: READ,
      handle: async (context) => listed("routes", await dynamic.list(gatewayOf(context))),
    },
    {
      op: "aiGateway.routes.create",
      method: "POST",
      path,
      permission: WRITE,
      handle: async (context) =>
        changed(context, "route created", "create", await dynamic.create(gatewayOf(context), await bodyOf(context))),
    },
    {
      op: "aiGateway.routes.get",
      method: "GET",
      path: `${path}/:route`,
      permission: READ,
      handle: (context) => dynamic.get(gatewayOf(context), idOf(context)),
    },
    {
      op: "aiGateway.routes.update",
      method: "PATCH",
      path: `${path}/:route`,
      permission: WRITE,
      async handle(context) {
        const view = await dynamic.rename(gatewayOf(context), idOf(context), await bodyOf(context));
        return beside({ route: changed(context, "route updated", "update", view) }, view);
      },
    },
    {
      op: "aiGateway.routes.delete",
      method: "DELETE",
      path: `${path}/:route`,
      permission: WRITE,
      handle: async (context) => changed(context, "route deleted", "delete", await dynamic.remove(gatewayOf(context), idOf(context))),
    },
    {
      op: "aiGateway.routes.listVersions",
      method: "GET",
      path: `${path}/:route/versions`,
      permission: READ,
      handle: async (context) => listed("versions", await dynamic.versions(gatewayOf(context), idOf(context))),
    },
    {
      op: "aiGateway.routes.createVersion",
      method: "POST",
      path: `${path}/:route/versions`,
      permission: WRITE,
      handle: async (context) =>
        changed(
          context,
          "route version created",
          "update",
          await dynamic.createVersion(gatewayOf(context), idOf(context), await bodyOf(context)),
        ),
    },
    {
      op: "aiGateway.routes.getVersion",
      method: "GET",
      path: `${path}/:route/versions/:version`,
      permission: READ,
      handle: (context) => dynamic.version(gatewayOf(context), idOf(context), param(context, "version")),
    },
    {
      op: "aiGateway.routes.listDeployments",
      method: "GET",
      path: `${path}/:route/deployments`,
      permission: READ,
      handle: async (context) => listed("deployments", await dynamic.deployments(gatewayOf(context), idOf(context))),
    },
    {
      op: "aiGateway.routes.createDeployment",
      method: "POST",
      path: `${path}/:route/deployments`,
      permission: WRITE,
      handle: async (context) =>
        changed(context, "route deployed", "update", await dynamic.deploy(gatewayOf(context), idOf(context), await bodyOf(context))),
    },
  ];
}

async function beside(members: Record<string, unknown>, result: unknown): Promise<Response> {
  return Response.json({ ...((await success(result).json()) as object), ...members });
}

const listed = (name: string, items: readonly unknown[]): Promise<Response> =>
  beside({ data: { [name]: items, page: 1, per_page: items.length, order_by: "created_at", order_by_direction: "asc" } }, items);
