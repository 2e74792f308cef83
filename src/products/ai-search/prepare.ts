/** From a file to what is stored of it: text or Markdown, its chunks, their vectors, its metadata. */
import { setTimeout as delay } from "node:timers/promises";
import type { Models } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { type Chunk, chunksOf } from "./chunks.ts";
import { fileKind } from "./file-types.ts";
import type { Instance } from "./instances.ts";
import { CHUNK_OVERLAP_DEFAULT, CHUNK_SIZE_DEFAULT } from "./limits.ts";
import { EMBED_BATCH, type SearchModels } from "./models.ts";
import type { Content } from "./source.ts";
import type { Indexed } from "./store/protocol.ts";
import { indexMethod } from "./views.ts";

const ATTEMPTS = 3;
const RETRY_MS = 500;

export type Prepared = Pick<Indexed, "chunks" | "vectors" | "dimensions" | "metadata">;

export interface PrepareParts {
  readonly models: Pick<Models, "toMarkdown" | "markdownFormats">;
  readonly search: SearchModels;
  readonly maxBytes: number;
  readonly maxText: string;
}

export function openPreparation({ models, search, maxBytes, maxText }: PrepareParts) {
  const documents = new Set(models.markdownFormats.map(({ extension }) => extension));

  async function textOf({ bytes, name, type, selector }: Content, signal: AbortSignal): Promise<string> {
    if (bytes.byteLength > maxBytes) throw new Error(`File size exceeds the limit of ${maxText}`);
    const kind = fileKind(name, documents);
    if (kind === undefined) throw new Error("Unsupported file type");
    if (kind === "text") return new TextDecoder().decode(bytes);
    const options = selector === undefined ? {} : { html: { cssSelector: selector } };
    const [result] = await models.toMarkdown(
      [{ name: name.slice(name.lastIndexOf("/") + 1), mimeType: type ?? "", bytes }],
      options,
      signal,
    );
    if (result === undefined || result.format === "error") throw new Error(result?.error ?? "The document could not be converted");
    return result.data;
  }

  /** A model that fails is asked again, later each time. */
  async function embedded(instance: Instance, texts: readonly string[], signal: AbortSignal) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await search.embed(instance, texts, signal);
      } catch (error) {
        if (!(error instanceof PlatformError) || attempt === ATTEMPTS || signal.aborted) throw error;
        await delay(RETRY_MS * 2 ** attempt, undefined, { signal });
      }
    }
  }

  async function vectorsOf(
    instance: Instance,
    chunks: readonly Chunk[],
    signal: AbortSignal,
  ): Promise<Pick<Prepared, "vectors" | "dimensions">> {
    if (!indexMethod(instance).vector) return { vectors: null, dimensions: 0 };
    let vectors = new Float32Array(0);
    let dimensions = 0;
    for (let at = 0; at < chunks.length; at += EMBED_BATCH) {
      const texts = chunks.slice(at, at + EMBED_BATCH).map(({ text }) => text);
      const batch = await embedded(instance, texts, signal);
      if (at === 0) {
        dimensions = batch.dimensions;
        vectors = new Float32Array(chunks.length * dimensions);
      } else if (batch.dimensions !== dimensions) throw new Error("The embedding model gave vectors of different lengths");
      vectors.set(batch.vectors, at * dimensions);
    }
    return { vectors, dimensions };
  }

  return {
    supports: (key: string): boolean => fileKind(key, documents) !== undefined,
    /** Rejects with the reason when nothing can be indexed of the file. */
    async prepare(instance: Instance, content: Content, signal: AbortSignal): Promise<Prepared> {
      const { config } = instance;
      const text = await textOf(content, signal);
      const options = { size: config.chunk_size ?? CHUNK_SIZE_DEFAULT, overlapPercent: config.chunk_overlap ?? CHUNK_OVERLAP_DEFAULT };
      const chunks = chunksOf(text, options);
      const metadata = Object.keys(content.custom).length === 0 ? null : JSON.stringify(typed(instance, content.custom));
      return { chunks, metadata, ...(await vectorsOf(instance, chunks, signal)) };
    },
  };
}

/** Metadata with the fields of the instance in their types: text is what buckets keep. */
export function typed({ config }: Instance, custom: Content["custom"]): Record<string, string | number | boolean> {
  const types = new Map((config.custom_metadata ?? []).map(({ field_name, data_type }) => [field_name, data_type]));
  return Object.fromEntries(
    Object.entries(custom).map(([name, value]) => {
      const type = types.get(name);
      if (type === "number" && value !== "" && Number.isFinite(Number(value))) return [name, Number(value)];
      if (type === "boolean" && (value === "true" || value === "false")) return [name, value === "true"];
      if (type === "datetime" && typeof value === "string" && !Number.isNaN(Date.parse(value))) return [name, Date.parse(value)];
      return [name, value];
    }),
  );
}
