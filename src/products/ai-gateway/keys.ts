/**
 * Providers' keys that gateways keep (docs/ai-gateway/configuration/bring-your-own-keys), sealed for their own row. A key is
 * opened only to be sent to its provider; no answer has one.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { KernelSlice } from "../../kernel/product.ts";
import { gatewayError } from "./errors.ts";
import { checked } from "./gateways.ts";

const newKey = z.object({
  alias: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .default("default"),
  default_config: z.boolean().default(false),
  provider_slug: z.string().min(1).max(120),
  secret: z.string().min(1).max(65_536).optional(),
  secret_id: z.string().optional(),
});

interface Row {
  readonly id: string;
  readonly gateway: string;
  readonly provider: string;
  readonly alias: string;
  readonly default_config: number;
  readonly sealed: string;
  readonly preview: string;
  readonly modified_at: number;
}

const view = (row: Row): Record<string, unknown> => ({
  id: row.id,
  alias: row.alias,
  default_config: row.default_config === 1,
  gateway_id: row.gateway,
  provider_slug: row.provider,
  secret_id: row.id,
  secret_preview: row.preview,
  modified_at: new Date(row.modified_at).toISOString(),
});

export type Keys = ReturnType<typeof openKeys>;

export function openKeys({ meta, clock, secrets }: Pick<KernelSlice, "meta" | "clock" | "secrets">) {
  const purpose = (id: string): string => `ai-gateway.key.${id}`;
  return {
    list: async (gateway: string): Promise<Record<string, unknown>[]> =>
      (await meta.all<Row>("SELECT * FROM ai_gateway_keys WHERE gateway = ? ORDER BY provider, alias LIMIT 1000", gateway)).map(view),
    async create(gateway: string, body: unknown): Promise<Record<string, unknown>> {
      const { alias, default_config, provider_slug, secret, secret_id } = checked(newKey, body);
      if (secret === undefined)
        throw secret_id === undefined
          ? gatewayError("invalidConfig", "secret: is required")
          : gatewayError("notImplemented", "secret_id is not implemented by this version of Freehold: give the secret itself");
      const id = randomUUID();
      const now = clock.now();
      const { changes } = await meta.run(
        `INSERT INTO ai_gateway_keys (id, gateway, provider, alias, default_config, sealed, preview, modified_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, provider, alias) DO NOTHING`,
        ...[id, gateway, provider_slug, alias, default_config ? 1 : 0, secrets.seal(secret, purpose(id)), preview(secret), now],
      );
      if (changes === 0) throw gatewayError("keyExists");
      return view((await meta.get<Row>("SELECT * FROM ai_gateway_keys WHERE id = ?", id)) as Row);
    },
    async remove(gateway: string, id: string): Promise<void> {
      const { changes } = await meta.run("DELETE FROM ai_gateway_keys WHERE gateway = ? AND id = ?", gateway, id);
      if (changes === 0) throw gatewayError("keyNotFound");
    },
    /** The key of that alias; without one the provider's default. */
    async secret(gateway: string, provider: string, alias: string | undefined): Promise<string | undefined> {
      const rows = await meta.all<Row>("SELECT * FROM ai_gateway_keys WHERE gateway = ? AND provider = ?", gateway, provider);
      const row =
        alias === undefined
          ? (rows.find((one) => one.alias === "default") ?? rows.find((one) => one.default_config === 1))
          : rows.find((one) => one.alias === alias);
      return row === undefined ? undefined : secrets.open(row.sealed, purpose(row.id));
    },
  };
}

/** Enough to tell keys apart. */
const preview = (secret: string): string => (secret.length < 12 ? "****" : `****${secret.slice(-4)}`);
