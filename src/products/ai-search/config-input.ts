/**
 * What a user sets of an instance (`cloudflare` SDK 7.3.0, wrangler 4.164.0), checked. Members that this version would not act
 * on are refused by name when they ask for something: a setting that is taken is one that counts.
 */
import { z } from "zod";
import { parseWith } from "../../kernel/api/body.ts";
import { searchError } from "./errors.ts";
import {
  CACHE_TTLS,
  CHUNK_SIZE_MIN,
  CUSTOM_FIELDS_MAX,
  EMBEDDING_MODELS,
  HEADERS_MAX,
  INSTANCE_ID,
  INSTANCE_ID_MAX,
  OVERLAP_MAX,
  PATTERNS_MAX,
  RESULTS_MAX,
  SITEMAPS_MAX,
  SMART_DEFAULTS,
  SYNC_INTERVALS,
} from "./limits.ts";

const oneOf = <const T extends readonly number[]>(values: T) =>
  z.number().refine((value): value is T[number] => values.includes(value), `must be one of ${values.join(", ")}`);

/** Letters, numbers and what URLs are made of, with `*` and `**` (docs/ai-search/configuration/path-filtering). */
const pattern = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^[A-Za-z0-9_\-./?:=&%*~+@,! ()[\]]+$/, "has characters that patterns cannot have");
const patterns = z.array(pattern).max(PATTERNS_MAX, `at most ${PATTERNS_MAX} patterns`);
const model = z.string().max(256).nullish();
const header = z.record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/), z.string().regex(/^[\t -~]{0,4096}$/));

const sourceParams = z.object({
  include_items: patterns.optional(),
  exclude_items: patterns.optional(),
  prefix: z.string().max(1024).optional(),
  r2_jurisdiction: z.string().max(32).optional(),
  web_crawler: z
    .object({
      parse_type: z.enum(["sitemap", "discover"]).optional(),
      discover_options: z.unknown().optional(),
      parse_options: z
        .object({
          include_headers: header.refine((given) => Object.keys(given).length <= HEADERS_MAX, `at most ${HEADERS_MAX} headers`).optional(),
          specific_sitemaps: z.array(z.url()).max(SITEMAPS_MAX).optional(),
          use_browser_rendering: z.boolean().optional(),
          include_images: z.boolean().optional(),
          content_selector: z
            .array(z.object({ path: pattern, selector: z.string().min(1).max(200) }))
            .min(1)
            .max(10)
            .optional(),
        })
        .optional(),
    })
    .optional(),
});

const settings = z.object({
  token_id: z.string().max(64).nullish(),
  ai_gateway_id: z.string().max(64).nullish(),
  ai_search_model: model,
  rewrite_model: model,
  reranking_model: model,
  system_prompt_ai_search: z.string().max(20_000).nullish(),
  system_prompt_rewrite_query: z.string().max(20_000).nullish(),
  rewrite_query: z.boolean().optional(),
  reranking: z.boolean().optional(),
  cache: z.boolean().optional(),
  cache_threshold: z.enum(["super_strict_match", "close_enough", "flexible_friend", "anything_goes"]).nullish(),
  cache_ttl: oneOf(CACHE_TTLS).nullish(),
  chunk: z.boolean().optional(),
  chunk_size: z.number().int().min(CHUNK_SIZE_MIN).nullish(),
  chunk_overlap: z.number().int().min(0).max(OVERLAP_MAX).nullish(),
  custom_metadata: z
    .array(
      z.object({
        field_name: z
          .string()
          .regex(/^[A-Za-z0-9_-]{1,64}$/)
          .refine((name) => !["timestamp", "folder", "filename"].includes(name), "is a built-in field"),
        data_type: z.enum(["text", "number", "boolean", "datetime"]),
      }),
    )
    .max(CUSTOM_FIELDS_MAX)
    .nullish(),
  fusion_method: z.enum(["max", "rrf"]).nullish(),
  hybrid_search_enabled: z.boolean().optional(),
  index_method: z.object({ keyword: z.boolean().default(false), vector: z.boolean().default(true) }).optional(),
  indexing_options: z.object({ keyword_tokenizer: z.enum(["porter", "trigram"]).optional(), use_ocr: z.boolean().optional() }).nullish(),
  retrieval_options: z
    .object({ keyword_match_mode: z.enum(["and", "or"]).optional(), boost_by: z.array(z.unknown()).optional() })
    .nullish(),
  max_num_results: z.number().int().min(1).max(RESULTS_MAX).nullish(),
  score_threshold: z.number().min(0).max(1).nullish(),
  source_params: sourceParams.nullish(),
  sync_interval: oneOf(SYNC_INTERVALS).optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  paused: z.boolean().optional(),
  summarization: z.boolean().optional(),
  public_endpoint_params: z.looseObject({ enabled: z.boolean().optional() }).nullish(),
});

