/**
 * Who is signed in. A session is a random value in a cookie, stored as its hash beside the id of an API token; it may do
 * what that token may do at this moment, and ends with it. A link code is the same for one use within minutes, and is
 * kept in memory alone. Neither holds the token's value.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Principal } from "../../kernel/api/tokens.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Auth } from "../../kernel/product.ts";
import { dashboardError } from "./errors.ts";

/** Time in which a link must be opened. */
const LINK_TTL_MS = 5 * 60_000;
const LINKS_MAX = 1000;
/** Sessions of one token; a further one ends the oldest. */
const SESSIONS_PER_TOKEN = 20;

export interface Sessions {
  /** The value for the cookie of a new session. Durable when the promise resolves. */
  open(tokenId: string): Promise<string>;
  /** Whom the cookie's value stands for; undefined when the session or its token is over. */
  principal(value: string): Promise<Principal | undefined>;
  close(value: string): Promise<void>;
  /** A code that opens one session as this token. */
  link(tokenId: string): { code: string; expiresAt: number };
  /** The token behind a code, which is used up. Throws `dashboard.badLink`. */
  redeem(code: string): string;
}

const hashOf = (value: string): string => createHash("sha256").update(`freehold-dashboard:${value}`).digest("hex");
const secret = (): string => randomBytes(32).toString("base64url");

export function openSessions(meta: MetaStore, auth: Auth, clock: Clock, ttlMs: number): Sessions {
  const links = new Map<string, { tokenId: string; expiresAt: number }>();

  return {
    async open(tokenId) {
      const value = secret();
      const now = clock.now();
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM dashboard_sessions WHERE expires_at <= ?", now);
        await tx.run(
          `DELETE FROM dashboard_sessions WHERE hash IN (
             SELECT hash FROM dashboard_sessions WHERE token_id = ? ORDER BY created_at DESC, hash LIMIT 1000 OFFSET ?)`,
          tokenId,
          SESSIONS_PER_TOKEN - 1,
        );
        await tx.run(
          "INSERT INTO dashboard_sessions (hash, token_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
          hashOf(value),
          tokenId,
          now,
          now + ttlMs,
        );
      });
      return value;
    },
    async principal(value) {
      const session = await meta.get<{ token_id: string; expires_at: number }>(
        "SELECT token_id, expires_at FROM dashboard_sessions WHERE hash = ?",
        hashOf(value),
      );
      if (session === undefined || session.expires_at <= clock.now()) return undefined;
      return (await auth.accessKey(session.token_id))?.principal;
    },
    async close(value) {
      await meta.run("DELETE FROM dashboard_sessions WHERE hash = ?", hashOf(value));
    },
    link(tokenId) {
      const now = clock.now();
      for (const [hash, { expiresAt }] of links) if (expiresAt <= now || links.size >= LINKS_MAX) links.delete(hash);
      const code = secret();
      const expiresAt = now + LINK_TTL_MS;
      links.set(hashOf(code), { tokenId, expiresAt });
      return { code, expiresAt };
    },
    redeem(code) {
      const hash = hashOf(code);
      const link = links.get(hash);
      // Gone before anything else happens: two that come at once cannot both have it.
      links.delete(hash);
      if (link === undefined || link.expiresAt <= clock.now()) throw dashboardError("badLink");
      return link.tokenId;
    },
  };
}
