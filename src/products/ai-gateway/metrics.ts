/** Counts requests by minute for the GraphQL Analytics API (docs/ai-gateway/observability/analytics). A killed process loses the last second's counts. */
import { openCounter } from "../../kernel/analytics/counter.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import type { LogEntry } from "./logs.ts";

export interface Metrics {
  count(gateway: string, entry: LogEntry): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

/** Costs are summed up as whole numbers of this part of a dollar. */
const COST_UNIT = 1e9;
const MODEL_MAX_CHARACTERS = 100;

export function openMetrics(meta: MetaStore, clock: Clock, log: Log): Metrics {
  const counter = openCounter(meta, clock, log, {
    name: "ai_gateway_requests",
    period: { column: "minute", ms: 60_000 },
    keys: ["gateway", "provider", "model", "cached", "failed"],
    sums: ["requests", "tokens_in", "tokens_out", "cost"],
  });
  return {
    count(gateway, { provider, model, cached, success, tokensIn, tokensOut, cost }) {
      counter.add(
        { gateway, provider, model: model.slice(0, MODEL_MAX_CHARACTERS), cached: cached ? 1 : 0, failed: success ? 0 : 1 },
        { requests: 1, tokens_in: tokensIn ?? 0, tokens_out: tokensOut ?? 0, cost: Math.round((cost ?? 0) * COST_UNIT) },
      );
    },
    datasets: {
      aiGatewayRequestsAdaptiveGroups: {
        description: "Requests to models through gateways",
        permission: ["Account Analytics Read", "AI Gateway Read"],
        dimensions: { gateway: "string", provider: "string", model: "string", cached: "uint64", error: "uint64" },
        sum: ["cachedRequests", "erroredRequests", "cachedTokensIn", "cachedTokensOut", "uncachedTokensIn", "uncachedTokensOut", "cost"],
        fractions: ["cost"],
        async facts(window) {
          return (await counter.read(window)).map(({ time, gateway, provider, model, cached, failed, ...row }) => ({
            time,
            dimensions: { gateway, provider, model, cached, error: failed },
            count: row.requests,
            sum: {
              cachedRequests: cached ? row.requests : 0,
              erroredRequests: failed ? row.requests : 0,
              cachedTokensIn: cached ? row.tokens_in : 0,
              cachedTokensOut: cached ? row.tokens_out : 0,
              uncachedTokensIn: cached ? 0 : row.tokens_in,
              uncachedTokensOut: cached ? 0 : row.tokens_out,
              cost: row.cost / COST_UNIT,
            },
          }));
        },
      },
    },
    stop: () => counter.stop(),
  };
}
