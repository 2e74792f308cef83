/**
 * Streams of chat completions on their way: OpenAI's events in, the service's out. The reason of the end is told once, with
 * the tokens (documented since 2026-02-17), and `[DONE]` comes last. Nothing is held up but that reason.
 */
import { Readable } from "node:stream";

interface Chunk {
  readonly choices?: readonly {
    readonly index?: number;
    readonly delta?: { readonly content?: string | null; readonly tool_calls?: readonly unknown[] | null };
    readonly text?: string;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: object | null;
  readonly [member: string]: unknown;
}

/** Hears the tokens of a stream that has ended. */
type Used = (usage: object | undefined) => void;

/** Longest event that is read. */
const EVENT_MAX_CHARACTERS = 16 * 1024 * 1024;

/** The service's own events: `{ response }`, calls of tools as they come, and the tokens at the end. */
export const classicEvents = (body: Readable, used: Used): Readable =>
  events(body, used, (chunk, ended) => {
    const [choice] = chunk.choices ?? [];
    const calls = choice?.delta?.tool_calls ?? [];
    const text = choice?.delta?.content ?? choice?.text ?? "";
    if (ended) return { response: text, ...(calls.length > 0 && { tool_calls: calls }), usage: chunk.usage ?? undefined };
    return text === "" && calls.length === 0 ? undefined : { response: text, ...(calls.length > 0 && { tool_calls: calls }) };
  });

/** OpenAI's events under the service's name of the model. */
export const openAiEvents = (body: Readable, model: string, used: Used): Readable =>
  events(body, used, (chunk, ended) => {
    const choices = chunk.choices ?? [];
    const named = { ...chunk, model };
    if (ended !== undefined)
      return { ...named, choices: [{ index: 0, delta: {}, finish_reason: ended }], ...(chunk.usage && { usage: chunk.usage }) };
    return { ...named, choices: choices.map((choice) => ({ ...choice, finish_reason: null })) };
  });

/** `translate` gets each event, and one more with the reason when the stream ends; undefined is left out. */
function events(body: Readable, used: Used, translate: (chunk: Chunk, ended?: string) => object | undefined): Readable {
  async function* translated(): AsyncGenerator<Buffer> {
    let reason: string | undefined;
    let calledTools = false;
    let last: Chunk = {};
    for await (const chunk of chunksOf(body)) {
      const [choice] = chunk.choices ?? [];
      calledTools ||= (choice?.delta?.tool_calls?.length ?? 0) > 0;
      reason = choice?.finish_reason ?? reason;
      last = { ...chunk, usage: chunk.usage ?? last.usage ?? null };
      const says =
        (choice?.delta !== undefined && Object.values(choice.delta).some((value) => value !== null && value !== "")) || choice?.text;
      const event = says ? translate({ ...chunk, usage: null }) : undefined;
      if (event !== undefined) yield Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
    }
    const end = translate({ ...last, choices: [] }, calledTools ? "tool_calls" : (reason ?? "stop"));
    used(last.usage ?? undefined);
    yield Buffer.from(`data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`);
  }
  return Readable.from(translated(), { objectMode: false });
}

async function* chunksOf(body: Readable): AsyncGenerator<Chunk> {
  for await (const data of eventsOf(body)) {
    if (data === "[DONE]") return;
    try {
      yield JSON.parse(data) as Chunk;
    } catch {
      // A comment or a keep-alive of the server's.
    }
  }
}

/** The data of server-sent events. */
export async function* eventsOf(body: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(piece, { stream: true });
    if (rest.length > EVENT_MAX_CHARACTERS) throw new Error("an event of the stream is too long");
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() as string;
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
  if (rest.startsWith("data:")) yield rest.slice(5).trim();
}
