/** Instances and namespaces as clients read them (`cloudflare` SDK 7.3.0), and the times of AI Search. */
import type { Instance, Namespace } from "./instances.ts";
import { CHUNK_OVERLAP_DEFAULT, CHUNK_SIZE_DEFAULT, MATCH_THRESHOLD, RESULTS_DEFAULT, SMART_DEFAULTS } from "./limits.ts";

/** "2025-12-25 01:52:28", UTC. */
export const stamp = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

/** What is stored of vectors and words. New instances have both (`cloudflare` SDK 7.3.0). */
export const indexMethod = ({ config }: Pick<Instance, "config">): { keyword: boolean; vector: boolean } =>
  config.index_method ?? { keyword: config.hybrid_search_enabled ?? true, vector: true };

/** Seconds between scheduled jobs. */
export const syncInterval = ({ config }: Pick<Instance, "config">, standard: number): number => config.sync_interval ?? standard;

export function instanceView(instance: Instance, status: string, syncSeconds: number): Record<string, unknown> {
  const { config } = instance;
  const method = indexMethod(instance);
  return {
    id: instance.id,
    namespace: instance.namespace,
    type: config.type,
    source: config.source,
    source_params: config.source_params ?? null,
    status,
    enable: true,
    paused: config.paused ?? false,
    token_id: config.token_id ?? null,
    ai_gateway_id: config.ai_gateway_id ?? null,
    embedding_model: config.embedding_model,
    ai_search_model: config.ai_search_model || SMART_DEFAULTS.generation,
    rewrite_query: config.rewrite_query ?? false,
    rewrite_model: config.rewrite_model || SMART_DEFAULTS.generation,
    reranking: config.reranking ?? false,
    reranking_model: config.reranking_model || SMART_DEFAULTS.reranking,
    system_prompt_ai_search: config.system_prompt_ai_search ?? null,
    system_prompt_rewrite_query: config.system_prompt_rewrite_query ?? null,
    system_prompt_index_summarization: null,
    summarization: false,
    summarization_model: null,
    chunk: config.chunk ?? true,
    chunk_size: config.chunk_size ?? CHUNK_SIZE_DEFAULT,
    chunk_overlap: config.chunk_overlap ?? CHUNK_OVERLAP_DEFAULT,
    score_threshold: config.score_threshold ?? MATCH_THRESHOLD,
    max_num_results: config.max_num_results ?? RESULTS_DEFAULT,
    cache: config.cache ?? false,
    cache_threshold: config.cache_threshold ?? "close_enough",
    cache_ttl: config.cache_ttl ?? null,
    index_method: method,
    hybrid_search_enabled: method.keyword && method.vector,
    fusion_method: config.fusion_method ?? "rrf",
    indexing_options: config.indexing_options ?? null,
    retrieval_options: config.retrieval_options ?? null,
    custom_metadata: config.custom_metadata ?? [],
    sync_interval: syncInterval(instance, syncSeconds),
    metadata: config.metadata ?? {},
    engine_version: 3,
    public_endpoint_id: null,
    public_endpoint_params: config.public_endpoint_params ?? null,
    created_at: stamp(instance.createdAt),
    modified_at: stamp(instance.modifiedAt),
    created_by: null,
    modified_by: null,
    last_activity: stamp(instance.syncedAt),
  };
}

export const namespaceView = ({ name, description, createdAt }: Namespace): Record<string, unknown> => ({
  name,
  description,
  created_at: stamp(createdAt),
});
