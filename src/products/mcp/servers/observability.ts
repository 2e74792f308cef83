/** Servers that tell what happens in the account: logs and figures of Workers, and the audit log. */
import { z } from "zod";
import { json, type McpServer, restTool, resultOf, tool } from "../tool.ts";

const TELEMETRY = "~/workers/observability/telemetry";
const QUERY = `Query logs and figures of your Workers. \`query\` is the body of the telemetry query API: view ("events", "calculations" or "invocations"), limit, timeframe {from, to} in milliseconds since the epoch, parameters {filters: [{key, operation, type, value}], calculations: [{operator, key, keyType}], groupBys: [{type, value}], needle: {value}}. Fields are for example $metadata.service, $metadata.message, $metadata.level, $metadata.requestId.`;

export const observabilityServer: McpServer = {
  name: "observability",
  title: "workers-observability",
  instructions:
    "Logs and figures of Workers. Find the names of fields with observability_keys and their values with observability_values before you query.",
  tools: [
    restTool("query_worker_observability", QUERY, { query: z.looseObject({ queryId: z.string().default("mcp") }) }, ({ query }) => [
      "POST",
      `${TELEMETRY}/query`,
      { body: query },
    ]),
    restTool(
      "observability_keys",
      "Find the names of fields in the logs of your Workers. `keysQuery`: timeframe {from, to}, filters, needle, limit (1000 shows all)",
      { keysQuery: z.looseObject({}) },
      ({ keysQuery }) => ["POST", `${TELEMETRY}/keys`, { body: keysQuery }],
    ),
    restTool(
      "observability_values",
      "Find the values of a field in the logs of your Workers. `valuesQuery`: key, type, timeframe {from, to}, filters, limit",
      { valuesQuery: z.looseObject({ datasets: z.array(z.string()).default([]) }) },
      ({ valuesQuery }) => ["POST", `${TELEMETRY}/values`, { body: valuesQuery }],
    ),
  ],
};

const day = z.string().regex(/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}\.\d{3}Z)?$/, "must be YYYY-MM-DD or YYYY-MM-DDTHH:mm:ss.sssZ");

interface AuditEntry {
  readonly action: { readonly description: string; readonly time: string; readonly type: string };
  readonly actor: { readonly token_name?: string };
  readonly resource: { readonly id?: string; readonly product?: string; readonly type?: string };
}

export const auditServer: McpServer = {
  name: "auditlogs",
  title: "auditlogs",
  instructions: "Who changed what in the account, and when.",
  tools: [
    tool(
      "auditlogs_by_account_id",
      "Find audit logs (who made what change when) of the account between two times, newest first. `cursor` gives the next page.",
      {
        since: day.describe("Begin of the time, as YYYY-MM-DD or YYYY-MM-DDTHH:mm:ss.sssZ"),
        before: day.describe("Its end, in the same form"),
        action_type: z.enum(["create", "delete", "view", "update", "login"]).optional(),
        actor_ip_address: z.string().optional(),
        direction: z.enum(["asc", "desc"]).optional(),
        limit: z.number().int().min(1).max(1000).default(10),
        cursor: z.string().optional(),
      },
      async (query, caller) => {
        const { result, result_info } = (await resultOf(await caller.request("GET", "~/logs/audit", { query }))) as {
          readonly result: readonly AuditEntry[];
          readonly result_info: unknown;
        };
        const logs = result.map(({ action, actor, resource }) => ({
          description: action.description,
          time: action.time,
          action: action.type,
          actor_token_name: actor.token_name,
          product: resource.product,
          type: resource.type,
          resource: resource.id,
        }));
        return [json({ logs, result_info })];
      },
    ),
  ],
};
