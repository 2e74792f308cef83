/**
 * Logs of requests: a row each, and both bodies in one blob. Written behind the response, in order, through a bounded
 * queue: what does not fit is left out and counted, since a log must not hold up an answer. The row makes a log visible.
 */
import { randomBytes } from "node:crypto";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { SqlValue } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { gatewayError } from "./errors.ts";
import type { Gateway } from "./gateways.ts";
import { type Condition, conditionOf, orderOf } from "./log-filters.ts";

/** What is known of a request when it has ended. */
export interface LogEntry {
  readonly id: string;
  readonly eventId: string;
  readonly createdAt: number;
  readonly provider: string;
  readonly model: string;
  readonly path: string;
  readonly requestType: string;
  readonly durationMs: number;
  readonly success: boolean;
  readonly statusCode: number;
  readonly cached: boolean;
  readonly step: number;
  readonly tokensIn: number | null;
  readonly tokensOut: number | null;
  readonly cost: number | null;
  readonly customCost: boolean;
  /** JSON text. */
  readonly metadata: string | null;
  readonly authenticated: boolean;
  readonly userAgent: string;
  readonly requestContentType: string;
  readonly responseContentType: string;
  readonly requestSize: number;
  readonly responseSize: number;
  /** Undefined: too large to be kept. */
  readonly bodies: { readonly request: Uint8Array; readonly response: Uint8Array } | undefined;
}

interface Row {
  readonly id: string;
  readonly created_at: number;
  readonly success: number;
  readonly cached: number;
  readonly custom_cost: number;
  readonly authentication: number;
  readonly request_size: number;
  readonly response_size: number;
  readonly bodies: BlobId | null;
  readonly [column: string]: unknown;
}

const PENDING_MAX = 1000;
const HEAD_BYTES = 1024;
const DELETE_BATCH = 200;

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** A ULID: 48 bits of milliseconds and 80 of chance, in Crockford's base 32. */
export function newLogId(now: number): string {
  const time = Array.from({ length: 10 }, (_, i) => ALPHABET[Math.floor(now / 32 ** (9 - i)) % 32]).join("");
  return time + [...randomBytes(16)].map((byte) => ALPHABET[byte % 32]).join("");
}

export type Logs = Awaited<ReturnType<typeof openLogs>>;

