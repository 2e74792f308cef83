/**
 * A Model Context Protocol server without a memory: one JSON-RPC message in, one answer or none out. It knows tools and nothing
 * else of the protocol (https://modelcontextprotocol.io/specification), has no sessions and sends no requests of its own, so that
 * any answer may come from any process. Not a transport: whoever has one hands over parsed messages.
 */

export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  /** For the model that uses the server. */
  readonly instructions: string;
}

export interface ToolView {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of an object. */
  readonly inputSchema: object;
}

export type Content =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image"; readonly mimeType: string; readonly data: string };

/** What a tool answers. A failure that the model may mend is a result, too: with `isError`. */
export interface ToolResult {
  readonly content: readonly Content[];
  readonly isError?: true;
}

export interface Tools {
  list(): readonly ToolView[];
  /** Undefined: there is no such tool. */
  call(name: string, args: unknown): Promise<ToolResult> | undefined;
}

export interface Answer {
  readonly jsonrpc: "2.0";
  readonly id: string | number | null;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

/** Newest first. */
export const PROTOCOL_VERSIONS: readonly string[] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/** JSON-RPC's own numbers. */
export const PARSE_ERROR = -32700;
export const INVALID_REQUEST = -32600;
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;

export const errorAnswer = (id: Answer["id"], code: number, message: string): Answer => ({ jsonrpc: "2.0", id, error: { code, message } });

/** The answer to a message; undefined for notifications, and for answers to requests that were never sent. */
export async function answerTo(message: unknown, info: ServerInfo, tools: Tools): Promise<Answer | undefined> {
  if (!isObject(message) || message.jsonrpc !== "2.0") return errorAnswer(null, INVALID_REQUEST, "Invalid Request");
  const { id, method, params } = message;
  if (method === undefined && ("result" in message || "error" in message)) return undefined;
  if (typeof method !== "string") return errorAnswer(null, INVALID_REQUEST, "Invalid Request");
  if (id === undefined) return undefined;
  if (typeof id !== "string" && typeof id !== "number") return errorAnswer(null, INVALID_REQUEST, "Invalid Request");
  const given = isObject(params) ? params : {};
  const result = (value: unknown): Answer => ({ jsonrpc: "2.0", id, result: value });
  switch (method) {
    case "initialize":
      return result(welcome(given.protocolVersion, info));
    case "ping":
      return result({});
    case "tools/list":
      return result({ tools: tools.list() });
    case "tools/call": {
      const called = typeof given.name === "string" ? tools.call(given.name, given.arguments ?? {}) : undefined;
      if (called === undefined) return errorAnswer(id, INVALID_PARAMS, `Unknown tool: ${String(given.name)}`);
      return result(await called);
    }
    default:
      return errorAnswer(id, METHOD_NOT_FOUND, "Method not found");
  }
}

/** The client's version of the protocol where it is known here, the newest otherwise: then the client decides. */
function welcome(wanted: unknown, { name, version, instructions }: ServerInfo): object {
  const protocolVersion = PROTOCOL_VERSIONS.find((known) => known === wanted) ?? PROTOCOL_VERSIONS[0];
  return { protocolVersion, capabilities: { tools: {} }, serverInfo: { name, version }, instructions };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
