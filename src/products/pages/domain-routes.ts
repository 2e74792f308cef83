/** REST routes of custom domains: `/accounts/{account}/pages/projects/{project}/domains`. */
import { z } from "zod";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Domains } from "./domains.ts";
import type { Project } from "./model.ts";
import { PROJECT, READ, WRITE } from "./rest.ts";
import type { PagesStore } from "./store.ts";

const DOMAINS = `${PROJECT}/domains`;
const DOMAIN = `${DOMAINS}/:domain`;

export function domainRoutes(store: PagesStore, domains: Domains): Route[] {
  const named = (c: RequestContext): Project => store.require(c.params.project as string);
  const one = (c: RequestContext) => domains.view(domains.require(named(c), c.params.domain as string));

  return [
    {
      op: "pages.domains.list",
      method: "GET",
      path: DOMAINS,
      permission: READ,
      handle: async (c) => domains.of(named(c)).map(domains.view),
    },
    {
      op: "pages.domains.create",
      method: "POST",
      path: DOMAINS,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        const domain = await domains.add(project, (await c.json(z.object({ name: z.string() }))).name);
        c.audit({ info: "AddDomain", type: "create", resource: { type: "pages.domain", id: domain.id }, newValue: { name: domain.name } });
        return domains.view(domain);
      },
    },
    { op: "pages.domains.get", method: "GET", path: DOMAIN, permission: READ, handle: async (c) => one(c) },
    // Has the domain validated anew: it is, each time that it is looked at.
    { op: "pages.domains.edit", method: "PATCH", path: DOMAIN, permission: WRITE, handle: async (c) => one(c) },
    {
      op: "pages.domains.delete",
      method: "DELETE",
      path: DOMAIN,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        const { id, name } = domains.require(project, c.params.domain as string);
        await domains.remove(project, name);
        c.audit({ info: "RemoveDomain", type: "delete", resource: { type: "pages.domain", id }, oldValue: { name } });
        return null;
      },
    },
  ];
}
