/**
 * The models that the service knows by name, with what each is for. Names and tasks are those of the real catalogue (types of
 * `@cloudflare/workers-types` 5.20261117, docs/workers-ai/models). It says nothing about what runs here: that is `runners.ts`.
 */
import { createHash } from "node:crypto";

export const TASKS = {
  "Text Generation": "Generates text from a prompt or a conversation",
  "Text Embeddings": "Turns text into vectors whose nearness is likeness of meaning",
  "Text Classification": "Sorts text into labels, or ranks texts by how well they answer a query",
  "Automatic Speech Recognition": "Turns speech into text",
  "Text-to-Speech": "Speaks a text",
  Translation: "Translates text from one language to another",
  Summarization: "Shortens a text to what matters",
  "Image-to-Text": "Describes an image in words",
  "Image Classification": "Sorts an image into labels",
  "Object Detection": "Finds things in an image and where they are",
  "Text-to-Image": "Makes an image from a description",
  "Voice Activity Detection": "Hears whether someone has finished speaking",
} as const;

export type TaskName = keyof typeof TASKS;

export interface Model {
  /** "@cf/meta/llama-3.1-8b-instruct". */
  readonly name: string;
  readonly task: TaskName;
  /** Tokens of prompt and answer together; undefined where it is not documented. */
  readonly contextWindow?: number;
  /** Answers in OpenAI's form also to `run`. */
  readonly openai: boolean;
  readonly functionCalling: boolean;
  readonly lora: boolean;
  readonly batch: boolean;
  /** In beta: left out of lists by `hide_experimental`. */
  readonly beta: boolean;
}

const lines = (text: string): string[] => text.trim().split(/\s+/);

