/** REST routes of DNS records: `/zones/{zone}/dns_records`. Those that name an origin (A, AAAA, CNAME), and those of mail (MX, TXT). */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Zone } from "../../kernel/capabilities.ts";
import { platformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { type DnsRecord, type RecordContent, type RecordStore, type RecordType, TTL_AUTO } from "./records.ts";
import type { ZoneStore } from "./store.ts";

const READ = ["DNS Read", "DNS Write"] as const;
const WRITE = ["DNS Write"] as const;
const RECORDS = "/zones/:zone/dns_records";
const TYPES: readonly string[] = ["A", "AAAA", "CNAME", "MX", "TXT"] satisfies RecordType[];

const schema = z.object({
  type: z.string(),
  name: z.string().min(1),
  content: z.string().min(1),
  ttl: z.number().int().min(1).max(86_400).default(TTL_AUTO),
  proxied: z.boolean().default(false),
  comment: z.string().max(500).nullish(),
  priority: z.number().int().min(0).max(65_535).nullish(),
});

export function recordRoutes(zones: ZoneStore, records: RecordStore): Route[] {
  const zoneOf = (c: RequestContext): Zone => zones.require(c.params.zone as string);
  const one = (c: RequestContext): DnsRecord => records.require(zoneOf(c).id, c.params.id as string);

  function contentOf(zone: Zone, given: z.infer<typeof schema>): RecordContent {
    if (!TYPES.includes(given.type)) {
      throw platformError("notImplemented", `DNS records of type ${given.type} are not implemented by this version of Freehold`);
    }
    const name = given.name.toLowerCase().replace(/\.$/, "");
    const within = name === zone.name || name.endsWith(`.${zone.name}`);
    return {
      type: given.type as RecordType,
      name: name === "@" ? zone.name : within ? name : `${name}.${zone.name}`,
      content: given.type === "TXT" ? given.content : given.content.toLowerCase().replace(/\.$/, ""),
      ttl: given.ttl,
      proxied: given.proxied,
      comment: given.comment ?? null,
      priority: given.type === "MX" ? (given.priority ?? 0) : null,
    };
  }

  const view = (record: DnsRecord) => ({
    id: record.id,
    name: record.name,
    type: record.type,
    content: record.content,
    proxiable: record.type !== "MX" && record.type !== "TXT",
    proxied: record.proxied,
    ttl: record.ttl,
    ...(record.priority !== null && { priority: record.priority }),
    settings: {},
    meta: record.manager === null ? {} : { [record.manager]: true, read_only: record.locked },
    comment: record.comment,
    tags: [],
    created_on: new Date(record.created_on).toISOString(),
    modified_on: new Date(record.modified_on).toISOString(),
  });

  return [
    {
      op: "zones.records.list",
      method: "GET",
      path: RECORDS,
      permission: READ,
      async handle(c) {
        const [type, name, content] = ["type", "name", "content"].map((key) => c.query.get(key) ?? c.query.get(`${key}.exact`));
        const wanted = records
          .of(zoneOf(c).id)
          .filter((record) => type == null || record.type === type)
          .filter((record) => name == null || record.name === name.toLowerCase())
          .filter((record) => content == null || record.content === content.toLowerCase());
        return numberedPage(wanted.map(view), c.query, 5000, 100);
      },
    },
    {
      op: "zones.records.create",
      method: "POST",
      path: RECORDS,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        return view(await records.create(zone, contentOf(zone, await c.json(schema))));
      },
    },
    { op: "zones.records.get", method: "GET", path: `${RECORDS}/:id`, permission: READ, handle: async (c) => view(one(c)) },
    {
      op: "zones.records.put",
      method: "PUT",
      path: `${RECORDS}/:id`,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        return view(await records.replace(zone, one(c).id, contentOf(zone, await c.json(schema))));
      },
    },
    {
      op: "zones.records.patch",
      method: "PATCH",
      path: `${RECORDS}/:id`,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const old = one(c);
        const change = await c.json(schema.partial());
        const { type, name, content, ttl, proxied, comment, priority } = old;
        // Defaults of the schema are for new records.
        const given = Object.fromEntries(Object.entries(change).filter(([key]) => change[key as keyof typeof change] !== undefined));
        return view(
          await records.replace(zone, old.id, contentOf(zone, { type, name, content, ttl, proxied, comment, priority, ...given })),
        );
      },
    },
    {
      op: "zones.records.delete",
      method: "DELETE",
      path: `${RECORDS}/:id`,
      permission: WRITE,
      async handle(c) {
        const { id } = one(c);
        await records.remove(zoneOf(c).id, id);
        return { id };
      },
    },
  ];
}
