/**
 * What AI Search asks of models: vectors, other words for a query, an order of results, an answer. Every call goes through the
 * instance's AI Gateway (docs/ai-search/configuration/query-rewriting), the account's default one where it has none.
 */
import type { ModelGateway, ModelOutput } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { searchError } from "./errors.ts";
import type { Instance } from "./instances.ts";
import { SMART_DEFAULTS } from "./limits.ts";
import { ANSWER_PROMPT, REWRITE_PROMPT } from "./prompts.ts";

export interface Message {
  readonly role: string;
  readonly content: string;
}

/** Texts in one request for vectors. */
export const EMBED_BATCH = 32;
/** Reranking models look at 512 tokens of query and text together. */
const RERANK_TEXT_MAX = 2000;
const ANSWER_TOKENS_MAX = 1024;
const REWRITTEN_MAX = 2000;

/** Metadata that callers give their requests, for the gateway's logs. */
export type LogMetadata = Readonly<Record<string, string | number | boolean>>;

export type SearchModels = ReturnType<typeof searchModels>;

export function searchModels(gateway: ModelGateway) {
  async function run(
    { config, id }: Instance,
    model: string,
    inputs: Readonly<Record<string, unknown>>,
    task: string,
    { extra = {}, signal }: { extra?: LogMetadata | undefined; signal?: AbortSignal | undefined },
  ): Promise<ModelOutput> {
    const metadata = { "ai-search": id, task, ...extra };
    try {
      return await gateway.run(config.ai_gateway_id || undefined, model, inputs, { metadata, ...(signal && { signal }) });
    } catch (error) {
      // The model's or the gateway's own words, which tell what to mend.
      if (error instanceof PlatformError) throw searchError("model", `${model}: ${error.message}`, { cause: error });
      throw error;
    }
  }

  const json = (output: ModelOutput): unknown => {
    if ("json" in output) return output.json;
    output.body.destroy();
    throw searchError("model", "The model did not answer in JSON");
  };

  return {
    /** The texts' vectors one behind the other. */
    async embed(
      instance: Instance,
      texts: readonly string[],
      signal?: AbortSignal,
    ): Promise<{ vectors: Float32Array; dimensions: number }> {
      const model = instance.config.embedding_model;
      const { data } = json(await run(instance, model, { text: texts }, "embedding", { signal })) as {
        data?: readonly (readonly number[])[];
      };
      const dimensions = data?.[0]?.length ?? 0;
      if (data === undefined || data.length !== texts.length || dimensions === 0 || data.some((one) => one.length !== dimensions))
        throw searchError("model", `${model} gave no vector for each text`);
      const vectors = new Float32Array(texts.length * dimensions);
      for (const [at, one] of data.entries()) vectors.set(one, at * dimensions);
      return { vectors, dimensions };
    },

    /** The query in words that are easier to find. */
    async rewrite(
      instance: Instance,
      query: string,
      options: {
        readonly model?: string | undefined;
        readonly prompt?: string | undefined;
        readonly extra?: LogMetadata | undefined;
        readonly signal?: AbortSignal | undefined;
      },
    ): Promise<string> {
      const { config } = instance;
      const model = options.model || config.rewrite_model || config.ai_search_model || SMART_DEFAULTS.generation;
      const messages = [
        { role: "system", content: options.prompt || config.system_prompt_rewrite_query || REWRITE_PROMPT },
        { role: "user", content: query },
      ];
      const rewritten = textOf(json(await run(instance, model, { messages, max_tokens: 256 }, "query_rewrite", options))).trim();
      return rewritten === "" ? query : rewritten.slice(0, REWRITTEN_MAX);
    },

    /** How well each text answers the query, from 0 to 1, in their order. */
    async rank(
      instance: Instance,
      query: string,
      texts: readonly string[],
      options: { readonly model?: string | undefined; readonly extra?: LogMetadata | undefined; readonly signal?: AbortSignal | undefined },
    ): Promise<number[]> {
      const model = options.model || instance.config.reranking_model || SMART_DEFAULTS.reranking;
      const inputs = { query, contexts: texts.map((text) => ({ text: text.slice(0, RERANK_TEXT_MAX) })) };
      const { response } = json(await run(instance, model, inputs, "reranking", options)) as {
        response?: readonly { id: number; score: number }[];
      };
      if (response === undefined) throw searchError("model", `${model} gave no ranks`);
      const scores = new Array<number>(texts.length).fill(0);
      for (const { id, score } of response) if (id in scores) scores[id] = score;
      return scores;
    },

    /** What the model says to the messages; a stream of events with `stream`. */
    async answer(
      instance: Instance,
      messages: readonly Message[],
      options: {
        readonly model?: string | undefined;
        readonly stream: boolean;
        readonly inputs?: Readonly<Record<string, unknown>>;
        readonly extra?: LogMetadata | undefined;
        readonly signal?: AbortSignal | undefined;
      },
    ): Promise<{ readonly model: string; readonly output: ModelOutput }> {
      const model = options.model || instance.config.ai_search_model || SMART_DEFAULTS.generation;
      const inputs = { max_tokens: ANSWER_TOKENS_MAX, ...options.inputs, messages, stream: options.stream };
      return { model, output: await run(instance, model, inputs, "generation", options) };
    },

    answerPrompt: ({ config }: Instance): string => config.system_prompt_ai_search || ANSWER_PROMPT,
    json,
  };
}

/** The text of an answer, in Workers AI's form or in OpenAI's. */
export function textOf(answer: unknown): string {
  const { response, choices } = answer as {
    response?: unknown;
    choices?: readonly { message?: { content?: unknown }; delta?: { content?: unknown } }[];
  };
  const content = response ?? choices?.[0]?.message?.content ?? choices?.[0]?.delta?.content ?? "";
  return typeof content === "string" ? content : JSON.stringify(content);
}
