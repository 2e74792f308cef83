/** REST routes of zones: what wrangler and the SDKs ask of `/zones`. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import { zoneResource } from "../../kernel/api/tokens.ts";
import type { Zone } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { RecordStore } from "./records.ts";
import type { ZoneStore } from "./store.ts";

export const READ = ["Zone Read", "Zone Write"] as const;
export const WRITE = ["Zone Write"] as const;

const createSchema = z.object({
  name: z.string(),
  account: z.object({ id: z.string().optional() }).optional(),
  type: z.enum(["full", "partial", "secondary", "internal"]).optional(),
});

export function zoneRoutes(store: ZoneStore, records: RecordStore, account: { readonly id: string; readonly name: string }): Route[] {
  const view = ({ id, name, createdOn }: Zone) => {
    const at = new Date(createdOn).toISOString();
    return {
      id,
      name,
      // Nobody else could activate it.
      status: "active",
      paused: false,
      type: "full",
      development_mode: 0,
      name_servers: [],
      original_name_servers: null,
      original_registrar: null,
      original_dnshost: null,
      created_on: at,
      modified_on: at,
      activated_on: at,
      meta: { step: 2, custom_certificate_quota: 0, page_rule_quota: 0, phishing_detected: false },
      owner: { id: account.id, type: "user", email: null },
      account,
      permissions: ["#zone:read", "#zone:edit"],
      plan: { id: "freehold", name: "Self-hosted", price: 0, currency: "USD", frequency: "", is_subscribed: true, can_subscribe: false },
    };
  };
  const named = (c: RequestContext): Zone => store.require(c.params.zone as string);

  return [
    {
      op: "zones.list",
      method: "GET",
      path: "/zones",
      // Any token may ask: it sees the zones that it may read.
      permission: [],
      async handle(c) {
        const [name, owner, status] = ["name", "account.id", "status"].map((key) => c.query.get(key));
        const visible = ({ id }: Zone): boolean => READ.some((group) => c.principal.can(group, zoneResource(id)));
        const foreign = (owner != null && owner !== account.id) || (status != null && status !== "active");
        const zones = foreign
          ? []
          : store
              .all()
              .filter(visible)
              .filter((zone) => name == null || zone.name === name.toLowerCase());
        return numberedPage(zones.map(view), c.query, 50);
      },
    },
    {
      op: "zones.create",
      method: "POST",
      path: "/zones",
      permission: WRITE,
      handle: async (c) => view(await store.create((await c.json(createSchema)).name)),
    },
    { op: "zones.get", method: "GET", path: "/zones/:zone", permission: READ, handle: async (c) => view(named(c)) },
    {
      op: "zones.delete",
      method: "DELETE",
      path: "/zones/:zone",
      permission: WRITE,
      async handle(c) {
        const { id } = named(c);
        await store.remove(id);
        records.forget(id);
        return { id };
      },
    },
  ];
}
