/**
 * Custom domains of buckets: host names at which the gateway serves a bucket to everybody. Whether the name leads
 * to this machine is its owner's matter: there is no zone to put a record into.
 */
import { readSetting, writeSetting } from "./buckets.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import type { Bucket } from "./model.ts";

interface StoredDomain {
  readonly domain: string;
  readonly zoneId: string;
  readonly enabled: boolean;
  readonly minTLS: string;
}

export interface DomainView extends StoredDomain {
  readonly status: { readonly ownership: "active"; readonly ssl: "active" };
  readonly zoneName: string;
}

type Change = { readonly [K in "zoneId" | "enabled" | "minTLS"]?: StoredDomain[K] | undefined };

export interface CustomDomains {
  list(bucket: Bucket): Promise<DomainView[]>;
  /** Throws `r2.domainNotFound`. */
  get(bucket: Bucket, domain: string): Promise<DomainView>;
  /** Throws `r2.domainTaken` when a bucket has it already. */
  add(bucket: Bucket, domain: Pick<StoredDomain, "domain" | "zoneId" | "enabled"> & Change): Promise<DomainView>;
  change(bucket: Bucket, domain: string, change: Change): Promise<DomainView>;
  remove(bucket: Bucket, domain: string): Promise<void>;
  /** Id of the bucket that a host name serves now, or undefined. Answers at once: the gateway asks for every unknown host. */
  bucketId(host: string): string | undefined;
}

const view = (stored: StoredDomain): DomainView => ({
  ...stored,
  status: { ownership: "active", ssl: "active" },
  zoneName: stored.domain.split(".").slice(-2).join("."),
});

/** Names that the platform answers under already; a bucket cannot stand in their place. */
const RESERVED = /(^|\.)(localhost|cloudflare\.com|cloudflarestorage\.com|r2\.dev|workers\.dev|pages\.dev)$/;

export async function openCustomDomains(r2: R2): Promise<CustomDomains> {
  const enabled = new Map<string, string>();
  const taken = new Map<string, string>();
  const rows = await r2.meta.all<{ bucket_id: string; value: string }>(
    "SELECT bucket_id, value FROM r2_settings WHERE kind = 'domains' LIMIT 100000",
  );
  for (const { bucket_id, value } of rows) note(bucket_id, JSON.parse(value) as StoredDomain[]);

  function note(bucketId: string, domains: readonly StoredDomain[]): void {
    for (const map of [enabled, taken]) for (const [domain, id] of map) if (id === bucketId) map.delete(domain);
    for (const { domain, enabled: on } of domains) {
      taken.set(domain, bucketId);
      if (on) enabled.set(domain, bucketId);
    }
  }

  const read = async (bucket: Bucket) => (await readSetting<StoredDomain[]>(r2.meta, bucket.id, "domains")) ?? [];

  async function write(bucket: Bucket, domains: readonly StoredDomain[]): Promise<void> {
    await writeSetting(r2, bucket, "domains", domains);
    note(bucket.id, domains);
  }

  async function find(bucket: Bucket, domain: string): Promise<{ all: StoredDomain[]; found: StoredDomain }> {
    const all = await read(bucket);
    const found = all.find((one) => one.domain === domain);
    if (found === undefined) throw r2Error("domainNotFound");
    return { all, found };
  }

  return {
    list: async (bucket) => (await read(bucket)).map(view),
    get: async (bucket, domain) => view((await find(bucket, domain)).found),
    async add(bucket, { domain, zoneId, enabled: on, minTLS }) {
      const ours = r2.config.domain;
      if (RESERVED.test(domain) || domain === ours || domain.endsWith(`.${ours}`)) {
        throw r2Error("invalidConfiguration", `The domain ${domain} belongs to the platform.`);
      }
      if (taken.has(domain)) throw r2Error("domainTaken");
      const stored: StoredDomain = { domain, zoneId, enabled: on, minTLS: minTLS ?? "1.0" };
      // Reserved before the write, so that two requests cannot both take it.
      taken.set(domain, bucket.id);
      try {
        await write(bucket, [...(await read(bucket)), stored]);
      } catch (error) {
        taken.delete(domain);
        throw error;
      }
      return view(stored);
    },
    async change(bucket, domain, change) {
      const { all, found } = await find(bucket, domain);
      const changed: StoredDomain = {
        domain,
        zoneId: change.zoneId ?? found.zoneId,
        enabled: change.enabled ?? found.enabled,
        minTLS: change.minTLS ?? found.minTLS,
      };
      await write(
        bucket,
        all.map((one) => (one.domain === domain ? changed : one)),
      );
      return view(changed);
    },
    async remove(bucket, domain) {
      const { all } = await find(bucket, domain);
      await write(
        bucket,
        all.filter((one) => one.domain !== domain),
      );
    },
    bucketId: (host) => enabled.get(host),
  };
}
