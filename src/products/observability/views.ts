/** The views that show events themselves: one by one, by invocation, by trace, by agent run, by pattern. */
import { type Aggregate, bucketMs, calculate } from "./calculations.ts";
import { conditionOf, type Values } from "./condition.ts";
import type { Run } from "./query-engine.ts";
import type { Parameters, Query } from "./query-schema.ts";
import type { TelemetryEvent } from "./telemetry-event.ts";

const EVENTS_DEFAULT = 100;
const GROUPS_DEFAULT = 20;
/** Events of all shown invocations together. */
const GROUPED_EVENTS_MAX = 10_000;
/** In an aggregate's list of names. */
const NAMES_MAX = 50;

const limitOf = (query: Query, parameters: Parameters, fallback: number): number => query.limit ?? parameters.limit ?? fallback;

interface StoredEvent {
  readonly event: string;
}

// --- events -------------------------------------------------------------------------------------------------

export async function events(run: Run, query: Query, parameters: Parameters) {
  const { offset, offsetDirection, chart } = query;
  const back = offset !== undefined && offsetDirection === "prev";
  const rows = await run.all<StoredEvent>((values) => {
    const condition = conditionOf(parameters, values);
    const page = offset === undefined ? "true" : `id ${back ? ">" : "<"} ${values.add(offset)}`;
    return `SELECT event FROM stored WHERE ${condition} AND ${page} ORDER BY id ${back ? "ASC" : "DESC"} LIMIT ${limitOf(query, parameters, EVENTS_DEFAULT)}`;
  });
  const shown = rows.map(({ event }) => JSON.parse(event) as TelemetryEvent);
  if (back) shown.reverse();
  const [total] = await run.all<{ n: number }>(
    (values) => `SELECT coalesce(sum(si), 0)::DOUBLE AS n FROM stored WHERE ${conditionOf(parameters, values)}`,
  );
  return {
    events: shown,
    fields: fieldsOf(shown),
    count: Math.round(total?.n ?? 0),
    ...(chart && !query.ignoreSeries && { series: await eventSeries(run, query, parameters) }),
  };
}

function fieldsOf(shown: readonly TelemetryEvent[]): { key: string; type: string }[] {
  const found = new Map<string, string>();
  const walk = (value: object, prefix: string): void => {
    for (const [name, member] of Object.entries(value)) {
      const key = prefix + name;
      if (typeof member === "object" && member !== null && !Array.isArray(member)) walk(member, `${key}.`);
      else if (member !== null && member !== undefined)
        found.set(key, typeof member === "number" || typeof member === "boolean" ? typeof member : "string");
    }
  };
  for (const { source, $workers, $metadata } of shown) {
    walk($metadata, "$metadata.");
    if ($workers !== undefined) walk($workers, "$workers.");
    if (typeof source === "object") walk(source, "");
  }
  return [...found].map(([key, type]) => ({ key, type })).sort((a, b) => (a.key < b.key ? -1 : 1));
}

async function eventSeries(run: Run, query: Query, parameters: Parameters) {
  const width = bucketMs(query.timeframe, query.granularity);
  const rows = await run.all<{ time: number; weight: number; stored: number; errors: number }>(
    (values) => `SELECT (ts - (ts % ${width}))::DOUBLE AS time, sum(si)::DOUBLE AS weight, count(*)::DOUBLE AS stored,
        coalesce(sum(si) FILTER (s['$metadata.error'] IS NOT NULL), 0)::DOUBLE AS errors
      FROM stored WHERE ${conditionOf(parameters, values)} GROUP BY 1 ORDER BY 1`,
  );
  return rows.map(({ time, weight, stored, errors }) => ({
    time: new Date(time).toISOString(),
    data: [
      {
        count: weight,
        interval: weight / stored,
        sampleInterval: weight / stored,
        errors,
        aggregates: { _count: weight, _interval: weight / stored },
      },
    ],
  }));
}

// --- invocations --------------------------------------------------------------------------------------------

/** All events of each invocation that has a matching one, the newest invocation first. */
export async function invocations(run: Run, query: Query, parameters: Parameters): Promise<Record<string, TelemetryEvent[]>> {
  const rows = await run.all<StoredEvent & { request: string }>((values) => {
    const condition = conditionOf(parameters, values);
    const page = query.offset === undefined ? "true" : `id < ${values.add(query.offset)}`;
    const datasets = conditionOf({ datasets: parameters.datasets, filters: [] }, values);
    return `, chosen AS (SELECT request, max(id) AS newest FROM stored WHERE ${condition} AND ${page} GROUP BY request
        ORDER BY newest DESC LIMIT ${limitOf(query, parameters, GROUPS_DEFAULT)})
      SELECT request, event FROM stored JOIN chosen USING (request) WHERE ${datasets} ORDER BY newest DESC, id ASC LIMIT ${GROUPED_EVENTS_MAX}`;
  });
  const grouped = Map.groupBy(rows, ({ request }) => request);
  return Object.fromEntries([...grouped].map(([request, own]) => [request, own.map(({ event }) => JSON.parse(event) as TelemetryEvent)]));
}

// --- traces -------------------------------------------------------------------------------------------------

interface TraceRow {
  readonly trace: string;
  readonly start: number;
  readonly end: number;
  readonly spans: number;
  readonly services: string[];
  readonly errors: string[];
  readonly name: string | null;
  readonly transaction: string | null;
}

