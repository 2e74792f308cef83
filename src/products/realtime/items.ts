/**
 * Apps of the SFU and keys of TURN: each a name and a secret, of which only the hash is kept. A secret opens what belongs
 * to its own item and nothing else.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { KernelSlice } from "../../kernel/product.ts";
import { realtimeError } from "./errors.ts";

export const itemSchema = z.object({ name: z.string().max(255).optional() });

export interface Item {
  readonly uid: string;
  readonly name: string;
  readonly created: string;
  readonly modified: string;
}

interface Row {
  readonly uid: string;
  readonly name: string;
  readonly created: number;
  readonly modified: number;
  readonly secret_hash: string;
}

export type Items = ReturnType<typeof openItems>;

const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("hex");

/** `max`: how many there may be. */
export function openItems({ meta, clock }: Pick<KernelSlice, "meta" | "clock">, kind: "app" | "turn_key", max: number) {
  const notFound = () => realtimeError(kind === "app" ? "appNotFound" : "keyNotFound");
  const view = ({ uid, name, created, modified }: Row): Item => ({
    ...{ uid, name },
    created: new Date(created).toISOString(),
    modified: new Date(modified).toISOString(),
  });
  const find = (uid: string): Promise<Row | undefined> =>
    meta.get<Row>("SELECT * FROM realtime_items WHERE kind = ? AND uid = ?", kind, uid);

  async function get(uid: string): Promise<Item> {
    const row = await find(uid);
    if (row === undefined) throw notFound();
    return view(row);
  }

  return {
    get,
    async list(): Promise<Item[]> {
      const rows = await meta.all<Row>("SELECT * FROM realtime_items WHERE kind = ? ORDER BY created, uid LIMIT ?", kind, max);
      return rows.map(view);
    },
    /** The secret is told here and never again. */
    async create(name: string): Promise<Item & { readonly secret: string }> {
      const [uid, secret, now] = [randomBytes(16).toString("hex"), randomBytes(32).toString("hex"), clock.now()];
      await meta.transaction(async (tx) => {
        const count = await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM realtime_items WHERE kind = ?", kind);
        if ((count?.n ?? 0) >= max) throw realtimeError("tooMany");
        await tx.run(
          "INSERT INTO realtime_items (uid, kind, name, secret_hash, created, modified) VALUES (?, ?, ?, ?, ?, ?)",
          ...[uid, kind, name, hashOf(secret), now, now],
        );
      });
      return { ...view({ uid, name, created: now, modified: now, secret_hash: "" }), secret };
    },
    async rename(uid: string, name: string | undefined): Promise<Item> {
      await get(uid);
      await meta.run(
        "UPDATE realtime_items SET name = COALESCE(?, name), modified = ? WHERE kind = ? AND uid = ?",
        ...[name ?? null, clock.now(), kind, uid],
      );
      return get(uid);
    },
    async remove(uid: string): Promise<Item> {
      const item = await get(uid);
      await meta.run("DELETE FROM realtime_items WHERE kind = ? AND uid = ?", kind, uid);
      return item;
    },
    /** Whether there is such an item and the secret is its own. */
    async opens(uid: string, secret: string): Promise<boolean> {
      const row = await find(uid);
      return row !== undefined && timingSafeEqual(Buffer.from(row.secret_hash), Buffer.from(hashOf(secret)));
    },
    async any(): Promise<boolean> {
      return (await meta.get("SELECT 1 AS one FROM realtime_items WHERE kind = ? LIMIT 1", kind)) !== undefined;
    },
  };
}
