/**
 * Keys that sign tokens of videos (RS256): the account's, whose private halves are shown once and not kept, and one of the
 * platform's own for tokens that the API makes, which is sealed. Public halves are in memory, where each request looks
 * (docs: Secure your Stream).
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, sign, verify } from "node:crypto";
import { promisify } from "node:util";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import { KEYS_MAX } from "./limits.ts";
import { newUid } from "./videos.ts";

const generate = promisify(generateKeyPair);

export interface NewKey {
  readonly id: string;
  /** Base64 of the PEM and of the JWK. */
  readonly pem: string;
  readonly jwk: string;
  readonly created: string;
}

export interface SigningKeys {
  all(): { readonly id: string; readonly created: string }[];
  create(): Promise<NewKey>;
  /** Throws `stream.notFound`. */
  remove(id: string): Promise<void>;
  /** A token of the platform's own key. */
  issue(claims: Readonly<Record<string, unknown>>): Promise<string>;
  /** The claims of a token that one of the keys signed, or undefined. */
  verified(token: string): Readonly<Record<string, unknown>> | undefined;
}

interface Key {
  readonly created: number;
  readonly public: KeyObject;
  /** Only the platform's own. */
  readonly private: KeyObject | undefined;
}

const TOKEN_MAX_CHARACTERS = 8192;

export async function openSigningKeys({ meta, secrets, clock }: Pick<KernelSlice, "meta" | "secrets" | "clock">): Promise<SigningKeys> {
  const purpose = (id: string): string => `stream signing key ${id}`;
  const rows = await meta.all<{ id: string; created: number; public: string; sealed: string | null }>(
    `SELECT id, created, public, sealed FROM stream_keys ORDER BY created, id LIMIT ${KEYS_MAX + 1}`,
  );
  const keys = new Map<string, Key>(
    rows.map((row) => [
      row.id,
      {
        created: row.created,
        public: createPublicKey(row.public),
        private: row.sealed === null ? undefined : createPrivateKey(secrets.open(row.sealed, purpose(row.id))),
      },
    ]),
  );
  let making: Promise<[string, Key]> | undefined;

  async function make(own: boolean): Promise<[string, Key, KeyObject]> {
    const id = newUid();
    const pair = await generate("rsa", { modulusLength: 2048 });
    const created = clock.now();
    const sealed = own ? secrets.seal(pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string, purpose(id)) : null;
    await meta.run(
      "INSERT INTO stream_keys (id, created, public, sealed) VALUES (?, ?, ?, ?)",
      ...[id, created, pair.publicKey.export({ type: "spki", format: "pem" }) as string, sealed],
    );
    const key = { created, public: pair.publicKey, private: own ? pair.privateKey : undefined };
    keys.set(id, key);
    return [id, key, pair.privateKey];
  }

  async function ownKey(): Promise<[string, Key]> {
    const known = [...keys].find(([, key]) => key.private !== undefined);
    if (known !== undefined) return known;
    making ??= make(true)
      .then(([id, key]): [string, Key] => [id, key])
      .finally(() => {
        making = undefined;
      });
    return making;
  }

  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const foreign = () => [...keys].filter(([, key]) => key.private === undefined);
  return {
    all: () => foreign().map(([id, { created }]) => ({ id, created: new Date(created).toISOString() })),
    async create() {
      if (foreign().length >= KEYS_MAX) throw streamError("conflict", `Conflict: the account has ${KEYS_MAX} keys, the most there can be`);
      const [id, { created }, key] = await make(false);
      const jwk = { use: "sig", kid: id, alg: "RS256", ...key.export({ format: "jwk" }) };
      const pem = key.export({ type: "pkcs1", format: "pem" }) as string;
      const base64 = (text: string): string => Buffer.from(text).toString("base64");
      return { id, pem: base64(pem), jwk: base64(JSON.stringify(jwk)), created: new Date(created).toISOString() };
    },
    async remove(id) {
      const key = keys.get(id);
      if (key === undefined || key.private !== undefined) throw streamError("notFound", "Not Found: there is no such key");
      await meta.run("DELETE FROM stream_keys WHERE id = ?", id);
      keys.delete(id);
    },
    async issue(claims) {
      const [kid, key] = await ownKey();
      const signed = `${encode({ alg: "RS256", kid })}.${encode({ ...claims, kid })}`;
      return `${signed}.${sign("RSA-SHA256", Buffer.from(signed), key.private as KeyObject).toString("base64url")}`;
    },
    verified(token) {
      if (token.length > TOKEN_MAX_CHARACTERS) return undefined;
      const [head, body, signature, ...rest] = token.split(".");
      if (head === undefined || body === undefined || signature === undefined || rest.length > 0) return undefined;
      const [header, claims] = [decoded(head), decoded(body)];
      if (header === undefined || claims === undefined || header.alg !== "RS256") return undefined;
      const key = keys.get(String(header.kid ?? claims.kid));
      const good =
        key !== undefined && verify("RSA-SHA256", Buffer.from(`${head}.${body}`), key.public, Buffer.from(signature, "base64url"));
      return good ? claims : undefined;
    },
  };
}

function decoded(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(Buffer.from(text, "base64url").toString("utf8")) as unknown;
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
