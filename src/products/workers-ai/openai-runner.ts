/**
 * A runner that is a server in OpenAI's form: Ollama, llama.cpp, vLLM and their like, or another provider. Reranking is
 * asked for as llama.cpp and vLLM have it. The operator's word names it, so it may be anywhere; redirects are not followed,
 * and a caller of the platform never learns the key.
 */
import type { Readable } from "node:stream";
import { type Agent, FormData, request } from "undici";
import { z } from "zod";
import { aiError } from "./errors.ts";
import type { Embeddings, Reply, Runner, Transcript } from "./runner.ts";

export interface OpenAiServer {
  /** Without a slash at its end: "http://127.0.0.1:11434/v1". */
  readonly base: string;
  /** What the server calls the model. */
  readonly model: string;
  readonly key: string | undefined;
}

/** A model may take its time before it answers, and between two pieces of its answer. */
const SILENCE_MAX_MS = 600_000;
/** Of an answer that is read as a whole. */
const ANSWER_MAX_BYTES = 256 * 1024 * 1024;
const ERROR_MAX_BYTES = 64 * 1024;

const embeddingsAnswer = z.object({
  data: z.array(z.object({ index: z.number().int(), embedding: z.array(z.number()) })),
  usage: z.object({ prompt_tokens: z.number() }).optional(),
});
const rerankAnswer = z.object({ results: z.array(z.object({ index: z.number().int(), relevance_score: z.number() })) });
const transcriptAnswer = z.object({
  text: z.string(),
  language: z.string().optional(),
  duration: z.coerce.number().optional(),
  segments: z.array(z.object({ start: z.number(), end: z.number(), text: z.string() })).default([]),
  words: z.array(z.object({ word: z.string(), start: z.number(), end: z.number() })).default([]),
});
const imagesAnswer = z.object({ data: z.array(z.object({ b64_json: z.string() })).min(1) });

export function openAiRunner({ base, model, key }: OpenAiServer, agent: Agent): Runner {
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };

  async function post(path: string, body: string | FormData, signal: AbortSignal): Promise<Reply> {
    try {
      const answer = await request(`${base}/${path}`, {
        method: "POST",
        headers: { ...authorization, ...(typeof body === "string" && { "content-type": "application/json" }) },
        body,
        dispatcher: agent,
        headersTimeout: SILENCE_MAX_MS,
        bodyTimeout: SILENCE_MAX_MS,
        signal,
      });
      const type = String(answer.headers["content-type"] ?? "").split(";")[0] as string;
      if (answer.statusCode < 300) return { type, body: answer.body };
      throw refusal(answer.statusCode, (await readAtMost(answer.body, ERROR_MAX_BYTES)).toString("utf8"), base);
    } catch (cause) {
      if (signal.aborted) throw aiError("aborted", undefined, { cause });
      if ((cause as { code?: unknown }).code?.toString().startsWith("workersAi.")) throw cause;
      throw aiError("runnerFailed", "What runs the model could not be reached", { cause });
    }
  }

  async function asked<T>(path: string, body: object, answer: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const reply = await post(path, JSON.stringify({ ...body, model }), signal);
    return parsed(await readAtMost(reply.body, ANSWER_MAX_BYTES), answer);
  }

  return {
    label: base,
    openai: (path, body, signal) => post(path, JSON.stringify({ ...body, model }), signal),
    async embed(texts, _options, signal): Promise<Embeddings> {
      const answer = await asked("embeddings", { input: texts, encoding_format: "float" }, embeddingsAnswer, signal);
      const vectors = answer.data.toSorted((one, other) => one.index - other.index).map(({ embedding }) => embedding);
      if (vectors.length !== texts.length) throw aiError("runnerFailed", "What runs the model answered with too few vectors");
      return { vectors, tokens: answer.usage?.prompt_tokens ?? 0 };
    },
    async rerank(query, texts, signal) {
      const { results } = await asked("rerank", { query, documents: texts, top_n: texts.length }, rerankAnswer, signal);
      const scores = new Map(results.map(({ index, relevance_score }) => [index, relevance_score]));
      return texts.map((_, index) => scores.get(index) ?? 0);
    },
    async transcribe(audio, options, signal): Promise<Transcript> {
      const form = new FormData();
      form.set("model", model);
      form.set("file", new Blob([new Uint8Array(audio)], { type: options.type }), `audio.${extensionOf(options.type)}`);
      form.set("response_format", "verbose_json");
      form.append("timestamp_granularities[]", "word");
      form.append("timestamp_granularities[]", "segment");
      if (options.language !== undefined) form.set("language", options.language);
      if (options.prompt !== undefined) form.set("prompt", options.prompt);
      const reply = await post(options.translate ? "audio/translations" : "audio/transcriptions", form, signal);
      return parsed(await readAtMost(reply.body, ANSWER_MAX_BYTES), transcriptAnswer);
    },
    speak: (input, { voice }, signal) =>
      post("audio/speech", JSON.stringify({ model, input, voice: voice ?? "alloy", response_format: "mp3" }), signal),
    async draw(prompt, { width, height }, signal) {
      const size = width === undefined || height === undefined ? {} : { size: `${width}x${height}` };
      const { data } = await asked("images/generations", { prompt, n: 1, response_format: "b64_json", ...size }, imagesAnswer, signal);
      return Buffer.from((data[0] as { b64_json: string }).b64_json, "base64");
    },
  };
}

const EXTENSIONS: Readonly<Record<string, string>> = {
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/mpeg": "mp3",
  "audio/ogg": "ogg",
  "audio/flac": "flac",
  "audio/mp4": "m4a",
  "audio/webm": "webm",
};
const extensionOf = (type: string): string => EXTENSIONS[type] ?? "wav";

function parsed<T>(bytes: Buffer, answer: z.ZodType<T>): T {
  try {
    return answer.parse(JSON.parse(bytes.toString("utf8")));
  } catch (cause) {
    throw aiError("runnerFailed", "What runs the model answered with something that is not understood", { cause });
  }
}

/** The error of a server as the caller is told it: the server's own words only where the input is at fault. */
function refusal(status: number, text: string, base: string) {
  const message = messageOf(text);
  const cause = new Error(`${base} answered ${status}: ${text.slice(0, 1000)}`);
  if (/context.{0,20}(length|window|size)|maximum context|too many tokens/i.test(message))
    return aiError("contextWindow", message, { cause });
  if (status === 429) return aiError("outOfCapacity", undefined, { cause });
  if (status === 400 || status === 413 || status === 422) return aiError("invalidInput", message, { cause });
  return aiError("runnerFailed", `What runs the model answered ${status}`, { cause });
}

function messageOf(text: string): string {
  try {
    const body = JSON.parse(text) as { error?: string | { message?: unknown }; message?: unknown };
    const found = typeof body.error === "object" ? body.error.message : (body.error ?? body.message);
    if (typeof found === "string") return found.slice(0, 1000);
  } catch {
    // Not every server says it in JSON.
  }
  return text.slice(0, 1000);
}

/** The whole body. Throws `workersAi.runnerFailed` when it is larger. */
export async function readAtMost(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > maxBytes) throw aiError("runnerFailed", "What runs the model answered with too much");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
