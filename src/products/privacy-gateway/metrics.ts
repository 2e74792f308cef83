/**
 * A row for each relayed request, for the GraphQL Analytics API: sizes and statuses, never who asked or for what. Written
 * once a second at the most, so a killed platform loses the last second's rows.
 * https://developers.cloudflare.com/privacy-gateway/reference/metrics/
 */
import { QueryError } from "../../kernel/analytics/query-error.ts";
import type { Dataset, DatasetWindow, Fact, KernelSlice } from "../../kernel/product.ts";

export interface Relayed {
  /** The application's name. */
  endpoint: string;
  /** What the client was answered. */
  relayStatus: number;
  /** What the gateway answered; 0 when it did not. */
  gatewayStatus: number;
  /** Bytes of bodies. */
  toGateway: number;
  toClient: number;
}

export interface Metrics {
  add(relayed: Relayed): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

const FLUSH_MS = 1_000;
const FORGET_EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Rows that wait to be written. */
const PENDING_MAX = 10_000;
const FACTS_MAX = 100_000;
/** One machine is one place; `request.cf.colo` of Workers says the same. */
const COLO = "FRE";

interface Row {
  readonly time: number;
  readonly endpoint: string;
  readonly relay_status: number;
  readonly gateway_status: number;
  readonly to_gateway: number;
  readonly to_client: number;
  readonly count: number;
  readonly [column: string]: string | number;
}

export function openMetrics({ meta, clock, config, log }: Pick<KernelSlice, "meta" | "clock" | "config" | "log">): Metrics {
  const keepMs = config["privacy_gateway.retention_days"] * DAY_MS;
  let pending: (Relayed & { at: number })[] = [];
  let lost = 0;
  let forgotten = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let flushing = Promise.resolve();

  async function write(): Promise<void> {
    const rows = pending;
    const now = clock.now();
    const old = now - forgotten >= FORGET_EVERY_MS;
    if (rows.length === 0 && !old) return;
    pending = [];
    if (lost > 0) log.warn("privacy_gateway.metrics_lost", { rows: lost });
    lost = 0;
    await meta.transaction(async (tx) => {
      for (const { at, endpoint, relayStatus, gatewayStatus, toGateway, toClient } of rows)
        await tx.run(
          "INSERT INTO privacy_gateway_requests (at, endpoint, relay_status, gateway_status, to_gateway, to_client) VALUES (?, ?, ?, ?, ?, ?)",
          ...[at, endpoint, relayStatus, gatewayStatus, toGateway, toClient],
        );
      if (old) await tx.run("DELETE FROM privacy_gateway_requests WHERE at < ?", now - keepMs);
    });
    if (old) forgotten = now;
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.then(write).catch((error: unknown) => log.warn("privacy_gateway.metrics_not_written", { error }));
    return flushing;
  }

  async function rowsOf({ from, to }: DatasetWindow, select: string, group: string): Promise<Row[]> {
    await flush();
    const rows = await meta.all<Row>(
      `SELECT ${select} FROM privacy_gateway_requests WHERE at >= ? AND at < ? ${group} ORDER BY at LIMIT ?`,
      ...[Math.max(from, clock.now() - keepMs), to, FACTS_MAX + 1],
    );
    if (rows.length > FACTS_MAX) throw new QueryError("the query covers too many records: narrow its time range or its dimensions");
    return rows;
  }

  const COLUMNS = "endpoint, relay_status, gateway_status";
  const dimensionsOf = (row: Row): Record<string, string | number> => ({
    colo: COLO,
    endpoint: row.endpoint,
    relayStatusCode: row.relay_status,
    gatewayStatusCode: row.gateway_status,
  });
  const codes = { colo: "string", endpoint: "string", relayStatusCode: "uint64", gatewayStatusCode: "uint64" } as const;
  const permission = ["Account Analytics Read"];

  async function requests(window: DatasetWindow): Promise<Fact[]> {
    const rows = await rowsOf(window, `at AS time, ${COLUMNS}, to_gateway, to_client`, "");
    return rows.map((row) => ({
      time: row.time,
      dimensions: { ...dimensionsOf(row), bytesToGateway: row.to_gateway, bytesToClient: row.to_client },
    }));
  }

  async function groups(window: DatasetWindow): Promise<Fact[]> {
    const period = Number.isFinite(window.unit) ? `at - at % ${window.unit}` : "MIN(at)";
    const group = `GROUP BY ${Number.isFinite(window.unit) ? `${period}, ` : ""}${COLUMNS}`;
    const sums = "COUNT(*) AS count, SUM(to_gateway) AS to_gateway, SUM(to_client) AS to_client";
    const rows = await rowsOf(window, `${period} AS time, ${COLUMNS}, ${sums}`, group);
    return rows.map((row) => ({
      time: Math.max(row.time, window.from),
      dimensions: dimensionsOf(row),
      count: row.count,
      sum: {
        bytesToGateway: row.to_gateway,
        bytesToClient: row.to_client,
        // Refused here: the gateway was not asked.
        clientRequestErrors: row.relay_status >= 400 && row.relay_status < 500 && row.gateway_status === 0 ? row.count : 0,
        gatewayResponseErrors: row.gateway_status >= 400 || row.relay_status >= 500 ? row.count : 0,
      },
    }));
  }

  return {
    add(relayed) {
      if (pending.length >= PENDING_MAX) {
        lost++;
        return;
      }
      pending.push({ ...relayed, at: clock.now() });
      timer ??= setTimeout(() => void flush(), FLUSH_MS).unref();
    },
    datasets: {
      ohttpMetricsAdaptive: {
        description: "Requests of Privacy Gateway one by one: sizes and statuses",
        permission,
        dimensions: { ...codes, bytesToGateway: "uint64", bytesToClient: "uint64" },
        facts: requests,
      },
      ohttpMetricsAdaptiveGroups: {
        description: "Requests of Privacy Gateway, counted and summed",
        permission,
        dimensions: codes,
        sum: ["bytesToClient", "bytesToGateway", "clientRequestErrors", "gatewayResponseErrors"],
        facts: groups,
      },
    },
    stop: flush,
  };
}
