/**
 * Named variants of hosted images, and the account's settings of their delivery: rows, and all of it in memory, where
 * every delivery looks. `public` is always there.
 */
import { z } from "zod";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { imagesError } from "./errors.ts";
import { SIDE_MAX, VARIANTS_MAX } from "./limits.ts";

const HOUR_S = 3600;
const YEAR_S = 365 * 24 * HOUR_S;
/** Seconds for which a browser keeps an image (docs: Images, Browser TTL). */
const browserTtl = z.number().int().min(HOUR_S).max(YEAR_S);
export const DEFAULT_BROWSER_TTL_S = 2 * 24 * HOUR_S;

const optionsSchema = z.strictObject({
  fit: z.enum(["scale-down", "contain", "cover", "crop", "pad"]).default("scale-down"),
  metadata: z.enum(["keep", "copyright", "none"]).default("none"),
  width: z.number().int().min(1).max(SIDE_MAX).optional(),
  height: z.number().int().min(1).max(SIDE_MAX).optional(),
  blur: z.number().min(1).max(250).optional(),
  browser_ttl: browserTtl.optional(),
});

export const variantSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9]{1,99}$/, "letters and digits, at most 99"),
  options: optionsSchema,
  neverRequireSignedURLs: z.boolean().optional(),
});
export const variantChange = variantSchema.omit({ id: true });
export const configSchema = z
  .strictObject({ browser_ttl: browserTtl.nullable().optional(), flexible_variants: z.boolean().optional() })
  .refine((config) => Object.keys(config).length > 0, "browser_ttl or flexible_variants");

export type VariantOptions = z.infer<typeof optionsSchema>;

export interface Variant {
  readonly id: string;
  readonly options: VariantOptions;
  readonly neverRequireSignedURLs: boolean;
}

export interface DeliveryConfig {
  readonly browser_ttl: number | null;
  readonly flexible_variants: boolean;
}

export interface Variants {
  all(): readonly Variant[];
  get(id: string): Variant | undefined;
  create(variant: z.infer<typeof variantSchema>): Promise<Variant>;
  change(id: string, change: z.infer<typeof variantChange>): Promise<Variant>;
  remove(id: string): Promise<void>;
  config(): DeliveryConfig;
  configure(change: z.infer<typeof configSchema>): Promise<DeliveryConfig>;
}

const PUBLIC: Variant = {
  id: "public",
  options: { fit: "scale-down", metadata: "none", width: 1366, height: 768 },
  neverRequireSignedURLs: false,
};

export async function openVariants(meta: MetaStore): Promise<Variants> {
  const rows = await meta.all<{ id: string; options: string; public: number }>(
    "SELECT id, options, public FROM images_variants ORDER BY id LIMIT 1000",
  );
  const variants = new Map<string, Variant>([[PUBLIC.id, PUBLIC]]);
  for (const row of rows)
    variants.set(row.id, { id: row.id, options: JSON.parse(row.options) as VariantOptions, neverRequireSignedURLs: row.public === 1 });
  const stored = await meta.get<{ value: string }>("SELECT value FROM images_settings WHERE name = 'delivery'");
  let config: DeliveryConfig = { browser_ttl: null, flexible_variants: false, ...(stored && (JSON.parse(stored.value) as object)) };

  async function write(variant: Variant): Promise<Variant> {
    await meta.run(
      `INSERT INTO images_variants (id, options, public) VALUES (?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET options = excluded.options, public = excluded.public`,
      variant.id,
      JSON.stringify(variant.options),
      variant.neverRequireSignedURLs ? 1 : 0,
    );
    variants.set(variant.id, variant);
    return variant;
  }

  function found(id: string): Variant {
    const variant = variants.get(id);
    if (variant === undefined) throw imagesError("variantNotFound");
    return variant;
  }

  return {
    all: () => [...variants.values()],
    get: (id) => variants.get(id),
    async create({ id, options, neverRequireSignedURLs = false }) {
      if (variants.has(id)) throw imagesError("exists");
      if (variants.size >= VARIANTS_MAX) throw imagesError("limit", `The account has ${VARIANTS_MAX} variants, the most there can be`);
      return write({ id, options, neverRequireSignedURLs });
    },
    async change(id, { options, neverRequireSignedURLs }) {
      const before = found(id);
      return write({ id, options, neverRequireSignedURLs: neverRequireSignedURLs ?? before.neverRequireSignedURLs });
    },
    async remove(id) {
      found(id);
      if (id === PUBLIC.id) throw imagesError("badRequest", "The variant public cannot be deleted");
      await meta.run("DELETE FROM images_variants WHERE id = ?", id);
      variants.delete(id);
    },
    config: () => config,
    async configure(change) {
      const next: DeliveryConfig = {
        browser_ttl: change.browser_ttl === undefined ? config.browser_ttl : change.browser_ttl,
        flexible_variants: change.flexible_variants ?? config.flexible_variants,
      };
      await meta.run(
        "INSERT INTO images_settings (name, value) VALUES ('delivery', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        JSON.stringify(next),
      );
      config = next;
      return next;
    },
  };
}
