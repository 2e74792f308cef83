/**
 * A foreign server of models in OpenAI's form, as Ollama, llama.cpp and vLLM have it. There is no neural network in it: chats
 * echo, call the tools that they are given and fill in schemas; vectors and ranks go by common words. It keeps to the
 * protocol and remembers what it was sent.
 */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ServerRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** JSON, or the text of another body. */
  // biome-ignore lint/suspicious/noExplicitAny: tests know what they have sent
  readonly body: any;
}

export interface ModelServer {
  /** "http://127.0.0.1:4242/v1". */
  readonly url: string;
  readonly seen: ServerRequest[];
  /** Resolves when the client of a `hangs` request has gone. */
  readonly abandoned: Promise<void>;
}

interface Message {
  readonly role: string;
  readonly content: string | readonly { readonly type: string; readonly text?: string }[] | null;
}

interface ChatBody {
  readonly model: string;
  readonly prompt?: string;
  readonly messages?: readonly Message[];
  readonly max_tokens?: number;
  readonly stream?: boolean;
  readonly tools?: readonly { readonly function: { readonly name: string; readonly parameters?: { properties?: object } } }[];
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly schema: { properties?: object } } };
}

interface Said {
  readonly content: string | null;
  readonly tool_calls?: readonly object[];
  readonly finish_reason: string;
}

const words = (text: string): string[] => text.toLowerCase().match(/\p{L}+/gu) ?? [];
const textOf = ({ content }: Message): string =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? `<${part.type}>`).join(" ");

/** Each property of a schema with a value of its type. */
const filled = (schema: { properties?: object } | undefined): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(schema?.properties ?? {}).map(([name, { type }]) => [
      name,
      type === "number" || type === "integer" ? 7 : `some ${name}`,
    ]),
  );

/** Llama Guard's words: a text that has a hazard's sign in it is unsafe. */
function verdict(text: string): Said {
  const hazards = text.match(/hazard S\d+/g)?.map((one) => one.slice("hazard ".length)) ?? [];
  return { content: hazards.length === 0 ? "safe" : `unsafe\n${hazards.join(",")}`, finish_reason: "stop" };
}

function said(body: ChatBody): Said {
  if (body.model.includes("llama-guard")) return verdict(textOf(body.messages?.at(-1) ?? { role: "user", content: "" }));
  const last = body.messages?.at(-1) ?? { role: "user", content: body.prompt ?? "" };
  const text = textOf(last);
  const [tool] = body.tools ?? [];
  if (tool !== undefined && last.role === "user") {
    const call = { name: tool.function.name, arguments: JSON.stringify(filled(tool.function.parameters)) };
    return { content: null, tool_calls: [{ id: "call_of_server", type: "function", function: call }], finish_reason: "tool_calls" };
  }
  if (body.response_format !== undefined)
    return {
      content: text.includes("no JSON") ? "no" : JSON.stringify(filled(body.response_format.json_schema?.schema)),
      finish_reason: "stop",
    };
  const answer = text.includes("at length") ? Array.from({ length: 1000 }, (_, at) => `w${at}`) : `echo ${text}`.split(" ");
  const most = body.max_tokens ?? answer.length;
  return { content: answer.slice(0, most).join(" "), finish_reason: answer.length > most ? "length" : "stop" };
}

