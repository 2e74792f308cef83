/**
 * Answers of a model to what a search has found, whole or as a stream of events, and answers that were given before to a like
 * question. An answer is kept under everything that it depends on besides the question's words: the settings, the prompt and
 * the filters, so that a tenant's answer is no other tenant's.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Instance } from "./instances.ts";
import { CACHE_TTL_S } from "./limits.ts";
import { type Message, type SearchModels, textOf } from "./models.ts";
import { questionWith } from "./prompts.ts";
import type { Query, Result, Results } from "./query.ts";
import { LEAST, shinglesOf, type Threshold } from "./similarity.ts";
import type { Engine } from "./store/engine.ts";

export interface AnswerOptions {
  readonly model?: string | undefined;
  readonly systemPrompt?: string | undefined;
  /** What was said before the question. */
  readonly history: readonly Message[];
  readonly cache?: boolean | undefined;
  readonly cacheThreshold?: Threshold | undefined;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly text: string;
  readonly model: string;
  readonly results: Results;
  readonly cached: boolean;
}

export type Answers = ReturnType<typeof openAnswers>;

export interface AnswersParts {
  readonly engine: Engine;
  readonly models: SearchModels;
  readonly clock: Clock;
  readonly log: Log;
  /** Rejects when the instance's service token opens nothing (any more). */
  authorize(instance: Instance): Promise<void>;
}

export function openAnswers({ engine, models, clock, log, authorize }: AnswersParts) {
  const messagesOf = (
    instance: Instance,
    results: readonly Result[],
    query: string,
    { systemPrompt, history }: AnswerOptions,
  ): Message[] => [
    { role: "system", content: systemPrompt || models.answerPrompt(instance) },
    ...history,
    { role: "user", content: questionWith(results.map(documentOf), query) },
  ];

  function cacheOf({ config }: Instance, query: Query, options: AnswerOptions) {
    if (!(options.cache ?? config.cache ?? false)) return undefined;
    const { text: _, ...conditions } = query;
    const depends = [conditions, options.model, options.systemPrompt, options.history, options.inputs, config];
    const scope = createHash("sha256").update(JSON.stringify(depends)).digest("base64url");
    const threshold = options.cacheThreshold ?? config.cache_threshold ?? "close_enough";
    return { scope, shingles: shinglesOf(query.text), least: LEAST[threshold], ttlMs: (config.cache_ttl ?? CACHE_TTL_S) * 1000 };
  }

  async function keep(instance: Instance, cache: NonNullable<ReturnType<typeof cacheOf>>, answer: Omit<Answer, "cached">): Promise<void> {
    const { scope, shingles, ttlMs } = cache;
    const now = clock.now();
    await engine
      .call("keepAnswer", {
        ...{ uid: instance.uid, scope, shingles, answer: JSON.stringify(answer), now, expires: now + ttlMs },
        chunks: answer.results.results.map(({ id }) => id),
      })
      // The caller has its answer; the next one is asked of the model again.
      .catch((error: unknown) => log.warn("ai_search.answer_not_kept", { instance: instance.id, error }));
  }

  return {
    /** An answer to a like question under the same conditions; undefined: none, or the cache is off. */
    async kept(instance: Instance, query: Query, options: AnswerOptions): Promise<Answer | undefined> {
      const cache = cacheOf(instance, query, options);
      if (cache === undefined) return undefined;
      // What was answered with a token's rights goes with them.
      await authorize(instance);
      const { scope, shingles, least } = cache;
      const found = await engine.call("findAnswer", { uid: instance.uid, scope, shingles, least, now: clock.now() });
      return found === null ? undefined : { ...(JSON.parse(found) as Omit<Answer, "cached">), cached: true };
    },

    /** Throws `aiSearch.model` when the model fails. Without results there is nothing to answer from: the text is empty. */
    async whole(instance: Instance, query: Query, results: Results, options: AnswerOptions): Promise<Answer> {
      if (results.results.length === 0) return { text: "", model: "", results, cached: false };
      const messages = messagesOf(instance, results.results, query.text, options);
      const { model, output } = await models.answer(instance, messages, { ...options, stream: false });
      const answer = { text: textOf(models.json(output)), model, results };
      const cache = cacheOf(instance, query, options);
      if (cache !== undefined) await keep(instance, cache, answer);
      return { ...answer, cached: false };
    },

    /** The model's answer in pieces of text. Ends the request when its reader stops. */
    async stream(
      instance: Instance,
      query: Query,
      results: Results,
      options: AnswerOptions,
    ): Promise<{ readonly model: string; readonly pieces: AsyncIterable<string> }> {
      if (results.results.length === 0) return { model: "", pieces: Readable.from([]) };
      const messages = messagesOf(instance, results.results, query.text, options);
      const { model, output } = await models.answer(instance, messages, { ...options, stream: true });
      const cache = cacheOf(instance, query, options);
      async function* pieces(): AsyncGenerator<string> {
        let text = "";
        for await (const piece of "json" in output ? [textOf(output.json)] : textsOf(output.body)) {
          text += piece;
          yield piece;
        }
        if (cache !== undefined) await keep(instance, cache, { text, model, results });
      }
      return { model, pieces: pieces() };
    },
  };
}

function documentOf({ key, text, metadata }: Result): { name: string; context: string | undefined; text: string } {
  const { context } = (metadata === null ? {} : JSON.parse(metadata)) as { context?: unknown };
  return { name: key, context: context === undefined ? undefined : String(context), text };
}

const LINE_MAX = 1024 * 1024;

/** The texts in a model's events: `data: {"response": …}`, or OpenAI's chunks. */
async function* textsOf(body: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let line = "";
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const lines = (line + decoder.decode(chunk, { stream: true })).split("\n");
    line = (lines.pop() as string).slice(0, LINE_MAX);
    for (const one of lines) {
      const data = /^data:\s*(.*?)\r?$/.exec(one)?.[1];
      if (data === undefined || data === "[DONE]" || data === "") continue;
      const text = textOf(JSON.parse(data));
      if (text !== "") yield text;
    }
  }
}
