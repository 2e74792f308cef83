/**
 * The account's zones, in memory and as rows. A zone says that the account owns a domain: routes and custom domains live
 * under one. Nobody checks the ownership here, and no record is put anywhere: whether a name leads to this machine is its
 * owner's matter.
 */
import { randomBytes } from "node:crypto";
import type { Zone, Zones } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { zonesError } from "./errors.ts";

export interface ZoneStore extends Omit<Zones, "origin" | "records" | "manage"> {
  /** Throws `zones.exists`, `zones.invalidName`, `zones.tooMany`. */
  create(name: string): Promise<Zone>;
  /** Throws `zones.notFound`. */
  require(id: string): Zone;
  remove(id: string): Promise<void>;
}

const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const NAME = new RegExp(`^(?:${LABEL}\\.)+${LABEL}$`);
/** Names that the platform answers under already. */
const RESERVED = /(^|\.)(localhost|cloudflare\.com|cloudflarestorage\.com|r2\.dev|workers\.dev|pages\.dev)$/;

export async function openZoneStore(meta: MetaStore, clock: Clock, domain: string, max: number): Promise<ZoneStore> {
  const byName = new Map<string, Zone>();
  const rows = await meta.all<{ id: string; name: string; created_on: number }>("SELECT * FROM zones_zones ORDER BY name LIMIT 100000");
  for (const { id, name, created_on } of rows) byName.set(name, { id, name, createdOn: created_on });
  const zones = new Map([...byName.values()].map((zone) => [zone.id, zone]));
  const byId = (id: string): Zone | undefined => zones.get(id);

  return {
    all: () => [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    byId,
    byName: (name) => byName.get(name.toLowerCase()),
    ofHost(host) {
      const labels = host.toLowerCase().split(".");
      for (let i = 0; i < labels.length - 1; i++) {
        const zone = byName.get(labels.slice(i).join("."));
        if (zone !== undefined) return zone;
      }
      return undefined;
    },
    require(id) {
      const zone = byId(id);
      if (zone === undefined) throw zonesError("notFound");
      return zone;
    },
    async create(given) {
      const name = given.toLowerCase();
      if (name.length > 253 || !NAME.test(name) || RESERVED.test(name) || name === domain || name.endsWith(`.${domain}`))
        throw zonesError("invalidName");
      if (byName.has(name)) throw zonesError("exists", name);
      if (byName.size >= max) throw zonesError("tooMany");
      const zone: Zone = { id: randomBytes(16).toString("hex"), name, createdOn: clock.now() };
      const { changes } = await meta.run(
        "INSERT INTO zones_zones (id, name, created_on) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        zone.id,
        name,
        zone.createdOn,
      );
      if (changes === 0) throw zonesError("exists", name);
      byName.set(name, zone);
      zones.set(zone.id, zone);
      return zone;
    },
    async remove(id) {
      const zone = byId(id);
      if (zone === undefined) throw zonesError("notFound");
      await meta.run("DELETE FROM zones_zones WHERE id = ?", id);
      byName.delete(zone.name);
      zones.delete(id);
    },
  };
}
