/**
 * The servers' hosts: streamable HTTP in its stateless form (https://modelcontextprotocol.io/specification, "Transports"). Each POST
 * to /mcp is answered as JSON; there is no stream to GET and no session to DELETE. Who calls is asked anew for each message.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { readBody } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { HostRoute, KernelSlice } from "../../kernel/product.ts";
import {
  type Answer,
  answerTo,
  errorAnswer,
  INVALID_REQUEST,
  PARSE_ERROR,
  PROTOCOL_VERSIONS,
  type ToolResult,
} from "../../protocols/mcp/server.ts";
import type { Caller, McpServer } from "./tool.ts";

/** As the Agents SDK's servers have it. */
const BODY_MAX_BYTES = 4 * 1024 * 1024;
/** Messages in one body: clients of the version 2025-03-26 may send several. */
const BATCH_MAX = 20;
const VERSION = "1.0.0";
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "POST, OPTIONS",
  "access-control-allow-headers": "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, last-event-id",
  "access-control-max-age": "86400",
};

export function mcpDoor(kernel: KernelSlice, servers: readonly McpServer[]): HostRoute {
  const byName = new Map(servers.map((server) => [server.name, server]));
  const views = new Map(
    servers.map((server) => [
      server,
      server.tools.map(({ name, description, input }) => ({ name, description, inputSchema: z.toJSONSchema(input) })),
    ]),
  );

  async function serve(server: McpServer, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { authorization = "" } = request.headers;
    if (server.open === undefined) await kernel.auth.bearer(request.headers);
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const caller = callerOf(kernel, authorization, gone.signal);
    const tools = {
      list: () => views.get(server) ?? [],
      call: (name: string, args: unknown) => {
        const found = server.tools.find((one) => one.name === name);
        return found && guarded(name, found.call(args, caller));
      },
    };
    const info = { name: server.title, version: VERSION, instructions: server.instructions };
    const messages = await messagesOf(request);
    const answers: Answer[] = [];
    for (const message of [messages].flat()) {
      const answer = await answerTo(message, info, tools);
      if (answer !== undefined) answers.push(answer);
    }
    if (answers.length === 0) return send(response, 202);
    send(response, 200, Array.isArray(messages) ? answers : answers[0]);
  }

  /** What goes wrong here is logged with an id that the caller gets, as the REST API does. */
  async function guarded(name: string, result: Promise<ToolResult>): Promise<ToolResult> {
    try {
      return await result;
    } catch (error) {
      kernel.log.error("mcp.tool_failed", { tool: name, error });
      return { content: [{ type: "text", text: "Internal error" }], isError: true };
    }
  }

  async function messagesOf(request: IncomingMessage): Promise<unknown> {
    const idleTimeoutMs = kernel.config["gateway.body_idle_timeout_ms"];
    const bytes = await readBody(request, { maxBytes: BODY_MAX_BYTES, idleTimeoutMs });
    let parsed: unknown;
    try {
      parsed = JSON.parse(bytes.toString("utf8"));
    } catch {
      throw new Refusal(400, PARSE_ERROR, "Parse error: Invalid JSON");
    }
    if (Array.isArray(parsed) && (parsed.length === 0 || parsed.length > BATCH_MAX))
      throw new Refusal(400, INVALID_REQUEST, `Invalid Request: a batch has 1 to ${BATCH_MAX} messages`);
    return parsed;
  }

  return {
    name: "mcp",
    patterns: ["{server}.mcp", "mcp"],
    publicHosts: ["{server}.mcp.cloudflare.com", "mcp.cloudflare.com"],
    template: "/mcp",
    wholeHost: true,
    async handle({ server: name = "" }, request, response) {
      const server = byName.get(name);
      try {
        if (server === undefined || pathOf(request) !== "/mcp") throw new Refusal(404, -32000, "Not Found");
        if (request.method === "OPTIONS") return send(response, 204);
        checkHead(request);
        await serve(server, request, response);
      } catch (error) {
        refuse(response, error);
      }
    },
  };
}

/** The REST API with the credentials of a message: the token counts for as long as the API says so. */
function callerOf(kernel: KernelSlice, authorization: string, gone: AbortSignal): Caller {
  const { accountId } = kernel;
  return {
    accountId,
    authorization,
    gone,
    request(method, path, { query = {}, body } = {}) {
      const url = new URL(`http://api/client/v4${path.replace(/^~/, `/accounts/${accountId}`)}`);
      for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
      const headers = { authorization, ...(body !== undefined && { "content-type": "application/json" }) };
      return kernel.api(new Request(url, { method, headers, signal: gone, ...(body !== undefined && { body: JSON.stringify(body) }) }));
    },
  };
}

const pathOf = ({ url = "" }: IncomingMessage): string => url.split("?", 1)[0] as string;

/** The order and the words are those of the protocol's own SDK. */
function checkHead({ method, headers }: IncomingMessage): void {
  if (method !== "POST") throw new Refusal(405, -32000, "Method not allowed.");
  const accept = headers.accept ?? "";
  if (!["application/json", "text/event-stream"].every((type) => accept.includes(type)))
    throw new Refusal(406, -32000, "Not Acceptable: Client must accept both application/json and text/event-stream");
  if (headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase() !== "application/json")
    throw new Refusal(415, -32000, "Unsupported Media Type: Content-Type must be application/json");
  const version = headers["mcp-protocol-version"];
  if (version !== undefined && !PROTOCOL_VERSIONS.includes(String(version)))
    throw new Refusal(400, -32000, `Bad Request: Unsupported protocol version (supported versions: ${PROTOCOL_VERSIONS.join(", ")})`);
}

class Refusal extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A refused token is told in OAuth's form, which clients of MCP look for; there is no authorization server to send them to. */
function refuse(response: ServerResponse, error: unknown): void {
  if (error instanceof Refusal) {
    const allow: Record<string, string> = error.status === 405 ? { allow: "POST, OPTIONS" } : {};
    send(response, error.status, errorAnswer(null, error.code, error.message), allow);
    return;
  }
  if (!(error instanceof PlatformError)) throw error;
  const { status } = error.spec;
  if (status === 401) {
    const refused = { error: "invalid_token", error_description: error.message };
    send(response, status, refused, { "www-authenticate": `Bearer error="invalid_token"` });
    return;
  }
  // What is left of the request is not worth reading.
  const headers: Record<string, string> = status === 408 || status === 413 ? { connection: "close" } : {};
  send(response, status, errorAnswer(null, INVALID_REQUEST, error.message), headers);
}

function send(response: ServerResponse, status: number, body?: unknown, headers: Readonly<Record<string, string>> = {}): void {
  if (response.headersSent || response.destroyed) return;
  const type = body === undefined ? {} : { "content-type": "application/json" };
  response.writeHead(status, { ...CORS, "cache-control": "no-store", ...type, ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