/** A vector by the words of a text: texts with the same words are near. */
function vectorOf(text: string, dimensions: number): number[] {
  const vector = new Array<number>(dimensions).fill(0);
  for (const word of words(text)) {
    let hash = 7;
    for (const letter of word) hash = (hash * 31 + letter.charCodeAt(0)) % 1_000_003;
    vector[hash % dimensions] = (vector[hash % dimensions] as number) + 1;
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

const dimensionsOf = (model: string): number => (model.includes("small") ? 384 : model.includes("base") ? 768 : 1024);

/** Ended with the file's other things: `t.after`. */
export async function startModelServer(t: { after(fn: () => Promise<void>): void }): Promise<ModelServer> {
  const seen: ServerRequest[] = [];
  const abandoned = Promise.withResolvers<void>();

  const json = (response: ServerResponse, status: number, value: unknown): ServerResponse =>
    response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(JSON.stringify(value));

  function chat(body: ChatBody, completions: boolean, response: ServerResponse): ServerResponse {
    if (body.model.includes("refuses")) return json(response, 400, { error: { message: "the server refuses this" } });
    const guardIsDown = body.model.includes("llama-guard") && textOf(body.messages?.at(-1) as Message).includes("guard is down");
    if (body.model.includes("fails") || guardIsDown) return json(response, 500, { error: { message: "a secret of the server" } });
    const { finish_reason, ...message } = said(body);
    const spoken = message.content?.split(" ").length ?? 5;
    const usage = { prompt_tokens: 11, completion_tokens: spoken, total_tokens: 11 + spoken };
    const common = { id: "chatcmpl-1", created: 1, model: body.model };
    if (body.stream !== true) {
      const choice = completions ? { text: message.content } : { message: { role: "assistant", ...message } };
      return json(response, 200, { ...common, object: "chat.completion", choices: [{ index: 0, ...choice, finish_reason }], usage });
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = (choices: readonly object[], more: object = {}): void => {
      response.write(`data: ${JSON.stringify({ ...common, object: "chat.completion.chunk", choices, ...more })}\n\n`);
    };
    const delta = (value: object, reason: string | null = null) => ({ index: 0, delta: value, finish_reason: reason });
    chunk([delta({ role: "assistant", content: "" })]);
    if (message.tool_calls) chunk([delta({ tool_calls: message.tool_calls.map((call, index) => ({ index, ...call })) })]);
    const parts = message.content?.split(/(?<= )/) ?? [];
    for (const part of parts) chunk([delta({ content: part })]);
    if (body.model.includes("hangs")) return response.once("close", abandoned.resolve);
    chunk([delta({}, finish_reason)]);
    chunk([], { usage });
    return response.end("data: [DONE]\n\n");
  }

  function answer(path: string, body: ServerRequest["body"], response: ServerResponse): ServerResponse {
    if (path === "/v1/chat/completions" || path === "/v1/completions") return chat(body, path === "/v1/completions", response);
    if (path === "/v1/embeddings") {
      const data = body.input.map((text: string, index: number) => ({
        object: "embedding",
        index,
        embedding: vectorOf(text, dimensionsOf(body.model)),
      }));
      const tokens = body.input.reduce((sum: number, text: string) => sum + words(text).length, 0);
      return json(response, 200, { object: "list", data, model: body.model, usage: { prompt_tokens: tokens, total_tokens: tokens } });
    }
    if (path === "/v1/rerank") {
      const asked = new Set(words(body.query));
      const results = body.documents.map((text: string, index: number) => ({
        index,
        relevance_score: words(text).filter((word) => asked.has(word)).length / asked.size,
      }));
      return json(response, 200, { results });
    }
    if (path === "/v1/responses") {
      const content = [{ type: "output_text", text: `echo ${body.input}`, annotations: [] }];
      const output = [{ type: "message", id: "m", role: "assistant", status: "completed", content }];
      const usage = { input_tokens: 3, output_tokens: 4, total_tokens: 7 };
      return json(response, 200, { id: "r", object: "response", model: body.model, status: "completed", output, usage });
    }
    if (path === "/v1/audio/transcriptions") {
      const text = `heard ${Buffer.byteLength(body, "latin1") > 1000 ? "much" : "little"}`;
      const segments = [{ start: 0, end: 1.5, text }];
      return json(response, 200, { text, language: "en", duration: 1.5, segments, words: [{ word: "heard", start: 0, end: 0.5 }] });
    }
    return json(response, 404, { error: { message: `no ${path} here` } });
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const isJson = request.headers["content-type"] === "application/json";
    const text = Buffer.concat(chunks).toString(isJson ? "utf8" : "latin1");
    const body = isJson ? JSON.parse(text) : text;
    seen.push({ path: request.url as string, headers: request.headers, body });
    answer(request.url as string, body, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, seen, abandoned: abandoned.promise };
}
