/**
 * `POST /zones/{zone}/purge_cache`: what the platform keeps of a zone's URLs goes (docs: Cache, Purge cache). Copies that
 * Workers keep by `caches` are their own, and stay.
 */
import { z } from "zod";
import type { Zones } from "../../kernel/capabilities.ts";
import { defineErrors } from "../../kernel/errors.ts";
import type { Route } from "../../kernel/product.ts";
import { purgeCopies } from "./copies.ts";
import type { CacheStore } from "./store.ts";

const cacheError = defineErrors("cache", {
  zoneNotFound: { status: 404, apiCode: 1001, message: "Invalid zone identifier" },
  invalidPurge: { status: 400, apiCode: 1094, message: "Invalid purge request: one of purge_everything, files, hosts and prefixes" },
});

/** Documented most of one request. */
const ITEMS_MAX = 100;
const items = z.array(z.string().min(1).max(16_384)).min(1).max(ITEMS_MAX);
const schema = z.union([
  z.strictObject({ purge_everything: z.literal(true) }),
  z.strictObject({
    files: z
      .array(z.union([z.string(), z.object({ url: z.string() }).loose()]))
      .min(1)
      .max(ITEMS_MAX),
  }),
  z.strictObject({ hosts: items }),
  z.strictObject({ prefixes: items }),
]);

export const purgeRoute = (store: CacheStore, zones: Zones): Route => ({
  op: "cache.purge",
  method: "POST",
  path: "/zones/:zone/purge_cache",
  permission: ["Cache Purge"],
  async handle(c) {
    const zone = zones.byId(c.params.zone as string);
    if (zone === undefined) throw cacheError("zoneNotFound");
    const given = schema.safeParse(await c.json(z.unknown()));
    if (!given.success) throw cacheError("invalidPurge");
    const wanted = testOf(given.data);
    await purgeCopies(store, (url) => {
      const parsed = URL.parse(url);
      return parsed !== null && zones.ofHost(parsed.hostname)?.id === zone.id && wanted(parsed);
    });
    return { id: zone.id };
  },
});

function testOf(purge: z.infer<typeof schema>): (url: URL) => boolean {
  if ("purge_everything" in purge) return () => true;
  if ("hosts" in purge) return ({ hostname }) => purge.hosts.includes(hostname);
  if ("prefixes" in purge)
    return ({ host, hostname, pathname }) =>
      purge.prefixes.some((prefix) => `${host}${pathname}`.startsWith(prefix) || `${hostname}${pathname}`.startsWith(prefix));
  const urls = new Set(purge.files.map((file) => URL.parse(typeof file === "string" ? file : file.url)?.href));
  return ({ href }) => urls.has(href);
}