const START = "n['$metadata.startTime']";
const END = "n['$metadata.endTime']";

/** Of each trace with a matching span; `more` are further columns, over the trace's spans. */
function tracesSql(
  query: Query,
  parameters: Parameters,
  values: Values,
  fallback: number,
  where = "true",
  more: readonly string[] = [],
): string {
  const condition = conditionOf(parameters, values);
  const page =
    query.offset === undefined
      ? ""
      : `HAVING min(${START}) < (SELECT min(${START}) FROM stored WHERE dataset = 'otel' AND trace = ${values.add(query.offset)})`;
  return `, chosen AS (SELECT DISTINCT trace FROM stored WHERE trace IS NOT NULL AND ${condition} AND ${where})
    SELECT ${[
      "trace",
      `min(${START})::DOUBLE AS start`,
      `max(${END})::DOUBLE AS "end"`,
      "count(*)::DOUBLE AS spans",
      names("s['$metadata.service']", "services"),
      names("s['$metadata.error']", "errors"),
      // The earliest span is the one that the others began in.
      "arg_min(s['$metadata.spanName'], id) AS name",
      "arg_min(s['$metadata.transactionName'], id) AS transaction",
      ...more,
    ].join(", ")}
    FROM stored JOIN chosen USING (trace) WHERE dataset = 'otel' GROUP BY trace ${page}
    ORDER BY start DESC, trace LIMIT ${limitOf(query, parameters, fallback)}`;
}

const names = (value: string, as: string): string =>
  `list_slice(coalesce(list(DISTINCT ${value}) FILTER (${value} IS NOT NULL), []), 1, ${NAMES_MAX}) AS ${as}`;

export async function traces(run: Run, query: Query, parameters: Parameters) {
  const rows = await run.all<TraceRow>((values) => tracesSql(query, parameters, values, GROUPS_DEFAULT));
  return rows.map(({ trace, start, end, spans, services, errors, name, transaction }) => ({
    traceId: trace,
    rootSpanName: name ?? "",
    rootTransactionName: transaction ?? "",
    service: services,
    spans,
    traceStartMs: start,
    traceEndMs: end,
    traceDurationMs: end - start,
    ...(errors.length > 0 && { errors }),
  }));
}

interface AgentRow extends TraceRow {
  readonly models: string[];
  readonly providers: string[];
  readonly input: number | null;
  readonly output: number | null;
  readonly agent: string | null;
  readonly agent_name: string | null;
  readonly conversation: string | null;
}

/** Traces with a span that invokes an agent, by OpenTelemetry's names for generative AI. */
export async function agents(run: Run, query: Query, parameters: Parameters) {
  const invoked = "s['gen_ai.operation.name'] = 'invoke_agent'";
  const rows = await run.all<AgentRow>((values) =>
    tracesSql(query, parameters, values, GROUPS_DEFAULT, invoked, [
      names("coalesce(s['gen_ai.response.model'], s['gen_ai.request.model'])", "models"),
      names("coalesce(s['gen_ai.provider.name'], s['gen_ai.system'])", "providers"),
      "sum(n['gen_ai.usage.input_tokens'])::DOUBLE AS input",
      "sum(n['gen_ai.usage.output_tokens'])::DOUBLE AS output",
      "arg_min(s['gen_ai.agent.id'], id) AS agent",
      "arg_min(s['gen_ai.agent.name'], id) AS agent_name",
      "arg_min(s['gen_ai.conversation.id'], id) AS conversation",
    ]),
  );
  return rows.map((row) => ({
    id: row.trace,
    traceId: row.trace,
    status: row.errors.length > 0 ? "error" : "completed",
    errors: row.errors,
    models: row.models,
    providers: row.providers,
    services: row.services,
    spans: row.spans,
    traceStartMs: row.start,
    traceEndMs: row.end,
    traceDurationMs: row.end - row.start,
    ...(row.agent !== null && { agentId: row.agent }),
    ...(row.agent_name !== null && { agentName: row.agent_name }),
    ...(row.conversation !== null && { conversationId: row.conversation }),
    ...(row.input !== null && { inputTokens: row.input }),
    ...(row.output !== null && { outputTokens: row.output }),
  }));
}

// --- patterns -----------------------------------------------------------------------------------------------

const TEMPLATE = "$metadata.messageTemplate";
const SERVICE = "$metadata.service";

/** Messages that differ only in numbers and ids, by how many there are. */
export async function patterns(run: Run, query: Query, parameters: Parameters) {
  const groupBys = [TEMPLATE, SERVICE].map((value) => ({ value, type: "string" as const }));
  const [counted] = await calculate(run, query, { ...parameters, calculations: [], havings: [], orderBy: undefined, groupBys });
  const groupOf = ({ groups }: Aggregate, key: string): string => String(groups?.find((group) => group.key === key)?.value);
  return (counted?.aggregates ?? []).map((aggregate) => {
    const [pattern, service] = [groupOf(aggregate, TEMPLATE), groupOf(aggregate, SERVICE)];
    const series = (counted?.series ?? []).flatMap(({ time, data }) => {
      const own = data.find((point) => groupOf(point, TEMPLATE) === pattern && groupOf(point, SERVICE) === service);
      return own === undefined
        ? []
        : [{ time, data: { count: own.count, interval: own.interval, sampleInterval: own.sampleInterval, value: own.value } }];
    });
    return { pattern, service, count: aggregate.count, series };
  });
}