const NAMES: Readonly<Record<TaskName, readonly string[]>> = {
  "Text Generation": lines(`
    @cf/openai/gpt-oss-120b @cf/openai/gpt-oss-20b @cf/meta/llama-4-scout-17b-16e-instruct @cf/meta/llama-3.3-70b-instruct-fp8-fast
    @cf/meta/llama-3.1-8b-instruct-fast @cf/meta/llama-3.1-8b-instruct @cf/meta/llama-3.1-8b-instruct-fp8 @cf/meta/llama-3.1-8b-instruct-awq
    @cf/meta/llama-3.1-70b-instruct @cf/meta/llama-3.2-1b-instruct @cf/meta/llama-3.2-3b-instruct @cf/meta/llama-3.2-11b-vision-instruct
    @cf/meta/llama-guard-3-8b @cf/meta/llama-3-8b-instruct @cf/meta/llama-3-8b-instruct-awq @cf/meta/llama-2-7b-chat-int8
    @cf/meta/llama-2-7b-chat-fp16 @cf/meta-llama/llama-2-7b-chat-hf-lora @hf/meta-llama/meta-llama-3-8b-instruct
    @cf/zai-org/glm-4.7-flash @cf/zai-org/glm-5.2 @cf/zai-org/glm-5.3 @cf/zai-org/glm-5.3-flash @cf/moonshotai/kimi-k2.5
    @cf/moonshotai/kimi-k2.6 @cf/moonshotai/kimi-k2.7-code @cf/nvidia/nemotron-3-120b-a12b @cf/google/gemma-4-26b-a4b-it
    @cf/google/gemma-3-12b-it @cf/google/gemma-2b-it-lora @cf/google/gemma-7b-it-lora @hf/google/gemma-7b-it
    @cf/deepseek-ai/deepseek-v4-flash-0731 @cf/deepseek-ai/deepseek-v4-pro-0813 @cf/deepseek-ai/deepseek-r1-distill-qwen-32b
    @cf/deepseek-ai/deepseek-math-7b-instruct @cf/qwen/qwen3.8-27b @cf/qwen/qwen3-30b-a3b-fp8 @cf/qwen/qwq-32b
    @cf/qwen/qwen2.5-coder-32b-instruct @cf/qwen/qwen1.5-0.5b-chat @cf/qwen/qwen1.5-1.8b-chat @cf/qwen/qwen1.5-7b-chat-awq
    @cf/qwen/qwen1.5-14b-chat-awq @cf/mistralai/mistral-small-3.1-24b-instruct @cf/mistral/mistral-7b-instruct-v0.1
    @hf/mistral/mistral-7b-instruct-v0.2 @cf/mistral/mistral-7b-instruct-v0.2-lora @cf/ibm-granite/granite-4.0-h-micro
    @cf/aisingapore/gemma-sea-lion-v4-27b-it @hf/nousresearch/hermes-2-pro-mistral-7b @hf/nexusflow/starling-lm-7b-beta
    @cf/fblgit/una-cybertron-7b-v2-bf16 @cf/tinyllama/tinyllama-1.1b-chat-v1.0 @cf/microsoft/phi-2 @cf/defog/sqlcoder-7b-2
    @cf/openchat/openchat-3.5-0106 @cf/tiiuae/falcon-7b-instruct @cf/thebloke/discolm-german-7b-v1-awq @hf/thebloke/llama-2-13b-chat-awq
    @hf/thebloke/mistral-7b-instruct-v0.1-awq @hf/thebloke/zephyr-7b-beta-awq @hf/thebloke/openhermes-2.5-mistral-7b-awq
    @hf/thebloke/neural-chat-7b-v3-1-awq @hf/thebloke/llamaguard-7b-awq @hf/thebloke/deepseek-coder-6.7b-base-awq
    @hf/thebloke/deepseek-coder-6.7b-instruct-awq`),
  "Text Embeddings": lines(`
    @cf/baai/bge-m3 @cf/baai/bge-large-en-v1.5 @cf/baai/bge-base-en-v1.5 @cf/baai/bge-small-en-v1.5 @cf/qwen/qwen3-embedding-0.6b
    @cf/google/embeddinggemma-300m @cf/pfnet/plamo-embedding-1b`),
  "Text Classification": lines("@cf/huggingface/distilbert-sst-2-int8 @cf/baai/bge-reranker-base"),
  "Automatic Speech Recognition": lines(`
    @cf/openai/whisper @cf/openai/whisper-tiny-en @cf/openai/whisper-large-v3-turbo @cf/deepgram/nova-3 @cf/deepgram/flux
    @cf/nvidia/nemotron-speech-streaming-en-0.6b`),
  "Text-to-Speech": lines("@cf/myshell-ai/melotts @cf/deepgram/aura-1 @cf/deepgram/aura-2-en @cf/deepgram/aura-2-es"),
  Translation: lines("@cf/meta/m2m100-1.2b @cf/ai4bharat/indictrans2-en-indic-1B"),
  Summarization: lines("@cf/facebook/bart-large-cnn"),
  "Image-to-Text": lines("@cf/llava-hf/llava-1.5-7b-hf @cf/unum/uform-gen2-qwen-500m @cf/moondream/moondream3.1-9B-A2B"),
  "Image Classification": lines("@cf/microsoft/resnet-50"),
  "Object Detection": lines("@cf/facebook/detr-resnet-50"),
  "Text-to-Image": lines(`
    @cf/black-forest-labs/flux-1-schnell @cf/black-forest-labs/flux-2-dev @cf/black-forest-labs/flux-2-klein-4b
    @cf/black-forest-labs/flux-2-klein-9b @cf/leonardo/lucid-origin @cf/leonardo/phoenix-1.0 @cf/lykon/dreamshaper-8-lcm
    @cf/bytedance/stable-diffusion-xl-lightning @cf/stabilityai/stable-diffusion-xl-base-1.0
    @cf/runwayml/stable-diffusion-v1-5-img2img @cf/runwayml/stable-diffusion-v1-5-inpainting`),
  "Voice Activity Detection": lines("@cf/pipecat-ai/smart-turn-v2"),
};

/** Documented context windows, in tokens. */
const CONTEXT_WINDOWS: Readonly<Record<string, number>> = {
  "@cf/openai/gpt-oss-120b": 128_000,
  "@cf/openai/gpt-oss-20b": 128_000,
  "@cf/zai-org/glm-4.7-flash": 131_072,
  "@cf/meta/llama-4-scout-17b-16e-instruct": 131_000,
  "@cf/meta/llama-3.3-70b-instruct-fp8-fast": 24_000,
  "@cf/meta/llama-3.2-1b-instruct": 60_000,
  "@cf/mistralai/mistral-small-3.1-24b-instruct": 128_000,
  "@cf/google/gemma-3-12b-it": 128_000,
};

