/**
 * Service API tokens (docs/ai-search/configuration/service-api-token): tokens of the account with which AI Search reads its
 * sources. What may be read is decided each time by the token itself: one that is revoked, expired or narrowed opens nothing.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { parseWith } from "../../kernel/api/body.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Auth } from "../../kernel/product.ts";
import type { SecretBox } from "../../kernel/secrets.ts";
import { searchError } from "./errors.ts";
import { stamp } from "./views.ts";

const ENGINE = "AI Search Index Engine";
const PURPOSE = "ai-search.token";
const TOKENS_MAX = 1000;

const given = z.object({
  cf_api_id: z.string().min(1).max(64),
  cf_api_key: z.string().min(1).max(1024),
  name: z.string().min(1).max(256),
  legacy: z.boolean().default(false),
});

interface Row extends Record<string, string | number | null> {
  id: string;
  name: string;
  cf_api_id: string;
  key: string;
  legacy: number;
  created_at: number;
  modified_at: number;
}

export interface ServiceToken {
  readonly id: string;
  readonly name: string;
  readonly cf_api_id: string;
  readonly legacy: boolean;
  readonly enabled: boolean;
  readonly created_at: string;
  readonly modified_at: string;
}

export type Tokens = ReturnType<typeof openTokens>;

export function openTokens(meta: MetaStore, clock: Clock, secrets: SecretBox, auth: Auth) {
  async function proven(body: unknown): Promise<z.infer<typeof given> & { key: string }> {
    const token = parseWith(given, body);
    const secret = auth.s3Secret(token.cf_api_key);
    const account = await auth.accessKey(token.cf_api_id);
    if (account === undefined || account.secretAccessKey !== secret) throw searchError("tokenInvalid");
    return { ...token, key: secrets.seal(secret, PURPOSE) };
  }

  async function rowOf(id: string): Promise<Row> {
    const row = await meta.get<Row>("SELECT * FROM ai_search_tokens WHERE id = ?", id);
    if (row === undefined) throw searchError("tokenNotFound");
    return row;
  }

  async function principalOf({ cf_api_id, key }: Row) {
    const account = await auth.accessKey(cf_api_id);
    return account !== undefined && account.secretAccessKey === secrets.open(key, PURPOSE) ? account.principal : undefined;
  }

  const view = async (row: Row): Promise<ServiceToken> => ({
    id: row.id,
    name: row.name,
    cf_api_id: row.cf_api_id,
    legacy: row.legacy === 1,
    enabled: (await principalOf(row))?.can(ENGINE) ?? false,
    created_at: stamp(row.created_at),
    modified_at: stamp(row.modified_at),
  });

  return {
    async list(search: string): Promise<ServiceToken[]> {
      const rows = await meta.all<Row>("SELECT * FROM ai_search_tokens ORDER BY created_at, id LIMIT ?", TOKENS_MAX);
      return Promise.all(rows.filter(({ name }) => name.toLowerCase().includes(search.toLowerCase())).map(view));
    },
    get: async (id: string): Promise<ServiceToken> => view(await rowOf(id)),
    async create(body: unknown): Promise<ServiceToken> {
      const { name, cf_api_id, key, legacy } = await proven(body);
      const now = clock.now();
      const row: Row = { id: randomUUID(), name, cf_api_id, key, legacy: legacy ? 1 : 0, created_at: now, modified_at: now };
      const { changes } = await meta.run(
        `INSERT INTO ai_search_tokens (id, name, cf_api_id, key, legacy, created_at, modified_at)
         SELECT ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM ai_search_tokens) < ?`,
        ...[row.id, name, cf_api_id, key, row.legacy, now, now, TOKENS_MAX],
      );
      if (changes === 0) throw searchError("tooMany", `The account's limit of ${TOKENS_MAX} service API tokens is reached`);
      return view(row);
    },
    async replace(id: string, body: unknown): Promise<ServiceToken> {
      await rowOf(id);
      const { name, cf_api_id, key, legacy } = await proven(body);
      await meta.run(
        "UPDATE ai_search_tokens SET name = ?, cf_api_id = ?, key = ?, legacy = ?, modified_at = ? WHERE id = ?",
        ...[name, cf_api_id, key, legacy ? 1 : 0, clock.now(), id],
      );
      return view(await rowOf(id));
    },
    async remove(id: string): Promise<ServiceToken> {
      const token = await view(await rowOf(id));
      await meta.run("DELETE FROM ai_search_tokens WHERE id = ?", id);
      return token;
    },
    /** The token for an instance that names none: the one that was registered last. */
    async standard(): Promise<string> {
      const row = await meta.get<Row>("SELECT * FROM ai_search_tokens ORDER BY created_at DESC, id DESC LIMIT 1");
      if (row === undefined) throw searchError("tokenMissing");
      return row.id;
    },
    /** Resolves when the token may be used for an instance with this source now; throws `aiSearch.tokenRefused`. */
    async check(id: string | null, bucket: string | undefined, accountId: string): Promise<void> {
      const row = id === null ? undefined : await meta.get<Row>("SELECT * FROM ai_search_tokens WHERE id = ?", id);
      const principal = row === undefined ? undefined : await principalOf(row);
      const resource = bucket === undefined ? undefined : `com.cloudflare.edge.r2.bucket.${accountId}_default_${bucket}`;
      if (principal?.can(ENGINE, resource) !== true) throw searchError("tokenRefused");
    },
  };
}

export const enginePermission = {
  id: "9e9b428a0bcd46fd80e580b46a69963c",
  name: ENGINE,
  scopes: ["com.cloudflare.api.account", "com.cloudflare.edge.r2.bucket"],
} as const;
