/**
 * Relays and their tokens, as the API keeps them. A relay is a name space of its own for sessions; a token is the path of the
 * URL by which a session comes, and says what it may do. Of a token only the hash is kept.
 */
import { createHash, randomBytes } from "node:crypto";
import type { KernelSlice } from "../../kernel/product.ts";
import { moqError } from "./errors.ts";

export const OPERATIONS = ["publish", "subscribe"] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface Relay {
  readonly uid: string;
  readonly name: string;
  readonly created: string;
  readonly modified: string;
}

/** A token as it is shown; the secret only where it is made. */
export interface Token {
  readonly jti: string;
  readonly operations: readonly Operation[];
  readonly created: string;
  readonly expires: string;
  readonly label?: string;
  readonly secret?: string;
}

/** What a session may do that comes with a token. */
export interface Grant {
  readonly relay: string;
  readonly operations: readonly Operation[];
}

export interface ListOptions {
  readonly ascending: boolean;
  /** Milliseconds since the epoch. */
  readonly after: number | undefined;
  readonly before: number | undefined;
  readonly perPage: number;
}

interface RelayRow {
  readonly uid: string;
  readonly name: string;
  readonly created: number;
  readonly modified: number;
}

interface TokenRow {
  readonly jti: string;
  readonly relay: string;
  readonly operations: string;
  readonly label: string | null;
  readonly created: number;
  readonly expires: number;
}

export type Relays = ReturnType<typeof openRelays>;

const TOKENS_MAX = 10;
const YEAR_MS = 365 * 24 * 3600 * 1000;

const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("hex");
const iso = (time: number): string => new Date(time).toISOString();
const relayView = ({ uid, name, created, modified }: RelayRow): Relay => ({ uid, name, created: iso(created), modified: iso(modified) });
const tokenView = ({ jti, operations, label, created, expires }: TokenRow): Token => ({
  ...{ jti, operations: operations.split(",") as Operation[], created: iso(created), expires: iso(expires) },
  ...(label !== null && { label }),
});

export function openRelays({ meta, clock }: Pick<KernelSlice, "meta" | "clock">, relaysMax: number) {
  async function get(uid: string): Promise<Relay> {
    const row = await meta.get<RelayRow>("SELECT * FROM moq_relays WHERE uid = ?", uid);
    if (row === undefined) throw moqError("notFound");
    return relayView(row);
  }

  function newToken(relay: string, operations: readonly Operation[], expires: number, label: string | null): TokenRow & { secret: string } {
    const [jti, secret] = [randomBytes(16).toString("hex"), randomBytes(32).toString("base64url")];
    return { jti, relay, secret, operations: operations.join(","), label, created: clock.now(), expires };
  }

  const insert = (token: ReturnType<typeof newToken>): readonly [string, ...(string | number | null)[]] => [
    "INSERT INTO moq_tokens (jti, relay, secret_hash, operations, label, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
    ...[token.jti, token.relay, hashOf(token.secret), token.operations, token.label, token.created, token.expires],
  ];

  return {
    get,
    async list({ ascending, after, before, perPage }: ListOptions): Promise<{ relays: Relay[]; total: number }> {
      const bounds = [after ?? -1, before ?? Number.MAX_SAFE_INTEGER];
      const where = "FROM moq_relays WHERE created > ? AND created < ?";
      const total = await meta.get<{ n: number }>(`SELECT COUNT(*) AS n ${where}`, ...bounds);
      const order = ascending ? "ASC" : "DESC";
      const rows = await meta.all<RelayRow>(`SELECT * ${where} ORDER BY created ${order} LIMIT ?`, ...bounds, perPage);
      return { relays: rows.map(relayView), total: total?.n ?? 0 };
    },
    /** With a token for everything and one for subscribing, whose secrets are told here and never again. */
    async create(name: string): Promise<{ relay: Relay; tokens: Token[] }> {
      const uid = randomBytes(16).toString("hex");
      const expires = clock.now() + YEAR_MS;
      const tokens = [newToken(uid, OPERATIONS, expires, null), newToken(uid, ["subscribe"], expires, null)];
      const row = await meta.transaction(async (tx) => {
        const known = await tx.get<{ n: number; newest: number | null }>("SELECT COUNT(*) AS n, MAX(created) AS newest FROM moq_relays");
        if ((known?.n ?? 0) >= relaysMax) throw moqError("tooMany");
        const created = Math.max(clock.now(), (known?.newest ?? 0) + 1);
        await tx.run("INSERT INTO moq_relays (uid, name, created, modified) VALUES (?, ?, ?, ?)", uid, name, created, created);
        for (const token of tokens) await tx.run(...insert(token));
        return { uid, name, created, modified: created };
      });
      return { relay: relayView(row), tokens: tokens.map((token) => ({ ...tokenView(token), secret: token.secret })) };
    },
    async rename(uid: string, name: string | undefined): Promise<Relay> {
      await get(uid);
      await meta.run("UPDATE moq_relays SET name = COALESCE(?, name), modified = ? WHERE uid = ?", name ?? null, clock.now(), uid);
      return get(uid);
    },
    async remove(uid: string): Promise<void> {
      await get(uid);
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM moq_tokens WHERE relay = ?", uid);
        await tx.run("DELETE FROM moq_relays WHERE uid = ?", uid);
      });
    },
    async tokens(relay: string): Promise<Token[]> {
      await get(relay);
      return (await meta.all<TokenRow>("SELECT * FROM moq_tokens WHERE relay = ? ORDER BY created, jti", relay)).map(tokenView);
    },
    /** `expires` in milliseconds since the epoch; at most, and without it, a year from now. */
    async addToken(
      relay: string,
      operations: readonly Operation[],
      expires: number | undefined,
      label: string | undefined,
    ): Promise<Token> {
      await get(relay);
      const now = clock.now();
      if (expires !== undefined && (expires <= now || expires > now + YEAR_MS))
        throw moqError("invalid", "expires must lie in the future, and no more than one year in it");
      const token = newToken(relay, operations, expires ?? now + YEAR_MS, label ?? null);
      await meta.transaction(async (tx) => {
        const count = await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM moq_tokens WHERE relay = ?", relay);
        if ((count?.n ?? 0) >= TOKENS_MAX) throw moqError("tooManyTokens");
        await tx.run(...insert(token));
      });
      return { ...tokenView(token), secret: token.secret };
    },
    /** An unknown one is gone already. */
    async removeToken(relay: string, jti: string): Promise<void> {
      await get(relay);
      await meta.run("DELETE FROM moq_tokens WHERE relay = ? AND jti = ?", relay, jti);
    },
    /** What the secret is good for now. */
    async grant(secret: string): Promise<Grant | undefined> {
      const row = await meta.get<TokenRow>("SELECT * FROM moq_tokens WHERE secret_hash = ?", hashOf(secret));
      if (row === undefined || row.expires <= clock.now()) return undefined;
      return { relay: row.relay, operations: tokenView(row).operations };
    },
  };
}
