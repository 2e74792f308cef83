/** `/accounts/{account}/workers/observability/…`, as the official SDK and the observability MCP server call it. */
import { z } from "zod";
import { page } from "../../kernel/api/envelope.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { keys, values } from "./keys.ts";
import { type Caller, runQuery } from "./queries.ts";
import type { QueryEngine } from "./query-engine.ts";
import { keysSchema, parametersSchema, querySchema, timeframeOf, valuesSchema } from "./query-schema.ts";
import type { SavedQueries } from "./saved-queries.ts";

const BASE = "/accounts/:account/workers/observability";
export const READ = ["Workers Observability Read", "Workers Tail Read"];
export const WRITE = ["Workers Observability Write"];
const PER_PAGE_MAX = 100;

const saveSchema = z.looseObject({
  name: z.string().min(1).max(200),
  description: z.string().max(2_000).nullish(),
  parameters: z.unknown(),
});

export interface RouteParts {
  readonly kernel: KernelSlice;
  readonly engine: QueryEngine;
  readonly saved: SavedQueries;
}

export function observabilityRoutes({ kernel, engine, saved }: RouteParts): Route[] {
  const { accountId, clock } = kernel;
  const caller = ({ principal }: RequestContext): Caller => ({ accountId, userId: principal.tokenId });
  const parts = { engine, saved, clock };
  /** The call as it came, and as it is understood. */
  const both = async <T>(c: RequestContext, schema: { parse(value: unknown): T }): Promise<{ given: Record<string, unknown>; call: T }> => {
    let given: unknown;
    const call = await c.json({
      parse(value: unknown) {
        given = value;
        return schema.parse(value);
      },
    });
    return { given: given as Record<string, unknown>, call };
  };

  return [
    {
      op: "observability.telemetry.query",
      method: "POST",
      path: `${BASE}/telemetry/query`,
      permission: READ,
      async handle(c) {
        const { given, call } = await both(c, querySchema);
        return runQuery(parts, caller(c), call, given);
      },
    },
    {
      op: "observability.telemetry.keys",
      method: "POST",
      path: `${BASE}/telemetry/keys`,
      permission: READ,
      async handle(c) {
        const query = await c.json(keysSchema);
        return (await engine.run(timeframeOf(query, clock.now()), (run) => keys(run, query))).result;
      },
    },
    {
      op: "observability.telemetry.values",
      method: "POST",
      path: `${BASE}/telemetry/values`,
      permission: READ,
      async handle(c) {
        const query = await c.json(valuesSchema);
        return (await engine.run(query.timeframe, (run) => values(run, query))).result;
      },
    },
    {
      op: "observability.queries.create",
      method: "POST",
      path: `${BASE}/queries`,
      permission: WRITE,
      async handle(c) {
        const { name, description, parameters } = await c.json(saveSchema);
        parametersSchema.parse(parameters);
        return saved.save(c.principal.tokenId, { name, description, parameters });
      },
    },
    {
      op: "observability.queries.list",
      method: "GET",
      path: `${BASE}/queries`,
      permission: READ,
      async handle(c) {
        const number = Math.max(1, Number(c.query.get("page") ?? 1) || 1);
        const perPage = Math.min(PER_PAGE_MAX, Math.max(1, Number(c.query.get("perPage") ?? PER_PAGE_MAX) || PER_PAGE_MAX));
        const list = await saved.list({ limit: perPage, offset: (number - 1) * perPage, ascending: c.query.get("order") === "asc" });
        return page(list, { page: number, per_page: perPage, count: list.length });
      },
    },
    {
      op: "observability.sharedQueries.create",
      method: "POST",
      path: `${BASE}/shared/query`,
      permission: READ,
      async handle(c) {
        const { given } = await both(c, querySchema);
        return { id: await saved.share(c.principal.tokenId, given) };
      },
    },
    {
      op: "observability.sharedQueries.get",
      method: "GET",
      path: `${BASE}/shared/query/:id`,
      permission: READ,
      async handle(c) {
        const given = (await saved.shared(c.params.id as string)) as Record<string, unknown>;
        return runQuery(parts, caller(c), querySchema.parse(given), given);
      },
    },
  ];
}