export async function openLogs(
  { meta, blobs, leases, log, config }: Pick<KernelSlice, "meta" | "blobs" | "leases" | "log" | "config">,
  exists: (gateway: string) => boolean,
) {
  const countMax = config["ai_gateway.logs_max"];
  let last: Promise<void> = Promise.resolve();
  let pending = 0;
  const counts = new Map<string, number>();
  for (const { gateway, n } of await meta.all<{ gateway: string; n: number }>(
    "SELECT gateway, COUNT(*) AS n FROM ai_gateway_logs GROUP BY gateway",
  )) {
    // What a deletion left behind when it was interrupted.
    if (exists(gateway)) counts.set(gateway, n);
    else await remove(gateway, { sql: "1 = 1", params: [] });
  }

  async function insert(gateway: Gateway, entry: LogEntry): Promise<void> {
    const most = Math.min(gateway.settings.log_management ?? countMax, countMax);
    const over = (counts.get(gateway.id) ?? 0) + 1 - most;
    if (over > 0) {
      if (gateway.settings.log_management_strategy !== "DELETE_OLDEST") return;
      await remove(gateway.id, { sql: "1 = 1", params: [] }, "id ASC", over);
    }
    const { bodies } = entry;
    const bytes = bodies === undefined ? undefined : Buffer.concat([bodies.request, bodies.response]);
    const blob = bytes === undefined || bytes.byteLength === 0 ? null : await leases.put(bytes);
    const row: Record<string, SqlValue> = {
      id: entry.id,
      gateway: gateway.id,
      event_id: entry.eventId,
      created_at: entry.createdAt,
      provider: entry.provider,
      model: entry.model,
      path: entry.path,
      request_type: entry.requestType,
      duration: entry.durationMs,
      success: Number(entry.success),
      status_code: entry.statusCode,
      cached: Number(entry.cached),
      step: entry.step,
      tokens_in: entry.tokensIn,
      tokens_out: entry.tokensOut,
      cost: entry.cost,
      custom_cost: Number(entry.customCost),
      metadata: entry.metadata,
      authentication: Number(entry.authenticated),
      user_agent: entry.userAgent,
      request_content_type: entry.requestContentType,
      response_content_type: entry.responseContentType,
      request_size: entry.requestSize,
      response_size: entry.responseSize,
      bodies: blob,
    };
    const names = Object.keys(row);
    const sql = `INSERT INTO ai_gateway_logs (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
    try {
      await meta.transaction(async (tx) => {
        await tx.run(sql, ...Object.values(row));
        if (blob !== null) await leases.settle(tx, blob);
      });
    } catch (error) {
      if (blob !== null) await leases.discard(blob);
      throw error;
    }
    counts.set(gateway.id, (counts.get(gateway.id) ?? 0) + 1);
  }

  async function remove(gateway: string, { sql, params }: Condition, order = "id ASC", most = Number.MAX_SAFE_INTEGER): Promise<number> {
    let removed = 0;
    while (removed < most) {
      const gone = await meta.transaction(async (tx) => {
        const rows = await tx.all<{ id: string; bodies: BlobId | null }>(
          `SELECT id, bodies FROM ai_gateway_logs WHERE gateway = ? AND ${sql} ORDER BY ${order} LIMIT ?`,
          ...[gateway, ...params, Math.min(DELETE_BATCH, most - removed)],
        );
        for (const { id, bodies } of rows) {
          await tx.run("DELETE FROM ai_gateway_logs WHERE id = ?", id);
          if (bodies !== null) await leases.revoke(tx, bodies);
        }
        return rows;
      });
      for (const { bodies } of gone) if (bodies !== null) await leases.discard(bodies);
      removed += gone.length;
      counts.set(gateway, Math.max(0, (counts.get(gateway) ?? 0) - gone.length));
      if (gone.length < DELETE_BATCH) break;
    }
    return removed;
  }

  async function require(gateway: string, id: string): Promise<Row> {
    // What a request that has been answered wrote may still be on its way.
    await last;
    const row = await meta.get<Row & Record<string, SqlValue>>("SELECT * FROM ai_gateway_logs WHERE gateway = ? AND id = ?", gateway, id);
    if (row === undefined) throw gatewayError("logNotFound");
    return row;
  }

  async function bodiesOf(row: Row): Promise<{ request: Buffer; response: Buffer }> {
    const bytes = row.bodies === null ? Buffer.alloc(0) : Buffer.from(await blobs.bytes(row.bodies));
    return { request: bytes.subarray(0, row.request_size), response: bytes.subarray(row.request_size) };
  }

  return {
    /** Never throws, and does not wait. */
    add(gateway: Gateway, entry: LogEntry): void {
      if (pending >= PENDING_MAX) {
        log.warn("ai_gateway.log_dropped", { gateway: gateway.id });
        return;
      }
      pending++;
      last = last
        .then(() => insert(gateway, entry))
        .catch((error: unknown) => log.warn("ai_gateway.log_failed", { gateway: gateway.id, error }))
        .finally(() => {
          pending--;
        });
    },
    async list(
      gateway: string,
      query: URLSearchParams,
    ): Promise<{ logs: Record<string, unknown>[]; page: number; perPage: number; total: number }> {
      await last;
      const { sql, params } = conditionOf(query);
      const page = Math.max(1, Number(query.get("page")) || 1);
      const perPage = Math.min(Math.max(1, Number(query.get("per_page")) || 20), 50);
      const where = `WHERE gateway = ? AND ${sql}`;
      const { n } = (await meta.get<{ n: number }>(`SELECT COUNT(*) AS n FROM ai_gateway_logs ${where}`, gateway, ...params)) as {
        n: number;
      };
      const rows = await meta.all<Row & Record<string, SqlValue>>(
        `SELECT * FROM ai_gateway_logs ${where} ORDER BY ${orderOf(query)} LIMIT ? OFFSET ?`,
        ...[gateway, ...params, perPage, (page - 1) * perPage],
      );
      return { logs: rows.map(view), page, perPage, total: n };
    },
    async get(gateway: string, id: string): Promise<Record<string, unknown>> {
      const row = await require(gateway, id);
      const { request, response } = await bodiesOf(row);
      const head = (bytes: Buffer): string => bytes.subarray(0, HEAD_BYTES).toString("utf8");
      return {
        ...view(row),
        request_size: row.request_size,
        request_head: head(request),
        request_head_complete: request.byteLength <= HEAD_BYTES,
        response_size: row.response_size,
        response_head: head(response),
        response_head_complete: response.byteLength <= HEAD_BYTES,
      };
    },
    /** A body with its content type. */
    async body(gateway: string, id: string, which: "request" | "response"): Promise<{ contentType: string; bytes: Buffer }> {
      const row = await require(gateway, id);
      return { contentType: String(row[`${which}_content_type`]), bytes: (await bodiesOf(row))[which] };
    },
    async patch(
      gateway: string,
      id: string,
      change: { feedback?: number | null; score?: number | null; metadata?: string | null },
    ): Promise<void> {
      await require(gateway, id);
      for (const [name, value] of Object.entries(change))
        if (value !== undefined) await meta.run(`UPDATE ai_gateway_logs SET ${name} = ? WHERE gateway = ? AND id = ?`, value, gateway, id);
    },
    async remove(gateway: string, query: URLSearchParams): Promise<number> {
      await last;
      const limit = query.get("limit");
      return remove(gateway, conditionOf(query), orderOf(query), limit === null ? undefined : Number(limit));
    },
    async removeAll(gateway: string): Promise<void> {
      await last;
      await remove(gateway, { sql: "1 = 1", params: [] });
    },
    /** Waits for what is on its way. */
    async stop(): Promise<void> {
      await last;
    },
  };
}

function view(row: Row): Record<string, unknown> {
  const { gateway: _, bodies: __, request_size: ___, response_size: ____, ...columns } = row;
  return {
    ...columns,
    created_at: new Date(row.created_at).toISOString(),
    success: row.success === 1,
    cached: row.cached === 1,
    custom_cost: row.custom_cost === 1,
    authentication: row.authentication === 1,
  };
}
