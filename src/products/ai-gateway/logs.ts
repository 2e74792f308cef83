/**
 * Logs of requests: a row each, with both bodies, large ones in a blob. Written behind the response, in order and in
 * batches, through a bounded queue: what does not fit is left out and counted, since a log must not hold up an answer. The row makes a log visible.
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

interface Waiting {
  readonly gateway: Gateway;
  readonly entry: LogEntry;
}

const PENDING_MAX = 1000;
const PENDING_MAX_BYTES = 64 * 1024 * 1024;
/** Logs of one transaction. */
const BATCH_MAX = 100;
/** Bodies up to this size lie in the database, larger ones in a blob: a file of its own costs an fsync. */
const INLINE_MAX_BYTES = 64 * 1024;
const ALL: Condition = { sql: "1 = 1", params: [] };
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
  /** What waits to be written, oldest first. */
  const queue: Waiting[] = [];
  let added = 0;
  let written = 0;
  const waiters = new Set<{ readonly until: number; resolve(): void }>();
  let writing = false;
  let waitingBytes = 0;
  const counts = new Map<string, number>();
  for (const { gateway, n } of await meta.all<{ gateway: string; n: number }>(
    "SELECT gateway, COUNT(*) AS n FROM ai_gateway_logs GROUP BY gateway",
  )) {
    // What a deletion left behind when it was interrupted.
    if (exists(gateway)) counts.set(gateway, n);
    else await remove(gateway, ALL);
  }

  /** Writes what waits, a batch in one transaction, until nothing does. Never rejects. */
  async function write(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, BATCH_MAX);
      for (const { entry } of batch) waitingBytes -= sizeOf(entry.bodies);
      try {
        for (const [, own] of Map.groupBy(batch, ({ gateway }) => gateway.id)) await insert(own);
      } catch (error) {
        log.warn("ai_gateway.logs_failed", { count: batch.length, error });
      }
      written += batch.length;
      for (const waiter of waiters) {
        if (waiter.until > written) continue;
        waiters.delete(waiter);
        waiter.resolve();
      }
    }
    writing = false;
  }

  /** Resolves when what was added before is written. */
  function settled(): Promise<void> {
    const until = added;
    if (written >= until) return Promise.resolve();
    return new Promise((resolve) => waiters.add({ until, resolve }));
  }

  /** Logs of one gateway; as many as it has room for. */
  async function insert(waiting: readonly Waiting[]): Promise<void> {
    const { gateway } = waiting.at(-1) as Waiting;
    const most = Math.min(gateway.settings.log_management ?? countMax, countMax);
    const has = counts.get(gateway.id) ?? 0;
    const replaces = gateway.settings.log_management_strategy === "DELETE_OLDEST";
    const entries = (replaces ? waiting.slice(-most) : waiting.slice(0, Math.max(0, most - has))).map(({ entry }) => entry);
    if (replaces && has + entries.length > most) await remove(gateway.id, ALL, "id ASC", has + entries.length - most);
    const blobsOf = new Map<string, BlobId>();
    try {
      for (const { id, bodies } of entries)
        if (bodies !== undefined && sizeOf(bodies) > INLINE_MAX_BYTES)
          blobsOf.set(id, await leases.put(Buffer.concat([bodies.request, bodies.response])));
      await meta.transaction(async (tx) => {
        for (const entry of entries) {
          const { bodies } = entry;
          const blob = blobsOf.get(entry.id);
          const row = rowOf(gateway.id, entry, blob);
          await tx.run(INSERT, ...row);
          if (blob !== undefined) await leases.settle(tx, blob);
          else if (bodies !== undefined && sizeOf(bodies) > 0)
            await tx.run(
              "INSERT INTO ai_gateway_bodies (log, bytes) VALUES (?, ?)",
              entry.id,
              Buffer.concat([bodies.request, bodies.response]),
            );
        }
      });
    } catch (error) {
      for (const blob of blobsOf.values()) await leases.discard(blob);
      throw error;
    }
    counts.set(gateway.id, (counts.get(gateway.id) ?? 0) + entries.length);
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
          await tx.run("DELETE FROM ai_gateway_bodies WHERE log = ?", id);
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
    await settled();
    const row = await meta.get<Row & Record<string, SqlValue>>("SELECT * FROM ai_gateway_logs WHERE gateway = ? AND id = ?", gateway, id);
    if (row === undefined) throw gatewayError("logNotFound");
    return row;
  }

  async function bodiesOf(row: Row): Promise<{ request: Buffer; response: Buffer }> {
    const small =
      row.bodies === null ? await meta.get<{ bytes: Uint8Array }>("SELECT bytes FROM ai_gateway_bodies WHERE log = ?", row.id) : undefined;
    const bytes = Buffer.from(row.bodies === null ? (small?.bytes ?? []) : await blobs.bytes(row.bodies));
    return { request: bytes.subarray(0, row.request_size), response: bytes.subarray(row.request_size) };
  }

  return {
    /** Never throws, and does not wait. */
    add(gateway: Gateway, entry: LogEntry): void {
      const bytes = sizeOf(entry.bodies);
      if (queue.length >= PENDING_MAX || waitingBytes + bytes > PENDING_MAX_BYTES) {
        log.warn("ai_gateway.log_dropped", { gateway: gateway.id });
        return;
      }
      queue.push({ gateway, entry });
      waitingBytes += bytes;
      added++;
      if (writing) return;
      writing = true;
      void write();
    },
    async list(
      gateway: string,
      query: URLSearchParams,
    ): Promise<{ logs: Record<string, unknown>[]; page: number; perPage: number; total: number }> {
      await settled();
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
      await settled();
      const limit = query.get("limit");
      return remove(gateway, conditionOf(query), orderOf(query), limit === null ? undefined : Number(limit));
    },
    async removeAll(gateway: string): Promise<void> {
      await settled();
      await remove(gateway, ALL);
    },
    /** Waits for what is on its way. */
    stop: settled,
  };
}

const COLUMNS = [
  ...["id", "gateway", "event_id", "created_at", "provider", "model", "path", "request_type", "duration", "success"],
  ...["status_code", "cached", "step", "tokens_in", "tokens_out", "cost", "custom_cost", "metadata", "authentication"],
  ...["user_agent", "request_content_type", "response_content_type", "request_size", "response_size", "bodies"],
];
const INSERT = `INSERT INTO ai_gateway_logs (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})`;

/** The values of `COLUMNS`. */
const rowOf = (gateway: string, entry: LogEntry, blob: BlobId | undefined): SqlValue[] => [
  ...[entry.id, gateway, entry.eventId, entry.createdAt, entry.provider, entry.model, entry.path, entry.requestType],
  ...[entry.durationMs, Number(entry.success), entry.statusCode, Number(entry.cached), entry.step, entry.tokensIn, entry.tokensOut],
  ...[entry.cost, Number(entry.customCost), entry.metadata, Number(entry.authenticated), entry.userAgent],
  ...[entry.requestContentType, entry.responseContentType, entry.requestSize, entry.responseSize, blob ?? null],
];

const sizeOf = (bodies: LogEntry["bodies"]): number => (bodies === undefined ? 0 : bodies.request.byteLength + bodies.response.byteLength);

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
