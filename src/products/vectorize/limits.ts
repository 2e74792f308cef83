/** Numbers that Vectorize documents (docs/vectorize/platform/limits), and the embedding models with a preset. */
import type { Metric } from "../../kernel/vectors/codes.ts";

export const ID_MAX_BYTES = 64;
export const NAMESPACE_MAX_BYTES = 64;
export const INDEX_NAME_MAX_BYTES = 64;
export const METADATA_MAX_BYTES = 10 * 1024;
export const PROPERTIES_MAX = 10;
/** Of a string in a metadata index. */
export const INDEXED_MAX_BYTES = 64;
export const BATCH_MAX = 5000;
export const BINDING_BATCH_MAX = 1000;
export const UPLOAD_MAX_BYTES = 100 * 1024 * 1024;
export const TOP_K_DEFAULT = 5;
export const TOP_K_MAX = 100;
/** With values, or with all metadata. */
export const TOP_K_WHOLE_MAX = 20;
export const LIST_DEFAULT = 100;
export const LIST_MAX = 1000;
export const FILTER_MAX_BYTES = 2048;
export const FILTER_KEY_MAX = 512;
/** Not documented: what one request may name; it bounds an answer's size. */
export const IDS_MAX = 1000;

/** Models as `wrangler vectorize create --preset` names them, by the dimensions of their embeddings. */
export const PRESETS: Readonly<Record<string, { readonly dimensions: number; readonly metric: Metric }>> = {
  "@cf/baai/bge-small-en-v1.5": { dimensions: 384, metric: "cosine" },
  "@cf/baai/bge-base-en-v1.5": { dimensions: 768, metric: "cosine" },
  "@cf/baai/bge-large-en-v1.5": { dimensions: 1024, metric: "cosine" },
  "openai/text-embedding-ada-002": { dimensions: 1536, metric: "cosine" },
  "cohere/embed-multilingual-v2.0": { dimensions: 768, metric: "cosine" },
};

/** The longest well-formed start of the text within so many bytes of UTF-8. */
export function truncated(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const bytes = Buffer.from(text);
  let end = maxBytes;
  // A byte of the form 10…… continues a character.
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}
