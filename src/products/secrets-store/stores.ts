/**
 * Stores and their secrets. A value is sealed for its own secret's id and is opened only for a Worker that binds it: nothing
 * here gives a value to the API. Limits and sizes as documented (Secrets Store, Manage secrets).
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { secretsError } from "./errors.ts";

const VALUE_MAX_BYTES = 65_536;
/** Services that secrets may be for; of them this platform has Workers. */
const SCOPES = ["workers", "ai_gateway", "dex", "access", "containers", "websearch"] as const;

const name = z.string().regex(/^\S{1,255}$/, "must have no spaces");
const scopes = z.array(z.enum(SCOPES)).min(1);
const comment = z.string().max(1000);
const value = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= VALUE_MAX_BYTES, "must not exceed 65,536 bytes");

export const newStore = z.object({ name });
export const newSecret = z.object({ name, value, scopes, comment: comment.default("") });
export const secretCopy = newSecret.omit({ value: true });
export const secretChange = z.object({ value: value.optional(), scopes: scopes.optional(), comment: comment.optional() });

interface StoreRow {
  readonly id: string;
  readonly name: string;
  readonly created_at: number;
  readonly modified_at: number;
}

interface SecretRow extends StoreRow {
  readonly store_id: string;
  readonly comment: string;
  readonly scopes: string;
  readonly sealed: string;
}

export interface StoreView {
  readonly id: string;
  readonly name: string;
  readonly created: string;
  readonly modified: string;
}

export interface SecretView extends StoreView {
  readonly store_id: string;
  readonly comment: string;
  readonly scopes: readonly string[];
  readonly status: "active";
}

const iso = (ms: number): string => new Date(ms).toISOString();
const storeView = (row: StoreRow): StoreView => ({
  id: row.id,
  name: row.name,
  created: iso(row.created_at),
  modified: iso(row.modified_at),
});
const secretView = (row: SecretRow): SecretView => ({
  ...storeView(row),
  store_id: row.store_id,
  comment: row.comment,
  scopes: JSON.parse(row.scopes) as string[],
  status: "active",
});

export type Stores = ReturnType<typeof openStores>;

