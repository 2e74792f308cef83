/**
 * Routes and custom domains: which Worker answers a host name and path of the account's zones. The rows, and the table in
 * memory that the gateway asks for each request. A route of more specific pattern wins, one without a Worker takes its
 * paths out; a custom domain has every path that no route has (docs: Workers, Routes and domains).
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { CustomHostnames, Zone, Zones } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { workersError } from "./errors.ts";
import { bySpecificity, hostOf, matchesHost, matchesPath, parsePattern, type RoutePattern } from "./route-pattern.ts";

export interface RouteRow {
  readonly id: string;
  readonly zone_id: string;
  readonly pattern: string;
  /** Null: no Worker runs on these URLs. */
  readonly script_id: string | null;
}

export interface DomainRow {
  readonly id: string;
  readonly zone_id: string;
  readonly zone_name: string;
  readonly hostname: string;
  readonly script_id: string;
  readonly environment: string;
  /** 1 unless the domain serves nothing for now. */
  readonly enabled: number;
  readonly previews_enabled: number;
}

/** A route or domain as an upload names it. */
export interface ZoneReference {
  readonly zone_id?: string | undefined;
  readonly zone_name?: string | undefined;
}
export type WantedRoute = ZoneReference & { readonly pattern: string };
export type WantedDomain = ZoneReference & {
  readonly hostname: string;
  readonly environment?: string | undefined;
  readonly enabled?: boolean | undefined;
  readonly previews_enabled?: boolean | undefined;
};

export interface Changeset {
  readonly added: readonly WantedDomain[];
  readonly updated: readonly (DomainRow & { readonly modified: boolean })[];
  readonly removed: readonly DomainRow[];
}

export interface Routing {
  /**
   * Id of the Worker that answers; null when a route says that none does, undefined when none is meant to. Without a path:
   * undefined when no route or domain has the name.
   */
  find(host: string, path: string | undefined, scheme: string): string | null | undefined;
  routes(filter?: Partial<RouteRow>): RouteRow[];
  addRoute(zone: Zone, pattern: string, scriptId: string | null): Promise<RouteRow>;
  changeRoute(id: string, pattern: string, scriptId: string | null): Promise<RouteRow>;
  removeRoute(id: string): Promise<void>;
  /** Makes these the Worker's routes, and no others. Throws `workers.routeTaken` for one that another Worker has. */
  setRoutes(scriptId: string, wanted: readonly WantedRoute[]): Promise<RouteRow[]>;
  domains(): DomainRow[];
  /** What `setDomains` would do. */
  compareDomains(scriptId: string, wanted: readonly WantedDomain[]): Changeset;
  /** Makes these the Worker's custom domains. Throws `workers.domainTaken` unless those of other Workers may be taken. */
  setDomains(scriptId: string, wanted: readonly WantedDomain[], options: { take: boolean; keepOthers?: boolean }): Promise<DomainRow[]>;
  removeDomain(id: string): Promise<void>;
  /** The Worker goes in this transaction; `forget` follows its commit. */
  removeScript(tx: MetaTransaction, scriptId: string): Promise<void>;
  forget(scriptId: string): void;
  /** Names of the zones that the Worker has routes in, sorted. */
  zonesOf(scriptId: string): readonly string[];
}

/** Documented limits of a zone. */
const ROUTES_MAX = 1000;
const DOMAINS_MAX = 100;

