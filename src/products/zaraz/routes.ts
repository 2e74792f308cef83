/** REST operations under `/zones/{zone}/settings/zaraz`: the configuration, its history, publishing, export. */
import { z } from "zod";
import { page } from "../../kernel/api/envelope.ts";
import type { Zone, Zones } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { type Configs, type HistoryEntry, withoutSecrets } from "./configs.ts";
import { zarazError } from "./errors.ts";
import { configSchema, type ZarazConfig } from "./model.ts";
import { COMPONENTS } from "./tools.ts";

const READ = ["Zaraz Read", "Zaraz Edit", "Zaraz Admin"] as const;
const WRITE = ["Zaraz Edit", "Zaraz Admin"] as const;
const ADMIN = ["Zaraz Admin"] as const;

const BASE = "/zones/:zone/settings/zaraz";
const CONFIG_MAX_BYTES = 5 * 1024 * 1024;
const DESCRIPTION_MAX = 500;

export function zarazRoutes({ configs, zones }: { readonly configs: Configs; readonly zones: Zones }): Route[] {
  const zoneOf = (c: RequestContext): Zone => {
    const zone = zones.byId(c.params.zone as string);
    if (zone === undefined) throw zarazError("zoneNotFound");
    return zone;
  };
  const newest = (zoneId: string): ZarazConfig => configs.latest(zoneId)?.config ?? configs.initial(zoneId);
  const note = (c: RequestContext, zone: Zone, info: string): void =>
    c.audit({ info, type: "update", resource: { type: "zaraz_config", id: zone.id }, zone: zone.name });

  return [
    {
      op: "zaraz.config.get",
      method: "GET",
      path: `${BASE}/config`,
      permission: READ,
      handle: async (c) => withoutSecrets(newest(zoneOf(c).id)),
    },
    {
      op: "zaraz.config.update",
      method: "PUT",
      path: `${BASE}/config`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(z.unknown(), CONFIG_MAX_BYTES);
        const zone = zoneOf(c);
        const config = parsed(given);
        refuseUnknown(config);
        refuseDangling(config);
        const saved = await configs.save(zone.id, config, { userId: c.principal.tokenId, description: "" });
        note(c, zone, "UpdateZarazConfig");
        return withoutSecrets(saved.config);
      },
    },
    {
      op: "zaraz.default.get",
      method: "GET",
      path: `${BASE}/default`,
      permission: READ,
      handle: async (c) => configs.initial(zoneOf(c).id),
    },
    {
      op: "zaraz.export.get",
      method: "GET",
      path: `${BASE}/export`,
      // Secrets are part of it.
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const config = configs.live(zone.id)?.config ?? configs.initial(zone.id);
        // The configuration itself, without an envelope: it is a file to keep.
        return Response.json(config, { headers: { "content-disposition": `attachment; filename="zaraz-${zone.name}.json"` } });
      },
    },
    {
      op: "zaraz.history.list",
      method: "GET",
      path: `${BASE}/history`,
      permission: READ,
      async handle(c) {
        const entries = sorted(await configs.history(zoneOf(c).id), c.query);
        return page(entries.map(entryView), { page: 1, per_page: entries.length, count: entries.length, total_count: entries.length });
      },
    },
    {
      op: "zaraz.history.update",
      method: "PUT",
      path: `${BASE}/history`,
      permission: WRITE,
      async handle(c) {
        const id = await c.json(z.int());
        const zone = zoneOf(c);
        const [found] = await configs.saved(zone.id, [id]);
        if (found === undefined) throw zarazError("historyNotFound");
        const saved = await configs.save(zone.id, found.config, {
          userId: c.principal.tokenId,
          description: `Restored from version ${id}`,
        });
        note(c, zone, "RestoreZarazConfig");
        return withoutSecrets(saved.config);
      },
    },
    {
      op: "zaraz.history.configs.get",
      method: "GET",
      path: `${BASE}/history/configs`,
      permission: READ,
      async handle(c) {
        const ids = [...c.query.getAll("ids"), ...c.query.getAll("ids[]")].flatMap((text) => text.split(","));
        if (ids.length === 0 || ids.length > 100 || !ids.every((id) => /^\d{1,15}$/.test(id)))
          throw zarazError("invalidConfig", "ids is a list of 1 to 100 ids");
        const found = await configs.saved(zoneOf(c).id, ids.map(Number));
        return Object.fromEntries(found.map((one) => [one.id, { ...entryView(one), config: withoutSecrets(one.config) }]));
      },
    },
    {
      op: "zaraz.publish.create",
      method: "POST",
      path: `${BASE}/publish`,
      permission: ADMIN,
      async handle(c) {
        const description = descriptionOf(await c.bytes(64 * 1024));
        const zone = zoneOf(c);
        await configs.publish(zone.id, description);
        note(c, zone, "PublishZarazConfig");
        return "Config has been published successfully";
      },
    },
    {
      op: "zaraz.workflow.get",
      method: "GET",
      path: `${BASE}/workflow`,
      permission: READ,
      handle: async (c) => configs.workflow(zoneOf(c).id),
    },
    {
      op: "zaraz.workflow.update",
      method: "PUT",
      path: `${BASE}/workflow`,
      permission: WRITE,
      async handle(c) {
        const workflow = await c.json(z.enum(["realtime", "preview"]));
        const zone = zoneOf(c);
        await configs.setWorkflow(zone.id, workflow);
        note(c, zone, "UpdateZarazWorkflow");
        return workflow;
      },
    },
  ];
}

