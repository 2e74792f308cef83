/**
 * The server of the whole API in two tools: a model reads the list of operations with code and calls them with code, so that
 * neither the list nor what the API answers fills its context; only what its code returns does.
 */
import { z } from "zod";
import type { Content } from "../../../protocols/mcp/server.ts";
import { openApiOf, type RouteView } from "../api-description.ts";
import type { CodeRuns, Outcome } from "../code-runs.ts";
import { json, type McpServer, resultOf, ToolFailure, text, tool } from "../tool.ts";

const SEARCH = `Search the API's OpenAPI description with JavaScript. Find operations here before you call them with execute.

\`spec.paths[path][method]\` has { operationId, tags, summary, parameters?, "x-permissions" }; methods are in lower case, and a tag is a product ("workers", "kv", "d1", "r2", …).

Your code is an async arrow function that returns what you want to read:
async () => Object.entries(spec.paths).flatMap(([path, methods]) => Object.entries(methods).filter(([, op]) => op.tags.includes("kv")).map(([method, op]) => [method, path, op.summary]))`;

const EXECUTE = `Run JavaScript against the API, with the rights of your token. Find operations with search first.

cloudflare.request({ method, path, query?, body?, contentType?, rawBody? }) resolves with { success, result, result_info?, … } and throws what the API says against it. \`accountId\` is the account's id. body becomes JSON unless rawBody is true. There is no other network.

Your code is an async arrow function that returns what you want to read:
async () => (await cloudflare.request({ method: "GET", path: \`/accounts/\${accountId}/workers/scripts\` })).result.map(({ id }) => id)`;

const code = z.string().describe("An async arrow function in JavaScript");

export const apiServer = (runs: CodeRuns): McpServer => ({
  name: "",
  title: "cloudflare-api",
  instructions:
    "The whole REST API of this platform, which is Cloudflare's, in two tools: search for operations, then execute code that calls them.",
  tools: [
    tool("search", SEARCH, { code }, async ({ code: source }, caller) => {
      const routes = (await resultOf(await caller.request("GET", "/freehold/routes"))) as readonly RouteView[];
      return shown(await runs.run({ source, globals: { spec: openApiOf(routes) }, withApi: false }, caller));
    }),
    tool(
      "execute",
      EXECUTE,
      { code, account_id: z.string().optional().describe("The account; needed only where a token reaches several") },
      async ({ code: source, account_id: accountId = "" }, caller) =>
        shown(await runs.run({ source, globals: { accountId: accountId || caller.accountId }, withApi: true }, caller)),
    ),
  ],
});

/** What code returned, and below it what it printed. */
function shown({ result, error, logs }: Outcome): Content[] {
  const printed = logs.length === 0 ? [] : [text(`Console:\n${logs.join("\n")}`)];
  if (error !== undefined) throw new ToolFailure([error, ...logs].join("\n"));
  return [json(result), ...printed];
}
