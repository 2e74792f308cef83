/** REST operations of routes (`/zones/{zone}/workers/routes`, `…/scripts/{name}/routes`) and of custom domains. */
import { z } from "zod";
import type { Zones } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import { READ, WRITE } from "./route-deps.ts";
import type { DomainRow, RouteRow, Routing } from "./routing.ts";
import type { ScriptStore } from "./store.ts";

const ACCOUNT = "/accounts/:account/workers";
const ROUTES = "/zones/:zone/workers/routes";
const ROUTE_READ = ["Workers Routes Read", "Workers Routes Write"] as const;
const ROUTE_WRITE = ["Workers Routes Write"] as const;

const zoneReference = { zone_id: z.string().optional(), zone_name: z.string().optional() };
const scriptRoutesSchema = z.array(z.object({ ...zoneReference, pattern: z.string() })).max(1000);
const routeSchema = z.object({ pattern: z.string(), script: z.string().nullish() });
const originSchema = z.object({
  ...zoneReference,
  hostname: z.string(),
  environment: z.string().optional(),
  enabled: z.boolean().optional(),
  previews_enabled: z.boolean().optional(),
});
const recordsSchema = z.object({ override_existing_origin: z.boolean().default(false), origins: z.array(originSchema).max(1000) });

export function routingRoutes(routing: Routing, zones: Zones, store: ScriptStore): Route[] {
  const nameOf = (scriptId: string | null): string | undefined => (scriptId === null ? undefined : store.liveById(scriptId)?.script.name);
  const routeView = (row: RouteRow) => {
    const script = nameOf(row.script_id);
    return { id: row.id, pattern: row.pattern, ...(script !== undefined && { script }) };
  };
  const domainView = (row: DomainRow) => ({
    id: row.id,
    zone_id: row.zone_id,
    zone_name: row.zone_name,
    hostname: row.hostname,
    service: nameOf(row.script_id) ?? "",
    environment: row.environment,
    // The certificate is the platform's own authority's, made when the name is first asked for.
    cert_id: row.id,
    enabled: row.enabled === 1,
    previews_enabled: row.previews_enabled === 1,
  });
  const zone = (c: RequestContext) => {
    const found = zones.byId(c.params.zone as string);
    if (found === undefined) throw workersError("zoneNotFound");
    return found;
  };
  const routeOf = (c: RequestContext): RouteRow => {
    const [row] = routing.routes({ id: c.params.id as string, zone_id: zone(c).id });
    if (row === undefined) throw workersError("routeNotFound");
    return row;
  };
  const domainOf = (c: RequestContext): DomainRow => {
    const row = routing.domains().find(({ id }) => id === c.params.id);
    if (row === undefined) throw workersError("domainNotFound");
    return row;
  };
  const scriptOf = (c: RequestContext) => store.require(c.params.name as string).script;
  const idOf = (script: string | null | undefined): string | null =>
    script == null || script === "" ? null : store.require(script).script.id;

  const zoneRoutes: Route[] = [
    {
      op: "workers.routes.list",
      method: "GET",
      path: ROUTES,
      permission: ROUTE_READ,
      handle: async (c) => routing.routes({ zone_id: zone(c).id }).map(routeView),
    },
    {
      op: "workers.routes.create",
      method: "POST",
      path: ROUTES,
      permission: ROUTE_WRITE,
      async handle(c) {
        const { pattern, script } = await c.json(routeSchema);
        return routeView(await routing.addRoute(zone(c), pattern, idOf(script)));
      },
    },
    { op: "workers.routes.get", method: "GET", path: `${ROUTES}/:id`, permission: ROUTE_READ, handle: async (c) => routeView(routeOf(c)) },
    {
      op: "workers.routes.update",
      method: "PUT",
      path: `${ROUTES}/:id`,
      permission: ROUTE_WRITE,
      async handle(c) {
        const { pattern, script } = await c.json(routeSchema);
        return routeView(await routing.changeRoute(routeOf(c).id, pattern, idOf(script)));
      },
    },
    {
      op: "workers.routes.delete",
      method: "DELETE",
      path: `${ROUTES}/:id`,
      permission: ROUTE_WRITE,
      async handle(c) {
        const { id } = routeOf(c);
        await routing.removeRoute(id);
        return { id };
      },
    },
    {
      op: "workers.scripts.routes.put",
      method: "PUT",
      path: `${ACCOUNT}/scripts/:name/routes`,
      permission: WRITE,
      async handle(c) {
        const wanted = await c.json(scriptRoutesSchema);
        // wrangler prints what is answered here as it is.
        return (await routing.setRoutes(scriptOf(c).id, wanted)).map((row) => row.pattern);
      },
    },
    {
      op: "workers.services.routes",
      method: "GET",
      path: `${ACCOUNT}/services/:name/environments/:environment/routes`,
      permission: READ,
      handle: async (c) =>
        routing.routes({ script_id: scriptOf(c).id }).map((row) => ({ ...routeView(row), zone_name: zones.byId(row.zone_id)?.name })),
    },
  ];

  const domainsOf = async (c: RequestContext) => {
    const wanted = ["zone_id", "zone_name", "hostname", "service", "environment"].flatMap((key) => {
      const value = c.query.get(key);
      return value === null ? [] : [[key, value] as const];
    });
    return routing
      .domains()
      .map(domainView)
      .filter((view) => wanted.every(([key, value]) => view[key as keyof typeof view] === value));
  };
  const remove = async (c: RequestContext) => {
    await routing.removeDomain(domainOf(c).id);
    return null;
  };

  // The longer first: "records" is no id.
  const domainRoutes: Route[] = ["domains/records", "domains"].flatMap((path): Route[] => [
    { op: "workers.domains.list", method: "GET", path: `${ACCOUNT}/${path}`, permission: READ, handle: domainsOf },
    {
      op: "workers.domains.get",
      method: "GET",
      path: `${ACCOUNT}/${path}/:id`,
      permission: READ,
      handle: async (c) => domainView(domainOf(c)),
    },
    { op: "workers.domains.delete", method: "DELETE", path: `${ACCOUNT}/${path}/:id`, permission: WRITE, handle: remove },
    {
      op: "workers.domains.update",
      method: "PUT",
      path: `${ACCOUNT}/${path}`,
      permission: WRITE,
      async handle(c) {
        const { service, ...domain } = await c.json(originSchema.extend({ service: z.string() }));
        const [row] = await routing.setDomains(store.require(service).script.id, [domain], { take: true, keepOthers: true });
        return domainView(row as DomainRow);
      },
    },
  ]);

  return [
    ...zoneRoutes,
    ...domainRoutes,
    {
      op: "workers.scripts.domains.changeset",
      method: "POST",
      path: `${ACCOUNT}/scripts/:name/domains/changeset`,
      permission: WRITE,
      async handle(c) {
        const { added, updated, removed } = routing.compareDomains(scriptOf(c).id, await c.json(z.array(originSchema).max(1000)));
        return {
          added,
          updated: updated.map(({ modified, ...row }) => ({ ...domainView(row), modified })),
          removed: c.query.get("replace_state") === "true" ? removed.map(domainView) : [],
          // There are no DNS records that could be in the way.
          conflicting: [],
        };
      },
    },
    {
      op: "workers.scripts.domains.put",
      method: "PUT",
      path: `${ACCOUNT}/scripts/:name/domains/records`,
      permission: WRITE,
      async handle(c) {
        const { override_existing_origin: take, origins } = await c.json(recordsSchema);
        return (await routing.setDomains(scriptOf(c).id, origins, { take })).map(domainView);
      },
    },
  ];
}
