/**
 * A row for each relayed request, for the GraphQL Analytics API: sizes and statuses, never who asked or for what.
 * https://developers.cloudflare.com/privacy-gateway/reference/metrics/
 */
import { openEventLog } from "../../kernel/analytics/event-log.ts";
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

const DAY_MS = 86_400_000;
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
  const events = openEventLog(meta, clock, log, {
    name: "privacy_gateway_requests",
    columns: ["endpoint", "relay_status", "gateway_status", "to_gateway", "to_client"],
    keepMs,
  });

  async function rowsOf({ from, to }: DatasetWindow, select: string, group: string): Promise<Row[]> {
    await events.flush();
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
    add: ({ endpoint, relayStatus, gatewayStatus, toGateway, toClient }) =>
      events.add({
        endpoint,
        relay_status: relayStatus,
        gateway_status: gatewayStatus,
        to_gateway: toGateway,
        to_client: toClient,
      }),
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
    stop: () => events.stop(),
  };
}
