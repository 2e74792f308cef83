/** Stored logs and traces in the REST API, and how pages ask for them. */
import { useQuery } from "@tanstack/react-query";
import { onAccount } from "./rest.ts";

export const TELEMETRY = "/workers/observability/telemetry";

export type FieldType = "string" | "number" | "boolean";
export type Primitive = string | number | boolean;

export interface Filter {
  readonly key: string;
  readonly operation: string;
  readonly type: FieldType;
  readonly value?: Primitive;
}

export interface TelemetryEvent {
  readonly dataset: string;
  readonly timestamp: number;
  readonly source: string | Readonly<Record<string, unknown>>;
  readonly $workers?: Readonly<Record<string, unknown>> & { readonly outcome?: string };
  readonly $metadata: Readonly<Record<string, string | number | undefined>> & { readonly id: string };
}

interface Point {
  readonly groups?: readonly { readonly key: string; readonly value: Primitive }[];
  readonly value: number;
}

export interface Calculation {
  readonly calculation: string;
  readonly alias?: string;
  readonly aggregates: readonly Point[];
  readonly series: readonly { readonly time: string; readonly data: readonly Point[] }[];
}

export interface Trace {
  readonly traceId: string;
  readonly rootSpanName: string;
  readonly rootTransactionName: string;
  readonly service: readonly string[];
  readonly spans: number;
  readonly traceStartMs: number;
  readonly traceDurationMs: number;
  readonly errors?: readonly string[];
}

export interface Answer {
  readonly statistics: { readonly elapsed: number; readonly rows_read: number; readonly bytes_read: number };
  readonly events?: { readonly count: number; readonly events: readonly TelemetryEvent[] };
  readonly calculations?: readonly Calculation[];
  readonly traces?: readonly Trace[];
  readonly invocations?: Readonly<Record<string, readonly TelemetryEvent[]>>;
  readonly patterns?: readonly { readonly pattern: string; readonly service: string; readonly count: number }[];
}

export interface Asked {
  readonly view: "events" | "calculations" | "invocations" | "traces" | "patterns";
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly limit?: number;
  readonly granularity?: number;
}

export const HOUR_MS = 3_600_000;

export const windows = [
  ["0.25", "Last 15 minutes"],
  ["1", "Last hour"],
  ["24", "Last 24 hours"],
  ["168", "Last 7 days"],
] as const;

/** Asks up to now each time it asks; with `refreshMs` again and again. */
export function useTelemetry(asked: Asked, hours: number, options: { refreshMs?: number; enabled?: boolean } = {}) {
  const { refreshMs, enabled = true } = options;
  return useQuery({
    queryKey: [`${TELEMETRY}/query`, asked, hours],
    enabled,
    queryFn: async ({ signal }) => {
      const to = Date.now();
      const timeframe = { from: Math.floor(to - hours * HOUR_MS), to: to + 1_000 };
      const body = { queryId: "dashboard", dry: true, timeframe, ...asked };
      return { ...(await onAccount<Answer>(`${TELEMETRY}/query`, { method: "POST", body, signal })).result, timeframe };
    },
    placeholderData: (before) => before,
    ...(refreshMs !== undefined && { refetchInterval: refreshMs }),
  });
}

export interface Key {
  readonly key: string;
  readonly type: FieldType;
}

/** Names of the fields that events of the last so many hours have. */
export function useKeys(hours: number) {
  return useQuery({
    queryKey: [`${TELEMETRY}/keys`, hours],
    queryFn: async ({ signal }) => {
      const to = Date.now();
      const body = { from: Math.floor(to - hours * HOUR_MS), to, limit: 2_000 };
      return (await onAccount<readonly Key[]>(`${TELEMETRY}/keys`, { method: "POST", body, signal })).result;
    },
  });
}

export const ofWorker = (worker: string): Filter => ({ key: "$metadata.service", operation: "eq", type: "string", value: worker });

/** What an event says in one line. */
export const messageOf = ({ $metadata, source }: TelemetryEvent): string =>
  String($metadata.message ?? $metadata.spanName ?? (typeof source === "string" ? source : JSON.stringify(source)));
