/** Servers for what models read: pages in a browser, gateways before models, and the instances of AI Search. */
import { z } from "zod";
import { type McpServer, restTool, resultOf, tool } from "../tool.ts";

const url = z.url().describe("The address of the page");
const viewport = z.object({ height: z.number().int().min(1), width: z.number().int().min(1) }).default({ height: 600, width: 800 });
const segment = encodeURIComponent;

export const browserServer: McpServer = {
  name: "browser",
  title: "browser-rendering",
  instructions: "Reads web pages in a browser, as their scripts have made them.",
  tools: [
    restTool("get_url_html_content", "Get the HTML of a page", { url }, (body) => ["POST", "~/browser-rendering/content", { body }]),
    restTool("get_url_markdown", "Get a page as Markdown", { url }, (body) => ["POST", "~/browser-rendering/markdown", { body }]),
    tool("get_url_screenshot", "Get a picture of a page", { url, viewport }, async (body, caller) => {
      const response = await caller.request("POST", "~/browser-rendering/screenshot", { body });
      // Throws what the API says against it.
      if (!response.ok) await resultOf(response);
      const data = Buffer.from(await response.arrayBuffer()).toString("base64");
      return [{ type: "image", mimeType: response.headers.get("content-type") ?? "image/png", data }];
    }),
  ],
};

const GATEWAYS = "~/ai-gateway/gateways";
const gateway = { gateway_id: z.string().min(1).describe("The name of the gateway") };
const log = { ...gateway, log_id: z.string().min(1).describe("The id of the log") };
const paging = { page: z.number().int().min(1).default(1), per_page: z.number().int().min(1).max(50).default(20) };
const filters = {
  search: z.string().optional(),
  order_by: z.string().optional(),
  order_by_direction: z.enum(["asc", "desc"]).optional(),
  start_date: z.string().optional(),
  end_date: z.string().optional(),
};
const logPath = ({ gateway_id, log_id }: { gateway_id: string; log_id: string }): string =>
  `${GATEWAYS}/${segment(gateway_id)}/logs/${segment(log_id)}`;

export const aiGatewayServer: McpServer = {
  name: "ai-gateway",
  title: "ai-gateway",
  instructions: "Gateways before models, their logs, and what was asked and answered.",
  tools: [
    restTool("list_gateways", "List gateways", paging, (query) => ["GET", GATEWAYS, { query }]),
    restTool("list_logs", "List the logs of a gateway", { ...gateway, ...paging, ...filters }, ({ gateway_id, ...query }) => [
      "GET",
      `${GATEWAYS}/${segment(gateway_id)}/logs`,
      { query },
    ]),
    restTool("get_log_details", "Get a log of a gateway", log, (args) => ["GET", logPath(args)]),
    restTool("get_log_request_body", "Get what a model was asked", log, (args) => ["GET", `${logPath(args)}/request`]),
    restTool("get_log_response_body", "Get what a model answered", log, (args) => ["GET", `${logPath(args)}/response`]),
  ],
};

const RAGS = "~/autorag/rags";
const question = { rag_id: z.string().min(1).describe("The name of the instance"), query: z.string().min(1) };

export const aiSearchServer: McpServer = {
  name: "autorag",
  title: "ai-search",
  instructions: "Finds passages in documents of the account, and answers questions by them.",
  tools: [
    restTool("list_rags", "List instances of AI Search", paging, (query) => ["GET", RAGS, { query }]),
    restTool("search", "Find passages in the documents of an instance", question, ({ rag_id, query }) => [
      "POST",
      `${RAGS}/${segment(rag_id)}/search`,
      { body: { query } },
    ]),
    restTool("ai_search", "Answer a question by the documents of an instance", question, ({ rag_id, query }) => [
      "POST",
      `${RAGS}/${segment(rag_id)}/ai-search`,
      { body: { query } },
    ]),
  ],
};
