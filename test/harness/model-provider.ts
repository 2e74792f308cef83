/**
 * A foreign model provider: a small HTTP server that speaks OpenAI's chat completions as self-hosted servers do (Ollama,
 * vLLM, llama.cpp), and Anthropic's messages. It remembers what it was sent. `fails` and `slow` in a model's name make it
 * fail or wait; it says nothing else about what is in front of it.
 */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly at: number;
}

export interface ModelProvider {
  /** "http://127.0.0.1:4242". */
  readonly url: string;
  readonly seen: Seen[];
  /** Fails this many of the next requests with 500. */
  fail(count: number): void;
  /** Resolves when a stream has sent its first piece and waits; `release` lets it go on. */
  readonly streaming: { started: Promise<void>; release(): void };
}

/** Ended with the file's other things: `t.after`. */
export async function startModelProvider(t: { after(fn: () => Promise<void>): void }): Promise<ModelProvider> {
  const seen: Seen[] = [];
  let failures = 0;
  let started = Promise.withResolvers<void>();
  let release = Promise.withResolvers<void>();

  async function answer(url: string, text: string, response: ServerResponse): Promise<void> {
    const json = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json", "x-provider": "foreign" }).end(JSON.stringify(body));
    };
    if (failures > 0) {
      failures--;
      return json(500, { error: { message: "the provider failed" } });
    }
    const body = (text.startsWith("{") ? JSON.parse(text) : {}) as { model?: string; stream?: boolean; messages?: { content: string }[] };
    const model = body.model ?? "none";
    if (model.includes("fails")) return json(500, { error: { message: "the model failed" } });
    if (model.includes("refuses")) return json(400, { error: { message: "no such model" } });
    // Never answers; it ends when the client does.
    if (model.includes("slow")) return;
    const content = `echo ${body.messages?.at(-1)?.content ?? ""}`;
    if (body.stream === true) {
      const chunk = (delta: object, more: object = {}) =>
        `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model, choices: [{ index: 0, delta, finish_reason: null }], ...more })}\n\n`;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(chunk({ role: "assistant", content: "first " }));
      started.resolve();
      await release.promise;
      response.end(`${chunk({ content }, { usage: { prompt_tokens: 7, completion_tokens: 11, total_tokens: 18 } })}data: [DONE]\n\n`);
      started = Promise.withResolvers();
      release = Promise.withResolvers();
      return;
    }
    if (url.startsWith("/v1/messages"))
      return json(200, {
        id: "m",
        type: "message",
        role: "assistant",
        model,
        content: [{ type: "text", text: content }],
        stop_reason: "end_turn",
        usage: { input_tokens: 3, output_tokens: 5 },
      });
    if (url.includes("/responses"))
      return json(200, {
        id: "r",
        object: "response",
        model,
        status: "completed",
        output: [
          {
            type: "message",
            id: "o",
            role: "assistant",
            status: "completed",
            content: [{ type: "output_text", text: content, annotations: [] }],
          },
        ],
        usage: { input_tokens: 4, output_tokens: 6, total_tokens: 10 },
      });
    json(200, {
      id: "c",
      object: "chat.completion",
      created: 1,
      model,
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage: { prompt_tokens: 100, completion_tokens: 50, total_tokens: 150 },
    });
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString("utf8");
    const url = request.url as string;
    seen.push({ method: request.method as string, url, headers: request.headers, body, at: performance.now() });
    await answer(url, body, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    release.resolve();
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    fail: (count) => {
      failures = count;
    },
    get streaming() {
      return { started: started.promise, release: () => release.resolve() };
    },
  };
}
