/**
 * A tool of these servers: what a model reads of it, and what it does with the platform's REST API in the name of whoever calls.
 * A tool has no rights of its own: each of its requests carries the caller's credentials and is judged by them.
 */
import { z } from "zod";
import type { Content, ToolResult } from "../../protocols/mcp/server.ts";

/** The REST API as the caller. */
export interface Caller {
  readonly accountId: string;
  /** The caller's own `Authorization` header. */
  readonly authorization: string;
  /** Ends when the client has gone. */
  readonly gone: AbortSignal;
  /** `path` begins below the account's path with "~", which stands for it, or below /client/v4. */
  request(method: string, path: string, options?: RequestOptions): Promise<Response>;
}

export interface RequestOptions {
  /** Undefined members are left out. */
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

export interface Tool {
  readonly name: string;
  readonly description: string;
  readonly input: z.ZodObject;
  call(args: unknown, caller: Caller): Promise<ToolResult>;
}

export interface McpServer {
  /** The label before ".mcp", or empty for the server of the whole API. */
  readonly name: string;
  readonly title: string;
  readonly instructions: string;
  /** Anybody may use it: it tells nothing of the account. */
  readonly open?: true;
  readonly tools: readonly Tool[];
}

/** Longest text of an answer, about 10,000 tokens: a model that needs more asks for less at a time. */
const TEXT_MAX = 40_000;

/** A tool whose arguments are checked before `run` sees them. What fails becomes an answer that the model can read. */
export function tool<Shape extends z.ZodRawShape>(
  name: string,
  description: string,
  shape: Shape,
  run: (args: z.infer<z.ZodObject<Shape>>, caller: Caller) => Promise<readonly Content[]>,
): Tool {
  const input = z.object(shape);
  return {
    name,
    description,
    input,
    async call(args, caller) {
      const parsed = input.safeParse(args);
      if (!parsed.success) return { content: [text(`Invalid arguments: ${z.prettifyError(parsed.error)}`)], isError: true };
      try {
        return { content: await run(parsed.data as z.infer<z.ZodObject<Shape>>, caller) };
      } catch (error) {
        if (!(error instanceof ToolFailure)) throw error;
        return { content: [text(error.message)], isError: true };
      }
    },
  };
}

/** A tool that is one request; what the API answers as `result` is its text. */
export function restTool<Shape extends z.ZodRawShape>(
  name: string,
  description: string,
  shape: Shape,
  request: (args: z.infer<z.ZodObject<Shape>>) => readonly [method: string, path: string, options?: RequestOptions],
): Tool {
  return tool(name, description, shape, async (args, caller) => [json(await resultOf(await caller.request(...request(args))))]);
}

/** What the caller did wrong, or what the API said against it. */
export class ToolFailure extends Error {}

/** The API's `result`, with `result_info` where it has one; throws its errors. An answer without an envelope is its text. */
export async function resultOf(response: Response): Promise<unknown> {
  const body = await response.text();
  const parsed = response.headers.get("content-type")?.startsWith("application/json") ? (JSON.parse(body) as Envelope) : undefined;
  if (!response.ok || parsed?.success === false) throw new ToolFailure(refusal(response.status, parsed, body));
  if (parsed === undefined || parsed.success === undefined) return parsed ?? body;
  return parsed.result_info === undefined ? parsed.result : { result: parsed.result, result_info: parsed.result_info };
}

interface Envelope {
  readonly success?: boolean;
  readonly result?: unknown;
  readonly result_info?: unknown;
  readonly errors?: readonly { readonly code: number; readonly message: string }[];
}

function refusal(status: number, envelope: Envelope | undefined, body: string): string {
  const errors = envelope?.errors?.map(({ code, message }) => `${code}: ${message}`).join(", ");
  return `API error ${status}: ${errors ?? body.slice(0, 1_000)}`;
}

export const json = (value: unknown): Content => text(typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined"));

export function text(value: string): Content {
  if (value.length <= TEXT_MAX) return { type: "text", text: value };
  return {
    type: "text",
    text: `${value.slice(0, TEXT_MAX)}\n\n[The first ${TEXT_MAX} of ${value.length} characters: ask for less, or filter.]`,
  };
}