const OPENAI_FORM = /gpt-oss|glm-|kimi-|nemotron-3|gemma-4|deepseek-v4|qwen3\.8/;
const FUNCTION_CALLING =
  /llama-4-scout|llama-3\.3-70b|glm-|kimi-|gpt-oss|granite-4|qwen3-30b|qwen3\.8|mistral-small-3\.1|hermes-2-pro|deepseek-v4|gemma-4|nemotron-3/;
/** Models that take a finetune, on a base that is not quantized. */
const LORA =
  /-lora$|mistral-7b-instruct-v0\.[12]$|gemma-7b-it$|gemma-3-12b|qwq-32b|qwen2\.5-coder|llama-guard-3|llama-3\.2-11b|meta-llama-3-8b/;
const BATCH = /bge-(m3|large|base|small)|m2m100|whisper-large|llama-4-scout|llama-3\.3-70b|qwen3-30b|aura-|nova-3|smart-turn/;
const BETA =
  /^@hf\/|@cf\/(llava-hf|unum|defog|microsoft\/phi|facebook|runwayml|bytedance|stabilityai|thebloke|tiiuae|openchat|tinyllama)|qwen1\.5|whisper-tiny/;

/** Models of a name that the service has retired, and what it answers with. */
const ALIASES: Readonly<Record<string, string>> = { "@cf/meta/llama-2-7b-chat-int8": "@cf/meta/llama-3-8b-instruct-awq" };

const modelOf = (name: string, task: TaskName): Model => ({
  name,
  task,
  ...(CONTEXT_WINDOWS[name] !== undefined && { contextWindow: CONTEXT_WINDOWS[name] }),
  openai: OPENAI_FORM.test(name),
  functionCalling: FUNCTION_CALLING.test(name),
  lora: LORA.test(name),
  batch: BATCH.test(name),
  beta: BETA.test(name),
});

const catalogue: ReadonlyMap<string, Model> = new Map(
  Object.entries(NAMES).flatMap(([task, names]) => names.map((name) => [name, modelOf(name, task as TaskName)] as const)),
);

export interface Catalogue {
  /** The model of a name; retired names lead to their successors. */
  find(name: string): Model | undefined;
  all(): Model[];
}

/** `own`: names of models that the operator adds, which generate text. */
export function openCatalogue(own: readonly string[]): Catalogue {
  const models = new Map(catalogue);
  for (const name of own) if (!models.has(name)) models.set(name, modelOf(name, "Text Generation"));
  return {
    find: (name) => models.get(ALIASES[name] ?? name),
    all: () => [...models.values()],
  };
}

/** An id in the form of a UUID that is the same at each start. */
export function stableId(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

/** A model as the API and the binding list it. */
export const modelView = (model: Model): Record<string, unknown> => ({
  id: stableId(model.name),
  source: 1,
  name: model.name,
  description: `${TASKS[model.task]}.`,
  task: { id: stableId(model.task), name: model.task, description: `${TASKS[model.task]}.` },
  created_at: "2023-09-27 00:00:00.000",
  tags: [],
  properties: [
    ...(model.contextWindow === undefined ? [] : [{ property_id: "context_window", value: String(model.contextWindow) }]),
    ...(model.functionCalling ? [{ property_id: "function_calling", value: "true" }] : []),
    ...(model.lora ? [{ property_id: "lora", value: "true" }] : []),
    ...(model.batch ? [{ property_id: "async_queue", value: "true" }] : []),
    ...(model.beta ? [{ property_id: "beta", value: "true" }] : []),
  ],
});

/** Models as a query of `models/search` narrows them. */
export function searchModels(models: readonly Model[], query: URLSearchParams): Model[] {
  const given = (name: string): string | undefined => query.get(name)?.toLowerCase() || undefined;
  const [search, task, author, source] = [given("search"), given("task"), given("author"), given("source")];
  const hide = given("hide_experimental") === "true";
  return models.filter(
    (model) =>
      (search === undefined || model.name.toLowerCase().includes(search) || TASKS[model.task].toLowerCase().includes(search)) &&
      (task === undefined || model.task.toLowerCase() === task) &&
      (author === undefined || authorOf(model) === author) &&
      (source === undefined || source === "1") &&
      !(hide && model.beta),
  );
}

export const authorOf = ({ name }: Model): string => (name.split("/")[1] ?? "").toLowerCase();
