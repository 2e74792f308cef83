/**
 * DNS records of zones: where the origin of a host name is, and what mail needs. They are answered to nobody as DNS; the
 * gateway and Workers reach origins by them, as behind the real service's proxy. In memory and as rows.
 */
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import type { ManagedRecord, Origin, Zone, ZoneRecord } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { zonesError } from "./errors.ts";
import { HOST_NAME } from "./names.ts";

export type RecordType = ZoneRecord["type"];

export interface RecordContent {
  readonly type: RecordType;
  /** The whole name, lower case; its first label may be "*". */
  readonly name: string;
  readonly content: string;
  readonly ttl: number;
  readonly proxied: boolean;
  readonly comment: string | null;
  /** Of MX records. */
  readonly priority: number | null;
}

export interface DnsRecord extends RecordContent {
  readonly id: string;
  readonly zone_id: string;
  readonly created_on: number;
  readonly modified_on: number;
  /** The product that keeps the record. */
  readonly manager: string | null;
  /** Whether only the manager changes it. */
  readonly locked: boolean;
}

export interface RecordStore {
  of(zoneId: string): DnsRecord[];
  /** Throws `zones.recordNotFound`. */
  require(zoneId: string, id: string): DnsRecord;
  create(zone: Zone, content: RecordContent): Promise<DnsRecord>;
  replace(zone: Zone, id: string, content: RecordContent): Promise<DnsRecord>;
  remove(zoneId: string, id: string): Promise<void>;
  /** See `Zones.manage`. */
  manage(zone: Zone, manager: string, records: readonly ManagedRecord[], locked: boolean): Promise<void>;
  /** Forgets those of a zone that is gone. */
  forget(zoneId: string): void;
  /** The origin of a host name: of its own records, else of the wildcard's. */
  origin(host: string): Origin | undefined;
}

const RECORDS_MAX = 3_500;
const TXT_MAX = 4096;
/** "Automatic". */
export const TTL_AUTO = 1;
/** A chain of CNAMEs within the account's zones that is longer is a loop. */
const CHAIN_MAX = 8;

