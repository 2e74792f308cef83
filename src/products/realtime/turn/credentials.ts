/**
 * Credentials of TURN: short-lived, made with a key's secret, good until they expire or are revoked. A row says that there
 * is one; its password is not kept, it follows from the name and the platform's own key.
 */
import { createHmac, randomBytes } from "node:crypto";
import type { KernelSlice } from "../../../kernel/product.ts";
import type { TurnCredential } from "./turn-protocol.ts";

const FORGET_EVERY_MS = 600_000;

export interface Credential extends TurnCredential {
  readonly keyUid: string;
  readonly identifier: string;
}

interface Row {
  readonly username: string;
  readonly key_uid: string;
  readonly identifier: string;
  readonly expires: number;
}

export type Credentials = ReturnType<typeof openCredentials>;

export function openCredentials({ meta, clock, secrets }: Pick<KernelSlice, "meta" | "clock" | "secrets">) {
  const key = secrets.derive("realtime/turn");
  const passwordOf = (username: string): string => createHmac("sha384", key).update(username).digest("hex");
  let forgotten = Number.NEGATIVE_INFINITY;

  return {
    async create(keyUid: string, ttlSeconds: number, identifier: string): Promise<Credential> {
      const now = clock.now();
      const username = randomBytes(48).toString("hex");
      const expires = now + ttlSeconds * 1000;
      await meta.transaction(async (tx) => {
        await tx.run(
          "INSERT INTO realtime_turn_credentials (username, key_uid, identifier, expires) VALUES (?, ?, ?, ?)",
          ...[username, keyUid, identifier, expires],
        );
        if (now - forgotten >= FORGET_EVERY_MS) await tx.run("DELETE FROM realtime_turn_credentials WHERE expires < ?", now);
      });
      forgotten = Math.max(forgotten, now);
      return { username, password: passwordOf(username), expires, keyUid, identifier };
    },
    /** Undefined for one that is not good, or not any more. */
    async find(username: string): Promise<Credential | undefined> {
      const row = await meta.get<Row>(
        "SELECT * FROM realtime_turn_credentials WHERE username = ? AND expires > ?",
        ...[username, clock.now()],
      );
      if (row === undefined) return undefined;
      return { username, password: passwordOf(username), expires: row.expires, keyUid: row.key_uid, identifier: row.identifier };
    },
    /** False when the key has no such credential. */
    async revoke(keyUid: string, username: string): Promise<boolean> {
      const { changes } = await meta.run("DELETE FROM realtime_turn_credentials WHERE username = ? AND key_uid = ?", username, keyUid);
      return changes > 0;
    },
    /** Of a key that is gone; their names. */
    async revokeAll(keyUid: string): Promise<string[]> {
      return meta.transaction(async (tx) => {
        const rows = await tx.all<{ username: string }>("SELECT username FROM realtime_turn_credentials WHERE key_uid = ?", keyUid);
        await tx.run("DELETE FROM realtime_turn_credentials WHERE key_uid = ?", keyUid);
        return rows.map(({ username }) => username);
      });
    },
  };
}
