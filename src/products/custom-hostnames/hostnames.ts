/**
 * Rows of custom hostnames and fallback origins, and all of them in memory, since the gateway asks for each request. Of
 * several zones that have the same hostname the one that was edited last has its traffic, as documented.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import { hostnamesError } from "./errors.ts";
import { type Hostname, type HostnameContent, isServed } from "./model.ts";

export interface FallbackOrigin {
  /** A host name of the zone. */
  readonly origin: string;
  readonly createdOn: number;
  readonly modifiedOn: number;
}

export interface Hostnames {
  all(): Hostname[];
  ofZone(zoneId: string): Hostname[];
  byId(id: string): Hostname | undefined;
  /** Throws `custom-hostnames.notFound`. */
  require(zoneId: string, id: string): Hostname;
  /** The served hostname that a host name is, or lies below where it has a wildcard; an exact one wins. */
  ofHost(host: string): Hostname | undefined;
  /** Throws `custom-hostnames.duplicate`. */
  add(zoneId: string, hostname: string, content: HostnameContent): Promise<Hostname>;
  /** Changes what is there then, one change at a time. `edited` by its users, which decides between zones. Undefined when it is gone. */
  change(id: string, change: (now: Hostname) => Partial<HostnameContent>, edited: boolean): Promise<Hostname | undefined>;
  remove(id: string): Promise<void>;
  fallback(zoneId: string): FallbackOrigin | undefined;
  setFallback(zoneId: string, origin: string): Promise<FallbackOrigin>;
  removeFallback(zoneId: string): Promise<void>;
}

interface Row {
  id: string;
  zone_id: string;
  hostname: string;
  created_on: number;
  modified_on: number;
  content: string;
}

export async function openHostnames(meta: MetaStore, clock: Clock): Promise<Hostnames> {
  const exclusively = oneAtATime();
  const byId = new Map<string, Hostname>();
  const byName = new Map<string, Hostname[]>();
  const fallbacks = new Map<string, FallbackOrigin>();

  function keep(hostname: Hostname): void {
    drop(hostname.id);
    byId.set(hostname.id, hostname);
    const same = [...(byName.get(hostname.hostname) ?? []), hostname];
    byName.set(
      hostname.hostname,
      same.sort((a, b) => b.modifiedOn - a.modifiedOn),
    );
  }

  function drop(id: string): void {
    const old = byId.get(id);
    if (old === undefined) return;
    byId.delete(id);
    const others = (byName.get(old.hostname) ?? []).filter((other) => other.id !== id);
    if (others.length === 0) byName.delete(old.hostname);
    else byName.set(old.hostname, others);
  }

  for (const row of await meta.all<Row>("SELECT * FROM custom_hostnames_hostnames LIMIT 10000000")) keep(hostnameOf(row));
  const origins = "SELECT zone_id, origin, created_on, modified_on FROM custom_hostnames_fallback_origins LIMIT 1000000";
  for (const row of await meta.all<{ zone_id: string; origin: string; created_on: number; modified_on: number }>(origins))
    fallbacks.set(row.zone_id, { origin: row.origin, createdOn: row.created_on, modifiedOn: row.modified_on });

  const served = (name: string, wildcard: boolean): Hostname | undefined =>
    byName.get(name)?.find((found) => isServed(found) && (!wildcard || found.certificate?.wildcard === true));

  return {
    all: () => [...byId.values()],
    ofZone: (zoneId) => [...byId.values()].filter((found) => found.zoneId === zoneId),
    byId: (id) => byId.get(id),
    require(zoneId, id) {
      const found = byId.get(id);
      if (found === undefined || found.zoneId !== zoneId) throw hostnamesError("notFound");
      return found;
    },
    ofHost(host) {
      if (byName.size === 0) return undefined;
      let found = served(host, false);
      for (let dot = host.indexOf("."); found === undefined && dot > 0; dot = host.indexOf(".", dot + 1))
        found = served(host.slice(dot + 1), true);
      return found;
    },
    async add(zoneId, hostname, content) {
      const now = clock.now();
      const added: Hostname = { ...content, id: randomUUID(), zoneId, hostname, createdOn: now, modifiedOn: now };
      const { changes } = await meta.run(
        `INSERT INTO custom_hostnames_hostnames (id, zone_id, hostname, created_on, modified_on, content) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING`,
        added.id,
        zoneId,
        hostname,
        now,
        now,
        JSON.stringify(content),
      );
      if (changes === 0) throw hostnamesError("duplicate");
      keep(added);
      return added;
    },
    change: (id, change, edited) =>
      exclusively(id, async () => {
        const old = byId.get(id);
        if (old === undefined) return undefined;
        const { id: _id, zoneId: _zoneId, hostname: _hostname, createdOn: _createdOn, modifiedOn, ...before } = old;
        const content: HostnameContent = { ...before, ...change(old) };
        const at = edited ? clock.now() : modifiedOn;
        const sql = "UPDATE custom_hostnames_hostnames SET content = ?, modified_on = ? WHERE id = ?";
        if ((await meta.run(sql, JSON.stringify(content), at, id)).changes === 0) return undefined;
        const changed: Hostname = { ...old, ...content, modifiedOn: at };
        keep(changed);
        return changed;
      }),
    remove: (id) =>
      exclusively(id, async () => {
        await meta.run("DELETE FROM custom_hostnames_hostnames WHERE id = ?", id);
        drop(id);
      }),
    fallback: (zoneId) => fallbacks.get(zoneId),
    async setFallback(zoneId, origin) {
      const now = clock.now();
      const fallback: FallbackOrigin = { origin, createdOn: fallbacks.get(zoneId)?.createdOn ?? now, modifiedOn: now };
      await meta.run(
        `INSERT INTO custom_hostnames_fallback_origins (zone_id, origin, created_on, modified_on) VALUES (?, ?, ?, ?)
         ON CONFLICT (zone_id) DO UPDATE SET origin = excluded.origin, modified_on = excluded.modified_on`,
        zoneId,
        origin,
        fallback.createdOn,
        now,
      );
      fallbacks.set(zoneId, fallback);
      return fallback;
    },
    async removeFallback(zoneId) {
      await meta.run("DELETE FROM custom_hostnames_fallback_origins WHERE zone_id = ?", zoneId);
      fallbacks.delete(zoneId);
    },
  };
}

const hostnameOf = (row: Row): Hostname => ({
  ...(JSON.parse(row.content) as HostnameContent),
  id: row.id,
  zoneId: row.zone_id,
  hostname: row.hostname,
  createdOn: row.created_on,
  modifiedOn: row.modified_on,
});