export async function openRecordStore(meta: MetaStore, clock: Clock, zoneOf: (host: string) => Zone | undefined): Promise<RecordStore> {
  const byId = new Map<string, DnsRecord>();
  const byName = new Map<string, DnsRecord[]>();
  interface Row extends Omit<DnsRecord, "proxied" | "locked"> {
    readonly proxied: number;
    readonly locked: number;
  }
  const rows = await meta.all<Row & Record<string, never>>("SELECT * FROM zones_records ORDER BY created_on, id LIMIT 1000000");
  for (const row of rows) remember({ ...row, proxied: row.proxied === 1, locked: row.locked === 1 });

  function remember(record: DnsRecord): void {
    byId.set(record.id, record);
    byName.set(record.name, [...(byName.get(record.name) ?? []), record]);
  }

  function drop({ id, name }: DnsRecord): void {
    byId.delete(id);
    const left = (byName.get(name) ?? []).filter((record) => record.id !== id);
    if (left.length > 0) byName.set(name, left);
    else byName.delete(name);
  }

  const of = (zoneId: string): DnsRecord[] => [...byId.values()].filter((record) => record.zone_id === zoneId);

  function require(zoneId: string, id: string): DnsRecord {
    const record = byId.get(id);
    if (record === undefined || record.zone_id !== zoneId) throw zonesError("recordNotFound");
    return record;
  }

  function check(zone: Zone, { type, name, content }: RecordContent, self?: string): void {
    // Names of TXT records have labels like "_dmarc", which no host has.
    const plain = type === "TXT" ? name.replace(/(^|\.)_/g, "$1x") : name.replace(/^\*\./, "");
    if (!HOST_NAME.test(plain) || (plain !== zone.name && !plain.endsWith(`.${zone.name}`))) throw zonesError("invalidRecordName");
    if (type === "A" && isIP(content) !== 4) throw zonesError("invalidA");
    if (type === "AAAA" && isIP(content) !== 6) throw zonesError("invalidAaaa");
    if (type === "CNAME" && (!HOST_NAME.test(content) || content === name)) throw zonesError("invalidCname");
    if (type === "MX" && !HOST_NAME.test(content)) throw zonesError("invalidMx");
    if (type === "TXT" && (content.length > TXT_MAX || /[\r\n]/.test(content))) throw zonesError("invalidTxt");
    const others = (byName.get(name) ?? []).filter((record) => record.id !== self);
    if (others.some((record) => record.type === type && record.content === content)) throw zonesError("recordExists");
    if (others.some((record) => record.type === "CNAME" || type === "CNAME")) throw zonesError("recordConflict");
  }

  /** Memory follows once the row is committed: see `apply`. */
  const insert = (db: Pick<MetaStore, "run">, record: DnsRecord) =>
    db.run(
      `INSERT OR REPLACE INTO zones_records
         (id, zone_id, type, name, content, ttl, proxied, comment, created_on, modified_on, priority, manager, locked)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[record.id, record.zone_id, record.type, record.name, record.content, record.ttl, Number(record.proxied), record.comment],
      ...[record.created_on, record.modified_on, record.priority, record.manager, Number(record.locked)],
    );

  function apply(record: DnsRecord): DnsRecord {
    const old = byId.get(record.id);
    if (old !== undefined) drop(old);
    remember(record);
    return record;
  }

  async function write(record: DnsRecord): Promise<DnsRecord> {
    await insert(meta, record);
    return apply(record);
  }

  function create(zone: Zone, content: RecordContent): DnsRecord {
    const now = clock.now();
    const id = randomBytes(16).toString("hex");
    return { ...content, id, zone_id: zone.id, created_on: now, modified_on: now, manager: null, locked: false };
  }

  function changeable(zoneId: string, id: string): DnsRecord {
    const record = require(zoneId, id);
    if (record.locked)
      throw zonesError("managedRecord", `This record is managed by ${record.manager}, which must be disabled or unlocked to change it.`);
    return record;
  }

  function resolve(name: string): readonly DnsRecord[] {
    const own = byName.get(name);
    if (own !== undefined) return own;
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      const wild = byName.get(`*${name.slice(dot)}`);
      if (wild !== undefined) return wild;
    }
    return [];
  }

  return {
    of,
    require,
    async create(zone, content) {
      check(zone, content);
      if (of(zone.id).length >= RECORDS_MAX) throw zonesError("tooManyRecords");
      return write(create(zone, content));
    },
    async replace(zone, id, content) {
      const old = changeable(zone.id, id);
      check(zone, content, id);
      return write({ ...old, ...content, modified_on: clock.now() });
    },
    async remove(zoneId, id) {
      const record = changeable(zoneId, id);
      await meta.run("DELETE FROM zones_records WHERE id = ?", id);
      drop(record);
    },
    async manage(zone, manager, wanted, locked) {
      const kept = of(zone.id).filter((record) => record.manager === manager);
      const key = ({ type, name, content, priority }: ManagedRecord | DnsRecord) => JSON.stringify([type, name, content, priority]);
      const wantedKeys = new Set(wanted.map(key));
      const gone = kept.filter((record) => !wantedKeys.has(key(record)));
      const next = wanted.map((record) => {
        const old = kept.find((one) => key(one) === key(record));
        return { ...(old ?? create(zone, { ...record, ttl: TTL_AUTO, proxied: false, comment: null })), manager, locked };
      });
      await meta.transaction(async (tx) => {
        for (const { id } of gone) await tx.run("DELETE FROM zones_records WHERE id = ?", id);
        for (const record of next) await insert(tx, record);
      });
      for (const record of gone) drop(record);
      for (const record of next) apply(record);
    },
    forget(zoneId) {
      for (const record of of(zoneId)) drop(record);
    },
    origin(host) {
      let name = host;
      for (let step = 0; step < CHAIN_MAX; step++) {
        const record = resolve(name).find(({ type }) => type !== "MX" && type !== "TXT");
        if (record === undefined) return step === 0 ? undefined : { address: name };
        if (record.type !== "CNAME") return { address: record.content };
        name = record.content;
        if (zoneOf(name) === undefined) return { address: name };
      }
      return undefined;
    },
  };
}
