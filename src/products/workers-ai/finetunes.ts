/**
 * Finetunes: adapters (LoRA) of the account, a name for each and two files (docs/workers-ai/features/fine-tunes/loras). They
 * are kept as they were uploaded and cannot be changed; the platform itself does not apply them.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { BlobStore } from "../../kernel/blobs/blobs.ts";
import type { BlobLeases } from "../../kernel/blobs/leases.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { stableId } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import type { ModelRuns } from "./run.ts";

/** Documented. */
const FINETUNES_MAX = 100;
export const ASSET_MAX_BYTES = 300_000_000;
const RANK_MAX = 32;
const CONFIG = "adapter_config.json";
const ASSETS = [CONFIG, "adapter_model.safetensors"];
const CONFIG_MAX_BYTES = 1_000_000;

export const newFinetune = z.object({
  model: z.string(),
  name: z.string().min(1).max(100),
  description: z.string().max(1000).default(""),
  public: z.boolean().optional(),
});

const adapterConfig = z.looseObject({
  model_type: z.enum(["mistral", "gemma", "llama"]),
  r: z.number().int().min(1).max(RANK_MAX).optional(),
});

export interface Finetune {
  readonly id: string;
  readonly model: string;
  readonly name: string;
  readonly description: string;
}

/** Adapters that the real service has for everyone (docs/workers-ai/features/fine-tunes/public-loras). */
const PUBLIC: readonly Finetune[] = [
  ["cf-public-magicoder", "Coding tasks in multiple languages"],
  ["cf-public-jigsaw-classification", "Toxic comment classification"],
  ["cf-public-cnn-summarization", "Article summarization"],
].map(([name = "", description = ""]) => ({ id: stableId(name), name, description, model: "@cf/mistral/mistral-7b-instruct-v0.1" }));

export interface FinetuneParts {
  readonly meta: MetaStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  readonly clock: Clock;
  readonly runs: ModelRuns;
}

export type Finetunes = ReturnType<typeof openFinetunes>;

export function openFinetunes({ meta, blobs, leases, clock, runs }: FinetuneParts) {
  return {
    public: PUBLIC,
    list: (): Promise<Finetune[]> =>
      meta.all<Finetune & Record<string, never>>(
        "SELECT id, model, name, description FROM workers_ai_finetunes ORDER BY created_at, id LIMIT ?",
        FINETUNES_MAX,
      ),

    /** Throws `workersAi.loraUnsupported`, `workersAi.finetuneExists`, `workersAi.tooMany`, `workersAi.noSuchModel`. */
    async create({ model, name, description }: z.infer<typeof newFinetune>): Promise<Finetune> {
      if (!runs.require(model).lora) throw aiError("loraUnsupported", `The model ${model} does not support LoRa inference`);
      if (name.startsWith("cf-public-")) throw aiError("invalidInput", "Error: names that begin with cf-public- are reserved");
      const finetune = { id: randomUUID(), model, name, description };
      await meta.transaction(async (tx) => {
        const found = await tx.all<{ name: string }>("SELECT name FROM workers_ai_finetunes LIMIT ?", FINETUNES_MAX);
        if (found.some((one) => one.name === name)) throw aiError("finetuneExists");
        if (found.length >= FINETUNES_MAX) throw aiError("tooMany", `An account has at most ${FINETUNES_MAX} finetunes`);
        await tx.run(
          "INSERT INTO workers_ai_finetunes (id, model, name, description, created_at) VALUES (?, ?, ?, ?, ?)",
          ...[finetune.id, model, name, description, clock.now()],
        );
      });
      return finetune;
    },

    /**
     * Keeps one of a finetune's two files, as `chunks` bring it. Bytes first, then the row that names them. Throws
     * `workersAi.finetuneFiles` for another file, a second one, or a configuration that is none.
     */
    async addAsset(idOrName: string, file: string, chunks: AsyncIterable<Uint8Array>): Promise<Record<string, unknown>> {
      const finetune = await meta.get<{ id: string }>("SELECT id FROM workers_ai_finetunes WHERE id = ? OR name = ?", idOrName, idOrName);
      if (finetune === undefined) throw aiError("notFound", "There is no such finetune");
      if (!ASSETS.includes(file)) throw aiError("finetuneFiles", `A finetune's files are ${ASSETS.join(" and ")}`);
      const blob = await leases.take();
      try {
        const size = await written(blobs, blob, chunks);
        if (file === CONFIG) checkConfig(size > CONFIG_MAX_BYTES ? "" : Buffer.from(await blobs.bytes(blob)).toString("utf8"));
        await meta.transaction(async (tx) => {
          const there = await tx.get("SELECT 1 FROM workers_ai_assets WHERE finetune_id = ? AND name = ?", finetune.id, file);
          if (there !== undefined) throw aiError("finetuneFiles", "The files of a finetune cannot be changed: create another one");
          await tx.run("INSERT INTO workers_ai_assets (finetune_id, name, blob, size) VALUES (?, ?, ?, ?)", finetune.id, file, blob, size);
          await leases.settle(tx, blob);
        });
        return { id: finetune.id, file_name: file, size };
      } catch (error) {
        await leases.discard(blob);
        throw error;
      }
    },
  };
}

async function written(blobs: BlobStore, blob: Parameters<BlobStore["create"]>[0], chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const writer = await blobs.create(blob);
  let size = 0;
  try {
    for await (const chunk of chunks) {
      size += chunk.byteLength;
      if (size >= ASSET_MAX_BYTES) throw aiError("tooLarge", "A finetune's file must be smaller than 300 MB");
      await writer.write(chunk);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.commit();
  return size;
}

function checkConfig(text: string): void {
  try {
    adapterConfig.parse(JSON.parse(text));
  } catch (cause) {
    throw aiError(
      "finetuneFiles",
      `${CONFIG} must be JSON with a model_type of mistral, gemma or llama and a rank of at most ${RANK_MAX}`,
      { cause },
    );
  }
}
