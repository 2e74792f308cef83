/** Numbers that AI Search documents (docs/ai-search/platform/limits-pricing and the pages of its settings), and its models. */

export const INSTANCE_ID = /^[a-z0-9_]+(?:-[a-z0-9_]+)*$/;
export const INSTANCE_ID_MAX = 32;
export const KEY_MAX = 128;
export const PATTERNS_MAX = 10;
export const SITEMAPS_MAX = 5;
export const HEADERS_MAX = 5;
export const CUSTOM_FIELDS_MAX = 20;
export const RESULTS_DEFAULT = 10;
export const RESULTS_MAX = 50;
export const MATCH_THRESHOLD = 0.4;
export const OVERLAP_MAX = 30;
export const CHUNK_SIZE_MIN = 64;
export const CHUNK_SIZE_DEFAULT = 256;
export const CHUNK_OVERLAP_DEFAULT = 10;
export const SYNC_INTERVALS = [900, 1800, 3600, 7200, 14400, 21600, 43200, 86400] as const;
export const CACHE_TTLS = [600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 259200, 518400] as const;
/** Of the similarity cache, where an instance sets no other. */
export const CACHE_TTL_S = 30 * 86_400;
/** Of a namespace's search over many instances. */
export const INSTANCES_AT_ONCE = 10;
export const EXPANSION_MAX = 3;

/** Input tokens of embedding models: the largest chunk. */
export const EMBEDDING_MODELS: Readonly<Record<string, number>> = {
  "@cf/baai/bge-m3": 512,
  "@cf/baai/bge-large-en-v1.5": 512,
};

/** What a setting that names no model stands for. */
export const SMART_DEFAULTS = {
  embedding: "@cf/baai/bge-m3",
  generation: "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
  reranking: "@cf/baai/bge-reranker-base",
} as const;