/** `changed` hears of each Worker whose routes are others now. */
export async function openRouting(
  meta: MetaStore,
  clock: Clock,
  { zones, customHostnames }: { readonly zones: Zones; readonly customHostnames: CustomHostnames },
  changed: (scriptId: string) => Promise<void>,
): Promise<Routing> {
  let routes: RouteRow[] = await meta.all<RouteRow & Record<string, never>>(
    "SELECT id, zone_id, pattern, script_id FROM workers_routes LIMIT 1000000",
  );
  let domains: DomainRow[] = await meta.all<DomainRow & Record<string, never>>("SELECT * FROM workers_domains LIMIT 1000000");
  /** Most specific first. */
  let table: { readonly pattern: RoutePattern; readonly row: RouteRow }[] = [];
  let byHostname = new Map<string, DomainRow>();
  index();

  function index(): void {
    table = routes.map((row) => ({ row, pattern: parsePattern(row.pattern) })).sort((a, b) => bySpecificity(a.pattern, b.pattern));
    byHostname = new Map(domains.filter((row) => row.enabled === 1).map((row) => [row.hostname, row]));
  }

  /** The zone that a route or domain names, or else the one that its host lies in. */
  function zoneOf(host: string, { zone_id: id, zone_name: name }: ZoneReference): Zone {
    const found = customHostnames.ofHost(host)?.zoneId;
    const own = found === undefined ? zones.ofHost(host) : zones.byId(found);
    const zone = id !== undefined ? zones.byId(id) : name !== undefined ? zones.byName(name) : own;
    if (zone === undefined) {
      throw workersError(
        "zoneNotFound",
        `Could not find zone for \`${name ?? id ?? host}\`. Add the zone to the account (POST /zones) and deploy again.`,
      );
    }
    // "*/*" is of whichever zone is named, as are patterns of its custom hostnames.
    if (host === "" && (id ?? name) !== undefined) return zone;
    if (host !== zone.name && !host.endsWith(`.${zone.name}`) && customHostnames.ofHost(host)?.zoneId !== zone.id)
      throw workersError("invalidRoute", `The host name "${host}" does not belong to the zone "${zone.name}".`);
    return zone;
  }

  function checkedRoute(wanted: WantedRoute): { zone: Zone; pattern: string } {
    const pattern = wanted.pattern.trim();
    return { zone: zoneOf(hostOf(parsePattern(pattern)), wanted), pattern };
  }

  function checkLimit(zone: Zone, more: number): void {
    if (routes.filter((row) => row.zone_id === zone.id).length + more > ROUTES_MAX) throw workersError("tooManyRoutes");
  }

  async function insertRoute(tx: MetaTransaction, row: RouteRow): Promise<void> {
    await tx.run(
      "INSERT INTO workers_routes (id, zone_id, pattern, script_id, created_on) VALUES (?, ?, ?, ?, ?)",
      row.id,
      row.zone_id,
      row.pattern,
      row.script_id,
      clock.now(),
    );
  }

  const routing: Routing = {
    find(host, path, scheme) {
      let ours = false;
      const custom = customHostnames.ofHost(host);
      for (const { pattern, row } of table) {
        if (!matchesHost(pattern, host) || zones.byId(row.zone_id) === undefined) continue;
        // A custom hostname is another zone's name than its own, and routes of that one do not see its requests.
        if (custom !== undefined && custom.zoneId !== row.zone_id) continue;
        if (custom === undefined && pattern.host === "" && zones.ofHost(host)?.id !== row.zone_id) continue;
        ours = true;
        if (path === undefined) break;
        if ((pattern.scheme === undefined || pattern.scheme === scheme) && matchesPath(pattern, path)) return row.script_id;
      }
      const domain = byHostname.get(host);
      if (domain !== undefined && zones.byId(domain.zone_id) !== undefined) return domain.script_id;
      return ours && path === undefined ? null : undefined;
    },
    routes: (filter = {}) =>
      routes.filter((row) => Object.entries(filter).every(([column, value]) => row[column as keyof RouteRow] === value)),
    async addRoute(zone, text, scriptId) {
      const { pattern } = checkedRoute({ pattern: text, zone_id: zone.id });
      if (routes.some((row) => row.pattern === pattern)) throw workersError("routeExists");
      checkLimit(zone, 1);
      const row: RouteRow = { id: randomBytes(16).toString("hex"), zone_id: zone.id, pattern, script_id: scriptId };
      await meta.transaction((tx) => insertRoute(tx, row));
      routes = [...routes, row];
      index();
      if (scriptId !== null) await changed(scriptId);
      return row;
    },
    async changeRoute(id, text, scriptId) {
      const old = routes.find((row) => row.id === id);
      if (old === undefined) throw workersError("routeNotFound");
      const { pattern } = checkedRoute({ pattern: text, zone_id: old.zone_id });
      if (routes.some((row) => row.pattern === pattern && row.id !== id)) throw workersError("routeExists");
      await meta.run("UPDATE workers_routes SET pattern = ?, script_id = ? WHERE id = ?", pattern, scriptId, id);
      const row = { ...old, pattern, script_id: scriptId };
      routes = routes.map((other) => (other.id === id ? row : other));
      index();
      for (const script of new Set([old.script_id, scriptId])) if (script !== null) await changed(script);
      return row;
    },
    async removeRoute(id) {
      const old = routes.find((row) => row.id === id);
      if (old === undefined) throw workersError("routeNotFound");
      await meta.run("DELETE FROM workers_routes WHERE id = ?", id);
      routes = routes.filter((row) => row.id !== id);
      index();
      if (old.script_id !== null) await changed(old.script_id);
    },
    async setRoutes(scriptId, wanted) {
      const checked = new Map(wanted.map((route) => [route.pattern.trim(), checkedRoute(route)]));
      for (const row of routes) {
        if (checked.has(row.pattern) && row.script_id !== null && row.script_id !== scriptId)
          throw workersError("routeTaken", `The route "${row.pattern}" is already assigned to another Worker.`);
      }
      const own = routes.filter((row) => row.script_id === scriptId);
      const gone = routes.filter((row) => (row.script_id === scriptId ? !checked.has(row.pattern) : checked.has(row.pattern)));
      const known = new Set(own.map((row) => row.pattern));
      const fresh = [...checked.values()]
        .filter(({ pattern }) => !known.has(pattern))
        .map(({ zone, pattern }): RouteRow => ({ id: randomBytes(16).toString("hex"), zone_id: zone.id, pattern, script_id: scriptId }));
      for (const { zone } of checked.values()) checkLimit(zone, fresh.filter((row) => row.zone_id === zone.id).length);
      await meta.transaction(async (tx) => {
        for (const { id } of gone) await tx.run("DELETE FROM workers_routes WHERE id = ?", id);
        for (const row of fresh) await insertRoute(tx, row);
      });
      routes = [...routes.filter((row) => !gone.includes(row)), ...fresh];
      index();
      await changed(scriptId);
      return routes.filter((row) => row.script_id === scriptId);
    },
    domains: () => [...domains],
    compareDomains(scriptId, wanted) {
      const names = new Set(wanted.map(({ hostname }) => hostname.toLowerCase()));
      const byName = new Map(domains.map((row) => [row.hostname, row]));
      return {
        added: wanted.filter(({ hostname }) => !byName.has(hostname.toLowerCase())),
        updated: wanted.flatMap((domain) => {
          const row = byName.get(domain.hostname.toLowerCase());
          if (row === undefined) return [];
          return [{ ...row, modified: row.script_id !== scriptId || (domain.enabled ?? true) !== (row.enabled === 1) }];
        }),
        removed: domains.filter((row) => row.script_id === scriptId && !names.has(row.hostname)),
      };
    },
    async setDomains(scriptId, wanted, { take, keepOthers = false }) {
      const rows = wanted.map((domain): DomainRow => {
        const hostname = domain.hostname.toLowerCase();
        const pattern = parsePattern(hostname);
        if (pattern.hostWildcard || pattern.path !== "/") throw workersError("invalidRoute", `"${hostname}" is no host name.`);
        const zone = zoneOf(hostname, domain);
        const old = domains.find((row) => row.hostname === hostname);
        if (old !== undefined && old.script_id !== scriptId && !take)
          throw workersError("domainTaken", `The custom domain "${hostname}" is already used by another Worker.`);
        return {
          id: old?.id ?? randomUUID(),
          zone_id: zone.id,
          zone_name: zone.name,
          hostname,
          script_id: scriptId,
          environment: domain.environment ?? "production",
          enabled: Number(domain.enabled ?? true),
          previews_enabled: Number(domain.previews_enabled ?? false),
        };
      });
      const names = new Set(rows.map((row) => row.hostname));
      const kept = domains.filter((row) => !names.has(row.hostname) && (keepOthers || row.script_id !== scriptId));
      for (const { zone_id } of rows) {
        const all = [...kept, ...rows].filter((row) => row.zone_id === zone_id).length;
        if (all > DOMAINS_MAX) throw workersError("tooManyDomains");
      }
      const keptNames = new Set(kept.map((row) => row.hostname));
      await meta.transaction(async (tx) => {
        for (const row of domains) if (!keptNames.has(row.hostname)) await tx.run("DELETE FROM workers_domains WHERE id = ?", row.id);
        for (const row of rows) {
          await tx.run(
            `INSERT INTO workers_domains (id, zone_id, zone_name, hostname, script_id, environment, enabled, previews_enabled)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
            row.id,
            row.zone_id,
            row.zone_name,
            row.hostname,
            row.script_id,
            row.environment,
            row.enabled,
            row.previews_enabled,
          );
        }
      });
      domains = [...kept, ...rows];
      index();
      return rows;
    },
    async removeDomain(id) {
      if (!domains.some((row) => row.id === id)) throw workersError("domainNotFound");
      await meta.run("DELETE FROM workers_domains WHERE id = ?", id);
      domains = domains.filter((row) => row.id !== id);
      index();
    },
    async removeScript(tx, scriptId) {
      await tx.run("DELETE FROM workers_routes WHERE script_id = ?", scriptId);
      await tx.run("DELETE FROM workers_domains WHERE script_id = ?", scriptId);
    },
    zonesOf(scriptId) {
      const names = routes.flatMap((row) => (row.script_id === scriptId ? (zones.byId(row.zone_id)?.name ?? []) : []));
      return [...new Set(names)].sort();
    },
    forget(scriptId) {
      routes = routes.filter((row) => row.script_id !== scriptId);
      domains = domains.filter((row) => row.script_id !== scriptId);
      index();
    },
  };
  return routing;
}
