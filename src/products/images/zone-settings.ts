/**
 * What zones say of images: whether there are transformations and of whose images (`transformations`,
 * `transformations_allowed_origins`), and `polish` with `webp`. Rows, and in memory, where each request looks. The origins
 * are a list with commas: a host, `*.` and a host for it and all below it, each with the beginning of a path if wanted
 * (docs: Images, Sources).
 */
import { z } from "zod";
import type { Zone, Zones } from "../../kernel/capabilities.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { imagesError } from "./errors.ts";

const settings = {
  transformations: { default: "off", schema: z.enum(["on", "off", "open"]) },
  transformations_allowed_origins: {
    default: "",
    schema: z
      .string()
      .max(16_384)
      .refine((text) => originsOf(text) !== undefined, "hosts with commas between them"),
  },
  polish: { default: "off", schema: z.enum(["off", "lossless", "lossy"]) },
  webp: { default: "off", schema: z.enum(["off", "on"]) },
} as const;

type Name = keyof typeof settings;
/** The older name of the same setting. */
const ALIASES: Readonly<Record<string, Name>> = { image_resizing: "transformations" };

export interface ZoneSettings {
  value(zoneId: string, name: Name): string;
  /** Whether images of this URL may be transformed on the zone. */
  allows(zone: Zone, url: URL): boolean;
  readonly routes: readonly Route[];
}

export async function openZoneSettings({ meta, clock }: KernelSlice, zones: Zones): Promise<ZoneSettings> {
  const rows = await meta.all<{ zone_id: string; name: string; value: string; modified: number }>(
    "SELECT zone_id, name, value, modified FROM images_zone_settings LIMIT 100000",
  );
  const keyOf = (zoneId: string, name: string): string => `${zoneId} ${name}`;
  const known = new Map(rows.map((row) => [keyOf(row.zone_id, row.name), { value: row.value, modified: row.modified }]));
  const value = (zoneId: string, name: Name): string => known.get(keyOf(zoneId, name))?.value ?? settings[name].default;

  function view(zoneId: string, id: string): object {
    const name = ALIASES[id] ?? (id as Name);
    const modified = known.get(keyOf(zoneId, name))?.modified;
    return {
      id,
      value: value(zoneId, name),
      editable: true,
      modified_on: modified === undefined ? null : new Date(modified).toISOString(),
    };
  }

  function settingOf(c: RequestContext): { zone: Zone; id: string; name: Name } {
    const zone = zones.byId(c.params.zone as string);
    if (zone === undefined) throw imagesError("zoneNotFound");
    const id = c.params.setting as string;
    const name = Object.hasOwn(ALIASES, id) ? ALIASES[id] : Object.hasOwn(settings, id) ? (id as Name) : undefined;
    if (name === undefined) throw imagesError("settingNotFound");
    return { zone, id, name };
  }

  return {
    value,
    allows(zone, url) {
      if (value(zone.id, "transformations") === "open" || zones.ofHost(url.hostname)?.id === zone.id) return true;
      return (originsOf(value(zone.id, "transformations_allowed_origins")) ?? []).some((origin) => origin(url));
    },
    routes: [
      {
        op: "zones.settings.get",
        method: "GET",
        path: "/zones/:zone/settings/:setting",
        permission: ["Zone Settings Read", "Zone Settings Write"],
        async handle(c) {
          const { zone, id } = settingOf(c);
          return view(zone.id, id);
        },
      },
      {
        op: "zones.settings.edit",
        method: "PATCH",
        path: "/zones/:zone/settings/:setting",
        permission: ["Zone Settings Write"],
        async handle(c) {
          const given = await c.json(z.object({ value: z.unknown() }));
          const { zone, id, name } = settingOf(c);
          const parsed = settings[name].schema.safeParse(given.value);
          if (!parsed.success) throw imagesError("settingInvalid", `Invalid value for zone setting ${id}`);
          const row = { value: parsed.data, modified: clock.now() };
          await meta.run(
            `INSERT INTO images_zone_settings (zone_id, name, value, modified) VALUES (?, ?, ?, ?)
             ON CONFLICT (zone_id, name) DO UPDATE SET value = excluded.value, modified = excluded.modified`,
            ...[zone.id, name, row.value, row.modified],
          );
          const oldValue = { value: value(zone.id, name) };
          known.set(keyOf(zone.id, name), row);
          const resource = { type: "zone_setting", id };
          c.audit({ info: "ChangeSetting", type: "update", resource, zone: zone.name, oldValue, newValue: { value: row.value } });
          return view(zone.id, id);
        },
      },
    ],
  };
}

type Test = (url: URL) => boolean;

/** Tests for the origins of a list; undefined for one that is none. Only a URL's first form is tested: redirects are followed. */
export function originsOf(text: string): Test[] | undefined {
  const tests: Test[] = [];
  for (const part of text
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean)) {
    const [, wildcard, host, path = "/"] = /^(?:https?:\/\/)?(\*\.)?([a-z0-9.-]+(?::\d+)?)(\/\S*)?$/i.exec(part) ?? [];
    if (host === undefined) return undefined;
    const name = host.toLowerCase();
    tests.push(({ host: given, hostname, pathname }) => {
      const fits = given === name || hostname === name || (wildcard !== undefined && hostname.endsWith(`.${name}`));
      return fits && pathname.startsWith(path);
    });
  }
  return tests;
}
