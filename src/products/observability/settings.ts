/**
 * A Worker's `observability` settings, as metadata and script settings carry them (docs/workers/wrangler/configuration):
 * what is not said has the documented default. Settings that are none keep nothing.
 */
import { z } from "zod";
import type { TelemetryRates } from "../../kernel/capabilities.ts";

const rate = z.number().min(0).max(1).nullish();
const part = z.looseObject({
  enabled: z.boolean().nullish(),
  head_sampling_rate: rate,
  invocation_logs: z.boolean().nullish(),
  persist: z.boolean().nullish(),
  destinations: z.array(z.string()).nullish(),
});
const schema = z.looseObject({
  enabled: z.boolean().nullish(),
  head_sampling_rate: rate,
  redact_query_string: z.boolean().nullish(),
  logs: part.nullish(),
  traces: part.nullish(),
});

export interface Signal {
  /** Share of invocations, above 0. */
  readonly rate: number;
  /** Kept here. */
  readonly persist: boolean;
  /** Slugs of destinations that get a copy. */
  readonly destinations: readonly string[];
}

export interface ObservabilitySettings {
  /** Undefined when nothing is to be kept. */
  readonly logs: (Signal & { readonly invocationLogs: boolean }) | undefined;
  readonly traces: Signal | undefined;
  readonly redactQueryString: boolean;
}

const none: ObservabilitySettings = { logs: undefined, traces: undefined, redactQueryString: false };

export function settingsOf(value: unknown): ObservabilitySettings {
  const parsed = schema.safeParse(value);
  if (!parsed.success) return none;
  const { enabled, head_sampling_rate: overall, logs, traces, redact_query_string } = parsed.data;
  // Logs follow the whole unless they say otherwise; traces are to be asked for.
  const log = (logs?.enabled ?? enabled) === true ? signalOf(logs, overall) : undefined;
  return {
    logs: log && { ...log, invocationLogs: logs?.invocation_logs !== false },
    traces: traces?.enabled === true ? signalOf(traces, overall) : undefined,
    redactQueryString: redact_query_string === true,
  };
}

function signalOf(own: z.infer<typeof part> | null | undefined, overall: number | null | undefined): Signal | undefined {
  const share = own?.head_sampling_rate ?? overall ?? 1;
  const persist = own?.persist !== false;
  const destinations = own?.destinations ?? [];
  return share > 0 && (persist || destinations.length > 0) ? { rate: share, persist, destinations } : undefined;
}

export function ratesOf(settings: ObservabilitySettings): TelemetryRates | undefined {
  const [logs, traces] = [settings.logs?.rate ?? 0, settings.traces?.rate ?? 0];
  return logs === 0 && traces === 0 ? undefined : { logs, traces };
}

export const destinationsOf = ({ logs, traces }: ObservabilitySettings): string[] => [
  ...(logs?.destinations ?? []),
  ...(traces?.destinations ?? []),
];