function parsed(given: unknown): ZarazConfig {
  const result = configSchema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw zarazError("invalidConfig", `${issue?.path.join(".")}: ${issue?.message}`);
}

/** A tool that would never do anything is refused; one that is switched off may be kept, as an import brings it. */
function refuseUnknown({ tools }: ZarazConfig): void {
  for (const { type, component, enabled, name } of Object.values(tools))
    if (enabled && type === "component" && !COMPONENTS.includes(component))
      throw zarazError("unknownComponent", `tool ${JSON.stringify(name)}: ${component}; there are ${COMPONENTS.join(", ")}, and custom-mc`);
}

/** A variable that a template names must be there: one in use cannot be deleted (docs: Edit variables). */
function refuseDangling(config: ZarazConfig): void {
  const text = JSON.stringify([config.tools, config.triggers, config.variables]);
  for (const [expression] of text.matchAll(/\{\{.*?\}\}/g))
    for (const [, name = ""] of expression.matchAll(/\bvariables\.`?([\w-]+)`?/g))
      if (!Object.hasOwn(config.variables, name)) throw zarazError("variableInUse", `a template uses variables.${name}`);
}

/** JSON text, as the SDK sends it, or plain text. */
function descriptionOf(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString("utf8").trim();
  if (text === "") return undefined;
  let value: unknown = text;
  try {
    value = JSON.parse(text);
  } catch {
    // Plain text is the description itself.
  }
  if (value === null) return undefined;
  if (typeof value !== "string" || value.length > DESCRIPTION_MAX)
    throw zarazError("invalidConfig", `a description is a text of at most ${DESCRIPTION_MAX} characters`);
  return value;
}

const entryView = ({ id, description, userId, created, updated }: HistoryEntry) => ({
  id,
  description,
  userId,
  createdAt: new Date(created).toISOString(),
  updatedAt: new Date(updated).toISOString(),
});

const SORTS: Readonly<Record<string, (entry: HistoryEntry) => string | number>> = {
  id: ({ id }) => id,
  user_id: ({ userId }) => userId,
  description: ({ description }) => description,
  created_at: ({ created }) => created,
  updated_at: ({ updated }) => updated,
};

function sorted(entries: readonly HistoryEntry[], query: URLSearchParams): HistoryEntry[] {
  const field = query.get("sortField") ?? "id";
  const key = Object.hasOwn(SORTS, field) ? SORTS[field] : undefined;
  if (key === undefined) throw zarazError("invalidConfig", `sortField is one of ${Object.keys(SORTS).join(", ")}`);
  const sign = query.get("sortOrder") === "ASC" ? 1 : -1;
  const ordered = entries.toSorted((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.id - b.id));
  const number = (name: string, fallback: number): number => {
    const text = query.get(name);
    if (text !== null && !/^\d{1,9}$/.test(text)) throw zarazError("invalidConfig", `${name} is a whole number`);
    return text === null ? fallback : Number(text);
  };
  const offset = number("offset", 0);
  return ordered.slice(offset, offset + number("limit", 20));
}