export function openStores({ meta, clock, config, secrets }: KernelSlice) {
  const purpose = (id: string): string => `secrets-store.${id}`;
  const newId = (): string => randomBytes(16).toString("hex");

  async function requireStore(id: string, from: Pick<MetaTransaction, "get"> = meta): Promise<StoreRow> {
    const row = await from.get<StoreRow>("SELECT * FROM secrets_store_stores WHERE id = ?", id);
    if (row === undefined) throw secretsError("storeNotFound");
    return row;
  }

  async function requireSecret(store: string, id: string, from: Pick<MetaTransaction, "get"> = meta): Promise<SecretRow> {
    await requireStore(store, from);
    const row = await from.get<SecretRow>("SELECT * FROM secrets_store_secrets WHERE store_id = ? AND id = ?", store, id);
    if (row === undefined) throw secretsError("secretNotFound");
    return row;
  }

  async function count(from: Pick<MetaTransaction, "get">, table: string): Promise<number> {
    return (await from.get<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))?.n ?? 0;
  }

  async function insert(tx: MetaTransaction, store: string, given: z.infer<typeof newSecret>): Promise<SecretView> {
    if ((await count(tx, "secrets_store_secrets")) >= config["secrets_store.secrets_max"]) throw secretsError("tooManySecrets");
    const taken = await tx.get("SELECT 1 FROM secrets_store_secrets WHERE store_id = ? AND name = ?", store, given.name);
    if (taken !== undefined) throw secretsError("secretExists");
    const id = newId();
    const now = clock.now();
    const row: SecretRow = {
      id,
      store_id: store,
      name: given.name,
      comment: given.comment,
      scopes: JSON.stringify([...new Set(given.scopes)]),
      sealed: secrets.seal(given.value, purpose(id)),
      created_at: now,
      modified_at: now,
    };
    await tx.run(
      "INSERT INTO secrets_store_secrets (id, store_id, name, comment, scopes, sealed, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      ...[id, store, row.name, row.comment, row.scopes, row.sealed, now, now],
    );
    return secretView(row);
  }

  return {
    list: async (): Promise<StoreView[]> =>
      (await meta.all<StoreRow>("SELECT * FROM secrets_store_stores ORDER BY created_at, id LIMIT 1000")).map(storeView),
    get: async (id: string): Promise<StoreView> => storeView(await requireStore(id)),
    create: (given: z.infer<typeof newStore>): Promise<StoreView> =>
      meta.transaction(async (tx) => {
        if ((await tx.get("SELECT 1 FROM secrets_store_stores WHERE name = ?", given.name)) !== undefined)
          throw secretsError("storeExists");
        if ((await count(tx, "secrets_store_stores")) >= config["secrets_store.stores_max"]) throw secretsError("tooManyStores");
        const now = clock.now();
        const row: StoreRow = { id: newId(), name: given.name, created_at: now, modified_at: now };
        await tx.run(
          "INSERT INTO secrets_store_stores (id, name, created_at, modified_at) VALUES (?, ?, ?, ?)",
          row.id,
          row.name,
          now,
          now,
        );
        return storeView(row);
      }),
    remove: (id: string, force: boolean): Promise<void> =>
      meta.transaction(async (tx) => {
        await requireStore(id, tx);
        const one = await tx.get("SELECT 1 FROM secrets_store_secrets WHERE store_id = ? LIMIT 1", id);
        if (one !== undefined && !force) throw secretsError("storeNotEmpty");
        await tx.run("DELETE FROM secrets_store_secrets WHERE store_id = ?", id);
        await tx.run("DELETE FROM secrets_store_stores WHERE id = ?", id);
      }),

    async secrets(store: string): Promise<SecretView[]> {
      await requireStore(store);
      const sql = "SELECT * FROM secrets_store_secrets WHERE store_id = ? ORDER BY created_at, id LIMIT 100000";
      return (await meta.all<SecretRow>(sql, store)).map(secretView);
    },
    secret: async (store: string, id: string): Promise<SecretView> => secretView(await requireSecret(store, id)),
    /** All of them or none. */
    addSecrets: (store: string, given: readonly z.infer<typeof newSecret>[]): Promise<SecretView[]> =>
      meta.transaction(async (tx) => {
        await requireStore(store, tx);
        const added: SecretView[] = [];
        for (const one of given) added.push(await insert(tx, store, one));
        return added;
      }),
    copySecret: (store: string, id: string, given: z.infer<typeof secretCopy>): Promise<SecretView> =>
      meta.transaction(async (tx) => {
        const from = await requireSecret(store, id, tx);
        return insert(tx, store, { ...given, value: secrets.open(from.sealed, purpose(id)) });
      }),
    changeSecret: (store: string, id: string, change: z.infer<typeof secretChange>): Promise<SecretView> =>
      meta.transaction(async (tx) => {
        const old = await requireSecret(store, id, tx);
        const row: SecretRow = {
          ...old,
          comment: change.comment ?? old.comment,
          scopes: change.scopes === undefined ? old.scopes : JSON.stringify([...new Set(change.scopes)]),
          sealed: change.value === undefined ? old.sealed : secrets.seal(change.value, purpose(id)),
          modified_at: clock.now(),
        };
        await tx.run(
          "UPDATE secrets_store_secrets SET comment = ?, scopes = ?, sealed = ?, modified_at = ? WHERE id = ?",
          ...[row.comment, row.scopes, row.sealed, row.modified_at, id],
        );
        return secretView(row);
      }),
    removeSecrets: (store: string, ids: readonly string[]): Promise<void> =>
      meta.transaction(async (tx) => {
        for (const id of ids) {
          await requireSecret(store, id, tx);
          await tx.run("DELETE FROM secrets_store_secrets WHERE id = ?", id);
        }
      }),
    usage: async (): Promise<{ quota: number; usage: number }> => ({
      quota: config["secrets_store.secrets_max"],
      usage: await count(meta, "secrets_store_secrets"),
    }),
    /** The value of a secret that Workers may read, or undefined. */
    async value(store: string, secretName: string): Promise<string | undefined> {
      const row = await meta.get<SecretRow>("SELECT * FROM secrets_store_secrets WHERE store_id = ? AND name = ?", store, secretName);
      if (row === undefined || !secretView(row).scopes.includes("workers")) return undefined;
      return secrets.open(row.sealed, purpose(row.id));
    },
  };
}
