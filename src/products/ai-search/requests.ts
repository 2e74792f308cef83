/** What callers ask of an instance, in both generations of the API, checked; and what was found, as each of them reads it. */
import { z } from "zod";
import { parseWith } from "../../kernel/api/body.ts";
import type { AnswerOptions } from "./answers.ts";
import { searchError } from "./errors.ts";
import { parseFilter } from "./filter.ts";
import type { Instance } from "./instances.ts";
import { EXPANSION_MAX, INSTANCES_AT_ONCE, MATCH_THRESHOLD, RESULTS_DEFAULT, RESULTS_MAX } from "./limits.ts";
import type { LogMetadata, Message } from "./models.ts";
import type { Query, Result, Results } from "./query.ts";

const QUERY_MAX = 20_000;
const MESSAGES_MAX = 200;
const text = z.string().trim().min(1, "must not be empty").max(QUERY_MAX);
const results = z.number().int().min(1, `must be between 1 and ${RESULTS_MAX}`).max(RESULTS_MAX, `must be between 1 and ${RESULTS_MAX}`);
const share = z.number().min(0).max(1);
const model = z.string().max(256).optional();

// --- AutoRAG (docs/ai-search/usage/rest-api) ----------------------------------------------------------------

const legacyRequest = z.object({
  query: text,
  model,
  system_prompt: z.string().max(QUERY_MAX).optional(),
  rewrite_query: z.boolean().optional(),
  max_num_results: results.optional(),
  ranking_options: z.object({ score_threshold: share.optional(), ranker: z.string().optional() }).optional(),
  reranking: z.object({ enabled: z.boolean().optional(), model }).optional(),
  stream: z.boolean().optional(),
  filters: z.unknown().optional(),
});

export interface Asked {
  readonly query: Query;
  readonly answer: AnswerOptions;
  readonly stream: boolean;
}

export function legacyAsked(instance: Instance, body: unknown): Asked {
  const given = parseWith(legacyRequest, body);
  const query: Query = {
    text: given.query,
    rewrite: given.rewrite_query ?? false,
    limit: given.max_num_results ?? RESULTS_DEFAULT,
    threshold: given.ranking_options?.score_threshold ?? instance.config.score_threshold ?? 0,
    // What it documents is the score of vectors; an instance without them is searched by its words.
    kind: instance.config.index_method?.vector === false ? "keyword" : "vector",
    filter: parseFilter(given.filters, fieldsOf(instance)),
    rerank: given.reranking?.enabled,
    rerankModel: given.reranking?.model,
  };
  return { query, answer: { model: given.model, systemPrompt: given.system_prompt, history: [] }, stream: given.stream ?? false };
}

/** The documented object; `response` where an answer was asked for. */
export function legacyPage({ query, results: found }: Results, response?: string): Record<string, unknown> {
  return {
    object: "vector_store.search_results.page",
    search_query: query,
    ...(response !== undefined && { response }),
    data: found.map((result) => ({
      file_id: result.item,
      filename: result.key,
      score: scoreOf(result),
      attributes: {
        modified_date: seconds(result.modified),
        timestamp: seconds(result.modified),
        folder: result.folder,
        filename: result.key,
        ...(result.metadata !== null && { file: JSON.parse(result.metadata) as unknown }),
      },
      content: [{ id: result.id, type: "text", text: result.text }],
    })),
    has_more: false,
    next_page: null,
  };
}

/** Documented: times are rounded down to seconds, in milliseconds. */
const seconds = (ms: number): number => Math.floor(ms / 1000) * 1000;
const scoreOf = ({ score, rerankScore }: Result): number => rerankScore ?? score;

// --- AI Search (`cloudflare` SDK 7.3.0) ---------------------------------------------------------------------

const content = z.union([z.string(), z.null(), z.array(z.looseObject({ type: z.string(), text: z.string().optional() }))]);
const messages = z
  .array(z.looseObject({ role: z.enum(["system", "developer", "user", "assistant", "tool"]), content }))
  .min(1)
  .max(MESSAGES_MAX);
const threshold = z.enum(["super_strict_match", "close_enough", "flexible_friend", "anything_goes"]);

const retrieval = z.object({
  retrieval_type: z.enum(["vector", "keyword", "hybrid"]).optional(),
  fusion_method: z.enum(["max", "rrf"]).optional(),
  keyword_match_mode: z.enum(["and", "or"]).optional(),
  match_threshold: share.optional(),
  max_num_results: results.optional(),
  filters: z.unknown().optional(),
  context_expansion: z.number().int().min(0).max(EXPANSION_MAX).optional(),
  metadata_only: z.boolean().optional(),
  return_on_failure: z.boolean().optional(),
  boost_by: z.array(z.unknown()).max(0, "boosts are not implemented by this version of Freehold").optional(),
});

const options = z.object({
  retrieval: retrieval.optional(),
  query_rewrite: z.object({ enabled: z.boolean().optional(), model, rewrite_prompt: z.string().max(QUERY_MAX).optional() }).optional(),
  reranking: z.object({ enabled: z.boolean().optional(), model, match_threshold: share.optional() }).optional(),
  cache: z.object({ enabled: z.boolean().optional(), cache_threshold: threshold.optional() }).optional(),
  custom_metadata: z
    .record(z.string().regex(/^(?!ai-search$|task$|origin$|cf\.)/, "is reserved"), z.union([z.string(), z.number(), z.boolean()]))
    .refine((given) => Object.keys(given).length <= 2, "at most 2 entries")
    .optional(),
  instance_ids: z.array(z.string()).min(1).max(INSTANCES_AT_ONCE).optional(),
});

