/**
 * What TURN moved, by minute, key, custom identifier and credential, for the GraphQL Analytics API.
 * https://developers.cloudflare.com/realtime/turn/analytics/
 */
import { openCounter } from "../../../kernel/analytics/counter.ts";
import type { Dataset, KernelSlice } from "../../../kernel/product.ts";
import type { TurnUsage } from "./turn-protocol.ts";

export interface UsageOwner {
  readonly keyUid: string;
  readonly identifier: string;
}

export interface Usage {
  /** What moved within the last second. */
  add(owner: UsageOwner, usage: TurnUsage): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

const MINUTE_MS = 60_000;
/** One machine is one place; `request.cf.colo` of Workers says the same. */
const PLACE = { datacenterCode: "FRE", datacenterCity: "", datacenterCountry: "", datacenterRegion: "" };

export function openUsage({ meta, clock, log }: Pick<KernelSlice, "meta" | "clock" | "log">): Usage {
  const counter = openCounter(meta, clock, log, {
    name: "realtime_turn_usage",
    period: { column: "minute", ms: MINUTE_MS },
    keys: ["key_uid", "identifier", "username"],
    sums: ["ingress", "egress", "seconds"],
  });
  return {
    add: ({ keyUid, identifier }, { username, ingressBytes, egressBytes, connections }) =>
      counter.add({ key_uid: keyUid, identifier, username }, { ingress: ingressBytes, egress: egressBytes, seconds: connections }),
    datasets: {
      callsTurnUsageAdaptiveGroups: {
        description: "Bytes and connections of TURN",
        permission: ["Account Analytics Read"],
        dimensions: {
          ...{ keyId: "string", customIdentifier: "string", username: "string" },
          ...{ datacenterCode: "string", datacenterCity: "string", datacenterCountry: "string", datacenterRegion: "string" },
        },
        sum: ["egressBytes", "ingressBytes"],
        means: ["concurrentConnections", "concurrentConnectionsFiveMinutes"],
        async facts(window) {
          // By the minute, so that a mean over time can tell how many there were.
          const rows = await counter.read({ ...window, unit: Math.min(window.unit, MINUTE_MS) });
          return rows.map((row) => {
            const connections = (row.seconds * 1000) / MINUTE_MS;
            return {
              time: row.time,
              dimensions: { keyId: row.key_uid, customIdentifier: row.identifier, username: row.username, ...PLACE },
              sum: { egressBytes: row.egress, ingressBytes: row.ingress },
              mean: { concurrentConnections: connections, concurrentConnectionsFiveMinutes: connections },
            };
          });
        },
      },
    },
    stop: () => counter.stop(),
  };
}
