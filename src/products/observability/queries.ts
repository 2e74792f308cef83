/** Runs a call of the query API: the view that it asks for, with the run described beside the result, as the SDK types it. */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import { calculate, distribution } from "./calculations.ts";
import type { QueryEngine, Run } from "./query-engine.ts";
import { type Parameters, parametersSchema, type Query } from "./query-schema.ts";
import type { SavedQueries, SavedQuery } from "./saved-queries.ts";
import { agents, events, invocations, patterns, traces } from "./views.ts";

export interface Caller {
  readonly accountId: string;
  readonly userId: string;
}

/** `given` is the call as it came: what the answer repeats. */
export async function runQuery(
  { engine, saved, clock }: { engine: QueryEngine; saved: SavedQueries; clock: Clock },
  caller: Caller,
  query: Query,
  given: { readonly parameters?: unknown },
): Promise<Record<string, unknown>> {
  const kept = query.parameters === undefined ? await saved.get(query.queryId) : undefined;
  const parameters = query.parameters ?? parametersSchema.parse(kept?.parameters ?? {});
  const { result, statistics } = await engine.run(query.timeframe, (run) => viewOf(run, query, parameters));
  const compared =
    query.compare && query.view === "calculations"
      ? await engine.run(before(query.timeframe), (run) => calculate(run, { ...query, timeframe: before(query.timeframe) }, parameters))
      : undefined;
  const now = new Date(clock.now()).toISOString();
  return {
    run: {
      id: randomUUID(),
      accountId: caller.accountId,
      userId: caller.userId,
      dry: query.dry,
      granularity: query.granularity ?? 0,
      query: kept ?? adhoc(query.queryId, caller.userId, given.parameters ?? {}, now),
      status: "COMPLETED",
      timeframe: query.timeframe,
      created: now,
      updated: now,
      statistics,
    },
    statistics,
    ...result,
    ...(compared && { compare: compared.result }),
  };
}

const before = ({ from, to }: Query["timeframe"]): Query["timeframe"] => ({ from: from - (to - from), to: from });

const adhoc = (id: string, by: string, parameters: unknown, now: string): Omit<SavedQuery, "adhoc"> & { adhoc: true } => ({
  id,
  adhoc: true,
  name: "",
  description: null,
  parameters,
  created: now,
  createdBy: by,
  updated: now,
  updatedBy: by,
});

async function viewOf(run: Run, query: Query, parameters: Parameters): Promise<Record<string, unknown>> {
  switch (query.view) {
    case "events":
      return { events: await events(run, query, parameters) };
    case "invocations":
    case "requests":
      return { invocations: await invocations(run, query, parameters) };
    case "traces":
      return { traces: await traces(run, query, parameters) };
    case "agents":
      return { agents: await agents(run, query, parameters) };
    case "patterns":
      return { patterns: await patterns(run, query, parameters) };
    case "calculations":
      return query.chartType === "distribution"
        ? { distribution: await distribution(run, query, parameters) }
        : { calculations: await calculate(run, query, parameters) };
  }
}
