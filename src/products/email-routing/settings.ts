/**
 * Which zones take mail, for which of their names, and the DNS records that this needs. The records are kept in the zone,
 * locked until somebody unlocks them. In memory and as rows.
 * https://developers.cloudflare.com/email-routing/setup/email-routing-dns-records/
 */
import type { ManagedRecord, Zone, Zones } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { mailHost } from "./addresses.ts";
import { dkimRecord, SELECTOR, type SigningKeys } from "./keys.ts";

export type Status = "ready" | "unconfigured" | "misconfigured" | "misconfigured/locked" | "unlocked";

export interface Settings {
  readonly zone_id: string;
  readonly enabled: boolean;
  readonly locked: boolean;
  readonly skip_wizard: boolean;
  readonly subaddressing: boolean;
  /** Names under the zone that take mail too. */
  readonly subdomains: readonly string[];
  readonly created: number;
  readonly modified: number;
}

/** What is wrong with a zone's records. */
export interface DnsProblem {
  /** "mx.missing", "spf.missing", "dkim.missing", "mx.foreign", "spf.multiple". */
  readonly code: string;
  readonly missing?: ManagedRecord;
  readonly conflicting?: { readonly type: string; readonly name: string; readonly content: string };
}

export interface SettingsStore {
  of(zoneId: string): Settings;
  /** The zone that takes mail for a domain. */
  zoneOf(domain: string): Zone | undefined;
  /** Of the zone's own name, or of one of its subdomains. */
  required(zone: Zone, name?: string): Promise<ManagedRecord[]>;
  problems(zone: Zone, name?: string): Promise<DnsProblem[]>;
  /** Records that the operator publishes for the mail server itself, besides its addresses. */
  service(): Promise<ManagedRecord[]>;
  status(zone: Zone): Promise<Status>;
  change(
    zone: Zone,
    change: Partial<Pick<Settings, "enabled" | "locked" | "skip_wizard" | "subaddressing" | "subdomains">>,
  ): Promise<Settings>;
}

interface Row extends Omit<Settings, "enabled" | "locked" | "skip_wizard" | "subaddressing" | "subdomains"> {
  readonly enabled: number;
  readonly locked: number;
  readonly skip_wizard: number;
  readonly subaddressing: number;
  readonly subdomains: string;
}

const MANAGER = "email_routing";
const PRIORITIES = [13, 24, 86];

export async function openSettings({ meta, clock, config }: KernelSlice, zones: Zones, keys: SigningKeys): Promise<SettingsStore> {
  const byZone = new Map<string, Settings>();
  const hostname = mailHost(config);
  const hosts = config["email_routing.mx_hosts"].length > 0 ? config["email_routing.mx_hosts"] : [hostname];
  const spf = `v=spf1 include:_spf.${hostname} ~all`;
  for (const row of await meta.all<Row & Record<string, never>>("SELECT * FROM email_routing_zones LIMIT 100000"))
    byZone.set(row.zone_id, {
      ...row,
      enabled: row.enabled === 1,
      locked: row.locked === 1,
      skip_wizard: row.skip_wizard === 1,
      subaddressing: row.subaddressing === 1,
      subdomains: JSON.parse(row.subdomains) as string[],
    });

  const initial = (zone_id: string): Settings => ({
    zone_id,
    enabled: false,
    locked: false,
    skip_wizard: false,
    subaddressing: false,
    subdomains: [],
    created: zones.byId(zone_id)?.createdOn ?? 0,
    modified: zones.byId(zone_id)?.createdOn ?? 0,
  });
  const of = (zoneId: string): Settings => byZone.get(zoneId) ?? initial(zoneId);

  async function required(zone: Zone, name = zone.name): Promise<ManagedRecord[]> {
    const dkim = dkimRecord(await keys.of(zone.name));
    return [
      ...hosts.map((content, i) => ({ type: "MX" as const, name, content, priority: PRIORITIES[i] ?? 100 + i })),
      { type: "TXT", name, content: spf, priority: null },
      { type: "TXT", name: `${SELECTOR}._domainkey.${name}`, content: dkim, priority: null },
    ];
  }

  async function problems(zone: Zone, name = zone.name): Promise<DnsProblem[]> {
    const wanted = await required(zone, name);
    const records = zones.records(zone.id);
    const same = (a: ManagedRecord) => (b: { type: string; name: string; content: string }) =>
      a.type === b.type && a.name === b.name && a.content === b.content;
    const kindOf = ({ type, content }: ManagedRecord): string => (type === "MX" ? "mx" : content.startsWith("v=spf1") ? "spf" : "dkim");
    const missing = wanted.filter((one) => !records.some(same(one))).map((one) => ({ code: `${kindOf(one)}.missing`, missing: one }));
    const here = records.filter((record) => record.name === name);
    const foreign = here.filter((record) => record.type === "MX" && !wanted.some((one) => same(one)(record)));
    const spfs = here.filter(({ type, content }) => type === "TXT" && /^"?v=spf1\b/i.test(content));
    return [
      ...missing,
      ...foreign.map(({ type, name, content }) => ({ code: "mx.foreign", conflicting: { type, name, content } })),
      ...(spfs.length > 1 ? spfs : [])
        .filter(({ content }) => content !== spf)
        .map(({ type, name, content }) => ({ code: "spf.multiple", conflicting: { type, name, content } })),
    ];
  }

  return {
    of,
    required,
    problems,
    zoneOf(domain) {
      const zone = zones.ofHost(domain);
      if (zone === undefined) return undefined;
      const { enabled, subdomains } = of(zone.id);
      return enabled && (domain === zone.name || subdomains.includes(domain)) ? zone : undefined;
    },
    service: async () => [
      { type: "TXT", name: `${SELECTOR}._domainkey.${hostname}`, content: dkimRecord(await keys.of(hostname)), priority: null },
      { type: "TXT", name: `_spf.${hostname}`, content: `v=spf1 a:${hostname} ~all`, priority: null },
    ],
    async status(zone) {
      const { enabled, locked, subdomains } = of(zone.id);
      if (!enabled) return "unconfigured";
      for (const name of [zone.name, ...subdomains])
        if ((await problems(zone, name)).length > 0) return locked ? "misconfigured/locked" : "misconfigured";
      return locked ? "ready" : "unlocked";
    },
    // The records before the row: a zone that takes mail has them, and a crash between leaves records that enabling finds.
    async change(zone, change) {
      const next = { ...of(zone.id), ...change, modified: clock.now() };
      const names = next.enabled ? [zone.name, ...next.subdomains] : [];
      const records = (await Promise.all(names.map((name) => required(zone, name)))).flat();
      await zones.manage(zone.id, MANAGER, records, next.locked);
      await meta.run(
        `INSERT OR REPLACE INTO email_routing_zones
           (zone_id, enabled, locked, skip_wizard, subaddressing, subdomains, created, modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[next.zone_id, Number(next.enabled), Number(next.locked), Number(next.skip_wizard), Number(next.subaddressing)],
        ...[JSON.stringify(next.subdomains), next.created, next.modified],
      );
      byZone.set(zone.id, next);
      return next;
    },
  };
}
