/**
 * The audit log: who changed the account's configuration, when, and what. A handler says what it changed
 * (`RequestContext.audit`, or `kernel.audit` on doors that are not REST); the entry is on disk before the caller learns
 * that the change was made. Access to data is logged where the real service does. https://developers.cloudflare.com/r2/platform/audit-logs/
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { MetaStore, Migration, SqlValue } from "../meta/meta.ts";
import type { Principal } from "./tokens.ts";

export const auditMigrations: readonly Migration[] = [
  {
    name: "0005-audit",
    sql: `CREATE TABLE kernel_audit (
            id TEXT PRIMARY KEY,
            at INTEGER NOT NULL,
            type TEXT NOT NULL,
            info TEXT NOT NULL,
            resource_type TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            actor_id TEXT NOT NULL,
            actor_ip TEXT NOT NULL,
            zone_name TEXT NOT NULL,
            token_id TEXT NOT NULL,
            token_name TEXT NOT NULL,
            old_value TEXT NOT NULL,
            new_value TEXT NOT NULL
          );
          CREATE INDEX kernel_audit_at ON kernel_audit (at, id)`,
  },
];

/** A change of configuration, or one of the two entries about a query that an operator ran in a Durable Object. */
export interface Change {
  /** The operation's documented name: "CreateBucket". */
  readonly info: string;
  /** What kind of change: "create". */
  readonly type: "create" | "update" | "delete" | "query executed" | "query completed";
  readonly resource: { readonly type: string; readonly id: string };
  /** The zone that was changed, for what belongs to one. */
  readonly zone?: string;
  readonly oldValue?: Readonly<Record<string, unknown>>;
  readonly newValue?: Readonly<Record<string, unknown>>;
}

export interface Actor {
  readonly principal: Pick<Principal, "tokenId" | "tokenName">;
  /** Address of the client; empty when the platform acts by itself. */
  readonly ip: string;
}

export interface AuditRow {
  readonly id: string;
  readonly at: number;
  readonly type: string;
  readonly info: string;
  readonly resource_type: string;
  readonly resource_id: string;
  readonly actor_id: string;
  readonly actor_ip: string;
  readonly token_id: string;
  readonly token_name: string;
  /** Empty for what belongs to no zone. */
  readonly zone_name: string;
  /** JSON objects. */
  readonly old_value: string;
  readonly new_value: string;
}

export interface AuditQuery {
  readonly id?: string | undefined;
  readonly type?: string | undefined;
  readonly ip?: string | undefined;
  readonly zone?: string | undefined;
  /** Milliseconds since the epoch: entries from the first, and before the second. */
  readonly since?: number | undefined;
  readonly before?: number | undefined;
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
}

export interface AuditLog {
  record(actor: Actor, changes: readonly Change[]): Promise<void>;
  find(query: AuditQuery): Promise<{ rows: AuditRow[]; total: number }>;
}

const DAY_MS = 86_400_000;

/** `userId`: whose tokens all are. Entries older than `retentionDays` are deleted, with the first entry of each day. */
export function openAuditLog(meta: MetaStore, clock: Clock, userId: string, retentionDays: number): AuditLog {
  let prunedOn = 0;
  return {
    async record({ principal, ip }, changes) {
      if (changes.length === 0) return;
      const now = clock.now();
      await meta.transaction(async (tx) => {
        for (const { info, type, resource, zone = "", oldValue = {}, newValue = {} } of changes) {
          await tx.run(
            `INSERT INTO kernel_audit (id, at, type, info, resource_type, resource_id, actor_id, actor_ip, zone_name, token_id, token_name, old_value, new_value)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
            ...[randomUUID(), now, type, info, resource.type, resource.id, userId, ip, zone, principal.tokenId, principal.tokenName],
            ...[oldValue, newValue].map((value) => JSON.stringify(value)),
          );
        }
        if (now - prunedOn > DAY_MS) await tx.run("DELETE FROM kernel_audit WHERE at < ?", now - retentionDays * DAY_MS);
      });
      if (now - prunedOn > DAY_MS) prunedOn = now;
    },
    async find({ id, type, ip, zone, since, before, descending, offset, limit }) {
      const conditions: [string, SqlValue | undefined][] = [
        ["id = ?", id],
        ["type = ?", type],
        ["actor_ip = ?", ip],
        ["zone_name = ?", zone],
        ["at >= ?", since],
        ["at < ?", before],
      ];
      const wanted = conditions.filter((one): one is [string, SqlValue] => one[1] !== undefined);
      const where = ["1 = 1", ...wanted.map(([sql]) => sql)].join(" AND ");
      const values = wanted.map(([, value]) => value);
      const order = descending ? "DESC" : "ASC";
      const rows = await meta.all<AuditRow>(
        `SELECT * FROM kernel_audit WHERE ${where} ORDER BY at ${order}, id ${order} LIMIT ? OFFSET ?`,
        ...values,
        limit,
        offset,
      );
      const count = await meta.get<{ n: number }>(`SELECT COUNT(*) AS n FROM kernel_audit WHERE ${where}`, ...values);
      return { rows, total: count?.n ?? 0 };
    },
  };
}
