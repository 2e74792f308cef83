/** Providers that users define (docs/ai-gateway/configuration/custom-providers): rows in meta, mirrored in memory. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { gatewayError } from "./errors.ts";
import { checked } from "./gateways.ts";
import type { Provider } from "./providers.ts";

const text = z.string().max(10_000).nullish();
const fields = {
  name: z.string().min(1).max(100),
  slug: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/i, "must be letters and digits with hyphens"),
  base_url: z.string().max(2000),
  description: text,
  link: text,
  enable: z.boolean(),
  beta: z.boolean(),
  curl_example: text,
  js_example: text,
};
const newProvider = z.object({ ...fields, enable: fields.enable.default(false), beta: fields.beta.default(false) });
const providerChange = z.object(fields).partial();

type Content = z.infer<typeof newProvider>;

export interface CustomProvider extends Content {
  readonly id: string;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type CustomProviders = Awaited<ReturnType<typeof openCustomProviders>>;

/** `allowPrivate`: the operator's word that users may name any address, also without TLS. `changed` hears of each slug. */
export async function openCustomProviders(meta: MetaStore, clock: Clock, allowPrivate: boolean, changed: (slug: string) => void) {
  const byId = new Map<string, CustomProvider>();
  interface Row {
    id: string;
    content: string;
    created_at: number;
    modified_at: number;
  }
  for (const row of await meta.all<Row & Record<string, never>>("SELECT * FROM ai_gateway_providers"))
    byId.set(row.id, { ...(JSON.parse(row.content) as Content), id: row.id, createdAt: row.created_at, modifiedAt: row.modified_at });

  function require(id: string): CustomProvider {
    const found = byId.get(id);
    if (found === undefined) throw gatewayError("notFound");
    return found;
  }

  function check({ id, slug, base_url }: Pick<CustomProvider, "id" | "slug" | "base_url">): void {
    const scheme = URL.canParse(base_url) ? new URL(base_url).protocol : "";
    if (scheme !== "https:" && !(allowPrivate && scheme === "http:")) throw gatewayError("baseUrl");
    for (const other of byId.values()) if (other.slug === slug && other.id !== id) throw gatewayError("duplicateSlug");
  }

  async function put(provider: CustomProvider): Promise<CustomProvider> {
    check(provider);
    const { id, createdAt, modifiedAt, ...content } = provider;
    try {
      await meta.run(
        `INSERT INTO ai_gateway_providers (id, slug, content, created_at, modified_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, content = excluded.content, modified_at = excluded.modified_at`,
        ...[id, provider.slug, JSON.stringify(content), createdAt, modifiedAt],
      );
    } catch (cause) {
      // Two requests may have passed the check together: the table's UNIQUE decides.
      if (await meta.get("SELECT 1 FROM ai_gateway_providers WHERE slug = ? AND id <> ?", provider.slug, id))
        throw gatewayError("duplicateSlug", undefined, { cause });
      throw cause;
    }
    byId.set(id, provider);
    changed(`custom-${provider.slug}`);
    return provider;
  }

  return {
    list: (): CustomProvider[] => [...byId.values()],
    require,
    create: (body: unknown): Promise<CustomProvider> => {
      const now = clock.now();
      return put({ ...checked(newProvider, body), id: randomUUID(), createdAt: now, modifiedAt: now });
    },
    update: (id: string, body: unknown): Promise<CustomProvider> => {
      const old = require(id);
      const given = Object.entries(checked(providerChange, body)).filter(([, value]) => value !== undefined);
      changed(`custom-${old.slug}`);
      return put({ ...old, ...Object.fromEntries(given), modifiedAt: clock.now() });
    },
    async remove(id: string): Promise<CustomProvider> {
      const old = require(id);
      await meta.run("DELETE FROM ai_gateway_providers WHERE id = ?", id);
      byId.delete(id);
      changed(`custom-${old.slug}`);
      return old;
    },
    /** An enabled one, by the slug of URLs: "custom-mine". */
    provider(slug: string): Provider | undefined {
      const found = [...byId.values()].find((one) => `custom-${one.slug}` === slug && one.enable);
      if (found === undefined) return undefined;
      const base = found.base_url.replace(/\/+$/, "");
      return { slug, base, key: { header: "authorization", prefix: "Bearer " }, trusted: allowPrivate };
    },
  };
}

const LOGO = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><circle cx="12" cy="12" r="10" fill="none" stroke="currentColor"/></svg>',
).toString("base64");

export function customProviderView(accountId: string, provider: CustomProvider): Record<string, unknown> {
  const { id, createdAt, modifiedAt, description, link, curl_example, js_example, ...rest } = provider;
  const absent = { description, link, curl_example, js_example };
  return {
    id,
    account_id: accountId,
    account_tag: accountId,
    ...rest,
    ...Object.fromEntries(Object.entries(absent).map(([name, value]) => [name, value ?? null])),
    logo: LOGO,
    created_at: Math.floor(createdAt / 1000),
    modified_at: Math.floor(modifiedAt / 1000),
  };
}