const request = z
  .looseObject({
    query: text.optional(),
    messages: messages.optional(),
    model,
    stream: z.boolean().optional(),
    ai_search_options: options.optional(),
    // As wrangler sends them.
    filters: z.unknown().optional(),
    max_num_results: results.optional(),
    score_threshold: share.optional(),
  })
  .refine((given) => (given.query === undefined) !== (given.messages === undefined), "exactly one of query and messages is needed");

export interface AskedNow extends Asked {
  readonly metadataOnly: boolean;
  /** Without results where a model that the search needs fails. */
  readonly emptyOnFailure: boolean;
}

const OWN = ["query", "messages", "model", "stream", "ai_search_options", "filters", "max_num_results", "score_threshold"];

export const instanceIds = (body: unknown): string[] => {
  const ids = parseWith(request, body).ai_search_options?.instance_ids;
  if (ids === undefined) throw searchError("invalid", "ai_search_options.instance_ids: is needed in a namespace");
  return [...new Set(ids)];
};

export function asked(instance: Instance, body: unknown): AskedNow {
  const given = parseWith(request, body);
  const { retrieval: how, query_rewrite, reranking, cache, custom_metadata } = given.ai_search_options ?? ({} as z.infer<typeof options>);
  const { question, history, system } = conversation(given.query, given.messages);
  const extra: LogMetadata | undefined = custom_metadata;
  const rest = Object.fromEntries(Object.entries(given).filter(([name]) => !OWN.includes(name)));
  return {
    query: {
      text: question,
      rewrite: query_rewrite?.enabled,
      rewriteModel: query_rewrite?.model,
      rewritePrompt: query_rewrite?.rewrite_prompt,
      limit: how?.max_num_results ?? given.max_num_results,
      threshold: how?.match_threshold ?? given.score_threshold,
      kind: how?.retrieval_type,
      fusion: how?.fusion_method,
      anyWord: how?.keyword_match_mode && how.keyword_match_mode === "or",
      expansion: how?.context_expansion,
      filter: parseFilter(how?.filters ?? given.filters, fieldsOf(instance)),
      rerank: reranking?.enabled,
      rerankModel: reranking?.model,
      rerankThreshold: reranking?.match_threshold ?? MATCH_THRESHOLD,
      extra,
    },
    answer: {
      model: given.model,
      systemPrompt: system,
      history,
      cache: cache?.enabled,
      cacheThreshold: cache?.cache_threshold,
      inputs: rest,
    },
    stream: given.stream ?? false,
    metadataOnly: how?.metadata_only ?? false,
    emptyOnFailure: how?.return_on_failure ?? true,
  };
}

/** The question is the last thing that the user said. */
function conversation(query: string | undefined, given: z.infer<typeof messages> | undefined) {
  if (query !== undefined) return { question: query, history: [], system: undefined };
  const said = (given ?? []).map(
    ({ role, content }): Message => ({ role: role === "developer" ? "system" : role, content: textIn(content) }),
  );
  const at = said.findLastIndex(({ role, content }) => role === "user" && content.trim() !== "");
  if (at === -1) throw searchError("invalid", "messages: at least one message of the user with content is needed");
  const system = said.filter(({ role }) => role === "system").map(({ content }) => content);
  const history = said.slice(0, at).filter(({ role }) => role === "user" || role === "assistant");
  const question = parseWith(text, (said[at] as Message).content);
  return { question, history, system: system.length === 0 ? undefined : system.join("\n\n") };
}

function textIn(given: z.infer<typeof content>): string {
  if (typeof given === "string") return given;
  return (given ?? [])
    .map((part) => {
      if (part.type !== "text")
        throw searchError("notImplemented", `messages: parts of type "${part.type}" are not implemented by this version of Freehold`);
      return part.text ?? "";
    })
    .join(" ");
}

export const fieldsOf = ({ config }: Instance): string[] => (config.custom_metadata ?? []).map(({ field_name }) => field_name);

export const chunkViews = ({ results: found, fusion }: Results, metadataOnly = false, instanceId?: string): Record<string, unknown>[] =>
  found.map((result) => ({
    id: result.id,
    type: "text",
    score: scoreOf(result),
    text: metadataOnly ? "" : result.text,
    ...(instanceId !== undefined && { instance_id: instanceId }),
    item: {
      key: result.key,
      timestamp: seconds(result.modified),
      metadata: { folder: result.folder, filename: result.key, ...(result.metadata !== null && (JSON.parse(result.metadata) as object)) },
    },
    scoring_details: {
      ...(result.vectorScore !== undefined && { vector_score: result.vectorScore, vector_rank: result.vectorRank }),
      ...(result.wordScore !== undefined && { keyword_score: result.wordScore, keyword_rank: result.wordRank }),
      ...(result.rerankScore !== undefined && { reranking_score: result.rerankScore }),
      ...(fusion !== undefined && { fusion_method: fusion }),
    },
  }));