const creation = settings.extend({
  id: z.string().min(1).max(INSTANCE_ID_MAX).regex(INSTANCE_ID, "must be lower-case letters, numbers, hyphens and underscores"),
  type: z.enum(["r2", "web-crawler"]).nullish(),
  source: z.string().max(2048).nullish(),
  embedding_model: model,
});

const change = settings.extend({
  type: z.unknown().optional(),
  source: z.unknown().optional(),
  embedding_model: z.unknown().optional(),
  id: z.unknown().optional(),
});

export type Settings = z.infer<typeof settings>;
export type SourceParams = z.infer<typeof sourceParams>;
export interface InstanceConfig extends Settings {
  readonly type: "r2" | "web-crawler" | null;
  /** A bucket, or the address of a site. */
  readonly source: string | null;
  readonly embedding_model: string;
}

/** Throws `aiSearch.notImplemented` for what nothing would come of. */
function refuseAbsent(given: Settings): void {
  const crawler = given.source_params?.web_crawler;
  const asked: Readonly<Record<string, boolean>> = {
    summarization: given.summarization === true,
    "indexing_options.use_ocr": given.indexing_options?.use_ocr === true,
    "retrieval_options.boost_by": (given.retrieval_options?.boost_by?.length ?? 0) > 0,
    "public_endpoint_params.enabled": given.public_endpoint_params?.enabled === true,
    "source_params.web_crawler.parse_type": crawler?.parse_type === "discover",
    "source_params.web_crawler.parse_options.include_images": crawler?.parse_options?.include_images === true,
  };
  const absent = Object.keys(asked).find((name) => asked[name]);
  if (absent !== undefined) throw searchError("notImplemented", `The setting "${absent}" is not implemented by this version of Freehold`);
}

function checkChunks({ chunk_size }: Settings, embeddingModel: string): void {
  const most = EMBEDDING_MODELS[embeddingModel] ?? 512;
  if ((chunk_size ?? 0) > most) throw searchError("invalid", `chunk_size: at most ${most} tokens with ${embeddingModel}`);
}

/** A new instance as a client asks for it. `isBucket` tells what a source without a type is. */
export async function newInstance(
  body: unknown,
  isBucket: (name: string) => Promise<boolean>,
): Promise<{ id: string; config: InstanceConfig }> {
  const { id, type, source, embedding_model, ...rest } = parseWith(creation, body);
  refuseAbsent(rest);
  const named = source?.trim() || null;
  const inferred = type ?? (named === null ? null : /^https?:\/\//i.test(named) ? "web-crawler" : "r2");
  if (inferred !== null && named === null) throw searchError("invalid", `source: an instance of type ${inferred} needs a source`);
  if (inferred === "r2" && !(await isBucket(named as string))) throw searchError("bucketNotFound");
  const embeddingModel = embedding_model || SMART_DEFAULTS.embedding;
  if (!embeddingModel.startsWith("@")) throw searchError("notImplemented", "Embedding models of other providers are not implemented");
  checkChunks(rest, embeddingModel);
  return { id, config: { ...rest, type: inferred, source: named, embedding_model: embeddingModel } };
}

/** The configuration after a change: what the body has replaces what there is. */
export function changed(old: InstanceConfig, body: unknown): InstanceConfig {
  const { type, source, embedding_model, id, ...rest } = parseWith(change, body);
  const fixed = { type, source, embedding_model };
  for (const name of ["type", "source", "embedding_model"] as const)
    if (fixed[name] !== undefined && fixed[name] !== null && fixed[name] !== "" && fixed[name] !== old[name])
      throw searchError("immutable", `${name} cannot be changed after creation`);
  refuseAbsent(rest);
  checkChunks(rest, old.embedding_model);
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return { ...old, ...given };
}
