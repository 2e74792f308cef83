/**
 * Keys that sign the URLs of private images: sealed rows, and in memory. There is always at least one: a first one is made
 * at the start, and when the last is deleted (docs: Images, Serve private images).
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { KernelSlice } from "../../kernel/product.ts";
import { imagesError } from "./errors.ts";
import { KEYS_MAX } from "./limits.ts";

export interface SigningKey {
  readonly name: string;
  readonly value: string;
}

export interface SigningKeys {
  all(): readonly SigningKey[];
  /** Makes a key of that name, or gives the name a new one. */
  create(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Hex signature of a path with its query, by the key of that name or the first. Undefined when there is no such key. */
  sign(text: string, name?: string): string | undefined;
  /** Whether one of the keys made the signature. */
  verifies(text: string, signature: string): boolean;
}

const FIRST = "default";

export async function openSigningKeys({ meta, secrets }: Pick<KernelSlice, "meta" | "secrets">): Promise<SigningKeys> {
  const purpose = (name: string): string => `images signing key ${name}`;
  const rows = await meta.all<{ name: string; sealed: string }>(`SELECT name, sealed FROM images_keys ORDER BY name LIMIT ${KEYS_MAX}`);
  const keys = new Map(rows.map(({ name, sealed }) => [name, secrets.open(sealed, purpose(name))]));

  async function create(name: string): Promise<void> {
    if (!keys.has(name) && keys.size >= KEYS_MAX)
      throw imagesError("limit", `The account has ${KEYS_MAX} signing keys, the most there can be`);
    const value = randomBytes(30).toString("base64url");
    await meta.run(
      "INSERT INTO images_keys (name, sealed) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
      name,
      secrets.seal(value, purpose(name)),
    );
    keys.set(name, value);
  }
  if (keys.size === 0) await create(FIRST);

  const hmac = (value: string, text: string): string => createHmac("sha256", value).update(text).digest("hex");
  return {
    all: () => [...keys].map(([name, value]) => ({ name, value })),
    create,
    async remove(name) {
      if (!keys.has(name)) throw imagesError("keyNotFound");
      await meta.run("DELETE FROM images_keys WHERE name = ?", name);
      keys.delete(name);
      if (keys.size === 0) await create(FIRST);
    },
    sign(text, name) {
      const value = name === undefined ? [...keys.values()][0] : keys.get(name);
      return value === undefined ? undefined : hmac(value, text);
    },
    verifies(text, signature) {
      const given = Buffer.from(signature, "utf8");
      return [...keys.values()].some((value) => {
        const right = Buffer.from(hmac(value, text), "utf8");
        return right.length === given.length && timingSafeEqual(right, given);
      });
    },
  };
}
