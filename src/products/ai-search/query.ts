/**
 * The way of a query to its results, the same for every door: other words if asked for, a vector, search, another order. What
 * is found is bounded by the instance that was asked, and by the filters before anything is ranked.
 */
import { searchError } from "./errors.ts";
import type { FilterCondition } from "./filter.ts";
import type { Instance } from "./instances.ts";
import { MATCH_THRESHOLD, RESULTS_DEFAULT } from "./limits.ts";
import type { LogMetadata, SearchModels } from "./models.ts";
import type { Engine } from "./store/engine.ts";
import type { Hit } from "./store/protocol.ts";
import { indexMethod } from "./views.ts";

/** What a caller asks, checked; what is undefined is the instance's to say. */
export interface Query {
  readonly text: string;
  readonly rewrite?: boolean | undefined;
  readonly rewriteModel?: string | undefined;
  readonly rewritePrompt?: string | undefined;
  readonly limit?: number | undefined;
  readonly threshold?: number | undefined;
  readonly kind?: "vector" | "keyword" | "hybrid" | undefined;
  readonly fusion?: "rrf" | "max" | undefined;
  readonly anyWord?: boolean | undefined;
  readonly expansion?: number | undefined;
  readonly filter: readonly FilterCondition[];
  readonly rerank?: boolean | undefined;
  readonly rerankModel?: string | undefined;
  /** Results whose rank is below this are left out. */
  readonly rerankThreshold?: number | undefined;
  readonly extra?: LogMetadata | undefined;
}

export interface Result extends Hit {
  readonly rerankScore?: number;
}

export interface Results {
  readonly query: string;
  readonly fusion: "rrf" | "max" | undefined;
  readonly results: readonly Result[];
}

export type Searcher = ReturnType<typeof openSearcher>;

/** `authorize` rejects when the instance's service token opens nothing (any more). */
export function openSearcher(engine: Engine, models: SearchModels, authorize: (instance: Instance) => Promise<void>) {
  function kindOf(instance: Instance, asked: Query["kind"]): "vector" | "keyword" | "hybrid" {
    const { vector, keyword } = indexMethod(instance);
    if ((asked === "vector" || asked === "hybrid") && !vector)
      throw searchError("invalid", "retrieval_type: the instance has no index of vectors");
    if ((asked === "keyword" || asked === "hybrid") && !keyword)
      throw searchError("invalid", "retrieval_type: the instance has no index of keywords");
    return asked ?? (vector && keyword ? "hybrid" : vector ? "vector" : "keyword");
  }

  return {
    /** Throws `aiSearch.model` where a model that is needed fails. */
    async search(instance: Instance, query: Query, signal?: AbortSignal): Promise<Results> {
      await authorize(instance);
      const { config } = instance;
      const kind = kindOf(instance, query.kind);
      const { extra } = query;
      const text =
        (query.rewrite ?? config.rewrite_query ?? false)
          ? await models.rewrite(instance, query.text, { model: query.rewriteModel, prompt: query.rewritePrompt, extra, signal })
          : query.text;
      const vector = kind === "keyword" ? null : (await models.embed(instance, [text], signal)).vectors;
      const fusion = query.fusion ?? config.fusion_method ?? "rrf";
      const hits = await engine.call("search", {
        uid: instance.uid,
        search: {
          vector,
          words: kind === "vector" ? null : text,
          anyWord: query.anyWord ?? config.retrieval_options?.keyword_match_mode === "or",
          tokenizer: config.indexing_options?.keyword_tokenizer ?? "porter",
          filter: query.filter,
          limit: query.limit ?? config.max_num_results ?? RESULTS_DEFAULT,
          threshold: query.threshold ?? config.score_threshold ?? MATCH_THRESHOLD,
          fusion,
          expansion: query.expansion ?? 0,
        },
      });
      const found = { query: text, fusion: kind === "hybrid" ? fusion : undefined };
      if (!(query.rerank ?? config.reranking ?? false) || hits.length === 0) return { ...found, results: hits };
      const scores = await models.rank(
        instance,
        text,
        hits.map((hit) => hit.text),
        { model: query.rerankModel, extra, signal },
      );
      const ranked = hits.map((hit, at): Result => ({ ...hit, rerankScore: scores[at] as number }));
      ranked.sort((a, b) => (b.rerankScore as number) - (a.rerankScore as number));
      return { ...found, results: ranked.filter(({ rerankScore }) => (rerankScore as number) >= (query.rerankThreshold ?? 0)) };
    },
  };
}
