/** REST of Email Routing's state for a zone: on and off, locks, subdomains, and the DNS records that it needs. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { ManagedRecord, Zone, Zones } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { emailError } from "./errors.ts";
import type { SettingsStore } from "./settings.ts";

const BASE = "/zones/:zone/email/routing";
const READ = ["Email Routing Rules Read", "Email Routing Rules Write"] as const;
const WRITE = ["Email Routing Rules Write"] as const;
/** "Automatic". */
const TTL_AUTO = 1;

const named = z.object({ name: z.string().optional() }).passthrough();

export function requireZone(zones: Zones, c: RequestContext): Zone {
  const zone = zones.byId(c.params.zone as string);
  if (zone === undefined) throw emailError("zoneNotFound");
  return zone;
}

export function settingsRoutes(zones: Zones, settings: SettingsStore): Route[] {
  const view = async (zone: Zone) => {
    const { enabled, skip_wizard, subaddressing, subdomains, created, modified } = settings.of(zone.id);
    return {
      id: zone.id,
      tag: zone.id,
      name: zone.name,
      enabled,
      status: await settings.status(zone),
      skip_wizard,
      support_subaddress: subaddressing,
      subdomains,
      synced: true,
      created: new Date(created).toISOString(),
      modified: new Date(modified).toISOString(),
    };
  };
  const record = ({ type, name, content, priority }: ManagedRecord) => ({
    type,
    name,
    content,
    ttl: TTL_AUTO,
    ...(priority !== null && { priority }),
  });

  function subdomainOf(zone: Zone, name: string | undefined): string | undefined {
    const given = name?.toLowerCase();
    if (given === undefined || given === zone.name) return undefined;
    if (!given.endsWith(`.${zone.name}`) || !/^[a-z0-9.-]+$/.test(given))
      throw emailError("invalidSubdomain", `${name} is not under ${zone.name}.`);
    return given;
  }

  async function change(c: RequestContext, info: string, changed: Parameters<SettingsStore["change"]>[1]) {
    const zone = requireZone(zones, c);
    await settings.change(zone, changed);
    c.audit({ info, type: "update", resource: { type: "email_routing.zone", id: zone.id }, zone: zone.name, newValue: changed });
    return view(zone);
  }
  async function enable(c: RequestContext) {
    const zone = requireZone(zones, c);
    const { subdomains } = settings.of(zone.id);
    // The SDK's `enable` has no body.
    const empty = c.headers.get("content-length") === "0" || c.request.body === null;
    const added = subdomainOf(zone, empty ? undefined : (await c.json(named)).name);
    const names = added === undefined ? subdomains : [...new Set([...subdomains, added])];
    return change(c, "EnableZone", { enabled: true, locked: true, subdomains: names });
  }
  const disable = (c: RequestContext) => change(c, "DisableZone", { enabled: false, locked: false, subdomains: [] });
  const unlock = (c: RequestContext) => change(c, "UnlockZone", { locked: false });

  return [
    { op: "emailRouting.get", method: "GET", path: BASE, permission: READ, handle: async (c) => view(requireZone(zones, c)) },
    {
      op: "emailRouting.edit",
      method: "PATCH",
      path: BASE,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(z.object({ support_subaddress: z.boolean().optional(), skip_wizard: z.boolean().optional() }));
        return change(c, "EditZone", {
          ...(given.support_subaddress !== undefined && { subaddressing: given.support_subaddress }),
          ...(given.skip_wizard !== undefined && { skip_wizard: given.skip_wizard }),
        });
      },
    },
    { op: "emailRouting.enable", method: "POST", path: `${BASE}/enable`, permission: WRITE, handle: enable },
    { op: "emailRouting.disable", method: "POST", path: `${BASE}/disable`, permission: WRITE, handle: disable },
    { op: "emailRouting.unlock", method: "POST", path: `${BASE}/unlock`, permission: WRITE, handle: unlock },
    {
      op: "emailRouting.dns.get",
      method: "GET",
      path: `${BASE}/dns`,
      permission: READ,
      async handle(c) {
        const zone = requireZone(zones, c);
        const name = c.query.get("subdomain");
        if (name === null) return (await settings.required(zone)).map(record);
        const wanted = subdomainOf(zone, name) ?? zone.name;
        const problems = await settings.problems(zone, wanted);
        return {
          record: (await settings.required(zone, wanted)).map(record),
          errors: problems.map(({ missing, ...problem }) => ({ ...problem, ...(missing && { missing: record(missing) }) })),
        };
      },
    },
    { op: "emailRouting.dns.create", method: "POST", path: `${BASE}/dns`, permission: WRITE, handle: enable },
    { op: "emailRouting.dns.edit", method: "PATCH", path: `${BASE}/dns`, permission: WRITE, handle: unlock },
    { op: "emailRouting.dns.delete", method: "DELETE", path: `${BASE}/dns`, permission: WRITE, handle: disable },
    {
      // Ours: the real service publishes the records of its own mail domain.
      op: "emailRouting.service.dns",
      method: "GET",
      path: "/accounts/:account/email/routing/dns",
      permission: ["Email Routing Addresses Read", "Email Routing Addresses Write"],
      handle: async () => (await settings.service()).map(record),
    },
    {
      op: "emailRouting.zones.list",
      method: "GET",
      path: "/accounts/:account/email/routing/zones",
      permission: ["Email Routing Addresses Read", "Email Routing Addresses Write"],
      handle: async (c) => numberedPage(await Promise.all(zones.all().map(view)), c.query, 50, 20),
    },
  ];
}
