/** REST routes around a Worker as a "service", its subdomain, and what wrangler asks of the account. */
import { z } from "zod";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { publicBinding } from "./bindings.ts";
import { scriptContent } from "./content.ts";
import { workersError } from "./errors.ts";
import { READ, type RouteDeps, removeScript, WRITE } from "./route-deps.ts";
import type { LiveScript } from "./store.ts";
import { scriptView, serviceView } from "./views.ts";

const ACCOUNT = "/accounts/:account/workers";
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const subdomainSchema = z.object({ enabled: z.boolean(), previews_enabled: z.boolean().optional() });

export function serviceRoutes(deps: RouteDeps): Route[] {
  const { kernel, store, durableObjects, subdomain } = deps;
  const named = (c: RequestContext): LiveScript => store.require(c.params.name as string);
  const tagOf = (live: LiveScript): Promise<string | undefined> => durableObjects.migrationTag(live.script);

  const subdomainView = ({ script }: LiveScript) => ({ enabled: script.subdomainEnabled, previews_enabled: script.previewsEnabled });

  async function setSubdomain(c: RequestContext, enabled: boolean, previews: boolean | undefined): Promise<unknown> {
    const { script } = named(c);
    await store.updateScript(script.id, { subdomainEnabled: enabled, previewsEnabled: previews ?? enabled });
    const after = (await store.read(script.name)) as LiveScript;
    store.remember(script.name, after);
    return subdomainView(after);
  }

  return [
    {
      op: "workers.services.get",
      method: "GET",
      path: `${ACCOUNT}/services/:name`,
      permission: READ,
      async handle(c) {
        const live = store.listed(c.params.name as string);
        if (live === undefined) throw workersError("noService");
        return serviceView(live, await tagOf(live));
      },
    },
    {
      op: "workers.services.list",
      method: "GET",
      path: `${ACCOUNT}/services`,
      permission: READ,
      handle: async () => Promise.all(store.all().map(async (live) => serviceView(live, await tagOf(live)))),
    },
    {
      op: "workers.services.delete",
      method: "DELETE",
      path: `${ACCOUNT}/services/:name`,
      permission: WRITE,
      async handle(c) {
        await removeScript(deps, c);
        return null;
      },
    },
    {
      op: "workers.services.environment",
      method: "GET",
      path: `${ACCOUNT}/services/:name/environments/:environment`,
      permission: READ,
      async handle(c) {
        const live = named(c);
        return { environment: c.params.environment, script: scriptView(live, await tagOf(live)) };
      },
    },
    {
      op: "workers.services.bindings",
      method: "GET",
      path: `${ACCOUNT}/services/:name/environments/:environment/bindings`,
      permission: READ,
      handle: async (c) => named(c).versions[0]?.bindings.map(publicBinding) ?? [],
    },
    {
      op: "workers.services.subdomain",
      method: "GET",
      path: `${ACCOUNT}/services/:name/environments/:environment/subdomain`,
      permission: READ,
      handle: async (c) => subdomainView(named(c)),
    },
    {
      op: "workers.services.content",
      method: "GET",
      path: `${ACCOUNT}/services/:name/environments/:environment/content/v2`,
      permission: READ,
      handle: async (c) => scriptContent(kernel, named(c)),
    },
    {
      op: "workers.scripts.subdomain.get",
      method: "GET",
      path: `${ACCOUNT}/scripts/:name/subdomain`,
      permission: READ,
      handle: async (c) => subdomainView(named(c)),
    },
    {
      op: "workers.scripts.subdomain.post",
      method: "POST",
      path: `${ACCOUNT}/scripts/:name/subdomain`,
      permission: WRITE,
      async handle(c) {
        const { enabled, previews_enabled } = await c.json(subdomainSchema);
        return setSubdomain(c, enabled, previews_enabled);
      },
    },
    {
      op: "workers.scripts.subdomain.delete",
      method: "DELETE",
      path: `${ACCOUNT}/scripts/:name/subdomain`,
      permission: WRITE,
      handle: (c) => setSubdomain(c, false, false),
    },
    {
      op: "workers.workers.get",
      method: "GET",
      path: `${ACCOUNT}/workers/:name`,
      permission: READ,
      async handle(c) {
        const live = named(c);
        const { script } = live;
        return {
          id: script.id,
          name: script.name,
          tags: script.settings.tags,
          created_on: new Date(script.createdOn).toISOString(),
          updated_on: new Date(script.modifiedOn).toISOString(),
          logpush: script.settings.logpush,
          observability: script.settings.observability ?? { enabled: false },
          tail_consumers: script.settings.tail_consumers,
          subdomain: {
            ...subdomainView(live),
            url: kernel.urls.host(`${script.name}.${subdomain.get()}.workers`),
            preview_url_suffix: `-${script.name}.${subdomain.get()}.workers.${kernel.urls.domain}`,
          },
        };
      },
    },
    {
      op: "workers.subdomain.get",
      method: "GET",
      path: `${ACCOUNT}/subdomain`,
      permission: READ,
      handle: async () => ({ subdomain: subdomain.get() }),
    },
    {
      op: "workers.subdomain.put",
      method: "PUT",
      path: `${ACCOUNT}/subdomain`,
      permission: WRITE,
      async handle(c) {
        const { subdomain: wanted } = await c.json(z.object({ subdomain: z.string().regex(SUBDOMAIN) }));
        await subdomain.set(wanted);
        return { subdomain: wanted };
      },
    },
    {
      op: "workers.subdomain.check",
      method: "GET",
      path: `${ACCOUNT}/subdomains/:subdomain`,
      permission: READ,
      handle: async (c) => {
        throw workersError(c.params.subdomain === subdomain.get() ? "subdomainUnavailable" : "subdomainAvailable");
      },
    },
    {
      op: "workers.accountSettings.get",
      method: "GET",
      path: `${ACCOUNT}/account-settings`,
      permission: READ,
      handle: async () => ({ default_usage_model: "standard", green_compute: false }),
    },
  ];
}
